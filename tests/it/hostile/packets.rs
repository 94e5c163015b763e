//! Packet sizes and windows that no sane server announces.

use std::io::Write as _;

use sshoal::error::ChannelProblem;
use sshoal::{HostErrorKind, HostOutput, Outcome, ParallelClient};

use super::{DATA, HEALTHY, Hostile, INPUTS, address, all, greet, guard, join};

/// Bytes without a period that equals the size of a packet or a buffer, and without line ends.
fn input(len: usize) -> Vec<u8> {
    (0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x40).take(len).collect()
}

/// Sends this input to `echo` on every host; returns the outputs, after checking the last, healthy
/// one.
#[track_caller]
fn echo(client: &mut ParallelClient, input: &[u8]) -> Vec<HostOutput> {
    let outputs = client.start_command("echo").expect("a command");
    for output in &outputs {
        // A host that accepts no input may have failed already.
        let _ = output.stdin().write_all(input);
    }
    join(client, &outputs);
    let healthy = outputs.last().expect("a healthy host");
    assert_eq!(healthy.host(), HEALTHY);
    assert_echoed(healthy, input);
    outputs
}

#[track_caller]
fn assert_echoed(output: &HostOutput, input: &[u8]) {
    assert!(matches!(output.outcome(), Some(Outcome::Exited(0))), "{:?}", output.outcome());
    let lines: Vec<Vec<u8>> = output.stdout().raw().map(|line| line.expect("no error")).collect();
    assert!(lines == [input], "{} altered what it took", output.host());
}

/// libssh loops for ever over input with a packet size of 0 (CVE-2026-59843), and 0.10 also with
/// one of 10.
#[test]
fn a_packet_size_without_room_takes_no_input() {
    let _dog = guard("packet_size");
    let kinds = ["packet-0", "packet-1", "packet-9", "packet-10"];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).build().expect("a client");
    let outputs = echo(&mut client, &input(100_000));
    for output in &outputs[..kinds.len()] {
        let error = output.error().expect("no input was sent");
        let HostErrorKind::Channel(ChannelProblem::Unwritable) = error.kind() else { panic!("{error}") };
    }
}

#[test]
fn a_packet_size_without_room_does_not_matter_without_input() {
    let _dog = guard("packet_size_unused");
    let kinds = ["packet-1", "packet-9", "packet-10", "packet-11"];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).build().expect("a client");
    for input in INPUTS {
        for output in super::run(&mut client, greet(input)) {
            assert_eq!(super::stdout(&output), ["hello"], "{}", output.host());
        }
    }
}

#[test]
fn tiny_packets_carry_all_input_a_few_at_a_time() {
    let _dog = guard("tiny_packets");
    let server = Hostile::start(&["packet-11"]);
    let mut client = server.client(all(&["packet-11"])).build().expect("a client");
    let input = input(100_000);
    let outputs = echo(&mut client, &input);
    assert_echoed(&outputs[0], &input);
    // The duration of a turn depends on the machine's load; its number of packets depends on the
    // library.
    let packets = server.count(&address(0), DATA) as u64;
    assert!(packets >= 6_250, "{packets}");
    let visits = client.metrics().visits;
    assert!(visits >= packets / 128, "{packets} packets in {visits} visits");
}

#[test]
fn windows_that_overflow_alter_nothing() {
    let _dog = guard("windows");
    let server = Hostile::start(&["window-overflow"]);
    let mut client = server.client(all(&["window-overflow"])).build().expect("a client");
    let input = input(100_000);
    let outputs = echo(&mut client, &input);
    let outcome = outputs[0].outcome();
    let minor = ParallelClient::library().version.split('.').nth(1).and_then(|minor| minor.parse().ok());
    assert_eq!(matches!(outcome, Some(Outcome::Failed(_))), minor >= Some(12), "{outcome:?}");
    match outcome {
        // libssh 0.12 takes it for what it is. What was echoed before is unaltered.
        Some(Outcome::Failed(error)) => {
            let HostErrorKind::Protocol(text) = error.kind() else { panic!("{error}") };
            assert!(text.contains("overflows remote window"), "{text}");
            let echoed: Vec<Vec<u8>> = outputs[0].stdout().raw().map_while(Result::ok).collect();
            assert!(input.starts_with(&echoed.concat()));
        }
        _ => assert_echoed(&outputs[0], &input),
    }
}

/// Input that is given in advance is input like any other.
#[test]
fn given_input_is_refused_and_echoed_like_written_input() {
    let _dog = guard("given_packets");
    let kinds = ["packet-0", "packet-1", "packet-10", "packet-11"];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).build().expect("a client");
    let input = input(100_000);
    let command = sshoal::Command::new("echo").stdin(input.clone());
    let outputs = client.start_command(command).expect("a command");
    join(&client, &outputs);
    for output in &outputs[..3] {
        let error = output.error().expect("no input was sent");
        let HostErrorKind::Channel(ChannelProblem::Unwritable) = error.kind() else { panic!("{error}") };
    }
    outputs[3..].iter().for_each(|output| assert_echoed(output, &input));
}

/// libssh accepts it; nothing may be lost or altered.
#[test]
fn output_beyond_the_window_is_kept() {
    let _dog = guard("over_window");
    let server = Hostile::start(&["over-window"]);
    let mut client = server.client(all(&["over-window"])).build().expect("a client");
    let outputs = super::run(&mut client, "greet");
    let lines: Vec<Vec<u8>> = outputs[0].stdout().raw().map(|line| line.expect("no error")).collect();
    let zeros = 6 << 20;
    assert_eq!(lines.len(), 1);
    assert!(lines[0].len() == zeros + 5 && lines[0][..zeros].iter().all(|byte| *byte == 0));
    assert!(lines[0].ends_with(b"hello"));
}
