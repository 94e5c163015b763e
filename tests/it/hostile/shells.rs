//! Shells and subsystems of servers that do not comply.

use std::time::{Duration, Instant};

use sshoal::client::{InteractiveShell, ShellError};
use sshoal::config::Pty;
use sshoal::error::{ChannelProblem, TimeoutKind};
use sshoal::{
    Command, HostError, HostErrorKind, HostOutput, JoinOptions, ParallelClient, ReadOptions, Stage,
};

use super::{HEALTHY, Hostile, SLOW, address, all, guard, join, stdout};

/// All hosts, whatever becomes of each.
fn any() -> ReadOptions {
    ReadOptions::default().stop_on_errors(false)
}

#[track_caller]
fn join_shells(client: &ParallelClient, shells: &[InteractiveShell]) {
    client.join_shells(shells, JoinOptions::default().timeout(SLOW)).expect("all shells end");
}

#[track_caller]
fn failures(result: Result<(), ShellError>) -> Vec<(HostOutput, HostError)> {
    match result {
        Err(ShellError::Failed(failures)) => failures.errors().to_vec(),
        other => panic!("{other:?}"),
    }
}

/// RFC 4254 section 6.5: `shell` has no payload, and `subsystem` has the name.
#[test]
fn programs_are_requested_by_the_protocol_after_what_they_need() {
    let _dog = guard("shell_requests");
    let server = Hostile::start(&[]);
    let mut client = server.client(all(&[])).build().expect("a client");
    let command = Command::login_shell().pty(Pty::default().term("x").size(1, 2)).env("A", "b");
    let shells = client.open_shell_with(command, ReadOptions::default()).expect("a shell");
    client.run_shell_commands(&shells, ["requests"]).expect("it reads");
    join_shells(&client, &shells);
    let terminal = "pty-req 0000000178000000010000000200000000000000000000000100";
    assert_eq!(stdout(&shells[0]), [terminal, "env 00000001410000000162", "shell "]);
    assert_eq!(shells[0].exit_code(), Some(0), "it was closed by `exit`");

    let outputs = client.run_command(Command::subsystem("echo").stdin("one\ntwo\n")).expect("it starts");
    join(&client, &outputs);
    assert_eq!(stdout(&outputs[0]), ["one", "two"]);
}

#[test]
fn a_device_that_runs_no_commands_has_a_shell() {
    let _dog = guard("exec_refused");
    let server = Hostile::start(&["exec-refused"]);
    let mut client = server.client([address(0)]).build().expect("a client");
    let outputs = client.run_command_with("greet", any()).expect("a command");
    let error = outputs[0].error().expect("it has only a shell");
    assert!(matches!(error.kind(), HostErrorKind::Channel(ChannelProblem::ExecRefused(_))), "{error}");
    let shells = client.open_shell().expect("a shell");
    client.run_shell_commands(&shells, ["show version", "exit 3"]).expect("it reads");
    join_shells(&client, &shells);
    assert_eq!((stdout(&shells[0]), shells[0].exit_code()), (vec!["show version".to_owned()], Some(3)));
}

#[test]
fn what_is_refused_is_named_with_advice() {
    let _dog = guard("programs_refused");
    let server = Hostile::start(&["programs-refused"]);
    let mut client = server.client(all(&["programs-refused"])).build().expect("a client");
    let shells = client.open_shell_with(Command::login_shell(), any()).expect("outputs");
    let error = shells[0].error().expect("it refuses");
    assert_eq!(error.stage(), Stage::Requesting);
    assert_eq!(
        error.kind().to_string(),
        "the server refused a shell: Channel request shell failed; some devices want a terminal for one: set \
         use_pty"
    );
    // The host that has failed keeps no other from its commands.
    let failed = failures(client.run_shell_commands(&shells, ["hello", "exit 4"]));
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].0.host(), failed[0].1.to_string()), (&*address(0), error.to_string()));
    join_shells(&client, &shells);
    assert_eq!((stdout(&shells[1]), shells[1].exit_code()), (vec!["hello".to_owned()], Some(4)));

    for (position, name) in [(0, "echo"), (1, "net\x1bconf")] {
        let outputs = client.run_command_with(Command::subsystem(name), any()).expect("outputs");
        client.cancel(&outputs).expect("the poll works");
        let error = outputs[position].error().expect("it refuses");
        let HostErrorKind::Channel(ChannelProblem::SubsystemRefused { name: refused, .. }) = error.kind()
        else {
            panic!("{error}");
        };
        assert_eq!(refused, name);
        let text = error.kind().to_string();
        let name = sshoal::output::sanitise(name);
        let start =
            format!("the server refused the subsystem \"{name}\": Channel request subsystem failed; check");
        assert!(text.starts_with(&start), "{text}");
    }
}

#[test]
fn a_request_without_an_answer_ends_at_the_time_limit() {
    let _dog = guard("programs_unanswered");
    let server = Hostile::start(&["programs-unanswered"]);
    let limit = Duration::from_secs(1);
    let mut client = server.client(all(&["programs-unanswered"])).timeout(limit).build().expect("a client");
    client.connect().expect("the poll works");
    for command in [Command::login_shell(), Command::subsystem("echo")] {
        let begun = Instant::now();
        let shells = client.open_shell_with(command, any()).expect("outputs");
        let error = shells[0].error().expect("no answer");
        let HostErrorKind::Timeout { kind: TimeoutKind::Exec, after, .. } = error.kind() else {
            panic!("{error}")
        };
        assert_eq!((error.stage(), *after), (Stage::Requesting, limit));
        assert!(begun.elapsed() >= limit);
        join_shells(&client, &shells);
        assert_eq!(shells[1].exit_code(), Some(0));
    }
}

/// The acceptance, a prompt and the end of the connection arrive in one read.
#[test]
fn a_shell_that_is_lost_when_it_is_accepted_has_started() {
    let _dog = guard("accepted_and_lost");
    let server = Hostile::start(&["shell-accepted-and-lost"]);
    let mut client = server.client([address(0)]).build().expect("a client");
    let shells = client.open_shell_with(Command::login_shell(), any()).expect("outputs");
    let error = shells[0].error().expect("it is lost");
    assert_eq!(error.stage(), Stage::Running, "{error}");
    assert_eq!(stdout(&shells[0]), ["switch>"]);
}

/// Its window is full after 2 MiB, and its queue after one more. The others have long been served.
#[test]
fn a_shell_that_does_not_read_holds_up_no_other_and_is_an_error_in_time() {
    let _dog = guard("shell_unread");
    let kinds = ["shell-unread", "shell-unread", "shell-unread"];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).build().expect("a client");
    let limit = Duration::from_secs(2);
    let shells = client.open_shell_with(Command::login_shell(), any().read_timeout(limit)).expect("shells");
    let commands: Vec<String> = (0..500).map(|number| format!("{number:010000}")).collect();
    let begun = Instant::now();
    let failed = failures(client.run_shell_commands(&shells, &commands));
    let took = begun.elapsed();
    assert!(took >= limit && took < 3 * limit, "{took:?}: one limit for all that do not read");
    assert_eq!(failed.iter().map(|(output, _)| output.position()).collect::<Vec<_>>(), [0, 1, 2]);
    for (_, error) in &failed {
        let HostErrorKind::Timeout { kind: TimeoutKind::Read, after, .. } = error.kind() else {
            panic!("{error}")
        };
        assert_eq!(*after, limit);
    }
    let Err(error) = client.run_shell_commands(&shells[..1], &commands) else {
        panic!("it still reads nothing")
    };
    let text = error.to_string();
    assert!(
        text.starts_with("1 of 1 shells did not take all commands: ") && text.contains("127.0.1.1"),
        "{text}"
    );

    client
        .cancel(&shells[..3].iter().map(|shell| shell.output().clone()).collect::<Vec<_>>())
        .expect("cancelled");
    join_shells(&client, &shells);
    assert_eq!(shells[3].host(), HEALTHY);
    assert!(stdout(&shells[3]) == commands, "complete and in order, although nothing was read meanwhile");
}

#[test]
fn a_host_that_dies_in_between_ends_the_wait() {
    let _dog = guard("shell_lost");
    let server = Hostile::start(&["shell-lost"]);
    let mut client = server.client(all(&["shell-lost"])).build().expect("a client");
    let shells = client.open_shell().expect("shells");
    // Whether the loss is found while sending depends on the order in which things happen.
    let _ = client.run_shell_commands(&shells, ["one"]);
    join_shells(&client, &shells);
    let error = shells[0].error().expect("it has died");
    assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{error}");
    assert_eq!((stdout(&shells[1]), shells[1].exit_code()), (vec!["one".to_owned()], Some(0)));
}
