//! The contents of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Operation, metadata, wrong_kind};
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::output::{FileKind, FileResult};
use crate::sftp::{Attrs, OpenFlags, Reply, Request, StatusCode};
use crate::transfer::reads::{Reads, Wanted};
use crate::transfer::replies::refused;
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

/// Reads a file up to its end. Its size says only how much to ask for at once, because it is wrong
/// below `/proc` and `/sys`.
#[derive(Debug)]
pub(super) struct Read {
    path: Vec<u8>,
    max_bytes: u64,
    handle: Option<Vec<u8>>,
    reads: Reads,
    /// The size when the file was opened; `None` until it is known.
    size: Option<u64>,
    /// What has arrived without a gap.
    contents: Vec<u8>,
    /// What has arrived beyond a gap, by offset.
    beyond: BTreeMap<u64, Vec<u8>>,
    /// The end of what has arrived.
    last: u64,
}

impl Read {
    pub(super) fn new(path: Vec<u8>, max_bytes: u64) -> Self {
        Self {
            path,
            max_bytes,
            handle: None,
            reads: Reads::new(),
            size: None,
            contents: Vec::new(),
            beyond: BTreeMap::new(),
            last: 0,
        }
    }

    fn limit(&self, bytes: u64) -> Result<(), TransferProblem> {
        let max = self.max_bytes;
        if bytes <= max {
            return Ok(());
        }
        let what = format!("it has more than {max} bytes; raise FileRequest::max_bytes");
        Err(TransferProblem::Limit { path: RemotePath::new(&self.path), what })
    }

    fn changed(&self, expected: u64, found: u64) -> TransferProblem {
        TransferProblem::RemoteFileChanged { path: RemotePath::new(&self.path), expected, found }
    }

    /// Handles what is there, before it is opened: opening a fifo would block the server.
    fn looked(&mut self, attrs: &Attrs, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        if let Some(kind) = metadata(attrs).kind.filter(|kind| *kind != FileKind::File) {
            return Err(wrong_kind(&self.path, kind, FileKind::File));
        }
        self.limit(attrs.size.unwrap_or(0))?;
        let request = Request::Open { path: &self.path, flags: OpenFlags::READ, attrs: Attrs::default() };
        cx.requests.send(Tag { slot: 0, step: Step::Open }, &request);
        Ok(())
    }

    fn measure(&self, cx: &mut TaskCx<'_>) {
        if let Some(handle) = &self.handle {
            cx.requests.send(Tag { slot: 0, step: Step::Measure }, &Request::Fstat { handle });
        }
    }

    /// What is wanted of the file beyond what was asked for.
    fn wanted(&self) -> Wanted {
        let (size, next) = (self.size.unwrap_or(0), self.reads.next());
        match size.checked_sub(next) {
            Some(left @ 1..) => Wanted::Bytes(left),
            // The read at the size finds the end. If there is more, it shows step by step.
            Some(0) if size > 0 => Wanted::Bytes(u64::from(limits::READ_MIN)),
            _ => Wanted::More,
        }
    }

    fn data(&mut self, (offset, len): (u64, u32), bytes: &[u8]) -> Result<(), TransferProblem> {
        self.reads.returned(offset, len, bytes)?;
        self.limit(self.reads.arrived())?;
        self.last = self.last.max(offset + bytes.len() as u64);
        if offset == self.contents.len() as u64 {
            self.contents.extend_from_slice(bytes);
            while let Some(next) = self.beyond.remove(&(self.contents.len() as u64)) {
                self.contents.extend(next);
            }
        } else {
            self.beyond.insert(offset, bytes.to_vec());
        }
        Ok(())
    }

    /// Ends the file once everything before its end is here.
    fn settle(&mut self, cx: &mut TaskCx<'_>) -> Result<Option<FileResult>, TransferProblem> {
        let Some(end) = self.reads.end().filter(|_| !self.reads.is_waiting()) else { return Ok(None) };
        self.reads.forget_behind_end();
        if !self.reads.is_complete() {
            return Ok(None);
        }
        if self.contents.len() as u64 != end || self.last > end {
            return Err(self.changed(end, self.last));
        }
        if self.size.is_some_and(|size| size > end) {
            // The file is shorter than its size says, or has become shorter.
            self.measure(cx);
            return Ok(None);
        }
        Ok(Some(self.result()))
    }

    fn result(&mut self) -> FileResult {
        let mut contents = std::mem::take(&mut self.contents);
        contents.shrink_to_fit();
        FileResult::Contents(Arc::new(contents))
    }

    /// Handles the size of the open file.
    fn measured(&mut self, attrs: &Attrs) -> Result<Option<FileResult>, TransferProblem> {
        let size = attrs.size.unwrap_or(0);
        match self.size {
            None => {
                self.limit(size)?;
                self.size = Some(size);
                Ok(None)
            }
            Some(before) if before == size => Ok(Some(self.result())),
            Some(before) => Err(self.changed(before, self.contents.len() as u64)),
        }
    }
}

impl Operation for Read {
    fn begin(&mut self, cx: &mut TaskCx<'_>) {
        cx.requests.send(Tag { slot: 0, step: Step::Look }, &Request::Stat { path: &self.path });
    }

    fn advance(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let Some(handle) = self.handle.take_if(|_| self.size.is_some()) else { return Ok(()) };
        while let Some((offset, len)) = self.reads.request(self.wanted(), cx.requests) {
            let tag = Tag { slot: 0, step: Step::Read { offset, len } };
            cx.requests.send(tag, &Request::Read { handle: &handle, offset, len });
        }
        self.handle = Some(handle);
        Ok(())
    }

    fn reply(
        &mut self,
        Tag { step, .. }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<Option<FileResult>, TransferProblem> {
        match (step, reply) {
            (Step::Look, Reply::Attrs { attrs, .. }) => self.looked(attrs, cx)?,
            (Step::Open, Reply::Handle { handle, .. }) => {
                self.handle = Some(handle.to_vec());
                self.measure(cx);
            }
            (Step::Measure, Reply::Attrs { attrs, .. }) => return self.measured(attrs),
            (Step::Read { offset, len }, reply) => {
                self.reads.answered(offset);
                match reply {
                    Reply::Data { bytes, .. } => {
                        self.data((offset, len), bytes)?;
                        let arrived = self.reads.arrived();
                        cx.report.done.bytes = arrived;
                        cx.report.done.total = self.size.unwrap_or(0).max(arrived);
                    }
                    Reply::Status { code: StatusCode::Eof, .. } => {
                        self.reads.ended(offset);
                    }
                    other => return Err(refused(other)?.problem("read", &self.path)),
                }
                return self.settle(cx);
            }
            (Step::Open, other) => return Err(refused(other)?.problem("open", &self.path)),
            (_, other) => return Err(refused(other)?.problem("look at", &self.path)),
        }
        Ok(None)
    }
}
