//! A command's standard input.

use std::io;

use super::deadline;
use super::output::HostOutput;
use crate::error::{ChannelProblem, HostErrorKind, TimeoutKind};
use crate::limits;
use crate::output::Outcome;

/// Writes to a command's standard input.
///
/// Bytes are queued and sent while somebody waits, as fast as the host takes them. A write waits itself while more than
/// 1 MiB is queued: it then drives all hosts, for at most the read timeout without progress. [`flush`](io::Write::flush)
/// waits until everything was handed to the connection.
///
/// Errors are [`io::Error`]s around a [`HostError`](crate::HostError): `BrokenPipe` when the command has ended or its
/// input is closed, `TimedOut` when the host takes nothing.
///
/// ```no_run
/// use std::io::Write;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut client = sshoal::ParallelClient::builder(["web1"]).build()?;
/// let outputs = client.run_command("tee /etc/motd")?;
/// for output in &outputs {
///     output.stdin().write_all(b"Welcome.\n")?;
///     output.stdin().close();
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stdin<'a> {
    output: &'a HostOutput,
}

impl<'a> Stdin<'a> {
    pub(super) fn new(output: &'a HostOutput) -> Self {
        Self { output }
    }

    /// Ends the input once everything written has been sent. More cannot be written.
    pub fn close(self) {
        self.output.change(|exec| exec.stdin.close());
    }

    /// Drives the fleet until at most `left` bytes wait.
    fn drain_to(&self, left: usize) -> io::Result<()> {
        loop {
            let timeout = self.output.read_timeout();
            let deadline = deadline(timeout);
            let mut before = None;
            let mut len = 0;
            let news = self.output.drive(deadline, |exec| {
                len = exec.stdin.len();
                len <= left || *before.get_or_insert(len) != len
            })?;
            if len <= left {
                return Ok(());
            }
            if !news {
                let kind =
                    HostErrorKind::Timeout { kind: TimeoutKind::Read, after: timeout.unwrap_or_default() };
                return Err(self.error(io::ErrorKind::TimedOut, kind));
            }
        }
    }

    fn error(&self, kind: io::ErrorKind, cause: HostErrorKind) -> io::Error {
        match self.output.outcome() {
            Some(Outcome::Failed(error)) => io::Error::new(kind, error),
            _ => io::Error::new(kind, self.output.own_error(cause)),
        }
    }
}

impl io::Write for Stdin<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let piece = &bytes[..bytes.len().min(limits::STDIN_QUEUE)];
        self.drain_to(limits::STDIN_QUEUE - piece.len())?;
        if self.output.change(|exec| exec.stdin.push(piece)) {
            return Ok(piece.len());
        }
        Err(self.error(io::ErrorKind::BrokenPipe, HostErrorKind::Channel(ChannelProblem::InputClosed)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain_to(0)
    }
}
