//! Settings for a command's standard streams.

use super::Command;
use crate::error::Error;
use crate::output::stdin::Input;
use crate::output::{Decoding, Encoding, Keep};

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

    /// The encoding of the text and of the command's output, by any of the WHATWG's labels, such
    /// as `shift_jis`, `latin1` or `utf-16le` (parallel-ssh: `encoding`). Default: `utf-8`.
    ///
    /// The text is given as UTF-8 and converted to this encoding. If the encoding is UTF-16, the
    /// text is sent as UTF-8, because a command cannot contain NUL bytes. If the encoding is UTF-8,
    /// the text is sent unchanged, whether or not it is valid. [`Lines`](crate::client::Lines)
    /// decode both streams from this encoding. The bytes of byte readers and of standard input are
    /// not converted. [`HostOutput::set_encoding`](crate::HostOutput::set_encoding) changes the
    /// encoding later.
    ///
    /// By the WHATWG's rules, `latin1` and `ascii` stand for windows-1252, and `utf-16` stands for
    /// UTF-16LE. A byte order mark is removed from the start of a stream and otherwise ignored. In
    /// ISO-2022-JP, each line begins in ASCII (RFC 1468).
    ///
    /// ```
    /// use sshoal::{Command, Error, ParallelClient};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let builder = |hosts: [&str; 1]| {
    /// #     ParallelClient::builder(hosts).known_hosts(["/dev/null"]).identity_auth(false)
    /// # };
    /// let listing = Command::new("ls /srv/表").encoding("euc-jp");
    /// let mistake = Command::new("ls /srv").encoding("utf-32");
    /// let mut client = builder(["files1"]).build()?;
    /// assert!(matches!(client.run_command(mistake), Err(Error::Config { .. })));
    /// # let _ = listing;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// These errors are returned when the command is started, in which case nothing runs.
    /// [`Error::Config`] for an unknown label, or a user or shell that cannot be encoded
    /// (parallel-ssh: `LookupError`, from the first host that is reached). [`Error::Command`] or
    /// [`Error::Template`] if the text cannot be encoded, with the offset of the first character
    /// that the encoding lacks.
    pub fn encoding(mut self, label: impl Into<String>) -> Self {
        self.encoding = Some(label.into());
        self
    }

    /// How the output is decoded.
    pub(crate) fn decoding(&self) -> Result<Decoding, Error> {
        let encoding = self.encoding.as_deref().map_or(Ok(Encoding::default()), Encoding::for_label)?;
        Ok(Decoding { encoding, strict: false })
    }
}
