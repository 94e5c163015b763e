//! The verdict of `known_hosts` files on a key, and the lines that it is based on.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::key::KeyType;
use super::line::LineFault;
use super::printable::PrintablePath;

/// A file and a line in it, displayed as `path:line`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Location {
    path: Arc<Path>,
    line: Option<usize>,
}

impl Location {
    pub(super) fn new(path: Arc<Path>, line: Option<usize>) -> Self {
        Self { path, line }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line number, starting at 1; `None` for a key that this process recorded while other
    /// processes wrote to the same file, and for a file of revoked keys.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = PrintablePath(&self.path);
        match self.line {
            Some(line) => write!(f, "{path}:{line}"),
            None => path.fmt(f),
        }
    }
}

/// A line that was skipped.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{location}: {fault}")]
pub struct LineProblem {
    /// Where the line is.
    pub location: Location,
    /// Why it was skipped.
    pub fault: LineFault,
}

/// The verdict of the files on a host's key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// A line for the host contains this key.
    Known {
        /// The first such line.
        location: Location,
    },
    /// No line matches the host.
    Unknown,
    /// Another key of the same type is on record for the host.
    Changed {
        /// Lines with other keys of this type; never empty.
        locations: Vec<Location>,
    },
    /// Keys are on record for the host, but none of this type. OpenSSH also reports this as
    /// changed.
    OtherType {
        /// The types on record and their lines; never empty.
        recorded: Vec<(KeyType, Location)>,
    },
    /// A `@revoked` line for the host contains this key, or a file of revoked keys does. The other
    /// lines do not matter then.
    Revoked {
        /// The first such line, or the file.
        location: Location,
    },
}
