//! How a command ended, and the input that waits for it.

use std::collections::VecDeque;
use std::fmt;

use crate::error::HostError;
use crate::limits;
use crate::text::sanitise_bounded;

/// How a command on one host ended. An exit status is what the server's message said, never guessed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// The command exited with this status (RFC 4254 section 6.10).
    Exited(u32),
    /// A signal ended it (parallel-ssh reports -1).
    Signaled(ExitSignal),
    /// The server closed the channel in order, but told neither status nor signal.
    NoStatus,
    /// It did not run, or its end is unknown: the error says which stage was reached.
    Failed(HostError),
}

impl Outcome {
    /// Whether the command exited with status 0.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exited(0))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Signaled(signal) => signal.fmt(f),
            Self::NoStatus => f.write_str("ended without an exit status"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// The signal that ended a command (RFC 4254 section 6.10). Its `Display` is safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitSignal {
    /// Its name without `SIG`, for instance `TERM`, as the server sent it.
    pub name: String,
    /// Whether the server says that a core was dumped.
    pub core_dumped: bool,
    /// The server's text, often empty.
    pub message: String,
}

impl fmt::Display for ExitSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "killed by signal {}", sanitise_bounded(&self.name, limits::PEER_TEXT))?;
        if self.core_dumped {
            f.write_str(" (core dumped)")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", sanitise_bounded(&self.message, limits::PEER_TEXT))?;
        }
        Ok(())
    }
}

/// Input that waits to be sent to a command.
#[derive(Debug, Default)]
pub(crate) struct StdinQueue {
    bytes: VecDeque<u8>,
    end: InputEnd,
}

/// How far the end of the input is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum InputEnd {
    /// More may be written.
    #[default]
    Open,
    /// The end follows what is queued.
    Wanted,
    /// The end was sent, or nobody takes input any more.
    Reached,
}

impl StdinQueue {
    /// Queues bytes; `false` if the input has ended.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let open = self.end == InputEnd::Open;
        if open {
            self.bytes.extend(bytes);
        }
        open
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Asks for the end after what is queued; `false` if the input has ended.
    pub(crate) fn close(&mut self) -> bool {
        let open = self.end == InputEnd::Open;
        if open {
            self.end = InputEnd::Wanted;
        }
        open
    }

    pub(crate) fn wants_eof(&self) -> bool {
        self.end == InputEnd::Wanted && self.bytes.is_empty()
    }

    /// Whether the end was sent.
    pub(crate) fn has_ended(&self) -> bool {
        self.end == InputEnd::Reached
    }

    pub(crate) fn eof_sent(&mut self) {
        self.end = InputEnd::Reached;
    }

    /// Drops what is queued: the command takes no more input.
    pub(crate) fn abandon(&mut self) {
        self.bytes = VecDeque::new();
        self.end = InputEnd::Reached;
    }

    /// The longest piece that lies in one place.
    pub(crate) fn front(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    pub(crate) fn consume(&mut self, written: usize) {
        self.bytes.drain(..written.min(self.bytes.len()));
        if self.bytes.is_empty() {
            self.bytes = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_waits_for_what_is_queued() {
        let mut stdin = StdinQueue::default();
        assert!(stdin.push(b"abc"));
        stdin.close();
        assert!(!stdin.push(b"late"));
        assert!(!stdin.wants_eof());
        stdin.consume(3);
        assert!(stdin.wants_eof());
        stdin.eof_sent();
        assert!(!stdin.wants_eof());
    }

    #[test]
    fn abandoned_input_never_sends_an_end() {
        let mut stdin = StdinQueue::default();
        stdin.push(b"abc");
        stdin.close();
        stdin.abandon();
        assert!(stdin.is_empty() && !stdin.wants_eof());
    }

    #[test]
    fn a_signal_text_cannot_carry_an_escape() {
        let signal = ExitSignal { name: "T\x1b[2J".into(), core_dumped: true, message: "a\rb".into() };
        let shown = signal.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown}");
    }
}
