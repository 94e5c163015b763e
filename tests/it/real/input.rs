//! Standard input: exact, closed on request, and never waited for.

use std::io::{ErrorKind, Write as _};
use std::time::{Duration, Instant};

use sshoal::error::TimeoutKind;
use sshoal::{Command, HostError, HostErrorKind, JoinOptions};

use super::{build, client_at, client_for, guard, join, run_one, stdout};
use crate::support::proxy::{Action, Direction, Proxy};
use crate::support::sshd::Sshd;

/// Bytes without a period that equals the size of a packet or a buffer, in lines that end with `\n`
/// only, so that they can be reassembled line by line.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    let mut bytes: Vec<u8> = next.filter(|&byte| byte != b'\r').take(len).collect();
    bytes[len - 1] = b'\n';
    bytes
}

#[test]
fn ten_megabytes_come_back_unaltered() {
    let _dog = guard("ten_megabytes");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    let sent = pattern(10 << 20);
    let outputs = client.run_command("cat").expect("starts");
    let mut stdin = outputs[0].stdin();
    // Output is stored meanwhile: the echo cannot block the input.
    stdin.write_all(&sent).expect("cat takes it");
    // Up to a mebibyte is still queued: the end follows it.
    stdin.close();
    let mut received = Vec::new();
    for line in outputs[0].stdout().raw() {
        received.extend_from_slice(&line.expect("no error"));
        received.push(b'\n');
    }
    assert!(received == sent, "{} bytes of {}, or altered ones", received.len(), sent.len());
    join(&client, &outputs);
    assert_eq!(outputs[0].exit_code(), Some(0));
}

/// Each line runs in the state that the previous ones left, as in a login shell.
#[test]
fn a_shell_is_a_command_with_input() {
    let _dog = guard("a_shell");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2"]));
    let outputs = client.run_command("sh").expect("starts");
    for (number, output) in outputs.iter().enumerate() {
        writeln!(output.stdin(), "cd / && name={number}").expect("taken");
        writeln!(output.stdin(), "echo $name in $PWD").expect("taken");
        assert_eq!(output.stdout().next().expect("a line").expect("no error"), format!("{number} in /"));
        writeln!(output.stdin(), "exit 3").expect("taken");
    }
    join(&client, &outputs);
    assert!(outputs.iter().all(|output| output.exit_code() == Some(3)));
}

#[test]
fn what_is_written_is_what_is_counted_and_hashed() {
    let _dog = guard("counted");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2", "127.0.2.3"]));
    let sent = pattern(3_000_001);
    let outputs = client.run_command("tee /dev/stderr 2>&1 >/dev/null | cksum").expect("start");
    for output in &outputs {
        output.stdin().write_all(&sent).expect("queued or taken");
        output.stdin().close();
    }
    join(&client, &outputs);
    let own = std::process::Command::new("cksum").arg(write(&sshd, &sent)).output().expect("cksum");
    let own = String::from_utf8_lossy(&own.stdout).split(' ').take(2).collect::<Vec<_>>().join(" ");
    for output in &outputs {
        assert_eq!(stdout(output), [own.as_str()]);
    }
}

fn write(sshd: &Sshd, bytes: &[u8]) -> std::path::PathBuf {
    let path = sshd.dir().join("sent");
    std::fs::write(&path, bytes).expect("write");
    path
}

#[test]
fn the_end_of_the_input_is_told_once() {
    let _dog = guard("end_of_input");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    let outputs = client.run_command("wc -c; sleep 0.2").expect("starts");
    outputs[0].stdin().write_all(b"12345").expect("queued");
    outputs[0].stdin().close();
    outputs[0].stdin().close();
    let error = outputs[0].stdin().write(b"late").expect_err("its end was sent");
    assert_broken_pipe(&error);
    assert_eq!(stdout(&outputs[0]), ["5"]);
    outputs[0].stdin().close();
    join(&client, &outputs);
    assert_eq!(outputs[0].exit_code(), Some(0));
    assert_eq!(run_one(&mut client, "echo next"), ["next"]);
}

#[track_caller]
fn assert_broken_pipe(error: &std::io::Error) {
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<HostError>());
    assert_eq!(inner.map(HostError::host), Some("127.0.2.1"), "{error:?}");
}

#[test]
fn a_command_that_has_ended_takes_no_input() {
    let _dog = guard("ended_command");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    let outputs = client.run_command("exec 0<&-; exit 0").expect("starts");
    join(&client, &outputs);
    for _ in 0..2 {
        assert_broken_pipe(&outputs[0].stdin().write(b"late").expect_err("the command has ended"));
        outputs[0].stdin().flush().expect("nothing waits");
        outputs[0].stdin().close();
    }
    // Input that the command never reads does not keep it from ending.
    let outputs = client.run_command("exit 3").expect("starts");
    let written = outputs[0].stdin().write_all(&pattern(4 << 20));
    if let Err(error) = written {
        assert_broken_pipe(&error);
    }
    join(&client, &outputs);
    assert_eq!(outputs[0].exit_code(), Some(3));
    assert_eq!(run_one(&mut client, "echo next"), ["next"]);
}

#[test]
fn a_command_that_does_not_read_times_the_writer_out() {
    let _dog = guard("writer_timeout");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    let limit = Duration::from_millis(400);
    let outputs = client
        .run_command_with(Command::new("sleep 600"), sshoal::ReadOptions::default().read_timeout(limit))
        .expect("starts");
    // The SSH window accepts some, then the queue is full.
    let error = outputs[0].stdin().write_all(&pattern(8 << 20)).expect_err("nobody reads");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<HostError>()).expect("a host's error");
    assert!(matches!(inner.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Read, .. }), "{inner}");
    assert!(!outputs[0].is_finished());
    assert_eq!(run_one(&mut client, "echo beside it"), ["beside it"]);
}

/// The socket of one host stays full. libssh would block in `send`.
#[test]
fn a_peer_that_stops_reading_holds_nobody() {
    let _dog = guard("stops_reading");
    let sshd = Sshd::start();
    let mut turns = Vec::new();
    for _ in 0..3 {
        let proxy = Proxy::builder(sshd.address()).start();
        let mut client = build(client_at(&sshd, [proxy.address(), sshd.address()]));
        let outputs = client.run_command("cat >/dev/null; echo end").expect("start");
        proxy.inject(Direction::ToServer, Action::StopReading);
        // More than all buffers on the way hold.
        let mut left = 16 << 20;
        let piece = pattern(1 << 20);
        let begun = Instant::now();
        while left > 0 && begun.elapsed() < Duration::from_secs(2) {
            let mut output = outputs[0].clone();
            output.set_read_timeout(Duration::from_millis(200));
            match output.stdin().write(&piece) {
                Ok(written) => left -= written.min(left),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    break;
                }
            }
        }
        assert!(left > 0, "the peer has read");
        outputs[1].stdin().close();
        let begun = Instant::now();
        assert_eq!(stdout(&outputs[1]), ["end"]);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let options = JoinOptions::default().timeout(Duration::from_millis(100));
        client.join(&outputs, options).expect_err("one is stuck");
        turns.push(client.metrics().longest_turn);
        let begun = Instant::now();
        drop((client, outputs));
        assert!(begun.elapsed() < Duration::from_secs(1), "the drop took {:?}", begun.elapsed());
        if turns.last().is_some_and(|turn| *turn < Duration::from_millis(20)) {
            eprintln!("longest turns: {turns:?}");
            return;
        }
    }
    panic!("every run had a turn above 20 ms: {turns:?}");
}
