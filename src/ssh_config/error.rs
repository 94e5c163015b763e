//! Errors of reading and of resolving.

use std::io;
use std::path::PathBuf;

use super::source::SettingSource;
use crate::text::{sanitise, shell_word};

/// Why a configuration cannot be used. The text names the file and the line, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshConfigError {
    /// The user of this process has no entry in the user database.
    #[error("cannot look up the user of this process: {0}; give a LocalContext with a name and a home")]
    NoUser(String),
    /// A file exists, or was named, and cannot be read.
    #[error("cannot read {}: {error}", shell_word(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// A file belongs to another user, or others can write to it. It is refused, because a
    /// configuration runs commands.
    #[error("{} {problem}; OpenSSH refuses it too: chown and chmod go-w repair that", shell_word(path))]
    Permissions {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The files are too large, too many, or include each other without end.
    #[error("{}: {problem}", shell_word(path))]
    TooMuch {
        /// The file that exceeds a limit.
        path: PathBuf,
        /// Which limit.
        problem: String,
    },
    /// A line means nothing to OpenSSH or to this library.
    #[error("{place}: {problem}")]
    Line {
        /// The place.
        place: SettingSource,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The name or the user of a destination could be read as an option or as shell syntax.
    #[error("{what} {value:?} contains characters that ssh refuses as well (blanks, quotes, or shell syntax)",
        value = sanitise(value.as_str()))]
    UnsafeName {
        /// Which name it is.
        what: &'static str,
        /// The text.
        value: String,
    },
    /// The command of a `Match exec` did not end normally or in time.
    #[error("{place}: Match exec {}: {error}", sanitise(command.as_str()))]
    Exec {
        /// The place.
        place: SettingSource,
        /// The command, with tokens expanded.
        command: String,
        /// What went wrong.
        error: io::Error,
    },
}

impl SshConfigError {
    pub(crate) fn line(source: &SettingSource, problem: impl Into<String>) -> Self {
        // Keywords and values come from the file.
        Self::Line { place: source.clone(), problem: sanitise(&problem.into()).into_owned() }
    }
}
