//! Keepalives with a real server: answered ones, and a stopped session.

use std::time::{Duration, Instant};

use sshoal::{Command, HostConfig, HostError, HostErrorKind, JoinOptions, Stage};

use super::{build, client_for, guard, join, run_one, stdout};
use crate::support::process::continue_sessions;
use crate::support::sshd::Sshd;

const HOST: &str = "127.0.2.1";
const INTERVAL: Duration = Duration::from_millis(250);
const MISSED: u32 = 3;
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(5);

#[track_caller]
fn assert_dead(error: &HostError) {
    let HostErrorKind::PeerDead { after, unanswered: MISSED, .. } = error.kind() else { panic!("{error}") };
    let least = (MISSED + 1) * INTERVAL;
    assert!(*after >= least && *after < least + SLACK, "{error}");
}

/// parallel-ssh: `keepalive_seconds`, which requests no reply there.
#[test]
fn a_server_that_is_stopped_while_a_command_runs_is_dead() {
    let _dog = guard("keepalive_running");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, [HOST]).keepalive(INTERVAL).num_retries(3));
    let outputs = client.run_command("echo begun; exec sleep 600").expect("starts");
    assert_eq!(outputs[0].stdout().next().expect("a line").expect("no error"), "begun");
    let stopped = sshd.daemon().stop_sessions();
    let begun = Instant::now();
    client.join(&outputs, JoinOptions::default().timeout(4 * SLACK)).expect("it ends");
    assert!(begun.elapsed() < (MISSED + 1) * INTERVAL + SLACK, "{:?}", begun.elapsed());
    let error = outputs[0].error().expect("dead");
    assert_dead(&error);
    assert_eq!((error.stage(), error.host(), error.attempt()), (Stage::Running, HOST, 1));
    assert_eq!(client.metrics().connections, 0);
    assert_eq!(run_one(&mut client, "echo again"), ["again"], "the next command has a new connection");
    assert_eq!(sshd.count("Connection from"), 2);
    continue_sessions(&stopped);
}

#[test]
fn an_idle_connection_to_a_stopped_server_is_closed_and_the_next_command_runs_once() {
    let _dog = guard("keepalive_idle");
    let sshd = Sshd::start();
    let file = sshd.dir().join("runs");
    let mut client = build(client_for(&sshd, [HOST]).keepalive(INTERVAL));
    assert_eq!(run_one(&mut client, "echo first"), ["first"]);
    let stopped = sshd.daemon().stop_sessions();
    let begun = Instant::now();
    while client.metrics().connections > 0 {
        assert!(begun.elapsed() < (MISSED + 1) * INTERVAL + SLACK, "{:?}", client.metrics());
        std::thread::sleep(Duration::from_millis(5));
        client.finished(&[]).expect("polls");
    }
    assert_eq!(client.metrics().timers, 0);
    run_one(&mut client, &format!("echo run >> {}", file.display()));
    continue_sessions(&stopped);
    assert_eq!(std::fs::read_to_string(file).expect("it ran"), "run\n");
    assert_eq!(sshd.count("Connection from"), 2);
}

/// A silent command is not a dead one: the server answers every keepalive.
#[test]
fn a_server_that_lives_answers_every_keepalive() {
    let _dog = guard("keepalive_answered");
    let sshd = Sshd::builder().log_level("DEBUG1").start();
    let interval = Duration::from_millis(150);
    let mut client = build(client_for(&sshd, [HOST, HOST]).keepalive(interval).host_config([
        HostConfig::default().keepalive_max_missed(20),
        HostConfig::default().keepalive(None),
    ]));
    let begun = Instant::now();
    let outputs = client.run_command("sleep 2; echo done").expect("starts");
    join(&client, &outputs);
    let intervals = begun.elapsed().as_millis() / interval.as_millis();
    assert!(outputs.iter().all(|output| stdout(output) == ["done"]));
    let log = sshd.log();
    let asked = |line: &&str| line.contains("keepalive@openssh.com want_reply 1");
    let count = log.lines().filter(asked).count() as u128;
    assert!(count >= 5 && count <= intervals, "{count} in {intervals} intervals, from one of two hosts");
    assert_eq!(sshd.count("Connection from"), 2);
}

#[test]
fn without_keepalive_a_stopped_server_is_waited_for() {
    let _dog = guard("keepalive_off");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, [HOST]));
    let outputs = client.run_command(Command::new("read -r word; echo $word")).expect("starts");
    let stopped = sshd.daemon().stop_sessions();
    let limit = JoinOptions::default().timeout(Duration::from_secs(1));
    assert!(client.join(&outputs, limit).is_err());
    assert_eq!(client.metrics().timers, 0, "nothing would ever notice");
    continue_sessions(&stopped);
    outputs[0].stdin().close();
    join(&client, &outputs);
    assert_eq!(outputs[0].exit_code(), Some(0));
}
