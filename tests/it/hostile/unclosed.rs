//! Channels that have ended for the client, but not for the server.

use sshoal::error::ChannelProblem;
use sshoal::{HostErrorKind, Outcome};

use super::watch::{AFTER_LOGIN, Watched, forget_peak, status, warm_up};
use super::{HEALTHY, Hostile, INPUTS, address, all, alone, greet, guard, join};

/// 64 MiB for a command that was refused, on a connection that continues with another command.
#[test]
fn what_comes_for_a_channel_that_is_over_is_not_kept() {
    let _dog = guard("refuses_and_pours");
    if !alone(module_path!(), "what_comes_for_a_channel_that_is_over_is_not_kept") {
        return;
    }
    let server = Hostile::start(&["refuses-and-pours"]);
    warm_up(&server);
    for input in INPUTS {
        let mut client = server.client(all(&["refuses-and-pours"])).build().expect("a client");
        let before = forget_peak();
        let outputs = client.start_command(greet(input.clone())).expect("a command");
        join(&client, &outputs);
        let error = outputs[0].error().expect("refused");
        let HostErrorKind::Channel(ChannelProblem::ExecRefused(_)) = error.kind() else { panic!("{error}") };
        // The second command's output comes after all of that.
        let outputs = client.start_command(greet(input)).expect("a command");
        join(&client, &outputs);
        assert!(matches!(outputs[0].outcome(), Some(Outcome::Exited(0))), "{:?}", outputs[0].outcome());
        let grown = status("VmHWM:").saturating_sub(before);
        assert!(grown < AFTER_LOGIN, "{grown} bytes more");
    }
}

/// Each command leaves an open channel behind.
#[test]
fn a_host_that_closes_no_channel_is_ended() {
    let _dog = guard("refuses_and_keeps");
    if !alone(module_path!(), "a_host_that_closes_no_channel_is_ended") {
        return;
    }
    let server = Hostile::start(&["refuses-and-keeps"]);
    warm_up(&server);
    let mut client = server.client([address(0)]).build().expect("a client");
    let before = forget_peak();
    let problem = INPUTS.into_iter().cycle().take(1100).find_map(|input| {
        let outputs = client.start_command(greet(input)).expect("a command");
        join(&client, &outputs);
        match outputs[0].error().expect("refused").kind() {
            HostErrorKind::Channel(ChannelProblem::ExecRefused(_)) => None,
            kind => Some(kind.to_string()),
        }
    });
    assert_eq!(
        problem.as_deref(),
        Some("protocol error: the host does not close its channels: 1025 are left")
    );
    let grown = status("VmHWM:").saturating_sub(before);
    assert!(grown < AFTER_LOGIN, "{grown} bytes more");
}

/// For valgrind: such channels end with their connection.
#[test]
fn channels_that_nobody_closes_are_freed() {
    let _dog = guard("left");
    let server = Hostile::start(&["refuses-and-keeps"]);
    let mut client = server.client(all(&["refuses-and-keeps"])).build().expect("a client");
    for input in [INPUTS, INPUTS].concat() {
        assert!(super::run(&mut client, greet(input))[0].error().is_some());
    }
}

#[test]
fn the_text_of_a_signal_is_bounded() {
    let _dog = guard("signal_text");
    let server = Hostile::start(&["signal-of-60-kilobytes"]);
    let watched = Watched::run(&server, &[address(0), HEALTHY.to_owned()], "greet");
    let Some(Outcome::Signaled(signal)) = &watched.ends[0] else { panic!("{:?}", watched.ends) };
    assert_eq!((signal.name.len(), signal.message.len()), (4096, 4096));
    assert!(signal.message.chars().all(|char| char == 'ä'), "cut between two characters");
}

/// libssh does not distinguish the types of extended data.
#[test]
fn extended_data_of_any_type_is_standard_error() {
    let _dog = guard("other_stream");
    let server = Hostile::start(&["other-stream"]);
    let mut client = server.client(all(&["other-stream"])).build().expect("a client");
    let outputs = super::run(&mut client, "greet");
    assert_eq!(super::stdout(&outputs[0]), ["hello"]);
    assert_eq!(outputs[0].stderr().map_while(Result::ok).collect::<Vec<_>>(), ["other"]);
}
