//! A file that has failed or is cancelled: its temporary file is removed.

use std::mem;

use super::FilePut;
use super::state::FileState;
use crate::error::TransferProblem;
use crate::sftp::{Reply, Request, StatusCode};
use crate::transfer::requests::Step;
use crate::transfer::task::TaskCx;

impl FilePut {
    /// Ends the file with this problem, and removes its temporary file.
    pub(in crate::transfer::put) fn fail(&mut self, problem: TransferProblem, cx: &mut TaskCx<'_>) {
        if !matches!(self.state, FileState::Discarding | FileState::Done) {
            self.problem.get_or_insert(problem);
            self.discard(cx);
        }
    }

    /// Gives the file up because the transfer has ended. Its temporary file is removed, unless a
    /// later put resumes it.
    pub(in crate::transfer::put) fn abandon(&mut self, cx: &mut TaskCx<'_>) {
        self.keeps_copy |= self.plan.settings.resume;
        self.discard(cx);
    }

    fn discard(&mut self, cx: &mut TaskCx<'_>) {
        match self.state {
            FileState::Discarding | FileState::Done => return,
            _ => self.enter(FileState::Discarding),
        }
        self.awaits_chunk = false;
        self.chunk = None;
        cx.requests.give_up_write(self.slot);
        if !self.handle.is_empty() {
            let handle = mem::take(&mut self.handle);
            self.send(Step::Close, &Request::Close { handle: &handle }, cx);
        }
        self.discard_path(cx);
    }

    /// Removes the temporary file. What was requested before may still create or rename it, so this
    /// waits for the answers.
    pub(super) fn discard_path(&mut self, cx: &mut TaskCx<'_>) {
        if self.awaited > 0 {
            return;
        }
        if self.may_exist && !self.keeps_copy {
            self.send_path(Step::Discard, |path| Request::Remove { path }, cx);
        } else {
            self.enter(FileState::Done);
        }
    }

    /// Handles an answer while the file is given up.
    pub(super) fn discarded(&mut self, step: Step, reply: &Reply<'_>, cx: &mut TaskCx<'_>) {
        if self.state == FileState::Done {
            return;
        }
        let is_done = matches!(reply, Reply::Status { code: StatusCode::Ok, .. });
        match (step, reply) {
            // The file was opened after all.
            (Step::Open, Reply::Handle { handle, .. }) => {
                self.send(Step::Close, &Request::Close { handle }, cx);
            }
            (Step::Open, _) => self.may_exist = false,
            (Step::Rename | Step::PlainRename, _) if is_done => {
                self.may_exist = false;
                cx.report.done.files += 1;
            }
            (Step::Discard, Reply::Status { code, .. }) => {
                self.may_exist &= !matches!(code, StatusCode::Ok | StatusCode::NoSuchFile);
                return self.enter(FileState::Done);
            }
            (Step::Discard, _) => return self.enter(FileState::Done),
            _ => {}
        }
        self.discard_path(cx);
    }
}
