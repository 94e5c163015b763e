//! How a command on one host ended, as reports show it.

use std::fmt;

use sshoal::Stage;
use sshoal::error::Label;
use sshoal::transfer::Transferred;

/// How a command on one host ended. Hosts whose ends are equal are shown together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum End {
    /// The command exited with this status.
    Exited(u32),
    /// A signal ended the command.
    Signaled {
        /// The name of the signal without `SIG`, safe for a terminal.
        name: String,
        core_dumped: bool,
    },
    /// The server closed the channel without a status.
    NoStatus,
    /// The files were copied.
    Copied(Transferred),
    /// The command did not run, or how it ended is unknown.
    Failed(Failure),
}

/// Why a command did not run, or why its end is unknown. Equal failures of different hosts are
/// equal values, so the text does not name the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failure {
    /// What the host was doing.
    pub stage: Stage,
    /// The kind of the failure, to count by and for JSON.
    pub label: Label,
    /// What happened, safe for a terminal.
    pub text: String,
    /// What the user can do, if that is known: a whole sentence.
    pub advice: Option<String>,
}

impl End {
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exited(0) | Self::Copied(_))
    }

    /// Whether the command was sent to the host: it may have printed something, or changed it.
    pub fn has_run(&self) -> bool {
        match self {
            Self::Exited(_) | Self::Signaled { .. } | Self::NoStatus | Self::Copied(_) => true,
            Self::Failed(failure) => matches!(failure.stage, Stage::Running | Stage::Closing),
        }
    }

    /// The kind of this end, to count by and for JSON.
    pub fn label(&self) -> Label {
        match self {
            Self::Exited(0) | Self::Copied(_) => Label::Succeeded,
            Self::Exited(_) => Label::ExitStatus,
            Self::Signaled { .. } => Label::Signaled,
            Self::NoStatus => Label::NoStatus,
            Self::Failed(failure) => failure.label,
        }
    }
}

/// Without what to do about it.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit {status}"),
            Self::Signaled { name, core_dumped: false } => write!(f, "killed by signal {name}"),
            Self::Signaled { name, core_dumped: true } => write!(f, "killed by signal {name} (core dumped)"),
            Self::NoStatus => f.write_str("ended without an exit status"),
            Self::Copied(done) => done.fmt(f),
            Self::Failed(failure) => f.write_str(&failure.text),
        }
    }
}
