//! Reading `known_hosts` files, and files of revoked keys.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::known_hosts::KnownHosts;
use super::printable::PrintablePath;
use super::revoked::RevokedKeys;
use super::stamp::Stamp;

/// The largest file that is read, in bytes: about 300,000 lines with RSA keys.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// The files that `ssh` reads by default, those in the user's home directory first.
pub fn default_files(home: Option<&Path>) -> Vec<PathBuf> {
    let own = [".ssh/known_hosts", ".ssh/known_hosts2"].map(|file| home.map(|home| home.join(file)));
    let system = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];
    own.into_iter().flatten().chain(system.map(PathBuf::from)).collect()
}

/// A `known_hosts` file that exists but cannot be used, or a file of revoked host keys that cannot
/// be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what} {}: {error}", PrintablePath(path))]
pub struct LoadError {
    what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why it cannot be used. For a damaged line of a file of revoked keys, the text has the line
    /// number.
    pub error: io::Error,
}

impl LoadError {
    pub(crate) fn known_hosts(path: &Path, error: io::Error) -> Self {
        Self { what: "known hosts file", path: path.to_owned(), error }
    }
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

/// A file that [`KnownHosts`] was loaded from, whether or not it exists.
#[derive(Debug)]
pub(super) struct LoadedFile {
    path: Box<Path>,
    /// Whether the file must be readable if it exists, because the caller named it.
    is_needed: bool,
    /// `None` if the file could not be opened.
    stamp: Option<Stamp>,
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
        Self::load_all(paths.iter().map(|path| (path.as_ref(), true)))
    }

    /// Reads files in the given order. A file that cannot be read counts as empty.
    pub(crate) fn load_readable(paths: &[PathBuf]) -> Self {
        // No file is needed, so there is no error.
        Self::load_all(paths.iter().map(|path| (path.as_path(), false))).unwrap_or_default()
    }

    /// Whether any of the files has changed since it was read.
    pub(super) fn has_changed(&self) -> bool {
        self.files.iter().any(|file| file.stamp != Stamp::of(&file.path))
    }

    /// Reads the files again. Those that had to be readable before have to be readable now.
    pub(super) fn load_again(&self) -> Result<Self, LoadError> {
        Self::load_all(self.files.iter().map(|file| (&*file.path, file.is_needed)))
    }

    /// Reads these files. A file with `true` must be readable if it exists.
    fn load_all<'a>(paths: impl Iterator<Item = (&'a Path, bool)>) -> Result<Self, LoadError> {
        let mut known = Self::empty();
        for (path, is_needed) in paths {
            let mut stamp = None;
            if let Err(error) = known.load_file(path, &mut stamp) {
                let error = LoadError::known_hosts(path, error);
                if is_needed {
                    return Err(error);
                }
                log::warn!(
                    "{error}; the client continues without it, so a key that it revokes may be accepted"
                );
            }
            known.files.push(LoadedFile { path: path.into(), is_needed, stamp });
        }
        Ok(known)
    }

    fn load_file(&mut self, path: &Path, stamp: &mut Option<Stamp>) -> io::Result<()> {
        let mut source = Source::new(path);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.addable.get_or_insert(source.path);
                return Ok(());
            }
            file => file?,
        };
        let metadata = file.metadata()?;
        *stamp = Some(Stamp::from(&metadata));
        let text = read_limited(file)?;
        if metadata.is_file() {
            self.addable.get_or_insert_with(|| source.path.clone());
        }
        source.id = Some((metadata.dev(), metadata.ino()));
        self.parse_more(&text, &mut source);
        self.add_source(source);
        Ok(())
    }
}

impl RevokedKeys {
    /// Reads a file, which must exist, as in OpenSSH.
    pub(super) fn load(path: &Path) -> Result<Self, LoadError> {
        let read = || {
            let file = File::open(path)?;
            let stamp = Stamp::from(&file.metadata()?);
            Ok(Self { stamp: Some(stamp), ..Self::parse(&read_limited(file)?, path)? })
        };
        let failed = |error| LoadError { what: "revoked host keys file", path: path.to_owned(), error };
        read().map_err(failed)
    }

    /// Whether the file has changed since it was read.
    pub(super) fn has_changed(&self) -> bool {
        self.stamp != Stamp::of(&self.path)
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
