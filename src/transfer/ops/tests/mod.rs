//! Requests to a host that exists in memory.

mod change;
mod hostile;
mod inspect;
mod remove;
mod settings;

use std::collections::{BTreeMap, HashMap};

use super::FileRequest;
use crate::clock;
use crate::error::TransferProblem;
use crate::ids::CommandId;
use crate::output::{FileResult, Outcome};
use crate::sftp::{Attrs, Extensions, Name, Reply, Request, StatusCode, Times, peer};
use crate::transfer::Transfer;
use crate::transfer::plan::{Plan, PlanProblem, Shared, Work};

const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const FIFO: u32 = 0o010_000;

/// Replaces the answer to a request.
type Quirk = Box<dyn FnMut(u32, &Request<'_>) -> Option<Vec<u8>>>;

/// A host with files. Links lead nowhere: nothing here follows one.
struct Host {
    /// The modes, and the contents, by path.
    nodes: BTreeMap<String, (u32, Vec<u8>)>,
    /// The sizes that the host claims, where they are wrong.
    sizes: HashMap<String, u64>,
    extensions: Extensions,
    lists_kinds: bool,
    max_read: usize,
    /// Whether answers that arrive together come in the reverse order.
    reverses: bool,
    quirk: Option<Quirk>,
    /// The open directories, with the names that are not listed yet.
    open: HashMap<Vec<u8>, (String, Vec<String>)>,
    next_handle: u32,
    /// The requests as text.
    log: Vec<String>,
}

impl Host {
    fn new() -> Self {
        Self {
            nodes: BTreeMap::new(),
            sizes: HashMap::new(),
            extensions: Extensions { posix_rename: true, ..Extensions::default() },
            lists_kinds: true,
            max_read: usize::MAX,
            reverses: false,
            quirk: None,
            open: HashMap::new(),
            next_handle: 0,
            log: Vec::new(),
        }
    }

    fn node(mut self, path: &str, mode: u32, contents: impl Into<Vec<u8>>) -> Self {
        self.nodes.insert(path.to_owned(), (mode, contents.into()));
        self
    }

    fn file(self, path: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.node(path, FILE | 0o640, contents)
    }

    fn directory(self, path: &str) -> Self {
        self.node(path, DIRECTORY | 0o750, "")
    }

    fn with(mut self, set: impl FnOnce(&mut Self)) -> Self {
        set(&mut self);
        self
    }

    fn quirk(mut self, quirk: impl FnMut(u32, &Request<'_>) -> Option<Vec<u8>> + 'static) -> Self {
        self.quirk = Some(Box::new(quirk));
        self
    }

    fn attrs(&self, path: &str) -> Option<Attrs> {
        let (mode, contents) = self.nodes.get(path)?;
        let size = self.sizes.get(path).copied().unwrap_or(contents.len() as u64);
        let times = Some(Times { access: 1, modified: 2 });
        Some(Attrs { size: Some(size), ids: Some((7, 8)), mode: Some(*mode), times })
    }

    /// The names directly below a directory.
    fn below(&self, directory: &str) -> Vec<String> {
        let prefix = format!("{directory}/");
        let names = self.nodes.keys().filter_map(|path| path.strip_prefix(&prefix));
        names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    fn handle(&mut self, id: u32, path: &str, names: Vec<String>) -> Vec<u8> {
        self.next_handle += 1;
        let handle = self.next_handle.to_be_bytes().to_vec();
        self.open.insert(handle.clone(), (path.to_owned(), names));
        peer::encode(&Reply::Handle { id, handle: &handle })
    }

    fn serve(&mut self, id: u32, request: &Request<'_>) -> Vec<u8> {
        if *request == Request::Init {
            return peer::encode(&Reply::Version { version: 3, extensions: self.extensions });
        }
        self.log.push(described(request));
        if let Some(answer) = self.quirk.as_mut().and_then(|quirk| quirk(id, request)) {
            return answer;
        }
        let status = |code| peer::status(id, code, b"");
        let is_there = |host: &Self, path: &str| host.nodes.contains_key(path);
        match *request {
            Request::Lstat { path } | Request::Stat { path } => match self.attrs(&text(path)) {
                Some(attrs) => peer::encode(&Reply::Attrs { id, attrs }),
                None => status(StatusCode::NoSuchFile),
            },
            Request::Open { path, .. } => self.handle(id, &text(path), Vec::new()),
            Request::Fstat { handle } => {
                let attrs = self.attrs(&self.open[handle].0).expect("it is there");
                peer::encode(&Reply::Attrs { id, attrs })
            }
            Request::Read { handle, offset, len } => {
                let contents = &self.nodes[&self.open[handle].0].1;
                let rest = contents.get(offset as usize..).unwrap_or_default();
                match &rest[..rest.len().min(len as usize).min(self.max_read)] {
                    [] => status(StatusCode::Eof),
                    bytes => peer::encode(&Reply::Data { id, bytes }),
                }
            }
            Request::Opendir { path } => match self.nodes.get(&text(path)) {
                Some((mode, _)) if mode & DIRECTORY != 0 => {
                    let names = [".".to_owned(), "..".to_owned()].into_iter();
                    let names = names.chain(self.below(&text(path))).rev().collect();
                    self.handle(id, &text(path), names)
                }
                _ => status(StatusCode::NoSuchFile),
            },
            Request::Readdir { handle } => {
                let (path, mut left) = self.open[handle].clone();
                let names: Vec<String> = left.drain(..left.len().min(2)).collect();
                self.open.insert(handle.to_vec(), (path.clone(), left));
                let attrs = |name: &String| match self.attrs(&format!("{path}/{name}")) {
                    Some(attrs) if self.lists_kinds => attrs,
                    _ => Attrs::default(),
                };
                let names: Vec<Name<'_>> = names
                    .iter()
                    .map(|name| Name { name: name.as_bytes(), long: b"", attrs: attrs(name) })
                    .collect();
                if names.is_empty() { status(StatusCode::Eof) } else { peer::names(id, &names) }
            }
            Request::Close { handle } => {
                self.open.remove(handle);
                status(StatusCode::Ok)
            }
            Request::Remove { path } => match self.nodes.get(&text(path)) {
                None => status(StatusCode::NoSuchFile),
                Some((mode, _)) if mode & 0o170_000 == DIRECTORY => status(StatusCode::Failure),
                Some(_) => {
                    self.nodes.remove(&text(path));
                    status(StatusCode::Ok)
                }
            },
            Request::Rmdir { path } if self.below(&text(path)).is_empty() => {
                self.nodes.remove(&text(path));
                status(StatusCode::Ok)
            }
            Request::Rmdir { .. } => status(StatusCode::Failure),
            Request::Mkdir { path, .. } if is_there(self, &text(path)) => status(StatusCode::Failure),
            Request::Mkdir { path, .. } => {
                let path = text(path);
                let above = &path[..path.rfind('/').expect("absolute")];
                if !above.is_empty() && !is_there(self, above) {
                    return status(StatusCode::NoSuchFile);
                }
                self.nodes.insert(path, (DIRECTORY | 0o755, Vec::new()));
                status(StatusCode::Ok)
            }
            Request::Setstat { path, attrs } => {
                self.nodes.get_mut(&text(path)).expect("it is there").0 =
                    DIRECTORY | attrs.mode.expect("set");
                status(StatusCode::Ok)
            }
            Request::Rename { to, .. } if is_there(self, &text(to)) => status(StatusCode::Failure),
            Request::Rename { from, to } | Request::PosixRename { from, to } => {
                match self.nodes.remove(&text(from)) {
                    Some(node) => {
                        self.nodes.insert(text(to), node);
                        status(StatusCode::Ok)
                    }
                    None => status(StatusCode::NoSuchFile),
                }
            }
            _ => status(StatusCode::OpUnsupported),
        }
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// A request as text, such as `LSTAT /a`.
fn described(request: &Request<'_>) -> String {
    match *request {
        Request::Stat { path } => format!("STAT {}", text(path)),
        Request::Lstat { path } => format!("LSTAT {}", text(path)),
        Request::Open { path, .. } => format!("OPEN {}", text(path)),
        Request::Opendir { path } => format!("OPENDIR {}", text(path)),
        Request::Remove { path } => format!("REMOVE {}", text(path)),
        Request::Rmdir { path } => format!("RMDIR {}", text(path)),
        Request::Mkdir { path, .. } => format!("MKDIR {}", text(path)),
        Request::Setstat { path, .. } => format!("SETSTAT {}", text(path)),
        Request::Rename { from, to } => format!("RENAME {} {}", text(from), text(to)),
        Request::PosixRename { from, to } => format!("POSIX-RENAME {} {}", text(from), text(to)),
        Request::Read { offset, len, .. } => format!("READ {offset} {len}"),
        Request::Readdir { .. } => "READDIR".to_owned(),
        Request::Fstat { .. } => "FSTAT".to_owned(),
        Request::Close { .. } => "CLOSE".to_owned(),
        _ => "other".to_owned(),
    }
}

fn plan(request: FileRequest, is_privileged: bool) -> Result<Plan, PlanProblem> {
    let mut same = |path: &[u8]| Ok(path.to_vec());
    Work::File(request).plan(&mut Shared::default(), &mut same, is_privileged)
}

/// Runs a request to its end.
fn run(request: FileRequest, host: &mut Host) -> Result<FileResult, TransferProblem> {
    let Ok(plan) = plan(request, false) else { panic!("it is a good request") };
    let mut transfer = Transfer::new(CommandId::new(1, 0), &plan, "web1");
    let mut sent = Vec::new();
    loop {
        transfer.go_on_with(&mut { u64::MAX }, clock::now());
        if let Some(end) = transfer.end() {
            return end.map(|done| match transfer.outcome(done) {
                Outcome::File(result) => *result,
                other => panic!("{other}"),
            });
        }
        assert!(transfer.has_unsent(), "it waits for nothing after {:?}", host.log.last());
        while transfer.has_unsent() {
            let piece = transfer.next_bytes(&mut Vec::new(), 1000).to_vec();
            transfer.sent(piece.len());
            sent.extend(piece);
        }
        let (mut answers, mut rest) = (Vec::new(), &sent[..]);
        while let Some(received) = peer::receive(rest).expect("a good request") {
            answers.push(host.serve(received.id, &received.request));
            rest = received.rest;
        }
        sent = rest.to_vec();
        if host.reverses {
            answers.reverse();
        }
        answers.iter().for_each(|answer| transfer.receive(answer));
    }
}

/// Why a request fails, in words.
#[track_caller]
fn error(request: FileRequest, host: &mut Host) -> String {
    run(request, host).expect_err("it fails").to_string()
}
