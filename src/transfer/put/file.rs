//! One file of a put: from its temporary name to its target.

use std::mem;
use std::sync::Arc;

use super::options::Settings;
use super::paths;
use crate::error::{LocalProblem, RemotePath, TransferProblem};
use crate::limits;
use crate::sftp::{Attrs, OpenFlags, Reply, Request, StatusCode, Times};
use crate::transfer::local::{Entry, FileJob, Reader};
use crate::transfer::replies::{Refusal, done, refused};
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

/// One file on its way to a host.
#[derive(Debug)]
pub(super) struct FilePut {
    slot: u32,
    /// The position of the file in the listing of the source.
    pub(super) index: usize,
    settings: Settings,
    target: Vec<u8>,
    /// The path that is written: a temporary one, or the target.
    path: Vec<u8>,
    /// The number of the temporary name.
    number: u32,
    state: FileState,
    handle: Vec<u8>,
    attrs: Attrs,
    size: u64,
    /// Everything before this offset was sent.
    next: u64,
    /// How many requests of this file wait for their answers.
    awaited: usize,
    awaits_chunk: bool,
    awaits_check: bool,
    /// Whether the temporary file may exist on the host.
    may_exist: bool,
    /// Temporary files of other puts, with the times at which they were last written.
    others: Vec<(Vec<u8>, u32)>,
    /// The time on the host when the file was written.
    written_at: Option<u32>,
    has_made_parents: bool,
    /// The old target was removed, so the copy must not be.
    keeps_copy: bool,
    problem: Option<TransferProblem>,
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileState {
    New,
    /// The target is compared with the local file.
    Comparing,
    /// The temporary file, or the target, is created.
    Opening,
    /// The temporary name seems to be taken.
    Looking,
    /// The directories above the target are created.
    MakingParents,
    /// The contents are sent.
    Writing,
    /// The local file is checked for changes, and the size of the copy is asked for.
    Checking,
    /// The copy gets its mode and times.
    Setting,
    /// The copy is written to the host's disk.
    Syncing,
    Closing,
    /// The copy is renamed to its target.
    Renaming,
    /// The old target is removed, because the server cannot replace it.
    Replacing,
    /// Temporary files that other puts have left are removed.
    Tidying,
    /// The file has failed, and its temporary file is removed.
    Discarding,
    Done,
}

/// Every legal transition and its cause.
#[cfg(test)]
pub(super) const EDGES: &[(FileState, FileState, &str)] = &[
    (FileState::New, FileState::Comparing, "files that are the same are skipped"),
    (FileState::New, FileState::Opening, "no file is skipped"),
    (FileState::Comparing, FileState::Opening, "not the same"),
    (FileState::Comparing, FileState::Done, "the same"),
    (FileState::Opening, FileState::Writing, "opened"),
    (FileState::Opening, FileState::Looking, "temporary file not created"),
    (FileState::Opening, FileState::MakingParents, "no such directory"),
    (FileState::MakingParents, FileState::Opening, "directories made"),
    (FileState::Looking, FileState::Opening, "name taken, next name"),
    (FileState::Writing, FileState::Checking, "everything written"),
    (FileState::Checking, FileState::Setting, "local file unchanged, size as sent"),
    (FileState::Setting, FileState::Syncing, "attributes set, to be synced"),
    (FileState::Setting, FileState::Closing, "attributes set"),
    (FileState::Syncing, FileState::Closing, "synced"),
    (FileState::Closing, FileState::Renaming, "closed"),
    (FileState::Closing, FileState::Done, "closed, written in place"),
    (FileState::Renaming, FileState::Replacing, "target in the way of a plain rename"),
    (FileState::Replacing, FileState::Renaming, "old target removed"),
    (FileState::Renaming, FileState::Tidying, "renamed, other temporary files found"),
    (FileState::Renaming, FileState::Done, "renamed"),
    (FileState::Tidying, FileState::Done, "removed"),
    (FileState::Comparing, FileState::Discarding, "failed"),
    (FileState::Opening, FileState::Discarding, "failed"),
    (FileState::Looking, FileState::Discarding, "failed"),
    (FileState::MakingParents, FileState::Discarding, "failed"),
    (FileState::Writing, FileState::Discarding, "failed"),
    (FileState::Checking, FileState::Discarding, "failed"),
    (FileState::Setting, FileState::Discarding, "failed"),
    (FileState::Syncing, FileState::Discarding, "failed"),
    (FileState::Closing, FileState::Discarding, "failed"),
    (FileState::Renaming, FileState::Discarding, "failed"),
    (FileState::Replacing, FileState::Discarding, "failed"),
    (FileState::Tidying, FileState::Discarding, "cancelled"),
    (FileState::Discarding, FileState::Done, "removed"),
];

/// The times of an entry as a host takes them.
pub(super) fn times(entry: &Entry) -> Option<Times> {
    entry.times
}

impl FilePut {
    pub(super) fn new(
        slot: u32,
        (index, entry): (usize, &Entry),
        target: Vec<u8>,
        settings: Settings,
    ) -> Self {
        let mode = settings.mode.unwrap_or(entry.mode) & 0o7777;
        let times = times(entry).filter(|_| settings.keep_times);
        Self {
            slot,
            index,
            settings,
            path: if settings.in_place { target.clone() } else { paths::temporary(&target, 1) },
            target,
            number: 1,
            state: FileState::New,
            handle: Vec::new(),
            attrs: Attrs { mode: Some(mode), times, ..Attrs::default() },
            size: entry.size(),
            next: 0,
            awaited: 0,
            awaits_chunk: false,
            awaits_check: false,
            may_exist: false,
            others: Vec::new(),
            written_at: None,
            has_made_parents: false,
            keeps_copy: false,
            problem: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == FileState::Done
    }

    /// Whether the file failed.
    pub(super) fn take_problem(&mut self) -> Option<TransferProblem> {
        self.problem.take()
    }

    /// The temporary file, if it may exist on the host.
    pub(super) fn left_over(&self) -> Option<RemotePath> {
        self.may_exist.then(|| RemotePath::new(&self.path))
    }

    fn enter(&mut self, next: FileState) {
        #[cfg(test)]
        assert!(
            EDGES.iter().any(|(from, to, _)| (*from, *to) == (self.state, next)),
            "{:?} -> {next:?}",
            self.state
        );
        self.state = next;
    }

    fn send(&mut self, step: Step, request: &Request<'_>, cx: &mut TaskCx<'_>) {
        cx.requests.send(Tag { slot: self.slot, step }, request);
        self.awaited += 1;
    }

    pub(super) fn start(&mut self, cx: &mut TaskCx<'_>) {
        if self.settings.skip_same {
            self.enter(FileState::Comparing);
            let target = mem::take(&mut self.target);
            self.send(Step::Look, &Request::Lstat { path: &target }, cx);
            self.target = target;
        } else {
            self.open(cx);
        }
    }

    fn open(&mut self, cx: &mut TaskCx<'_>) {
        self.enter(FileState::Opening);
        let how = if self.settings.in_place { OpenFlags::TRUNCATE } else { OpenFlags::EXCLUSIVE };
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | how;
        // Nobody else may read a copy before it has its own mode.
        let mode = if self.settings.in_place { self.attrs.mode } else { Some(0o600) };
        let path = mem::take(&mut self.path);
        let attrs = Attrs { mode, ..Attrs::default() };
        self.send(Step::Open, &Request::Open { path: &path, flags, attrs }, cx);
        self.path = path;
        self.may_exist = !self.settings.in_place;
    }

    /// Sends what there is room for.
    pub(super) fn advance(&mut self, reader: &Reader, cx: &mut TaskCx<'_>) {
        while self.state == FileState::Writing && !self.awaits_chunk && self.next < self.size {
            if !cx.requests.has_room() {
                return;
            }
            match reader.chunk(self.index, self.next, cx.jobs) {
                Some(chunk) => self.write(&chunk, cx),
                None => self.awaits_chunk = true,
            }
        }
        self.check_if_written(reader, cx);
    }

    /// Sends a chunk, in as many writes as the server needs.
    fn write(&mut self, chunk: &Arc<[u8]>, cx: &mut TaskCx<'_>) {
        let max = cx.requests.max_write as usize;
        let mut start = 0;
        while start < chunk.len() {
            let end = chunk.len().min(start + max);
            cx.requests.write(self.slot, &self.handle, self.next, chunk.clone(), start..end);
            self.awaited += 1;
            self.next += (end - start) as u64;
            start = end;
        }
    }

    fn check_if_written(&mut self, reader: &Reader, cx: &mut TaskCx<'_>) {
        let is_written = self.next >= self.size && self.awaited == 0;
        if self.state == FileState::Writing && is_written {
            self.enter(FileState::Checking);
            self.awaits_check = true;
            cx.jobs.push(FileJob::Check { source: reader.source().clone(), file: self.index, asker: cx.id });
            let handle = mem::take(&mut self.handle);
            self.send(Step::Measure, &Request::Fstat { handle: &handle }, cx);
            self.handle = handle;
        }
    }

    /// Handles a chunk of the local file.
    pub(super) fn chunk(&mut self, offset: u64, read: Result<Arc<[u8]>, LocalProblem>, cx: &mut TaskCx<'_>) {
        if !self.awaits_chunk || offset != self.next {
            return;
        }
        self.awaits_chunk = false;
        match read {
            Ok(chunk) if self.state == FileState::Writing => self.write(&chunk, cx),
            Ok(_) => {}
            Err(problem) => self.fail(problem.into(), cx),
        }
    }

    /// Handles the result of the check whether the local file has changed.
    pub(super) fn checked(&mut self, result: Result<(), LocalProblem>, cx: &mut TaskCx<'_>) {
        self.awaits_check = false;
        match result {
            Ok(()) => self.set(cx),
            Err(problem) => self.fail(problem.into(), cx),
        }
    }

    /// Handles the answer to a request.
    pub(super) fn reply(
        &mut self,
        step: Step,
        reply: Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        self.awaited = self.awaited.saturating_sub(1);
        if matches!(self.state, FileState::Discarding | FileState::Done) {
            self.discarded(step, &reply, cx);
            return Ok(());
        }
        match step {
            Step::Look if self.state == FileState::Comparing => self.compared(&reply, cx)?,
            Step::Look => self.looked(&reply, cx)?,
            Step::Open => self.opened(&reply, cx)?,
            Step::MakeDirectory => {
                if self.awaited == 0 {
                    self.open(cx);
                }
            }
            Step::Write { len } => match done(&reply)? {
                Ok(()) => cx.report.done.bytes += u64::from(len),
                Err(refusal) => self.refuse("write", refusal, cx),
            },
            Step::Measure => self.measured(&reply, cx)?,
            Step::SetAttributes => match done(&reply)? {
                Ok(()) => self.sync(cx),
                Err(refusal) => self.refuse("set the mode or the times of", refusal, cx),
            },
            Step::Sync => match done(&reply)? {
                Ok(()) => self.close(cx),
                Err(refusal) => self.refuse("sync", refusal, cx),
            },
            Step::Close => match done(&reply)? {
                Ok(()) => self.closed(cx),
                Err(refusal) => self.refuse("close", refusal, cx),
            },
            Step::Rename | Step::PlainRename => match done(&reply)? {
                Ok(()) => self.renamed(cx),
                Err(_) if step == Step::PlainRename => self.replace(cx),
                Err(refusal) => self.refuse_rename(refusal, cx),
            },
            Step::Replace => match done(&reply)? {
                Ok(()) => {
                    cx.report.done.replaced_in_two_steps += 1;
                    self.keeps_copy = true;
                    self.rename(Step::Rename, cx);
                }
                Err(refusal) => self.refuse_rename(refusal, cx),
            },
            // Other temporary files are removed as a courtesy.
            Step::Discard if self.awaited == 0 => self.enter(FileState::Done),
            _ => {}
        }
        Ok(())
    }

    fn compared(&mut self, reply: &Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let there = match reply {
            Reply::Attrs { attrs, .. } => Some(attrs),
            other => {
                refused(other)?;
                None
            }
        };
        let modified = |attrs: &Attrs| attrs.times.map(|times| times.modified);
        let is_same = there
            .is_some_and(|there| there.size == Some(self.size) && modified(there) == modified(&self.attrs));
        if is_same {
            cx.report.done.skipped += 1;
            cx.report.done.total = cx.report.done.total.saturating_sub(self.size);
            self.enter(FileState::Done);
        } else {
            self.open(cx);
        }
        Ok(())
    }

    fn opened(&mut self, reply: &Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let refusal = match reply {
            Reply::Handle { handle, .. } => {
                self.handle = handle.to_vec();
                self.enter(FileState::Writing);
                return Ok(());
            }
            other => refused(other)?,
        };
        self.may_exist = false;
        match refusal.code {
            StatusCode::NoSuchFile if self.settings.create_parents && !self.has_made_parents => {
                self.has_made_parents = true;
                self.make_parents(refusal, cx);
            }
            // Version 3 has no code for a name that is taken.
            StatusCode::Failure if !self.settings.in_place => {
                self.enter(FileState::Looking);
                let path = mem::take(&mut self.path);
                self.send(Step::Look, &Request::Lstat { path: &path }, cx);
                self.path = path;
            }
            _ => self.refuse("create", refusal, cx),
        }
        Ok(())
    }

    fn make_parents(&mut self, refusal: Refusal, cx: &mut TaskCx<'_>) {
        let parents = paths::parents(&self.target);
        if parents.is_empty() {
            return self.refuse("create", refusal, cx);
        }
        self.enter(FileState::MakingParents);
        for path in &parents {
            self.send(Step::MakeDirectory, &Request::Mkdir { path, attrs: Attrs::default() }, cx);
        }
    }

    /// Handles the answer about a temporary file that could not be created.
    fn looked(&mut self, reply: &Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        match reply {
            Reply::Attrs { attrs, .. } if self.number < limits::TEMPORARY_NAMES => {
                self.number += 1;
                let next = paths::temporary(&self.target, self.number);
                let taken = mem::replace(&mut self.path, next);
                self.others.extend(attrs.times.map(|times| (taken, times.modified)));
                self.open(cx);
            }
            Reply::Attrs { .. } => {
                let text = "all temporary names are taken; remove those that end in .sshoal-*".to_owned();
                self.refuse("create", Refusal { code: StatusCode::Failure, text }, cx);
            }
            other => {
                refused(other)?;
                let text = "is its directory writable?".to_owned();
                self.refuse("create", Refusal { code: StatusCode::Failure, text }, cx);
            }
        }
        Ok(())
    }

    fn measured(&mut self, reply: &Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        match reply {
            Reply::Attrs { attrs, .. } => {
                self.written_at = attrs.times.map(|times| times.modified);
                // A device has no size of its own.
                let found = attrs.size.filter(|size| !self.settings.in_place || *size > 0);
                match found {
                    Some(found) if found != self.size => {
                        let path = RemotePath::new(&self.path);
                        self.fail(TransferProblem::WrongSize { path, expected: self.size, found }, cx);
                    }
                    Some(_) => self.set(cx),
                    None if self.settings.in_place => self.set(cx),
                    None => {
                        let (what, advice) = ("file sizes", "copy by another protocol");
                        self.fail(TransferProblem::Unsupported { what, advice }, cx);
                    }
                }
            }
            other => {
                let refusal = refused(other)?;
                self.refuse("look at", refusal, cx);
            }
        }
        Ok(())
    }

    /// Sets mode and times, once the local file and the size of the copy are checked.
    fn set(&mut self, cx: &mut TaskCx<'_>) {
        if self.state != FileState::Checking || self.awaits_check || self.awaited > 0 {
            return;
        }
        self.enter(FileState::Setting);
        let (handle, attrs) = (mem::take(&mut self.handle), self.attrs);
        self.send(Step::SetAttributes, &Request::Fsetstat { handle: &handle, attrs }, cx);
        self.handle = handle;
    }

    fn sync(&mut self, cx: &mut TaskCx<'_>) {
        if !self.settings.sync {
            return self.close(cx);
        }
        if !cx.requests.extensions.fsync {
            let (what, advice) = ("fsync@openssh.com", "copy without sync");
            return self.fail(TransferProblem::Unsupported { what, advice }, cx);
        }
        self.enter(FileState::Syncing);
        let handle = mem::take(&mut self.handle);
        self.send(Step::Sync, &Request::Fsync { handle: &handle }, cx);
        self.handle = handle;
    }

    fn close(&mut self, cx: &mut TaskCx<'_>) {
        self.enter(FileState::Closing);
        let handle = mem::take(&mut self.handle);
        self.send(Step::Close, &Request::Close { handle: &handle }, cx);
    }

    fn closed(&mut self, cx: &mut TaskCx<'_>) {
        if self.settings.in_place {
            cx.report.done.files += 1;
            return self.enter(FileState::Done);
        }
        let step = if cx.requests.extensions.posix_rename { Step::Rename } else { Step::PlainRename };
        self.rename(step, cx);
    }

    fn rename(&mut self, step: Step, cx: &mut TaskCx<'_>) {
        self.enter(FileState::Renaming);
        let (from, to) = (mem::take(&mut self.path), mem::take(&mut self.target));
        let request = if cx.requests.extensions.posix_rename {
            Request::PosixRename { from: &from, to: &to }
        } else {
            Request::Rename { from: &from, to: &to }
        };
        self.send(step, &request, cx);
        (self.path, self.target) = (from, to);
    }

    fn replace(&mut self, cx: &mut TaskCx<'_>) {
        self.enter(FileState::Replacing);
        let target = mem::take(&mut self.target);
        self.send(Step::Replace, &Request::Remove { path: &target }, cx);
        self.target = target;
    }

    fn renamed(&mut self, cx: &mut TaskCx<'_>) {
        self.may_exist = false;
        cx.report.done.files += 1;
        let now = self.written_at;
        for (path, written) in mem::take(&mut self.others) {
            if now.is_some_and(|now| now.saturating_sub(written) > limits::TEMPORARY_AGE) {
                self.send(Step::Discard, &Request::Remove { path: &path }, cx);
            }
        }
        self.enter(if self.awaited > 0 { FileState::Tidying } else { FileState::Done });
    }

    fn refuse(&mut self, action: &'static str, refusal: Refusal, cx: &mut TaskCx<'_>) {
        self.fail(refusal.problem(action, &self.path), cx);
    }

    fn refuse_rename(&mut self, refusal: Refusal, cx: &mut TaskCx<'_>) {
        self.fail(refusal.problem("rename the copy to", &self.target), cx);
    }

    /// Ends the file with this problem, and removes its temporary file.
    pub(super) fn fail(&mut self, problem: TransferProblem, cx: &mut TaskCx<'_>) {
        if !matches!(self.state, FileState::Discarding | FileState::Done) {
            self.problem.get_or_insert(problem);
            self.discard(cx);
        }
    }

    /// Gives the file up, and removes its temporary file.
    pub(super) fn discard(&mut self, cx: &mut TaskCx<'_>) {
        match self.state {
            FileState::Discarding | FileState::Done => return,
            FileState::New => return self.state = FileState::Done,
            _ => {}
        }
        // What was requested may still succeed, so the file is removed only once that is known.
        self.enter(FileState::Discarding);
        self.awaits_chunk = false;
        if !self.handle.is_empty() {
            let handle = mem::take(&mut self.handle);
            self.send(Step::Close, &Request::Close { handle: &handle }, cx);
        }
        self.discard_path(cx);
    }

    fn discard_path(&mut self, cx: &mut TaskCx<'_>) {
        if self.awaited > 0 {
            return;
        }
        if self.may_exist && !self.keeps_copy {
            let path = mem::take(&mut self.path);
            self.send(Step::Discard, &Request::Remove { path: &path }, cx);
            self.path = path;
        } else {
            self.enter(FileState::Done);
        }
    }

    /// Handles an answer while the file is given up.
    fn discarded(&mut self, step: Step, reply: &Reply<'_>, cx: &mut TaskCx<'_>) {
        match (step, reply) {
            // The file was opened after all.
            (Step::Open, Reply::Handle { handle, .. }) => {
                self.send(Step::Close, &Request::Close { handle }, cx);
            }
            (Step::Open, _) => self.may_exist = false,
            (Step::Rename | Step::PlainRename, Reply::Status { code: StatusCode::Ok, .. }) => {
                self.may_exist = false;
            }
            (Step::Discard, reply) if self.awaited == 0 => {
                let is_gone =
                    matches!(reply, Reply::Status { code: StatusCode::Ok | StatusCode::NoSuchFile, .. });
                self.may_exist &= !is_gone;
                return self.enter(FileState::Done);
            }
            _ => {}
        }
        self.discard_path(cx);
    }
}
