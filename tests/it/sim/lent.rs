//! Lines that are lent, compared with what the host has sent.

use std::cell::RefCell;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use sshoal::client::{AllLines, Lines, RawLines};
use sshoal::error::TimeoutKind;
use sshoal::{HostError, HostErrorKind, ReadOptions};

#[path = "../../../benches/lines/mod.rs"]
mod suite;

use super::{assert_threads_share_lines, client, command, fleet, support, watch};
use crate::support::examples::example;

/// A line as it must be read: its bytes, and its text, if it has one under the setting in force.
type Expected = (Vec<u8>, Option<String>);

/// The width of a line end, and its characters.
fn line_end(encoding: &'static Encoding) -> (&'static [u8], &'static [u8]) {
    match () {
        () if encoding == UTF_16LE => (b"\n\0", b"\r\0"),
        () if encoding == UTF_16BE => (b"\0\n", b"\0\r"),
        () => (b"\n", b"\r"),
    }
}

/// The lines of a whole stream, found and decoded one by one.
fn lines_of(sent: &[u8], encoding: &'static Encoding, strict: bool) -> Vec<Expected> {
    let (newline, carriage_return) = line_end(encoding);
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for unit in sent.chunks(newline.len()) {
        if unit == newline {
            line.truncate(line.strip_suffix(carriage_return).unwrap_or(&line).len());
            lines.push(std::mem::take(&mut line));
        } else {
            line.extend_from_slice(unit);
        }
    }
    lines.extend(Some(line).filter(|line| !line.is_empty()));
    let text = |at, line: &[u8]| {
        let (text, is_malformed) = match at {
            0 => encoding.decode_with_bom_removal(line),
            _ => encoding.decode_without_bom_handling(line),
        };
        (!is_malformed || !strict).then(|| text.into_owned())
    };
    lines.into_iter().enumerate().map(|(at, line)| (line.clone(), text(at, &line))).collect()
}

/// All readers of one stream.
struct Readers<'a> {
    lent: Lines<'a>,
    raw: RawLines<'a>,
    all: AllLines<'a>,
}

impl Readers<'_> {
    /// Reads the next line in one of the ways, and compares it.
    fn compare(&mut self, way: usize, expected: Option<&Expected>) -> Result<(), TestCaseError> {
        let own = |line: Result<&str, HostError>| line.map(str::to_owned);
        let read = match way {
            0 | 1 => self.lent.next_line().map(|line| line.map(str::to_owned)).transpose(),
            2 => self.lent.next(),
            3 => self.all.next_line().map(|(_, _, line)| own(line)),
            _ => {
                let line = self.raw.next_line().unwrap();
                prop_assert_eq!(line, expected.map(|(bytes, _)| bytes.as_slice()));
                return Ok(());
            }
        };
        match (&read, expected) {
            (None, None) => {}
            (Some(Ok(line)), Some((_, Some(text)))) => prop_assert_eq!(line, text, "way {}", way),
            (Some(Err(error)), Some((bytes, None))) => {
                let HostErrorKind::Undecodable { line, .. } = error.kind() else { panic!("{error:?}") };
                prop_assert_eq!(line, bytes, "way {}", way);
            }
            _ => prop_assert!(false, "{read:?} instead of {expected:?}, way {way}"),
        }
        Ok(())
    }
}

/// Text and noise, with line ends of all kinds.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-zé表]{0,12}".prop_map(String::into_bytes),
        2 => "[a-zé\u{a0a}表]{0,6}".prop_map(|text| text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        3 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\n\0".to_vec()),
        1 => Just(b"\r\0\n\0".to_vec()),
        1 => Just(b"\0\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\xef\xbb\xbf".to_vec()),
        1 => Just(b"\xff\xfe".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 1..400).prop_map(|pieces| pieces.concat())
}

/// The stream arrives in random pieces, and each line is read in a random way: lent, as a `String`,
/// as bytes, and with those of all outputs.
#[test]
fn lent_lines_are_those_that_the_host_has_sent() {
    let _dog = watch();
    let sim = fleet(&[]);
    let client = RefCell::new(client(&sim, 1).build().unwrap());
    let label = prop::sample::select(vec![
        "utf-8",
        "utf-8",
        "utf-16le",
        "utf-16be",
        "shift_jis",
        "latin1",
        "gb18030",
    ]);
    let sizes = prop::collection::vec(1_usize..900, 1..20);
    let ways = prop::collection::vec((0_usize..5, 1_usize..60), 1..50);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) };
    let cases = (label, any::<bool>(), stream(), sizes, ways);
    let result = TestRunner::new(config).run(&cases, |(label, strict, sent, sizes, ways)| {
        let options = ReadOptions::default().strict_encoding(strict);
        let mut client = client.borrow_mut();
        let outputs = client.run_command_with(command("cat").encoding(label), options).unwrap();
        let (output, encoding) = (&outputs[0], Encoding::for_label(label.as_bytes()).unwrap());
        let expected = lines_of(&sent, encoding, strict);
        let mut expected = expected.iter();
        let mut readers =
            Readers { lent: output.stdout(), raw: output.stdout().raw(), all: client.lines(&outputs) };
        let newline = line_end(encoding).0;
        let (mut sizes, mut ways) = (sizes.into_iter().cycle(), ways.into_iter().cycle());
        let (mut written, mut read) = (0, 0);
        while written < sent.len() {
            let end = sent.len().min(written + sizes.next().unwrap_or(1));
            output.stdin().write_all(&sent[written..end]).unwrap();
            written = end;
            let whole = sent[..written].chunks(newline.len()).filter(|unit| *unit == newline).count();
            let (way, most) = ways.next().unwrap_or_default();
            for line in expected.by_ref().take(most.min(whole - read)) {
                readers.compare(way, Some(line))?;
                read += 1;
            }
        }
        output.stdin().close();
        for (way, most) in ways {
            let rest: Vec<_> = expected.by_ref().take(most).collect();
            if rest.is_empty() {
                break;
            }
            rest.into_iter().try_for_each(|line| readers.compare(way, Some(line)))?;
        }
        (0..5).try_for_each(|way| readers.compare(way, None))
    });
    result.unwrap();
}

/// `drip` sends a byte every 100 ms: a shorter timeout ends in the middle of a line.
#[test]
fn lent_lines_around_read_timeouts_all_come() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let options = ReadOptions::default().read_timeout(Duration::from_millis(30));
    for all in [false, true] {
        let outputs = client.run_command_with("lines 1000; drip abc; lines 1000", options).unwrap();
        let (mut lines, mut all_lines) = (outputs[0].stdout(), client.lines(&outputs));
        let (mut read, mut timeouts) = (String::new(), 0);
        loop {
            let line = match all {
                false => lines.next_line().transpose(),
                true => all_lines.next_line().map(|(_, _, line)| line),
            };
            match line {
                Some(Ok(line)) => read.extend([line, "\n"]),
                Some(Err(error)) => {
                    let kind = error.kind();
                    assert!(
                        matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Read, .. }),
                        "{error:?}"
                    );
                    timeouts += 1;
                }
                None => break,
            }
        }
        let numbered: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        assert!(read == numbered.clone() + "abc" + &numbered && timeouts > 0, "{timeouts} timeouts");
    }
}

#[test]
fn threads_that_are_lent_the_lines_of_one_stream_share_them() {
    assert_threads_share_lines(|output, number| {
        let (mut lines, mut numbers) = (output.stdout(), Vec::new());
        while let Some(line) = lines.next_line().unwrap() {
            numbers.push(number(line));
        }
        numbers
    });
}

/// Both streams of several outputs, each with more lines than are read ahead or taken in a row.
#[test]
fn lent_lines_of_several_outputs_keep_their_order_and_their_streams() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 3).build().unwrap();
    let outputs = client.start_command("stderr a; lines 3000; stderr b; both c; lines 3000").unwrap();
    let mut read = vec![[String::new(), String::new()]; 3];
    let mut lines = client.lines(&outputs);
    while let Some((output, stream, line)) = lines.next_line() {
        read[output.position()][stream as usize].extend([line.unwrap(), "\n"]);
    }
    let numbered: String = (0..3000).map(|number| format!("line {number}\n")).collect();
    for [stdout, stderr] in read {
        assert!(stdout == format!("{numbered}c\n{numbered}"), "{} bytes", stdout.len());
        assert_eq!(stderr, "a\nb\nc\n");
    }
    assert_eq!(client.metrics().unread, 0);
}

#[test]
fn all_ways_of_the_benchmark_read_the_same_bytes() {
    let _dog = watch();
    let sim = support::simulator(Command::new(example("hostsim")), false, |sim| sim);
    for row in suite::measure(&sim, 3, 500, 2) {
        assert!(row.quartiles.is_sorted() && row.quartiles[0] > 0.0, "{row:?}");
        assert!(row.to_string().starts_with(row.way), "{row}");
    }
}
