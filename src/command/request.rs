//! What a host is asked to run, and how.

use std::ffi::{CStr, CString};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::login_program::LoginProgram;
use super::sudo::SudoLogin;
use super::wrap::wrapped;
use crate::error::ChannelProblem;
use crate::limits;
use crate::output::stdin::Input;
use crate::output::{Deliver, Encoding, Keep, LineEnds};
use crate::transfer::{Errand, Plan};

/// A program to run. It is immutable, and all hosts with the same text share it.
pub(crate) struct Request {
    pub program: Program,
    /// The command line for the login shell, or the name of the subsystem; empty for a shell.
    pub text: CString,
    pub options: Arc<RunOptions>,
    /// What the program is used for, if it is an SFTP server.
    pub transfer: Option<TransferRequest>,
}

/// A transfer, and how the commands that it needs on the host are run.
pub(crate) struct TransferRequest {
    pub plan: Plan,
    /// The words that make a command run as another user: `sudo` and a shell.
    pub prefix: Option<Vec<u8>>,
    /// How to answer that `sudo`.
    pub sudo: Option<SudoLogin>,
}

/// What kind of program the server is asked to start (RFC 4254 section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Program {
    /// `exec`: a command line, which the login shell runs.
    Command,
    /// `shell`: the login shell itself.
    Shell,
    /// `subsystem`: a service that the server knows by name.
    Subsystem,
}

impl Program {
    /// The input of a program whose input is not set, in a fleet. A shell without input would end
    /// at once.
    pub(super) fn default_input(self) -> Input {
        match self {
            Self::Command => Input::Empty,
            Self::Shell | Self::Subsystem => Input::Open,
        }
    }
}

impl Request {
    /// A command that a transfer needs on its host. `None` if its text is too long.
    pub fn for_transfer(&self, errand: &Errand) -> Option<Self> {
        let transfer = self.transfer.as_ref().filter(|_| errand.is_privileged);
        let prefix = transfer.and_then(|transfer| transfer.prefix.as_deref());
        let text = wrapped(&errand.text, &[], prefix, Encoding::default()).ok()?;
        let keep = Keep::Tail(limits::ERRAND_OUTPUT);
        let output = OutputOptions { stdout: keep.clone(), stderr: keep, ..OutputOptions::default() };
        let sudo = transfer.and_then(|transfer| transfer.sudo.clone());
        let options =
            RunOptions { pty_of_host: false, input: Input::Empty, output, sudo, ..RunOptions::default() };
        Some(Self { program: Program::Command, text, options: Arc::new(options), transfer: None })
    }

    /// What a host is asked to start, if it has this program in place of the login shell.
    pub fn on_host<'a>(&'a self, login_program: Option<&'a LoginProgram>) -> (Program, &'a CStr) {
        match login_program {
            Some(LoginProgram { program, text }) if self.program == Program::Shell => (*program, text),
            _ => (self.program, &self.text),
        }
    }

    /// The problem if the server does not start the program. `reason` is what is known about the
    /// reason.
    pub fn refused(&self, reason: String) -> ChannelProblem {
        self.program.refused(&self.text, reason)
    }
}

impl Program {
    /// The problem if the server does not start this program with this text. `reason` is what is
    /// known about the reason.
    pub fn refused(self, text: &CStr, reason: String) -> ChannelProblem {
        match self {
            Self::Command => ChannelProblem::ExecRefused(reason),
            Self::Shell => ChannelProblem::ShellRefused(reason),
            Self::Subsystem => {
                ChannelProblem::SubsystemRefused { name: text.to_string_lossy().into_owned(), text: reason }
            }
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may contain secrets.
        f.debug_struct("Request").field("options", &self.options).finish_non_exhaustive()
    }
}

/// How a command is run. This is the same on every host.
#[derive(Debug)]
pub(crate) struct RunOptions {
    /// The channel requests that are sent before the command, in this order.
    pub setup: Vec<ChannelRequest>,
    /// Whether the command gets the terminal of the host's settings, if they have one.
    pub pty_of_host: bool,
    /// Whether the command runs without the environment variables that the server refuses.
    pub ignore_refused_env: bool,
    /// How long the command may run after the host has accepted it.
    pub time_limit: Option<Duration>,
    /// Whether a channel that was refused is requested again when another channel of the connection
    /// has closed.
    pub wait_for_channel: bool,
    pub input: Input,
    /// How the command's output is kept and delivered.
    pub output: OutputOptions,
    /// How to answer `sudo`, if the password is set.
    pub sudo: Option<SudoLogin>,
}

/// By default, the input is open, the host's settings decide about a terminal, and nothing else is
/// set.
impl Default for RunOptions {
    fn default() -> Self {
        Self {
            setup: Vec::new(),
            pty_of_host: true,
            ignore_refused_env: false,
            time_limit: None,
            wait_for_channel: false,
            input: Input::Open,
            output: OutputOptions::default(),
            sudo: None,
        }
    }
}

impl RunOptions {
    /// Whether something may be written to the command: its input, or the password for `sudo`.
    pub fn may_write(&self) -> bool {
        !self.input.is_empty() || self.sudo.is_some()
    }
}

/// How a command's output is kept and delivered.
#[derive(Debug, Clone)]
pub(crate) struct OutputOptions {
    pub stdout: Keep,
    pub stderr: Keep,
    pub deliver: Deliver,
    /// Which bytes end a line of the output.
    pub ends: LineEnds,
}

/// By default, all output is kept, and no events deliver it.
impl Default for OutputOptions {
    fn default() -> Self {
        Self { stdout: Keep::All, stderr: Keep::All, deliver: Deliver::Nothing, ends: LineEnds::Bytes }
    }
}

/// A channel request that precedes the command (RFC 4254 section 6).
#[derive(PartialEq, Eq)]
pub(crate) enum ChannelRequest {
    /// `pty-req`: a terminal without modes. Its size is in characters.
    Pty { term: CString, columns: u16, rows: u16 },
    /// `env`: an environment variable.
    Env { name: CString, value: CString },
    /// `auth-agent-req@openssh.com`: agent forwarding. As in OpenSSH, no reply is requested.
    ForwardAgent,
}

impl fmt::Debug for ChannelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pty { term, columns, rows } => write!(f, "Pty({term:?}, {columns}x{rows})"),
            // The value may be a secret.
            Self::Env { name, .. } => write!(f, "Env({name:?}, ..)"),
            Self::ForwardAgent => f.write_str("ForwardAgent"),
        }
    }
}
