//! One file of a put: from its temporary name to its target.

mod begin;
mod discard;
mod finish;
mod send;
mod state;

use std::mem;
use std::sync::Arc;

use self::state::FileState;
#[cfg(test)]
pub(super) use self::state::edges_not_taken;
use super::PutPlan;
use super::options::Settings;
use super::paths;
use crate::error::{RemotePath, TransferProblem};
use crate::sftp::{Attrs, Reply, Request};
use crate::transfer::errand::{Errand, quoted};
use crate::transfer::local::{Entry, FileJob, Source};
use crate::transfer::replies::{Refusal, done};
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

/// One file on its way to a host.
#[derive(Debug)]
pub(super) struct FilePut {
    slot: u32,
    plan: Arc<PutPlan>,
    /// The position of the file in the listing of the source.
    pub(super) index: usize,
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
    /// How many requests and commands of this file have not been answered.
    awaited: usize,
    awaits_chunk: bool,
    /// A chunk that was sent up to this position, because there was no room for more.
    chunk: Option<(Arc<[u8]>, usize)>,
    awaits_check: bool,
    /// Whether the temporary file may exist on the host.
    may_exist: bool,
    /// Temporary files of other puts, with the times at which they were last written.
    others: Vec<(Vec<u8>, u32)>,
    /// The time on the host when the file was written.
    written_at: Option<u32>,
    has_made_parents: bool,
    /// Why a directory above the target could not be created.
    parent_refused: Option<Refusal>,
    /// Whether an interrupted copy was looked for.
    has_looked: bool,
    /// The checksums of the local file and of the file on the host.
    sums: (Option<[u8; 32]>, Option<[u8; 32]>),
    /// The temporary file is not removed: the old target is gone, or a later put resumes it.
    keeps_copy: bool,
    problem: Option<TransferProblem>,
}

impl FilePut {
    pub(super) fn new(
        slot: u32,
        plan: &Arc<PutPlan>,
        (index, entry): (usize, &Entry),
        target: Vec<u8>,
    ) -> Self {
        let settings = &plan.settings;
        let mode = settings.mode.unwrap_or(entry.mode) & 0o7777;
        let times = entry.times.filter(|_| settings.keep_times);
        let mut file = Self {
            slot,
            plan: plan.clone(),
            index,
            path: Vec::new(),
            target,
            number: 1,
            state: FileState::New,
            handle: Vec::new(),
            attrs: Attrs { mode: Some(mode), times, ..Attrs::default() },
            size: entry.size(),
            next: 0,
            awaited: 0,
            awaits_chunk: false,
            chunk: None,
            awaits_check: false,
            may_exist: false,
            others: Vec::new(),
            written_at: None,
            has_made_parents: false,
            parent_refused: None,
            has_looked: false,
            sums: (None, None),
            keeps_copy: false,
            problem: None,
        };
        file.path = file.path_to_write();
        file
    }

    /// The path of the temporary file with the current number, or the target.
    fn path_to_write(&self) -> Vec<u8> {
        let Settings { in_place, .. } = self.plan.settings;
        match in_place {
            true => self.target.clone(),
            // The login user may not write to the target's directory, but to its own.
            false if self.plan.is_privileged => paths::temporary(paths::split(&self.target).1, self.number),
            false => paths::temporary(&self.target, self.number),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == FileState::Done
    }

    /// Why the file has failed, if it has.
    pub(super) fn take_problem(&mut self) -> Option<TransferProblem> {
        self.problem.take()
    }

    /// The temporary file, if it may exist on the host.
    pub(super) fn left_over(&self) -> Option<RemotePath> {
        self.may_exist.then(|| RemotePath::new(&self.path))
    }

    fn source(&self) -> &Arc<Source> {
        &self.plan.source
    }

    /// Changes the state; nothing else may set it.
    fn enter(&mut self, next: FileState) {
        debug_assert!(state::is_legal(self.state, next), "{:?} -> {next:?}", self.state);
        #[cfg(test)]
        state::record(self.state, next);
        self.state = next;
    }

    fn send(&mut self, step: Step, request: &Request<'_>, cx: &mut TaskCx<'_>) {
        cx.requests.send(Tag { slot: self.slot, step }, request);
        self.awaited += 1;
    }

    /// Makes a request about the path that is written.
    fn send_path(&mut self, step: Step, request: impl FnOnce(&[u8]) -> Request<'_>, cx: &mut TaskCx<'_>) {
        let path = mem::take(&mut self.path);
        self.send(step, &request(&path), cx);
        self.path = path;
    }

    /// Makes a request about the open file.
    fn send_handle(&mut self, step: Step, request: impl FnOnce(&[u8]) -> Request<'_>, cx: &mut TaskCx<'_>) {
        let handle = mem::take(&mut self.handle);
        self.send(step, &request(&handle), cx);
        self.handle = handle;
    }

    fn run(&mut self, text: Vec<u8>, is_privileged: bool, cx: &mut TaskCx<'_>) {
        cx.errands.push(Errand { slot: self.slot, text, is_privileged });
        self.awaited += 1;
    }

    /// Asks for the checksums of the local file and of a file on the host.
    fn sum(&mut self, path: &[u8], cx: &mut TaskCx<'_>) {
        self.sums = (None, None);
        cx.jobs.push(FileJob::Hash { source: self.source().clone(), file: self.index, asker: cx.id });
        let quoted = quoted(path);
        let program = |name: &[u8]| [name, b" < ", &quoted].concat();
        let text = [program(b"sha256sum"), program(b"shasum -a 256")].join(&b" || "[..]);
        self.run(text, false, cx);
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
            Step::Look if self.state == FileState::Resuming => self.found(&reply, cx)?,
            Step::Look => self.looked(&reply, cx)?,
            Step::Open => self.opened(&reply, cx)?,
            Step::MakeDirectory => self.made_parent(&reply, cx)?,
            Step::Write { len } => match done(&reply)? {
                Ok(()) => cx.report.done.bytes += u64::from(len),
                Err(refusal) => self.refuse("write to", refusal.hinting("; is the disk full?"), cx),
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
            Step::Rename | Step::PlainRename | Step::Replace => self.replied_to_rename(step, &reply, cx)?,
            Step::Discard => self.tidied(&reply),
            _ => {}
        }
        Ok(())
    }

    fn refuse(&mut self, action: &'static str, refusal: Refusal, cx: &mut TaskCx<'_>) {
        self.fail(refusal.problem(action, &self.path), cx);
    }
}
