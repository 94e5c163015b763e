//! One output stream of one command: its unread bytes, and what is done with arriving bytes.

use std::io;

use super::{Keep, Piece};
use crate::ids::{CommandId, HostId, StdStream};
use crate::output::{LineBuffer, LineEnds, SpareBuffers};

/// A line of a command's output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// The bytes of the line without its line end.
    pub bytes: Vec<u8>,
    /// How many bytes of the stream precede the line.
    pub offset: u64,
}

/// A line of a command's output, lent by [`Fleet::next_line`](crate::Fleet::next_line).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LentLine<'a> {
    /// The bytes of the line without its line end.
    pub bytes: &'a [u8],
    /// How many bytes of the stream precede the line.
    pub offset: u64,
}

/// The output that has arrived on one stream and has not been read.
///
/// The methods' argument `share` is how many unread bytes the fleet's budget allows this stream. It
/// is an argument because it changes all the time.
#[derive(Debug)]
pub(crate) struct Stream {
    buffer: LineBuffer,
    keep: Keep,
    /// How many bytes were dropped.
    dropped: u64,
    /// Whether an event for this stream is waiting to be taken.
    pub listed: bool,
}

/// The source of a piece of output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub host: HostId,
    pub command: CommandId,
    pub stream: StdStream,
}

/// What is done with bytes for which there is no room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Excess {
    /// The bytes are kept, because no more will arrive before there is room.
    Taken,
    /// The bytes are dropped, because the host does not wait for room. Before any are dropped, the
    /// stream may exceed its bound by `but` bytes.
    Dropped { share: usize, but: usize },
}

/// How many more bytes a stream may receive, and which bound determines this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Room {
    pub bytes: usize,
    pub bound: Bound,
}

/// A bound on the unread bytes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bound {
    /// The stream's own setting.
    Stream,
    /// The fleet's output budget.
    Budget,
}

/// A range of bytes that were consumed and are still in the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lent {
    /// How many bytes of the stream precede these bytes.
    pub offset: u64,
    len: usize,
}

impl Room {
    pub(crate) const ENDLESS: Self = Self { bytes: usize::MAX, bound: Bound::Budget };

    /// The bound that has been reached if no room is left; `None` if there is room.
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

    /// Makes large buffers come from these ones, and go there.
    pub(crate) fn share(&mut self, spare: &SpareBuffers) {
        self.buffer.share(spare);
    }

    /// Adds bytes that have arrived.
    ///
    /// # Errors
    /// Returns the error of the stream's sink, which then receives nothing more.
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
            // Once bytes were dropped, later ones are dropped too. Otherwise they would seem to
            // follow directly on the bytes before the gap.
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
        // Nothing more will be kept, so an unterminated rest is the last line.
        if let Keep::Head(0) = self.keep {
            self.buffer.finish();
        }
        Ok(())
    }

    /// Appends these bytes to the unread bytes, and keeps only the last `last` of them all.
    fn push_last(&mut self, bytes: &[u8], last: usize) {
        let excess = (self.len() + bytes.len()).saturating_sub(last);
        self.dropped += excess as u64;
        match excess.checked_sub(self.len()) {
            None => self.buffer.consume(excess),
            Some(never_in) => self.buffer.skip(never_in),
        }
        self.buffer.push(&bytes[bytes.len().saturating_sub(last)..]);
    }

    /// The number of unread bytes at which the stream's own setting makes the host wait.
    fn bound(&self) -> usize {
        match self.keep {
            Keep::BackPressure(most) => most,
            _ => usize::MAX,
        }
    }

    /// How many more bytes may arrive before the host has to wait.
    pub(crate) fn room(&self, share: usize) -> Room {
        if self.buffer.is_finished() || matches!(self.keep, Keep::Nothing | Keep::Sink(_)) {
            return Room::ENDLESS;
        }
        let (own, share) = (self.bound().saturating_sub(self.len()), share.saturating_sub(self.len()));
        Room { bytes: own, bound: Bound::Stream }.min(Room { bytes: share, bound: Bound::Budget })
    }

    /// Gives back memory reserved for further bytes. Call this when the host is about to wait.
    pub(crate) fn settle(&mut self) {
        self.buffer.settle();
    }

    /// Marks the end of the stream.
    pub(crate) fn finish(&mut self) {
        self.buffer.finish();
    }

    /// How many bytes are unread.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// How many bytes have arrived and were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the output goes to a sink.
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

    /// Sets how lines end from the first unread byte on.
    pub(crate) fn set_line_ends(&mut self, ends: LineEnds) {
        self.buffer.set_line_ends(ends);
    }

    /// Whether [`lend_line`](Self::lend_line) would return a line.
    pub(crate) fn has_line(&mut self, share: usize) -> bool {
        self.buffer.has_line() || !self.is_empty() && self.room(share).lack().is_some()
    }

    /// Consumes the next line. If a line has no end yet and the stream has no room for more of it,
    /// consumes the part that has arrived. The bytes stay in the buffer until the next call.
    pub(crate) fn lend_line(&mut self, share: usize) -> Option<Lent> {
        let offset = self.buffer.position();
        let line = if self.buffer.has_line() { self.buffer.next_line() } else { self.next_piece(share) };
        Some(Lent { offset, len: line?.len() })
    }

    /// Consumes up to `most` unread bytes. They stay in the buffer until the next call.
    pub(crate) fn lend(&mut self, most: usize) -> Lent {
        let offset = self.buffer.position();
        Lent { offset, len: self.buffer.next_bytes(most).len() }
    }

    /// The bytes that the last call has consumed.
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
