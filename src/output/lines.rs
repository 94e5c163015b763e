//! The buffer of one output stream, which takes bytes and returns lines or raw bytes.
//!
//! A [`LineBuffer`] belongs to the stdout or the stderr of one command on one host. The reactor
//! pushes what arrives, in chunks of any size. A reader takes lines or raw bytes at any time.
//! Because an unfinished line stays in the buffer, a reader that stops early (because of a timeout
//! or a dropped iterator) loses nothing, and the next reader continues at the same byte.
//!
//! # What a line is
//! `\n` and `\r\n` end a line and are stripped. Nothing else ends a line, not even a lone `\r` or
//! NUL. Empty lines are kept. The last line needs no terminator. If it has none, it is returned
//! once the stream has ended, and a `\r` at its end is data.
//!
//! A character of a line end is one byte or, if the reader [says so](LineEnds), one code unit of
//! UTF-16. Units are counted from the start of the stream, no matter how the bytes before them were
//! read.
//!
//! # Cost
//! Every byte is copied in once, copied out once, and searched for its terminator once, no matter
//! how the stream was cut into chunks. The memory of consumed bytes is given back. After every call
//! that takes `&mut self`, the [capacity](LineBuffer::capacity) is at most
//! [`IDLE_CAPACITY`](LineBuffer::IDLE_CAPACITY) or four times the unread bytes, whichever is
//! larger. A line lent by [`next_line`](LineBuffer::next_line) counts as unread until the next
//! call. Unread bytes are moved to keep this bound, but only once enough bytes have been consumed
//! or pushed since the last move. So the amortised cost is O(1) per byte.
//!
//! A running stream allocates powers of two up to 128 KiB, and above that multiples of 352 KiB. So
//! few sizes are in use, and each takes the place of another. A stream that stays near its bound
//! keeps its allocation, and the [`SpareBuffers`] of a fleet hand large allocations from stream to
//! stream. A fleet that runs for months would otherwise leave holes of all sizes in the heap.

mod spare;

use std::{fmt, mem};

pub(crate) use self::spare::SpareBuffers;

use crate::limits;

/// The code units in which line ends are searched for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineEnds {
    /// Single bytes. This fits every encoding that contains ASCII and whose multi-byte characters
    /// contain no byte below 0x20.
    #[default]
    Bytes,
    /// Code units of UTF-16 with the low byte first.
    Utf16Le,
    /// Code units of UTF-16 with the high byte first.
    Utf16Be,
}

/// The unread bytes of one output stream. See the [module](self) for the rules.
#[derive(Default)]
pub struct LineBuffer {
    /// The consumed bytes that are still stored, followed by the unread bytes.
    data: Vec<u8>,
    /// The index at which the unread bytes start: `head <= scanned <= data.len()`.
    head: usize,
    /// The index up to which the unread bytes were searched: no `\n` begins in
    /// `data[head..scanned]`.
    scanned: usize,
    /// How many bytes of the stream precede `data`.
    forgotten: u64,
    ends: LineEnds,
    finished: bool,
    spare: SpareBuffers,
}

impl LineBuffer {
    /// The capacity, in bytes, that an empty buffer of a running stream may keep for the next
    /// chunk.
    ///
    /// The value is small because a fleet holds two buffers per host. Once the stream has ended and
    /// all of it has been read, nothing is kept.
    pub const IDLE_CAPACITY: usize = 1024;

    const CAPACITY_MIN: usize = 64;

    /// Capacities up to this are powers of two.
    const SMALL: usize = 128 * 1024;

    /// Larger capacities are multiples of this: the default bound of a stream, and the most that
    /// one visit adds to it. With less, a stream at its bound would now and then need a second
    /// block, and each of those that went and came would extend the heap.
    const BLOCK: usize = limits::STREAM_UNREAD + limits::OUTPUT_PER_VISIT;

    /// Bytes may be moved to the start of the allocation if at least this share of their number was
    /// consumed before them.
    const MOVED_PER_CONSUMED: usize = 8;

    /// Makes an empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes large buffers come from these ones, and go there.
    pub fn share(&mut self, spare: &SpareBuffers) {
        self.spare = spare.clone();
    }

    /// Sets how lines end from the first unread byte on. The default is [`LineEnds::Bytes`].
    pub fn set_line_ends(&mut self, ends: LineEnds) {
        if self.ends != ends {
            self.ends = ends;
            self.scanned = self.head;
        }
    }

    /// How many bytes of the stream have been consumed.
    pub const fn position(&self) -> u64 {
        self.forgotten + self.head as u64
    }

    /// Appends bytes as they arrive. Bytes after [`finish`](Self::finish) are ignored, because a
    /// stream ends only once.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.finished || bytes.is_empty() {
            return;
        }
        self.give_back();
        self.make_room(bytes.len());
        self.data.extend_from_slice(bytes);
    }

    /// Marks the end of the stream. An unterminated rest becomes the last line.
    pub fn finish(&mut self) {
        if self.finished {
            return;
        }
        self.finished = true;
        // A copy has an odd size, and leaves a hole once it is read, so it must be worth it.
        if self.data.capacity() != Self::BLOCK || self.len() < Self::BLOCK / 8 * 5 {
            self.resize(self.len());
        }
    }

    /// Whether the stream has ended. Unread bytes may remain ([`is_empty`](Self::is_empty)).
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Takes the next line without its terminator. Returns `None` while no complete line is
    /// buffered.
    ///
    /// `None` from a [finished](Self::finish) buffer is final.
    pub fn next_line(&mut self) -> Option<&[u8]> {
        let Some(newline) = self.find_newline() else {
            // The unterminated rest is a line once the stream has ended.
            return (self.finished && !self.is_empty()).then(|| self.next_bytes(usize::MAX));
        };
        let unit = if self.ends == LineEnds::Bytes { 1 } else { 2 };
        let start = mem::replace(&mut self.head, newline + unit);
        self.scanned = self.head;
        let line = &self.data[start..newline];
        let without_return = match self.ends {
            LineEnds::Bytes => line.strip_suffix(b"\r"),
            LineEnds::Utf16Le => line.strip_suffix(b"\r\0"),
            LineEnds::Utf16Be => line.strip_suffix(b"\0\r"),
        };
        Some(without_return.unwrap_or(line))
    }

    /// Whether [`next_line`](Self::next_line) would return a line.
    pub fn has_line(&mut self) -> bool {
        self.find_newline().is_some() || self.finished && !self.is_empty()
    }

    /// The index of the next `\n` among the unread bytes. Records how far they were searched.
    fn find_newline(&mut self) -> Option<usize> {
        self.give_back();
        if self.ends != LineEnds::Bytes {
            return self.find_unit();
        }
        let found = memchr::memchr(b'\n', &self.data[self.scanned..]);
        self.scanned = found.map_or(self.data.len(), |offset| self.scanned + offset);
        found.map(|_| self.scanned)
    }

    /// The index of the next UTF-16 `\n` among the unread bytes. If there is none, records how far
    /// the unread bytes were searched.
    #[cold]
    fn find_unit(&mut self) -> Option<usize> {
        // If a raw read has ended in the middle of a unit, the rest of that unit is data.
        let first = self.head + usize::from(!self.position().is_multiple_of(2));
        let low = if self.ends == LineEnds::Utf16Le { 0 } else { 1 };
        for offset in memchr::memchr_iter(b'\n', &self.data[self.scanned..]) {
            let unit = (self.scanned + offset).checked_sub(low).filter(|unit| *unit >= first);
            let Some(unit) = unit.filter(|unit| (unit - first).is_multiple_of(2)) else { continue };
            if self.data.get(unit + 1 - low) == Some(&0) {
                return Some(unit);
            }
        }
        // The first byte of a unit is scanned again once the second byte has arrived.
        let units = self.data.len().saturating_sub(first) / 2;
        self.scanned = self.scanned.max(first + 2 * units).min(self.data.len());
        None
    }

    /// Takes the buffered part of a line whose end has not arrived. Half a unit of UTF-16 is left
    /// in the buffer, unless nothing else is there. Must only be called if
    /// [`has_line`](Self::has_line) returns `false`.
    pub fn next_piece(&mut self) -> Option<&[u8]> {
        self.give_back();
        if self.is_empty() {
            return None;
        }
        let end_of_stream = self.position() + self.len() as u64;
        let is_cut = self.ends != LineEnds::Bytes && !end_of_stream.is_multiple_of(2) && self.len() > 1;
        let (start, end) = (self.head, self.data.len() - usize::from(is_cut));
        self.head = end;
        self.scanned = self.scanned.max(end);
        Some(&self.data[start..end])
    }

    /// Takes up to `most` unread bytes.
    pub fn next_bytes(&mut self, most: usize) -> &[u8] {
        self.give_back();
        let (start, end) = (self.head, self.head + most.min(self.len()));
        self.head = end;
        self.scanned = self.scanned.max(end);
        &self.data[start..end]
    }

    /// The `len` bytes at this offset in the stream, which the last call must have taken.
    pub fn consumed(&self, offset: u64, len: usize) -> &[u8] {
        let start = (offset - self.forgotten) as usize;
        &self.data[start..start + len]
    }

    /// Moves up to `out.len()` raw bytes, terminators included, to the start of `out`, and returns
    /// how many bytes were moved.
    ///
    /// Returns 0 if no bytes are buffered. More may arrive until the stream has ended. Raw reads
    /// and line reads may alternate, and each continues at the byte where the last one stopped. If
    /// a raw read stops between the bytes of a `\r\n`, it has consumed the `\r`, and the remaining
    /// `\n` ends an empty line.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        let unread = self.unread();
        let count = out.len().min(unread.len());
        out[..count].copy_from_slice(&unread[..count]);
        self.consume(count);
        count
    }

    /// The unread bytes, including terminators. Together with [`consume`](Self::consume), this is a
    /// raw read without a copy.
    pub fn unread(&self) -> &[u8] {
        &self.data[self.head..]
    }

    /// Discards the first `count` unread bytes, or all of them if there are fewer.
    pub fn consume(&mut self, count: usize) {
        self.head += count.min(self.len());
        self.scanned = self.scanned.max(self.head);
        self.give_back();
    }

    /// Discards all unread bytes.
    pub fn clear(&mut self) {
        self.consume(usize::MAX);
    }

    /// Discards all unread bytes, and then skips `count` bytes of the stream that are never pushed.
    /// They count as consumed.
    pub fn skip(&mut self, count: usize) {
        self.clear();
        self.forgotten += count as u64;
    }

    /// How many bytes are unread.
    pub const fn len(&self) -> usize {
        self.data.len() - self.head
    }

    /// Whether no byte is unread.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes are allocated, for a memory budget. See the [module](self) for the bound.
    pub const fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// Gives back the memory reserved for further bytes. Call this when none are expected for a
    /// while.
    pub fn settle(&mut self) {
        let enough = Self::class(self.len());
        if self.data.capacity() > enough {
            self.resize(enough);
        }
    }

    /// The smallest capacity of which buffers are made that has room for `bytes`.
    const fn class(bytes: usize) -> usize {
        if bytes > Self::SMALL {
            return bytes.next_multiple_of(Self::BLOCK);
        }
        let class = bytes.next_power_of_two();
        if class < Self::CAPACITY_MIN { Self::CAPACITY_MIN } else { class }
    }

    /// Removes the consumed bytes, so that `data` begins with the unread ones.
    fn drop_consumed(&mut self) {
        if self.head == 0 {
            return;
        }
        self.forgotten = self.position();
        self.data.drain(..self.head);
        self.scanned -= self.head;
        self.head = 0;
    }

    /// Changes the capacity, which must have room for the unread bytes.
    fn resize(&mut self, capacity: usize) {
        self.drop_consumed();
        self.spare.resize(&mut self.data, capacity);
    }

    /// Restores the memory bound after bytes were consumed.
    ///
    /// A method that lends a line calls this before it consumes the line, because the lent bytes
    /// are among the consumed ones and must stay in place.
    fn give_back(&mut self) {
        let unread = self.len();
        let idle = if self.finished { 0 } else { Self::IDLE_CAPACITY };
        if unread == 0 {
            self.forgotten = self.position();
            self.data.clear();
            self.head = 0;
            self.scanned = 0;
            if self.data.capacity() > idle {
                self.spare.give(mem::take(&mut self.data));
            }
            return;
        }
        if self.data.capacity() > Self::IDLE_CAPACITY && unread < self.data.capacity().div_ceil(4) {
            // Less than a quarter of a block, and this much more, needs no block.
            self.resize(Self::class(unread + (unread / 2).min(Self::SMALL / 4)));
        }
    }

    /// Makes room for `extra` bytes after the unread ones.
    fn make_room(&mut self, extra: usize) {
        if self.data.capacity() - self.data.len() >= extra {
            return;
        }
        let (consumed, unread) = (self.head, self.len());
        self.drop_consumed();
        // If the move has made enough room, growing would waste memory. But if the move freed few
        // bytes, the buffer grows all the same, because many small pushes would otherwise take
        // quadratic time.
        let is_worth_it = consumed >= unread / Self::MOVED_PER_CONSUMED;
        // Twice the size, or 64 KiB more, or a quarter more.
        let growth = unread.min(Self::SMALL / 2).max(unread / 4);
        let capacity = Self::class(unread + extra.max(growth));
        if capacity > self.data.capacity() && (!is_worth_it || self.data.capacity() - unread < extra) {
            self.resize(capacity);
        }
    }
}

/// Shows only figures, because a command's output does not belong in a log.
impl fmt::Debug for LineBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineBuffer")
            .field("unread", &self.len())
            .field("capacity", &self.capacity())
            .field("finished", &self.finished)
            .finish()
    }
}

#[cfg(test)]
mod tests;
