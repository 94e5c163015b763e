//! An open directory, and what is done below it: one name at a time, without following links.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, fsync, symlinkat, unlinkat};

use super::Times;
use crate::error::LocalProblem;
use crate::limits;
use crate::transfer::names::fault;

/// A file or directory, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    Other,
}

/// What has a name in a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub id: FileId,
    pub kind: Kind,
    pub mode: u32,
    pub size: u64,
    pub modified: i64,
    pub owner: u32,
    pub names: u64,
}

#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

impl Folder {
    /// Opens a directory that the user names. It and its parents are created if they are missing,
    /// and symbolic links are followed.
    pub(super) fn root(path: &Path) -> Result<Self, LocalProblem> {
        fs::create_dir_all(path).map_err(|e| LocalProblem::io("create the directory", path, e))?;
        let fd = openat(AT_FDCWD, path, DIRECTORY, Mode::empty());
        let fd = fd.map_err(|e| LocalProblem::io("open the directory", path, e))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Creates the directory that the user names. Returns `false` if it exists.
    pub(super) fn make_root(path: &Path) -> Result<bool, LocalProblem> {
        let is_new = fs::metadata(path).is_err();
        Self::root(path).map(|_| is_new)
    }

    /// Opens a directory below the root. Missing ones are created.
    pub(super) fn below(root: &Path, names: &[Vec<u8>]) -> Result<Self, LocalProblem> {
        let mut folder = Self::root(root)?;
        for name in names {
            folder = folder.enter(name)?;
        }
        Ok(folder)
    }

    /// Opens a directory in this one. Creates it if it is missing.
    fn enter(&self, name: &[u8]) -> Result<Self, LocalProblem> {
        match self.open(name) {
            Err(Errno::ENOENT) => {
                self.make(name, 0o777)?;
                self.enter_existing(name)
            }
            opened => self.entered(name, opened),
        }
    }

    /// Opens a directory in this one.
    pub(super) fn enter_existing(&self, name: &[u8]) -> Result<Self, LocalProblem> {
        self.entered(name, self.open(name))
    }

    fn open(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        openat(&self.fd, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())
    }

    fn entered(&self, name: &[u8], opened: Result<OwnedFd, Errno>) -> Result<Self, LocalProblem> {
        let path = self.path_of(name);
        match opened {
            Ok(fd) => Ok(Self { fd, path }),
            // A symbolic link is one of these, depending on the system.
            Err(Errno::ENOTDIR | Errno::ELOOP | Errno::EMLINK) => match self.look(name)? {
                Some(Found { kind: Kind::Link, .. }) => Err(LocalProblem::Link { path }),
                _ => Err(LocalProblem::NotADirectory { path }),
            },
            Err(e) => Err(LocalProblem::io("open the directory", path, e)),
        }
    }

    /// Creates a directory. Returns `false` if the name exists already.
    pub(super) fn make(&self, name: &[u8], mode: u32) -> Result<bool, LocalProblem> {
        match mkdirat(&self.fd, name, permissions(mode)) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => Ok(false),
            Err(e) => Err(self.failed("create the directory", name, e)),
        }
    }

    pub(super) fn path_of(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name))
    }

    pub(super) fn id(&self) -> Result<FileId, LocalProblem> {
        match fstat(&self.fd) {
            Ok(stat) => Ok(Found::of(&stat).id),
            Err(e) => Err(LocalProblem::io("look at", &self.path, e)),
        }
    }

    /// What has a name, without following links.
    pub(super) fn look(&self, name: &[u8]) -> Result<Option<Found>, LocalProblem> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found::of(&stat))),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(self.failed("look at", name, e)),
        }
    }

    /// Creates a file, for its owner only. Fails if the name exists.
    pub(super) fn create(&self, name: &[u8], mode: u32) -> Result<File, Errno> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&self.fd, name, flags, permissions(mode)).map(File::from)
    }

    /// Opens a file for writing. A symbolic link is an error, and a pipe does not block.
    pub(super) fn open_file(&self, name: &[u8]) -> Result<File, Errno> {
        let flags =
            OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        openat(&self.fd, name, flags, Mode::empty()).map(File::from)
    }

    pub(super) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)
    }

    pub(super) fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), LocalProblem> {
        renameat(&self.fd, from, &self.fd, to).map_err(|e| self.failed("rename a part file to", to, e))
    }

    pub(super) fn link(&self, target: &[u8], name: &[u8]) -> Result<(), LocalProblem> {
        symlinkat(target, &self.fd, name).map_err(|e| self.failed("create the symbolic link", name, e))
    }

    pub(super) fn leads_to(&self, name: &[u8]) -> Option<Vec<u8>> {
        readlinkat(&self.fd, name).ok().map(|target| target.as_bytes().to_vec())
    }

    /// Sets the mode and times of the directory itself.
    pub(super) fn set(&self, mode: Option<u32>, times: Option<Times>) -> Result<(), LocalProblem> {
        set(&self.fd, mode, times).map_err(|e| LocalProblem::io("set the mode or times of", &self.path, e))
    }

    /// Waits until new names are on the disk, where the file system supports that.
    pub(super) fn sync(&self) -> Result<(), LocalProblem> {
        match fsync(&self.fd) {
            Ok(()) | Err(Errno::EINVAL | Errno::EROFS) => Ok(()),
            Err(e) => Err(LocalProblem::io("write to the disk", &self.path, e)),
        }
    }

    pub(super) fn failed(&self, action: &'static str, name: &[u8], error: Errno) -> LocalProblem {
        LocalProblem::io(action, self.path_of(name), error)
    }
}

impl Found {
    pub(super) fn of_file(file: &File) -> Result<Self, Errno> {
        fstat(file).map(|stat| Self::of(&stat))
    }

    // The types differ between systems.
    #[allow(clippy::unnecessary_cast)]
    fn of(stat: &FileStat) -> Self {
        let kind = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Directory,
            SFlag::S_IFLNK => Kind::Link,
            _ => Kind::Other,
        };
        Self {
            id: FileId { device: stat.st_dev as u64, inode: stat.st_ino as u64 },
            kind,
            mode: stat.st_mode as u32 & 0o7777,
            size: stat.st_size.max(0) as u64,
            modified: stat.st_mtime as i64,
            owner: stat.st_uid,
            names: stat.st_nlink as u64,
        }
    }
}

pub(super) fn set(
    file: impl std::os::fd::AsFd,
    mode: Option<u32>,
    times: Option<Times>,
) -> Result<(), Errno> {
    if let Some(mode) = mode {
        fchmod(&file, permissions(mode))?;
    }
    if let Some(Times { access, modified }) = times {
        let time = |seconds: u32| TimeSpec::new(seconds.into(), 0);
        futimens(&file, &time(access), &time(modified))?;
    }
    Ok(())
}

/// Never set-user-ID and the like: the host's files belong to this user here.
fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate((mode & 0o777) as nix::libc::mode_t)
}

/// Checks names that a host sent: each has to be a name in one directory.
pub(super) fn check_names(root: &Path, names: &[Vec<u8>]) -> Result<(), LocalProblem> {
    if names.len() > limits::TRANSFER_DEPTH {
        return Err(LocalProblem::TooDeep { path: root.to_owned(), max: limits::TRANSFER_DEPTH });
    }
    let fault = |name: &[u8]| fault(name, limits::FILE_NAME_BYTES);
    let faults = names.iter().enumerate().find_map(|(at, name)| Some((at, name, fault(name)?)));
    let Some((at, name, reason)) = faults else { return Ok(()) };
    let mut directory = root.to_owned();
    directory.extend(names[..at].iter().map(|name| OsStr::from_bytes(name)));
    let name = PathBuf::from(OsStr::from_bytes(&name[..name.len().min(limits::FILE_NAME_BYTES)]));
    Err(LocalProblem::Name { directory, name, reason })
}
