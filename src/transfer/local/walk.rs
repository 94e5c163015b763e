//! Listing a file or directory of this machine.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use super::Times;
use super::listing::{Entry, EntryKind, Identity, Links, Listing};
use super::source::SourceOptions;
use crate::error::LocalProblem;
use crate::limits;

/// Lists a file, or a directory with everything in it.
pub(super) fn list(root: &Path, options: SourceOptions) -> Result<Listing, LocalProblem> {
    list_at_most(limits::SOURCE_ENTRIES, root, options)
}

pub(super) fn list_at_most(max: usize, root: &Path, options: SourceOptions) -> Result<Listing, LocalProblem> {
    let mut walk = Walk { root, options, max, entries: Vec::new(), bytes: 0, parents: Vec::new() };
    let metadata = fs::metadata(root).map_err(|e| LocalProblem::io("copy", root, e))?;
    if metadata.is_dir() && !options.recurse {
        return Err(LocalProblem::Directory { path: root.to_owned() });
    }
    walk.add(root, Vec::new(), &metadata)?;
    Ok(Listing { entries: walk.entries, bytes: walk.bytes })
}

struct Walk<'a> {
    root: &'a Path,
    options: SourceOptions,
    /// How many entries there may be.
    max: usize,
    entries: Vec<Entry>,
    bytes: u64,
    /// The device and inode of each directory on the way from the source to here.
    parents: Vec<(u64, u64)>,
}

impl Walk<'_> {
    fn add(&mut self, path: &Path, name: Vec<u8>, metadata: &Metadata) -> Result<(), LocalProblem> {
        if self.entries.len() >= self.max {
            let path = self.root.to_owned();
            return Err(LocalProblem::TooMany { path, max: self.max });
        }
        let kind = self.kind(path, metadata)?;
        let is_directory = kind == EntryKind::Directory;
        let entry = Entry {
            path: name,
            kind,
            mode: metadata.mode() & 0o7777,
            times: Some(Times::of(metadata)),
            identity: Some(Identity::of(metadata)),
        };
        self.bytes = self.bytes.saturating_add(entry.size());
        let name = entry.path.clone();
        self.entries.push(entry);
        if is_directory { self.add_contents(path, &name, metadata) } else { Ok(()) }
    }

    fn kind(&self, path: &Path, metadata: &Metadata) -> Result<EntryKind, LocalProblem> {
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Ok(EntryKind::Directory);
        }
        if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|e| LocalProblem::io("read the link", path, e))?;
            return Ok(EntryKind::Symlink { target: target.into_os_string().into_vec() });
        }
        if kind.is_file() {
            if metadata.len() == 0 && has_contents(path)? {
                return Err(LocalProblem::SizeUnknown { path: path.to_owned() });
            }
            return Ok(EntryKind::File { size: metadata.len() });
        }
        let kind = match kind {
            kind if kind.is_fifo() => "pipe",
            kind if kind.is_socket() => "socket",
            _ => "device",
        };
        Err(LocalProblem::Special { path: path.to_owned(), kind })
    }

    fn add_contents(&mut self, path: &Path, name: &[u8], metadata: &Metadata) -> Result<(), LocalProblem> {
        let this = (metadata.dev(), metadata.ino());
        if self.parents.contains(&this) {
            return Err(LocalProblem::Loop { path: path.to_owned() });
        }
        if self.parents.len() >= limits::TRANSFER_DEPTH {
            return Err(LocalProblem::TooDeep { path: path.to_owned(), max: limits::TRANSFER_DEPTH });
        }
        self.parents.push(this);
        for child in self.names(path)? {
            let path = path.join(&child);
            let looked = match self.options.links {
                Links::Follow => fs::metadata(&path),
                Links::Copy | Links::Skip => fs::symlink_metadata(&path),
            };
            let metadata = looked.map_err(|e| LocalProblem::io("copy", &path, e))?;
            if self.options.links == Links::Skip && metadata.is_symlink() {
                continue;
            }
            let mut below = name.to_vec();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend(child.as_bytes());
            self.add(&path, below, &metadata)?;
        }
        self.parents.pop();
        Ok(())
    }

    /// The names in a directory. Sorted, so that each copy has the same order.
    fn names(&self, path: &Path) -> Result<Vec<OsString>, LocalProblem> {
        let failed = |e| LocalProblem::io("read the directory", path, e);
        let left = self.max - self.entries.len();
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)?.take(left + 1) {
            names.push(entry.map_err(failed)?.file_name());
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Whether a file of size 0 has contents all the same.
fn has_contents(path: &Path) -> Result<bool, LocalProblem> {
    let mut file = File::open(path).map_err(|e| LocalProblem::io("open", path, e))?;
    let read = file.read(&mut [0]).map_err(|e| LocalProblem::io("read", path, e))?;
    Ok(read > 0)
}
