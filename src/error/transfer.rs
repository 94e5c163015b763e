//! Why a transfer of files failed.

use std::fmt;
use std::path::PathBuf;

use super::host::peer;
use super::local::LocalProblem;
use crate::sftp::ProtocolError;
use crate::text::{counted, sanitise};

/// Why a transfer failed on a host. Paths are shown so that they are safe for a terminal.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransferProblem {
    /// A file of this machine could not be read or written.
    #[error("{0}")]
    Local(LocalProblem),
    /// A local file changed while it was sent. Nothing was renamed to the target.
    #[error("{} has changed while it was copied; copy it again when nothing writes to it", sanitise(&*path.to_string_lossy()))]
    #[non_exhaustive]
    LocalFileChanged {
        /// The local file.
        path: PathBuf,
    },
    /// A file on the host changed while it was read. Nothing was kept of it.
    #[error(
        "{path} changed while it was read: {}; fetch it again", changed(*expected, *found)
    )]
    #[non_exhaustive]
    RemoteFileChanged {
        /// The file on the host.
        path: RemotePath,
        /// The size before the transfer.
        expected: u64,
        /// The size after the transfer, or how many bytes arrived if these are fewer.
        found: u64,
    },
    /// The server refused a request.
    #[error("cannot {action} {path}: {status}{}{hint}", said(text, status))]
    #[non_exhaustive]
    Refused {
        /// What was requested, such as `open`.
        action: &'static str,
        /// The file on the host.
        path: RemotePath,
        /// The server's status code in words, such as `permission denied`.
        status: String,
        /// The server's text, unchanged.
        text: String,
        /// What to look at. Version 3 of SFTP has one status for most failures. Empty if the status
        /// says enough.
        hint: &'static str,
    },
    /// What the server stored has another size than what was sent. Nothing was renamed to the
    /// target.
    #[error("{path} has {} on the host after {expected} were sent; is its disk full?", counted(*found, "byte"))]
    #[non_exhaustive]
    WrongSize {
        /// The file on the host.
        path: RemotePath,
        /// How many bytes were sent.
        expected: u64,
        /// How many bytes the server reports.
        found: u64,
    },
    /// The checksum of a copy differs. Nothing was renamed to the target.
    #[error("{path} has another checksum than what was sent")]
    #[non_exhaustive]
    WrongChecksum {
        /// The file on the host.
        path: RemotePath,
    },
    /// A directory was named where only files are copied.
    #[error("{path} is a directory; set recurse to copy it")]
    #[non_exhaustive]
    IsDirectory {
        /// The directory.
        path: String,
    },
    /// The path on the host is neither a file nor a directory.
    #[error("{path} is neither a file nor a directory")]
    #[non_exhaustive]
    Special {
        /// The path on the host.
        path: RemotePath,
    },
    /// The path on the host leads to something else than what was asked for.
    #[error("{path} is {found}, not {wanted}")]
    #[non_exhaustive]
    WrongKind {
        /// The path on the host.
        path: RemotePath,
        /// What is there, such as `a directory`.
        found: &'static str,
        /// What was asked for, such as `a file`.
        wanted: &'static str,
    },
    /// A directory was to be created, and is there already.
    #[error("{path} is there already; set create_parents to accept that")]
    #[non_exhaustive]
    Exists {
        /// The path on the host.
        path: RemotePath,
    },
    /// A limit on files or directories was exceeded.
    #[error("{path}: {what}")]
    #[non_exhaustive]
    Limit {
        /// The path on the host.
        path: RemotePath,
        /// The limit.
        what: String,
    },
    /// Some files of a directory were not copied. All others were.
    #[error("{}{first}", not_copied(*failed, *is_dry_run, *deletes_nothing))]
    #[non_exhaustive]
    Incomplete {
        /// How many files were not copied.
        failed: u64,
        /// The first problem.
        first: Box<TransferProblem>,
        /// Whether nothing was to be changed ([`Put::dry_run`](crate::transfer::Put::dry_run)): the
        /// files would not be copied.
        is_dry_run: bool,
        /// Whether nothing was deleted for that reason, though it was to be
        /// ([`Put::delete`](crate::transfer::Put::delete)).
        deletes_nothing: bool,
    },
    /// A command that the transfer runs on the host failed.
    #[error("{what} failed on the host: {}", peer(text))]
    #[non_exhaustive]
    Command {
        /// What the command was for, such as `sha256sum`.
        what: &'static str,
        /// How it ended, and what it said.
        text: String,
    },
    /// The SFTP server violated the protocol.
    #[error("the SFTP server violated the protocol: {}", peer(.0))]
    Protocol(String),
    /// Something else than an SFTP server answered, such as a shell whose start files print text.
    #[error(
        "the host sent the text \"{}\" in place of SFTP; its shell must print nothing when it is not \
         interactive: see its start files, such as .bashrc",
        peer(text)
    )]
    #[non_exhaustive]
    NotSftp {
        /// The beginning of the text.
        text: String,
    },
    /// The SFTP server ended before the transfer was complete.
    #[error("the SFTP server ended before the transfer was complete{}", ended(.0))]
    ServerEnded(String),
    /// The server lacks what the transfer needs.
    #[error("the SFTP server has no {what}; {advice}")]
    #[non_exhaustive]
    Unsupported {
        /// What the server lacks.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
}

impl From<LocalProblem> for TransferProblem {
    fn from(problem: LocalProblem) -> Self {
        match problem {
            LocalProblem::Changed { path } => Self::LocalFileChanged { path },
            problem => Self::Local(problem),
        }
    }
}

impl From<ProtocolError> for TransferProblem {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// A path on a host, as bytes. Its `Display` form is safe for a terminal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RemotePath(Vec<u8>);

impl RemotePath {
    pub(crate) fn new(path: &[u8]) -> Self {
        Self(path.to_vec())
    }

    /// The bytes of the path.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&sanitise(&self.0))
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", sanitise(&self.0))
    }
}

/// What precedes the first problem.
fn not_copied(failed: u64, is_dry_run: bool, deletes_nothing: bool) -> String {
    let (was, were) = if is_dry_run { ("would not be", "would not be") } else { ("was not", "were not") };
    let deleted = match (deletes_nothing, is_dry_run) {
        (false, _) => "",
        (true, false) => ", so nothing was deleted",
        (true, true) => ", so nothing would be deleted",
    };
    match failed {
        1 => format!("1 of the files {was} copied{deleted}: "),
        failed => format!("{failed} of the files {were} copied{deleted}; the first: "),
    }
}

/// What has changed of a file.
fn changed(expected: u64, found: u64) -> String {
    match expected == found {
        true => "its modification time is another one".to_owned(),
        false => format!("it has {found} instead of {}", counted(expected, "byte")),
    }
}

/// The server's text, unless it only repeats the status.
fn said(text: &str, status: &str) -> String {
    if text.is_empty() || text.eq_ignore_ascii_case(status) {
        return String::new();
    }
    format!(" (the server says: \"{}\")", peer(text))
}

fn ended(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {}", peer(text)) }
}
