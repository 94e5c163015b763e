//! Line by line through one host's output, while all hosts are driven.

use super::output::{HostOutput, Stream};
use super::wait::{Unread, wait};
use crate::error::HostError;
use crate::lines::LineBuffer;

/// The unread lines of one stream, as text. Bytes that are not UTF-8 become U+FFFD.
///
/// `\n` and `\r\n` end a line and are not part of it; a lone `\r` and NUL do not. The last line needs no line end.
/// Yields an error once where the output ends early because the host failed; what had arrived comes first. After a read
/// timeout the next call waits again, and nothing is lost.
#[derive(Debug)]
#[must_use = "nothing is read until it is iterated"]
pub struct Lines<'a>(RawLines<'a>);

impl<'a> Lines<'a> {
    pub(super) fn new(output: &'a HostOutput, stream: Stream) -> Self {
        Self(RawLines { output, stream, ended: false })
    }

    /// The same lines as the host sent them.
    pub fn raw(self) -> RawLines<'a> {
        self.0
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<String, HostError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(|line| match String::from_utf8(line) {
            Ok(text) => text,
            Err(raw) => String::from_utf8_lossy(raw.as_bytes()).into_owned(),
        }))
    }
}

/// The unread lines of one stream, as bytes; see [`Lines`].
#[derive(Debug)]
#[must_use = "nothing is read until it is iterated"]
pub struct RawLines<'a> {
    output: &'a HostOutput,
    stream: Stream,
    ended: bool,
}

impl Iterator for RawLines<'_> {
    type Item = Result<Vec<u8>, HostError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match wait(self.output, self.stream, LineBuffer::take_line) {
            Ok(Some(line)) => Some(Ok(line)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(Unread::Timeout(error)) => Some(Err(error)),
            Err(Unread::Cut(error)) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}
