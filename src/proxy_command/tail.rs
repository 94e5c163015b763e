//! The last lines of a process's standard error.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use super::limits;
use crate::text::sanitise_lines;

/// Keeps the last [`limits::SAID`] bytes of a stream, because the reason for an end is said
/// at the end.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: VecDeque<u8>,
    /// Whether earlier bytes were dropped.
    is_cut: bool,
}

/// What a read has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing has arrived that was not read.
    Nothing,
    /// The budget was used up.
    More,
    /// The stream has ended.
    End,
}

impl Tail {
    /// Reads what has arrived on a non-blocking stream, but no more than
    /// [`limits::SAID_PER_VISIT`] bytes.
    pub(super) fn read(&mut self, stream: &mut impl Read) -> Left {
        let mut buffer = [0; limits::SAID];
        for _ in 0..limits::SAID_PER_VISIT / limits::SAID {
            match stream.read(&mut buffer) {
                Ok(0) => return Left::End,
                Ok(count) => self.push(&buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Left::Nothing,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Left::End,
            }
        }
        Left::More
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let excess = self.bytes.len().saturating_sub(limits::SAID);
        self.bytes.drain(..excess);
        self.is_cut |= excess > 0;
    }

    /// The lines, without one that was cut at its beginning unless it is the only one.
    pub(crate) fn text(&mut self) -> Option<Arc<str>> {
        let bytes = &*self.bytes.make_contiguous();
        let whole = bytes.iter().position(|byte| *byte == b'\n').filter(|_| self.is_cut);
        let lines = whole.map(|end| &bytes[end + 1..]).filter(|rest| !rest.trim_ascii().is_empty());
        let text = sanitise_lines(lines.unwrap_or(bytes), usize::MAX);
        (!text.trim().is_empty()).then(|| text.into())
    }
}
