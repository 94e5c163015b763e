//! Reading `known_hosts` files.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::known_hosts::KnownHosts;
use super::printable::PrintablePath;

/// The largest file that is read, in bytes: about 300,000 lines with RSA keys.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// The files that `ssh` reads by default, those in the user's home directory first.
pub fn default_files(home: Option<&Path>) -> Vec<PathBuf> {
    let own = [".ssh/known_hosts", ".ssh/known_hosts2"].map(|file| home.map(|home| home.join(file)));
    let system = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];
    own.into_iter().flatten().chain(system.map(PathBuf::from)).collect()
}

/// A `known_hosts` file that exists but cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read known hosts file {}: {error}", PrintablePath(path))]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub error: io::Error,
}

/// How far a file has been read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: Arc<Path>,
    /// Device and inode, to detect that the file was replaced.
    pub(super) id: Option<(u64, u64)>,
    /// How many bytes were read, up to and including the last line feed. The rest of the file may
    /// be an unfinished line.
    pub(super) bytes: u64,
    /// How many line feeds the first `bytes` bytes of the file contain.
    pub(super) lines: usize,
}

impl Source {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into(), id: None, bytes: 0, lines: 0 }
    }
}

impl KnownHosts {
    /// Reads files in the given order. A missing file counts as empty.
    ///
    /// Like OpenSSH, this skips lines that it does not understand; [`problems`](Self::problems)
    /// lists them.
    ///
    /// # Errors
    /// [`LoadError`] names a file that exists but cannot be read, is a directory, or has more than
    /// 64 MiB.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Self, LoadError> {
        let mut known = Self::empty();
        paths.iter().try_for_each(|path| known.add_file(path.as_ref()))?;
        Ok(known)
    }

    /// Reads one more file. If the file cannot be read, nothing of it is added.
    pub(crate) fn add_file(&mut self, path: &Path) -> Result<(), LoadError> {
        self.load_file(path).map_err(|error| LoadError { path: path.to_owned(), error })
    }

    fn load_file(&mut self, path: &Path) -> io::Result<()> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let metadata = file.metadata()?;
        let text = read_limited(file)?;
        let mut source = Source::new(path);
        source.id = Some((metadata.dev(), metadata.ino()));
        self.parse_more(&text, &mut source);
        self.add_source(source);
        Ok(())
    }
}

/// Reads the rest of a file; fails if it has more than [`FILE_BYTES_MAX`] bytes.
pub(super) fn read_limited(file: impl io::Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let message = format!("larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}
