//! The lines of one host's output.

use std::ops::Range;

use super::ahead::{Ahead, Block};
use super::output::HostOutput;
use super::wait::{WaitError, wait};
use crate::Fleet;
use crate::error::HostError;
use crate::ids::StdStream;

/// The unread lines of one stream, as text in its [`encoding`](crate::Command::encoding). Invalid
/// bytes become U+FFFD. With [`strict_encoding`](crate::ReadOptions::strict_encoding), a line that
/// contains invalid bytes is an error instead.
///
/// `\n` and `\r\n` end a line and are not part of it. A lone `\r` or a NUL does not end a line. The
/// last line needs no line end. A byte order mark at the start of the stream is removed. If the
/// host fails, the lines that have arrived come first, then one error. After a read timeout or a
/// line that cannot be decoded, the next call continues; nothing is lost.
///
/// As an iterator, this returns a `String` for each line. [`next_line`](Self::next_line) lends the
/// line instead, which costs less.
#[derive(Debug)]
#[must_use = "nothing is read until it is iterated"]
pub struct Lines<'a> {
    lines: RawLines<'a>,
    /// The text of a line whose bytes are no valid UTF-8.
    text: String,
}

impl<'a> Lines<'a> {
    pub(super) fn new(output: &'a HostOutput, stream: StdStream) -> Self {
        let lines = RawLines { output, stream, ahead: Ahead::new(), ended: false };
        Self { lines, text: String::new() }
    }

    /// The next line, which is valid until the next call; `None` once the output has ended. No
    /// memory is allocated for a line, and text that is valid UTF-8 is not copied for it.
    ///
    /// It can be mixed with the iterator, which returns the same lines, and the same errors.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut client = sshoal::ParallelClient::builder(["web1"]).build()?;
    /// let outputs = client.run_command("journalctl -n 100000")?;
    /// let (mut lines, mut errors) = (outputs[0].stdout(), 0);
    /// while let Some(line) = lines.next_line()? {
    ///     errors += usize::from(line.contains("error"));
    /// }
    /// println!("{errors} errors");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the iterator: the host's error, a read timeout, or a line that cannot be decoded.
    #[inline(always)]
    pub fn next_line(&mut self) -> Result<Option<&str>, HostError> {
        let Self { lines, text } = self;
        let output = lines.output;
        let Some(place) = lines.next_place(|lines| output.block_of(lines))? else { return Ok(None) };
        lines.ahead.text(place, output, text).map(Some)
    }

    /// The same lines as bytes, as the host sent them.
    pub fn raw(self) -> RawLines<'a> {
        self.lines
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<String, HostError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().map(|line| line.map(str::to_owned)).transpose()
    }
}

/// The unread lines of one stream, as bytes; see [`Lines`]. The encoding only determines where
/// lines end.
#[derive(Debug)]
#[must_use = "nothing is read until it is iterated"]
pub struct RawLines<'a> {
    output: &'a HostOutput,
    stream: StdStream,
    ahead: Ahead,
    ended: bool,
}

impl RawLines<'_> {
    /// The next line, which is valid until the next call; see [`Lines::next_line`].
    ///
    /// # Errors
    /// The host's error, or a read timeout.
    #[inline]
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, HostError> {
        let Some(place) = self.next_place(Block::Bytes)? else { return Ok(None) };
        Ok(Some(self.ahead.bytes(place)))
    }

    /// The place of the next line in the block ahead. If a new block is copied, `make` is called
    /// with it.
    #[inline(always)]
    fn next_place(&mut self, make: impl FnOnce(Vec<u8>) -> Block) -> Result<Option<Range<usize>>, HostError> {
        match self.ahead.next() {
            Some(place) => Ok(Some(place)),
            None => self.fetch(make),
        }
    }

    /// Copies more lines, or waits for the next line and takes it.
    #[inline(never)]
    fn fetch(&mut self, make: impl FnOnce(Vec<u8>) -> Block) -> Result<Option<Range<usize>>, HostError> {
        let Self { output, stream, ahead, ended } = self;
        if *ended {
            return Ok(None);
        }
        if let Ok(place) = ahead.read(output.fleet().lock(), output, *stream, make) {
            return Ok(Some(place));
        }
        let take = |fleet: &mut Fleet, _| ahead.take(fleet, output, *stream);
        let waited = wait(output, take, |command| command.unread(*stream));
        *ended = matches!(waited, Err(WaitError::Ended | WaitError::Failed(_)));
        match waited {
            Ok(place) => Ok(Some(place)),
            Err(WaitError::Ended) => Ok(None),
            Err(WaitError::Timeout(error) | WaitError::Failed(error)) => Err(error),
        }
    }
}

impl Iterator for RawLines<'_> {
    type Item = Result<Vec<u8>, HostError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().map(|line| line.map(<[u8]>::to_vec)).transpose()
    }
}
