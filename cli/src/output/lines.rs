//! Puts lines together that arrive in pieces.

use std::collections::HashMap;
use std::io;

use memchr::{memchr, memchr_iter};
use sshoal::StdStream;

use super::HostIndex;

/// A line that is longer than this is passed on in pieces.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// So much is held in all. Beyond it, lines are passed on in pieces too: 10,000 hosts that stop in
/// the middle of a long line must not fill the memory.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A line or a piece of one, without the line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    pub bytes: &'a [u8],
    /// Whether a line begins here.
    pub begins: bool,
    /// Whether the line ends here.
    pub ends: bool,
}

impl Piece<'_> {
    /// Whether there is nothing to show: a line that was passed on in pieces has ended.
    pub fn is_mere_end(&self) -> bool {
        self.bytes.is_empty() && !self.begins
    }
}

/// The beginnings of lines that have not ended, of all hosts.
pub struct Lines {
    begun: HashMap<(HostIndex, StdStream), Begun>,
    held: usize,
    line_max: usize,
    held_max: usize,
}

#[derive(Default)]
struct Begun {
    bytes: Vec<u8>,
    /// Whether a piece of the line was passed on.
    cut: bool,
}

type Take<'t> = dyn FnMut(Piece<'_>) -> io::Result<()> + 't;

impl Lines {
    pub fn new() -> Self {
        Self::with_bounds(LINE_BYTES_MAX, HELD_BYTES_MAX)
    }

    fn with_bounds(line_max: usize, held_max: usize) -> Self {
        Self { begun: HashMap::new(), held: 0, line_max, held_max }
    }

    /// Passes on the lines that end in these bytes, and keeps the rest.
    pub fn push(
        &mut self,
        host: HostIndex,
        stream: StdStream,
        mut bytes: &[u8],
        take: &mut Take<'_>,
    ) -> io::Result<()> {
        if self.begun.contains_key(&(host, stream)) {
            let Some(end) = memchr(b'\n', bytes) else { return self.hold(host, stream, bytes, take) };
            let begun = self.begun.remove(&(host, stream)).unwrap_or_default();
            self.held -= begun.bytes.len();
            let whole = [&begun.bytes, &bytes[..end]].concat();
            take(Piece { bytes: &whole, begins: !begun.cut, ends: true })?;
            bytes = &bytes[end + 1..];
        }
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            take(Piece { bytes: &bytes[start..end], begins: true, ends: true })?;
            start = end + 1;
        }
        match &bytes[start..] {
            [] => Ok(()),
            rest => self.hold(host, stream, rest, take),
        }
    }

    /// Passes on what has no line end, when the stream has ended.
    pub fn finish(&mut self, host: HostIndex, stream: StdStream, take: &mut Take<'_>) -> io::Result<()> {
        let Some(begun) = self.begun.remove(&(host, stream)) else { return Ok(()) };
        self.held -= begun.bytes.len();
        take(Piece { bytes: &begun.bytes, begins: !begun.cut, ends: true })
    }

    /// The hosts with lines that have not ended.
    pub fn hosts(&self) -> Vec<HostIndex> {
        let mut hosts: Vec<HostIndex> = self.begun.keys().map(|(host, _)| *host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    fn hold(
        &mut self,
        host: HostIndex,
        stream: StdStream,
        bytes: &[u8],
        take: &mut Take<'_>,
    ) -> io::Result<()> {
        let begun = self.begun.entry((host, stream)).or_default();
        if begun.bytes.len() + bytes.len() <= self.line_max && self.held + bytes.len() <= self.held_max {
            begun.bytes.extend_from_slice(bytes);
            self.held += bytes.len();
            return Ok(());
        }
        self.held -= begun.bytes.len();
        let piece = [&std::mem::take(&mut begun.bytes), bytes].concat();
        let begins = !std::mem::replace(&mut begun.cut, true);
        take(Piece { bytes: &piece, begins, ends: false })
    }
}

#[cfg(test)]
mod tests {
    use sshoal::StdStream::{Stderr, Stdout};

    use super::*;

    /// What comes out, with `+` where a line continues.
    fn pieces(lines: &mut Lines, host: HostIndex, stream: StdStream, bytes: Option<&[u8]>) -> Vec<String> {
        let mut seen = Vec::new();
        let mut take = |piece: Piece<'_>| {
            let text = String::from_utf8_lossy(piece.bytes);
            let (head, tail) = (if piece.begins { "" } else { "+" }, if piece.ends { "" } else { "+" });
            seen.push(format!("{head}{text}{tail}"));
            Ok(())
        };
        match bytes {
            Some(bytes) => lines.push(host, stream, bytes, &mut take).unwrap(),
            None => lines.finish(host, stream, &mut take).unwrap(),
        }
        seen
    }

    #[test]
    fn a_line_is_whole_however_it_arrives() {
        let mut lines = Lines::new();
        assert_eq!(pieces(&mut lines, 0, Stdout, Some(b"a\nb")), ["a"]);
        assert_eq!(pieces(&mut lines, 1, Stdout, Some(b"other\n")), ["other"]);
        assert_eq!(pieces(&mut lines, 0, Stderr, Some(b"\n\n")), ["", ""]);
        assert_eq!(pieces(&mut lines, 0, Stdout, Some(b"c")), [""; 0]);
        assert_eq!(pieces(&mut lines, 0, Stdout, Some(b"\nd\ne")), ["bc", "d"]);
        assert_eq!(pieces(&mut lines, 0, Stdout, None), ["e"]);
        assert_eq!(pieces(&mut lines, 0, Stdout, None), [""; 0]);
        assert_eq!((lines.held, lines.begun.len()), (0, 0));
    }

    #[test]
    fn a_line_beyond_the_bounds_is_passed_on_in_pieces() {
        let mut lines = Lines::with_bounds(8, 10);
        assert_eq!(pieces(&mut lines, 0, Stdout, Some(b"12345678")), [""; 0]);
        assert_eq!(pieces(&mut lines, 0, Stdout, Some(b"9")), ["123456789+"]);
        assert_eq!(pieces(&mut lines, 0, Stdout, Some(b"0")), [""; 0]);
        assert_eq!(pieces(&mut lines, 0, Stdout, Some(b"a\nb\n")), ["+0a", "b"]);
        // Another host's beginning leaves no room.
        assert_eq!(pieces(&mut lines, 1, Stdout, Some(b"1234567")), [""; 0]);
        assert_eq!(pieces(&mut lines, 0, Stdout, Some(b"abcd")), ["abcd+"]);
        assert_eq!(pieces(&mut lines, 0, Stdout, Some(b"\n")), ["+"]);
        assert_eq!(pieces(&mut lines, 1, Stdout, None), ["1234567"]);
        assert_eq!((lines.held, lines.begun.len()), (0, 0));
    }
}
