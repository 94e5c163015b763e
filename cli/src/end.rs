//! How a command on one host ended, as reports show it.

use sshoal::Stage;
use sshoal::error::Label;

/// How a command on one host ended.
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
