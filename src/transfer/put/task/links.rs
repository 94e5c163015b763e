//! Symbolic links of a put.
//!
//! The draft says that a SYMLINK has the path of the link first. OpenSSH has the target first, and
//! most other servers do as OpenSSH does. asyncssh's server goes by the client's software, so
//! neither its name nor a version tells the order. With the wrong order, a server creates a link in
//! the place of the target, which may be anywhere. So the first link of a put is one of two
//! temporary names to the other: whichever of them is there afterwards tells the order.

use std::mem;

use super::{FIRST_ENTRY, PutTask};
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::sftp::{Reply, Request, StatusCode};
use crate::transfer::local::EntryKind;
use crate::transfer::put::paths;
use crate::transfer::replies::{Refusal, done, refused};
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

/// The slots of requests about the two temporary names: in OpenSSH's order, the target and the
/// link.
const FIRST_NAME: u32 = u32::MAX - 1;
const SECOND_NAME: u32 = u32::MAX - 2;

/// What is known about the order in which the server reads the two paths of a SYMLINK.
#[derive(Debug, Default)]
pub(super) enum LinkOrder {
    #[default]
    Unknown,
    /// A link is made to find out.
    Probed(Box<Probe>),
    /// The target, and then the link.
    Openssh,
    /// The link, and then the target.
    Draft,
}

/// A link that shows the order.
#[derive(Debug)]
pub(super) struct Probe {
    /// The slot of the entry that it is made for.
    slot: u32,
    /// The number of the attempt.
    attempt: u32,
    names: [Vec<u8>; 2],
    /// Which of the names are there, as far as that is known.
    exist: [Option<bool>; 2],
    /// What has been found out. The link is removed now.
    found: Option<LinkOrder>,
}

impl Probe {
    fn new(slot: u32, link: &[u8], attempt: u32) -> Self {
        let names = [2 * attempt + 1, 2 * attempt + 2].map(|number| paths::temporary(link, number));
        Self { slot, attempt, names, exist: [None, None], found: None }
    }
}

impl PutTask {
    /// Makes the link that is the next entry. Returns `false` if the order of the paths has to be
    /// found out first.
    pub(super) fn make_link(&mut self, target: &[u8], link: &[u8], cx: &mut TaskCx<'_>) -> bool {
        let slot = FIRST_ENTRY + self.next as u32;
        match self.link_order {
            LinkOrder::Unknown => self.link_order = self.probe(Probe::new(slot, link, 0), cx),
            LinkOrder::Probed(_) => {}
            LinkOrder::Openssh | LinkOrder::Draft => {
                self.send_link(slot, Step::MakeLink, target, link, cx);
                return true;
            }
        }
        false
    }

    /// Handles the answer to an attempt to create a link.
    pub(super) fn made_link(
        &mut self,
        Tag { slot, step }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        let link = self.entry_path(slot);
        match (step, done(reply)?) {
            (Step::Replace, Ok(())) => {
                let target = match self.entry(slot).map(|entry| &entry.kind) {
                    Some(EntryKind::Symlink { target }) => target.clone(),
                    _ => return Ok(()),
                };
                self.send_link(slot, Step::Rename, &target, &link, cx);
            }
            (_, Ok(())) => cx.report.done.links += 1,
            // Version 3 cannot replace a link.
            (Step::MakeLink, Err(_)) => {
                self.send(slot, Step::Replace, &Request::Remove { path: &link }, cx);
            }
            (_, Err(refusal)) => cx.report.note(refusal.problem("create the link", &link)),
        }
        Ok(())
    }

    fn send_link(&mut self, slot: u32, step: Step, target: &[u8], link: &[u8], cx: &mut TaskCx<'_>) {
        let (target, link) = match self.link_order {
            LinkOrder::Draft => (link, target),
            _ => (target, link),
        };
        self.send(slot, step, &Request::Symlink { target, link }, cx);
    }

    fn probe(&mut self, probe: Probe, cx: &mut TaskCx<'_>) -> LinkOrder {
        let [target, link] = &probe.names;
        self.send(FIRST_NAME, Step::MakeLink, &Request::Symlink { target, link }, cx);
        LinkOrder::Probed(Box::new(probe))
    }

    /// Whether a request is one of those that find out the order.
    pub(super) fn is_of_probe(slot: u32) -> bool {
        matches!(slot, FIRST_NAME | SECOND_NAME)
    }

    /// Handles an answer about the link that shows the order. A put that is abandoned goes on with
    /// that until the link is removed.
    pub(super) fn reply_to_probe(
        &mut self,
        tag: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        let mut order = mem::take(&mut self.link_order);
        let handled = match &mut order {
            LinkOrder::Probed(probe) => self.probed(probe, tag, reply, cx),
            _ => Ok(None),
        };
        match handled {
            Ok(next) => {
                self.link_order = next.unwrap_or(order);
                Ok(())
            }
            Err(problem) => {
                self.link_order = order;
                Err(problem)
            }
        }
    }

    /// Returns what follows, unless more answers are awaited.
    fn probed(
        &mut self,
        probe: &mut Probe,
        Tag { slot, step }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<Option<LinkOrder>, TransferProblem> {
        match step {
            Step::MakeLink => {
                if let Err(refusal) = done(reply)? {
                    return Ok(Some(self.probe_refused(probe, refusal, cx)));
                }
                for (slot, path) in [FIRST_NAME, SECOND_NAME].into_iter().zip(&probe.names) {
                    self.send(slot, Step::Look, &Request::Lstat { path }, cx);
                }
            }
            Step::Look => {
                let is_there = matches!(reply, Reply::Attrs { .. });
                if !is_there {
                    refused(reply)?;
                }
                probe.exist[usize::from(slot == SECOND_NAME)] = Some(is_there);
                let (made, found) = match probe.exist {
                    [Some(true), Some(false)] => (0, LinkOrder::Draft),
                    [Some(false), Some(true)] => (1, LinkOrder::Openssh),
                    [Some(_), Some(_)] => {
                        let hint = "; it is not known in which order the server reads the paths of a link";
                        self.left.extend(probe.names.iter().map(|name| RemotePath::new(name)));
                        self.skip_link(probe.slot, Refusal::failure(hint), cx);
                        return Ok(Some(LinkOrder::Unknown));
                    }
                    _ => return Ok(None),
                };
                probe.names.swap(0, made);
                probe.found = Some(found);
                self.send(FIRST_NAME, Step::Discard, &Request::Remove { path: &probe.names[0] }, cx);
            }
            _ => {
                let is_removed = done(reply)?.is_ok();
                self.left.extend((!is_removed).then(|| RemotePath::new(&probe.names[0])));
                return Ok(probe.found.take());
            }
        }
        Ok(None)
    }

    /// Tries other names, because these may be taken, or gives the link up. The server may refuse
    /// the links of one directory only, so the next link is tried again.
    fn probe_refused(&mut self, probe: &Probe, refusal: Refusal, cx: &mut TaskCx<'_>) -> LinkOrder {
        let attempt = probe.attempt + 1;
        let may_be_taken = !matches!(
            refusal.code,
            StatusCode::PermissionDenied | StatusCode::NoSuchFile | StatusCode::OpUnsupported
        );
        if may_be_taken && attempt < limits::LINK_PROBES && !self.is_abandoned() {
            return self.probe(Probe::new(probe.slot, &self.entry_path(probe.slot), attempt), cx);
        }
        self.skip_link(probe.slot, refusal, cx);
        LinkOrder::Unknown
    }

    /// Goes on with what follows a link.
    fn skip_link(&mut self, slot: u32, refusal: Refusal, cx: &mut TaskCx<'_>) {
        cx.report.note(refusal.problem("create the link", &self.entry_path(slot)));
        if FIRST_ENTRY + self.next as u32 == slot {
            self.next += 1;
        }
    }

    /// The temporary links that may exist now.
    pub(super) fn probe_left_over(&self) -> impl Iterator<Item = RemotePath> {
        let names = match &self.link_order {
            LinkOrder::Probed(probe) if probe.found.is_some() => &probe.names[..1],
            LinkOrder::Probed(probe) => &probe.names[..],
            _ => &[],
        };
        names.iter().map(|name| RemotePath::new(name))
    }
}
