//! Settings for a command's standard streams.

use super::Command;
#[cfg(doc)]
use crate::error::Error;
use crate::output::Keep;
use crate::output::stdin::Input;

impl Command {
    /// The command's standard input: [open](Input::Open) for the caller to write to,
    /// [empty](Input::Empty), or given as text or bytes, which all hosts share. Default:
    /// [`Input::Open`] in a [`ParallelClient`](crate::ParallelClient), as in parallel-ssh, and for
    /// [shells](Self::login_shell) and [subsystems](Self::subsystem); otherwise [`Input::Empty`] in
    /// a [`Fleet`](crate::Fleet).
    ///
    /// The end of the input follows what is given, so a command that reads its input to the end
    /// finishes by itself. Writing to an input that is not open fails with
    /// [`ChannelProblem::InputNotOpen`](crate::error::ChannelProblem::InputNotOpen). With
    /// [`sudo_password`](Self::sudo_password), the input and its end are sent once the command has
    /// begun.
    ///
    /// A command without input costs less processor time, because libssh need not log how it opens
    /// the command's channel.
    ///
    /// ```
    /// use sshoal::Command;
    ///
    /// let command = Command::new("chpasswd").stdin("deploy:a new password\n");
    /// # let _ = command;
    /// ```
    pub fn stdin(mut self, input: impl Into<Input>) -> Self {
        self.stdin = Some(input.into());
        self
    }

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

    /// Applies the defaults of the blocking client: input is open, and all output is kept.
    pub(crate) fn for_client(mut self) -> Self {
        self.stdin.get_or_insert(Input::Open);
        self.stdout.get_or_insert(Keep::All);
        self.stderr.get_or_insert(Keep::All);
        self
    }
}
