//! What `known_hosts` files say about a key, and where.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::key::KeyType;
use super::line::LineFault;
use super::printable::PrintablePath;

/// A file and a line in it, shown as `path:line`.
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

    /// The number of the line, counted from 1; `None` for a key that this process has recorded while others
    /// were writing to the same file.
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
    /// What is wrong with it.
    pub fault: LineFault,
}

/// What the files say about a host's key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// A line for the host carries this key.
    Known {
        /// The first such line.
        location: Location,
    },
    /// No line speaks of the host.
    Unknown,
    /// The host has another key of the same type.
    Changed {
        /// Lines with the other keys of this type; never empty.
        locations: Vec<Location>,
    },
    /// The host has keys, but none of this type. OpenSSH calls this changed as well.
    OtherType {
        /// The types on record and where; never empty.
        recorded: Vec<(KeyType, Location)>,
    },
    /// A `@revoked` line for the host carries this key, whatever the other lines say.
    Revoked {
        /// The first such line.
        location: Location,
    },
}
