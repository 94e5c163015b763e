//! Iterators over the lines of one host's output.

use super::ahead::{Ahead, Block, Claimed};
use super::output::HostOutput;
use super::shared::Loan;
use super::wait::{WaitError, wait};
use crate::Fleet;
use crate::error::HostError;
use crate::ids::StdStream;
use crate::output::{Line, LineEnds};

/// The unread lines of one stream, as text in its [`encoding`](crate::Command::encoding). Invalid
/// bytes become U+FFFD. With [`strict_encoding`](crate::ReadOptions::strict_encoding), a line that
/// contains invalid bytes is an error instead.
///
/// `\n` and `\r\n` end a line and are not part of it. A lone `\r` or a NUL does not end a line. The
/// last line needs no line end. A byte order mark at the start of the stream is removed. If the
/// host fails, the lines that have arrived come first, then one error. After a read timeout or a
/// line that cannot be decoded, the next call continues; nothing is lost.
#[derive(Debug)]
#[must_use = "nothing is read until it is iterated"]
pub struct Lines<'a>(RawLines<'a>);

impl<'a> Lines<'a> {
    pub(super) fn new(output: &'a HostOutput, stream: StdStream) -> Self {
        Self(RawLines { output, stream, ahead: Ahead::new(), ended: false })
    }

    /// The same lines as bytes, as the host sent them.
    pub fn raw(self) -> RawLines<'a> {
        self.0
    }
}

impl Lines<'_> {
    #[inline]
    fn next_at_hand(&mut self) -> Option<Result<String, HostError>> {
        match self.0.ahead.next()? {
            Claimed::Text(line) => Some(Ok(line.to_owned())),
            // A block never contains the first line of a stream.
            Claimed::Bytes(line) => Some(self.0.output.decode(line.to_vec(), false)),
        }
    }

    fn fetch(&mut self) -> Option<Result<String, HostError>> {
        let output = self.0.output;
        if self.0.read_ahead(|lines| output.text_of_lines(lines).map_or_else(Block::Bytes, Block::Text))
            && let Some(line) = self.next_at_hand()
        {
            return Some(line);
        }
        Some(self.0.take_next()?.and_then(|line| output.decode(line.bytes, line.offset == 0)))
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<String, HostError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_at_hand().or_else(|| self.fetch())
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
    #[inline]
    fn next_at_hand(&mut self) -> Option<Vec<u8>> {
        match self.ahead.next()? {
            Claimed::Text(line) => Some(line.as_bytes().to_vec()),
            Claimed::Bytes(line) => Some(line.to_vec()),
        }
    }

    /// Copies a block of lines, unless the caller has asked for only one line so far. Returns
    /// whether any lines were copied.
    fn read_ahead(&mut self, make: impl FnOnce(Vec<u8>) -> Block) -> bool {
        if self.ended || self.output.line_ends() != LineEnds::Bytes {
            return false;
        }
        let (id, stream) = (self.output.id(), self.stream);
        let mut fleet = self.output.fleet().lock();
        let Some(claim) = self.ahead.fill(fleet.peek(id, stream), make) else { return false };
        fleet.lend(Loan { id, stream, claim });
        true
    }

    /// Waits for the next line, and takes it from the fleet.
    fn take_next(&mut self) -> Option<Result<Line, HostError>> {
        if self.ended {
            return None;
        }
        let ends = self.output.line_ends();
        let stream = self.stream;
        let take = |fleet: &mut Fleet, id| fleet.take_line(id, stream, ends);
        match wait(self.output, take, |command| command.unread(stream)) {
            Ok(line) => {
                self.ahead.expect_more();
                Some(Ok(line))
            }
            Err(WaitError::Timeout(error)) => Some(Err(error)),
            Err(WaitError::Ended) => {
                self.ended = true;
                None
            }
            Err(WaitError::Failed(error)) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl Iterator for RawLines<'_> {
    type Item = Result<Vec<u8>, HostError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(line) = self.next_at_hand() {
            return Some(Ok(line));
        }
        if self.read_ahead(Block::Bytes)
            && let Some(line) = self.next_at_hand()
        {
            return Some(Ok(line));
        }
        Some(self.take_next()?.map(|line| line.bytes))
    }
}
