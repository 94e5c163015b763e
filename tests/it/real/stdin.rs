//! Commands without input, and commands whose input is given in advance.

use std::io::{ErrorKind, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use sshoal::config::Input;
use sshoal::error::ChannelProblem;
use sshoal::fleet::CommandState;
use sshoal::{Command, Fleet, HostError, HostErrorKind, JoinOptions, ParallelClient, Run};

use super::{SLOW, build, client_for, guard, join, stdout, with_key};
use crate::support::dropbear::Dropbear;
use crate::support::fleet::Driven;
use crate::support::keys::ClientKey;
use crate::support::sshd::Sshd;

const HOSTS: [&str; 3] = ["127.0.2.1", "127.0.2.2", "127.0.2.3"];

/// Runs it to its end on all hosts, which must agree; returns the lines that it prints.
#[track_caller]
fn run(client: &mut ParallelClient, command: Command) -> Vec<String> {
    let outputs = client.run_command(command).expect("it starts");
    // Nothing closes the input here.
    client.join(&outputs, JoinOptions::default().timeout(SLOW)).expect("it ends by itself");
    let lines = stdout(&outputs[0]);
    for output in &outputs {
        assert!(output.outcome().is_some_and(|outcome| outcome.is_success()), "{:?}", output.outcome());
        assert!(output.position() == 0 || stdout(output) == lines, "{}", output.host());
    }
    lines
}

/// What `cksum` prints for these bytes.
fn cksum(bytes: &[u8]) -> String {
    let mut cksum = std::process::Command::new("cksum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cksum");
    cksum.stdin.take().expect("piped").write_all(bytes).expect("cksum reads");
    let output = cksum.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// What any server does.
fn assert_input_ends_and_arrives(client: &mut ParallelClient) {
    for input in [Input::Empty, "".into()] {
        assert_eq!(run(client, Command::new("cat; echo ended").stdin(input)), ["ended"]);
    }
    assert_eq!(run(client, Command::new("cat").stdin("given\nin advance")), ["given", "in advance"]);
    let bytes: Arc<[u8]> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(run(client, Command::new("cksum").stdin(bytes.clone())), [cksum(&bytes)]);
    assert_eq!(run(client, Command::new("wc -c | tr -d ' '").stdin(bytes.clone())), ["1048576"]);
    // A command that reads only a part, or nothing.
    assert_eq!(run(client, Command::new("head -c 10 | wc -c | tr -d ' '").stdin(bytes.clone())), ["10"]);
    assert_eq!(run(client, Command::new("echo unread").stdin(bytes)), ["unread"]);
    assert_eq!(run(client, Command::new("echo later").stdin(Input::Empty)), ["later"]);
}

/// On a terminal, only the byte 4 (^D) ends the input.
fn assert_terminals_have_no_end(client: &mut ParallelClient) {
    let cat = || Command::new("cat; echo ended").use_pty(true);
    let outputs = client.run_command(cat().stdin(Input::Empty)).expect("it starts");
    let soon = JoinOptions::default().timeout(Duration::from_millis(500));
    client.join(&outputs, soon).expect_err("cat waits for its terminal");
    outputs[0].cancel().expect("it is driven");
    join(client, &outputs);
    let lines = run(client, cat().stdin("typed\n\u{4}"));
    assert_eq!(
        (lines.iter().filter(|line| *line == "typed").count(), lines.last().map(String::as_str)),
        (2, Some("ended"))
    );
    // What does not read its terminal needs no end.
    assert_eq!(
        run(client, Command::new("sleep 0.2; echo ended").use_pty(true).stdin(Input::Empty)),
        ["ended"]
    );
}

#[test]
fn input_ends_and_arrives() {
    let _dog = guard("given_input");
    let sshd = Sshd::start();
    assert_input_ends_and_arrives(&mut build(client_for(&sshd, HOSTS)));
    assert_input_ends_and_arrives(&mut build(client_for(&sshd, ["127.0.2.1"]).spare_channel(true)));
}

#[test]
fn a_terminal_does_not_show_the_end_of_the_input() {
    let _dog = guard("input_of_terminals");
    let sshd = Sshd::start();
    assert_terminals_have_no_end(&mut build(client_for(&sshd, ["127.0.2.1"])));
}

#[test]
fn dropbear_does_as_openssh_does() {
    let _dog = guard("dropbear_input");
    let Some(server) = Dropbear::start() else { return };
    let builder = ParallelClient::builder([server.address().to_string()]).user(server.user().name());
    let builder = builder.identity_auth(false).allow_agent(false).known_hosts([server.known_hosts()]);
    let builder = builder.num_retries(1).timeout(SLOW).key_file(server.key(ClientKey::Ed25519));
    let mut client = build(builder);
    assert_input_ends_and_arrives(&mut client);
    assert_terminals_have_no_end(&mut client);
    assert_eq!(server.log().matches("Child connection from").count(), 1, "{}", server.log());
}

/// All hosts read from the same memory, which is freed as they have read it.
#[test]
fn given_input_is_not_copied() {
    let _dog = guard("shared_input");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOSTS));
    let bytes: Arc<[u8]> = vec![b'x'; 8 << 20].into();
    let outputs = client.start_command(Command::new("wc -c").stdin(bytes.clone())).expect("it starts");
    assert_eq!(Arc::strong_count(&bytes), 1 + 1 + HOSTS.len(), "the run and its commands have it");
    join(&client, &outputs);
    assert_eq!(Arc::strong_count(&bytes), 1 + 1, "the run has it");
    assert!(outputs.iter().all(|output| stdout(output) == ["8388608"]));
}

#[test]
fn writing_to_an_input_that_is_not_open_says_what_to_set() {
    let _dog = guard("input_not_open");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    for input in [Input::Empty, "given".into()] {
        let outputs =
            client.run_command(Command::new("cat > /dev/null; sleep 9").stdin(input)).expect("it starts");
        let error = outputs[0].stdin().write(b"more").expect_err("it is not open");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let problem =
            error.get_ref().and_then(|error| error.downcast_ref::<HostError>()).map(HostError::kind);
        let Some(HostErrorKind::Channel(ChannelProblem::InputNotOpen)) = problem else { panic!("{error}") };
        assert!(error.to_string().contains("Command::stdin(Input::Open)"), "{error}");
        outputs[0].stdin().flush().expect("what was given is sent");
        outputs[0].stdin().close();
        outputs[0].cancel().expect("it is driven");
        join(&client, &outputs);
    }
}

/// The default of a fleet, with a command that reads until its input ends.
#[test]
fn a_fleets_commands_have_no_input_unless_it_is_asked_for() {
    let _dog = guard("fleet_input");
    let sshd = Sshd::start();
    let hosts = HOSTS.map(str::to_owned);
    let builder = Fleet::builder(hosts.clone()).port(sshd.port()).user(sshd.user());
    let builder = with_key(builder, &sshd).known_hosts([sshd.known_hosts(&hosts)]);
    let mut driven = Driven::new(builder.build().expect("a fleet"));
    let commands = driven.fleet.start("cat; echo ended; exec sleep 60").expect("valid").commands;
    driven.until(SLOW, "the end of the input", |driven| {
        commands.iter().all(|id| driven.output.get(id).is_some_and(|text| text == b"ended\n"))
    });
    for id in &commands {
        assert_eq!(driven.fleet.command(*id).map(|command| command.state()), Some(CommandState::Running));
        let error = driven.fleet.write_stdin(*id, b"more").expect_err("it is not open");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(matches!(error.downcast(), Ok(ChannelProblem::InputNotOpen)));
        driven.fleet.close_stdin(*id);
    }
    driven.fleet.cancel_all();
    driven.until(SLOW, "the end", |driven| driven.ends.len() == commands.len());
    assert!(commands.iter().all(|id| driven.cancelled(*id).is_some()), "{:?}", driven.ends);

    // The same, with an input that stays open.
    let mut driven = Driven {
        ends: Default::default(),
        output: Default::default(),
        started: Default::default(),
        ..driven
    };
    let command = Command::new("cat; echo ended").stdin(Input::Open);
    let commands = driven.fleet.start(Run::new(command)).expect("valid").commands;
    driven.until(SLOW, "a start", |driven| driven.started.len() == commands.len());
    driven.go_on_for(Duration::from_millis(300));
    assert!(driven.ends.is_empty() && driven.output.is_empty());
    for id in &commands {
        assert_eq!(driven.fleet.write_stdin(*id, b"more\n").expect("it is open"), 5);
        driven.fleet.close_stdin(*id);
    }
    driven.until(SLOW, "the end", |driven| driven.ends.len() == commands.len());
    assert!(commands.iter().all(|id| driven.output[id] == b"more\nended\n"), "{:?}", driven.output);
}
