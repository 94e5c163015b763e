//! Settings for a command's output.

use super::Command;
#[cfg(doc)]
use crate::error::Error;
use crate::output::Keep;

impl Command {
    /// How much unread standard output is kept, or the [`Sink`](crate::output::Sink) that receives
    /// it. Default: [`Keep::BackPressure`] of 256 KiB in a [`Fleet`](crate::Fleet), [`Keep::All`]
    /// in a [`ParallelClient`](crate::ParallelClient).
    ///
    /// [`CommandRef::dropped`](crate::fleet::CommandRef::dropped) and
    /// [`HostOutput::dropped`](crate::HostOutput::dropped) return how many bytes were dropped.
    ///
    /// ```
    /// use sshoal::Command;
    /// use sshoal::output::Keep;
    ///
    /// // Keeps the last 64 KiB of standard output. Standard error waits until it is read.
    /// let command = Command::new("journalctl -f")
    ///     .stdout(Keep::Tail(64 * 1024))
    ///     .stderr(Keep::BackPressure(16 * 1024));
    /// # let _ = command;
    /// ```
    ///
    /// # Errors
    /// When the command is started, [`Error::Config`] is returned for a [`Keep::BackPressure`] of 0
    /// bytes.
    pub fn stdout(mut self, keep: Keep) -> Self {
        self.stdout = Some(keep);
        self
    }

    /// Like [`stdout`](Self::stdout), for standard error.
    pub fn stderr(mut self, keep: Keep) -> Self {
        self.stderr = Some(keep);
        self
    }

    /// Keeps all output, unless the command has other settings.
    pub(crate) fn keep_all(mut self) -> Self {
        self.stdout.get_or_insert(Keep::All);
        self.stderr.get_or_insert(Keep::All);
        self
    }
}
