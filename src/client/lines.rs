//! Line by line through one host's output, while all hosts are driven.

use super::output::HostOutput;
use super::wait::{Unread, wait_for_output};
use crate::error::HostError;
use crate::fleet::Fleet;
use crate::output::{Line, StdStream};

/// The unread lines of one stream, as text in its [`encoding`](crate::Command::encoding). What is not in it becomes U+FFFD,
/// or with [`strict_encoding`](crate::Command::strict_encoding) an error in the place of the line.
///
/// `\n` and `\r\n` end a line and are not part of it; a lone `\r` and NUL do not. The last line needs no line end. A byte
/// order mark of the encoding at the start of the stream is no part of the first line.
/// Yields an error once where the output ends early because the host failed; what had arrived comes first. After a read
/// timeout, and after a line that is not in its encoding, the next call goes on, and nothing is lost.
#[derive(Debug)]
#[must_use = "nothing is read until it is iterated"]
pub struct Lines<'a>(RawLines<'a>);

impl<'a> Lines<'a> {
    pub(super) fn new(output: &'a HostOutput, stream: StdStream) -> Self {
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
        let RawLines { output, .. } = self.0;
        Some(self.0.take_next()?.and_then(|line| output.decode(line.bytes, line.offset == 0)))
    }
}

/// The unread lines of one stream, as bytes; see [`Lines`]. Only where lines end follows from the encoding.
#[derive(Debug)]
#[must_use = "nothing is read until it is iterated"]
pub struct RawLines<'a> {
    output: &'a HostOutput,
    stream: StdStream,
    ended: bool,
}

impl RawLines<'_> {
    fn take_next(&mut self) -> Option<Result<Line, HostError>> {
        if self.ended {
            return None;
        }
        let ends = self.output.line_ends();
        let stream = self.stream;
        let take = |fleet: &mut Fleet, id| fleet.take_line(id, stream, ends);
        match wait_for_output(self.output, stream, take) {
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

impl Iterator for RawLines<'_> {
    type Item = Result<Vec<u8>, HostError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.take_next()?.map(|line| line.bytes))
    }
}
