//! How a command ended.

use std::fmt;

use super::{FileResult, Transferred};
use crate::error::{HostError, Label};
use crate::limits;
use crate::text::sanitise_bounded;

/// How a command on one host ended. An exit status is always one that the server has sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// The command exited with this status (RFC 4254 section 6.10).
    Exited(u32),
    /// A signal ended the command (parallel-ssh reports this as -1).
    Signaled(ExitSignal),
    /// The server closed the channel without sending a status or a signal.
    NoStatus,
    /// The [transfer](crate::transfer) is complete.
    Transferred(Box<Transferred>),
    /// The [request about a file](crate::transfer::FileRequest) was carried out.
    File(Box<FileResult>),
    /// The command did not run, or how it ended is unknown. The error names the stage that failed.
    Failed(HostError),
}

impl Outcome {
    /// Whether the command exited with status 0, or the transfer is complete, or the request about
    /// a file was carried out.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exited(0) | Self::Transferred(_) | Self::File(_))
    }

    /// The label of the outcome, to count by. That of a failure is the label of its error.
    pub fn label(&self) -> Label {
        match self {
            Self::Exited(0) | Self::Transferred(_) | Self::File(_) => Label::Succeeded,
            Self::Exited(_) => Label::ExitStatus,
            Self::Signaled(_) => Label::Signaled,
            Self::NoStatus => Label::NoStatus,
            Self::Failed(error) => error.label(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Signaled(signal) => signal.fmt(f),
            Self::NoStatus => f.write_str("ended without an exit status"),
            Self::Transferred(done) => done.fmt(f),
            Self::File(result) => result.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// The signal that ended a command (RFC 4254 section 6.10). Its `Display` output is safe to show on
/// a terminal. Only the first 4 KiB of the name and of the message are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExitSignal {
    /// The name of the signal without `SIG`, for instance `TERM`, as the server sent it.
    pub name: String,
    /// Whether the server reports that the command dumped core.
    pub core_dumped: bool,
    /// The server's message about the signal, which is often empty.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_text_cannot_carry_an_escape() {
        let signal = ExitSignal { name: "T\x1b[2J".into(), core_dumped: true, message: "a\rb".into() };
        let shown = signal.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown}");
    }
}
