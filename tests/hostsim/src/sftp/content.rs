//! What a simulated file holds: its bytes, a pattern of any length, or only a digest of what was
//! written.

use bytes::BytesMut;

use crate::exec::{CHUNK, pattern};

/// A prime, below which digests are computed: 2^61 - 1.
const MODULUS: u128 = (1 << 61) - 1;

/// The base of the polynomial; any large number will do.
const BASE: u64 = 0x0dec_afba_d0ff_1ce5;

/// A digest of a file's content and size. The digests of its pieces can be added in any order, so
/// a host needs no memory for what arrives out of order.
///
/// It detects accidents, not attacks.
#[must_use]
pub fn digest(content: &[u8]) -> u64 {
    finish(piece(0, content), content.len() as u64)
}

/// The part of the digest that `bytes` at `offset` contribute. Zeros contribute nothing, so a hole
/// counts as what is read from it.
///
/// The content is read as little-endian words of 64 bits, which are the coefficients of a
/// polynomial. Its value at [`BASE`] is the sum of the pieces' values.
fn piece(offset: u64, bytes: &[u8]) -> u64 {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    let skew = usize::try_from(offset % 8).unwrap_or(0);
    let (head, rest) = bytes.split_at(bytes.len().min((8 - skew) % 8));
    let words = rest.chunks_exact(8);
    let mut sum = word(words.remainder());
    for full in words.rev() {
        sum = times_plus(sum, BASE, u64::from_le_bytes(full.try_into().unwrap_or_default()));
    }
    if !head.is_empty() {
        sum = times_plus(sum, BASE, word(head) << (8 * skew));
    }
    times_plus(sum, power(offset / 8), 0)
}

fn finish(sum: u64, size: u64) -> u64 {
    times_plus(sum, BASE, size)
}

fn times_plus(a: u64, b: u64, c: u64) -> u64 {
    let value = (u128::from(a) * u128::from(b) + u128::from(c)) % MODULUS;
    u64::try_from(value).unwrap_or(0)
}

/// `BASE` to this power.
fn power(mut exponent: u64) -> u64 {
    let (mut result, mut square) = (1, BASE);
    while exponent > 0 {
        if exponent % 2 == 1 {
            result = times_plus(result, square, 0);
        }
        square = times_plus(square, square, 0);
        exponent /= 2;
    }
    result
}

/// Which bytes were written: ascending, neither overlapping nor adjacent. One span for a file that
/// is written in order.
#[derive(Debug, Default)]
struct Spans(Vec<(u64, u64)>);

impl Spans {
    /// Adds a span; returns whether any byte of it was there already.
    fn add(&mut self, mut start: u64, mut end: u64) -> bool {
        let first = self.0.partition_point(|span| span.1 < start);
        let last = self.0.partition_point(|span| span.0 <= end);
        let overlaps = self.0[first..last].iter().any(|span| span.0 < end && start < span.1);
        if let (Some(left), Some(right)) = (self.0[first..last].first(), self.0[first..last].last()) {
            (start, end) = (start.min(left.0), end.max(right.1));
        }
        self.0.splice(first..last, [(start, end)]);
        overlaps
    }
}

#[derive(Debug)]
enum Body {
    Kept(Vec<u8>),
    /// Bytes of [`crate::pattern_byte`].
    Pattern,
    /// The sum of all pieces; `None` if some of them were overwritten or cut off.
    Summed(Option<u64>),
}

#[derive(Debug)]
pub(crate) struct Content {
    size: u64,
    body: Body,
    spans: Spans,
}

impl Content {
    pub(crate) fn empty() -> Self {
        Self { size: 0, body: Body::Kept(Vec::new()), spans: Spans::default() }
    }

    /// A file of any size that takes no memory.
    pub(crate) fn pattern(size: u64) -> Self {
        Self { size, body: Body::Pattern, spans: Spans::default() }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// `None` for a pattern, and if the digest is unknown because not every byte was written once.
    pub(crate) fn digest(&self) -> Option<u64> {
        let sum = match &self.body {
            Body::Kept(bytes) => piece(0, bytes),
            Body::Pattern => return None,
            Body::Summed(sum) => (*sum)?,
        };
        Some(finish(sum, self.size))
    }

    /// Appends up to `length` bytes from `offset` on to `out`; returns whether the content is
    /// known.
    pub(crate) fn read(&self, offset: u64, length: u64, out: &mut BytesMut) -> bool {
        let end = self.size.min(offset.saturating_add(length));
        match &self.body {
            Body::Kept(bytes) => {
                let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
                out.extend_from_slice(range.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default());
            }
            Body::Pattern => {
                let mut at = offset;
                while at < end {
                    let length = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                    out.extend_from_slice(&pattern(at, length));
                    at += length as u64;
                }
            }
            Body::Summed(_) => return false,
        }
        true
    }

    /// Writes; keeps the bytes of a file that has at most `keep` of them. `false` for a pattern,
    /// which cannot be changed.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8], keep: u64) -> bool {
        let end = offset + bytes.len() as u64;
        if !self.grow(self.size.max(end), keep) {
            return false;
        }
        let overlaps = self.spans.add(offset, end);
        match &mut self.body {
            Body::Kept(all) => {
                let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
                if let Some(place) = range.and_then(|(from, to)| all.get_mut(from..to)) {
                    place.copy_from_slice(bytes);
                }
            }
            Body::Pattern => return false,
            Body::Summed(sum) => {
                *sum = sum.filter(|_| !overlaps).map(|sum| times_plus(sum, 1, piece(offset, bytes)));
            }
        }
        true
    }

    /// Cuts off, or fills up with zeros. `false` for a pattern.
    pub(crate) fn resize(&mut self, size: u64, keep: u64) -> bool {
        if size == 0 {
            *self = Self::empty();
        }
        if size < self.size {
            match &mut self.body {
                Body::Kept(bytes) => bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX)),
                Body::Pattern => return false,
                Body::Summed(sum) => *sum = None,
            }
            self.spans.0.retain(|span| span.0 < size);
            if let Some(last) = self.spans.0.last_mut() {
                last.1 = last.1.min(size);
            }
            self.size = size;
        }
        self.grow(size, keep)
    }

    fn grow(&mut self, size: u64, keep: u64) -> bool {
        match &mut self.body {
            Body::Pattern => return false,
            Body::Kept(bytes) if size > keep => self.body = Body::Summed(Some(piece(0, bytes))),
            Body::Kept(bytes) => bytes.resize(usize::try_from(size).unwrap_or(0), 0),
            Body::Summed(_) => (),
        }
        self.size = size;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from(at * at % 253).unwrap()).collect()
    }

    #[test]
    fn pieces_in_any_order_have_the_digest_of_the_whole() {
        let whole = bytes(3000);
        for size in [1, 7, 8, 9, 100, 1001] {
            for step in [1, 3, 7] {
                let pieces: Vec<(usize, &[u8])> = whole.chunks(size).enumerate().collect();
                let mut content = Content::empty();
                for turn in 0..step {
                    for (index, piece) in pieces.iter().skip(turn).step_by(step) {
                        assert!(content.write((index * size) as u64, piece, 100));
                    }
                }
                assert_eq!(content.digest(), Some(digest(&whole)), "pieces of {size}, every {step}th");
                assert_eq!(content.spans.0, [(0, 3000)]);
                assert!(matches!(content.body, Body::Summed(_)));
            }
        }
    }

    #[test]
    fn a_digest_tells_of_each_byte_its_place_and_the_size() {
        let whole = bytes(300);
        let mut seen =
            vec![digest(&whole), digest(&whole[..299]), digest(&[whole.clone(), vec![0]].concat())];
        for at in 0..300 {
            let mut other = whole.clone();
            other[at] ^= 0x80;
            seen.push(digest(&other));
            if at > 0 && whole[at] != whole[at - 1] {
                let mut swapped = whole.clone();
                swapped.swap(at, at - 1);
                seen.push(digest(&swapped));
            }
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn small_files_are_kept_and_large_ones_are_not() {
        let read = |content: &Content, offset, length| {
            let mut out = BytesMut::new();
            content.read(offset, length, &mut out).then(|| out.to_vec())
        };
        let mut content = Content::empty();
        assert!(content.write(4, b"abc", 10) && content.write(5, b"X", 10));
        assert_eq!(read(&content, 0, 100), Some(b"\0\0\0\0aXc".to_vec()));
        assert_eq!(read(&content, 5, 1), Some(b"X".to_vec()));
        assert_eq!(read(&content, 7, 1), Some(Vec::new()));
        assert!(content.resize(5, 10) && content.resize(8, 10));
        assert_eq!(read(&content, 0, 100), Some(b"\0\0\0\0a\0\0\0".to_vec()));
        assert_eq!(content.digest(), Some(digest(b"\0\0\0\0a\0\0\0")));

        assert!(content.write(8, b"long", 10));
        assert_eq!((read(&content, 0, 100), content.size()), (None, 12));
        assert_eq!(content.digest(), Some(digest(b"\0\0\0\0a\0\0\0long")));
        assert!(content.resize(20, 10));
        assert_eq!(content.digest(), Some(digest(b"\0\0\0\0a\0\0\0long\0\0\0\0\0\0\0\0")));
        assert!(content.write(9, b"x", 10));
        assert_eq!(content.digest(), None, "overwritten");
        assert!(content.resize(0, 10) && content.write(0, b"new", 10));
        assert_eq!(content.digest(), Some(digest(b"new")));
    }

    #[test]
    fn a_pattern_has_any_size_and_cannot_be_changed() {
        let mut content = Content::pattern(1 << 40);
        let mut out = BytesMut::new();
        assert!(content.read((1 << 40) - 100_000, 1 << 20, &mut out));
        let expected: Vec<u8> = ((1 << 40) - 100_000..1 << 40).map(crate::pattern_byte).collect();
        assert!(out == expected);
        assert!(!content.write(0, b"x", 10) && !content.resize(5, 10));
        assert_eq!(content.size(), 1 << 40);
    }
}
