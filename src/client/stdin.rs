//! A command's standard input.

use std::io;

use super::output::HostOutput;
use super::wait::{WaitError, wait};
use crate::error::ChannelProblem;
use crate::fleet::CommandRef;
use crate::{Fleet, limits};

/// Writes to a command's standard input.
///
/// Written bytes are queued, and calls that wait send them as fast as the host reads them. The
/// queue holds 1 MiB. If it is full, a write waits for room: it drives all hosts, and fails if
/// nothing is sent within the read timeout. [`flush`](io::Write::flush) waits until everything has
/// been handed to the connection.
///
/// Errors are [`io::Error`]s that wrap a [`HostError`](crate::HostError): `BrokenPipe` if the
/// command has ended or its input is closed or not [open](crate::config::Input::Open), and
/// `TimedOut` if the host does not read the input in time.
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
    pub(super) output: &'a HostOutput,
}

impl Stdin<'_> {
    /// Closes the input once everything that was written has been sent.
    pub fn close(self) {
        self.output.fleet().lock().close_stdin(self.output.id());
    }

    /// Waits until at most `left` bytes are queued.
    fn drain_to(&self, left: usize) -> io::Result<()> {
        let unsent = |command: CommandRef<'_>| command.unsent();
        let drained = |fleet: &mut Fleet, id| (fleet.command(id).map_or(0, unsent) <= left).then_some(());
        match wait(self.output, drained, unsent) {
            Ok(()) | Err(WaitError::Ended) => Ok(()),
            // The command has ended, so its input no longer matters.
            Err(WaitError::Failed(_)) if self.output.is_finished() => Ok(()),
            Err(WaitError::Failed(error)) => Err(io::Error::other(error)),
            Err(WaitError::Timeout(error)) => Err(io::Error::new(io::ErrorKind::TimedOut, error)),
        }
    }
}

impl io::Write for Stdin<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let written = self.output.fleet().lock().write_stdin(self.output.id(), bytes);
            match written {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => {
                    let kind = e.kind();
                    let problem = e.downcast().unwrap_or(ChannelProblem::InputClosed);
                    return Err(io::Error::new(kind, self.output.error_or(problem)));
                }
                Ok(written) => return Ok(written),
            }
            self.drain_to(limits::STDIN_QUEUE / 2)?;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain_to(0)
    }
}
