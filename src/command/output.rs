//! What becomes of a command's output.

use super::Command;
#[cfg(doc)]
use crate::error::Error;
use crate::output::Keep;

impl Command {
    /// What is kept of standard output until it is read, or which [`Sink`](crate::output::Sink)
    /// gets it. Default: [`Keep::BackPressure`] of 256 KiB in a [`Fleet`](crate::Fleet),
    /// [`Keep::All`] in a [`ParallelClient`](crate::ParallelClient).
    ///
    /// What is not kept is counted: [`CommandRef::dropped`](crate::fleet::CommandRef::dropped),
    /// [`HostOutput::dropped`](crate::HostOutput::dropped).
    ///
    /// ```
    /// use sshoal::Command;
    /// use sshoal::output::Keep;
    ///
    /// // Of a chatty command the last of what it says; its complaints in full, as they are read.
    /// let command = Command::new("journalctl -f").stdout(Keep::Tail(64 * 1024)).stderr(Keep::BackPressure(16 * 1024));
    /// # let _ = command;
    /// ```
    ///
    /// # Errors
    /// Of whoever runs it: [`Error::Config`] for a [`Keep::BackPressure`] of 0 bytes.
    pub fn stdout(mut self, keep: Keep) -> Self {
        self.stdout = Some(keep);
        self
    }

    /// What is kept of standard error until it is read, or which sink gets it; see
    /// [`stdout`](Self::stdout).
    pub fn stderr(mut self, keep: Keep) -> Self {
        self.stderr = Some(keep);
        self
    }

    /// With all output kept, unless the command says otherwise.
    pub(crate) fn keep_all(mut self) -> Self {
        self.stdout.get_or_insert(Keep::All);
        self.stderr.get_or_insert(Keep::All);
        self
    }
}
