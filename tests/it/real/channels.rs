//! Channels that a server refuses, connections made in advance, and joins that reach their limit.

use std::io::Write as _;
use std::time::{Duration, Instant};

use sshoal::client::JoinError;
use sshoal::error::{ChannelProblem, TimeoutKind};
use sshoal::{Command, Error, HostErrorKind, HostOutput, JoinOptions, Stage};

use super::{SLOW, build, client_for, guard, join, positions, run_one, stdout};
use crate::support::eventually;
use crate::support::process::continue_sessions;
use crate::support::sshd::Sshd;

const HOST: [&str; 1] = ["127.0.2.1"];

#[test]
fn a_channel_beyond_max_sessions_is_refused_by_name() {
    let _dog = guard("max_sessions");
    let sshd = Sshd::builder().option("MaxSessions 2").start();
    let mut client = build(client_for(&sshd, HOST));
    let two: Vec<HostOutput> =
        (0..2).map(|_| client.run_command("cat").expect("it starts").remove(0)).collect();
    let Err(Error::Host(error)) = client.run_command("true") else { panic!("a third one was started") };
    let HostErrorKind::Channel(ChannelProblem::OpenRefused(reason)) = error.kind() else { panic!("{error}") };
    assert!(reason.contains("open failed"), "{error}");
    assert_eq!(error.stage(), Stage::Opening);
    let text = error.to_string();
    assert!(text.contains("MaxSessions") && text.contains("wait_for_channel"), "{text}");
    join(&client, &two);
    assert!(two.iter().all(|output| output.exit_code() == Some(0)));
    assert_eq!(run_one(&mut client, "echo room again"), ["room again"]);
    assert_eq!(sshd.count("Connection from"), 1);
}

#[test]
fn commands_that_wait_for_a_channel_all_run_on_one_connection() {
    let _dog = guard("wait_for_channel");
    let sshd = Sshd::builder().option("MaxSessions 2").start();
    let mut client = build(client_for(&sshd, HOST));
    let mut outputs = Vec::new();
    for number in 0..5 {
        let command = Command::new(format!("echo {number}; sleep 0.3")).wait_for_channel(true);
        outputs.extend(client.start_command(command).expect("a command"));
    }
    join(&client, &outputs);
    for (number, output) in outputs.iter().enumerate() {
        assert_eq!(output.exit_code(), Some(0), "{:?}", output.outcome());
        assert_eq!(stdout(output), [number.to_string()]);
    }
    assert_eq!(sshd.count("Connection from"), 1);
    // Two at a time: the third must have been refused at least once.
    assert!(sshd.count("no more sessions") >= 1, "{}", sshd.log());
}

#[test]
fn waiting_for_a_channel_has_a_limit_and_nothing_to_wait_for_is_an_error_at_once() {
    let _dog = guard("wait_for_channel_limit");
    let sshd = Sshd::builder().option("MaxSessions 1").start();
    let mut client = build(client_for(&sshd, HOST).timeout(Duration::from_secs(3)));
    let first = client.run_command("cat").expect("it starts");
    let begun = Instant::now();
    let waiting = Command::new("true").wait_for_channel(true);
    let Err(Error::Host(error)) = client.run_command(&waiting) else { panic!("there was no channel for it") };
    let HostErrorKind::Timeout { kind: TimeoutKind::Exec, .. } = error.kind() else { panic!("{error}") };
    assert!(begun.elapsed() >= Duration::from_secs(3) && begun.elapsed() < SLOW);
    join(&client, &first);

    let sshd = Sshd::builder().option("MaxSessions 0").start();
    let mut client = build(client_for(&sshd, HOST));
    let begun = Instant::now();
    let Err(Error::Host(error)) = client.run_command(&waiting) else { panic!("there was no channel for it") };
    assert!(matches!(error.kind(), HostErrorKind::Channel(ChannelProblem::OpenRefused(_))), "{error}");
    assert!(begun.elapsed() < SLOW / 2, "{:?}", begun.elapsed());
}

/// The server opens a channel for each request, and counts it until it is closed.
#[test]
fn commands_that_ended_before_the_server_answered_take_none_of_its_places() {
    let _dog = guard("unanswered_channels");
    let sshd = Sshd::builder().option("MaxSessions 2").start();
    let mut client = build(client_for(&sshd, HOST).timeout(Duration::from_secs(2)));
    assert_eq!(run_one(&mut client, "echo connected"), ["connected"]);
    let stopped = sshd.daemon().stop_sessions();
    for _ in 0..2 {
        let Err(Error::Host(error)) = client.run_command("true") else {
            panic!("it ran on a stopped server")
        };
        let HostErrorKind::Timeout { kind: TimeoutKind::Exec, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(error.stage(), Stage::Opening);
        let cancelled = client.start_command("true").expect("it starts");
        client.join(&cancelled, JoinOptions::default().timeout(Duration::from_millis(200))).unwrap_err();
        let begun = Instant::now();
        cancelled[0].cancel().unwrap();
        join(&client, &cancelled);
        assert!(begun.elapsed() < Duration::from_secs(1), "it has waited for the server");
    }
    continue_sessions(&stopped);
    let text = "echo begun; cat";
    let two = eventually(SLOW, "two places", || {
        let first = client.run_command(text).ok()?.remove(0);
        let second = client.run_command(text).map(|mut outputs| outputs.remove(0)).ok();
        if second.is_none() {
            join(&client, std::slice::from_ref(&first));
        }
        Some([first, second?])
    });
    join(&client, &two);
    assert!(two.iter().all(|output| stdout(output) == ["begun"]), "{two:?}");
    assert_eq!(sshd.count("Connection from"), 1);
}

#[test]
fn connect_logs_in_everywhere_and_commands_use_the_connections() {
    let _dog = guard("connect");
    let sshd =
        Sshd::builder().matching("LocalAddress 127.0.2.2", &["AuthenticationMethods password"]).start();
    let hosts = ["127.0.2.1", "127.0.2.2", "127.0.2.3"];
    let mut client = build(client_for(&sshd, hosts).pool_size(1));
    let results = client.connect().expect("a poll");
    assert_eq!(results.len(), 3);
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let error = results[1].as_ref().expect_err("no password");
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");
    assert_eq!((client.metrics().connections, error.host()), (2, "127.0.2.2"));
    assert!(client.last_output().is_empty(), "nothing was run");
    let connections = sshd.count("Accepted publickey");
    let outputs = client
        .run_command_with(Command::new("echo hi"), sshoal::ReadOptions::default().stop_on_errors(false))
        .expect("a command");
    join(&client, &outputs);
    assert_eq!((stdout(&outputs[0]), stdout(&outputs[2])), (vec!["hi".to_owned()], vec!["hi".to_owned()]));
    assert_eq!((connections, sshd.count("Accepted publickey")), (2, 2));
    // A second call retries the failed host; the others are connected already.
    let results = client.connect().expect("a poll");
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(sshd.count("Accepted publickey"), 2);
}

#[test]
fn a_join_that_times_out_leaves_input_open_and_lists_who_is_where() {
    let _dog = guard("join_timeout");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(4).collect();
    // One place in the pool: the total does not depend on it.
    let mut client = build(client_for(&sshd, &hosts).pool_size(1));
    let text = "set -- $SSH_CONNECTION; [ $3 = 127.0.2.1 ] || cat";
    let outputs = client.run_command(text).expect("all start");
    let limit = Duration::from_millis(700);
    let begun = Instant::now();
    let result = client.join(&outputs, JoinOptions::default().timeout(limit));
    let took = begun.elapsed();
    let Err(JoinError::Timeout { after, finished, unfinished, not_started, .. }) = result else {
        panic!("{result:?}")
    };
    assert!(took >= limit && took < limit * 3, "{took:?}");
    assert_eq!(
        (after, positions(&finished), positions(&unfinished), not_started.len()),
        (limit, vec![0], vec![1, 2, 3], 0)
    );
    for output in &outputs[1..] {
        output.stdin().write_all(b"still open\n").expect("queued");
        output.stdin().close();
    }
    assert!(!client.finished(&outputs).expect("a poll"));
    join(&client, &outputs);
    assert!(client.finished(&outputs).expect("a poll"));
    assert!(outputs[1..].iter().all(|output| stdout(output) == ["still open"]));
    assert!(outputs.iter().all(|output| output.exit_code() == Some(0)));
}
