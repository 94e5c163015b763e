//! Problems with files and directories of this machine.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::text::{counted, sanitise};

/// Why a file or directory of this machine cannot be copied from or to.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LocalProblem {
    /// A system call failed, for example because the disk is full.
    #[error("cannot {action} {}: {error}", shown(path))]
    #[non_exhaustive]
    Io {
        /// What was tried, such as `write to`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        error: Arc<io::Error>,
    },
    /// The file is not the one that was there when the copy began, or its size or modification time
    /// differs.
    #[error("{} has changed while it was copied; copy it again when nothing writes to it", shown(path))]
    #[non_exhaustive]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The source is a directory, and recursion was not requested.
    #[error("{} is a directory; set recurse to copy it", shown(path))]
    #[non_exhaustive]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The source is or contains a device, a socket or a pipe.
    #[error("{} is a {kind}; only files, directories and symbolic links can be copied", shown(path))]
    #[non_exhaustive]
    Special {
        /// Its path.
        path: PathBuf,
        /// What it is, such as `socket`.
        kind: &'static str,
    },
    /// The system reports size 0 for a file that has contents, as it does below `/proc`.
    #[error("the size of {} is not known; copy it to an ordinary file first", shown(path))]
    #[non_exhaustive]
    SizeUnknown {
        /// The file.
        path: PathBuf,
    },
    /// A symbolic link leads back to a directory that contains it.
    #[error("{} leads back to a directory that contains it; do not follow symbolic links", shown(path))]
    #[non_exhaustive]
    Loop {
        /// The link.
        path: PathBuf,
    },
    /// The source has more levels of directories than are supported.
    #[error("{} is more than {max} directories deep", shown(path))]
    #[non_exhaustive]
    TooDeep {
        /// The first directory that is too deep.
        path: PathBuf,
        /// How many levels are supported.
        max: usize,
    },
    /// The source has more files and directories than are supported.
    #[error("{} contains more than {max} files and directories; copy its parts one by one", shown(path))]
    #[non_exhaustive]
    TooMany {
        /// The source.
        path: PathBuf,
        /// How many are supported.
        max: usize,
    },
    /// The host sent a name that cannot be the name of a file in one directory.
    #[error("the host's name \"{}\" for a file in {} {reason}", sanitise(OsStr::as_bytes(name.as_os_str())), shown(directory))]
    #[non_exhaustive]
    Name {
        /// The directory of this machine that would contain the file.
        directory: PathBuf,
        /// The name.
        name: PathBuf,
        /// What is wrong with it, such as `contains a slash`.
        reason: &'static str,
    },
    /// There is a symbolic link in the place of a directory. It is not followed.
    #[error(
        "{} is a symbolic link, which is not followed; remove it, or copy to where it leads",
        shown(path)
    )]
    #[non_exhaustive]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// The host sent a symbolic link that is absolute, leads out of the directory that is copied
    /// to, or may do so together with other links.
    #[error(
        "{} is not created: the host's symbolic link leads to \"{}\", which may be outside of the copied directory",
        shown(path),
        shown(target)
    )]
    #[non_exhaustive]
    LinkOut {
        /// Where the link would be created.
        path: PathBuf,
        /// The target of the link.
        target: PathBuf,
    },
    /// There is something that is no directory in the place of a directory.
    #[error("{} exists and is not a directory; remove it first", shown(path))]
    #[non_exhaustive]
    NotADirectory {
        /// Its path.
        path: PathBuf,
    },
    /// There is a directory in the place of a file.
    #[error("{} is a directory; give the file a name in it, or remove it first", shown(path))]
    #[non_exhaustive]
    IsADirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The file exists, and files are not to be overwritten.
    #[error("{} exists already; set overwrite, or copy to another place", shown(path))]
    #[non_exhaustive]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another host of this run writes or has written the file, or the same host does under another
    /// name, on a disk that does not distinguish the names.
    #[error(
        "{} is already written by this run, by another host or under a similar name; give each a path of its own",
        shown(path)
    )]
    #[non_exhaustive]
    Claimed {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes the part file that would be resumed.
    #[error("{} is in use by another process; wait until that has ended", shown(path))]
    #[non_exhaustive]
    Busy {
        /// The part file.
        path: PathBuf,
    },
    /// What was written is not as long as the file.
    #[error("{} has {found} instead of {} and was discarded; copy it again", shown(path), counted(*expected, "byte"))]
    #[non_exhaustive]
    Length {
        /// The file that was to be written.
        path: PathBuf,
        /// The length that the file has on the host.
        expected: u64,
        /// The length that was written.
        found: u64,
    },
}

impl LocalProblem {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, error: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.into(), error: Arc::new(error.into()) }
    }

    /// Whether the disk takes nothing more, so that other files would fail as well.
    pub(crate) fn is_of_disk(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let Self::Io { error, .. } = self else { return false };
        matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
    }
}

fn shown(path: &Path) -> impl std::fmt::Display + '_ {
    sanitise(path.as_os_str().as_bytes())
}
