//! Output as events: every byte, once, in order, however it was split on its way.

use std::time::Instant;

use sshoal::output::Deliver;
use sshoal::{Budget, Run, StdStream};

use super::{Line, Told, connected, engine, open, simulate, started, wait, watch};

/// A small generator (xorshift), so that a seed reproduces a failure.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % end
    }

    /// Few kinds of bytes, so that line ends are frequent.
    fn text(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| b"ab\0\r\n\n\xff"[self.below(7)]).collect()
    }
}

/// The expected line events: `\n` and `\r\n` end a line, and so does the end of the stream.
fn lines(text: &[u8]) -> Vec<Line> {
    let mut offset = 0;
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| {
            let begin = offset;
            offset += line.len() as u64;
            let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
            (begin, line.to_vec())
        })
        .collect()
}

/// Some hosts each echo a text that is sent and received in pieces of any size.
fn echo(seed: u64, deliver: Deliver, check: impl Fn(&Told, sshoal::fleet::CommandId, &[u8])) {
    const HOSTS: usize = 6;
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, HOSTS).build().unwrap();
    connected(&mut fleet);
    let mut random = Random(seed);
    let commands = started(&mut fleet, Run::new(open("cat")).deliver(deliver));
    let texts: Vec<Vec<u8>> = (0..HOSTS)
        .map(|_| {
            let len = random.below(40_000);
            random.text(len)
        })
        .collect();
    let mut sent = [0; HOSTS];
    let mut told = Told::default();
    let mut all_taken = true;
    while told.done.is_empty() {
        for (host, id) in commands.iter().enumerate() {
            let rest = &texts[host][sent[host]..];
            if rest.is_empty() {
                fleet.close_stdin(*id);
            } else {
                let piece = &rest[..(1 + random.below(2_000)).min(rest.len())];
                sent[host] += fleet.write_stdin(*id, piece).unwrap();
            }
        }
        // Sometimes not all events are taken: the descriptor does not signal those that are left.
        if all_taken {
            wait(&fleet);
        }
        fleet.turn(Instant::now(), Budget::default().events(1 + random.below(5))).unwrap();
        all_taken = false;
        for _ in 0..1 + random.below(20) {
            let Some(event) = fleet.next_event() else {
                all_taken = true;
                break;
            };
            told.note(event);
        }
    }
    for (id, text) in commands.into_iter().zip(&texts) {
        assert!(told.end_of(id).unwrap().is_success());
        check(&told, id, text);
    }
}

#[test]
fn bytes_come_as_they_are() {
    let _dog = watch();
    for seed in 1..=5 {
        echo(seed, Deliver::Bytes, |told, id, text| {
            assert!(told.stdout(id) == text && told.lines.is_empty(), "seed {seed}");
        });
    }
}

#[test]
fn lines_come_whole_with_their_offsets() {
    let _dog = watch();
    for seed in 1..=5 {
        echo(seed, Deliver::Lines, |told, id, text| {
            let expected = lines(text);
            let got = told.lines.get(&(id, StdStream::Stdout));
            assert!(got.is_none_or(Vec::is_empty) == expected.is_empty(), "seed {seed}");
            assert!(got.is_none_or(|got| *got == expected) && told.output.is_empty(), "seed {seed}");
        });
    }
}

/// The command exists until it is released, and is read by calls.
#[test]
fn what_is_not_delivered_is_read_by_calls() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 3).build().unwrap();
    let command = Run::new("bytes 100000; stderr oops").deliver(Deliver::Nothing);
    let commands = fleet.start(command).unwrap().commands;
    let mut told = Told::default();
    super::drive(&mut fleet, Budget::default(), &mut told, |told| !told.done.is_empty());
    assert!(told.output.is_empty() && told.lines.is_empty() && told.finished.len() == 3);
    assert_eq!(fleet.metrics().unread, 3 * 100_005);
    for id in commands {
        assert!(fleet.command(id).unwrap().outcome().unwrap().is_success());
        let mut piece = [0; 7_000];
        let mut read: Vec<u8> = Vec::new();
        loop {
            match fleet.read(id, StdStream::Stdout, &mut piece) {
                0 => break,
                count => read.extend(&piece[..count]),
            }
        }
        assert!(read.iter().enumerate().all(|(at, byte)| *byte == hostsim::pattern_byte(at as u64)));
        assert_eq!(read.len(), 100_000);
        fleet.discard(id, StdStream::Stderr);
        fleet.release(id);
        assert!(fleet.command(id).is_none());
    }
    assert_eq!((fleet.metrics().unread, fleet.metrics().commands), (0, 0));
}
