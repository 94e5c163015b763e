//! Line by line through one host's output, while all hosts are driven.

use std::io;
use std::time::Duration;

use super::output::{HostOutput, Stream};
use crate::error::{HostError, HostErrorKind, TimeoutKind};
use crate::lines::LineBuffer;
use crate::output::Outcome;
use crate::reactor::Reactor;
use crate::session::Exec;

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

/// What a look at the stream showed.
enum Look {
    Line(Vec<u8>),
    /// Nothing more will come; the error that cut it short, if one did.
    End(Option<HostError>),
    /// No whole line yet.
    Nothing,
}

impl Iterator for RawLines<'_> {
    type Item = Result<Vec<u8>, HostError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.wait() {
            Ok(Look::Line(line)) => Some(Ok(line)),
            Ok(Look::End(error)) => {
                self.ended = true;
                error.map(Err)
            }
            Ok(Look::Nothing) => self.timed_out(),
            Err(e) => self.output.own_error(HostErrorKind::Limit(format!("cannot poll: {e}"))).map(Err),
        }
    }
}

impl RawLines<'_> {
    /// Drives the fleet until there is a line or the end. `Nothing` after a read timeout.
    fn wait(&mut self) -> io::Result<Look> {
        let stream = self.stream;
        let mut look = Look::Nothing;
        loop {
            let timeout = self.output.read_timeout();
            let deadline = timeout.and_then(|after| Reactor::now().checked_add(after));
            let mut before = None;
            let news = self.output.drive(deadline, |exec| {
                look = examine(exec, stream);
                let len = buffer(exec, stream).len();
                let grown = *before.get_or_insert(len) != len;
                // Any byte starts the read timeout again.
                !matches!(look, Look::Nothing) || grown
            })?;
            if !matches!(look, Look::Nothing) || !news {
                return Ok(look);
            }
        }
    }

    fn timed_out(&self) -> Option<Result<Vec<u8>, HostError>> {
        let after = self.output.read_timeout().unwrap_or(Duration::ZERO);
        self.output.own_error(HostErrorKind::Timeout { kind: TimeoutKind::Read, after }).map(Err)
    }
}

fn buffer(exec: &mut Exec, stream: Stream) -> &mut LineBuffer {
    match stream {
        Stream::Stdout => &mut exec.stdout,
        Stream::Stderr => &mut exec.stderr,
    }
}

fn examine(exec: &mut Exec, stream: Stream) -> Look {
    if let Some(line) = buffer(exec, stream).take_line() {
        return Look::Line(line);
    }
    match exec.outcome() {
        None => Look::Nothing,
        Some(Outcome::Failed(error)) => Look::End(Some(error.clone())),
        Some(_) => Look::End(None),
    }
}
