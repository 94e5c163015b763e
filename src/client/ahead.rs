//! Read-ahead for line iterators, so that an iterator need not lock the fleet for each line.
//!
//! An iterator copies a block of whole lines from the front of its stream. These lines stay unread
//! in the fleet. The iterator and the fleet's lock ([`Shared`](super::shared::Shared)) share a
//! [`Claim`], which counts how many bytes of the block were handed out. Each line is claimed before
//! it is handed out. Locking the fleet ends the claim and consumes the claimed bytes. So the stream
//! always looks as if its lines had been taken one by one, even if the iterator has been dropped.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The size of the first block, in bytes. It is small, so that reading only a few lines copies
/// little. Later blocks are larger, up to `LONGEST`.
const FIRST: usize = 1024;
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

/// A line that was handed out, without its line end.
pub(super) enum Claimed<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
}

pub(super) struct Ahead {
    block: Block,
    /// Where the next line begins.
    start: usize,
    claim: Arc<Claim>,
    /// How many bytes the next block may have.
    limit: usize,
}

impl Ahead {
    pub(super) fn new() -> Self {
        let claim = Arc::new(Claim(AtomicUsize::new(Claim::ENDED)));
        Self { block: Block::Bytes(Vec::new()), start: 0, claim, limit: 0 }
    }

    /// The next line of the block.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Claimed<'_>> {
        let line = self.claim_line()?;
        Some(match &self.block {
            Block::Text(text) => Claimed::Text(&text[line]),
            Block::Bytes(bytes) => Claimed::Bytes(&bytes[line]),
        })
    }

    #[inline]
    fn claim_line(&mut self) -> Option<Range<usize>> {
        let start = self.start;
        let rest = &self.block.as_bytes()[start..];
        let len = memchr::memchr(b'\n', rest)?;
        let is_crlf = rest[..len].ends_with(b"\r");
        if !self.claim.extend(start, start + len + 1) {
            self.interrupted();
            return None;
        }
        self.start = start + len + 1;
        Some(start..start + len - usize::from(is_crlf))
    }

    /// Drops the block, because the fleet was locked in the meantime and the stream may have
    /// changed. This may happen again soon, so the next line is taken from the fleet singly, not in
    /// a block.
    #[cold]
    fn interrupted(&mut self) {
        *self = Self { claim: self.claim.clone(), ..Self::new() };
    }

    /// Allows the next block. Called after a line was taken from the fleet, because more lines may
    /// follow.
    pub(super) fn expect_more(&mut self) {
        self.limit = self.limit.max(FIRST);
    }

    /// Copies whole lines from these unread bytes. Returns the claim on the copied lines, or `None`
    /// if no line was copied. The claim must be ended before the stream changes.
    pub(super) fn fill(&mut self, unread: &[u8], make: impl FnOnce(Vec<u8>) -> Block) -> Option<Arc<Claim>> {
        (self.block, self.start) = (Block::Bytes(Vec::new()), 0);
        let unread = &unread[..unread.len().min(self.limit)];
        let end = memchr::memrchr(b'\n', unread)? + 1;
        self.block = make(unread[..end].to_vec());
        self.limit = (4 * self.limit).min(LONGEST);
        self.claim.begin();
        Some(self.claim.clone())
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
        Some(match ahead.next()? {
            Claimed::Text(line) => line.to_owned(),
            Claimed::Bytes(line) => String::from_utf8(line.to_vec()).unwrap() + " as bytes",
        })
    }

    fn text(bytes: Vec<u8>) -> Block {
        Block::Text(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn lines_are_claimed_with_their_ends_one_by_one() {
        let mut ahead = Ahead::new();
        ahead.expect_more();
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
        ahead.expect_more();
        let claim = ahead.fill(b"one\ntwo\nthree\n", Block::Bytes).unwrap();
        assert_eq!(next(&mut ahead).as_deref(), Some("one as bytes"));
        assert_eq!(claim.end(), 4);
        assert_eq!(next(&mut ahead), None);
        assert!(ahead.fill(b"two\nthree\n", text).is_none(), "it asks for single lines again");
        ahead.expect_more();
        let again = ahead.fill(b"two\nthree\n", text).unwrap();
        assert_eq!(next(&mut ahead).as_deref(), Some("two"));
        assert_eq!(again.end(), 4);
    }

    #[test]
    fn a_claim_outlives_its_iterator() {
        let mut ahead = Ahead::new();
        ahead.expect_more();
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
        ahead.expect_more();
        let mut sizes = Vec::new();
        for _ in 0..5 {
            let claim = ahead.fill(&unread, text).unwrap();
            while next(&mut ahead).is_some() {}
            sizes.push(claim.end());
        }
        assert_eq!(sizes, [FIRST, 4 * FIRST, 16 * FIRST, LONGEST, LONGEST]);
        assert!(ahead.fill(&vec![b'x'; 2 * LONGEST], text).is_none(), "a long line is left to the fleet");
        assert_eq!(next(&mut ahead), None, "and nothing comes twice");
    }

    #[test]
    fn debug_does_not_show_output() {
        let mut ahead = Ahead::new();
        ahead.expect_more();
        ahead.fill(b"hunter2\n", text).unwrap();
        assert!(!format!("{ahead:?}").contains("hunter2"));
    }
}
