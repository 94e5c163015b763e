//! Why a proxy command did not lead to its host.

use std::io;
use std::process::ExitStatus;

use super::host::peer;

/// Why a proxy command did not lead to the host
/// ([`proxy_command`](crate::config::ClientBuilder::proxy_command)).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyCommandProblem {
    /// The command could not be started.
    #[error("the proxy command cannot be started: {error}: {}", peer(command))]
    #[non_exhaustive]
    NotStarted {
        /// The command, with its tokens expanded.
        command: String,
        /// The system's error.
        error: io::Error,
    },
    /// The command ended, or closed its standard output, before the host's SSH identification
    /// arrived.
    #[error("the proxy command {} before the host identified itself: {}", ended(*status), peer(command))]
    #[non_exhaustive]
    Ended {
        /// The command, with its tokens expanded.
        command: String,
        /// How the command ended. `None` if it did not end within a second of closing its output,
        /// or if another part of this program has waited for it.
        status: Option<ExitStatus>,
    },
}

impl ProxyCommandProblem {
    /// The text without the command, which differs from host to host.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::NotStarted { error, .. } => format!("the proxy command cannot be started: {error}"),
            Self::Ended { status, .. } => format!("the proxy command {}", ended(*status)),
        }
    }
}

fn ended(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "closed the connection".to_owned(), |status| format!("ended ({status})"))
}
