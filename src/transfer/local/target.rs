//! Where one host's files are written to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::claims::{Claims, Name, Taken};
use super::folder::{FileId, Folder, Kind, check_names};
use super::part::random_name;
use super::{Part, Times};
use crate::error::LocalProblem;

/// The directory that one host's files are written to. It and its parents are created when the
/// first file is.
#[derive(Debug)]
pub(crate) struct Target {
    root: PathBuf,
    pub(super) options: TargetOptions,
    pub(super) claims: Arc<Claims>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TargetOptions {
    /// Whether to continue part files of earlier copies of the same file.
    pub resume: bool,
    /// Whether a file has to be on the disk before it counts as written.
    pub fsync: bool,
    /// Whether files get exactly the host's permission bits, and its times. Otherwise, they get the
    /// bits that the umask allows, and the current time.
    pub preserve: bool,
    /// Whether files that exist are replaced. Otherwise, they are [`LocalProblem::Exists`].
    pub overwrite: bool,
    /// Whether files that exist with the same size and modification time are skipped.
    pub skip_same: bool,
}

/// What is known about a file on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NewFile {
    pub size: u64,
    pub mode: Option<u32>,
    pub times: Option<Times>,
}

/// How a file begins.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Write the file from `resume_at` on. What is before that is there already.
    Part { part: Arc<Part>, resume_at: u64 },
    /// The file is there already, and there is nothing to write.
    Same,
}

impl Target {
    /// `claims` is shared by all hosts of a run.
    pub(crate) fn new(root: PathBuf, options: TargetOptions, claims: Arc<Claims>) -> Self {
        Self { root, options, claims }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Checks the names that a host sent for a path. Never waits. Each job checks them as well.
    pub(crate) fn check(&self, path: &[Vec<u8>]) -> Result<(), LocalProblem> {
        check_names(&self.root, path)
    }

    pub(super) fn begin(self: &Arc<Self>, path: &[Vec<u8>], file: NewFile) -> Result<Begun, LocalProblem> {
        self.check(path)?;
        let Some((name, folders)) = path.split_last() else {
            return Err(LocalProblem::IsADirectory { path: self.root.clone() });
        };
        let folder = Folder::below(&self.root, folders)?;
        let claim = (folder.id()?, name.clone().into_boxed_slice());
        if !self.claims.lock().claim(claim.clone()) {
            return Err(LocalProblem::Claimed { path: folder.path_of(name) });
        }
        let begun = self.begin_in(&folder, folders, &claim, file);
        if begun.is_err() {
            self.claims.lock().release(&claim);
        }
        begun
    }

    fn begin_in(
        self: &Arc<Self>,
        folder: &Folder,
        folders: &[Vec<u8>],
        claim: &Name,
        file: NewFile,
    ) -> Result<Begun, LocalProblem> {
        if self.is_same(folder, &claim.1, file)? {
            return Ok(Begun::Same);
        }
        self.check_free(folder, &claim.1, &self.claims.lock())?;
        let (part, resume_at) = Part::begin(self, folder, folders, claim.clone(), file)?;
        Ok(Begun::Part { part, resume_at })
    }

    fn is_same(&self, folder: &Folder, name: &[u8], file: NewFile) -> Result<bool, LocalProblem> {
        let Some(times) = file.times.filter(|_| self.options.skip_same) else { return Ok(false) };
        let found = folder.look(name)?.filter(|found| found.kind == Kind::File);
        // A file of this run is one of another host, or has another name here.
        let found = found.filter(|found| !self.claims.lock().has_written(found.id));
        Ok(found.is_some_and(|found| found.size == file.size && found.modified == i64::from(times.modified)))
    }

    /// Checks that a file may get this name.
    pub(super) fn check_free(&self, folder: &Folder, name: &[u8], taken: &Taken) -> Result<(), LocalProblem> {
        let Some(found) = folder.look(name)? else { return Ok(()) };
        let path = folder.path_of(name);
        if taken.has_written(found.id) {
            return Err(LocalProblem::Claimed { path });
        }
        match found.kind {
            Kind::Directory => Err(LocalProblem::IsADirectory { path }),
            _ if !self.options.overwrite => Err(LocalProblem::Exists { path }),
            _ => Ok(()),
        }
    }

    /// The mode of a new file or directory.
    pub(super) fn mode(&self, folder: &Folder, mode: u32) -> Result<u32, LocalProblem> {
        match self.options.preserve {
            true => Ok(mode),
            false => Ok(mode & !self.claims.umask(folder)?),
        }
    }

    /// The times of a new file or directory.
    pub(super) fn times(&self, times: Option<Times>) -> Option<Times> {
        times.filter(|_| self.options.preserve || self.options.skip_same)
    }

    /// Creates a directory for its owner only, until [`Target::set_directory`]. Returns `false` if
    /// it exists. The root is claimed, so that the trees of two hosts are never mixed.
    pub(super) fn make_directory(&self, path: &[Vec<u8>]) -> Result<bool, LocalProblem> {
        self.check(path)?;
        let Some((name, folders)) = path.split_last() else {
            let is_new = Folder::make_root(&self.root)?;
            let claim = (Folder::root(&self.root)?.id()?, Box::default());
            return match self.claims.lock().claim(claim) {
                true => Ok(is_new),
                false => Err(LocalProblem::Claimed { path: self.root.clone() }),
            };
        };
        let folder = Folder::below(&self.root, folders)?;
        let is_new = folder.make(name, 0o700)?;
        let made = folder.enter_existing(name)?;
        self.claim_directory(made.id()?, &folder, name)?;
        Ok(is_new)
    }

    fn claim_directory(&self, made: FileId, folder: &Folder, name: &[u8]) -> Result<(), LocalProblem> {
        let claim = (folder.id()?, name.into());
        match self.claims.lock().claim_directory(made, claim) {
            true => Ok(()),
            false => Err(LocalProblem::Claimed { path: folder.path_of(name) }),
        }
    }

    pub(super) fn set_directory(
        &self,
        path: &[Vec<u8>],
        mode: Option<u32>,
        times: Option<Times>,
    ) -> Result<(), LocalProblem> {
        self.check(path)?;
        let folder = Folder::below(&self.root, path)?;
        let mode = mode.map(|mode| self.mode(&folder, mode)).transpose()?;
        folder.set(mode, self.times(times))
    }

    /// Creates a symbolic link. Only links to places below the root are created: each leads up from
    /// its own directory, at most to the root, and then down. In a tree of such links, no chain of
    /// them leads out. One that goes up after it went down might, if it went down through a link.
    pub(super) fn make_link(&self, path: &[Vec<u8>], leads_to: &[u8]) -> Result<(), LocalProblem> {
        self.check(path)?;
        let Some((name, folders)) = path.split_last() else {
            return Err(LocalProblem::IsADirectory { path: self.root.clone() });
        };
        let folder = Folder::below(&self.root, folders)?;
        let path = folder.path_of(name);
        if !stays_below(leads_to, folders.len()) {
            let cut = &leads_to[..leads_to.len().min(crate::limits::FILE_NAME_BYTES)];
            let target = PathBuf::from(String::from_utf8_lossy(cut).into_owned());
            return Err(LocalProblem::LinkOut { path, target });
        }
        let claim = (folder.id()?, name.clone().into_boxed_slice());
        if !self.claims.lock().claim(claim) {
            return Err(LocalProblem::Claimed { path });
        }
        if folder.leads_to(name).is_some_and(|found| found == leads_to) {
            return Ok(());
        }
        let part = random_name(name)?;
        folder.link(leads_to, &part)?;
        let renamed = self.name_link(&folder, &part, name);
        if renamed.is_err() {
            folder.remove(&part).ok();
        }
        renamed
    }

    fn name_link(&self, folder: &Folder, part: &[u8], name: &[u8]) -> Result<(), LocalProblem> {
        let mut taken = self.claims.lock();
        self.check_free(folder, name, &taken)?;
        let made = folder.look(part)?;
        folder.rename(part, name)?;
        if let Some(made) = made {
            taken.add_written(made.id);
        }
        Ok(())
    }
}

/// Whether a link in a directory this deep below the root leads to a place below the root.
fn stays_below(target: &[u8], depth: usize) -> bool {
    let names = target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let mut names = names.skip_while({
        let mut up = 0;
        move |name| {
            up += 1;
            *name == b".." && up <= depth
        }
    });
    !target.is_empty() && !target.contains(&0) && target[0] != b'/' && names.all(|name| name != b"..")
}
