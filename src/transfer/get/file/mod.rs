//! One file of a get: from the host to its part file, and to its name.

mod read;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use super::options::Settings;
use crate::error::{LocalProblem, RemotePath, TransferProblem};
use crate::sftp::{Attrs, OpenFlags, Reply, Request, StatusCode};
use crate::transfer::local::{Begun, FileAnswer, FileJob, HostPath, NewFile, Part, Target};
use crate::transfer::reads::Reads;
use crate::transfer::replies::refused;
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

/// One file on its way from a host.
#[derive(Debug)]
pub(super) struct FileGet {
    slot: u32,
    settings: Settings,
    /// The path on the host.
    remote: Vec<u8>,
    state: FileState,
    /// What was known about the file when it was found.
    listed: NewFile,
    /// What is known since it was opened.
    opened: NewFile,
    /// Whether the host says how long the file is. If not, as below `/proc`, it is read to its end.
    is_sized: bool,
    handle: Option<Vec<u8>>,
    part: Option<Arc<Part>>,
    reads: Reads,
    /// What has arrived since the last visit.
    pieces: Vec<(u64, Vec<u8>)>,
    /// The writes on their way, by number: the first offset, and the number of bytes.
    writes: BTreeMap<u32, (u64, usize)>,
    next_write: u32,
    /// How many requests wait for their answers, not counting those to close.
    awaited: usize,
    /// Whether the answer to a file job other than a write is awaited.
    awaits_job: bool,
    problem: Option<TransferProblem>,
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileState {
    /// The part file is created.
    Beginning,
    Opening,
    /// The size is asked for.
    Measuring,
    Reading,
    /// Whether the file has changed is asked for, and the last bytes are written.
    Checking,
    /// The copy gets its name.
    Finishing,
    /// The file has failed. Answers are awaited, and then the part file is removed.
    Discarding,
    Done,
}

/// Every legal transition and its cause.
#[cfg(test)]
pub(super) const EDGES: &[(FileState, FileState, &str)] = &[
    (FileState::Beginning, FileState::Opening, "part file created"),
    (FileState::Beginning, FileState::Done, "the same is there"),
    (FileState::Opening, FileState::Measuring, "opened"),
    (FileState::Measuring, FileState::Reading, "size known"),
    (FileState::Reading, FileState::Checking, "everything arrived, or end reached"),
    (FileState::Checking, FileState::Finishing, "unchanged, and everything written"),
    (FileState::Finishing, FileState::Done, "renamed"),
    (FileState::Beginning, FileState::Discarding, "failed"),
    (FileState::Opening, FileState::Discarding, "failed"),
    (FileState::Measuring, FileState::Discarding, "failed"),
    (FileState::Reading, FileState::Discarding, "failed"),
    (FileState::Checking, FileState::Discarding, "failed"),
    (FileState::Finishing, FileState::Discarding, "failed"),
    (FileState::Discarding, FileState::Done, "nothing is awaited"),
];

/// The tags of file jobs: the slot, and a number that distinguishes writes.
pub(super) const TAGS_PER_SLOT: u32 = 16;

/// What the attributes say about a file.
fn new_file(attrs: &Attrs) -> NewFile {
    NewFile { size: attrs.size.unwrap_or(0), mode: attrs.permissions(), times: attrs.times }
}

impl FileGet {
    /// Begins with the part file.
    pub(super) fn start(
        slot: u32,
        settings: Settings,
        remote: Vec<u8>,
        attrs: &Attrs,
        (target, path): (Arc<Target>, HostPath),
        cx: &mut TaskCx<'_>,
    ) -> Self {
        let listed = new_file(attrs);
        cx.report.done.total = cx.report.done.total.saturating_add(listed.size);
        cx.jobs.push(FileJob::Begin { target, tag: slot, path, file: listed, asker: cx.id });
        Self {
            slot,
            settings,
            remote,
            state: FileState::Beginning,
            listed,
            opened: listed,
            is_sized: true,
            handle: None,
            part: None,
            reads: Reads::new(),
            pieces: Vec::new(),
            writes: BTreeMap::new(),
            next_write: 0,
            awaited: 0,
            awaits_job: true,
            problem: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == FileState::Done
    }

    pub(super) fn take_problem(&mut self) -> Option<TransferProblem> {
        self.problem.take()
    }

    /// How many bytes wait to be written.
    pub(super) fn unwritten(&self) -> usize {
        let pieces: usize = self.pieces.iter().map(|(_, piece)| piece.len()).sum();
        pieces + self.writes.values().map(|(_, bytes)| bytes).sum::<usize>()
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

    /// Makes what requests and jobs there is room for.
    pub(super) fn advance(&mut self, cx: &mut TaskCx<'_>) {
        if self.state == FileState::Reading {
            self.ask(cx);
        }
        self.flush(cx);
        self.settle(cx);
    }

    /// Writes what has arrived.
    fn flush(&mut self, cx: &mut TaskCx<'_>) {
        let Some(part) = self.part.clone().filter(|_| self.state != FileState::Discarding) else { return };
        let pieces = mem::take(&mut self.pieces);
        let Some(first) = pieces.iter().map(|(offset, _)| *offset).min() else { return };
        let bytes = pieces.iter().map(|(_, piece)| piece.len()).sum();
        let number = self.next_write;
        self.next_write = (number + 1) % (u32::MAX / TAGS_PER_SLOT);
        self.writes.insert(number, (first, bytes));
        let tag = number * TAGS_PER_SLOT + self.slot;
        cx.jobs.push(FileJob::Write { part, tag, pieces, asker: cx.id });
    }

    /// Goes on if nothing is awaited in the current state.
    fn settle(&mut self, cx: &mut TaskCx<'_>) {
        let is_written = self.pieces.is_empty() && self.writes.is_empty();
        let has_arrived = self.reads.is_complete();
        // Before the size that the host has given.
        if let Some(end) = self.reads.end().filter(|_| has_arrived && self.state == FileState::Reading) {
            self.changed(end);
        }
        match self.state {
            FileState::Reading if self.is_sized && has_arrived && self.reads.next() >= self.opened.size => {
                self.enter(FileState::Checking);
                self.measure(cx);
            }
            FileState::Checking if self.awaited == 0 && is_written => self.finish(cx),
            FileState::Discarding if self.awaited == 0 && !self.awaits_job && self.writes.is_empty() => {
                self.abandon(cx);
                self.close(cx);
                self.enter(FileState::Done);
            }
            _ => {}
        }
    }

    fn measure(&mut self, cx: &mut TaskCx<'_>) {
        let Some(handle) = self.handle.take() else { return };
        self.send(Step::Measure, &Request::Fstat { handle: &handle }, cx);
        self.handle = Some(handle);
    }

    fn finish(&mut self, cx: &mut TaskCx<'_>) {
        let Some(part) = self.part.clone() else { return };
        self.enter(FileState::Finishing);
        self.awaits_job = true;
        cx.jobs.push(FileJob::Finish { part, tag: self.slot, file: self.opened, asker: cx.id });
        self.close(cx);
    }

    fn close(&mut self, cx: &mut TaskCx<'_>) {
        if let Some(handle) = self.handle.take() {
            let tag = Tag { slot: self.slot, step: Step::Close };
            cx.requests.send(tag, &Request::Close { handle: &handle });
        }
    }

    /// Gives the part file up. It is kept for another try if its contents are right as far as they
    /// go.
    pub(super) fn abandon(&mut self, cx: &mut TaskCx<'_>) {
        let is_right = !matches!(self.problem, Some(TransferProblem::RemoteFileChanged { .. }));
        if let Some(part) = self.part.take() {
            let keep = self.settings.target.resume && is_right;
            cx.jobs.push(FileJob::Abandon { part, keep, asker: cx.id });
        }
    }

    /// Gives the file up. `settle` ends it.
    fn fail(&mut self, problem: TransferProblem) {
        if !matches!(self.state, FileState::Discarding | FileState::Done) {
            self.problem = Some(problem);
            self.enter(FileState::Discarding);
            self.pieces = Vec::new();
        }
    }

    fn refuse(&mut self, action: &'static str, reply: &Reply<'_>) -> Result<(), TransferProblem> {
        let problem = refused(reply)?.problem(action, &self.remote);
        self.fail(problem);
        Ok(())
    }

    fn changed(&mut self, found: u64) {
        let (path, expected) = (RemotePath::new(&self.remote), self.opened.size);
        self.fail(TransferProblem::RemoteFileChanged { path, expected, found });
    }

    /// Handles the answer to a request.
    pub(super) fn reply(
        &mut self,
        step: Step,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        if step == Step::Close {
            return Ok(());
        }
        self.awaited = self.awaited.saturating_sub(1);
        if let Step::Read { offset, .. } = step {
            self.reads.answered(offset);
        }
        match (step, reply) {
            (Step::Open, Reply::Handle { handle, .. }) => {
                self.handle = Some(handle.to_vec());
                if self.state == FileState::Opening {
                    self.enter(FileState::Measuring);
                    self.measure(cx);
                }
            }
            _ if matches!(self.state, FileState::Discarding | FileState::Done) => {}
            (Step::Open, other) => self.refuse("open", other)?,
            (Step::Measure, Reply::Attrs { attrs, .. }) if self.state == FileState::Measuring => {
                self.measured(attrs, cx)?;
            }
            (Step::Measure, Reply::Attrs { attrs, .. }) => self.check(&new_file(attrs)),
            (Step::Measure, other) => self.refuse("look at", other)?,
            (Step::Read { offset, len }, Reply::Data { bytes, .. }) => self.data((offset, len), bytes, cx)?,
            (Step::Read { offset, .. }, Reply::Status { code: StatusCode::Eof, .. }) => {
                self.ended(offset, cx)
            }
            (Step::Read { .. }, other) => self.refuse("read", other)?,
            _ => {}
        }
        Ok(())
    }

    /// Handles the answer to a file job.
    pub(super) fn answer(&mut self, answer: FileAnswer, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        match answer {
            FileAnswer::Written { tag, bytes, result } => {
                self.writes.remove(&(tag / TAGS_PER_SLOT));
                match result {
                    Ok(()) => cx.report.done.bytes += bytes as u64,
                    Err(problem) => return self.fail_here(problem),
                }
            }
            FileAnswer::Begun { result, .. } => {
                self.awaits_job = false;
                return self.begun(result, cx);
            }
            FileAnswer::Finished { result, .. } => {
                self.awaits_job = false;
                self.part = None;
                if let Err(problem) = result {
                    return self.fail_here(problem);
                }
                cx.report.done.files += 1;
                self.enter(FileState::Done);
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives the file up because of a problem on this machine. If the others would have it too, all
    /// of them are.
    fn fail_here(&mut self, problem: LocalProblem) -> Result<(), TransferProblem> {
        if problem.is_of_disk() {
            return Err(problem.into());
        }
        self.fail(problem.into());
        Ok(())
    }

    fn begun(
        &mut self,
        result: Result<Begun, LocalProblem>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        let total = &mut cx.report.done.total;
        match result {
            Ok(Begun::Same) => {
                cx.report.done.skipped += 1;
                *total = total.saturating_sub(self.listed.size);
                self.enter(FileState::Done);
            }
            Ok(Begun::Part { part, resume_at }) => {
                self.part = Some(part);
                self.reads.skip_to(resume_at);
                *total = total.saturating_sub(resume_at);
                self.enter(FileState::Opening);
                let path = mem::take(&mut self.remote);
                let request = Request::Open { path: &path, flags: OpenFlags::READ, attrs: Attrs::default() };
                self.send(Step::Open, &request, cx);
                self.remote = path;
            }
            Err(problem) => return self.fail_here(problem),
        }
        Ok(())
    }
}
