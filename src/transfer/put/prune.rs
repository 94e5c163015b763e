//! Deleting what is in the directories of the target and not in those of the source.
//!
//! First all directories are listed, several at a time, and then the rest is removed: files and
//! links, then directories, the innermost first. A link is removed and never followed: below a
//! directory of the target, only what is a directory itself is listed.

use std::mem;
use std::sync::Arc;

use super::paths;
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::sftp::{Attrs, FileKind, Reply, Request, StatusCode};
use crate::transfer::local::{Entry, EntryKind, Listing};
use crate::transfer::names::entry;
use crate::transfer::replies::{done, refused};
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

/// The slot of the first removal. Those of directories that are listed are lower.
const FIRST_REMOVAL: u32 = limits::FILES_AT_ONCE as u32;

/// The deletions of a put on one host.
#[derive(Debug)]
pub(super) struct Prune {
    target: Vec<u8>,
    listing: Arc<Listing>,
    /// Whether what would be deleted is only counted.
    is_dry: bool,
    phase: Phase,
    /// The directories that have not been listed.
    waiting: Vec<Directory>,
    /// The directories that are listed now, by slot.
    lanes: [Option<Lane>; limits::FILES_AT_ONCE],
    /// What the source does not have.
    extras: Vec<Extra>,
    /// How many bytes the paths of these have.
    bytes: usize,
    /// How many names the host has sent.
    names: usize,
    /// How many directories of the source were found on the host.
    found: usize,
    /// How many removals have not been answered.
    awaited: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Listing,
    /// Files and links are removed. `next` is looked at next.
    Files {
        next: usize,
    },
    /// The directories with so many names in their paths are removed.
    Directories {
        depth: usize,
        next: usize,
    },
    Done,
}

#[derive(Debug)]
struct Directory {
    /// The path below the target.
    path: Vec<u8>,
    /// Whether the source does not have it.
    is_extra: bool,
}

#[derive(Debug)]
struct Lane {
    directory: Directory,
    handle: Vec<u8>,
}

#[derive(Debug)]
struct Extra {
    path: Vec<u8>,
    is_directory: bool,
}

impl Prune {
    pub(super) fn new(target: &[u8], listing: Arc<Listing>, is_dry: bool) -> Self {
        Self {
            target: target.to_vec(),
            listing,
            is_dry,
            phase: Phase::Listing,
            waiting: vec![Directory { path: Vec::new(), is_extra: false }],
            lanes: Default::default(),
            extras: Vec::new(),
            bytes: 0,
            names: 0,
            found: 0,
            awaited: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn path(&self, below: &[u8]) -> Vec<u8> {
        paths::join(&self.target, below)
    }

    /// Makes requests, as far as there is room.
    pub(super) fn advance(&mut self, cx: &mut TaskCx<'_>) {
        loop {
            let before = self.phase;
            match self.phase {
                Phase::Listing => self.list(cx),
                Phase::Files { next } => self.remove_files(next, cx),
                Phase::Directories { depth, next } => self.remove_directories(depth, next, cx),
                Phase::Done => {}
            }
            if self.phase == before {
                return;
            }
        }
    }

    fn list(&mut self, cx: &mut TaskCx<'_>) {
        for slot in 0..self.lanes.len().min(cx.requests.max_handles) {
            if self.lanes[slot].is_some() || !cx.requests.has_room() {
                continue;
            }
            let Some(directory) = self.waiting.pop() else { break };
            let path = self.path(&directory.path);
            let tag = Tag { slot: slot as u32, step: Step::OpenDirectory };
            cx.requests.send(tag, &Request::Opendir { path: &path });
            self.lanes[slot] = Some(Lane { directory, handle: Vec::new() });
        }
        if self.waiting.is_empty() && self.lanes.iter().all(Option::is_none) {
            if self.is_dry {
                cx.report.done.deleted += self.extras.len() as u64;
                self.phase = Phase::Done;
            } else {
                self.phase = Phase::Files { next: 0 };
            }
        }
    }

    fn remove_files(&mut self, mut next: usize, cx: &mut TaskCx<'_>) {
        while next < self.extras.len() && cx.requests.has_room() {
            if !self.extras[next].is_directory {
                let path = self.path(&self.extras[next].path);
                self.send(next, Step::Remove, &Request::Remove { path: &path }, cx);
            }
            next += 1;
        }
        self.phase = Phase::Files { next };
        if next == self.extras.len() && self.awaited == 0 {
            let depths =
                self.extras.iter().filter(|extra| extra.is_directory).map(|extra| depth(&extra.path));
            self.phase = depths.max().map_or(Phase::Done, |depth| Phase::Directories { depth, next: 0 });
        }
    }

    fn remove_directories(&mut self, level: usize, mut next: usize, cx: &mut TaskCx<'_>) {
        while next < self.extras.len() && cx.requests.has_room() {
            if self.extras[next].is_directory && depth(&self.extras[next].path) == level {
                let path = self.path(&self.extras[next].path);
                self.send(next, Step::RemoveDirectory, &Request::Rmdir { path: &path }, cx);
            }
            next += 1;
        }
        self.phase = Phase::Directories { depth: level, next };
        if next == self.extras.len() && self.awaited == 0 {
            self.phase = match level {
                0 | 1 => Phase::Done,
                _ => Phase::Directories { depth: level - 1, next: 0 },
            };
        }
    }

    fn send(&mut self, extra: usize, step: Step, request: &Request<'_>, cx: &mut TaskCx<'_>) {
        cx.requests.send(Tag { slot: FIRST_REMOVAL + extra as u32, step }, request);
        self.awaited += 1;
    }

    /// Handles the answer to a request. An error ends the put.
    pub(super) fn reply(
        &mut self,
        Tag { slot, step }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        match slot.checked_sub(FIRST_REMOVAL) {
            Some(extra) => self.removed(extra as usize, reply, cx),
            None => self.listed(slot as usize, step, reply, cx),
        }
    }

    fn removed(
        &mut self,
        extra: usize,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        self.awaited = self.awaited.saturating_sub(1);
        match done(reply)? {
            Ok(()) => cx.report.done.deleted += 1,
            // Another process has deleted it.
            Err(refusal) if refusal.code == StatusCode::NoSuchFile => {}
            Err(refusal) => {
                let path = self.extras.get(extra).map(|extra| self.path(&extra.path));
                cx.report.note(refusal.problem("delete", &path.unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// Handles the answer about a directory that is listed.
    fn listed(
        &mut self,
        slot: usize,
        step: Step,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        let Some(Some(lane)) = self.lanes.get_mut(slot) else { return Ok(()) };
        let handle = mem::take(&mut lane.handle);
        let tag = |step| Tag { slot: slot as u32, step };
        let next = match (step, reply) {
            (Step::Close, _) => {
                self.lanes[slot] = None;
                return Ok(());
            }
            (Step::OpenDirectory, Reply::Handle { handle, .. }) => handle.to_vec(),
            (Step::ReadDirectory, Reply::Names { names, .. }) => {
                let (below, is_extra) = (mem::take(&mut lane.directory.path), lane.directory.is_extra);
                for name in names.clone() {
                    let name = name?;
                    self.name(&below, is_extra, name.name, &name.attrs)?;
                }
                // A server must not go on for ever with answers that have no names.
                self.count()?;
                if let Some(Some(lane)) = self.lanes.get_mut(slot) {
                    lane.directory.path = below;
                }
                handle
            }
            (_, other) => {
                let refusal = refused(other)?;
                let is_root = lane.directory.path.is_empty();
                let path = paths::join(&self.target, &lane.directory.path);
                match (step, refusal.code) {
                    (Step::ReadDirectory, StatusCode::Eof) => {}
                    // A dry run has not created the target.
                    (Step::OpenDirectory, StatusCode::NoSuchFile) if is_root && self.is_dry => {}
                    _ => cx.report.note(refusal.problem("list", &path)),
                }
                if step == Step::OpenDirectory {
                    self.lanes[slot] = None;
                } else {
                    cx.requests.send(tag(Step::Close), &Request::Close { handle: &handle });
                }
                return Ok(());
            }
        };
        cx.requests.send(tag(Step::ReadDirectory), &Request::Readdir { handle: &next });
        if let Some(Some(lane)) = self.lanes.get_mut(slot) {
            lane.handle = next;
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), TransferProblem> {
        self.names += 1;
        if self.names > limits::PRUNE_NAMES {
            return Err(self.too_much());
        }
        Ok(())
    }

    /// Decides about a name in a directory below the target.
    fn name(
        &mut self,
        below: &[u8],
        is_extra: bool,
        name: &[u8],
        attrs: &Attrs,
    ) -> Result<(), TransferProblem> {
        self.count()?;
        let Some(name) = entry(name)? else { return Ok(()) };
        let path = if below.is_empty() { name.to_vec() } else { paths::join(below, name) };
        let kind = attrs.kind().ok_or(TransferProblem::Unsupported {
            what: "kinds of files in its directories",
            advice: "copy without deleting",
        })?;
        let is_directory = kind == FileKind::Directory;
        let wanted = if is_extra { None } else { self.wanted(&path) };
        match wanted {
            Some(entry) if is_directory && entry.kind == EntryKind::Directory => {
                self.found += 1;
                if self.found > self.listing.entries.len() {
                    return Err(TransferProblem::Protocol("a directory has the same name twice".to_owned()));
                }
                self.waiting.push(Directory { path, is_extra: false });
            }
            Some(_) => {}
            None if !is_extra && paths::is_temporary(name) => {}
            None => {
                self.bytes += path.len() + mem::size_of::<Extra>();
                if self.bytes > limits::PRUNE_BYTES || depth(&path) > limits::TRANSFER_DEPTH {
                    return Err(self.too_much());
                }
                if is_directory {
                    self.waiting.push(Directory { path: path.clone(), is_extra: true });
                }
                self.extras.push(Extra { path, is_directory });
            }
        }
        Ok(())
    }

    fn too_much(&self) -> TransferProblem {
        let path = RemotePath::new(&self.target);
        let what =
            "too much is in its directories to compare them; delete what is not needed first".to_owned();
        TransferProblem::Limit { path, what }
    }

    /// The entry of the source with this path. Entries are in the order of their names, and those
    /// in a directory follow it.
    fn wanted(&self, path: &[u8]) -> Option<&Entry> {
        let found = self.listing.entries.binary_search_by(|entry| names(&entry.path).cmp(names(path)));
        found.ok().and_then(|at| self.listing.entries.get(at))
    }
}

fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}

fn depth(path: &[u8]) -> usize {
    names(path).count()
}
