//! Opens a `known_hosts` file for writing: decides which symbolic links to follow, and locks the
//! file.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path};
use std::time::Duration;
use std::{io, mem, thread};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::geteuid;

use super::printable::PrintablePath;

/// The flags to open a directory, or a symbolic link itself, for inspection. They require no read
/// permission.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const LOOK: OFlag = OFlag::O_PATH;
/// Other systems cannot open a symbolic link itself, so no link is followed on them.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const LOOK: OFlag = OFlag::O_RDONLY;

/// How often a lookup is repeated if other processes move or replace the file at the same time.
const TRIES: usize = 16;

/// The maximum number of symbolic links on the way to a file, as in Linux.
const LINKS_MAX: usize = 40;

/// A file that is open for reading and appending, and that is locked. The lock is advisory: other
/// sshoal processes respect it, but OpenSSH does not. Lines from the two still do not mix, because
/// both append whole lines.
#[derive(Debug)]
pub(super) struct Locked {
    pub file: File,
    pub metadata: Metadata,
    lock: Option<Flock<File>>,
}

impl Locked {
    /// Opens a file and waits at most `wait` for its lock. A missing file and its directory are
    /// created, with access for the user alone.
    ///
    /// A symbolic link anywhere in the path is followed only if the link and the file that it leads
    /// to belong to the user or to root. So nobody else can choose which file is written to, and a
    /// link that was planted in a shared directory is an error. Each name in the path is looked up
    /// relative to the open directory that contains it, so that nobody can exchange a directory
    /// after it was checked.
    pub(super) fn open(path: &Path, wait: Duration) -> io::Result<Self> {
        for _ in 0..TRIES {
            let Place { folder, name, file } = find(path)?;
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return match metadata.file_type().is_char_device() {
                    // For example, /dev/null. Locking a device would protect nothing, and any
                    // process might hold the lock.
                    true => Ok(Self { file, metadata, lock: None }),
                    false => Err(io::Error::other("it is not a regular file")),
                };
            }
            let lock = lock(&file, wait)?;
            let is_there = match fstatat(&folder, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                #[allow(clippy::useless_conversion, reason = "their types differ between systems")]
                Ok(now) => (u64::from(now.st_dev), u64::from(now.st_ino)) == (metadata.dev(), metadata.ino()),
                Err(Errno::ENOENT) => false,
                Err(e) => return Err(e.into()),
            };
            // If the file was replaced during the wait, for example by `ssh-keygen -R`, open it
            // again, because a write to the old file would be lost.
            if is_there {
                return Ok(Self { metadata: file.metadata()?, file, lock });
            }
        }
        Err(io::Error::other("other processes keep replacing it"))
    }

    /// Appends whole lines, which then are on the disk. If they cannot be written, takes back the
    /// part that was, unless another process has written behind it.
    pub(super) fn append_all(&mut self, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let length = self.file.metadata()?.len();
        let line_feed = if self.ends_with_line()? { "" } else { "\n" };
        let (written, result) = self.write(format!("{line_feed}{lines}").as_bytes());
        if result.is_err() && written > 0 && self.file.metadata()?.len() == length + written as u64 {
            // If this fails too, the next writer starts a new line after the unfinished one.
            let _ = self.file.set_len(length);
        }
        result?;
        self.sync()
    }

    /// Appends as much as possible, and returns how many bytes were written.
    pub(super) fn write(&mut self, text: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return (written, Err(e)),
            }
        }
        (written, Ok(()))
    }

    /// Whether the file is empty or ends with a line feed, so that the next byte starts a line.
    pub(super) fn ends_with_line(&self) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        if length == 0 {
            return Ok(true);
        }
        let mut last = [0];
        self.file.read_exact_at(&mut last, length - 1)?;
        Ok(last == *b"\n")
    }

    /// Waits until all writes are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        if !self.metadata.is_file() {
            return Ok(());
        }
        #[cfg(test)]
        super::tests::count_sync();
        self.file.sync_data()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A network file system may fail to release the lock. Dropping the lock would then panic.
        if let Some(Err((lock, _))) = self.lock.take().map(Flock::unlock) {
            mem::forget(lock);
        }
    }
}

/// Locks a file. Returns `None` if the file system does not support locks.
fn lock(file: &File, wait: Duration) -> io::Result<Option<Flock<File>>> {
    let mut pause = Duration::from_millis(1);
    let mut waited = Duration::ZERO;
    loop {
        match Flock::lock(file.try_clone()?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) if waited < wait => {
                thread::sleep(pause);
                waited += pause;
                pause = (pause * 2).min(Duration::from_millis(64));
            }
            Err((_, Errno::EWOULDBLOCK)) => {
                let text = format!("another process has held its lock for {waited:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Err((_, Errno::EINTR)) => {}
            Err((_, Errno::ENOLCK | Errno::ENOSYS | Errno::EOPNOTSUPP)) => return Ok(None),
            Err((_, e)) => return Err(e.into()),
        }
    }
}

/// A file and its place in the file system.
struct Place {
    folder: OwnedFd,
    name: OsString,
    file: File,
}

/// What a name refers to.
enum Named {
    Folder(OwnedFd),
    /// The target of a symbolic link that has a trusted owner.
    Link(OsString),
}

/// Walks the path directory by directory, and opens the file at its end.
fn find(path: &Path) -> io::Result<Place> {
    let mut folder = start(path)?;
    // The names are in reverse order, so `pop` returns the next name.
    let mut names = names(path);
    let mut links = 0;
    let mut tries = 0;
    while let Some(name) = names.pop() {
        if names.is_empty() {
            match open_file(&folder, &name) {
                Ok(file) if links > 0 => {
                    require_owner(file.metadata()?.uid(), "the file that a symbolic link leads to", &name)?;
                    return Ok(Place { folder, name, file });
                }
                Ok(file) => return Ok(Place { folder, name, file }),
                // The name is a symbolic link. FreeBSD returns EMLINK for it.
                Err(Errno::ELOOP | Errno::EMLINK) => {}
                Err(Errno::ENOENT | Errno::EEXIST) if tries < TRIES => {
                    // Another process created or removed the file between two calls.
                    tries += 1;
                    names.push(name);
                    continue;
                }
                Err(e) => return Err(e.into()),
            }
        }
        match look(&folder, &name) {
            Ok(Named::Folder(next)) => folder = next,
            Ok(Named::Link(target)) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::ELOOP.into());
                }
                let target = Path::new(&target);
                if target.is_absolute() {
                    folder = start(target)?;
                }
                names.extend(self::names(target));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && tries < TRIES => {
                tries += 1;
                make_folder(&folder, &name)?;
                names.push(name);
            }
            Err(e) => return Err(e),
        }
    }
    Err(Errno::EISDIR.into())
}

/// The directory that a path starts in.
fn start(path: &Path) -> io::Result<OwnedFd> {
    let start = if path.is_absolute() { "/" } else { "." };
    Ok(openat(AT_FDCWD, start, LOOK | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// The names of a path, in reverse order.
fn names(path: &Path) -> Vec<OsString> {
    let named = |part| matches!(part, Component::Normal(_) | Component::ParentDir);
    let names = path.components().filter(|part| named(*part));
    let mut names = names.map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>();
    names.reverse();
    names
}

/// Opens or creates a file. A symbolic link is an error.
fn open_file(folder: &OwnedFd, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    match openat(folder, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => {
            let new = OFlag::O_CREAT | OFlag::O_EXCL;
            let file = openat(folder, name, flags | new, Mode::S_IRUSR | Mode::S_IWUSR)?;
            sync_folder(folder)?;
            Ok(file.into())
        }
        file => Ok(file?.into()),
    }
}

fn look(folder: &OwnedFd, name: &OsStr) -> io::Result<Named> {
    let found = File::from(openat(folder, name, LOOK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?);
    let metadata = found.metadata()?;
    if metadata.is_symlink() {
        require_owner(metadata.uid(), "the symbolic link", name)?;
        return Ok(Named::Link(readlinkat(&found, "")?));
    }
    if !metadata.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    Ok(Named::Folder(found.into()))
}

/// Fails unless the owner is the user or root. The user's own links lead wherever the user likes,
/// and the links of root, such as `/var/run`, are part of the system.
fn require_owner(owner: u32, what: &str, name: &OsStr) -> io::Result<()> {
    if owner == geteuid().as_raw() || owner == 0 {
        return Ok(());
    }
    let name = PrintablePath(Path::new(name));
    let text = format!("{what}, {name}, belongs to another user (uid {owner}) and is not used");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

fn make_folder(folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match mkdirat(folder, name, Mode::S_IRWXU) {
        Err(Errno::EEXIST) => Ok(()),
        made => Ok(made.and_then(|()| sync_folder(folder))?),
    }
}

/// Waits until a new name in a directory is on the disk. Does nothing if the file system does not
/// support this. Also does nothing if the user may not read the directory, because a directory must
/// be opened for reading before it can be synced.
fn sync_folder(folder: &OwnedFd) -> Result<(), Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let folder = match openat(folder, ".", flags, Mode::empty()) {
        Err(Errno::EACCES) => return Ok(()),
        folder => folder?,
    };
    match nix::unistd::fsync(&folder) {
        Err(Errno::EINVAL | Errno::EROFS) => Ok(()),
        synced => synced,
    }
}
