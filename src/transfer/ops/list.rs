//! The entries of a directory.

use std::sync::Arc;

use super::{Operation, metadata, wrong_kind};
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::output::{DirectoryEntry, FileKind, FileResult};
use crate::sftp::{Names, Reply, Request, StatusCode};
use crate::transfer::names;
use crate::transfer::replies::{Refusal, refused};
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

#[derive(Debug)]
pub(super) struct List {
    path: Vec<u8>,
    max_entries: u64,
    max_bytes: u64,
    handle: Option<Vec<u8>>,
    in_flight: usize,
    entries: Vec<DirectoryEntry>,
    /// The bytes of the names.
    bytes: u64,
    /// Why the directory was not opened. What is there is asked for.
    refusal: Option<Refusal>,
}

impl List {
    pub(super) fn new(path: Vec<u8>, max_entries: u64, max_bytes: u64) -> Self {
        Self {
            path,
            max_entries,
            max_bytes,
            handle: None,
            in_flight: 0,
            entries: Vec::new(),
            bytes: 0,
            refusal: None,
        }
    }

    fn take(&mut self, names: Names<'_>) -> Result<(), TransferProblem> {
        for name in names {
            let name = name?;
            let Some(bytes) = names::entry(name.name)? else { continue };
            self.bytes += bytes.len() as u64;
            self.entries.push(DirectoryEntry { name: bytes.into(), metadata: metadata(&name.attrs) });
        }
        let limit = |what| Err(TransferProblem::Limit { path: RemotePath::new(&self.path), what });
        let (max_entries, max_bytes) = (self.max_entries, self.max_bytes);
        match () {
            () if self.entries.len() as u64 > max_entries => {
                limit(format!("it has more than {max_entries} entries; raise FileRequest::max_entries"))
            }
            () if self.bytes > max_bytes => {
                limit(format!("its names have more than {max_bytes} bytes; raise FileRequest::max_bytes"))
            }
            () => Ok(()),
        }
    }

    fn end(&mut self) -> FileResult {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        FileResult::Entries(Arc::new(entries))
    }

    /// Handles what is in the place of a directory that was not opened.
    fn looked(&mut self, reply: &Reply<'_>) -> Result<(), TransferProblem> {
        let found = match reply {
            Reply::Attrs { attrs, .. } => metadata(attrs).kind,
            other => refused(other).map(|_| None)?,
        };
        match (found, self.refusal.take()) {
            (Some(kind), _) if kind != FileKind::Directory => {
                Err(wrong_kind(&self.path, kind, FileKind::Directory))
            }
            (_, Some(refusal)) => Err(refusal.problem("list the directory", &self.path)),
            (_, None) => Ok(()),
        }
    }
}

impl Operation for List {
    fn begin(&mut self, cx: &mut TaskCx<'_>) {
        let tag = Tag { slot: 0, step: Step::OpenDirectory };
        cx.requests.send(tag, &Request::Opendir { path: &self.path });
    }

    fn advance(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let Some(handle) = &self.handle else { return Ok(()) };
        while self.in_flight < limits::READDIRS_IN_FLIGHT && cx.requests.has_room() {
            let tag = Tag { slot: 0, step: Step::ReadDirectory };
            cx.requests.send(tag, &Request::Readdir { handle });
            self.in_flight += 1;
        }
        Ok(())
    }

    fn reply(
        &mut self,
        Tag { slot, step }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<Option<FileResult>, TransferProblem> {
        match (step, reply) {
            (Step::OpenDirectory, Reply::Handle { handle, .. }) => self.handle = Some(handle.to_vec()),
            (Step::OpenDirectory, other) => {
                self.refusal = Some(refused(other)?);
                let tag = Tag { slot, step: Step::Look };
                cx.requests.send(tag, &Request::Stat { path: &self.path });
            }
            // An answer without names is the end, as for OpenSSH's client.
            (Step::ReadDirectory, Reply::Status { code: StatusCode::Eof, .. }) => {
                return Ok(Some(self.end()));
            }
            (Step::ReadDirectory, Reply::Names { names, .. }) if names.left() == 0 => {
                return Ok(Some(self.end()));
            }
            (Step::ReadDirectory, Reply::Names { names, .. }) => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.take(names.clone())?;
            }
            (Step::ReadDirectory, other) => {
                return Err(refused(other)?.problem("list the directory", &self.path));
            }
            (_, other) => self.looked(other)?,
        }
        Ok(None)
    }
}
