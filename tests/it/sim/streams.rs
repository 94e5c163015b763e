//! Reading: in pieces, in turns, late, and both streams.

use std::time::Duration;

use sshoal::{HostErrorKind, TimeoutKind};

use super::{client, command, fleet, run, stdout, watch};

#[test]
fn an_iterator_can_be_dropped_and_taken_up_again() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 3).build().unwrap();
    let outputs = client.start_command("lines 5000").unwrap();
    for output in &outputs {
        let mut expected = 0;
        let mut take = 1;
        loop {
            let piece: Vec<String> = output.stdout().take(take).map(Result::unwrap).collect();
            for line in &piece {
                assert_eq!(*line, format!("line {expected}"));
                expected += 1;
            }
            if piece.len() < take {
                break;
            }
            take += 7;
        }
        assert_eq!(expected, 5000);
    }
}

#[test]
fn two_hosts_can_be_read_in_turns() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 2).build().unwrap();
    let outputs = client.start_command("lines 20000").unwrap();
    let (mut first, mut second) = (outputs[0].stdout(), outputs[1].stdout());
    for number in 0..20_000 {
        let expected = format!("line {number}");
        assert_eq!(first.next().unwrap().unwrap(), expected);
        assert_eq!(second.next().unwrap().unwrap(), expected);
    }
    assert!(first.next().is_none() && second.next().is_none());
}

#[test]
fn the_two_streams_are_kept_apart() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 4).build().unwrap();
    let outputs = client.start_command("echo a; stderr b; echo c; stderr d; both e; lines 3000").unwrap();
    for output in &outputs {
        let stderr: Vec<String> = output.stderr().map(Result::unwrap).collect();
        assert_eq!(stderr, ["b", "d", "e"]);
        let lines: String = (0..3000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(stdout(output), format!("a\nc\ne\n{lines}"));
    }
}

/// `drip` sends a byte every 100 ms: a shorter patience ends in the middle of a line.
#[test]
fn a_part_of_a_line_survives_read_timeouts() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let slow = command("drip abcdefgh; echo '|end'").read_timeout(Duration::from_millis(30));
    let outputs = client.run_command(slow).unwrap();
    let mut lines = outputs[0].stdout();
    let mut timeouts = 0;
    let line = loop {
        match lines.next().unwrap() {
            Ok(line) => break line,
            Err(error) => {
                let kind = error.kind();
                assert!(matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Read, .. }), "{error:?}");
                timeouts += 1;
            }
        }
    };
    assert_eq!(line, "abcdefgh|end");
    assert!(timeouts >= 4, "{timeouts}");
    assert!(lines.next().is_none());
}

/// Every byte begins the read timeout anew: a slow line is not a silent one.
#[test]
fn a_slow_line_is_waited_for() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let slow = command("drip abcdefghijklmnopqrst").read_timeout(Duration::from_millis(1500));
    let outputs = client.run_command(slow).unwrap();
    assert_eq!(stdout(&outputs[0]), "abcdefghijklmnopqrst\n");
}

#[test]
fn lines_end_as_hosts_end_them() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    // The pattern counts from 0 to 250: it has NUL, a lone CR and bytes that are not UTF-8.
    let outputs = run(&mut client, "bytes 502");
    let pattern: Vec<u8> = (0..502).map(hostsim::pattern_byte).collect();
    let expected: Vec<&[u8]> = pattern.split(|byte| *byte == b'\n').collect();
    let raw: Vec<Vec<u8>> = outputs[0].stdout().raw().map(Result::unwrap).collect();
    assert_eq!(raw, expected);

    let outputs = run(&mut client, "bytes 502");
    let text: Vec<String> = outputs[0].stdout().map(Result::unwrap).collect();
    let expected: Vec<String> =
        expected.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    assert_eq!(text, expected);
}
