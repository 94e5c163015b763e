//! Listing a file or directory of this machine.

use std::ffi::OsString;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

use super::Times;
use super::listing::{Entry, EntryKind, Identity, Links, Listing, Missing};
use super::source::SourceOptions;
use crate::error::LocalProblem;
use crate::limits;

/// Lists a file, or a directory with everything in it. What of a directory cannot be copied is
/// [missing](Listing::missing); it is an error only if it is the source itself.
pub(super) fn list(root: &Path, options: SourceOptions) -> Result<Listing, LocalProblem> {
    list_at_most(limits::SOURCE_ENTRIES, root, options)
}

pub(super) fn list_at_most(max: usize, root: &Path, options: SourceOptions) -> Result<Listing, LocalProblem> {
    let mut walk = Walk::new(max, root, options);
    let metadata = fs::metadata(root).map_err(|e| LocalProblem::io("copy", root, e))?;
    if metadata.is_dir() && !options.recurse {
        return Err(LocalProblem::Directory { path: root.to_owned() });
    }
    walk.add(root, Vec::new(), &metadata)?;
    Ok(Listing { entries: walk.entries, bytes: walk.bytes, missing: walk.missing })
}

/// The errors of its methods end the listing. Other problems are [noted](Self::note).
struct Walk<'a> {
    root: &'a Path,
    options: SourceOptions,
    /// How many entries and problems there may be.
    max: usize,
    entries: Vec<Entry>,
    bytes: u64,
    missing: Option<Missing>,
    /// The device and inode of each directory on the way from the source to here.
    parents: Vec<(u64, u64)>,
}

impl<'a> Walk<'a> {
    fn new(max: usize, root: &'a Path, options: SourceOptions) -> Self {
        Self { root, options, max, entries: Vec::new(), bytes: 0, missing: None, parents: Vec::new() }
    }

    /// How many more entries and problems there may be.
    fn left(&self) -> usize {
        let missing = self.missing.as_ref().map_or(0, |missing| missing.count as usize);
        self.max.saturating_sub(self.entries.len() + missing)
    }

    fn check_room(&self) -> Result<(), LocalProblem> {
        match self.left() {
            0 => Err(self.too_many()),
            _ => Ok(()),
        }
    }

    fn too_many(&self) -> LocalProblem {
        LocalProblem::TooMany { path: self.root.to_owned(), max: self.max }
    }

    /// Notes that something is left out. Fails if that is the source itself.
    fn note(&mut self, problem: LocalProblem) -> Result<(), LocalProblem> {
        if self.entries.is_empty() {
            return Err(problem);
        }
        self.check_room()?;
        self.missing.get_or_insert(Missing { count: 0, first: problem }).count += 1;
        Ok(())
    }

    fn add(&mut self, path: &Path, name: Vec<u8>, metadata: &Metadata) -> Result<(), LocalProblem> {
        let kind = match kind(path, metadata) {
            Ok(EntryKind::Directory) => return self.add_directory(path, name, metadata),
            Ok(kind) => kind,
            Err(problem) => return self.note(problem),
        };
        self.push(name, kind, metadata)
    }

    fn push(&mut self, name: Vec<u8>, kind: EntryKind, metadata: &Metadata) -> Result<(), LocalProblem> {
        self.check_room()?;
        let entry = Entry {
            path: name,
            kind,
            mode: metadata.mode() & 0o7777,
            times: Some(Times::of(metadata)),
            identity: Some(Identity::of(metadata)),
        };
        self.bytes = self.bytes.saturating_add(entry.size());
        self.entries.push(entry);
        Ok(())
    }

    /// Adds a directory with everything in it. One that cannot be read is empty.
    fn add_directory(&mut self, path: &Path, name: Vec<u8>, metadata: &Metadata) -> Result<(), LocalProblem> {
        let this = (metadata.dev(), metadata.ino());
        if self.parents.contains(&this) {
            return self.note(LocalProblem::Loop { path: path.to_owned() });
        }
        if self.parents.len() >= limits::TRANSFER_DEPTH {
            let max = limits::TRANSFER_DEPTH;
            return self.note(LocalProblem::TooDeep { path: path.to_owned(), max });
        }
        let children = self.names(path)?;
        self.push(name.clone(), EntryKind::Directory, metadata)?;
        self.parents.push(this);
        for child in children {
            self.add_child(path, &name, &child)?;
        }
        self.parents.pop();
        Ok(())
    }

    /// Adds what has the name `child` in the directory at `path`, which is called `name` below the
    /// source.
    fn add_child(&mut self, path: &Path, name: &[u8], child: &OsString) -> Result<(), LocalProblem> {
        let path = path.join(child);
        let looked = match self.options.links {
            Links::Follow => fs::metadata(&path),
            Links::Copy | Links::Skip => fs::symlink_metadata(&path),
        };
        let metadata = match looked {
            Ok(metadata) if self.options.links == Links::Skip && metadata.is_symlink() => return Ok(()),
            Ok(metadata) => metadata,
            Err(error) => {
                // Else the text would say that there is nothing in the place of the link.
                let is_link = path.is_symlink() && self.options.links == Links::Follow;
                let action = if is_link { "follow the link" } else { "copy" };
                return self.note(LocalProblem::io(action, path, error));
            }
        };
        let mut below = name.to_vec();
        if !below.is_empty() {
            below.push(b'/');
        }
        below.extend(child.as_bytes());
        self.add(&path, below, &metadata)
    }

    /// The names in a directory, as far as it can be read. Sorted, so that each copy has the same
    /// order.
    fn names(&mut self, path: &Path) -> Result<Vec<OsString>, LocalProblem> {
        let failed = |e| LocalProblem::io("read the directory", path, e);
        let left = self.left();
        let mut names = Vec::new();
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return self.note(failed(error)).map(|()| names),
        };
        for entry in entries {
            match entry {
                Ok(_) if names.len() >= left => return Err(self.too_many()),
                Ok(entry) => names.push(entry.file_name()),
                Err(error) => {
                    self.note(failed(error))?;
                    break;
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn kind(path: &Path, metadata: &Metadata) -> Result<EntryKind, LocalProblem> {
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

/// Whether a file of size 0 has contents all the same.
fn has_contents(path: &Path) -> Result<bool, LocalProblem> {
    // Some files of the kernel, such as /proc/kmsg, and a pipe in the place of the file would block
    // the thread.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let mut file = opened.map_err(|e| LocalProblem::io("open", path, e))?;
    match file.read(&mut [0]) {
        Ok(read) => Ok(read > 0),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(e) => Err(LocalProblem::io("read", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn no_file_blocks_the_thread() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let _writer = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let (sender, receiver) = channel();
        thread::spawn(move || sender.send(has_contents(&pipe)));
        let result = receiver.recv_timeout(Duration::from_secs(10));
        assert!(result.expect("it has not ended after 10 s").unwrap(), "contents may follow");
    }

    #[test]
    fn a_file_that_vanishes_before_it_is_looked_at_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stays"), "text").unwrap();
        let metadata = fs::metadata(folder.path()).unwrap();
        let options = SourceOptions { recurse: true, links: Links::Follow };
        let mut walk = Walk::new(10, folder.path(), options);
        walk.add(folder.path(), Vec::new(), &metadata).unwrap();
        walk.add_child(folder.path(), b"", &"gone".into()).unwrap();
        let missing = walk.missing.unwrap();
        let text = missing.first.to_string();
        assert!(text.starts_with("cannot copy ") && text.contains("/gone: No such file"), "{text}");
        assert_eq!((walk.entries.len(), missing.count), (2, 1));
    }
}
