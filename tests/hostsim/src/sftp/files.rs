//! What a test finds on a simulated host's disk.

use crate::faults::{hex, unhex};

/// A file, directory or link of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Absolute, without links on the way.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
    /// The permissions, without the type.
    pub mode: u32,
    /// Time of the last change, in seconds since 1970.
    pub modified: u32,
}

/// What a [`RemoteFile`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File {
        /// In bytes.
        size: u64,
        /// [`crate::digest`] of its content. `None` for a file of `sftp-files`, and for one above
        /// `sftp-keep` that was not written once from its beginning to its end, in any order.
        digest: Option<u64>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// As given, not resolved.
        target: Vec<u8>,
    },
}

impl RemoteFile {
    /// One word.
    fn to_text(&self) -> String {
        let kind = match &self.kind {
            FileKind::File { size, digest } => {
                format!("f:{size}:{}", digest.map(|digest| digest.to_string()).unwrap_or_default())
            }
            FileKind::Directory => "d::".to_owned(),
            FileKind::Symlink { target } => format!("l:{}:", hex(target)),
        };
        format!("{}:{}:{}:{kind}", hex(&self.path), self.mode, self.modified)
    }

    fn from_text(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(':').collect();
        let [path, mode, modified, kind, size, digest] = fields[..] else {
            return None;
        };
        let kind = match kind {
            "f" => FileKind::File {
                size: size.parse().ok()?,
                digest: if digest.is_empty() { None } else { Some(digest.parse().ok()?) },
            },
            "d" => FileKind::Directory,
            "l" => FileKind::Symlink { target: unhex(size)? },
            _ => return None,
        };
        Some(Self { path: unhex(path)?, kind, mode: mode.parse().ok()?, modified: modified.parse().ok()? })
    }
}

/// A line for the parent process.
pub(crate) fn to_line(files: &[RemoteFile]) -> String {
    let words: Vec<String> = files.iter().map(RemoteFile::to_text).collect();
    format!("files {}", words.join(" "))
}

pub(crate) fn from_line(line: &str) -> Option<Vec<RemoteFile>> {
    line.strip_prefix("files ")?.split_ascii_whitespace().map(RemoteFile::from_text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_survive_their_line() {
        let file = |path: &[u8], kind| RemoteFile { path: path.to_vec(), kind, mode: 0o4755, modified: 7 };
        let files = [
            file(b"/home/a b:c\n\xff", FileKind::File { size: 1 << 40, digest: Some(u64::MAX) }),
            file(b"/x", FileKind::File { size: 0, digest: None }),
            file(b"/home/d", FileKind::Directory),
            file(b"/home/l", FileKind::Symlink { target: b"../:".to_vec() }),
        ];
        for files in [&files[..], &[]] {
            let line = to_line(files);
            assert!(!line.contains('\n'));
            assert_eq!(from_line(&line).as_deref(), Some(files));
        }
        assert_eq!(from_line("error not an address"), None);
    }
}
