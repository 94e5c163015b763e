//! Lists of files that code names, and those of OpenSSH's configuration.

use std::path::{Path, PathBuf};

use crate::credential::Opener;

/// Files that code names, and those that OpenSSH's configuration adds. With neither list, the
/// default files are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct FileLists<'a> {
    pub named: Option<&'a [PathBuf]>,
    pub found: Option<&'a [PathBuf]>,
}

impl<'a> FileLists<'a> {
    /// The files, and whether code names them.
    pub fn all(self) -> impl Iterator<Item = (&'a Path, bool)> {
        let with = |files: Option<&'a [PathBuf]>, is_named| {
            files.into_iter().flatten().map(move |file| (file.as_path(), is_named))
        };
        with(self.named, true).chain(with(self.found, false))
    }
}

/// The identity files, and how to decrypt them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identities<'a> {
    pub files: FileLists<'a>,
    pub opener: Opener<'a>,
}
