//! An entry of a directory on a host of which it is not known yet what it is or leads to.

use super::options::Settings;
use crate::error::{RemotePath, TransferProblem};
use crate::sftp::{Attrs, FileKind, Reply, Request};
use crate::transfer::local::{FileAnswer, FileJob, HostPath, Links, Target};
use crate::transfer::replies::refused;
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

use std::sync::Arc;

/// An entry that is looked at.
#[derive(Debug)]
pub(super) struct LinkGet {
    slot: u32,
    links: Links,
    remote: Vec<u8>,
    target: Arc<Target>,
    path: HostPath,
    state: LinkState,
    problem: Option<TransferProblem>,
}

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkState {
    /// What the entry is itself is asked for.
    Looking,
    /// What the link leads to is asked for.
    Following,
    /// Where the directory is that the link leads to is asked for.
    Locating(Attrs),
    /// The target of the link is asked for.
    Reading,
    /// The link is created here.
    Making,
    Done,
}

/// What an entry has turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    File(Attrs),
    /// A directory, and its absolute path without links, if the server knows it.
    Directory(Attrs, Option<Vec<u8>>),
}

impl LinkGet {
    pub(super) fn start(
        slot: u32,
        settings: Settings,
        remote: Vec<u8>,
        kind: Option<FileKind>,
        (target, path): (Arc<Target>, HostPath),
        cx: &mut TaskCx<'_>,
    ) -> Self {
        let state = LinkState::Looking;
        let mut link = Self { slot, links: settings.links, remote, target, path, state, problem: None };
        match kind {
            Some(FileKind::Symlink) => link.follow(cx),
            _ => link.send(Step::Look, &Request::Lstat { path: &link.remote }, cx),
        }
        link
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == LinkState::Done
    }

    pub(super) fn take_problem(&mut self) -> Option<TransferProblem> {
        self.problem.take()
    }

    fn send(&self, step: Step, request: &Request<'_>, cx: &mut TaskCx<'_>) {
        cx.requests.send(Tag { slot: self.slot, step }, request);
    }

    fn follow(&mut self, cx: &mut TaskCx<'_>) {
        self.state = match self.links {
            Links::Skip => LinkState::Done,
            Links::Copy => {
                self.send(Step::ReadLink, &Request::Readlink { path: &self.remote }, cx);
                LinkState::Reading
            }
            Links::Follow => {
                self.send(Step::Look, &Request::Stat { path: &self.remote }, cx);
                LinkState::Following
            }
        };
    }

    fn fail(&mut self, problem: TransferProblem) {
        self.problem = Some(problem);
        self.state = LinkState::Done;
    }

    /// Handles the answer to the request. Returns what the entry is, once that is known, unless it
    /// is a link that is copied as such.
    pub(super) fn reply(
        &mut self,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<Option<Resolved>, TransferProblem> {
        match (self.state, reply) {
            (LinkState::Looking, Reply::Attrs { attrs, .. }) if attrs.kind() == Some(FileKind::Symlink) => {
                self.follow(cx);
            }
            (LinkState::Looking, Reply::Attrs { attrs, .. }) => return Ok(self.found(attrs)),
            (LinkState::Following, Reply::Attrs { attrs, .. })
                if attrs.kind() == Some(FileKind::Directory) =>
            {
                self.send(Step::RealPath, &Request::Realpath { path: &self.remote }, cx);
                self.state = LinkState::Locating(*attrs);
            }
            (LinkState::Following, Reply::Attrs { attrs, .. }) => return Ok(self.found(attrs)),
            (LinkState::Locating(attrs), Reply::Names { names, .. }) => {
                let real = names.clone().next().transpose()?.map(|name| name.name.to_vec());
                self.state = LinkState::Done;
                return Ok(Some(Resolved::Directory(attrs, real)));
            }
            // Not every server has this. The limit of levels ends loops too.
            (LinkState::Locating(attrs), other) => {
                refused(other)?;
                self.state = LinkState::Done;
                return Ok(Some(Resolved::Directory(attrs, None)));
            }
            (LinkState::Reading, Reply::Names { names, .. }) => {
                let Some(name) = names.clone().next().transpose()? else {
                    return Err(TransferProblem::Protocol("a link without a target".to_owned()));
                };
                let (target, path, leads_to) = (self.target.clone(), self.path.clone(), name.name.to_vec());
                let tag = self.slot;
                cx.jobs.push(FileJob::MakeLink { target, tag, path, leads_to, asker: cx.id });
                self.state = LinkState::Making;
            }
            (LinkState::Reading, other) => {
                let problem = refused(other)?.problem("read the link", &self.remote);
                self.fail(problem);
            }
            (LinkState::Looking | LinkState::Following, other) => {
                let problem = refused(other)?.problem("look at", &self.remote);
                self.fail(problem);
            }
            (LinkState::Making | LinkState::Done, _) => {}
        }
        Ok(None)
    }

    fn found(&mut self, attrs: &Attrs) -> Option<Resolved> {
        self.state = LinkState::Done;
        match attrs.kind() {
            Some(FileKind::File) | None => Some(Resolved::File(*attrs)),
            Some(FileKind::Directory) => Some(Resolved::Directory(*attrs, None)),
            _ => {
                self.fail(TransferProblem::Special { path: RemotePath::new(&self.remote) });
                None
            }
        }
    }

    /// Handles the answer to the file job.
    pub(super) fn answer(&mut self, answer: FileAnswer, cx: &mut TaskCx<'_>) {
        if let (LinkState::Making, FileAnswer::Made { result, .. }) = (self.state, answer) {
            self.state = LinkState::Done;
            match result {
                Ok(_) => cx.report.done.links += 1,
                Err(problem) => self.fail(problem.into()),
            }
        }
    }
}
