//! A put on one host: first the directories, then the files, several at a time.

mod entries;
mod links;

use std::sync::Arc;

use self::links::LinkOrder;
use super::file::FilePut;
use super::options::Placement;
use super::prune::Prune;
use super::{PutPlan, paths};
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::sftp::{Attrs, Reply, Request};
use crate::transfer::errand::ErrandResult;
use crate::transfer::local::{Entry, EntryKind, FileAnswer, FileJob, Listing, Reader};
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
    /// What deletes the rest, while that is done.
    prune: Option<Box<Prune>>,
    link_order: LinkOrder,
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
    /// What the source does not have is deleted.
    Pruning,
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
            prune: None,
            link_order: LinkOrder::default(),
        }
    }

    fn send(&mut self, slot: u32, step: Step, request: &Request<'_>, cx: &mut TaskCx<'_>) {
        cx.requests.send(Tag { slot, step }, request);
        self.awaited += 1;
    }

    fn listed(&mut self, listing: Arc<Listing>, cx: &mut TaskCx<'_>) {
        let is_directory = listing.entries.first().is_some_and(|root| root.kind == EntryKind::Directory);
        cx.report.is_single = !is_directory;
        cx.report.is_dry_run = self.plan.settings.dry_run;
        cx.report.done.total = listing.bytes;
        if let Some(missing) = &listing.missing {
            cx.report.note_missing(missing);
        }
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
        let settings = &self.plan.settings;
        if self.depth.is_some() && settings.create_parents && !settings.dry_run {
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

    /// Sends files and links, as far as there is room.
    fn send_files(&mut self, cx: &mut TaskCx<'_>) {
        let Some(listing) = self.listing.clone() else { return };
        if let Some(reader) = &self.reader {
            self.files.iter_mut().flatten().for_each(|file| file.advance(reader, cx));
        }
        self.take_done(cx);
        let (is_dry, compares) = (self.plan.settings.dry_run, self.plan.settings.skip_same);
        while let Some(entry) = listing.entries.get(self.next) {
            if !cx.requests.has_room() {
                return;
            }
            let path = self.path(&entry.path);
            match &entry.kind {
                EntryKind::File { size } if is_dry && !compares => {
                    cx.report.done.files += 1;
                    cx.report.done.bytes += size;
                }
                EntryKind::Symlink { .. } if is_dry => cx.report.done.links += 1,
                EntryKind::File { .. } => {
                    let places = &self.files[..cx.requests.max_handles.min(limits::FILES_AT_ONCE)];
                    let Some(slot) = places.iter().position(Option::is_none) else { return };
                    let mut file = FilePut::new(slot as u32, &self.plan, (self.next, entry), path);
                    file.start(cx);
                    self.files[slot] = Some(Box::new(file));
                }
                EntryKind::Symlink { target } => {
                    if !self.make_link(target, &path, cx) {
                        return;
                    }
                }
                EntryKind::Directory => {}
            }
            self.next += 1;
        }
        if self.awaited == 0 && self.files.iter().all(Option::is_none) {
            self.next = listing.entries.len();
            let deletes = self.plan.settings.delete && self.depth.is_some();
            cx.report.deletes_nothing = deletes && cx.report.has_failed();
            if deletes && !cx.report.has_failed() {
                self.prune = Some(Box::new(Prune::new(&self.target, listing, is_dry)));
                self.state = PutState::Pruning;
            } else {
                self.finish_files();
            }
        }
    }

    /// Goes on when all files are sent, and the others are deleted.
    fn finish_files(&mut self) {
        let is_dry = self.plan.settings.dry_run;
        self.state = if is_dry { PutState::Done } else { PutState::Attributes };
    }

    fn delete_others(&mut self, cx: &mut TaskCx<'_>) {
        let Some(prune) = &mut self.prune else { return };
        prune.advance(cx);
        if prune.is_done() {
            self.prune = None;
            self.finish_files();
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

    fn is_abandoned(&self) -> bool {
        self.state == PutState::Abandoned
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
                PutState::Pruning => self.delete_others(cx),
                PutState::Attributes => self.set_attributes(cx),
                PutState::Listing | PutState::Placing | PutState::Done | PutState::Abandoned => {}
            }
            if self.state == before {
                return Ok(());
            }
        }
    }

    fn reply(&mut self, tag: Tag, reply: Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        if let Some(prune) = &mut self.prune {
            return prune.reply(tag, &reply, cx);
        }
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
        self.prune = None;
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
        self.left.iter().cloned().chain(present).chain(self.probe_left_over()).collect()
    }
}
