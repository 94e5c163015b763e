//! Which files a run has written or is writing, so that no two hosts write the same one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::Part;
use super::folder::{FileId, Folder};
use super::part::random_name;
use crate::error::LocalProblem;
use crate::limits;

/// A name in a directory.
pub(super) type Name = (FileId, Box<[u8]>);

/// What the hosts of one run share about the files that they write. A file costs about a hundred
/// bytes until the run has ended.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    taken: Mutex<Taken>,
    /// The part files that are open, the one that was opened first in front.
    open: Mutex<VecDeque<Weak<Part>>>,
    umask: OnceLock<u32>,
}

/// On a disk that ignores case, two names may be one file. The names are compared as bytes, so what
/// shows it is the file: its number is already among those that were written.
#[derive(Debug, Default)]
pub(super) struct Taken {
    names: HashSet<Name>,
    files: HashSet<FileId>,
    directories: HashMap<FileId, Name>,
}

impl Taken {
    /// Claims a name. Returns `false` if that was done before.
    pub(super) fn claim(&mut self, name: Name) -> bool {
        self.names.insert(name)
    }

    pub(super) fn release(&mut self, name: &Name) {
        self.names.remove(name);
    }

    /// Whether the file was written by this run.
    pub(super) fn has_written(&self, file: FileId) -> bool {
        self.files.contains(&file)
    }

    pub(super) fn add_written(&mut self, file: FileId) {
        self.files.insert(file);
    }

    /// Claims a directory for its name. Hosts may share it. Returns `false` if it has another name
    /// too.
    pub(super) fn claim_directory(&mut self, directory: FileId, name: Name) -> bool {
        *self.directories.entry(directory).or_insert_with(|| name.clone()) == name
    }
}

impl Claims {
    /// Excludes other threads until the guard is dropped.
    pub(super) fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers that a part file is open. Closes the one that was opened first if there are too
    /// many; it is opened again when it is needed.
    pub(super) fn opened(&self, part: &Arc<Part>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_back(Arc::downgrade(part));
        if open.len() > limits::OPEN_PARTS
            && let Some(first) = open.pop_front()
            && let Some(part) = first.upgrade()
            && !part.close()
        {
            open.push_back(first);
        }
    }

    /// The permission bits that new files do not get. A process can only ask for them by changing
    /// them, so an empty file is created and removed.
    pub(super) fn umask(&self, folder: &Folder) -> Result<u32, LocalProblem> {
        if let Some(umask) = self.umask.get() {
            return Ok(*umask);
        }
        let name = random_name(b"")?;
        let failed = |e| folder.failed("create", &name, e);
        folder.create(&name, 0o777).map_err(failed)?;
        let found = folder.look(&name);
        folder.remove(&name).map_err(failed)?;
        let umask = found?.map_or(0o077, |found| !found.mode & 0o777);
        Ok(*self.umask.get_or_init(|| umask))
    }

    #[cfg(test)]
    pub(super) fn open_parts(&self) -> usize {
        let open = self.open.lock().unwrap();
        open.iter().filter_map(Weak::upgrade).filter(|part| part.is_open()).count()
    }
}
