//! The file system of one simulated host, in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use super::config::SftpConfig;
use super::content::Content;
use super::files::{FileKind, RemoteFile};
use super::packet::{Attributes, BAD, DENIED, FAILURE, MISSING, Refusal};
use crate::fleet::lock;

/// Where relative paths begin.
const HOME: &[u8] = b"/home";

const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4096;
const LINKS_MAX: usize = 40;

pub(crate) const KIND: u32 = 0o170_000;
pub(crate) const DIRECTORY: u32 = 0o040_000;
pub(crate) const REGULAR: u32 = 0o100_000;
pub(crate) const LINK: u32 = 0o120_000;
const PERMISSIONS: u32 = 0o7777;

/// The owner's permissions, the only ones that are checked.
pub(crate) const OWNER_READ: u32 = 0o400;
pub(crate) const OWNER_WRITE: u32 = 0o200;

/// When the files of `sftp-files` were changed: 2001-09-09.
const LONG_AGO: u32 = 1_000_000_000;

#[derive(Debug)]
pub(crate) enum Body {
    Directory,
    Link(Vec<u8>),
    File(Content),
}

/// A file, directory or link, whatever its name, as open handles see it.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) body: Body,
    mode: u32,
    ids: (u32, u32),
    times: (u32, u32),
}

pub(crate) type Node = Arc<Mutex<Inode>>;

impl Inode {
    fn node(body: Body, permissions: u32, time: u32) -> Node {
        let mode = permissions & PERMISSIONS;
        Arc::new(Mutex::new(Self { body, mode, ids: (0, 0), times: (time, time) }))
    }

    pub(crate) fn permits(&self, permission: u32) -> Result<(), Refusal> {
        if self.mode & permission == permission { Ok(()) } else { Err(DENIED) }
    }

    pub(crate) fn attributes(&self) -> Attributes {
        let (kind, size) = match &self.body {
            Body::Directory => (DIRECTORY, 4096),
            Body::Link(target) => (LINK, target.len() as u64),
            Body::File(content) => (REGULAR, content.size()),
        };
        Attributes {
            size: Some(size),
            ids: Some(self.ids),
            mode: Some(kind | self.mode),
            times: Some(self.times),
        }
    }

    fn content(&mut self) -> Result<&mut Content, Refusal> {
        if let Body::File(content) = &mut self.body { Ok(content) } else { Err(FAILURE) }
    }

    fn size(&self) -> u64 {
        if let Body::File(content) = &self.body { content.size() } else { 0 }
    }
}

fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// The names of a host. Keys are absolute paths without `.`, `..`, links and final slashes; the
/// root's is empty.
#[derive(Debug)]
pub(crate) struct Disk {
    names: BTreeMap<Vec<u8>, Node>,
    used: u64,
    space: u64,
    keep: u64,
}

impl Disk {
    pub(crate) fn new(config: &SftpConfig) -> Self {
        let mut disk = Self { names: BTreeMap::new(), used: 0, space: config.space, keep: config.keep };
        disk.make_directories(HOME);
        for (path, size) in &config.files {
            let path = absolute(path.as_bytes());
            disk.make_directories(parent(&path));
            disk.names.insert(path, Inode::node(Body::File(Content::pattern(*size)), 0o644, LONG_AGO));
        }
        disk
    }

    fn make_directories(&mut self, path: &[u8]) {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in slashes.chain([path.len()]) {
            let directory = || Inode::node(Body::Directory, 0o755, LONG_AGO);
            self.names.entry(path[..end].to_vec()).or_insert_with(directory);
        }
    }

    /// The key of a path whose last component need not exist. With `follow`, a link in its place
    /// leads on.
    pub(crate) fn resolve(&self, path: &[u8], follow: bool) -> Result<Vec<u8>, Refusal> {
        if path.len() > PATH_MAX {
            return Err(BAD);
        }
        let mut links = 0;
        let mut rest: VecDeque<Vec<u8>> = components(&absolute(path)).map(<[u8]>::to_vec).collect();
        let mut at = Vec::new();
        while let Some(name) = rest.pop_front() {
            if name == b".." {
                at.truncate(parent(&at).len());
                continue;
            }
            if name.len() > NAME_MAX {
                return Err(BAD);
            }
            if !matches!(lock(self.get(&at)?).body, Body::Directory) {
                return Err(MISSING);
            }
            let next = [&at[..], b"/", &name].concat();
            let target = self.names.get(&next).and_then(|node| match &lock(node).body {
                Body::Link(target) if follow || !rest.is_empty() => Some(target.clone()),
                _ => None,
            });
            let Some(target) = target else {
                at = next;
                continue;
            };
            links += 1;
            if links > LINKS_MAX {
                return Err(MISSING);
            }
            if target.starts_with(b"/") {
                at.clear();
            }
            for part in components(&target).collect::<Vec<_>>().into_iter().rev() {
                rest.push_front(part.to_vec());
            }
        }
        Ok(at)
    }

    fn get(&self, key: &[u8]) -> Result<&Node, Refusal> {
        self.names.get(key).ok_or(MISSING)
    }

    /// The file at `path`.
    pub(crate) fn find(&self, path: &[u8], follow: bool) -> Result<Node, Refusal> {
        self.get(&self.resolve(path, follow)?).cloned()
    }

    /// Whether names may be added to and removed from the directory of this key.
    fn may_change(&self, key: &[u8]) -> Result<(), Refusal> {
        if key.is_empty() {
            return Err(FAILURE);
        }
        let parent = lock(self.get(parent(key))?);
        if !matches!(parent.body, Body::Directory) {
            return Err(MISSING);
        }
        parent.permits(OWNER_WRITE)
    }

    /// Adds what is not there yet; the key is new.
    fn insert(&mut self, key: Vec<u8>, body: Body, permissions: u32) -> Result<Node, Refusal> {
        self.may_change(&key)?;
        if self.names.contains_key(&key) {
            return Err(FAILURE);
        }
        let node = Inode::node(body, permissions, now());
        self.names.insert(key, node.clone());
        Ok(node)
    }

    /// The file at `path`, which is made if it is missing; with `new`, it must be.
    pub(crate) fn create(&mut self, path: &[u8], permissions: u32, new: bool) -> Result<Node, Refusal> {
        let key = self.resolve(path, !new)?;
        match self.names.get(&key) {
            Some(node) if !new => Ok(node.clone()),
            _ => self.insert(key, Body::File(Content::empty()), permissions),
        }
    }

    /// Creates a file, or empties the one that is there.
    pub(crate) fn replace(&mut self, path: &[u8]) -> Result<Node, Refusal> {
        let node = self.create(path, 0o644, false)?;
        self.set(&node, &Attributes { size: Some(0), ..Attributes::default() })?;
        Ok(node)
    }

    pub(crate) fn make_directory(&mut self, path: &[u8], permissions: u32) -> Result<(), Refusal> {
        let key = self.resolve(path, false)?;
        self.insert(key, Body::Directory, permissions).map(drop)
    }

    pub(crate) fn make_link(&mut self, target: &[u8], path: &[u8]) -> Result<(), Refusal> {
        let key = self.resolve(path, false)?;
        self.insert(key, Body::Link(target.to_vec()), 0o777).map(drop)
    }

    /// Removes a file or link, or with `directory` an empty directory.
    pub(crate) fn remove(&mut self, path: &[u8], directory: bool) -> Result<(), Refusal> {
        let key = self.resolve(path, false)?;
        let is_directory = matches!(lock(self.get(&key)?).body, Body::Directory);
        self.may_change(&key)?;
        if directory && !is_directory {
            return Err(MISSING);
        }
        if is_directory != directory || self.below(&key).next().is_some() {
            return Err(FAILURE);
        }
        self.forget(&key);
        Ok(())
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(node) = self.names.remove(key) {
            self.used = self.used.saturating_sub(lock(&node).size());
        }
    }

    /// Renames; with `replace`, over a file, or with a directory over an empty directory.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8], replace: bool) -> Result<(), Refusal> {
        let (from, to) = (self.resolve(from, false)?, self.resolve(to, false)?);
        let moves_directory = matches!(lock(self.get(&from)?).body, Body::Directory);
        self.may_change(&from)?;
        self.may_change(&to)?;
        if from == to {
            return if replace { Ok(()) } else { Err(FAILURE) };
        }
        if let Some(target) = self.names.get(&to) {
            let replaces_directory = matches!(lock(target).body, Body::Directory);
            if !replace || moves_directory != replaces_directory || self.below(&to).next().is_some() {
                return Err(FAILURE);
            }
        }
        let inner: Vec<Vec<u8>> = self.below(&from).map(|(key, _)| key.clone()).collect();
        if to.starts_with(&[&from[..], b"/"].concat()) {
            return Err(BAD);
        }
        self.forget(&to);
        for key in inner.into_iter().chain([from.clone()]) {
            if let Some(node) = self.names.remove(&key) {
                self.names.insert([&to[..], &key[from.len()..]].concat(), node);
            }
        }
        Ok(())
    }

    /// Everything inside the directory of this key.
    fn below(&self, key: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Node)> {
        let start = [key, b"/"].concat();
        self.names.range(start.clone()..).take_while(move |(key, _)| key.starts_with(&start))
    }

    /// The entries of a directory, first `.` and `..`, as OpenSSH's server has them.
    pub(crate) fn list(&self, path: &[u8]) -> Result<VecDeque<(Vec<u8>, Attributes)>, Refusal> {
        let key = self.resolve(path, true)?;
        let own = {
            let node = lock(self.get(&key)?);
            if !matches!(node.body, Body::Directory) {
                return Err(MISSING);
            }
            node.permits(OWNER_READ)?;
            node.attributes()
        };
        let mut entries = VecDeque::from([(b".".to_vec(), own), (b"..".to_vec(), own)]);
        let start = if key.is_empty() { 1 } else { key.len() + 1 };
        for (inner, node) in self.below(&key) {
            let name = &inner[start..];
            if !name.contains(&b'/') {
                entries.push_back((name.to_vec(), lock(node).attributes()));
            }
        }
        Ok(entries)
    }

    /// The absolute path without links; its last component need not exist.
    pub(crate) fn real_path(&self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        let key = self.resolve(path, true)?;
        Ok(if key.is_empty() { b"/".to_vec() } else { key })
    }

    pub(crate) fn write(&mut self, node: &Node, offset: Option<u64>, bytes: &[u8]) -> Result<(), Refusal> {
        let mut inode = lock(node);
        let before = inode.size();
        let offset = offset.unwrap_or(before);
        let end = offset.checked_add(bytes.len() as u64).ok_or(FAILURE)?;
        let used = self.used.saturating_add(end.saturating_sub(before));
        if used > self.space {
            return Err(Refusal(FAILURE.0, "No space left on device"));
        }
        if !inode.content()?.write(offset, bytes, self.keep) {
            return Err(FAILURE);
        }
        inode.times.1 = now();
        self.used = used;
        Ok(())
    }

    pub(crate) fn set(&mut self, node: &Node, new: &Attributes) -> Result<(), Refusal> {
        let mut inode = lock(node);
        if let Some(size) = new.size {
            let before = inode.size();
            let used = self.used.saturating_sub(before).saturating_add(size);
            if size > before && used > self.space {
                return Err(Refusal(FAILURE.0, "No space left on device"));
            }
            if !inode.content()?.resize(size, self.keep) {
                return Err(FAILURE);
            }
            inode.times.1 = now();
            self.used = used;
        }
        if let Some(mode) = new.mode {
            inode.mode = mode & PERMISSIONS;
        }
        inode.times = new.times.unwrap_or(inode.times);
        inode.ids = new.ids.unwrap_or(inode.ids);
        Ok(())
    }

    /// Everything but the root and the home directory.
    pub(crate) fn files(&self) -> Vec<RemoteFile> {
        let ours = self.names.iter().filter(|(key, _)| !key.is_empty() && *key != HOME);
        let file = |(key, node): (&Vec<u8>, &Node)| {
            let inode = lock(node);
            let kind = match &inode.body {
                Body::Directory => FileKind::Directory,
                Body::Link(target) => FileKind::Symlink { target: target.clone() },
                Body::File(content) => FileKind::File { size: content.size(), digest: content.digest() },
            };
            RemoteFile { path: key.clone(), kind, mode: inode.mode, modified: inode.times.1 }
        };
        ours.map(file).collect()
    }
}

fn absolute(path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") { path.to_vec() } else { [HOME, b"/", path].concat() }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    &path[..slash.unwrap_or(0)]
}
