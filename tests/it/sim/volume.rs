//! Large outputs: every byte, and no more memory than for unread output.

use std::fs;
use std::io::Read;

use hostsim::{Sim, pattern_byte};
use sshoal::{HostOutput, ParallelClient};

use super::{client, fleet, run, stdout, watch};

/// Bytes per period of the pattern, and per line of it: each has one line feed, as its byte number
/// 10.
const PERIOD: u64 = 251;
const TOTAL: u64 = 200_000_000;
const MIB: u64 = 1024 * 1024;

/// Peak resident memory since the last [`reset_peak`], in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// "5" resets the kernel's peak (proc(5)), which an earlier test of this process may have raised.
fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// A fleet of one host that has sent [`TOTAL`] bytes by the end of `read`, which must not store
/// them.
fn in_little_memory(read: impl FnOnce(&HostOutput)) {
    let _dog = watch();
    let (_sim, mut client) = one_host();
    reset_peak();
    let before = peak();
    let outputs = client.start_command(format!("bytes {TOTAL}")).unwrap();
    read(&outputs[0]);
    assert_eq!(outputs[0].exit_code(), Some(0));
    let grown = peak().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} KiB", grown / 1024);
}

fn one_host() -> (Sim, ParallelClient) {
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    run(&mut client, "hostname");
    (sim, client)
}

/// The lines of the pattern: a short one, one that repeats, and the rest.
struct Expected<T> {
    first: T,
    other: T,
    last: T,
}

impl<T> Expected<T> {
    fn new(from: impl Fn(Vec<u8>) -> T) -> Self {
        let piece = |start, end| from((start..end).map(pattern_byte).collect());
        let rest = (TOTAL - 11) / PERIOD * PERIOD + 11;
        Self { first: piece(0, 10), other: piece(11, PERIOD + 10), last: piece(rest, TOTAL) }
    }

    /// The expected line `number`, and whether it is the last one.
    fn line(&self, number: u64) -> (&T, bool) {
        match number {
            0 => (&self.first, false),
            _ if number <= (TOTAL - 11) / PERIOD => (&self.other, false),
            _ => (&self.last, true),
        }
    }
}

fn assert_lines<T: PartialEq + std::fmt::Debug>(lines: impl Iterator<Item = T>, expected: &Expected<T>) {
    let (mut count, mut complete) = (0, false);
    for line in lines {
        assert!(!complete, "more than expected: {line:?}");
        let (wanted, last) = expected.line(count);
        assert!(line == *wanted, "line {count}: {line:?}");
        count += 1;
        complete = last;
    }
    assert!(complete, "only {count} lines");
}

#[test]
fn two_hundred_megabytes_as_raw_lines() {
    in_little_memory(|output| {
        assert_lines(output.stdout().raw().map(Result::unwrap), &Expected::new(|line| line));
    });
}

#[test]
fn two_hundred_megabytes_as_text() {
    in_little_memory(|output| {
        let text = |line: Vec<u8>| String::from_utf8_lossy(&line).into_owned();
        assert_lines(output.stdout().map(Result::unwrap), &Expected::new(text));
    });
}

#[test]
fn two_hundred_megabytes_as_bytes() {
    in_little_memory(|output| {
        let mut reader = output.stdout_reader();
        let pattern: Vec<u8> = (0..PERIOD + 64 * 1024).map(pattern_byte).collect();
        let (mut buffer, mut offset) = (vec![0; 64 * 1024], 0);
        loop {
            let count = reader.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            let start = (offset % PERIOD) as usize;
            assert!(buffer[..count] == pattern[start..start + count], "from byte {offset} on");
            offset += count as u64;
        }
        assert_eq!(offset, TOTAL);
    });
}

/// As text lines that are all different.
#[test]
fn a_million_numbered_lines_come_in_order() {
    let _dog = watch();
    let (_sim, mut client) = one_host();
    let outputs = client.start_command("lines 1000000").unwrap();
    let mut count = 0;
    for line in outputs[0].stdout() {
        let line = line.unwrap();
        assert_eq!(line.strip_prefix("line ").unwrap().parse(), Ok(count));
        count += 1;
    }
    assert_eq!(count, 1_000_000);
}

/// Output that arrives for a host while another one is read is kept completely.
#[test]
fn the_output_of_an_unread_host_waits_for_its_reader() {
    let _dog = watch();
    let total = 50_000_000;
    let sim = fleet(&[]);
    let mut client = client(&sim, 2).build().unwrap();
    run(&mut client, "hostname");
    let large = client.start_command(format!("bytes {total}")).unwrap();
    let small = client.start_command("drip abcdefghij; hostname").unwrap();
    assert_eq!(stdout(&small[0]), format!("abcdefghij{}\n", small[0].host()));

    for output in &large {
        let mut bytes = Vec::with_capacity(total as usize);
        output.stdout_reader().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, total);
        assert!(bytes.chunks(PERIOD as usize).all(|chunk| chunk == &bytes[..chunk.len()]));
        assert!(bytes[..PERIOD as usize].iter().zip(0..).all(|(byte, at)| *byte == pattern_byte(at)));
    }
}
