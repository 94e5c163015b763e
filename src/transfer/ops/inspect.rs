//! The metadata of a file.

use super::{Operation, metadata};
use crate::error::TransferProblem;
use crate::output::FileResult;
use crate::sftp::{Reply, Request};
use crate::transfer::replies::refused;
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

#[derive(Debug)]
pub(super) struct Inspect {
    path: Vec<u8>,
    follows_links: bool,
}

impl Inspect {
    pub(super) fn new(path: Vec<u8>, follows_links: bool) -> Self {
        Self { path, follows_links }
    }
}

impl Operation for Inspect {
    fn begin(&mut self, cx: &mut TaskCx<'_>) {
        let path = &self.path;
        let request = if self.follows_links { Request::Stat { path } } else { Request::Lstat { path } };
        cx.requests.send(Tag { slot: 0, step: Step::Look }, &request);
    }

    fn reply(
        &mut self,
        _tag: Tag,
        reply: &Reply<'_>,
        _cx: &mut TaskCx<'_>,
    ) -> Result<Option<FileResult>, TransferProblem> {
        match reply {
            Reply::Attrs { attrs, .. } => Ok(Some(FileResult::Metadata(metadata(attrs)))),
            other => Err(refused(other)?.problem("look at", &self.path)),
        }
    }
}
