//! Read-ahead for line iterators, so that an iterator need not lock the fleet for each line.
//!
//! An iterator copies a block of whole lines from the front of its stream. These lines stay unread
//! in the fleet. The iterator and the fleet's lock ([`Shared`](super::shared::Shared)) share a
//! [`Claim`], which counts how many bytes of the block were handed out. Each line is claimed before
//! it is handed out. Locking the fleet ends the claim and consumes the claimed bytes. So the stream
//! always looks as if its lines had been taken one by one, even if the iterator has been dropped.
//!
//! A line is handed out as its place in the block, where it stays until the next line is asked for.
//! A line that was taken from the fleet singly is a block by itself, already consumed.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fmt, mem};

use super::output::HostOutput;
use super::shared::{Loan, Locked};
use crate::Fleet;
use crate::error::HostError;
use crate::ids::StdStream;
use crate::output::{LentLine, LineEnds};

/// The size of the first block, in bytes. It is small, so that reading only a few lines copies
/// little. Later blocks have up to `LONGEST` bytes.
const FIRST: usize = 4 * 1024;
const LONGEST: usize = 32 * 1024;

/// How many bytes of a block were handed out.
#[derive(Debug)]
pub(super) struct Claim(AtomicUsize);

impl Claim {
    const ENDED: usize = usize::MAX;

    /// Ends the claim. Returns how many bytes were claimed.
    pub(super) fn end(&self) -> usize {
        match self.0.swap(Self::ENDED, Ordering::Relaxed) {
            Self::ENDED => 0,
            claimed => claimed,
        }
    }

    /// Begins the claim. A plain store is enough, because no other thread uses the claim yet.
    fn begin(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Claims the bytes from `start` to `end`. Returns `false` if the claim has ended. Relaxed
    /// ordering is enough, because the number guards no other memory.
    #[inline]
    fn extend(&self, start: usize, end: usize) -> bool {
        self.0.compare_exchange(start, end, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A block of whole lines, with their line ends.
pub(super) enum Block {
    /// The lines, if all of them are valid UTF-8.
    Text(String),
    Bytes(Vec<u8>),
}

impl Block {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

pub(super) struct Ahead {
    block: Block,
    /// Where the next line begins.
    start: usize,
    claim: Arc<Claim>,
    /// How many bytes the next block may have.
    limit: usize,
    /// Whether the block is the first line of its stream.
    at_start: bool,
}

impl Ahead {
    pub(super) fn new() -> Self {
        let claim = Arc::new(Claim(AtomicUsize::new(Claim::ENDED)));
        Self { block: Block::Bytes(Vec::new()), start: 0, claim, limit: 0, at_start: false }
    }

    /// The place of the next line of the block.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Range<usize>> {
        let (bytes, start) = (self.block.as_bytes(), self.start);
        let end = start + memchr::memchr(b'\n', bytes.get(start..)?)?;
        let is_crlf = end > start && bytes[end - 1] == b'\r';
        if !self.claim.extend(start, end + 1) {
            // The fleet was locked in the meantime, and the stream may have changed.
            self.restart();
            return None;
        }
        self.start = end + 1;
        Some(start..end - usize::from(is_crlf))
    }

    /// The bytes of the line at this place.
    #[inline]
    pub(super) fn bytes(&self, place: Range<usize>) -> &[u8] {
        &self.block.as_bytes()[place]
    }

    /// The text of the line at this place. If it must be decoded for that, it is written to `text`.
    #[inline(always)]
    pub(super) fn text<'a>(
        &'a self,
        place: Range<usize>,
        output: &HostOutput,
        text: &'a mut String,
    ) -> Result<&'a str, HostError> {
        match &self.block {
            Block::Text(lines) => Ok(&lines[place]),
            Block::Bytes(bytes) => output.decode(&bytes[place], self.at_start, text),
        }
    }

    /// Drops the block. The next line is taken from the fleet singly, because it may be the only
    /// one that is asked for.
    #[cold]
    pub(super) fn restart(&mut self) {
        self.block = Block::Bytes(self.take_memory());
        self.limit = 0;
    }

    /// Empties the block, and returns its memory, to be used again.
    fn take_memory(&mut self) -> Vec<u8> {
        (self.start, self.at_start) = (0, false);
        let mut memory = match mem::replace(&mut self.block, Block::Bytes(Vec::new())) {
            Block::Text(text) => text.into_bytes(),
            Block::Bytes(bytes) => bytes,
        };
        memory.clear();
        memory.shrink_to(LONGEST);
        memory
    }

    /// Reads the next line of a stream, and returns its place. Reads more lines ahead, unless only
    /// one line was asked for so far; `make` is called with them. Returns the fleet if no line has
    /// arrived.
    pub(super) fn read<'a>(
        &mut self,
        mut fleet: Locked<'a>,
        output: &'a HostOutput,
        stream: StdStream,
        make: impl FnOnce(Vec<u8>) -> Block,
    ) -> Result<Range<usize>, Locked<'a>> {
        let (id, ends) = (output.id(), output.line_ends());
        if ends == LineEnds::Bytes
            && self.limit > 0
            && let Some(claim) = self.fill(fleet.peek(id, stream), make)
        {
            fleet.lend(Loan { id, stream, claim });
            if let Some(place) = self.next() {
                return Ok(place);
            }
            // Another thread has locked the fleet.
            fleet = output.fleet().lock();
        }
        self.take(&mut fleet, output, stream).ok_or(fleet)
    }

    /// Takes the next line of a stream, and returns its place. More lines may follow, so this
    /// allows reading ahead.
    pub(super) fn take(
        &mut self,
        fleet: &mut Fleet,
        output: &HostOutput,
        stream: StdStream,
    ) -> Option<Range<usize>> {
        let line = fleet.next_line(output.id(), stream, output.line_ends())?;
        let place = self.hold(line);
        // Frees the memory of the line.
        fleet.consume(output.id(), stream, 0);
        Some(place)
    }

    /// Copies whole lines from these unread bytes. Returns the claim on the copied lines, or `None`
    /// if no line was copied. The claim must be ended before the stream changes.
    fn fill(&mut self, unread: &[u8], make: impl FnOnce(Vec<u8>) -> Block) -> Option<Arc<Claim>> {
        let mut memory = self.take_memory();
        let unread = &unread[..unread.len().min(self.limit)];
        let end = memchr::memrchr(b'\n', unread).map_or(0, |newline| newline + 1);
        memory.extend_from_slice(&unread[..end]);
        self.block = make(memory);
        if end == 0 {
            return None;
        }
        self.limit = LONGEST;
        self.claim.begin();
        Some(self.claim.clone())
    }

    /// Copies a line that is taken from the fleet, and returns its place.
    fn hold(&mut self, line: LentLine<'_>) -> Range<usize> {
        let LentLine { bytes, offset, .. } = line;
        let mut memory = self.take_memory();
        memory.extend_from_slice(bytes);
        self.block = Block::Bytes(memory);
        (self.start, self.at_start) = (bytes.len(), offset == 0);
        self.limit = self.limit.max(FIRST);
        0..bytes.len()
    }
}

/// Does not show output of the command, because output does not belong in a log.
impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead")
            .field("bytes", &(self.block.as_bytes().len() - self.start))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(ahead: &mut Ahead) -> Option<String> {
        let place = ahead.next()?;
        let kind = if matches!(ahead.block, Block::Text(_)) { "" } else { " as bytes" };
        Some(String::from_utf8(ahead.bytes(place).to_vec()).unwrap() + kind)
    }

    fn text(bytes: Vec<u8>) -> Block {
        Block::Text(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn lines_are_claimed_with_their_ends_one_by_one() {
        let mut ahead = Ahead::new();
        ahead.hold(LentLine { bytes: b"zero", offset: 0 });
        let claim = ahead.fill(b"one\r\n\n\rtwo\nrest", text).unwrap();
        assert_eq!(next(&mut ahead).as_deref(), Some("one"));
        assert_eq!(claim.0.load(Ordering::Relaxed), 5);
        assert_eq!(next(&mut ahead).as_deref(), Some(""));
        assert_eq!(next(&mut ahead).as_deref(), Some("\rtwo"));
        assert_eq!(next(&mut ahead), None, "a partial line is not handed out");
        assert_eq!((claim.end(), claim.end()), (11, 0));
    }

    #[test]
    fn whoever_ends_the_claim_finds_the_first_line_that_was_not_handed_out() {
        let mut ahead = Ahead::new();
        ahead.hold(LentLine { bytes: b"zero", offset: 0 });
        let claim = ahead.fill(b"one\ntwo\nthree\n", Block::Bytes).unwrap();
        assert_eq!(next(&mut ahead).as_deref(), Some("one as bytes"));
        assert_eq!(claim.end(), 4);
        assert_eq!(next(&mut ahead), None);
        assert!(ahead.fill(b"two\nthree\n", text).is_none(), "it asks for single lines again");
        ahead.hold(LentLine { bytes: b"zero", offset: 0 });
        let again = ahead.fill(b"two\nthree\n", text).unwrap();
        assert_eq!(next(&mut ahead).as_deref(), Some("two"));
        assert_eq!(again.end(), 4);
    }

    #[test]
    fn a_claim_outlives_its_iterator() {
        let mut ahead = Ahead::new();
        ahead.hold(LentLine { bytes: b"zero", offset: 0 });
        let claim = ahead.fill(b"one\ntwo\n", text).unwrap();
        next(&mut ahead).unwrap();
        drop(ahead);
        assert_eq!(claim.end(), 4);
    }

    #[test]
    fn blocks_grow_while_they_are_read_to_their_ends() {
        let unread = b"0123456\n".repeat(LONGEST);
        let mut ahead = Ahead::new();
        assert!(ahead.fill(&unread, text).is_none(), "one line may be all that is wanted");
        ahead.hold(LentLine { bytes: b"zero", offset: 0 });
        let mut sizes = Vec::new();
        for _ in 0..5 {
            let claim = ahead.fill(&unread, text).unwrap();
            while next(&mut ahead).is_some() {}
            sizes.push(claim.end());
        }
        assert_eq!(sizes, [FIRST, LONGEST, LONGEST, LONGEST, LONGEST]);
        assert!(ahead.fill(&vec![b'x'; 2 * LONGEST], text).is_none(), "a long line is left to the fleet");
        assert_eq!(next(&mut ahead), None, "and nothing comes twice");
    }

    #[test]
    fn debug_does_not_show_output() {
        let mut ahead = Ahead::new();
        ahead.hold(LentLine { bytes: b"zero", offset: 0 });
        ahead.fill(b"hunter2\n", text).unwrap();
        assert!(!format!("{ahead:?}").contains("hunter2"));
    }
}
