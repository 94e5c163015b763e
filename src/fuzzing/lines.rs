//! The targets that drive a line buffer.

use std::iter::Peekable;
use std::vec::IntoIter;

use crate::output::{LineBuffer, LineEnds};

/// Feeds a [`LineBuffer`] in random chunks, reads it in random ways, and compares it with a naive
/// model.
///
/// The first byte is the number of control bytes that follow; the rest is the stream. Each step
/// uses two control bytes: the size of the chunk to push, and the kind of read that follows. The
/// control bytes repeat.
pub fn lines(data: &[u8]) {
    let Some(model) = run(data) else { return };
    if model.is_whole {
        assert_eq!(model.lines, split(model.input), "the lines depend on the chunks");
    }
}

/// The [`lines`] target with a mistake in its oracle: a fuzzer that does not find it is useless.
///
/// The mistake is a classic: a `\r` just before the end of the stream counts as half a terminator.
pub fn canary(data: &[u8]) {
    let Some(Model { input, .. }) = run(data) else { return };
    let mistaken = input.strip_suffix(b"\r").unwrap_or(input);
    assert_eq!(split(mistaken), split(input), "the canary was caught, as it must be");
}

const ENDS: [LineEnds; 3] = [LineEnds::Bytes, LineEnds::Utf16Le, LineEnds::Utf16Be];

/// Applies the rules of lines to a whole stream at once.
fn split(input: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    let rest = lines.pop().unwrap_or_default();
    for line in &mut lines {
        *line = line.strip_suffix(b"\r").unwrap_or(line);
    }
    lines.extend(Some(rest).filter(|rest| !rest.is_empty()));
    lines
}

/// Runs a buffer and its model on one input, and returns the model.
fn run(data: &[u8]) -> Option<Model<'_>> {
    let (&count, rest) = data.split_first()?;
    let (control, input) = rest.split_at(usize::from(count).min(rest.len()));
    let mut control = control.iter().copied().cycle();
    let mut buffer = LineBuffer::new();
    let mut model = Model::new(input);
    while model.end < input.len() {
        let size = usize::from(control.next().unwrap_or(u8::MAX)) + 1;
        buffer.push(model.push(size));
        model.compare(&buffer);
        read(&mut buffer, &mut model, control.next().unwrap_or(0));
        model.compare(&buffer);
    }
    buffer.finish();
    model.finished = true;
    model.compare(&buffer);
    assert_eq!(buffer.unread(), &input[model.start..]);
    while let Some(expected) = model.line() {
        assert_eq!(buffer.next_line(), Some(expected));
    }
    assert_eq!(buffer.next_line(), None);
    model.compare(&buffer);
    Some(model)
}

/// One read: the low three bits of `control` choose its kind, the others its size.
fn read(buffer: &mut LineBuffer, model: &mut Model<'_>, control: u8) {
    let amount = usize::from(control >> 3);
    match control & 7 {
        0..=1 => {}
        2 => {
            let kind = amount % ENDS.len();
            buffer.set_line_ends(ENDS[kind]);
            model.is_whole &= kind == model.kind;
            model.kind = kind;
        }
        3 => {
            for _ in 0..=amount {
                assert_eq!(buffer.next_line(), model.line());
            }
            // Frees the memory of the last line.
            buffer.consume(0);
        }
        4 => {
            assert_eq!(buffer.next_line(), model.line());
            buffer.consume(0);
        }
        5 => {
            let mut out = [0; 32];
            let count = buffer.read(&mut out[..amount]);
            assert_eq!(out[..count], *model.raw(amount));
        }
        6 => {
            buffer.consume(amount);
            model.raw(amount);
        }
        _ => {
            buffer.clear();
            model.raw(usize::MAX);
        }
    }
}

/// The whole stream, with the line ends of each kind known in advance: `start..end` is unread.
struct Model<'a> {
    input: &'a [u8],
    newlines: [Peekable<IntoIter<usize>>; 3],
    kind: usize,
    start: usize,
    end: usize,
    finished: bool,
    /// The lines that were read.
    lines: Vec<&'a [u8]>,
    /// Whether `lines` is everything that was read: no raw read has split a line, and all lines
    /// have used the same line ends.
    is_whole: bool,
}

impl<'a> Model<'a> {
    fn new(input: &'a [u8]) -> Self {
        let bytes: Vec<usize> = (0..input.len()).filter(|&at| input[at] == b'\n').collect();
        let units = |newline: &[u8; 2]| -> Vec<usize> {
            let (units, _) = input.as_chunks::<2>();
            (0..units.len()).filter(|&at| units[at] == *newline).map(|at| 2 * at).collect()
        };
        let newlines = [bytes, units(b"\n\0"), units(b"\0\n")];
        let newlines = newlines.map(|offsets| offsets.into_iter().peekable());
        Self { input, newlines, kind: 0, start: 0, end: 0, finished: false, lines: vec![], is_whole: true }
    }

    fn push(&mut self, size: usize) -> &'a [u8] {
        let start = self.end;
        self.end = self.input.len().min(start + size);
        &self.input[start..self.end]
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let (width, carriage_return) = [(1, &b"\r"[..]), (2, b"\r\0"), (2, b"\0\r")][self.kind];
        let newlines = &mut self.newlines[self.kind];
        while newlines.next_if(|&newline| newline < self.start).is_some() {}
        let line = match newlines.next_if(|&newline| newline + width <= self.end) {
            Some(newline) => {
                let line = self.advance(newline + width);
                let line = &line[..line.len() - width];
                line.strip_suffix(carriage_return).unwrap_or(line)
            }
            None if self.finished && self.start < self.end => self.advance(self.end),
            None => return None,
        };
        self.lines.push(line);
        Some(line)
    }

    fn raw(&mut self, count: usize) -> &'a [u8] {
        self.is_whole = false;
        self.advance(self.end.min(self.start.saturating_add(count)))
    }

    fn advance(&mut self, to: usize) -> &'a [u8] {
        let start = std::mem::replace(&mut self.start, to);
        &self.input[start..to]
    }

    fn compare(&self, buffer: &LineBuffer) {
        let unread = self.end - self.start;
        assert_eq!((buffer.len(), buffer.is_empty()), (unread, unread == 0));
        assert_eq!(usize::try_from(buffer.position()), Ok(self.start));
        assert_eq!(buffer.is_finished(), self.finished);
        let idle = if self.finished { 0 } else { LineBuffer::IDLE_CAPACITY };
        let bound = if unread == 0 { idle } else { LineBuffer::IDLE_CAPACITY.max(4 * unread) };
        assert!(buffer.capacity() <= bound, "{buffer:?} exceeds {bound}");
    }
}
