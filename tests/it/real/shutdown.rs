//! Connections that end while output is on its way: everything that arrived is delivered, and
//! nothing is made up.

use std::thread;
use std::time::Duration;

use sshoal::{HostErrorKind, HostOutput, Outcome, Stage};

use super::{build, client_at, client_for, guard, join, stdout};
use crate::sim::counted::tape::{Recorder, encrypted_from};
use crate::support::proxy::{Action, Direction, Proxy};
use crate::support::sshd::Sshd;

#[track_caller]
fn assert_lost(output: &HostOutput) {
    let error = output.error().expect("failed");
    assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{error}");
    assert_eq!(error.stage(), Stage::Running);
}

/// Waits until the proxy has forwarded at least this many bytes to the client, and then no more.
fn settle(proxy: &Proxy, at_least: u64) {
    let mut before = proxy.await_counts(|counts| counts.to_client >= at_least).to_client;
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = proxy.counts().to_client;
        if now == before {
            return;
        }
        before = now;
    }
}

/// libssh drops its buffers once it sees the end: here both data and FIN are present when it reads.
#[test]
fn output_right_before_the_end_arrives_whole() {
    let _dog = guard("output_before_fin");
    let sshd = Sshd::start();
    for action in [Action::Fin, Action::HalfClose] {
        // All of it fits into the buffer of a socket that nobody reads.
        for size in [1_u64, 7, 100, 1_000, 4_000, 4_096, 4_200, 10_000, 20_000, 40_000] {
            let proxy = Proxy::builder(sshd.address()).start();
            let mut client = build(client_at(&sshd, [proxy.address()]));
            let command = format!("read -r go; head -c {size} /dev/zero | tr '\\0' z; sleep 60");
            let outputs = client.run_command(command).expect("starts");
            let before = proxy.counts().to_client;
            std::io::Write::write_all(&mut outputs[0].stdin(), b"go\n").expect("queued");
            std::io::Write::flush(&mut outputs[0].stdin()).expect("sent");
            // Nobody drives the client meanwhile.
            settle(&proxy, before + size);
            proxy.inject(Direction::ToClient, action.clone());
            let mut lines = outputs[0].stdout();
            let line = lines.next().expect("the output").expect("comes before the error");
            assert_eq!(line.len() as u64, size, "{action:?}");
            assert!(line.bytes().all(|byte| byte == b'z'));
            let error = lines.next().expect("a result").expect_err("the connection is lost");
            assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{error}");
            assert!(lines.next().is_none(), "the error is returned once");
            assert_lost(&outputs[0]);
        }
    }
}

#[test]
fn an_exit_status_right_before_the_end_counts() {
    let _dog = guard("status_before_fin");
    let sshd = Sshd::start();
    for size in [0_u64, 10, 5_000, 40_000] {
        let proxy = Proxy::builder(sshd.address()).start();
        let mut client = build(client_at(&sshd, [proxy.address()]));
        let command = format!("read -r go; head -c {size} /dev/zero | tr '\\0' z; exit 9");
        let outputs = client.run_command(command).expect("starts");
        let before = proxy.counts().to_client;
        std::io::Write::write_all(&mut outputs[0].stdin(), b"go\n").expect("queued");
        std::io::Write::flush(&mut outputs[0].stdin()).expect("sent");
        settle(&proxy, before + size + 1);
        proxy.inject(Direction::ToClient, Action::Fin);
        join(&client, &outputs);
        assert_eq!(outputs[0].exit_code(), Some(9), "{:?}", outputs[0].outcome());
        assert_eq!(stdout(&outputs[0]).concat().len() as u64, size);
    }
}

/// The end at any byte: in the handshake, in authentication, inside a packet, between two.
#[test]
fn an_end_at_any_byte_is_a_lost_connection() {
    let _dog = guard("end_at_any_byte");
    let sshd = Sshd::start();
    let command = "seq -w 1 50000";
    let recorder = Recorder::start(sshd.address());
    let mut client = build(client_at(&sshd, [recorder.address()]));
    let outputs = client.run_command(command).expect("starts");
    join(&client, &outputs);
    drop((client, outputs));
    let tape = recorder.finish().to_client;
    let first = encrypted_from(&tape);
    // Packets differ from run to run, so the end of the recorded stream may be after that of
    // another.
    let end = tape.len() / 10 * 9;
    // Byte by byte around the first encrypted packets, the rest in strides.
    let offsets: Vec<usize> = (0..end).step_by(end / 37).chain((first - 3)..first + 40).collect();
    for action in [Action::Fin, Action::Rst] {
        let fault = |at: &usize| {
            Proxy::builder(sshd.address()).fault(Direction::ToClient, *at as u64, action.clone()).start()
        };
        let proxies: Vec<Proxy> = offsets.iter().map(fault).collect();
        let mut client = build(client_at(&sshd, proxies.iter().map(Proxy::address)));
        let outputs = client.start_command(command).expect("valid");
        join(&client, &outputs);
        for (at, output) in offsets.iter().copied().zip(&outputs) {
            let lines = stdout(output);
            let error = output.error().unwrap_or_else(|| panic!("{at}: {:?}", output.outcome()));
            // A reset may arrive before the connect was checked.
            let lost = matches!(error.kind(), HostErrorKind::ConnectionLost(_))
                || at == 0 && matches!(error.kind(), HostErrorKind::Connect { .. });
            assert!(lost, "{action:?} at {at}: {error}");
            for (number, line) in (1..).zip(&lines) {
                let is_last = number == lines.len();
                let expected = format!("{number:05}");
                assert!(*line == expected || is_last && expected.starts_with(line), "{at}: {line}");
            }
            // All but the bytes before the output, 1 in 50 for headers, and one incomplete packet.
            let arrived = 6 * lines.len() + 6;
            let due = (at.saturating_sub(first + 2_000) * 49 / 50).saturating_sub(MAX_PACKET);
            assert!(action == Action::Rst || arrived >= due, "{at}: {arrived} bytes arrived, {due} due");
        }
    }
}

/// The largest packet that libssh lets a server send (its `CHANNEL_INITIAL_PACKET_SIZE`).
const MAX_PACKET: usize = 32 * 1024;

#[test]
fn sessions_that_are_killed_fail_and_come_back_with_the_next_command() {
    let _dog = guard("killed_sessions");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(5).collect();
    let mut client = build(client_for(&sshd, &hosts));
    let outputs = client.run_command("echo before; sleep 60").expect("all start");
    for output in &outputs {
        assert_eq!(output.stdout().next().expect("a line").expect("no error"), "before");
    }
    sshd.daemon().kill_sessions();
    join(&client, &outputs);
    outputs.iter().for_each(assert_lost);
    let outputs = client.run_command("echo again; exit 2").expect("all start");
    join(&client, &outputs);
    for output in &outputs {
        assert_eq!((stdout(output), output.exit_code()), (vec!["again".to_owned()], Some(2)));
    }
    assert_eq!(sshd.count("Connection from"), 10);
}

/// Nobody drives an idle client: the next command finds its connections dead, and opens new ones.
#[test]
fn connections_that_died_while_idle_are_replaced() {
    let _dog = guard("idle_death");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let mut client = build(client_for(&sshd, &hosts));
    for round in 1..=3 {
        let outputs = client.run_command("echo in").expect("all start");
        join(&client, &outputs);
        let good = |output: &HostOutput| matches!(output.outcome(), Some(Outcome::Exited(0)));
        assert!(outputs.iter().all(|output| good(output) && stdout(output) == ["in"]), "{outputs:?}");
        assert_eq!(sshd.count("Connection from"), round * 3);
        sshd.daemon().kill_sessions();
    }
}
