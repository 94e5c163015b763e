//! A put on one host: first the directories, then the files, several at a time.

use std::sync::Arc;

use super::file::{FilePut, times};
use super::options::Placement;
use super::{PutPlan, paths};
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::sftp::{Attrs, FileKind, Reply, Request, StatusCode};
use crate::transfer::errand::ErrandResult;
use crate::transfer::local::{Entry, EntryKind, FileAnswer, FileJob, Listing, Reader};
use crate::transfer::replies::{Refusal, done, refused};
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::{Task, TaskCx};

/// The slot of requests about the target itself. Those of files have lower slots, and those of
/// directories and links begin at [`FIRST_ENTRY`].
const TARGET: u32 = u32::MAX;

/// The slot of the first entry of the listing.
const FIRST_ENTRY: u32 = limits::FILES_AT_ONCE as u32;

/// A put on one host.
#[derive(Debug)]
pub(in crate::transfer) struct PutTask {
    plan: Arc<PutPlan>,
    /// What is sent. `None` until the put begins.
    reader: Option<Reader>,
    listing: Option<Arc<Listing>>,
    /// The depth of the innermost directories; `None` if there are none.
    depth: Option<usize>,
    state: PutState,
    /// The target on the host.
    target: Vec<u8>,
    /// The position in the listing that is looked at next.
    next: usize,
    /// The files on their way, by slot.
    files: [Option<Box<FilePut>>; limits::FILES_AT_ONCE],
    /// How many requests that do not belong to a file wait for their answers.
    awaited: usize,
    /// The temporary files that could not be removed.
    left: Vec<RemotePath>,
}

/// How far a put is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PutState {
    New,
    /// The local files are listed.
    Listing,
    /// Whether the target is a directory is asked for.
    Placing,
    /// The directories of this depth are created.
    Directories {
        depth: usize,
    },
    /// Files and links are sent.
    Files,
    /// The directories get their modes and times.
    Attributes,
    Done,
    /// The put has failed or was cancelled.
    Abandoned,
}

impl PutTask {
    pub(in crate::transfer) fn new(plan: Arc<PutPlan>) -> Self {
        let target = plan.remote.clone();
        Self {
            plan,
            reader: None,
            listing: None,
            depth: None,
            state: PutState::New,
            target,
            next: 0,
            files: Default::default(),
            awaited: 0,
            left: Vec::new(),
        }
    }

    fn send(&mut self, slot: u32, step: Step, request: &Request<'_>, cx: &mut TaskCx<'_>) {
        cx.requests.send(Tag { slot, step }, request);
        self.awaited += 1;
    }

    fn listed(&mut self, listing: Arc<Listing>, cx: &mut TaskCx<'_>) {
        let is_directory = listing.entries.first().is_some_and(|root| root.kind == EntryKind::Directory);
        cx.report.is_single = !is_directory;
        cx.report.done.total = listing.bytes;
        let directories = listing.entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
        self.depth = directories.map(Entry::depth).max();
        self.listing = Some(listing);
        match self.plan.settings.placement {
            Placement::Exact => self.place(false, cx),
            Placement::Into => self.place(true, cx),
            Placement::Auto if self.target.ends_with(b"/") => self.place(true, cx),
            Placement::Auto => {
                self.state = PutState::Placing;
                let target = self.target.clone();
                self.send(TARGET, Step::Look, &Request::Stat { path: &target }, cx);
            }
        }
    }

    /// Fixes the target, and creates the directories above a target that is a directory.
    fn place(&mut self, is_directory: bool, cx: &mut TaskCx<'_>) {
        let target = paths::trim(&self.target);
        self.target = if is_directory { paths::join(target, &self.plan.name) } else { target.to_vec() };
        self.state = PutState::Directories { depth: 0 };
        if self.depth.is_some() && self.plan.settings.create_parents {
            for path in paths::parents(&self.target) {
                let request = Request::Mkdir { path: &path, attrs: Attrs::default() };
                self.send(TARGET, Step::MakeDirectory, &request, cx);
            }
        }
    }

    /// The path of an entry on the host.
    fn path(&self, entry: &[u8]) -> Vec<u8> {
        paths::join(&self.target, entry)
    }

    /// Creates directories. Those of one depth are created together, because all of them are in
    /// directories that are there.
    fn make_directories(&mut self, depth: usize, cx: &mut TaskCx<'_>) {
        let Some(listing) = self.listing.clone() else { return };
        while let Some(entry) = listing.entries.get(self.next) {
            if entry.kind == EntryKind::Directory && entry.depth() == depth {
                if !cx.requests.has_room() {
                    return;
                }
                // Others may look into a directory only once it is complete.
                let attrs = Attrs { mode: Some(0o700), ..Attrs::default() };
                let path = self.path(&entry.path);
                let slot = FIRST_ENTRY + self.next as u32;
                self.send(slot, Step::MakeDirectory, &Request::Mkdir { path: &path, attrs }, cx);
            }
            self.next += 1;
        }
        if self.awaited == 0 {
            self.next = 0;
            let is_last = self.depth.is_none_or(|deepest| depth >= deepest);
            self.state = if is_last { PutState::Files } else { PutState::Directories { depth: depth + 1 } };
        }
    }

    /// Sends files and links, as far as there is room.
    fn send_files(&mut self, cx: &mut TaskCx<'_>) {
        let Some(listing) = self.listing.clone() else { return };
        if let Some(reader) = &self.reader {
            self.files.iter_mut().flatten().for_each(|file| file.advance(reader, cx));
        }
        self.take_done(cx);
        while let Some(entry) = listing.entries.get(self.next) {
            if !cx.requests.has_room() {
                return;
            }
            let path = self.path(&entry.path);
            match &entry.kind {
                EntryKind::File { .. } => {
                    let Some(slot) = self.files.iter().position(Option::is_none) else { return };
                    let mut file = FilePut::new(slot as u32, &self.plan, (self.next, entry), path);
                    file.start(cx);
                    self.files[slot] = Some(Box::new(file));
                }
                EntryKind::Symlink { target } => {
                    let slot = FIRST_ENTRY + self.next as u32;
                    self.send(slot, Step::MakeLink, &Request::Symlink { target, link: &path }, cx);
                }
                EntryKind::Directory => {}
            }
            self.next += 1;
        }
        if self.awaited == 0 && self.files.iter().all(Option::is_none) {
            self.state = PutState::Attributes;
            self.next = listing.entries.len();
        }
    }

    /// Forgets the files that are done.
    fn take_done(&mut self, cx: &mut TaskCx<'_>) {
        for place in &mut self.files {
            if let Some(file) = place.as_mut().filter(|file| file.is_done()) {
                if let Some(problem) = file.take_problem() {
                    cx.report.note(problem);
                }
                self.left.extend(file.left_over());
                *place = None;
            }
        }
    }

    /// Gives the directories their modes and times, the innermost first, because a directory that
    /// nobody may write to takes no more changes.
    fn set_attributes(&mut self, cx: &mut TaskCx<'_>) {
        let Some(listing) = self.listing.clone() else { return };
        while self.next > 0 {
            if !cx.requests.has_room() {
                return;
            }
            self.next -= 1;
            let entry = &listing.entries[self.next];
            if entry.kind != EntryKind::Directory {
                continue;
            }
            let times = times(entry).filter(|_| self.plan.settings.keep_times);
            let attrs = Attrs { mode: Some(entry.mode & 0o7777), times, ..Attrs::default() };
            let path = self.path(&entry.path);
            let slot = FIRST_ENTRY + self.next as u32;
            self.send(slot, Step::SetAttributes, &Request::Setstat { path: &path, attrs }, cx);
        }
        if self.awaited == 0 {
            self.state = PutState::Done;
        }
    }

    /// Handles an answer about a directory, a link, or the target.
    fn reply_to_entry(
        &mut self,
        Tag { slot, step }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        self.awaited = self.awaited.saturating_sub(1);
        if self.state == PutState::Abandoned {
            return Ok(());
        }
        let entry = self.entry_path(slot);
        match step {
            Step::Look if slot == TARGET => {
                let is_directory = match reply {
                    Reply::Attrs { attrs, .. } => attrs.kind() == Some(FileKind::Directory),
                    other => {
                        refused(other)?;
                        false
                    }
                };
                self.place(is_directory, cx);
            }
            // The directories above the target are mostly there. If one is missing, the next
            // request fails.
            Step::MakeDirectory if slot == TARGET => {}
            Step::MakeDirectory => match done(reply)? {
                Ok(()) => cx.report.done.directories += 1,
                // Version 3 has no code for a directory that is there.
                Err(refusal) if refusal.code == StatusCode::Failure => {
                    self.send(slot, Step::Look, &Request::Stat { path: &entry }, cx);
                }
                Err(refusal) => return Err(refusal.problem("create the directory", &entry)),
            },
            Step::Look => match reply {
                Reply::Attrs { attrs, .. } if attrs.kind() == Some(FileKind::Directory) => {}
                Reply::Attrs { .. } => {
                    let refusal = Refusal::failure("; something else is in its place");
                    return Err(refusal.problem("create the directory", &entry));
                }
                other => return Err(refused(other)?.problem("create the directory", &entry)),
            },
            Step::MakeLink => match done(reply)? {
                Ok(()) => cx.report.done.links += 1,
                // Version 3 cannot replace a link.
                Err(_) => self.send(slot, Step::Replace, &Request::Remove { path: &entry }, cx),
            },
            Step::Replace => {
                let target = self.link_target(slot);
                match done(reply)? {
                    Ok(()) => {
                        let request = Request::Symlink { target: &target, link: &entry };
                        self.send(slot, Step::Rename, &request, cx);
                    }
                    Err(refusal) => cx.report.note(refusal.problem("create the link", &entry)),
                }
            }
            Step::Rename => match done(reply)? {
                Ok(()) => cx.report.done.links += 1,
                Err(refusal) => cx.report.note(refusal.problem("create the link", &entry)),
            },
            Step::SetAttributes => {
                if let Err(refusal) = done(reply)? {
                    cx.report.note(refusal.problem("set the mode or the times of", &entry));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        let index = slot.checked_sub(FIRST_ENTRY)?;
        self.listing.as_ref()?.entries.get(index as usize)
    }

    fn entry_path(&self, slot: u32) -> Vec<u8> {
        self.entry(slot).map_or_else(|| self.target.clone(), |entry| self.path(&entry.path))
    }

    fn link_target(&self, slot: u32) -> Vec<u8> {
        match self.entry(slot).map(|entry| &entry.kind) {
            Some(EntryKind::Symlink { target }) => target.clone(),
            _ => Vec::new(),
        }
    }

    fn file(&mut self, index: usize) -> Option<&mut Box<FilePut>> {
        self.files.iter_mut().flatten().find(|file| file.index == index)
    }
}

impl Task for PutTask {
    fn advance(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        loop {
            let before = self.state;
            match self.state {
                PutState::New => {
                    self.state = PutState::Listing;
                    self.reader = Some(self.plan.source.reader(cx.id));
                    cx.jobs.push(FileJob::List { source: self.plan.source.clone(), asker: cx.id });
                }
                PutState::Directories { depth } => self.make_directories(depth, cx),
                PutState::Files => self.send_files(cx),
                PutState::Attributes => self.set_attributes(cx),
                PutState::Listing | PutState::Placing | PutState::Done | PutState::Abandoned => {}
            }
            if self.state == before {
                return Ok(());
            }
        }
    }

    fn reply(&mut self, tag: Tag, reply: Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        match self.files.get_mut(tag.slot as usize) {
            Some(Some(file)) => {
                file.reply(tag.step, reply, cx)?;
                self.take_done(cx);
                Ok(())
            }
            Some(None) => Ok(()),
            None => self.reply_to_entry(tag, &reply, cx),
        }
    }

    fn answer(&mut self, answer: FileAnswer, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        match answer {
            FileAnswer::Listed(listed) if self.state == PutState::Listing => self.listed(listed?, cx),
            FileAnswer::Chunk { file, offset, bytes } => {
                if let Some(file) = self.file(file) {
                    file.chunk(offset, bytes, cx);
                }
            }
            FileAnswer::Hashed { file, result } => {
                if let Some(file) = self.file(file) {
                    file.hashed(result, cx);
                }
            }
            FileAnswer::Checked { file, result } => {
                if let Some(file) = self.file(file) {
                    file.checked(result, cx);
                }
            }
            _ => {}
        }
        self.take_done(cx);
        Ok(())
    }

    fn ran(&mut self, result: ErrandResult, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        if let Some(Some(file)) = self.files.get_mut(result.slot as usize) {
            file.ran(&result, cx);
        }
        self.take_done(cx);
        Ok(())
    }

    fn abandon(&mut self, cx: &mut TaskCx<'_>) {
        self.state = PutState::Abandoned;
        self.files.iter_mut().flatten().for_each(|file| file.abandon(cx));
        self.take_done(cx);
    }

    fn is_done(&self) -> bool {
        match self.state {
            PutState::Done => true,
            PutState::Abandoned => self.awaited == 0 && self.files.iter().all(Option::is_none),
            _ => false,
        }
    }

    fn left_over(&self) -> Vec<RemotePath> {
        let present = self.files.iter().flatten().filter_map(|file| file.left_over());
        self.left.iter().cloned().chain(present).collect()
    }
}
