//! What a source contains.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use super::Times;
use crate::error::LocalProblem;

/// What to do about symbolic links in a source. The source itself is always followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Links {
    /// Copy what the link leads to (as `scp -r`).
    #[default]
    Follow,
    /// Create a link with the same target.
    Copy,
    /// Leave links out.
    Skip,
}

/// The contents of a source, at the time when it was listed. Directories come before what is in
/// them.
#[derive(Debug)]
pub(crate) struct Listing {
    pub entries: Vec<Entry>,
    /// The sum of the sizes of all files.
    pub bytes: u64,
    /// What the source has and cannot be copied. `None` if that is nothing.
    pub missing: Option<Missing>,
}

/// What is left out of a listing.
#[derive(Debug)]
pub(crate) struct Missing {
    /// How many files and directories.
    pub count: u64,
    /// Why the first one is left out.
    pub first: LocalProblem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The path below the source, with `/` between names. Empty for the source itself.
    pub path: Vec<u8>,
    pub kind: EntryKind,
    /// The permission bits.
    pub mode: u32,
    /// `None` if the source is not a file.
    pub times: Option<Times>,
    pub(super) identity: Option<Identity>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File { size: u64 },
    Directory,
    Symlink { target: Vec<u8> },
}

impl Entry {
    /// How many names the path below the source has; 0 for the source itself.
    pub(crate) fn depth(&self) -> usize {
        let separators = self.path.iter().filter(|byte| **byte == b'/').count();
        if self.path.is_empty() { 0 } else { separators + 1 }
    }

    /// The size of a file; 0 for others.
    pub(crate) fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size } => size,
            _ => 0,
        }
    }
}

/// What shows that a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Times {
    pub(super) fn of(metadata: &Metadata) -> Self {
        // SFTP version 3 has 32 bits for a time.
        let clamp = |seconds: i64| u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
        Self { access: clamp(metadata.atime()), modified: clamp(metadata.mtime()) }
    }
}
