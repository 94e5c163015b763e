//! Responses to a command that are missing, doubled or malformed, and contradictory ends.

use sshoal::{HostErrorKind, HostOutput, Outcome, Stage};

use super::{Hostile, INPUTS, all, greet, guard, printable, run, stdout};

/// Runs `greet` on one host per kind, first with input and then without; returns the kinds with the
/// outcomes of their commands.
#[track_caller]
fn outcomes(kinds: &[&'static str]) -> Vec<(&'static str, String, HostOutput)> {
    let server = Hostile::start(kinds);
    let outputs = INPUTS.map(|input| {
        let mut client = server.client(all(kinds)).build().expect("a client");
        run(&mut client, greet(input))
    });
    let shown = |output: &HostOutput| match output.outcome().expect("it has ended") {
        Outcome::Failed(error) => format!("{:?}: {}", error.stage(), error.kind()),
        outcome => outcome.to_string(),
    };
    let kinds = kinds.iter().cycle();
    kinds.zip(outputs.concat()).map(|(kind, output)| (*kind, shown(&output), output)).collect()
}

#[test]
fn what_contradicts_itself_has_one_outcome() {
    let _dog = guard("answers");
    let expected = [
        ("success-twice", "exit status 0"),
        ("unknown-channel", "exit status 0"),
        // The command runs with or without a response.
        ("no-answer", "exit status 0"),
        ("no-answer-at-once", "exit status 0"),
        (
            "close-for-answer",
            "Requesting: the server refused to run the command: it closed the channel instead of answering",
        ),
        ("status-max", "exit status 4294967295"),
        // The first report counts, also where all arrive at once.
        ("status-twice", "exit status 3"),
        ("status-and-signal", "exit status 3"),
        ("signal-and-status", "killed by signal TERM"),
        ("status-truncated", "ended without an exit status"),
    ];
    for (index, (kind, shown, output)) in outcomes(&expected.map(|(kind, _)| kind)).iter().enumerate() {
        let nth = index % expected.len();
        assert_eq!(shown, expected[nth].1, "{kind}");
        let greets = nth < 4;
        assert_eq!(stdout(output), if greets { vec!["hello"] } else { vec![] }, "{kind}");
    }
}

/// libssh adopts the values of the second one, including the packet size, and drops the message.
#[test]
fn a_channel_that_is_confirmed_twice_ends_the_connection() {
    let _dog = guard("confirmed_twice");
    for (kind, shown, output) in outcomes(&["confirmed-twice"]) {
        let error = output.error().expect(kind);
        assert!(matches!(error.kind(), HostErrorKind::Protocol(_)), "{shown}");
        assert!(shown.contains("CHANNEL_OPEN_CONFIRMATION received in incorrect channel state"), "{shown}");
    }
}

#[test]
fn a_signals_text_is_clean_and_bounded() {
    let _dog = guard("signal_text");
    for (_, shown, output) in outcomes(&["signal-text"]) {
        let start = "killed by signal KILL\\x1b]52;c;cm0gLXJm\\x07 (core dumped): \\x1b[2J\\u{202e}";
        assert!(shown.starts_with(start));
        assert!(printable(&shown) && shown.len() < 1200, "{} bytes: {shown}", shown.len());
        // The program itself gets a longer text.
        assert_eq!(output.exit_signal().map(|signal| signal.message.len()), Some(4096));
    }
}

#[test]
fn output_without_end_before_the_answer_is_cut_off() {
    let _dog = guard("early_output");
    for (_, _, output) in outcomes(&["early-output"]) {
        let error = output.error().expect("cut off");
        let HostErrorKind::Protocol(text) = error.kind() else { panic!("{error}") };
        assert!(text.contains("before the command was accepted"), "{error}");
        assert!(matches!(error.stage(), Stage::Requesting | Stage::Running), "{error}");
    }
}
