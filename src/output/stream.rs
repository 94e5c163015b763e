//! One output stream of one command: its unread bytes, and what becomes of those that come.

use std::io;

use super::{Keep, Piece};
use crate::ids::{CommandId, HostId, StdStream};
use crate::output::{LineBuffer, LineEnds};

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
///
/// `share` is what a stream may hold as far as the fleet's budget is concerned: it changes all the
/// time, so it is an argument.
#[derive(Debug)]
pub(crate) struct Stream {
    buffer: LineBuffer,
    keep: Keep,
    /// Bytes that were not kept.
    dropped: u64,
    /// An event with it waits to be taken.
    pub listed: bool,
}

/// Where output comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub host: HostId,
    pub command: CommandId,
    pub stream: StdStream,
}

/// What becomes of bytes that there is no room for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Excess {
    /// They are taken in: no more will come before there is room.
    Taken,
    /// They are dropped, but for so many: nobody is held back.
    Dropped { share: usize, but: usize },
}

/// How many bytes are welcome, and what bounds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Room {
    pub bytes: usize,
    pub bound: Bound,
}

/// What bounds the unread bytes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bound {
    /// Its own policy.
    Stream,
    /// The fleet's budget.
    Budget,
}

/// Bytes that were consumed and are still in the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lent {
    /// Bytes of the stream before them.
    pub offset: u64,
    len: usize,
}

impl Room {
    pub(crate) const ENDLESS: Self = Self { bytes: usize::MAX, bound: Bound::Budget };

    /// What bounds it where there is none.
    pub(crate) fn lack(self) -> Option<Bound> {
        (self.bytes == 0).then_some(self.bound)
    }
}

impl Stream {
    pub(crate) fn new(keep: Keep, ends: LineEnds) -> Self {
        let mut buffer = LineBuffer::new();
        buffer.set_line_ends(ends);
        let keep = match keep {
            Keep::Head(0) | Keep::Tail(0) => Keep::Nothing,
            keep => keep,
        };
        Self { buffer, keep, dropped: 0, listed: false }
    }

    /// Takes in what has come.
    ///
    /// # Errors
    /// Those of its sink, which gets no more then.
    pub(crate) fn push(&mut self, bytes: &[u8], origin: Origin, excess: Excess) -> io::Result<()> {
        let most = match excess {
            Excess::Taken => usize::MAX,
            Excess::Dropped { share, but } => self.bound().min(share).saturating_add(but),
        };
        let room = most.saturating_sub(self.len());
        let kept = match &mut self.keep {
            Keep::Nothing => 0,
            Keep::Sink(sink) => {
                let Origin { host, command, stream } = origin;
                let taken = sink.take(Piece { host, command, stream, bytes });
                if taken.is_err() {
                    self.keep = Keep::Nothing;
                    self.dropped += bytes.len() as u64;
                }
                return taken;
            }
            Keep::Tail(last) => {
                let last = (*last).min(most);
                self.push_last(bytes, last);
                return Ok(());
            }
            // What follows a gap would be taken for what was there.
            _ if self.dropped > 0 => 0,
            Keep::All | Keep::BackPressure(_) => bytes.len().min(room),
            Keep::Head(left) => {
                let kept = bytes.len().min(room).min(*left);
                *left -= kept;
                kept
            }
        };
        self.buffer.push(&bytes[..kept]);
        self.dropped += (bytes.len() - kept) as u64;
        // Nothing can follow, so what is left of a line is one.
        if let Keep::Head(0) = self.keep {
            self.buffer.finish();
        }
        Ok(())
    }

    /// Keeps the last so many bytes of what there is and what has come.
    fn push_last(&mut self, bytes: &[u8], last: usize) {
        let excess = (self.len() + bytes.len()).saturating_sub(last);
        self.dropped += excess as u64;
        match excess.checked_sub(self.len()) {
            None => self.buffer.consume(excess),
            Some(never_in) => self.buffer.skip(never_in),
        }
        self.buffer.push(&bytes[bytes.len().saturating_sub(last)..]);
    }

    /// Unread bytes that its own policy has others wait at.
    fn bound(&self) -> usize {
        match self.keep {
            Keep::BackPressure(most) => most,
            _ => usize::MAX,
        }
    }

    /// How many bytes may come before others wait.
    pub(crate) fn room(&self, share: usize) -> Room {
        if self.buffer.is_finished() || matches!(self.keep, Keep::Nothing | Keep::Sink(_)) {
            return Room::ENDLESS;
        }
        let (own, share) = (self.bound().saturating_sub(self.len()), share.saturating_sub(self.len()));
        Room { bytes: own, bound: Bound::Stream }.min(Room { bytes: share, bound: Bound::Budget })
    }

    /// Its host is about to wait: gives back the room for more.
    pub(crate) fn settle(&mut self) {
        self.buffer.settle();
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

    /// Bytes that have come and were not kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether what comes goes elsewhere.
    pub(crate) fn has_sink(&self) -> bool {
        matches!(self.keep, Keep::Sink(_))
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

    /// Takes the next line, or what there is of one that can get no longer before it is taken.
    pub(crate) fn take_line(&mut self, ends: LineEnds, share: usize) -> Option<Line> {
        self.buffer.set_line_ends(ends);
        let offset = self.buffer.position();
        let bytes = match self.buffer.take_line() {
            Some(line) => line,
            None => self.next_piece(share)?.to_vec(),
        };
        Some(Line { bytes, offset })
    }

    /// Whether there is a line to take.
    pub(crate) fn has_line(&mut self, share: usize) -> bool {
        self.buffer.has_line() || !self.is_empty() && self.room(share).lack().is_some()
    }

    /// Consumes the next line. It stays in the buffer until the next call.
    pub(crate) fn lend_line(&mut self, share: usize) -> Option<Lent> {
        let offset = self.buffer.position();
        let line = if self.buffer.has_line() { self.buffer.next_line() } else { self.next_piece(share) };
        Some(Lent { offset, len: line?.len() })
    }

    /// Consumes all unread bytes. They stay in the buffer until the next call.
    pub(crate) fn lend(&mut self) -> Lent {
        let offset = self.buffer.position();
        Lent { offset, len: self.buffer.next_rest().len() }
    }

    /// The bytes that were consumed by the last call.
    pub(crate) fn lent(&self, lent: Lent) -> &[u8] {
        self.buffer.consumed(lent.offset, lent.len)
    }

    fn next_piece(&mut self, share: usize) -> Option<&[u8]> {
        self.room(share).lack()?;
        self.buffer.next_piece()
    }
}

#[cfg(test)]
mod tests;
