//! Options for reading output.

use std::time::Duration;

/// How a client reads the output of one command, for
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
    /// The read timeout of a reader or writer. The outer `None` stands for the read timeout of the
    /// host, and the inner `None` for no limit.
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
    /// With `false`, the error of a failed host is in that host's output. In either case, the
    /// command is started on every host.
    pub fn stop_on_errors(mut self, stop: bool) -> Self {
        self.stop_on_errors = stop;
        self
    }

    /// How long a reader waits for a byte from its stream, and a writer for progress (parallel-ssh:
    /// `read_timeout`). On a slow line, where a packet of 32 KiB takes long, it waits on while a
    /// packet arrives that has begun in time. `None` means no limit; zero is rejected. Default:
    /// the host's [`read_timeout`](crate::HostConfig::read_timeout).
    pub fn read_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.read_timeout = Some(limit.into());
        self
    }

    /// Whether a line that is not valid in the command's [`encoding`](crate::Command::encoding) is
    /// returned as an error, [`HostErrorKind::Undecodable`](crate::HostErrorKind::Undecodable).
    /// Default: `false`, so the line is returned as text in which bytes that cannot be decoded
    /// become U+FFFD.
    ///
    /// The error contains the line's bytes, and the lines that follow it can be read (parallel-ssh
    /// raises `UnicodeDecodeError` and loses the line).
    pub fn strict_encoding(mut self, strict: bool) -> Self {
        self.strict_encoding = strict;
        self
    }
}
