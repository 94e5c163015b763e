use std::borrow::Cow;

use proptest::prelude::*;

use super::{LineBuffer, LineEnds, SpareBuffers};
use crate::limits;

/// The lines that every way of feeding and reading must give. They come from applying the rules to
/// the whole input at once.
fn reference(input: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = input.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let rest = lines.pop().unwrap_or_default();
    for line in &mut lines {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Takes a line, and gives its memory back.
fn take_line(buffer: &mut LineBuffer) -> Option<Vec<u8>> {
    let line = buffer.next_line()?.to_vec();
    buffer.consume(0);
    Some(line)
}

fn drain(buffer: &mut LineBuffer) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| take_line(buffer)).collect()
}

fn assert_bounded(buffer: &LineBuffer) {
    let bound = LineBuffer::IDLE_CAPACITY.max(4 * buffer.len());
    assert!(buffer.capacity() <= bound, "{buffer:?} exceeds {bound}");
    assert!(buffer.head <= buffer.scanned && buffer.scanned <= buffer.data.len());
}

/// Feeds `chunks` and reads the lines: after each chunk if `eager`, or else only at the end.
fn lines_of<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, eager: bool) -> Vec<Vec<u8>> {
    let mut buffer = LineBuffer::new();
    let mut lines = Vec::new();
    for chunk in chunks {
        buffer.push(chunk);
        assert_bounded(&buffer);
        if eager {
            lines.extend(drain(&mut buffer));
            assert_bounded(&buffer);
        }
    }
    buffer.finish();
    lines.extend(drain(&mut buffer));
    assert!(buffer.is_empty());
    assert_eq!(buffer.capacity(), 0);
    lines
}

fn strings(lines: &[Vec<u8>]) -> Vec<Cow<'_, str>> {
    lines.iter().map(|line| String::from_utf8_lossy(line)).collect()
}

#[test]
fn only_newline_and_crlf_end_a_line() {
    let lines = lines_of([&b"abc\ndef\nxy\rz\nend\n"[..]], true);
    assert_eq!(strings(&lines), ["abc", "def", "xy\rz", "end"]);
    let lines = lines_of([&b"a\r\nb\0c\r\n\r\n\n\rd\r\r\ne"[..]], true);
    assert_eq!(strings(&lines), ["a", "b\0c", "", "", "\rd\r", "e"]);
}

#[test]
fn carriage_return_at_the_end_of_the_stream_is_data() {
    assert_eq!(strings(&lines_of([&b"a\nb\r"[..]], false)), ["a", "b\r"]);
    assert_eq!(strings(&lines_of([&b"\r"[..]], false)), ["\r"]);
    assert_eq!(strings(&lines_of([&b"\n"[..]], false)), [""]);
    assert_eq!(strings(&lines_of([&b""[..]], false)), [] as [&str; 0]);
}

#[test]
fn crlf_across_two_chunks_is_one_terminator() {
    let mut buffer = LineBuffer::new();
    buffer.push(b"one\r");
    assert_eq!(buffer.next_line(), None);
    buffer.push(b"\ntwo");
    assert_eq!(buffer.next_line(), Some(&b"one"[..]));
    assert_eq!(buffer.next_line(), None);
}

#[test]
fn partial_line_survives_a_reader_that_stops() {
    let mut buffer = LineBuffer::new();
    buffer.push(b"whole\npart");
    assert_eq!(buffer.next_line(), Some(&b"whole"[..]));
    for _ in 0..3 {
        assert_eq!(buffer.next_line(), None);
        assert_eq!(buffer.unread(), b"part");
    }
    buffer.push(b"ial");
    assert_eq!(buffer.next_line(), None);
    buffer.finish();
    assert_eq!(buffer.next_line(), Some(&b"partial"[..]));
    assert_eq!(buffer.next_line(), None);
    assert!(buffer.is_finished() && buffer.is_empty());
}

#[test]
fn bytes_after_the_end_are_ignored() {
    let mut buffer = LineBuffer::new();
    buffer.push(b"last");
    buffer.finish();
    buffer.push(b" words\n");
    buffer.finish();
    assert_eq!(drain(&mut buffer), [b"last"]);
}

/// Tests every input of up to six of the four symbols that matter, cut in every possible way.
#[test]
fn every_split_of_every_short_input_gives_the_same_lines() {
    const SYMBOLS: [u8; 4] = *b"a\r\n\0";
    for len in 0..=6_u32 {
        for number in 0..4_usize.pow(len) {
            let input: Vec<u8> = (0..len).map(|i| SYMBOLS[number / 4_usize.pow(i) % 4]).collect();
            let expected = reference(&input);
            for cuts in 0..1_usize << len.saturating_sub(1) {
                let (mut chunks, mut rest) = (Vec::new(), &input[..]);
                let mut taken = 0;
                for position in (1..input.len()).filter(|position| cuts >> (position - 1) & 1 == 1) {
                    let (chunk, tail) = rest.split_at(position - taken);
                    chunks.push(chunk);
                    (rest, taken) = (tail, position);
                }
                chunks.push(rest);
                assert_eq!(lines_of(chunks, cuts % 2 == 0), expected, "{input:?} cut as {cuts:b}");
            }
        }
    }
}

/// The lines of UTF-16, from applying the rules to whole units at once.
fn reference_of_units(units: &[u16]) -> Vec<Vec<u16>> {
    let mut lines: Vec<Vec<u16>> = units.split(|&unit| unit == 0x0a).map(<[u16]>::to_vec).collect();
    let rest = lines.pop().unwrap_or_default();
    for line in &mut lines {
        line.pop_if(|unit| *unit == 0x0d);
    }
    lines.extend(Some(rest).filter(|rest| !rest.is_empty()));
    lines
}

type ToBytes = fn(u16) -> [u8; 2];

const UTF_16: [(LineEnds, ToBytes); 2] =
    [(LineEnds::Utf16Le, u16::to_le_bytes), (LineEnds::Utf16Be, u16::to_be_bytes)];

/// Tests every input of up to four of the units that matter, cut in every possible way. Some of the
/// units contain the byte of a line end without being one.
#[test]
fn every_split_of_every_short_input_of_units_gives_the_same_lines() {
    const SYMBOLS: [u16; 6] = [0x61, 0x0a, 0x0d, 0x0a00, 0x0a0a, 0];
    for (ends, to_bytes) in UTF_16 {
        let lines_of_units = |chunks: &[u8], cuts: usize| {
            let mut buffer = LineBuffer::new();
            buffer.set_line_ends(ends);
            let mut lines = Vec::new();
            for (position, byte) in chunks.iter().enumerate() {
                buffer.push(&[*byte]);
                assert_bounded(&buffer);
                if cuts >> position & 1 == 1 {
                    lines.extend(drain(&mut buffer));
                }
            }
            buffer.finish();
            lines.extend(drain(&mut buffer));
            lines
        };
        for len in 0..=4_u32 {
            for number in 0..6_usize.pow(len) {
                let units: Vec<u16> = (0..len).map(|i| SYMBOLS[number / 6_usize.pow(i) % 6]).collect();
                let to_bytes = |units: &[u16]| units.iter().copied().flat_map(to_bytes).collect::<Vec<u8>>();
                let expected: Vec<_> = reference_of_units(&units).iter().map(|line| to_bytes(line)).collect();
                let input = to_bytes(&units);
                for cuts in 0..1_usize << input.len().saturating_sub(1) {
                    assert_eq!(lines_of_units(&input, cuts), expected, "{ends:?} {units:x?} cut as {cuts:b}");
                }
            }
        }
    }
}

#[test]
fn half_a_unit_at_the_end_of_the_stream_is_data() {
    for (ends, to_bytes) in UTF_16 {
        let mut buffer = LineBuffer::new();
        buffer.set_line_ends(ends);
        buffer.push(&[to_bytes(0x61), to_bytes(0x0a)].concat());
        buffer.push(&to_bytes(0x0a)[..1]);
        assert_eq!(drain(&mut buffer), [to_bytes(0x61)]);
        buffer.finish();
        assert_eq!(drain(&mut buffer), [&to_bytes(0x0a)[..1]]);
    }
}

#[test]
fn units_are_counted_from_the_start_of_the_stream() {
    for (ends, to_bytes) in UTF_16 {
        let mut buffer = LineBuffer::new();
        buffer.set_line_ends(ends);
        let [a, newline, b] = [0x61, 0x0a, 0x62].map(to_bytes);
        buffer.push(&[a, newline, b, newline].concat());
        assert_eq!(buffer.read(&mut [0; 1]), 1);
        assert_eq!(take_line(&mut buffer).as_deref(), Some(&a[1..]), "the rest of a unit that was cut");
        assert_eq!(buffer.position(), 4);
        assert_eq!(take_line(&mut buffer).as_deref(), Some(&b[..]));
        // Half of a line end does not end a line.
        buffer.push(&[newline, a, newline].concat());
        buffer.consume(1);
        assert_eq!(take_line(&mut buffer), Some([&newline[1..], &a].concat()));
        assert_eq!(take_line(&mut buffer), None);
    }
}

#[test]
fn other_line_ends_count_from_the_first_unread_byte() {
    let mut buffer = LineBuffer::new();
    buffer.push(b"text\na\0b\0");
    assert_eq!(take_line(&mut buffer).as_deref(), Some(&b"text"[..]));
    buffer.consume(1);
    buffer.push(b"\n\0c\0\n\0\n");
    buffer.set_line_ends(LineEnds::Utf16Be);
    assert_eq!(take_line(&mut buffer).as_deref(), Some(&b"\0b"[..]));
    assert_eq!(take_line(&mut buffer).as_deref(), Some(&b"\0c"[..]));
    assert_eq!(take_line(&mut buffer).as_deref(), Some(&b""[..]));
    assert_eq!(take_line(&mut buffer), None);
    buffer.push(b"\0x\n\0");
    assert_eq!(take_line(&mut buffer), None);
    // Bytes that were searched for units must be searched again for single bytes.
    buffer.set_line_ends(LineEnds::Bytes);
    assert_eq!(take_line(&mut buffer).as_deref(), Some(&b"\0x"[..]));
}

#[test]
fn every_cut_of_a_text_in_two_gives_the_same_lines() {
    let text = "é\r\n\r\nzwei\rdrei\n\u{1f980}\0\n\n\r\r\nno end \r".repeat(3);
    let expected = reference(text.as_bytes());
    for eager in [false, true] {
        for position in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(position);
            assert_eq!(lines_of([head, tail], eager), expected, "cut at {position}");
        }
    }
}

#[test]
fn raw_and_line_reads_continue_each_other() {
    let mut buffer = LineBuffer::new();
    buffer.push(b"first\r\nsecond\nthird\r\nfourth");
    let mut out = [0; 3];
    assert_eq!(buffer.read(&mut out), 3);
    assert_eq!(&out, b"fir");
    assert_eq!(buffer.next_line(), Some(&b"st"[..]));
    assert_eq!(buffer.read(&mut []), 0);
    assert_eq!(buffer.read(&mut out), 3);
    assert_eq!(take_line(&mut buffer).as_deref(), Some(&b"ond"[..]));
    buffer.consume(6);
    assert_eq!(buffer.next_line(), Some(&b""[..]), "the rest of a terminator cut by a raw read");
    assert_eq!(buffer.next_line(), None);
    assert_eq!(buffer.unread(), b"fourth");
    buffer.clear();
    assert_eq!(buffer.unread(), b"");
    buffer.push(b"fifth\n");
    assert_eq!(buffer.next_line(), Some(&b"fifth"[..]));
    buffer.push(b"rest");
    buffer.consume(usize::MAX);
    assert_eq!(buffer.len(), 0);
}

#[test]
fn clearing_after_a_scan_does_not_hide_the_next_newline() {
    let mut buffer = LineBuffer::new();
    buffer.push(b"scanned without a newline");
    assert_eq!(buffer.next_line(), None);
    buffer.clear();
    assert_bounded(&buffer);
    buffer.push(b"a\nb");
    assert_eq!(buffer.next_line(), Some(&b"a"[..]));
}

/// If every chunk caused a rescan, this would take 10^12 steps.
#[test]
fn a_megabyte_line_byte_by_byte_is_linear() {
    const LEN: usize = 1_000_000;
    let mut buffer = LineBuffer::new();
    let mut growths = 0;
    for _ in 0..LEN {
        let before = buffer.capacity();
        buffer.push(b"x");
        growths += usize::from(buffer.capacity() != before);
        assert_eq!(buffer.next_line(), None);
    }
    assert!(growths <= 20, "{growths} reallocations are not logarithmic");
    assert!(buffer.capacity() <= 2 * LEN + 64, "{buffer:?}");
    buffer.push(b"\r");
    assert_eq!(buffer.next_line(), None);
    buffer.push(b"\n");
    assert_eq!(buffer.next_line().map(<[u8]>::len), Some(LEN));
    assert_eq!(buffer.next_line(), None);
    assert!(buffer.capacity() <= LineBuffer::IDLE_CAPACITY, "{buffer:?}");
}

/// The reader stays `BACKLOG` bytes behind, so the buffer is never empty and always has consumed
/// bytes at its start.
#[test]
fn a_lagging_reader_of_single_bytes_is_linear_and_bounded() {
    const BACKLOG: usize = 100_000;
    let mut buffer = LineBuffer::new();
    buffer.push(&vec![b'x'; BACKLOG]);
    let mut out = [0];
    for _ in 0..2_000_000 {
        buffer.push(b"x");
        assert_eq!(buffer.read(&mut out), 1);
        assert!(buffer.capacity() <= 4 * BACKLOG, "{buffer:?}");
    }
    assert_eq!(buffer.len(), BACKLOG);
}

/// Moving the bytes to free a single byte would have to be repeated after the next byte.
#[test]
fn a_full_buffer_grows_rather_than_move_much_to_win_little() {
    let mut buffer = LineBuffer::new();
    buffer.push(&[b'x'; 10_000]);
    buffer.push(b"x");
    while buffer.data.len() < buffer.capacity() {
        buffer.push(b"x");
    }
    assert_eq!(buffer.next_line(), None);
    let (unread, scanned) = (buffer.len(), buffer.scanned);
    buffer.consume(1);
    buffer.push(b"x");
    assert_eq!(buffer.len(), unread);
    assert!(buffer.capacity() - buffer.data.len() >= unread - 2, "{buffer:?}");
    assert_eq!(buffer.scanned, scanned - 1, "what was searched is not searched again after a move");
}

#[test]
fn three_hundred_thousand_short_lines() {
    let mut buffer = LineBuffer::new();
    let input: Vec<u8> = (0..300_000).flat_map(|i| format!("{i}\n").into_bytes()).collect();
    for chunk in input.chunks(4096) {
        buffer.push(chunk);
    }
    buffer.finish();
    for i in 0..300_000 {
        assert_eq!(buffer.next_line(), Some(i.to_string().as_bytes()));
    }
    assert_eq!(buffer.next_line(), None);
}

#[test]
fn a_burst_read_line_by_line_is_given_back_on_the_way() {
    const LINES: usize = 2_000_000;
    let line = [[b'x'; 99].as_slice(), b"\n"].concat();
    let chunk = line.repeat(1_000);
    let mut buffer = LineBuffer::new();
    for _ in 0..LINES / 1_000 {
        buffer.push(&chunk);
    }
    assert_eq!(buffer.len(), LINES * line.len());
    assert!(buffer.capacity() <= 2 * buffer.len());
    for read in 1..=LINES {
        assert_eq!(buffer.next_line().map(<[u8]>::len), Some(99));
        let lent_or_unread = (LINES - read + 1) * line.len();
        assert!(buffer.capacity() <= LineBuffer::IDLE_CAPACITY.max(4 * lent_or_unread), "{buffer:?}");
    }
    assert_eq!(buffer.next_line(), None);
    assert!(buffer.capacity() <= LineBuffer::IDLE_CAPACITY, "{buffer:?}");
    buffer.finish();
    assert_eq!(buffer.capacity(), 0);
}

#[test]
fn a_finished_stream_keeps_no_spare_capacity() {
    let mut buffer = LineBuffer::new();
    for _ in 0..10_000 {
        buffer.push(b"0123456789\n");
    }
    assert_eq!(buffer.next_line(), Some(&b"0123456789"[..]));
    buffer.finish();
    assert_eq!(buffer.capacity(), buffer.len());
}

/// As when a host prints without end, and its reader is slower.
#[test]
fn a_stream_near_its_bound_keeps_its_allocation() {
    const BOUND: usize = limits::STREAM_UNREAD;
    let packet = b"y\n".repeat(16_000);
    let mut buffer = LineBuffer::new();
    let mut capacities = Vec::new();
    for round in 0..10_000 {
        while buffer.len() < BOUND {
            buffer.push(&packet);
        }
        buffer.settle();
        for _ in 0..100 + round % 1_000 {
            assert_eq!(buffer.next_line(), Some(&b"y"[..]));
        }
        if capacities.last() != Some(&buffer.capacity()) {
            capacities.push(buffer.capacity());
        }
    }
    assert_eq!(capacities, [BOUND + 96 * 1024]);

    // More arrives than there is room for, and is read.
    buffer.push(&packet.repeat(4));
    assert_eq!(buffer.capacity(), 2 * capacities[0]);
    while buffer.len() > BOUND + 16 * 1024 {
        buffer.next_line();
    }
    buffer.settle();
    assert_eq!(buffer.capacity(), capacities[0]);
}

/// Two blocks for a moment would leave a hole that small allocations settle in.
#[test]
fn a_stream_just_below_its_bound_takes_a_visits_output_into_one_block() {
    const VISIT: usize = limits::OUTPUT_PER_VISIT;
    let line = [&[b'y'; 999][..], b"\n"].concat();
    for consumed in (1..100).step_by(7) {
        let mut buffer = LineBuffer::new();
        for _ in 0..20 {
            while buffer.len() < limits::STREAM_UNREAD {
                let room = limits::STREAM_UNREAD - 1 - buffer.len();
                // Up to the last byte below the bound, and then as much as a visit can add.
                let added = if room == 0 { VISIT } else { room.min(VISIT) };
                buffer.push(&line.repeat(VISIT / line.len() + 1)[..added]);
                assert!(buffer.capacity() <= LineBuffer::BLOCK, "{consumed} lines: {buffer:?}");
            }
            buffer.settle();
            (0..consumed).for_each(|_| _ = buffer.next_line());
        }
    }
}

#[test]
fn capacities_are_powers_of_two_and_then_multiples_of_a_block() {
    let mut buffer = LineBuffer::new();
    let mut out = vec![0; 3 * 1024 * 1024];
    for step in 0..20_000 {
        buffer.push(&vec![b'x'; step % 701]);
        let capacity = buffer.capacity();
        let class = if capacity > 131_072 { LineBuffer::BLOCK } else { capacity.next_power_of_two().max(64) };
        assert_eq!(capacity % class, 0, "{buffer:?}");
        if step % 37 == 0 {
            let read = buffer.len() * (step % 100) / 100;
            buffer.read(&mut out[..read]);
        }
    }
}

/// Fills a buffer, and returns it with the address of its memory.
fn filled(spare: &SpareBuffers, bytes: usize) -> (LineBuffer, usize) {
    let mut buffer = LineBuffer::new();
    buffer.share(spare);
    for _ in 0..bytes / 1000 {
        buffer.push(&[b'x'; 1000]);
    }
    let address = buffer.data.as_ptr() as usize;
    (buffer, address)
}

#[test]
fn large_memory_goes_from_stream_to_stream() {
    let spare = SpareBuffers::new();
    for bytes in [30_000, 50_000, 100_000, 200_000] {
        let (mut first, memory) = filled(&spare, bytes);
        let capacity = first.capacity();
        first.clear();
        assert_eq!(first.capacity(), 0);
        // Takes the place of a buffer that was freed.
        let _other = Vec::<u8>::with_capacity(capacity);
        let (mut second, again) = filled(&spare, bytes);
        assert_eq!(again, memory, "{bytes} bytes");
        second.finish();
        assert_eq!((second.capacity(), second.len()), (bytes, bytes));
        let (third, again) = filled(&spare, bytes);
        assert_eq!((third.capacity() > bytes, again), (true, memory), "{bytes} bytes");
    }
}

#[test]
fn a_finished_stream_keeps_a_block_that_is_nearly_full() {
    let (mut buffer, memory) = filled(&SpareBuffers::new(), 230_000);
    buffer.finish();
    assert_eq!((buffer.capacity(), buffer.data.as_ptr() as usize), (LineBuffer::BLOCK, memory));
    let (mut buffer, _) = filled(&SpareBuffers::new(), 220_000);
    buffer.finish();
    assert_eq!(buffer.capacity(), 220_000);
}

#[test]
fn few_buffers_are_kept_and_only_those_that_others_need() {
    let spare = SpareBuffers::new();
    let sizes = [300_000, 100_000, 50_000, 30_000, 10_000, 1_000_000];
    let mut buffers: Vec<_> = sizes.repeat(5).into_iter().map(|bytes| filled(&spare, bytes)).collect();
    buffers.iter_mut().for_each(|(buffer, _)| buffer.clear());
    let mut kept = spare.capacities();
    kept.sort_unstable();
    assert_eq!(kept, [32, 32, 64, 64, 128, 128, 352, 352].map(|kib| kib * 1024));
    assert!(SpareBuffers::default().capacities().is_empty());
    let (mut buffer, _) = filled(&SpareBuffers::default(), 300_000);
    buffer.clear();
    assert!(buffer.spare.capacities().is_empty(), "a buffer of no fleet");
}

#[test]
fn debug_does_not_show_output() {
    let mut buffer = LineBuffer::new();
    buffer.push(b"hunter2");
    assert!(!format!("{buffer:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn any_chunks_give_the_same_lines(
        chunks in prop::collection::vec(prop::collection::vec(prop_oneof![
            4 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'\r'),
        ], 0..200), 0..12),
        eager: bool,
    ) {
        let expected = reference(&chunks.concat());
        prop_assert_eq!(lines_of(chunks.iter().map(Vec::as_slice), eager), expected);
    }
}
