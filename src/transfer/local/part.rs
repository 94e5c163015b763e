//! A file that is being written, under a name of its own.

use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{fsync, geteuid};

use super::claims::Name;
use super::folder::{FileId, Folder, Found, Kind, set};
use super::target::{NewFile, Target};
use crate::error::LocalProblem;
use crate::limits;
use crate::transfer::names::hidden;

/// A file that is being written. Its name is `.NAME.sshoal-SUFFIX`, and only its owner may read it,
/// until it is finished.
///
/// A part that is dropped without being finished or abandoned is removed, or kept if it can be
/// resumed.
#[derive(Debug)]
pub(crate) struct Part {
    target: Arc<Target>,
    folders: Vec<Vec<u8>>,
    claim: Name,
    part_name: Vec<u8>,
    id: FileId,
    /// Whether a later copy of the same file will find the part.
    is_resumable: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Open(Held),
    /// It will be opened again when it is needed.
    Closed,
    Ended,
}

#[derive(Debug)]
enum Held {
    Plain(File),
    Locked(Flock<File>),
}

impl Deref for Held {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Self::Plain(file) => file,
            Self::Locked(file) => file,
        }
    }
}

impl Part {
    /// Creates a part file, or finds one to resume. Returns it with the number of bytes at its
    /// beginning that need not be written again.
    pub(super) fn begin(
        target: &Arc<Target>,
        folder: &Folder,
        folders: &[Vec<u8>],
        claim: Name,
        file: NewFile,
    ) -> Result<(Arc<Self>, u64), LocalProblem> {
        let resumable = resumable_name(&claim.1, file).filter(|_| target.options.resume);
        let is_resumable = resumable.is_some();
        let part_name = match resumable {
            Some(name) => name,
            None => random_name(&claim.1)?,
        };
        let mut resume_at = 0;
        let opened = match is_resumable {
            true => match open_again(folder, &part_name, file.size)? {
                Some((opened, length)) => {
                    resume_at = length.saturating_sub(limits::RESUME_GAP);
                    opened
                }
                None => lock(create(folder, &part_name)?, folder, &part_name)?,
            },
            false => Held::Plain(create(folder, &part_name)?),
        };
        let found = Found::of_file(&opened).map_err(|e| folder.failed("look at", &part_name, e))?;
        let part = Arc::new(Self {
            target: target.clone(),
            folders: folders.to_vec(),
            claim,
            part_name,
            id: found.id,
            is_resumable,
            state: Mutex::new(State::Open(opened)),
        });
        target.claims.opened(&part);
        Ok((part, resume_at))
    }

    /// The name that the file will have.
    pub(crate) fn path(&self) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        let names = self.folders.iter().map(|name| &name[..]).chain([&self.claim.1[..]]);
        let mut path = self.target.root().to_owned();
        path.extend(names.map(std::ffi::OsStr::from_bytes));
        path
    }

    pub(super) fn write(self: &Arc<Self>, pieces: &[(u64, Vec<u8>)]) -> Result<(), LocalProblem> {
        let mut state = self.lock();
        let is_new = matches!(*state, State::Closed);
        let file = self.open(&mut state)?;
        let written = pieces.iter().try_for_each(|(offset, piece)| file.write_all_at(piece, *offset));
        drop(state);
        if is_new {
            self.target.claims.opened(self);
        }
        written.map_err(|e| LocalProblem::io("write to", self.path(), e))
    }

    pub(super) fn finish(&self, file: NewFile) -> Result<(), LocalProblem> {
        let mut state = self.lock();
        let finished = self.complete(&mut state, file);
        match finished {
            Ok(()) => *state = State::Ended,
            Err(_) => self.discard(&mut state),
        }
        finished
    }

    pub(super) fn abandon(&self, keep: bool) {
        let mut state = self.lock();
        match keep && self.is_resumable {
            true => *state = State::Ended,
            false => self.discard(&mut state),
        }
    }

    fn complete(&self, state: &mut State, file: NewFile) -> Result<(), LocalProblem> {
        let opened: &File = self.open(state)?;
        let failed = |action, e: Errno| LocalProblem::io(action, self.path(), e);
        let found = Found::of_file(opened).map_err(|e| failed("look at", e))?;
        if found.size != file.size {
            let (expected, found) = (file.size, found.size);
            return Err(LocalProblem::Length { path: self.path(), expected, found });
        }
        let folder = self.folder()?;
        let mode = self.target.mode(&folder, file.mode.unwrap_or(0o666))?;
        set(opened, Some(mode), self.target.times(file.times))
            .map_err(|e| failed("set the mode or times of", e))?;
        if self.target.options.fsync {
            fsync(opened).map_err(|e| failed("write to the disk", e))?;
        }
        let name = &self.claim.1;
        // The name must refer to the file that was written.
        if folder.look(&self.part_name)?.map(|found| found.id) != Some(self.id) {
            return Err(LocalProblem::Changed { path: folder.path_of(&self.part_name) });
        }
        let mut taken = self.target.claims.lock();
        self.target.check_free(&folder, name, &taken)?;
        folder.rename(&self.part_name, name)?;
        taken.add_written(self.id);
        drop(taken);
        if self.target.options.fsync { folder.sync() } else { Ok(()) }
    }

    fn discard(&self, state: &mut State) {
        if let State::Ended = state {
            return;
        }
        *state = State::Ended;
        if let Ok(folder) = self.folder()
            && let Ok(Some(found)) = folder.look(&self.part_name)
            && found.id == self.id
            && let Err(e) = folder.remove(&self.part_name)
        {
            log::warn!("{}", folder.failed("remove", &self.part_name, e));
        }
        self.target.claims.lock().release(&self.claim);
    }

    fn folder(&self) -> Result<Folder, LocalProblem> {
        Folder::below(self.target.root(), &self.folders)
    }

    /// Opens the file again if it was closed to save descriptors.
    fn open<'a>(&self, state: &'a mut State) -> Result<&'a Held, LocalProblem> {
        if let State::Closed = state {
            let folder = self.folder()?;
            let failed = |e| folder.failed("open", &self.part_name, e);
            let file = folder.open_file(&self.part_name).map_err(failed)?;
            if Found::of_file(&file).map_err(failed)?.id != self.id {
                return Err(LocalProblem::Changed { path: folder.path_of(&self.part_name) });
            }
            *state = State::Open(match self.is_resumable {
                true => lock(file, &folder, &self.part_name)?,
                false => Held::Plain(file),
            });
        }
        match state {
            State::Open(held) => Ok(held),
            _ => Err(LocalProblem::Changed { path: self.path() }),
        }
    }

    /// Closes the file until it is needed. Returns `false` if it is in use.
    pub(super) fn close(&self) -> bool {
        match self.state.try_lock() {
            Ok(mut state) => {
                if let State::Open(_) = *state {
                    *state = State::Closed;
                }
                true
            }
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(_)) => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.lock(), State::Open(_))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.abandon(true);
    }
}

/// `.NAME.sshoal-SUFFIX` with a random suffix. A long name is cut.
pub(super) fn random_name(name: &[u8]) -> Result<Vec<u8>, LocalProblem> {
    let random =
        getrandom::u64().map_err(|e| LocalProblem::io("get a random name for", PathBuf::new(), e))?;
    Ok(hidden(name, &format!(".sshoal-{random:016x}")))
}

/// The name of a part file that a later copy of the same file will find. The size and the time of
/// the last change are in it, so that parts of different files are never mixed. A name that would
/// have to be cut has none, because parts of two files might get the same one.
fn resumable_name(name: &[u8], file: NewFile) -> Option<Vec<u8>> {
    let suffix = format!(".sshoal-{:x}-{:x}", file.size, file.times?.modified);
    let part = [b".", name, suffix.as_bytes()].concat();
    (part.len() <= limits::FILE_NAME_BYTES).then_some(part)
}

fn create(folder: &Folder, name: &[u8]) -> Result<File, LocalProblem> {
    folder.create(name, 0o600).map_err(|e| folder.failed("create", name, e))
}

/// Opens the part file of an earlier copy. Returns its length as well.
fn open_again(folder: &Folder, name: &[u8], size: u64) -> Result<Option<(Held, u64)>, LocalProblem> {
    let file = match folder.open_file(name) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return Ok(None),
        Err(e) => return Err(folder.failed("open", name, e)),
    };
    let file = lock(file, folder, name)?;
    let failed = |e| folder.failed("look at", name, e);
    let found = Found::of_file(&file).map_err(failed)?;
    let is_own = found.kind == Kind::File && found.owner == geteuid().as_raw() && found.names == 1;
    if !is_own || found.size > size || found.mode & 0o077 != 0 {
        // Not what this program leaves behind.
        folder.remove(name).map_err(|e| folder.failed("remove", name, e))?;
        return Ok(None);
    }
    Ok(Some((file, found.size)))
}

/// Locks a part file whose name another process may choose too. Some file systems have no locks.
fn lock(file: File, folder: &Folder, name: &[u8]) -> Result<Held, LocalProblem> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => Ok(Held::Locked(locked)),
        Err((_, Errno::EWOULDBLOCK)) => Err(LocalProblem::Busy { path: folder.path_of(name) }),
        Err((file, _)) => Ok(Held::Plain(file)),
    }
}
