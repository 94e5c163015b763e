//! A command and how it is to be run.

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{CommandProblem, Error};
use crate::limits;

/// A command for every host, and how to run it (parallel-ssh: the parameters of `run_command`).
///
/// The text goes to the login shell of the remote user as it is.
///
/// ```
/// use std::time::Duration;
/// use sshoal::Command;
///
/// let command = Command::new("uname -a").stop_on_errors(false).read_timeout(Duration::from_secs(5));
/// # let _ = command;
/// ```
#[derive(Debug, Clone)]
pub struct Command {
    text: Vec<u8>,
    pub(crate) stop_on_errors: bool,
    pub(crate) read_timeout: Option<Duration>,
}

impl Command {
    /// A command from its text, or its bytes where the remote side does not use UTF-8.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into(), stop_on_errors: true, read_timeout: None }
    }

    /// Whether `run_command` returns the first host's error instead of the outputs. Default: `true`.
    ///
    /// With `false`, a failed host's error is in its own output. Either way every host is started.
    pub fn stop_on_errors(mut self, stop: bool) -> Self {
        self.stop_on_errors = stop;
        self
    }

    /// How long a reader of this command's output waits without a byte from its stream. Zero: no limit.
    /// Default: the client's `read_timeout`.
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.read_timeout = Some(limit);
        self
    }

    /// What is sent.
    pub(crate) fn to_wire(&self) -> Result<Arc<std::ffi::CStr>, Error> {
        let problem = if self.text.iter().all(u8::is_ascii_whitespace) {
            CommandProblem::Empty
        } else if self.text.len() > limits::COMMAND_BYTES {
            CommandProblem::TooLong { len: self.text.len(), max: limits::COMMAND_BYTES }
        } else {
            match CString::new(self.text.as_slice()) {
                Ok(text) => return Ok(text.into()),
                Err(nul) => CommandProblem::Nul(nul.nul_position()),
            }
        };
        Err(Error::Command(problem))
    }
}

impl From<&str> for Command {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Command {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&Command> for Command {
    fn from(command: &Command) -> Self {
        command.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> CommandProblem {
        match Command::new(text).to_wire() {
            Err(Error::Command(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        assert_eq!(problem(""), CommandProblem::Empty);
        assert_eq!(problem(" \t\n"), CommandProblem::Empty);
        assert_eq!(problem("a\0b"), CommandProblem::Nul(1));
        let len = limits::COMMAND_BYTES + 1;
        assert_eq!(problem(&"x".repeat(len)), CommandProblem::TooLong { len, max: limits::COMMAND_BYTES });
    }
}
