//! A host in memory, with an SFTP server.

use std::collections::{BTreeMap, VecDeque};

use crate::sftp::{Attrs, Extensions, Name, OpenFlags, Reply, Request, StatusCode, Times, peer};

const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
/// `SSH_FXP_EXTENDED_REPLY`.
const EXTENDED_REPLY: u8 = 201;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub mode: u32,
    pub bytes: Vec<u8>,
    pub times: Times,
}

/// Decides about a request by its number: `None` lets it be carried out.
pub(super) type Refuse = Box<dyn FnMut(usize, &Request<'_>) -> Option<StatusCode>>;

/// A host. Its clock stands at [`NOW`].
pub(super) struct Host {
    pub nodes: BTreeMap<Vec<u8>, Node>,
    /// The paths of open files.
    handles: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The names that have not been read of open directories.
    listings: BTreeMap<Vec<u8>, VecDeque<(Vec<u8>, u32)>>,
    /// Names that each directory has in addition, with their modes.
    pub strange_names: Vec<(Vec<u8>, u32)>,
    /// Whether no directory ever ends.
    pub is_endless: bool,
    given: u32,
    pub extensions: Extensions,
    /// The limits of the server, if it has that extension: of packets, reads, writes and handles.
    pub limits: [u64; 4],
    /// How often a handle was asked for when the limit was reached.
    pub out_of_handles: usize,
    /// Decides about each request by its number, before it is carried out.
    pub refuse: Refuse,
    /// How many requests the host has read.
    pub requests: usize,
    /// Whether the disk loses the last byte of each write.
    pub loses_bytes: bool,
    /// Whether the path of a link precedes its target, as in the draft.
    pub has_draft_links: bool,
}

/// The time at which the host writes files.
pub(super) const NOW: u32 = 2_000_000_000;

impl Host {
    pub(super) fn new() -> Self {
        let mut host = Self {
            nodes: BTreeMap::new(),
            handles: BTreeMap::new(),
            listings: BTreeMap::new(),
            strange_names: Vec::new(),
            is_endless: false,
            given: 0,
            extensions: Extensions { posix_rename: true, fsync: true, limits: false },
            limits: [0; 4],
            out_of_handles: 0,
            refuse: Box::new(|_, _| None),
            requests: 0,
            loses_bytes: false,
            has_draft_links: false,
        };
        for path in ["/", "/srv", "/srv/app"] {
            host.nodes.insert(path.as_bytes().to_vec(), Node::directory());
        }
        host
    }

    pub(super) fn put(&mut self, path: &[u8], bytes: &[u8], modified: u32) {
        let times = Times { access: modified, modified };
        self.nodes.insert(path.to_vec(), Node { mode: FILE | 0o644, bytes: bytes.to_vec(), times });
    }

    pub(super) fn bytes(&self, path: &[u8]) -> Option<&[u8]> {
        self.nodes.get(path).map(|node| &node.bytes[..])
    }

    /// A link to `target`.
    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) {
        let node = Node { mode: LINK | 0o777, bytes: target.to_vec(), times: Times::default() };
        self.nodes.insert(path.to_vec(), node);
    }

    /// The temporary files.
    pub(super) fn temporaries(&self) -> Vec<String> {
        let names = self.nodes.keys().map(|path| String::from_utf8_lossy(path).into_owned());
        names.filter(|path| path.contains(".sshoal-")).collect()
    }

    /// How many files are open.
    pub(super) fn open_files(&self) -> usize {
        self.handles.len() + self.listings.len()
    }

    fn check_handles(&mut self) -> Result<(), StatusCode> {
        let [.., max] = self.limits;
        if max == 0 || (self.open_files() as u64) < max {
            return Ok(());
        }
        self.out_of_handles += 1;
        Err(StatusCode::Failure)
    }

    fn has_directory(&self, path: &[u8]) -> bool {
        // A path without a slash is in the home directory.
        let Some(end) = path.iter().rposition(|byte| *byte == b'/') else { return true };
        self.nodes.get(&path[..end.max(1)]).is_some_and(|node| node.mode & DIRECTORY != 0)
    }

    fn file(&mut self, handle: &[u8]) -> Result<&mut Node, StatusCode> {
        let path = self.handles.get(handle).ok_or(StatusCode::Failure)?;
        self.nodes.get_mut(path).ok_or(StatusCode::Failure)
    }

    /// Carries a request out, and encodes the answer.
    pub(super) fn serve(&mut self, id: u32, request: &Request<'_>, data: &[u8]) -> Vec<u8> {
        if *request == Request::Init {
            return peer::encode(&Reply::Version { version: 3, extensions: self.extensions });
        }
        self.requests += 1;
        if let Some(code) = (self.refuse)(self.requests, request) {
            return peer::status(id, code, b"refused");
        }
        match self.carry_out(id, request, data) {
            Ok(reply) => reply,
            Err(code) => peer::status(id, code, code.to_string().as_bytes()),
        }
    }

    fn carry_out(&mut self, id: u32, request: &Request<'_>, data: &[u8]) -> Result<Vec<u8>, StatusCode> {
        let ok = || Ok(peer::status(id, StatusCode::Ok, b""));
        let attrs_of = |node: &Node| Attrs {
            size: Some(node.bytes.len() as u64),
            mode: Some(node.mode),
            times: Some(node.times),
            ..Attrs::default()
        };
        match *request {
            Request::Open { path, flags, attrs } => {
                self.check_handles()?;
                let has = |flag: OpenFlags| flags | flag == flags;
                if !self.has_directory(path) {
                    return Err(StatusCode::NoSuchFile);
                }
                if self.nodes.contains_key(path) {
                    if has(OpenFlags::EXCLUSIVE) || self.nodes[path].mode & DIRECTORY != 0 {
                        return Err(StatusCode::Failure);
                    }
                } else if !has(OpenFlags::CREATE) {
                    return Err(StatusCode::NoSuchFile);
                }
                let times = Times { access: NOW, modified: NOW };
                let mode = FILE | attrs.mode.unwrap_or(0o644);
                let new = || Node { mode, bytes: Vec::new(), times };
                let node = self.nodes.entry(path.to_vec()).or_insert_with(new);
                if has(OpenFlags::TRUNCATE) {
                    node.bytes.clear();
                }
                node.times = times;
                self.given += 1;
                let handle = self.given.to_be_bytes();
                self.handles.insert(handle.to_vec(), path.to_vec());
                return Ok(peer::encode(&Reply::Handle { id, handle: &handle }));
            }
            Request::Write { handle, offset, .. } => {
                let lost = usize::from(self.loses_bytes);
                let node = self.file(handle)?;
                let data = &data[..data.len() - lost];
                let end = offset as usize + data.len();
                node.bytes.resize(node.bytes.len().max(end), 0);
                node.bytes[offset as usize..end].copy_from_slice(data);
            }
            Request::Fstat { handle } => {
                let attrs = attrs_of(self.file(handle)?);
                return Ok(peer::encode(&Reply::Attrs { id, attrs }));
            }
            Request::Lstat { path } | Request::Stat { path } => {
                let attrs = attrs_of(self.nodes.get(path).ok_or(StatusCode::NoSuchFile)?);
                return Ok(peer::encode(&Reply::Attrs { id, attrs }));
            }
            Request::Fsetstat { handle, attrs } => {
                let node = self.file(handle)?;
                node.mode = attrs.mode.map_or(node.mode, |mode| node.mode & !0o7777 | mode);
                node.times = attrs.times.unwrap_or(node.times);
            }
            Request::Setstat { path, attrs } => {
                let node = self.nodes.get_mut(path).ok_or(StatusCode::NoSuchFile)?;
                node.mode = attrs.mode.map_or(node.mode, |mode| node.mode & !0o7777 | mode);
            }
            Request::Close { handle } => {
                let file = self.handles.remove(handle).is_some();
                if !file && self.listings.remove(handle).is_none() {
                    return Err(StatusCode::Failure);
                }
            }
            Request::Fsync { handle } => _ = self.file(handle)?,
            Request::Remove { path } => {
                let node = self.nodes.get(path).ok_or(StatusCode::NoSuchFile)?;
                if node.mode & DIRECTORY != 0 {
                    return Err(StatusCode::Failure);
                }
                self.nodes.remove(path);
            }
            Request::Opendir { path } => {
                self.check_handles()?;
                let node = self.nodes.get(path).ok_or(StatusCode::NoSuchFile)?;
                if node.mode & DIRECTORY == 0 {
                    return Err(StatusCode::Failure);
                }
                let below = |other: &Vec<u8>| {
                    let name = other.strip_prefix(path)?.strip_prefix(b"/")?;
                    (!name.contains(&b'/')).then(|| name.to_vec())
                };
                let names = self.nodes.iter().filter_map(|(path, node)| Some((below(path)?, node.mode)));
                let dots = [b".".to_vec(), b"..".to_vec()].map(|name| (name, DIRECTORY));
                let names = dots.into_iter().chain(names).chain(self.strange_names.clone()).collect();
                self.given += 1;
                let handle = self.given.to_be_bytes();
                self.listings.insert(handle.to_vec(), names);
                return Ok(peer::encode(&Reply::Handle { id, handle: &handle }));
            }
            Request::Readdir { handle } => {
                let names = self.listings.get_mut(handle).ok_or(StatusCode::Failure)?;
                let count = names.len().min(3);
                let some: Vec<(Vec<u8>, u32)> = names.drain(..count).collect();
                if some.is_empty() && !self.is_endless {
                    return Err(StatusCode::Eof);
                }
                let name = |(name, mode): &'_ (Vec<u8>, u32)| {
                    let attrs = Attrs { mode: Some(*mode), ..Attrs::default() };
                    (name.clone(), attrs)
                };
                let some: Vec<(Vec<u8>, Attrs)> = some.iter().map(name).collect();
                let some = some.iter().map(|(name, attrs)| Name { name, long: b"", attrs: *attrs });
                return Ok(peer::names(id, &some.collect::<Vec<_>>()));
            }
            Request::Rmdir { path } => {
                let node = self.nodes.get(path).ok_or(StatusCode::NoSuchFile)?;
                let below = [path, b"/"].concat();
                if node.mode & DIRECTORY == 0 || self.nodes.keys().any(|path| path.starts_with(&below)) {
                    return Err(StatusCode::Failure);
                }
                self.nodes.remove(path);
            }
            Request::Mkdir { path, .. } => {
                if self.nodes.contains_key(path) || !self.has_directory(path) {
                    return Err(StatusCode::Failure);
                }
                self.nodes.insert(path.to_vec(), Node::directory());
            }
            Request::PosixRename { from, to } => self.rename(from, to)?,
            Request::Rename { to, .. } if self.nodes.contains_key(to) => return Err(StatusCode::Failure),
            Request::Rename { from, to } => self.rename(from, to)?,
            Request::Symlink { target, link } => {
                let (target, link) = if self.has_draft_links { (link, target) } else { (target, link) };
                if !self.has_directory(link) {
                    return Err(StatusCode::NoSuchFile);
                }
                if self.nodes.contains_key(link) {
                    return Err(StatusCode::Failure);
                }
                let node = Node { mode: LINK | 0o777, bytes: target.to_vec(), times: Times::default() };
                self.nodes.insert(link.to_vec(), node);
            }
            Request::Limits => {
                return Ok(peer::packet(EXTENDED_REPLY, id, &self.limits.map(u64::to_be_bytes).concat()));
            }
            _ => return Err(StatusCode::OpUnsupported),
        }
        ok()
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), StatusCode> {
        if self.nodes.get(to).is_some_and(|node| node.mode & DIRECTORY != 0) {
            return Err(StatusCode::Failure);
        }
        let node = self.nodes.remove(from).ok_or(StatusCode::NoSuchFile)?;
        self.nodes.insert(to.to_vec(), node);
        Ok(())
    }
}

impl Node {
    pub(super) fn directory() -> Self {
        Self { mode: DIRECTORY | 0o755, bytes: Vec::new(), times: Times::default() }
    }
}
