//! One output stream of one command: its unread bytes, and what becomes of those that come.

use super::Keep;
use crate::lines::{LineBuffer, LineEnds};

/// A line of a command's output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// Without its line end.
    pub bytes: Vec<u8>,
    /// Bytes of the stream before it.
    pub offset: u64,
}

/// What has arrived on one stream and was not read.
#[derive(Debug)]
pub(crate) struct Stream {
    buffer: LineBuffer,
    keep: Keep,
    /// An event with it waits to be taken.
    pub listed: bool,
}

impl Stream {
    pub(crate) fn new(keep: Keep, ends: LineEnds) -> Self {
        let mut buffer = LineBuffer::new();
        buffer.set_line_ends(ends);
        Self { buffer, keep, listed: false }
    }

    /// Takes in what has come.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match &self.keep {
            Keep::Nothing => {}
            Keep::All | Keep::Head(_) | Keep::Tail(_) | Keep::BackPressure(_) => {
                self.buffer.push(bytes);
            }
        }
    }

    /// Nothing more will come.
    pub(crate) fn finish(&mut self) {
        self.buffer.finish();
    }

    /// Unread bytes.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.unread()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.buffer.consume(count);
    }

    pub(crate) fn read(&mut self, out: &mut [u8]) -> usize {
        self.buffer.read(out)
    }

    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
    }

    pub(crate) fn take_line(&mut self, ends: LineEnds) -> Option<Line> {
        self.buffer.set_line_ends(ends);
        let offset = self.buffer.position();
        Some(Line { bytes: self.buffer.take_line()?, offset })
    }

    /// Whether there is a whole line.
    pub(crate) fn has_line(&mut self) -> bool {
        self.buffer.has_line()
    }

    /// The next line, still in the buffer until the next call.
    pub(crate) fn lend_line(&mut self) -> Option<(&[u8], u64)> {
        let offset = self.buffer.position();
        self.buffer.next_line().map(|line| (line, offset))
    }
}
