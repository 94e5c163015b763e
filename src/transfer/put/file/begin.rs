//! The begin of a file: whether it has to be sent, and the temporary file.

use std::mem;

use super::state::FileState;
use super::{FilePut, paths};
use crate::error::TransferProblem;
use crate::limits;
use crate::sftp::{Attrs, FileKind, OpenFlags, Reply, Request, StatusCode};
use crate::transfer::replies::{Refusal, done, refused};
use crate::transfer::requests::Step;
use crate::transfer::task::TaskCx;

impl FilePut {
    pub(in crate::transfer::put) fn start(&mut self, cx: &mut TaskCx<'_>) {
        if self.plan.settings.skip_same {
            self.enter(FileState::Comparing);
            let target = mem::take(&mut self.target);
            self.send(Step::Look, &Request::Lstat { path: &target }, cx);
            self.target = target;
        } else {
            self.open(cx);
        }
    }

    pub(super) fn compared(&mut self, reply: &Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let there = match reply {
            Reply::Attrs { attrs, .. } => *attrs,
            other => {
                refused(other)?;
                self.open(cx);
                return Ok(());
            }
        };
        let modified = |attrs: &Attrs| attrs.times.map(|times| times.modified);
        let is_file = there.kind().is_none_or(|kind| kind == FileKind::File);
        let is_candidate = is_file && there.size == Some(self.size);
        if is_candidate && self.plan.settings.checksum {
            self.enter(FileState::Summing);
            let target = mem::take(&mut self.target);
            self.sum(&target, cx);
            self.target = target;
        } else if is_candidate && modified(&there) == modified(&self.attrs) {
            self.skip(cx);
        } else {
            self.open(cx);
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, cx: &mut TaskCx<'_>) {
        cx.report.done.skipped += 1;
        cx.report.done.total = cx.report.done.total.saturating_sub(self.size);
        self.enter(FileState::Done);
    }

    pub(super) fn open(&mut self, cx: &mut TaskCx<'_>) {
        if self.plan.settings.dry_run {
            cx.report.done.files += 1;
            cx.report.done.bytes += self.size;
            return self.enter(FileState::Done);
        }
        if self.plan.settings.resume && !mem::replace(&mut self.has_looked, true) {
            self.enter(FileState::Resuming);
            return self.send_path(Step::Look, |path| Request::Lstat { path }, cx);
        }
        let how = if self.plan.settings.in_place { OpenFlags::TRUNCATE } else { OpenFlags::EXCLUSIVE };
        self.open_with(OpenFlags::CREATE | how, cx);
    }

    fn open_with(&mut self, how: OpenFlags, cx: &mut TaskCx<'_>) {
        self.enter(FileState::Opening);
        // Nobody else may read a copy before it has its own mode.
        let mode = if self.plan.settings.in_place { self.attrs.mode } else { Some(0o600) };
        let attrs = Attrs { mode, ..Attrs::default() };
        let flags = OpenFlags::WRITE | how;
        self.send_path(Step::Open, |path| Request::Open { path, flags, attrs }, cx);
        self.may_exist = !self.plan.settings.in_place;
    }

    /// Handles the answer about an interrupted copy. What is there may have gaps where its last
    /// requests were, so these are made again.
    pub(super) fn found(&mut self, reply: &Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let size = match reply {
            Reply::Attrs { attrs, .. } if attrs.kind() == Some(FileKind::File) => attrs.size,
            Reply::Attrs { .. } => None,
            other => {
                refused(other)?;
                None
            }
        };
        let gap = (limits::SFTP_IN_FLIGHT * limits::CHUNK) as u64;
        let chunk = limits::CHUNK as u64;
        match size {
            Some(size) if size <= self.size => {
                self.next = size.saturating_sub(gap) / chunk * chunk;
                cx.report.done.total = cx.report.done.total.saturating_sub(self.next);
                self.open_with(OpenFlags::WRITE, cx);
            }
            Some(_) => self.open_with(OpenFlags::TRUNCATE, cx),
            None => self.open(cx),
        }
        Ok(())
    }

    pub(super) fn opened(&mut self, reply: &Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let refusal = match reply {
            Reply::Handle { handle, .. } => {
                self.handle = handle.to_vec();
                self.enter(FileState::Writing);
                return Ok(());
            }
            other => refused(other)?,
        };
        self.may_exist = false;
        let settings = &self.plan.settings;
        match refusal.code {
            StatusCode::NoSuchFile if settings.create_parents && !self.has_made_parents => {
                self.has_made_parents = true;
                self.make_parents(refusal, cx);
            }
            // Version 3 has no code for a name that is taken.
            StatusCode::Failure if !settings.in_place => {
                self.enter(FileState::Looking);
                self.send_path(Step::Look, |path| Request::Lstat { path }, cx);
            }
            _ => self.refuse_to_create(refusal, cx),
        }
        Ok(())
    }

    /// If a directory above the file could not be created, that is the reason.
    fn refuse_to_create(&mut self, refusal: Refusal, cx: &mut TaskCx<'_>) {
        match self.parent_refused.take() {
            Some(why) => {
                let directory = paths::split(&self.path).0.to_vec();
                self.fail(why.problem("create the directory", paths::trim(&directory)), cx);
            }
            None => self.refuse("create", refusal, cx),
        }
    }

    /// Handles the answer to the creation of a directory, which is mostly there. Version 3 has no
    /// code for that.
    pub(super) fn made_parent(
        &mut self,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        if let Err(refusal) = done(reply)?
            && refusal.code != StatusCode::Failure
        {
            self.parent_refused.get_or_insert(refusal);
        }
        if self.awaited == 0 {
            self.open(cx);
        }
        Ok(())
    }

    fn make_parents(&mut self, refusal: Refusal, cx: &mut TaskCx<'_>) {
        let parents = paths::parents(&self.path);
        if parents.is_empty() {
            return self.refuse("create", refusal, cx);
        }
        self.enter(FileState::MakingParents);
        for path in &parents {
            self.send(Step::MakeDirectory, &Request::Mkdir { path, attrs: Attrs::default() }, cx);
        }
    }

    /// Handles the answer about a temporary file that could not be created.
    pub(super) fn looked(&mut self, reply: &Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let hint = match reply {
            Reply::Attrs { attrs, .. } if self.number < limits::TEMPORARY_NAMES => {
                self.number += 1;
                let next = self.path_to_write();
                let taken = mem::replace(&mut self.path, next);
                self.others.extend(attrs.times.map(|times| (taken, times.modified)));
                self.open(cx);
                return Ok(());
            }
            // Another put to the same target had the name until it renamed its file.
            Reply::Status { code: StatusCode::NoSuchFile, .. } if self.number < limits::TEMPORARY_NAMES => {
                self.number += 1;
                self.path = self.path_to_write();
                self.open(cx);
                return Ok(());
            }
            Reply::Attrs { .. } => "; all temporary names are taken: remove those that end in .sshoal-*",
            other => {
                refused(other)?;
                "; can its directory be written to?"
            }
        };
        self.refuse("create", Refusal::failure(hint), cx);
        Ok(())
    }
}
