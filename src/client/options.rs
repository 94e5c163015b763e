//! Options of single calls.

use std::time::Duration;

/// How a client reads the output of one command:
/// [`run_command_with`](crate::ParallelClient::run_command_with).
///
/// ```no_run
/// use std::time::Duration;
/// use sshoal::{ParallelClient, ReadOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut client = ParallelClient::builder(["web1", "web2"]).build()?;
/// let options = ReadOptions::default().stop_on_errors(false).read_timeout(Duration::from_secs(5));
/// for output in client.run_command_with("uname -a", options)? {
///     if let Some(error) = output.error() {
///         eprintln!("{error}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct ReadOptions {
    pub(super) stop_on_errors: bool,
    pub(super) strict_encoding: bool,
    /// The outer `None`: that of the host.
    pub(super) read_timeout: Option<Option<Duration>>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { stop_on_errors: true, strict_encoding: false, read_timeout: None }
    }
}

impl ReadOptions {
    /// Whether [`run_command`](crate::ParallelClient::run_command) returns the first host's error
    /// instead of the outputs (parallel-ssh: `stop_on_errors`). Default: `true`.
    ///
    /// With `false`, a failed host's error is in its own output. Either way every host is started.
    pub fn stop_on_errors(mut self, stop: bool) -> Self {
        self.stop_on_errors = stop;
        self
    }

    /// How long a reader waits without a byte from its stream, and a writer without progress
    /// (parallel-ssh: `read_timeout`). `None`: no limit; zero is refused. Default: the host's
    /// [`read_timeout`](crate::HostConfig::read_timeout).
    pub fn read_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.read_timeout = Some(limit.into());
        self
    }

    /// Whether a line that is not in the command's [`encoding`](crate::Command::encoding) is an
    /// error, [`HostErrorKind::Undecodable`](crate::HostErrorKind::Undecodable), in the place of
    /// the line. Default: `false`, what cannot be decoded becomes U+FFFD.
    ///
    /// The error has the line's bytes, and the lines after it can be read (parallel-ssh raises
    /// `UnicodeDecodeError` and loses the line).
    pub fn strict_encoding(mut self, strict: bool) -> Self {
        self.strict_encoding = strict;
        self
    }
}

/// How to [`join`](crate::ParallelClient::join).
///
/// ```no_run
/// use std::time::Duration;
/// use sshoal::{Error, JoinOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
/// let outputs = client.run_command("apt-get -y upgrade")?;
/// match client.join(&outputs, JoinOptions::default().timeout(Duration::from_secs(600))) {
///     Err(Error::JoinTimeout { unfinished, .. }) => println!("still running: {unfinished:?}"),
///     other => other?,
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct JoinOptions {
    pub(super) timeout: Option<Duration>,
    pub(super) consume_output: bool,
    pub(super) close_stdin: Option<bool>,
}

impl JoinOptions {
    /// Time limit for all outputs together; zero does not wait. Default: `None`, no limit.
    pub fn timeout(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.timeout = after.into();
        self
    }

    /// Whether to discard the output of the commands. Default: `false`, it can be read afterwards.
    pub fn consume_output(mut self, consume: bool) -> Self {
        self.consume_output = consume;
        self
    }

    /// Whether to close the commands' standard input first. Default: `true` without a time limit,
    /// since a command that reads its input would never end; `false` with one, so that input can be
    /// written after a timeout.
    pub fn close_stdin(mut self, close: bool) -> Self {
        self.close_stdin = Some(close);
        self
    }
}
