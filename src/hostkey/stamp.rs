//! Whether a file has changed.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The state of a file. If a file is written to or replaced, its stamp changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// When the content was changed, in seconds and nanoseconds.
    modified: (i64, i64),
    /// When the content or the attributes were changed. Programs cannot set this time.
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file at this path; `None` if there is none, or it cannot be looked at.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::from)
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
