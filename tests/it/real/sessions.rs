//! Connections that are reused: by later commands, by several at once, and after they have died.

use std::fs;
use std::io::Write as _;

use sshoal::{Command, HostErrorKind, Outcome};

use super::{SLOW, build, client_for, guard, join, run_one, stdout};
use crate::support::eventually;
use crate::support::sshd::Sshd;

const HOST: &str = "127.0.2.1";
/// The client's port as the server sees it.
const PEER: &str = "set -- $SSH_CONNECTION; echo $2";

#[test]
fn one_connection_serves_many_commands() {
    let _dog = guard("many_commands");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, [HOST]));
    let first = run_one(&mut client, PEER);
    for round in 0..30 {
        assert_eq!(run_one(&mut client, &format!("echo {round}")), [round.to_string()]);
    }
    assert_eq!(run_one(&mut client, PEER), first);
    assert_eq!((sshd.count("Connection from"), sshd.count("Accepted publickey")), (1, 1));
    assert_eq!(client.metrics().connections, 1);
}

/// Each has its own channel, with its own input and output.
#[test]
fn one_connection_serves_several_commands_at_once() {
    const COMMANDS: usize = 12;
    let _dog = guard("several_commands");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, [HOST]));
    let mut running = Vec::new();
    for number in 0..COMMANDS {
        let text = format!("{PEER}; read -r word; echo {number} $word; exit {number}");
        running.extend(client.run_command(text).expect("starts"));
    }
    assert!(running.iter().all(|output| !output.is_finished()));
    for (number, output) in running.iter().enumerate().rev() {
        output.stdin().write_all(format!("word{number}\n").as_bytes()).expect("taken");
    }
    join(&client, &running);
    let port = running[0].stdout().next().expect("a line").expect("no error");
    for (number, output) in running.iter().enumerate() {
        let lines = stdout(output);
        let (echo, peer) = lines.split_last().expect("lines");
        assert_eq!(
            (echo.as_str(), output.exit_code()),
            (&*format!("{number} word{number}"), Some(number as u32))
        );
        assert!(peer.iter().all(|peer| *peer == port), "{peer:?}");
    }
    assert_eq!(sshd.count("Connection from"), 1);
}

/// With one attempt: reconnecting a dead connection does not count as one, because nothing was
/// tried on it.
#[test]
fn a_connection_that_died_idle_is_made_anew_and_the_command_runs_once() {
    const ROUNDS: usize = 6;
    let _dog = guard("died_idle");
    let sshd = Sshd::start();
    let runs = sshd.dir().join("runs");
    let mut client = build(client_for(&sshd, [HOST]).num_retries(1));
    for round in 0..ROUNDS {
        let command = format!("echo {round} >> {}; echo ran", runs.display());
        assert_eq!(run_one(&mut client, &command), ["ran"]);
        sshd.daemon().kill_sessions();
        if round % 2 == 1 {
            // The end is noticed now, not by the next command.
            eventually(SLOW, "the end of the connection", || {
                client.finished(&[]).expect("polls");
                (client.metrics().connections == 0).then_some(())
            });
        }
    }
    let expected: String = (0..ROUNDS).map(|round| format!("{round}\n")).collect();
    assert_eq!(fs::read_to_string(runs).expect("they ran"), expected);
    assert_eq!(sshd.count("Connection from"), ROUNDS);
}

/// The connection dies under a running command while another one is being added: the first has
/// failed and is not run again; the second one runs once.
#[test]
fn a_command_that_ran_on_a_dead_connection_is_not_run_again() {
    let _dog = guard("died_running");
    let sshd = Sshd::start();
    let runs = sshd.dir().join("runs");
    let mut client = build(client_for(&sshd, [HOST]).num_retries(1));
    let append = |word: &str| format!("echo {word} >> {}; echo begun; ", runs.display());
    let first = client.run_command(append("first") + "sleep 600").expect("starts");
    assert_eq!(first[0].stdout().next().expect("a line").expect("no error"), "begun");
    sshd.daemon().kill_sessions();
    let second = client.run_command(Command::new(append("second"))).expect("starts");
    join(&client, &second);
    join(&client, &first);
    assert!(matches!(second[0].outcome(), Some(Outcome::Exited(0))), "{:?}", second[0].outcome());
    let error = first[0].error().expect("cut off");
    assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{error}");
    assert_eq!(fs::read_to_string(runs).expect("they ran"), "first\nsecond\n");
    assert_eq!(sshd.count("Connection from"), 2);
}
