//! Reading: in pieces, in turns, late, and both streams.

use std::io::{Read, Write};
use std::time::Duration;

use sshoal::error::TimeoutKind;
use sshoal::output::Keep;
use sshoal::{HostErrorKind, HostOutput, JoinOptions, StdStream};

use super::{assert_threads_share_lines, client, command, fleet, run, stdout, watch};

/// The output of `lines`.
fn numbered(lines: u32) -> String {
    (0..lines).map(|number| format!("line {number}\n")).collect()
}

/// Reads this many lines, and appends them with their ends.
#[track_caller]
fn take_lines(output: &HostOutput, lines: usize, into: &mut Vec<u8>) {
    for line in output.stdout().take(lines) {
        into.extend(line.unwrap().into_bytes());
        into.push(b'\n');
    }
}

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

/// Everything has arrived already, so that only the reader decides when an iterator's prefetched
/// lines end.
#[test]
fn every_way_to_read_goes_on_where_another_one_stopped() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let outputs = run(&mut client, "lines 20000");
    let (output, copy, expected) = (&outputs[0], outputs[0].clone(), numbered(20_000));
    let (mut first, mut second, mut raw) = (output.stdout(), copy.stdout(), output.stdout().raw());
    let mut read = Vec::new();
    let mut round = 0;
    while read.len() < expected.len() {
        round += 1;
        for (_, line) in (0..3 + round * 7 % 300).zip(&mut first) {
            read.extend(line.unwrap().into_bytes());
            read.push(b'\n');
        }
        for (_, line) in (0..round * 5 % 200).zip(&mut second) {
            read.extend(line.unwrap().into_bytes());
            read.push(b'\n');
        }
        assert_eq!(client.metrics().unread, expected.len() - read.len(), "after {round} rounds");
        let mut bytes = vec![0; round * 11 % 40];
        let count = output.stdout_reader().read(&mut bytes).unwrap();
        read.extend_from_slice(&bytes[..count]);
        for (_, line) in (0..round * 3 % 100).zip(&mut raw) {
            read.extend(line.unwrap());
            read.push(b'\n');
        }
        take_lines(&copy, round % 50, &mut read);
        assert!(expected.as_bytes().starts_with(&read), "after {round} rounds");
    }
    assert!(round > 30 && first.next().is_none() && second.next().is_none() && raw.next().is_none());
}

#[test]
fn threads_that_read_one_stream_share_its_lines() {
    assert_threads_share_lines(|output, number| output.stdout().map(|line| number(&line.unwrap())).collect());
}

#[test]
fn another_encoding_counts_from_the_first_line_that_was_not_read() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let mut outputs = run(&mut client, "lines 3000; bytes 2510");
    let output = &mut outputs[0];
    let mut expected = numbered(3000).into_bytes();
    expected.extend((0..2510).map(hostsim::pattern_byte));
    let mut read = Vec::new();
    take_lines(output, 500, &mut read);
    let mut other = output.clone();
    other.set_encoding("latin1").unwrap();
    take_lines(&other, 500, &mut read);
    take_lines(output, 1500, &mut read);
    // Units of two bytes are counted from the start of the stream.
    while !read.len().is_multiple_of(2) {
        take_lines(output, 1, &mut read);
    }
    assert!(expected.starts_with(&read));
    let rest = &expected[read.len()..];
    output.set_encoding("utf-16").unwrap();
    let units: Vec<u16> = rest.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    assert_eq!(output.stdout().next().unwrap().unwrap(), String::from_utf16_lossy(&units));
    assert!(output.stdout().next().is_none() && other.stdout().next().is_none());
}

/// Half a unit of UTF-16 may look like a line end.
#[test]
fn lines_of_units_are_not_cut_at_bytes() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let outputs = client
        .run_command_with(
            command("cat").encoding("utf-16"),
            sshoal::ReadOptions::default().stop_on_errors(false),
        )
        .unwrap();
    let lines: Vec<String> = (0..3000).map(|number| format!("\u{610a}{number}\u{a61}\u{a0a}")).collect();
    let units = lines.iter().flat_map(|line| (line.clone() + "\r\n").encode_utf16().collect::<Vec<u16>>());
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    outputs[0].stdin().write_all(&bytes).unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    let mut bytes_wanted = outputs[0].clone();
    bytes_wanted.set_encoding("latin1").unwrap();
    let mut read = outputs[0].stdout();
    assert!(read.by_ref().take(2000).map(Result::unwrap).eq(lines[..2000].iter().cloned()));
    // Up to the first byte that is a line end: half of the first unit. The rest of that line is
    // misaligned.
    assert_eq!(bytes_wanted.stdout().next().unwrap().unwrap(), "");
    assert_ne!(read.next().unwrap().unwrap(), lines[2000]);
    assert!(read.map(Result::unwrap).eq(lines[2001..].iter().cloned()));
}

/// Some lines in the same block are not valid text.
#[test]
fn a_line_that_is_not_in_the_encoding_spoils_no_other() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let mut expected = numbered(150).into_bytes();
    expected.extend((0..1000).map(hostsim::pattern_byte));
    expected.extend(numbered(100).into_bytes());
    let expected: Vec<&[u8]> = expected[..expected.len() - 1].split(|byte| *byte == b'\n').collect();
    for strict in [false, true] {
        let mut outputs = run(&mut client, "lines 150; bytes 1000; lines 100");
        outputs[0].set_strict_encoding(strict);
        let mut lines = outputs[0].stdout();
        for expected in &expected {
            let line = lines.next().unwrap();
            if strict && str::from_utf8(expected).is_err() {
                let error = line.unwrap_err();
                let HostErrorKind::Undecodable { line, .. } = error.kind() else { panic!("{error:?}") };
                assert_eq!(line, expected);
            } else {
                assert_eq!(line.unwrap(), String::from_utf8_lossy(expected));
            }
        }
        assert!(lines.next().is_none());
    }
}

/// More arrives between two prefetched lines, and the policy drops older ones.
#[test]
fn lines_at_hand_are_dropped_like_all_others() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let tail = 5_000;
    let command = command("lines 2000; cat; lines 2000").stdout(Keep::Tail(tail));
    let outputs =
        client.run_command_with(command, sshoal::ReadOptions::default().stop_on_errors(false)).unwrap();
    let expected = numbered(2000).repeat(2);
    let mut lines = outputs[0].stdout();
    let before: usize = lines.by_ref().take(100).map(|line| line.unwrap().len() + 1).sum();
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert_eq!(outputs[0].dropped(StdStream::Stdout), (expected.len() - before - tail) as u64);
    let rest: String = lines.by_ref().map(|line| line.unwrap() + "\n").collect();
    assert_eq!(rest, expected[expected.len() - tail..]);

    let outputs = client.run_command("lines 2000; cat").unwrap();
    let mut lines = outputs[0].stdout();
    assert_eq!(lines.by_ref().take(100).filter(Result::is_ok).count(), 100);
    client.join(&outputs, JoinOptions::default().consume_output(true)).unwrap();
    assert!(lines.next().is_none(), "they were consumed");
}

/// The host always waits for its reader, which switches to another host with prefetched lines left.
#[test]
fn lines_at_hand_hold_their_host_back_until_they_are_read() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 2).build().unwrap();
    let bound = 10_000;
    let command = command("lines 30000").stdout(Keep::BackPressure(bound));
    let outputs =
        client.start_command_with(command, sshoal::ReadOptions::default().stop_on_errors(false)).unwrap();
    let (mut first, mut second) = (outputs[0].stdout(), outputs[1].stdout());
    for number in 0..30_000 {
        let expected = format!("line {number}");
        assert_eq!(first.next().unwrap().unwrap(), expected);
        if number % 3 == 0 {
            for number in number..number + 3 {
                assert_eq!(second.next().unwrap().unwrap(), format!("line {number}"));
            }
        }
        if number % 1000 == 0 {
            let unread = client.metrics().unread;
            assert!(unread < 2 * (bound + 40 * 1024), "{unread}");
        }
    }
    assert!(first.next().is_none() && second.next().is_none());
    assert_eq!(client.metrics().unread, 0);
}

#[test]
fn lines_around_read_timeouts_all_come() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let slow = command("lines 1000; drip abc; lines 1000");
    let outputs = client
        .run_command_with(
            slow,
            sshoal::ReadOptions::default().stop_on_errors(false).read_timeout(Duration::from_millis(30)),
        )
        .unwrap();
    let (mut read, mut timeouts) = (String::new(), 0);
    loop {
        // An iterator for a few lines, or for as many as arrive before a timeout.
        let some = if timeouts % 2 == 0 { 30 } else { usize::MAX };
        let mut lines = outputs[0].stdout().take(some).peekable();
        if lines.peek().is_none() {
            break;
        }
        for line in lines {
            match line {
                Ok(line) => read += &(line + "\n"),
                Err(_) => timeouts += 1,
            }
        }
    }
    let expected = numbered(1000) + "abc" + &numbered(1000);
    assert!(read == expected && timeouts > 0, "{} bytes, {timeouts} timeouts", read.len());
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
        assert_eq!(stdout(output), format!("a\nc\ne\n{}", numbered(3000)));
    }
}

/// `drip` sends a byte every 100 ms: a shorter timeout ends in the middle of a line.
#[test]
fn a_part_of_a_line_survives_read_timeouts() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let slow = command("drip abcdefgh; echo '|end'");
    let outputs = client
        .run_command_with(
            slow,
            sshoal::ReadOptions::default().stop_on_errors(false).read_timeout(Duration::from_millis(30)),
        )
        .unwrap();
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

/// Every byte restarts the read timeout: a slow line is not a silent one.
#[test]
fn a_slow_line_is_waited_for() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let slow = command("drip abcdefghijklmnopqrst");
    let outputs = client
        .run_command_with(
            slow,
            sshoal::ReadOptions::default().stop_on_errors(false).read_timeout(Duration::from_millis(1500)),
        )
        .unwrap();
    assert_eq!(stdout(&outputs[0]), "abcdefghijklmnopqrst\n");
}

#[test]
fn lines_end_as_hosts_end_them() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    // The pattern counts from 0 to 250: it contains NUL, a lone CR and invalid UTF-8.
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
