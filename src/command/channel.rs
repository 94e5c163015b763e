//! Settings of a command's channel, such as the terminal.

use std::ffi::CString;
use std::time::Duration;

use super::Command;
use super::env::Variable;
use super::request::{ChannelRequest, RunOptions};
use crate::error::{ConfigProblem, Error};
use crate::limits;

/// A terminal for a command (RFC 4254 section 6.2). The default is an `xterm` of 80 columns and 24
/// rows, as in parallel-ssh.
///
/// No terminal modes are requested, so the host's defaults apply. The terminal of this process has
/// no influence.
///
/// ```
/// use sshoal::Command;
/// use sshoal::config::Pty;
///
/// let command = Command::new("top -b -n 1").pty(Pty::default().term("vt100").size(132, 50));
/// # let _ = command;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct Pty {
    term: String,
    columns: u16,
    rows: u16,
}

impl Default for Pty {
    fn default() -> Self {
        Self { term: "xterm".to_owned(), columns: 80, rows: 24 }
    }
}

impl Pty {
    /// The terminal type, which is the value of `TERM`.
    pub fn term(mut self, term: impl Into<String>) -> Self {
        self.term = term.into();
        self
    }

    /// The size of the terminal in characters. 0, which means "unknown" in the protocol, is
    /// rejected.
    pub fn size(mut self, columns: u16, rows: u16) -> Self {
        (self.columns, self.rows) = (columns, rows);
        self
    }

    pub(crate) fn to_request(&self) -> Result<ChannelRequest, ConfigProblem> {
        let Self { term, columns, rows } = self;
        if *columns == 0 || *rows == 0 {
            let allowed = "at least 1 column and 1 row";
            return Err(ConfigProblem::OutOfRange { setting: "Pty::size", allowed });
        }
        match CString::new(term.as_str()) {
            Ok(term) if !term.is_empty() && term.as_bytes().len() <= limits::NAME_BYTES => {
                Ok(ChannelRequest::Pty { term, columns: *columns, rows: *rows })
            }
            _ => Err(ConfigProblem::Invalid {
                setting: "Pty::term",
                value: term.clone(),
                problem: format!("must have 1 to {} bytes, none of them NUL", limits::NAME_BYTES),
            }),
        }
    }
}

/// Settings of a command's channel.
#[derive(Debug, Clone, Default)]
pub(super) struct ChannelSettings {
    /// `None` leaves the terminal to the host's setting; `Some(None)` means no terminal.
    pty: Option<Option<Pty>>,
    pub(super) env: Vec<Variable>,
    pub(super) ignore_refused_env: bool,
    time_limit: Option<Duration>,
    wait_for_channel: bool,
}

impl ChannelSettings {
    /// Whether the command itself asks for a terminal.
    pub(super) fn wants_pty(&self) -> bool {
        matches!(self.pty, Some(Some(_)))
    }

    /// Makes the options of a run. The terminal is requested before the environment, as by
    /// OpenSSH's client.
    pub(super) fn to_options(&self) -> Result<RunOptions, Error> {
        ConfigProblem::check_limit("time_limit", self.time_limit).map_err(ConfigProblem::of_command)?;
        let pty = self.pty.iter().flatten().map(Pty::to_request);
        let setup = pty.chain(self.env.iter().map(Variable::to_request));
        Ok(RunOptions {
            setup: setup.collect::<Result<_, _>>().map_err(ConfigProblem::of_command)?,
            pty_of_host: self.pty.is_none(),
            ignore_refused_env: self.ignore_refused_env,
            time_limit: self.time_limit,
            wait_for_channel: self.wait_for_channel,
            ..RunOptions::default()
        })
    }
}

impl Command {
    /// Whether the command gets a terminal, whatever the settings of its hosts say (parallel-ssh:
    /// `use_pty`). The terminal is that of [`Pty::default`], unless [`pty`](Self::pty) sets another
    /// one. Default: the host's setting ([`HostConfig::pty`](crate::HostConfig::pty)), which is no
    /// terminal by default.
    ///
    /// A terminal has one output stream: standard error arrives as standard output, lines end with
    /// `\r\n`, and input is echoed. When the channel closes, the host sends SIGHUP to the processes
    /// on the terminal.
    ///
    /// If a host refuses the terminal, the command does not run there, and its error is
    /// [`ChannelProblem::PtyRefused`](crate::error::ChannelProblem::PtyRefused).
    ///
    /// ```
    /// use sshoal::Command;
    ///
    /// let command = Command::new("tty").use_pty(true);
    /// # let _ = command;
    /// ```
    pub fn use_pty(mut self, on: bool) -> Self {
        self.channel.pty = Some(on.then(|| self.channel.pty.take().flatten().unwrap_or_default()));
        self
    }

    /// The terminal that the command gets; see [`use_pty`](Self::use_pty). Default: the host's
    /// setting.
    ///
    /// # Errors
    /// When the command is started, [`Error::Config`] is returned if the number of columns or rows
    /// is 0, or if the terminal type is empty, contains a NUL byte, or has more than 256 bytes.
    pub fn pty(mut self, pty: Pty) -> Self {
        self.channel.pty = Some(Some(pty));
        self
    }

    /// How long the command may run, from the moment the host accepts it. Default: `None`, which
    /// means no limit. Zero is rejected.
    ///
    /// At the limit, the command is stopped like a cancelled one (see
    /// [`HostOutput::cancel`](crate::HostOutput::cancel)). Its outcome is a
    /// [`Timeout`](crate::HostErrorKind::Timeout) of kind
    /// [`Command`](crate::error::TimeoutKind::Command). The output that it has printed stays
    /// readable, and the connection can be used for the next command. Like all deadlines, the limit
    /// is enforced only while the hosts are driven.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sshoal::Command;
    ///
    /// let command = Command::new("fsck -n /dev/sdb1").time_limit(Duration::from_secs(600));
    /// # let _ = command;
    /// ```
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.channel.time_limit = limit.into();
        self
    }

    /// Whether a command whose channel is refused waits until another channel of its connection
    /// closes, and tries again. Default: `false`, so the command fails with
    /// [`ChannelProblem::OpenRefused`](crate::error::ChannelProblem::OpenRefused).
    ///
    /// Servers limit the commands that run at once on one connection (OpenSSH: `MaxSessions`, by
    /// default 10). The wait counts towards the time limit for starting a command (the client's
    /// `timeout`), and ends when that limit is reached. If no other channel is open, the command
    /// fails at once.
    pub fn wait_for_channel(mut self, wait: bool) -> Self {
        self.channel.wait_for_channel = wait;
        self
    }
}
