//! The contents of a file, and what is checked and set before it is closed.

use std::sync::Arc;

use super::FilePut;
use super::state::FileState;
use crate::error::{LocalProblem, RemotePath, TransferProblem};
use crate::limits;
use crate::sftp::{Attrs, Reply, Request};
use crate::transfer::local::{FileJob, Reader};
use crate::transfer::put::options::Settings;
use crate::transfer::replies::refused;
use crate::transfer::requests::{Requests, Step};
use crate::transfer::task::TaskCx;

impl FilePut {
    /// Sends what there is room for.
    pub(in crate::transfer::put) fn advance(&mut self, reader: &Reader, cx: &mut TaskCx<'_>) {
        while self.state == FileState::Writing && !self.awaits_chunk && self.next < self.size {
            if self.room(cx.requests) == 0 {
                return;
            }
            match self.chunk.take().or_else(|| Some((reader.chunk(self.index, self.next, cx.jobs)?, 0))) {
                Some((chunk, start)) => self.write(chunk, start, cx),
                None => self.awaits_chunk = true,
            }
        }
        if self.state == FileState::Writing && self.next >= self.size && self.awaited == 0 {
            self.enter(FileState::Checking);
            self.awaits_check = true;
            cx.jobs.push(FileJob::Check { source: self.source().clone(), file: self.index, asker: cx.id });
            self.send_handle(Step::Measure, |handle| Request::Fstat { handle }, cx);
        }
    }

    /// Sends a chunk from this position on: as data of the write that has begun, or in as many
    /// writes as the server needs. A server may accept one byte at a time, so what there is no room
    /// for waits.
    fn write(&mut self, chunk: Arc<[u8]>, mut start: usize, cx: &mut TaskCx<'_>) {
        while start < chunk.len() {
            let room = self.room(cx.requests);
            if room == 0 {
                self.chunk = Some((chunk, start));
                return;
            }
            if cx.requests.missing(self.slot) == 0 {
                // At most as much as the server accepts, which is a 32-bit number.
                cx.requests.begin_write(self.slot, &self.handle, self.next, room as u32);
                self.awaited += 1;
            }
            let end = chunk.len().min(start + cx.requests.missing(self.slot));
            cx.requests.data(chunk.clone(), start..end);
            self.next += (end - start) as u64;
            start = end;
        }
    }

    /// How many bytes of data the write that has begun may send now, or another one if none has.
    fn room(&self, requests: &mut Requests) -> usize {
        if !requests.has_room_for_data(self.slot) {
            return 0;
        }
        match requests.missing(self.slot) {
            0 => {
                let left = usize::try_from(self.size - self.next).unwrap_or(usize::MAX);
                requests.room_for(left.min(self.longest_write(requests.max_write as usize)))
            }
            missing => missing,
        }
    }

    /// How much one write may send.
    fn longest_write(&self, max: usize) -> usize {
        let Settings { in_place, resume, .. } = self.plan.settings;
        // If the local file cannot be read on, the write that has begun ends with zeros. They must
        // not stay in the file, so then a write is of one chunk, which has been read.
        if in_place || resume { max.min(limits::CHUNK) } else { max }
    }

    /// Handles a chunk of the local file.
    pub(in crate::transfer::put) fn chunk(
        &mut self,
        offset: u64,
        read: Result<Arc<[u8]>, LocalProblem>,
        cx: &mut TaskCx<'_>,
    ) {
        if !self.awaits_chunk || offset != self.next {
            return;
        }
        self.awaits_chunk = false;
        match read {
            Ok(chunk) if self.state == FileState::Writing => self.write(chunk, 0, cx),
            Ok(_) => {}
            Err(problem) => self.fail(problem.into(), cx),
        }
    }

    /// Handles the result of the check whether the local file has changed.
    pub(in crate::transfer::put) fn checked(
        &mut self,
        result: Result<(), LocalProblem>,
        cx: &mut TaskCx<'_>,
    ) {
        self.awaits_check = false;
        match result {
            Ok(()) => self.set(cx),
            Err(problem) => self.fail(problem.into(), cx),
        }
    }

    pub(super) fn measured(&mut self, reply: &Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let Reply::Attrs { attrs, .. } = reply else {
            let refusal = refused(reply)?;
            self.refuse("look at", refusal, cx);
            return Ok(());
        };
        self.written_at = attrs.times.map(|times| times.modified);
        let in_place = self.plan.settings.in_place;
        // A device, which can only be written in place, has no size of its own.
        match attrs.size.filter(|size| !in_place || *size > 0) {
            Some(found) if found != self.size => {
                let path = RemotePath::new(&self.path);
                self.fail(TransferProblem::WrongSize { path, expected: self.size, found }, cx);
            }
            None if !in_place => {
                let (what, advice) = ("file sizes in its answers", "copy by another way");
                self.fail(TransferProblem::Unsupported { what, advice }, cx);
            }
            _ => self.set(cx),
        }
        Ok(())
    }

    /// Sets mode and times, once the local file and the size of the copy are checked.
    fn set(&mut self, cx: &mut TaskCx<'_>) {
        if self.state != FileState::Checking || self.awaits_check || self.awaited > 0 {
            return;
        }
        self.enter(FileState::Setting);
        // A file for another user gets its mode when it is installed.
        let mode = if self.plan.is_privileged { Some(0o600) } else { self.attrs.mode };
        let attrs = Attrs { mode, ..self.attrs };
        self.send_handle(Step::SetAttributes, |handle| Request::Fsetstat { handle, attrs }, cx);
    }

    pub(super) fn sync(&mut self, cx: &mut TaskCx<'_>) {
        if !self.plan.settings.sync {
            return self.close(cx);
        }
        if !cx.requests.extensions.fsync {
            let (what, advice) = ("fsync@openssh.com", "copy without sync");
            return self.fail(TransferProblem::Unsupported { what, advice }, cx);
        }
        self.enter(FileState::Syncing);
        self.send_handle(Step::Sync, |handle| Request::Fsync { handle }, cx);
    }
}
