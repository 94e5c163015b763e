//! What a request about a file on a host has returned.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::text::sanitise;

/// What a [`FileRequest`](crate::transfer::FileRequest) has returned from one host. Clones share
/// the contents and the entries.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileResult {
    /// The request was carried out, and returns nothing.
    Done,
    /// The contents of the file.
    Contents(Arc<Vec<u8>>),
    /// The entries of the directory, sorted by the bytes of their names, without `.` and `..`.
    Entries(Arc<Vec<DirectoryEntry>>),
    /// What the host says about the file.
    Metadata(FileMetadata),
}

/// An entry of a directory on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryEntry {
    /// The name. It is not empty, is not `.` or `..`, and contains no slash and no NUL, but may be
    /// in any encoding; [`sanitise`](crate::output::sanitise) makes it safe for a terminal.
    pub name: Box<[u8]>,
    /// What the host says about the entry. That of a symbolic link is about the link itself.
    pub metadata: FileMetadata,
}

/// What a host says about a file. What a server leaves out is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileMetadata {
    /// What kind of file it is.
    pub kind: Option<FileKind>,
    /// The size in bytes.
    pub size: Option<u64>,
    /// The permissions, with set-user-ID, set-group-ID and sticky: at most `0o7777`.
    pub mode: Option<u32>,
    /// The number of the owner.
    pub user_id: Option<u32>,
    /// The number of the group.
    pub group_id: Option<u32>,
    /// When the contents were modified, in whole seconds.
    pub modified: Option<SystemTime>,
    /// When the file was last read, in whole seconds.
    pub accessed: Option<SystemTime>,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, a socket or a fifo.
    Other,
}

impl FileKind {
    /// With its article, for errors.
    pub(crate) fn with_article(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Other => "a device, a socket or a fifo",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symbolic link",
            Self::Other => "special file",
        })
    }
}

/// The form for people, such as `file, 12045 bytes, mode 0644`.
impl fmt::Display for FileMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => kind.fmt(f)?,
            None => f.write_str("unknown kind")?,
        }
        if let Some(size) = self.size {
            write!(f, ", {size} bytes")?;
        }
        self.mode.map_or(Ok(()), |mode| write!(f, ", mode {mode:04o}"))
    }
}

/// The form for people, such as `app.conf: file, 12045 bytes, mode 0644`, safe for a terminal.
impl fmt::Display for DirectoryEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", sanitise(&*self.name), self.metadata)
    }
}

/// The form for people: contents and entries are only counted.
impl fmt::Display for FileResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Contents(bytes) => write!(f, "{} bytes read", bytes.len()),
            Self::Entries(entries) if entries.len() == 1 => f.write_str("1 entry"),
            Self::Entries(entries) => write!(f, "{} entries", entries.len()),
            Self::Metadata(metadata) => metadata.fmt(f),
        }
    }
}

/// Contents and entries are only counted: there may be many megabytes of them, and secrets in them.
impl fmt::Debug for FileResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata(metadata) => metadata.fmt(f),
            other => write!(f, "FileResult({other})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_shows_no_contents_and_no_escapes() {
        let contents = FileResult::Contents(Arc::new(b"secret".to_vec()));
        assert_eq!(format!("{contents} {contents:?}"), "6 bytes read FileResult(6 bytes read)");
        let metadata = FileMetadata {
            kind: Some(FileKind::File),
            size: Some(3),
            mode: Some(0o644),
            ..FileMetadata::default()
        };
        let entry = DirectoryEntry { name: b"a\x1b[2J".to_vec().into(), metadata };
        let shown = entry.to_string();
        assert!(shown.ends_with(": file, 3 bytes, mode 0644") && !shown.contains('\x1b'), "{shown}");
        assert_eq!(FileResult::Entries(Arc::new(vec![entry])).to_string(), "1 entry");
        assert_eq!(FileResult::Metadata(FileMetadata::default()).to_string(), "unknown kind");
    }
}
