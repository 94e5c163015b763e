//! New directories, and new names.

use super::{Operation, metadata, wrong_kind};
use crate::error::{RemotePath, TransferProblem};
use crate::output::{FileKind, FileResult};
use crate::sftp::{Attrs, Reply, Request};
use crate::transfer::put::paths;
use crate::transfer::replies::{Refusal, done, refused};
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

/// The slot of requests about the path itself, and of those about the directories above it.
const OWN: u32 = 0;
const PARENT: u32 = 1;

/// Creates a directory.
#[derive(Debug)]
pub(super) struct CreateDirectory {
    path: Vec<u8>,
    with_parents: bool,
    mode: Option<u32>,
    /// Why the directory was not created. Whether it is there is asked for.
    refusal: Option<Refusal>,
}

impl CreateDirectory {
    pub(super) fn new(path: Vec<u8>, with_parents: bool, mode: Option<u32>) -> Self {
        let path = paths::trim(&path).to_vec();
        Self { path, with_parents, mode, refusal: None }
    }

    fn failed(&self, refusal: Refusal) -> TransferProblem {
        refusal.problem("create the directory", &self.path)
    }
}

impl Operation for CreateDirectory {
    fn begin(&mut self, cx: &mut TaskCx<'_>) {
        let mut make = |slot, path: &[u8], mode| {
            let request = Request::Mkdir { path, attrs: Attrs { mode, ..Attrs::default() } };
            cx.requests.send(Tag { slot, step: Step::MakeDirectory }, &request);
        };
        if self.with_parents {
            paths::parents(&self.path).iter().for_each(|parent| make(PARENT, parent, None));
        }
        make(OWN, &self.path, self.mode);
    }

    fn reply(
        &mut self,
        Tag { slot, step }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<Option<FileResult>, TransferProblem> {
        if slot == PARENT {
            // Most of them are there. If one is missing, the directory itself cannot be created.
            let _ = done(reply)?;
            return Ok(None);
        }
        match step {
            Step::MakeDirectory => match (done(reply)?, self.mode) {
                (Ok(()), None) => return Ok(Some(FileResult::Done)),
                (Ok(()), mode) => {
                    // The server has applied its umask.
                    let attrs = Attrs { mode, ..Attrs::default() };
                    let tag = Tag { slot, step: Step::SetAttributes };
                    cx.requests.send(tag, &Request::Setstat { path: &self.path, attrs });
                }
                // Version 3 has no code for what is there already.
                (Err(refusal), _) => {
                    self.refusal = Some(refusal);
                    let tag = Tag { slot, step: Step::Look };
                    cx.requests.send(tag, &Request::Stat { path: &self.path });
                }
            },
            Step::SetAttributes => match done(reply)? {
                Ok(()) => return Ok(Some(FileResult::Done)),
                Err(refusal) => return Err(refusal.problem("set the mode of", &self.path)),
            },
            _ => match (reply, self.refusal.take()) {
                (Reply::Attrs { attrs, .. }, refusal) => match metadata(attrs).kind {
                    Some(FileKind::Directory) if self.with_parents => return Ok(Some(FileResult::Done)),
                    Some(FileKind::Directory) => {
                        return Err(TransferProblem::Exists { path: RemotePath::new(&self.path) });
                    }
                    Some(kind) => return Err(wrong_kind(&self.path, kind, FileKind::Directory)),
                    None => return refusal.map_or(Ok(None), |refusal| Err(self.failed(refusal))),
                },
                (other, refusal) => {
                    let looked = refused(other)?;
                    return Err(self.failed(refusal.unwrap_or(looked)));
                }
            },
        }
        Ok(None)
    }
}

/// Renames a file or a directory.
#[derive(Debug)]
pub(super) struct Rename {
    from: Vec<u8>,
    to: Vec<u8>,
    /// Why the server has not renamed the file. Whether the new name is taken is asked for.
    refusal: Option<Refusal>,
}

impl Rename {
    pub(super) fn new(from: Vec<u8>, to: Vec<u8>) -> Self {
        Self { from, to, refusal: None }
    }
}

impl Operation for Rename {
    fn begin(&mut self, cx: &mut TaskCx<'_>) {
        let (from, to) = (&self.from[..], &self.to[..]);
        let (step, request) = match cx.requests.extensions.posix_rename {
            true => (Step::Rename, Request::PosixRename { from, to }),
            false => (Step::PlainRename, Request::Rename { from, to }),
        };
        cx.requests.send(Tag { slot: OWN, step }, &request);
    }

    fn reply(
        &mut self,
        Tag { step, .. }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<Option<FileResult>, TransferProblem> {
        match step {
            Step::Rename => match done(reply)? {
                Ok(()) => Ok(Some(FileResult::Done)),
                Err(refusal) => Err(refusal.problem("rename", &self.from)),
            },
            Step::PlainRename => match done(reply)? {
                Ok(()) => Ok(Some(FileResult::Done)),
                Err(refusal) => {
                    self.refusal = Some(refusal);
                    let tag = Tag { slot: OWN, step: Step::Look };
                    cx.requests.send(tag, &Request::Lstat { path: &self.to });
                    Ok(None)
                }
            },
            // The file is not replaced in two steps: between them, there would be none.
            _ => match (reply, self.refusal.take()) {
                (Reply::Attrs { .. }, _) => Err(TransferProblem::Unsupported {
                    what: "request that replaces a file by another one (posix-rename@openssh.com)",
                    advice: "remove the file that has the new name first, or choose another name",
                }),
                (other, refusal) => {
                    let looked = refused(other)?;
                    Err(refusal.unwrap_or(looked).problem("rename", &self.from))
                }
            },
        }
    }
}
