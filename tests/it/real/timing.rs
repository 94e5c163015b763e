//! Time limits, and which hosts wait for which. Lower bounds are exact; upper bounds leave room for
//! a busy machine.

use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use sshoal::client::JoinError;
use sshoal::error::TimeoutKind;
use sshoal::{Command, Error, HostErrorKind, JoinOptions, Stage};

use super::{build, client_at, client_for, guard, join, positions, stdout};
use crate::sim::counted::tape::{Recorder, encrypted_from};
use crate::support::keys::ClientKey;
use crate::support::peers::Scripted;
use crate::support::proxy::{Action, Direction, Proxy};
use crate::support::sshd::Sshd;

const SECOND: Duration = Duration::from_secs(1);
/// What scheduling on a busy machine may add.
const SLACK: Duration = Duration::from_millis(1500);

/// Runs `attempt` until it takes less than `limit`, up to three times: other work on the machine
/// adds time.
#[track_caller]
fn within(limit: Duration, what: &str, mut attempt: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < 3 {
        took.push(attempt());
        eprintln!("{what}: {took:?}");
        if took.last().is_some_and(|last| *last < limit) {
            return;
        }
    }
    panic!("{what}: {took:?}, never below {limit:?}");
}

/// A server that takes this long to decide on every key.
pub(super) fn slow_at_authentication(seconds: u32) -> Sshd {
    let key = ClientKey::Ed25519.pair().public();
    Sshd::builder()
        .option(&format!("AuthorizedKeysCommand /bin/sh -c \"sleep {seconds}; echo {key}\""))
        .option("AuthorizedKeysCommandUser root")
        .option("AuthorizedKeysFile none")
        .start()
}

/// Everything after the key exchange is delayed by one second.
#[test]
fn hosts_that_authenticate_slowly_wait_side_by_side() {
    let _dog = guard("slow_hosts");
    let sshd = Sshd::start();
    let recorder = Recorder::start(sshd.address());
    super::run_one(&mut build(client_at(&sshd, [recorder.address()])), "true");
    let key_exchange = encrypted_from(&recorder.finish().to_client) as u64;
    within(SECOND + SECOND / 2, "8 hosts that authenticate after 1 s", || {
        let slow =
            Proxy::builder(sshd.address()).fault(Direction::ToClient, key_exchange, Action::Hold).start();
        let mut client = build(client_at(&sshd, [slow.address(); 8]));
        let begun = Instant::now();
        let outputs = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(SECOND);
                slow.await_counts(|counts| (counts.accepted, counts.to_client) == (8, 8 * key_exchange));
                slow.trigger();
            });
            client.run_command("echo in").expect("all start")
        });
        let took = begun.elapsed();
        assert!(took >= SECOND, "{took:?}");
        join(&client, &outputs);
        assert!(outputs.iter().all(|output| stdout(output) == ["in"]));
        took
    });
}

#[test]
fn silent_hosts_do_not_hold_up_a_good_one_and_fail_in_time() {
    let _dog = guard("silent_hosts");
    let sshd = Sshd::start();
    let silent = [Scripted::silent(), Scripted::silent()];
    let addresses = [silent[0].address(), sshd.address(), silent[1].address()];
    within(Duration::from_millis(900), "output of the good host", || {
        let mut client = build(client_at(&sshd, addresses).timeout(SECOND));
        let begun = Instant::now();
        let outputs = client.start_command("echo in; exit 4").expect("valid");
        assert_eq!(outputs[1].stdout().next().expect("a line").expect("no error"), "in");
        let took = begun.elapsed();
        assert!(!outputs[0].is_finished() && !outputs[2].is_finished());
        join(&client, &outputs);
        let failed = begun.elapsed();
        assert!(failed >= SECOND && failed < SECOND + SLACK, "{failed:?}");
        assert_eq!(outputs[1].exit_code(), Some(4));
        for (output, address) in [(&outputs[0], addresses[0]), (&outputs[2], addresses[2])] {
            let error = output.error().expect("failed");
            assert_eq!((error.stage(), error.port()), (Stage::Handshaking, address.port()));
            let HostErrorKind::Timeout { kind: TimeoutKind::Handshake, after: SECOND, .. } = error.kind()
            else {
                panic!("{error}");
            };
            assert!(error.elapsed() >= SECOND && error.elapsed() < SECOND + SLACK, "{:?}", error.elapsed());
            let text = error.to_string();
            let expected =
                format!("127.0.0.1 port {}: SSH handshake failed: handshake timeout", address.port());
            assert!(text.starts_with(&expected), "{text}");
        }
        took
    });
}

#[test]
fn a_slow_authentication_is_cut_off() {
    let _dog = guard("slow_authentication");
    let sshd = slow_at_authentication(5);
    let mut client = build(client_for(&sshd, ["127.0.2.1"]).timeout(SECOND));
    let begun = Instant::now();
    let Err(Error::Host(error)) = client.run_command("true") else { panic!("it started") };
    assert!(begun.elapsed() >= SECOND && begun.elapsed() < SECOND + SLACK, "{:?}", begun.elapsed());
    assert_eq!(error.stage(), Stage::Authenticating);
    assert!(
        matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Auth, after: SECOND, .. }),
        "{error}"
    );
}

#[test]
fn every_attempt_has_its_time_and_the_pause_between_them() {
    let _dog = guard("attempts");
    let sshd = Sshd::start();
    let silent = Scripted::silent();
    let (limit, pause) = (Duration::from_millis(300), Duration::from_millis(200));
    let builder = client_at(&sshd, [silent.address()]).timeout(limit).num_retries(3).retry_delay(pause);
    let begun = Instant::now();
    let Err(Error::Host(error)) = build(builder).run_command("true") else { panic!("it started") };
    let took = begun.elapsed();
    assert!(took >= limit * 3 + pause * 2 && took < limit * 3 + pause * 2 + SLACK, "{took:?}");
    assert_eq!((error.attempt(), silent.accepted()), (3, 3));
    assert!(error.to_string().contains("attempt 3 of 3"), "{error}");
}

#[test]
fn a_read_timeout_keeps_the_partial_line() {
    let _dog = guard("read_timeout");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    let after = Duration::from_millis(300);
    let command = Command::new("echo whole; printf par; read -r word; echo tial $word");
    let mut outputs =
        client.run_command_with(command, sshoal::ReadOptions::default().read_timeout(after)).expect("starts");
    let mut lines = outputs[0].stdout();
    assert_eq!(lines.next().expect("a line").expect("no error"), "whole");
    for _ in 0..2 {
        let begun = Instant::now();
        let error = lines.next().expect("a result").expect_err("no line yet");
        assert!(begun.elapsed() >= after && begun.elapsed() < after + SLACK, "{:?}", begun.elapsed());
        assert_eq!((error.stage(), error.host()), (Stage::Running, "127.0.2.1"));
        let HostErrorKind::Timeout { kind: TimeoutKind::Read, after: told, .. } = error.kind() else {
            panic!("{error}");
        };
        assert_eq!(*told, after);
    }
    assert!(!outputs[0].is_finished());
    outputs[0].stdin().write_all(b"end\n").expect("queued");
    outputs[0].set_read_timeout(None);
    assert_eq!(stdout(&outputs[0]), ["partial end"]);
    assert_eq!(outputs[0].exit_code(), Some(0));
}

/// Each byte restarts the time: only silence counts.
#[test]
fn a_read_timeout_counts_silence() {
    let _dog = guard("read_timeout_silence");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    let command = "i=0; while [ $i -lt 8 ]; do printf $i; sleep 0.2; i=$((i+1)); done; echo";
    let command = Command::new(command);
    let outputs = client
        .run_command_with(command, sshoal::ReadOptions::default().read_timeout(SECOND))
        .expect("starts");
    let begun = Instant::now();
    assert_eq!(stdout(&outputs[0]), ["01234567"]);
    assert!(begun.elapsed() > SECOND, "{:?}", begun.elapsed());
}

#[test]
fn a_join_timeout_is_one_total_and_tells_who_is_where() {
    let _dog = guard("join_timeout");
    let sshd = Sshd::start();
    let silent = [Scripted::silent(), Scripted::silent(), Scripted::silent()];
    let good: SocketAddr = ([127, 0, 2, 1], sshd.port()).into();
    let fast: SocketAddr = ([127, 0, 2, 2], sshd.port()).into();
    let addresses = [good, fast, silent[0].address(), silent[1].address(), silent[2].address()];
    for pool in [1, 2, 5] {
        let mut client = build(client_at(&sshd, addresses).pool_size(pool));
        let command = "set -- $SSH_CONNECTION; [ $3 = 127.0.2.2 ] || { read -r word; echo $word; }";
        let outputs = client.start_command(command).expect("valid");
        let begun = Instant::now();
        let error = client.join(&outputs, JoinOptions::default().timeout(SECOND)).expect_err("not all end");
        let took = begun.elapsed();
        assert!(took >= SECOND && took < SECOND + SLACK, "pool {pool}: {took:?}");
        let JoinError::Timeout { after: SECOND, finished, unfinished, not_started, .. } = error else {
            panic!("{error}");
        };
        let lists = [finished, unfinished, not_started].map(|list| positions(&list));
        assert_eq!(lists, [vec![1], vec![0], vec![2, 3, 4]], "pool {pool}");
        assert!(!client.finished(&outputs).expect("poll"));
        // The timeout has not closed any input, and the command continues.
        outputs[0].stdin().write_all(b"later\n").expect("its input is open");
        join(&client, &outputs[..2]);
        assert_eq!((stdout(&outputs[0]), outputs[0].exit_code()), (vec!["later".to_owned()], Some(0)));
    }
}

/// Each command ends within the limit after the previous one, but the limit applies to all
/// together.
#[test]
fn a_join_timeout_does_not_begin_anew_with_each_host() {
    let _dog = guard("join_total");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2", "127.0.2.3"]));
    let command = "set -- $SSH_CONNECTION; case $3 in *.1) sleep 0.5;; *.2) sleep 1.4;; *) sleep 2.3;; esac";
    let outputs = client.run_command(command).expect("all start");
    let begun = Instant::now();
    let error = client.join(&outputs, JoinOptions::default().timeout(SECOND)).expect_err("not all end");
    assert!(begun.elapsed() >= SECOND, "{:?}", begun.elapsed());
    let JoinError::Timeout { finished, unfinished, .. } = error else { panic!("{error}") };
    assert_eq!([finished, unfinished].map(|list| positions(&list)), [vec![0], vec![1, 2]]);
    join(&client, &outputs);
}

#[test]
fn join_without_a_limit_ends_the_input_and_can_throw_output_away() {
    let _dog = guard("join_options");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2"]));
    let outputs = client.run_command("cat; echo end").expect("starts");
    outputs[0].stdin().write_all(b"input\n").expect("queued");
    client.join(&outputs, JoinOptions::default()).expect("cat ends with its input");
    assert_eq!(
        (stdout(&outputs[0]), stdout(&outputs[1])),
        (vec!["input".into(), "end".into()], vec!["end".to_owned()])
    );

    let outputs = client.run_command("echo gone; exit 6").expect("starts");
    client.join(&outputs, JoinOptions::default().consume_output(true)).expect("both end");
    for output in &outputs {
        assert_eq!((stdout(output).len(), output.exit_code()), (0, Some(6)));
    }
}
