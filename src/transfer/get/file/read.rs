//! What is asked for of a file, and what arrives.

use super::{FileGet, FileState, new_file};
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::sftp::{Attrs, FileKind, Request};
use crate::transfer::local::NewFile;
use crate::transfer::reads::Wanted;
use crate::transfer::requests::Step;
use crate::transfer::task::TaskCx;

impl FileGet {
    pub(super) fn ask(&mut self, cx: &mut TaskCx<'_>) {
        let Some(handle) = self.handle.take() else { return };
        while let Some((offset, len)) = self.reads.request(self.wanted(), cx.requests) {
            self.send(Step::Read { offset, len }, &Request::Read { handle: &handle, offset, len }, cx);
        }
        self.handle = Some(handle);
    }

    /// What is wanted of the file beyond what was asked for.
    fn wanted(&self) -> Wanted {
        if !self.is_sized {
            return Wanted::More;
        }
        let pieces = self.pieces.iter().map(|(offset, _)| *offset).min();
        let writes = self.writes.values().map(|(offset, _)| *offset).min();
        let next = self.reads.next();
        // Everything before this offset is written.
        let first_gap = [self.reads.first_gap(), pieces, writes].into_iter().flatten().min().unwrap_or(next);
        if next.saturating_sub(first_gap) >= limits::RESUME_GAP {
            return Wanted::Nothing;
        }
        Wanted::Bytes(self.opened.size.saturating_sub(next))
    }

    /// Handles what the host says about the file once it is open.
    pub(super) fn measured(&mut self, attrs: &Attrs, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        if !matches!(attrs.kind(), None | Some(FileKind::File)) {
            self.fail(TransferProblem::Special { path: RemotePath::new(&self.remote) });
            return Ok(());
        }
        self.opened = new_file(attrs);
        self.is_sized = self.opened.size > 0;
        let NewFile { size, times, .. } = self.listed;
        let is_as_listed = (size, times.map(|times| times.modified))
            == (self.opened.size, self.opened.times.map(|times| times.modified));
        if self.settings.target.resume && !is_as_listed {
            let (expected, found) = (size, self.opened.size);
            let path = RemotePath::new(&self.remote);
            self.fail(TransferProblem::RemoteFileChanged { path, expected, found });
            return Ok(());
        }
        let total = &mut cx.report.done.total;
        *total = total.saturating_add(self.opened.size).saturating_sub(size);
        self.enter(FileState::Reading);
        self.limit(*total)
    }

    /// Fails if more bytes are fetched than the caller allows.
    fn limit(&self, total: u64) -> Result<(), TransferProblem> {
        let max = self.settings.max_bytes;
        if total <= max {
            return Ok(());
        }
        let what = format!("more than {max} bytes would be fetched; raise Get::max_bytes");
        Err(TransferProblem::Limit { path: RemotePath::new(&self.remote), what })
    }

    pub(super) fn data(
        &mut self,
        (offset, len): (u64, u32),
        bytes: &[u8],
        cx: &TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        self.reads.returned(offset, len, bytes)?;
        self.pieces.push((offset, bytes.to_vec()));
        if !self.is_sized {
            let next = self.reads.next();
            if next > limits::UNSIZED_FILE {
                let max = limits::UNSIZED_FILE;
                let what = format!("the host gives no size for it, and sends more than {max} bytes");
                self.fail(TransferProblem::Limit { path: RemotePath::new(&self.remote), what });
            }
            return self.limit(cx.report.done.total.saturating_add(next));
        }
        Ok(())
    }

    /// Handles the end of the file.
    pub(super) fn ended(&mut self, offset: u64, cx: &mut TaskCx<'_>) {
        if self.is_sized {
            // Reads before this one may be short: the file ends where nothing more is left to ask
            // for.
            self.reads.ended(offset);
            return;
        }
        self.opened.size = offset;
        cx.report.done.total = cx.report.done.total.saturating_add(offset);
        self.enter(FileState::Checking);
    }

    /// Handles what the host says about the file once it was read.
    pub(super) fn check(&mut self, now: &NewFile) {
        let modified = |file: &NewFile| file.times.map(|times| times.modified);
        let has_grown = now.size > self.opened.size;
        let is_same = now.size == self.opened.size && modified(now) == modified(&self.opened);
        let is_right = is_same || self.settings.growing && has_grown;
        if !is_right {
            self.changed(now.size);
        }
    }
}
