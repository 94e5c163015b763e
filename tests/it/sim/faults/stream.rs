//! While the command runs, and at its end.

use std::io::{self, Write};
use std::time::Duration;

use hostsim::pattern_byte;
use sshoal::error::TimeoutKind;
use sshoal::{HostErrorKind, JoinOptions};

use super::super::{client, command, fleet, run, stdout, watch};
use super::{LIMIT, assert_endings, ending};

#[test]
fn faults_of_a_running_command() {
    // The pause lets the acceptance be read before data that may overtake it.
    assert_endings(
        "hostname; sleep 0.4; bytes 100000",
        &[
            ("stream:silence", "still running"),
            ("stream@1000:silence", "still running"),
            ("stream@1000:stall", "still running"),
            ("stream@1000:fin", "Running: connection lost"),
            ("stream@1000:rst", "Running: connection lost"),
            ("stream@1000:garbage", "Running: integrity"),
            ("stream@1000:disconnect=\x1b]0;x\x07bye", "Running: disconnected 11 \"\\u{1b}]0;x\\u{7}bye\""),
            ("stream:delay=500", "exit status 0"),
        ],
    );
}

#[test]
fn faults_at_the_end_of_a_command() {
    assert_endings(
        "hostname; sleep 0.4",
        &[
            ("end:silence", "still running"),
            ("end:fin", "Running: connection lost"),
            ("end:rst", "Running: connection lost"),
            ("end:garbage", "Running: integrity"),
            // An end of output does not imply the status, nor a status the end of output.
            ("end:no-status", "still running"),
            ("close:no-close", "exit status 0, still open"),
            ("close:silence", "exit status 0, still open"),
            ("close:fin", "Running: connection lost"),
        ],
    );
}

#[test]
fn an_altered_byte_ends_the_connection() {
    let offsets = [60_u64, 1_000, 5_000, 40_000, 90_000];
    let cases = offsets.map(|offset| format!("wire@{offset}:flip=80"));
    let _dog = watch();
    let rules: Vec<String> =
        cases.iter().enumerate().map(|(i, fault)| format!("i:{i}..{} {fault}", i + 1)).collect();
    let sim = fleet(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    let mut client = client(&sim, offsets.len() + 2).timeout(LIMIT).build().unwrap();
    let outputs = client
        .run_command_with(command("bytes 100000"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    for (output, offset) in outputs.iter().zip(offsets) {
        let error = output.error().unwrap();
        assert!(matches!(error.kind(), HostErrorKind::Integrity(_)), "byte {offset}: {error:?}");
        // Data before the fault was authentic, and nothing after it is shown.
        let received: Vec<u8> = raw(output);
        assert!(received.len() < 100_000 && (received.len() as u64) <= offset, "{}", received.len());
        assert!(received.iter().zip(0..).all(|(byte, at)| *byte == pattern_byte(at)));
    }
    assert!(outputs[offsets.len()..].iter().all(|output| output.exit_code() == Some(0)));
}

/// Standard output up to the error, with its line feeds; no line ends in a carriage return.
fn raw(output: &sshoal::HostOutput) -> Vec<u8> {
    let lines: Vec<Vec<u8>> = output.stdout().raw().map_while(Result::ok).collect();
    lines.join(&b'\n')
}

#[test]
fn output_before_the_fault_can_be_read_and_the_error_comes_last() {
    let _dog = watch();
    for fault in ["* stream@6:fin", "* stream@6:disconnect=bye", "* stream@6:garbage"] {
        let sim = fleet(&[fault]);
        let mut client = client(&sim, 1).build().unwrap();
        let outputs = client.start_command("echo first; echo second").unwrap();
        let mut lines = outputs[0].stdout();
        assert_eq!(lines.next().unwrap().unwrap(), "first", "{fault}");
        let error = lines.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), outputs[0].error().unwrap().to_string());
        assert!(lines.next().is_none());
    }
}

#[test]
fn a_reader_gives_up_on_a_silent_host_and_may_come_back() {
    let _dog = watch();
    let sim = fleet(&["i:0..1 stream:silence"]);
    let limit = Duration::from_millis(400);
    let mut client = client(&sim, 2).build().unwrap();
    let outputs = client
        .run_command_with(
            command("hostname"),
            sshoal::ReadOptions::default().stop_on_errors(false).read_timeout(limit),
        )
        .unwrap();
    for _ in 0..2 {
        let error = outputs[0].stdout().next().unwrap().unwrap_err();
        let HostErrorKind::Timeout { kind: TimeoutKind::Read, after, .. } = error.kind() else {
            panic!("{error:?}");
        };
        assert_eq!(*after, limit);
        assert_eq!(error.host(), outputs[0].host());
        assert_eq!(ending(&outputs[0]), "still running");
    }
    assert_eq!(stdout(&outputs[1]), format!("{}\n", outputs[1].host()));
}

/// One host's endless output does not delay the others' output.
#[test]
fn a_flood_does_not_hold_up_the_others() {
    let _dog = watch();
    let sim = fleet(&["i:0..1 stream:flood"]);
    let mut client = client(&sim, 6).build().unwrap();
    let outputs = client.start_command("hostname").unwrap();
    super::assert_hostnames(&outputs[1..]);
    assert_eq!(ending(&outputs[0]), "still running");
    let first = outputs[0].stdout().raw().next().unwrap().unwrap();
    assert_eq!(first, (0..10).map(pattern_byte).collect::<Vec<u8>>());
}

#[test]
fn input_that_the_host_stops_reading_times_out() {
    let _dog = watch();
    let sim = fleet(&["i:0..1 stream:stall"]);
    let limit = Duration::from_secs(1);
    let mut client = client(&sim, 3).build().unwrap();
    let outputs = client
        .run_command_with(
            command("count"),
            sshoal::ReadOptions::default().stop_on_errors(false).read_timeout(limit),
        )
        .unwrap();
    let error = outputs[0].stdin().write_all(&vec![b'x'; 32 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains(outputs[0].host()), "{error}");
    for output in &outputs[1..] {
        output.stdin().write_all(b"1234567").unwrap();
        output.stdin().close();
        assert_eq!(stdout(output), "7\n");
    }
}

/// A maximum packet size includes a message's ten header bytes; if it leaves no room for data, the
/// channel cannot be written to (CVE-2026-59843). A command that needs no input runs all the same.
#[test]
fn input_goes_in_packets_as_small_as_the_host_wants_them() {
    let _dog = watch();
    let sim = fleet(&["i:0..1 set:packet=11", "i:1..2 set:packet=17", "i:2..3 set:packet=10"]);
    let mut client = client(&sim, 4).build().unwrap();
    super::assert_hostnames(&run(&mut client, "hostname"));
    let outputs = client
        .run_command_with(command("count"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    for output in &outputs {
        output.stdin().write_all(&[b'x'; 1000]).unwrap();
    }
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert_eq!(ending(&outputs[2]), "Running: unwritable");
    for output in [&outputs[0], &outputs[1], &outputs[3]] {
        assert_eq!(stdout(output), "1000\n");
    }
}
