use std::io;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::output::Sink;

const NO_BUDGET: usize = usize::MAX;

fn origin() -> Origin {
    Origin { host: HostId::new(1, 2), command: CommandId::new(3, 4), stream: StdStream::Stderr }
}

fn stream(keep: Keep) -> Stream {
    Stream::new(keep, LineEnds::Bytes)
}

fn push(stream: &mut Stream, bytes: &[u8]) {
    stream.push(bytes, origin(), Excess::Taken).unwrap();
}

/// Takes a line, and gives its memory back.
fn take(stream: &mut Stream, ends: LineEnds) -> Option<(Vec<u8>, u64)> {
    stream.set_line_ends(ends);
    let lent = stream.lend_line(NO_BUDGET)?;
    let line = (stream.lent(lent).to_vec(), lent.offset);
    stream.consume(0);
    Some(line)
}

fn line(stream: &mut Stream) -> Option<(String, u64)> {
    take(stream, LineEnds::Bytes).map(|(line, offset)| (String::from_utf8(line).unwrap(), offset))
}

fn text(text: &str, offset: u64) -> Option<(String, u64)> {
    Some((text.to_owned(), offset))
}

#[test]
fn the_head_is_counted_from_the_start_whoever_has_read_it() {
    let mut stream = stream(Keep::Head(10));
    push(&mut stream, b"abc\ndef");
    assert_eq!(line(&mut stream), text("abc", 0));
    push(&mut stream, b"ghijkl\n");
    assert_eq!((stream.unread(), stream.dropped()), (&b"defghi"[..], 4));
    assert_eq!(line(&mut stream), text("defghi", 4), "nothing can follow, so it is a line");
    push(&mut stream, b"more");
    assert_eq!((stream.len(), stream.dropped(), stream.room(1).lack()), (0, 8, None));
}

#[test]
fn the_tail_drops_what_is_oldest_and_counts_it() {
    let mut stream = stream(Keep::Tail(8));
    push(&mut stream, b"abc\ndef\n");
    push(&mut stream, b"ghi\n");
    assert_eq!((stream.dropped(), stream.room(NO_BUDGET).lack()), (4, None));
    assert_eq!(line(&mut stream), text("def", 4));
    push(&mut stream, b"0123456789\nend\n");
    assert_eq!(line(&mut stream), text("789", 19), "the end of a line, at its place in the stream");
    assert_eq!(line(&mut stream), text("end", 23));
    assert_eq!((stream.dropped(), line(&mut stream)), (4 + 11, None));
}

#[test]
fn units_of_two_bytes_stay_units_behind_what_a_tail_has_dropped() {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut stream = Stream::new(Keep::Tail(11), LineEnds::Utf16Le);
    push(&mut stream, &utf16("dropped\nab\ncd\n"));
    let mut take = || take(&mut stream, LineEnds::Utf16Le).unwrap().0;
    assert_eq!(take()[1..], utf16("b"), "what is left of a unit that was cut is before it");
    assert_eq!(take(), utf16("cd"));
}

#[test]
fn a_tail_needs_little_more_memory_than_it_keeps() {
    let last = 1 << 16;
    let mut stream = stream(Keep::Tail(last));
    for size in [100, last - 1, 10 * last, 4096, 1, 3 * last] {
        let bytes = vec![b'x'; size];
        for _ in 0..200 {
            push(&mut stream, &bytes);
            assert!(stream.len() <= last && stream.buffer.capacity() <= 4 * last, "{:?}", stream.buffer);
        }
    }
    assert_eq!(stream.len(), last);
}

#[test]
fn with_back_pressure_a_stream_is_full_at_its_bound_and_takes_what_still_comes() {
    let mut stream = stream(Keep::BackPressure(10));
    assert_eq!(stream.room(NO_BUDGET), Room { bytes: 10, bound: Bound::Stream });
    push(&mut stream, b"123456789");
    assert_eq!((stream.room(NO_BUDGET).bytes, stream.room(NO_BUDGET).lack()), (1, None));
    push(&mut stream, b"0123456789");
    assert_eq!((stream.len(), stream.dropped()), (19, 0));
    assert_eq!(stream.room(NO_BUDGET).lack(), Some(Bound::Stream));
    stream.consume(10);
    assert_eq!(stream.room(NO_BUDGET).bytes, 1);
}

#[test]
fn the_budget_makes_every_stream_full_that_keeps() {
    for keep in [Keep::All, Keep::Head(100), Keep::Tail(100), Keep::BackPressure(100)] {
        let mut stream = stream(keep);
        push(&mut stream, b"12345");
        assert_eq!(stream.room(6), Room { bytes: 1, bound: Bound::Budget });
        assert_eq!(stream.room(5).lack(), Some(Bound::Budget));
        stream.finish();
        assert_eq!(stream.room(5).lack(), None, "nothing more comes");
    }
    for keep in [Keep::Nothing, Keep::Head(0), Keep::Tail(0), Keep::Sink(Sink::new(|_| Ok(())))] {
        let mut stream = stream(keep);
        push(&mut stream, b"12345");
        assert_eq!((stream.len(), stream.room(0).lack()), (0, None));
    }
}

/// The next line or piece, as an event would show it.
fn lend(stream: &mut Stream, share: usize) -> Option<(String, u64)> {
    let lent = stream.lend_line(share)?;
    Some((String::from_utf8(stream.lent(lent).to_vec()).unwrap(), lent.offset))
}

#[test]
fn all_unread_bytes_are_lent_until_the_next_call() {
    let mut stream = stream(Keep::All);
    push(&mut stream, b"ab\nc");
    assert_eq!(line(&mut stream), text("ab", 0));
    let lent = stream.lend(usize::MAX);
    assert_eq!((stream.lent(lent), lent.offset, stream.len()), (&b"c"[..], 3, 0));
    push(&mut stream, b"de");
    let lent = stream.lend(usize::MAX);
    assert_eq!((stream.lent(lent), lent.offset), (&b"de"[..], 4));
}

#[test]
fn a_line_longer_than_a_full_stream_comes_in_pieces() {
    let mut stream = stream(Keep::BackPressure(4));
    push(&mut stream, b"abc");
    assert!(!stream.has_line(NO_BUDGET));
    assert_eq!((line(&mut stream), lend(&mut stream, NO_BUDGET)), (None, None));
    push(&mut stream, b"de");
    assert!(stream.has_line(NO_BUDGET));
    assert_eq!(line(&mut stream), text("abcde", 0));
    push(&mut stream, b"fghi\nj");
    assert_eq!(line(&mut stream), text("fghi", 5));
    push(&mut stream, b"klm");
    assert_eq!(lend(&mut stream, NO_BUDGET), text("jklm", 10));
    push(&mut stream, b"n");
    assert_eq!((line(&mut stream), stream.has_line(1)), (None, true), "full by a share of the budget");
    assert_eq!(lend(&mut stream, 1), text("n", 14));
    assert!(!stream.has_line(0), "nothing is no piece");
}

#[test]
fn a_piece_has_no_half_of_a_unit_unless_there_is_nothing_else() {
    let mut stream = Stream::new(Keep::BackPressure(1), LineEnds::Utf16Be);
    let mut piece = |bytes: &[u8]| {
        push(&mut stream, bytes);
        take(&mut stream, LineEnds::Utf16Be).unwrap().0
    };
    assert_eq!(piece(b"\0a\0b\0"), b"\0a\0b");
    assert_eq!(piece(b""), b"\0", "with a bound of one byte");
    assert_eq!(piece(b"c\0d"), b"c\0d");
}

#[test]
fn of_a_command_that_is_to_end_nothing_is_kept_behind_what_was_dropped() {
    for keep in [Keep::BackPressure(8), Keep::All, Keep::Head(100)] {
        let share = if let Keep::BackPressure(_) = keep { NO_BUDGET } else { 8 };
        let mut stream = stream(keep);
        push(&mut stream, b"1234");
        stream.push(b"567890", origin(), Excess::Dropped { share, but: 0 }).unwrap();
        assert_eq!((stream.unread(), stream.dropped()), (&b"12345678"[..], 2));
        stream.clear();
        stream.push(b"x", origin(), Excess::Dropped { share, but: 0 }).unwrap();
        assert_eq!((stream.len(), stream.dropped()), (0, 3));
    }
}

#[test]
fn a_sink_gets_every_piece_with_its_origin_until_it_fails() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let sink = Sink::new(move |piece| {
        note.lock().unwrap().push((piece.host, piece.command, piece.stream, piece.bytes.to_vec()));
        match piece.bytes {
            b"bad" => Err(io::ErrorKind::StorageFull.into()),
            b"worse" => panic!("on purpose"),
            _ => Ok(()),
        }
    });
    let [mut first, mut second, mut third] = [(); 3].map(|()| stream(Keep::Sink(sink.clone())));
    push(&mut first, b"good");
    let error = first.push(b"bad", origin(), Excess::Taken).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    push(&mut first, b"late");
    assert_eq!((first.dropped(), first.len()), (3 + 4, 0));
    assert_eq!(second.push(b"worse", origin(), Excess::Taken).unwrap_err().to_string(), "it panicked");
    push(&mut third, b"goes on");
    let expected = |bytes: &[u8]| (origin().host, origin().command, origin().stream, bytes.to_vec());
    let expected = [&b"good"[..], b"bad", b"worse", b"goes on"].map(expected);
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// An operation on a stream.
#[derive(Debug, Clone)]
enum Op {
    Push(usize),
    Read(usize),
    Stop,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0_usize..40).prop_map(Op::Push),
        3 => (0_usize..40).prop_map(Op::Read),
        1 => Just(Op::Stop),
    ];
    proptest::collection::vec(op, 0..40)
}

/// The unread bytes, each as its offset in the stream, and how many bytes were dropped.
#[derive(Default)]
struct Model {
    unread: Vec<u64>,
    dropped: u64,
    arrived: u64,
}

impl Model {
    fn push(&mut self, keep: &Keep, count: usize, stopped: bool) {
        for _ in 0..count {
            let at = self.arrived;
            self.arrived += 1;
            let is_kept = match keep {
                Keep::Head(first) => at < *first as u64,
                Keep::BackPressure(most) => !stopped || self.dropped == 0 && self.unread.len() < *most,
                _ => true,
            };
            if is_kept {
                self.unread.push(at)
            } else {
                self.dropped += 1
            }
            if let Keep::Tail(last) = keep
                && self.unread.len() > *last
            {
                self.unread.remove(0);
                self.dropped += 1;
            }
        }
    }
}

proptest! {
    /// However the bytes are cut into pieces, a stream keeps the same bytes as a model that handles
    /// one byte at a time.
    #[test]
    fn policies_keep_what_they_say(which in 0..4, bound in 1_usize..60, ops in ops()) {
        let keep = match which {
            0 => Keep::All,
            1 => Keep::Head(bound),
            2 => Keep::Tail(bound),
            _ => Keep::BackPressure(bound),
        };
        let byte = |at: u64| u8::try_from(at % 251).unwrap();
        let (mut stream, mut model, mut stopped) = (stream(keep.clone()), Model::default(), false);
        for op in ops {
            match op {
                Op::Stop => stopped = true,
                Op::Push(count) => {
                    let bytes: Vec<u8> = (model.arrived..model.arrived + count as u64).map(byte).collect();
                    model.push(&keep, count, stopped);
                    let excess = if stopped { Excess::Dropped { share: NO_BUDGET, but: 0 } } else { Excess::Taken };
                    stream.push(&bytes, origin(), excess).unwrap();
                }
                Op::Read(count) => {
                    let mut out = vec![0; count];
                    let read = stream.read(&mut out);
                    let expected: Vec<u8> =
                        model.unread.drain(..count.min(model.unread.len())).map(byte).collect();
                    prop_assert_eq!(&out[..read], &expected);
                }
            }
            prop_assert_eq!((stream.len(), stream.dropped()), (model.unread.len(), model.dropped));
            if let (Some(first), false) = (model.unread.first(), stopped) {
                prop_assert_eq!(stream.buffer.position(), *first);
            }
        }
    }
}
