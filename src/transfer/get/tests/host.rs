//! A host in memory, with an SFTP server that can misbehave.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::sftp::{Attrs, Extensions, Name, Reply, Request, StatusCode, Times, peer};

/// Replaces the answers to a request. An empty list stands for an answer that never comes.
type Quirk = Box<dyn FnMut(u32, &Request<'_>) -> Option<Vec<Vec<u8>>>>;

/// What has a path on the host.
#[derive(Debug, Clone)]
pub(super) enum Node {
    File(Vec<u8>),
    Directory,
    Link(&'static str),
    Pipe,
}

pub(super) struct Host {
    nodes: BTreeMap<String, (Node, u32)>,
    /// The size that the host says that a file has, if that is wrong.
    pub(super) sizes: HashMap<String, u64>,
    pub(super) modified: u32,
    /// The longest data in a reply.
    pub(super) max_read: usize,
    pub(super) names_per_reply: usize,
    /// How many handles may be open.
    pub(super) max_handles: usize,
    /// Whether names come with their attributes.
    pub(super) lists_attrs: bool,
    open: HashMap<Vec<u8>, (String, usize)>,
    next_handle: u32,
    pub(super) most_open: usize,
    /// The requests to close whose answers have not arrived.
    closing: HashSet<u32>,
    /// The most handles that were open or being closed.
    pub(super) most_held: usize,
    /// The requests, as text.
    pub(super) log: Vec<String>,
    pub(super) quirk: Option<Quirk>,
}

const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const PIPE: u32 = 0o010_000;

impl Host {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::new(),
            sizes: HashMap::new(),
            modified: 1_000_000_000,
            max_read: usize::MAX,
            names_per_reply: 3,
            max_handles: 100,
            lists_attrs: true,
            open: HashMap::new(),
            next_handle: 0,
            most_open: 0,
            closing: HashSet::new(),
            most_held: 0,
            log: Vec::new(),
            quirk: None,
        }
    }

    /// Adds a file, with the directories above it.
    pub(super) fn file(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.node(path, Node::File(bytes.into()), 0o640)
    }

    pub(super) fn node(mut self, path: &str, node: Node, mode: u32) -> Self {
        for (at, _) in path.match_indices('/').skip(1) {
            self.nodes.entry(path[..at].to_owned()).or_insert((Node::Directory, 0o755));
        }
        self.nodes.insert(path.to_owned(), (node, mode));
        self
    }

    pub(super) fn with(mut self, set: impl FnOnce(&mut Self)) -> Self {
        set(&mut self);
        self
    }

    pub(super) fn quirk(
        mut self,
        quirk: impl FnMut(u32, &Request<'_>) -> Option<Vec<Vec<u8>>> + 'static,
    ) -> Self {
        self.quirk = Some(Box::new(quirk));
        self
    }

    /// Changes the contents of a file.
    pub(super) fn write(&mut self, path: &str, bytes: Vec<u8>) {
        self.nodes.get_mut(path).unwrap().0 = Node::File(bytes);
    }

    /// The path without links, and what is there.
    fn follow(&self, path: &str) -> Option<(String, &(Node, u32))> {
        let mut path = path.to_owned();
        for _ in 0..20 {
            let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
            let link = ends.filter_map(|end| match self.nodes.get(&path[..end]) {
                Some((Node::Link(target), _)) => Some((end, *target)),
                _ => None,
            });
            let Some((end, target)) = link.take(1).next() else {
                return Some((path.clone(), self.nodes.get(&path)?));
            };
            let rest = path[end..].to_owned();
            path = match target {
                "." => path[..path[..end].rfind('/')?].to_owned() + &rest,
                target if target.starts_with('/') => target.to_owned() + &rest,
                target => path[..=path[..end].rfind('/')?].to_owned() + target + &rest,
            };
        }
        None
    }

    /// The path without links, except for its last name.
    fn follow_parent(&self, path: &str) -> String {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let parent = self.follow(parent).map_or_else(|| parent.to_owned(), |(parent, _)| parent);
        format!("{parent}/{name}")
    }

    fn attrs(&self, path: &str, (node, mode): &(Node, u32)) -> Attrs {
        let (kind, size) = match node {
            Node::File(bytes) => (FILE, bytes.len() as u64),
            Node::Directory => (DIRECTORY, 4096),
            Node::Link(_) => (LINK, 1),
            Node::Pipe => (PIPE, 0),
        };
        let size = self.sizes.get(path).copied().unwrap_or(size);
        let times = Some(Times { access: 1, modified: self.modified });
        Attrs { size: Some(size), ids: None, mode: Some(kind | mode), times }
    }

    /// The answers to a request.
    pub(super) fn serve(&mut self, id: u32, request: &Request<'_>) -> Vec<Vec<u8>> {
        self.log.push(text(request));
        if let Some(mut quirk) = self.quirk.take() {
            let answers = quirk(id, request);
            self.quirk = Some(quirk);
            if let Some(answers) = answers {
                return answers;
            }
        }
        vec![self.answer(id, request)]
    }

    fn answer(&mut self, id: u32, request: &Request<'_>) -> Vec<u8> {
        let status = |code| peer::status(id, code, b"");
        let path_of = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let attrs_of = |found: Option<Attrs>| match found {
            Some(attrs) => peer::encode(&Reply::Attrs { id, attrs }),
            None => status(StatusCode::NoSuchFile),
        };
        match request {
            Request::Init => {
                let extensions = Extensions { limits: true, ..Extensions::default() };
                peer::encode(&Reply::Version { version: 3, extensions })
            }
            Request::Limits => {
                let limits: [u64; 4] = [262_144, 261_120, 261_120, self.max_handles as u64];
                let bytes = limits.map(u64::to_be_bytes).concat();
                peer::encode(&Reply::Extended { id, bytes: &bytes })
            }
            Request::Stat { path } => {
                attrs_of(self.follow(&path_of(path)).map(|(path, node)| self.attrs(&path, node)))
            }
            Request::Lstat { path } => {
                let path = self.follow_parent(&path_of(path));
                attrs_of(self.nodes.get(&path).map(|node| self.attrs(&path, node)))
            }
            Request::Realpath { path } => match self.follow(&path_of(path)) {
                Some((path, _)) => name(id, path.as_bytes()),
                None => status(StatusCode::NoSuchFile),
            },
            Request::Readlink { path } => match self.nodes.get(&self.follow_parent(&path_of(path))) {
                Some((Node::Link(target), _)) => name(id, target.as_bytes()),
                _ => status(StatusCode::Failure),
            },
            Request::Open { path, .. } | Request::Opendir { path } => {
                let Some((path, _)) = self.follow(&path_of(path)) else {
                    return status(StatusCode::NoSuchFile);
                };
                if self.open.len() == self.max_handles {
                    return status(StatusCode::Failure);
                }
                self.next_handle += 1;
                let handle = self.next_handle.to_be_bytes().to_vec();
                self.open.insert(handle.clone(), (path, 0));
                self.most_open = self.most_open.max(self.open.len());
                self.most_held = self.most_held.max(self.open.len() + self.closing.len());
                peer::encode(&Reply::Handle { id, handle: &handle })
            }
            Request::Fstat { handle } => {
                let path = self.open[*handle].0.clone();
                attrs_of(self.nodes.get(&path).map(|node| self.attrs(&path, node)))
            }
            Request::Close { handle } => {
                assert!(self.open.remove(*handle).is_some(), "closed twice");
                self.closing.insert(id);
                status(StatusCode::Ok)
            }
            Request::Read { handle, offset, len } => {
                let Some((Node::File(bytes), _)) = self.nodes.get(&self.open[*handle].0) else {
                    return status(StatusCode::Failure);
                };
                let start = bytes.len().min(*offset as usize);
                let bytes = &bytes[start..];
                match &bytes[..bytes.len().min(*len as usize).min(self.max_read)] {
                    [] => status(StatusCode::Eof),
                    bytes => peer::encode(&Reply::Data { id, bytes }),
                }
            }
            Request::Readdir { handle } => self.list(id, handle),
            other => panic!("a get asks for {other:?}"),
        }
    }

    fn list(&mut self, id: u32, handle: &[u8]) -> Vec<u8> {
        let (path, at) = self.open[handle].clone();
        let below = format!("{path}/");
        let mut all = vec![(".".to_owned(), Attrs::default()), ("..".to_owned(), Attrs::default())];
        for (child, node) in &self.nodes {
            if let Some(name) = child.strip_prefix(&below).filter(|name| !name.contains('/')) {
                let attrs = if self.lists_attrs { self.attrs(child, node) } else { Attrs::default() };
                all.push((name.to_owned(), attrs));
            }
        }
        let names = all.iter().skip(at).take(self.names_per_reply);
        let names: Vec<_> =
            names.map(|(name, attrs)| Name { name: name.as_bytes(), long: b"", attrs: *attrs }).collect();
        self.open.insert(handle.to_vec(), (path, at + names.len()));
        match names.is_empty() {
            true => peer::status(id, StatusCode::Eof, b""),
            false => peer::names(id, &names),
        }
    }

    /// Notes that an answer has arrived.
    pub(super) fn arrived(&mut self, reply: &[u8]) {
        if let Some(id) = reply.get(5..).and_then(|reply| reply.first_chunk()) {
            self.closing.remove(&u32::from_be_bytes(*id));
        }
    }

    /// How many handles are open.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// How many requests of a kind were made.
    pub(super) fn count(&self, kind: &str) -> usize {
        self.log.iter().filter(|line| line.starts_with(kind)).count()
    }
}

pub(super) fn name(id: u32, name: &[u8]) -> Vec<u8> {
    peer::names(id, &[Name { name, long: b"", attrs: Attrs::default() }])
}

pub(super) fn attrs(id: u32, size: u64) -> Vec<Vec<u8>> {
    let times = Some(Times { access: 1, modified: 1_000_000_000 });
    let attrs = Attrs { size: Some(size), ids: None, mode: Some(FILE | 0o644), times };
    vec![peer::encode(&Reply::Attrs { id, attrs })]
}

pub(super) fn data(id: u32, bytes: &[u8]) -> Vec<Vec<u8>> {
    vec![peer::encode(&Reply::Data { id, bytes })]
}

pub(super) fn status(id: u32, code: StatusCode) -> Vec<Vec<u8>> {
    vec![peer::status(id, code, b"said the host")]
}

/// A request as text: its kind, and its path.
fn text(request: &Request<'_>) -> String {
    let text = format!("{request:?}");
    let kind = text.split([' ', '{']).next().unwrap_or_default();
    match request {
        Request::Stat { path }
        | Request::Lstat { path }
        | Request::Realpath { path }
        | Request::Readlink { path }
        | Request::Opendir { path }
        | Request::Open { path, .. } => format!("{kind} {}", String::from_utf8_lossy(path)),
        Request::Read { offset, len, .. } => format!("{kind} {offset} {len}"),
        _ => kind.to_owned(),
    }
}
