//! Directories and links of a put, and the target itself.

use super::{FIRST_ENTRY, PutState, PutTask, TARGET};
use crate::error::TransferProblem;
use crate::sftp::{Attrs, FileKind, Reply, Request, StatusCode};
use crate::transfer::local::{Entry, EntryKind};
use crate::transfer::replies::{Refusal, done, refused};
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

impl PutTask {
    /// Creates directories. Those of one depth are created together, because all of them are in
    /// directories that are there.
    pub(super) fn make_directories(&mut self, depth: usize, cx: &mut TaskCx<'_>) {
        let Some(listing) = self.listing.clone() else { return };
        while let Some(entry) = listing.entries.get(self.next) {
            if entry.kind == EntryKind::Directory && entry.depth() == depth {
                if !cx.requests.has_room() {
                    return;
                }
                let slot = FIRST_ENTRY + self.next as u32;
                let path = self.path(&entry.path);
                if self.plan.settings.dry_run {
                    self.send(slot, Step::Look, &Request::Stat { path: &path }, cx);
                    self.next += 1;
                    continue;
                }
                // Others may look into a directory only once it is complete.
                let attrs = Attrs { mode: Some(0o700), ..Attrs::default() };
                self.send(slot, Step::MakeDirectory, &Request::Mkdir { path: &path, attrs }, cx);
            }
            self.next += 1;
        }
        if self.awaited == 0 {
            self.next = 0;
            let is_last = self.depth.is_none_or(|deepest| depth >= deepest);
            self.state = if is_last { PutState::Files } else { PutState::Directories { depth: depth + 1 } };
        }
    }

    /// Gives the directories their modes and times, the innermost first, because a directory that
    /// nobody may write to takes no more changes.
    pub(super) fn set_attributes(&mut self, cx: &mut TaskCx<'_>) {
        let Some(listing) = self.listing.clone() else { return };
        while self.next > 0 {
            if !cx.requests.has_room() {
                return;
            }
            self.next -= 1;
            let entry = &listing.entries[self.next];
            if entry.kind != EntryKind::Directory {
                continue;
            }
            let times = entry.times.filter(|_| self.plan.settings.keep_times);
            let attrs = Attrs { mode: Some(entry.mode & 0o7777), times, ..Attrs::default() };
            let path = self.path(&entry.path);
            let slot = FIRST_ENTRY + self.next as u32;
            self.send(slot, Step::SetAttributes, &Request::Setstat { path: &path, attrs }, cx);
        }
        if self.awaited == 0 {
            self.state = PutState::Done;
        }
    }

    /// Handles an answer about a directory, a link, or the target.
    pub(super) fn reply_to_entry(
        &mut self,
        Tag { slot, step }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        self.awaited = self.awaited.saturating_sub(1);
        if Self::is_of_probe(slot) {
            return self.reply_to_probe(Tag { slot, step }, reply, cx);
        }
        if self.is_abandoned() {
            return Ok(());
        }
        let entry = self.entry_path(slot);
        match step {
            Step::Look if slot == TARGET => {
                let is_directory = match reply {
                    Reply::Attrs { attrs, .. } => attrs.kind() == Some(FileKind::Directory),
                    other => {
                        refused(other)?;
                        false
                    }
                };
                self.place(is_directory, cx);
            }
            // The directories above the target are mostly there. If one is missing, the next
            // request fails.
            Step::MakeDirectory if slot == TARGET => {}
            Step::MakeDirectory => match done(reply)? {
                Ok(()) => cx.report.done.directories += 1,
                // Version 3 has no code for a directory that is there.
                Err(refusal) if refusal.code == StatusCode::Failure => {
                    self.send(slot, Step::Look, &Request::Stat { path: &entry }, cx);
                }
                Err(refusal) => return Err(refusal.problem("create the directory", &entry)),
            },
            Step::Look => self.looked(&entry, reply, cx)?,
            Step::MakeLink | Step::Replace | Step::Rename => self.made_link(Tag { slot, step }, reply, cx)?,
            Step::SetAttributes => {
                if let Err(refusal) = done(reply)? {
                    cx.report.note(refusal.problem("set the mode or the times of", &entry));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Handles what is in the place of a directory.
    fn looked(
        &mut self,
        entry: &[u8],
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        let refusal = match reply {
            Reply::Attrs { attrs, .. } if attrs.kind() == Some(FileKind::Directory) => return Ok(()),
            Reply::Attrs { .. } => Refusal::failure("; something else is in its place"),
            other => refused(other)?,
        };
        if refusal.code == StatusCode::NoSuchFile && self.plan.settings.dry_run {
            cx.report.done.directories += 1;
            return Ok(());
        }
        Err(refusal.problem("create the directory", entry))
    }

    pub(super) fn entry(&self, slot: u32) -> Option<&Entry> {
        let index = slot.checked_sub(FIRST_ENTRY)?;
        self.listing.as_ref()?.entries.get(index as usize)
    }

    pub(super) fn entry_path(&self, slot: u32) -> Vec<u8> {
        self.entry(slot).map_or_else(|| self.target.clone(), |entry| self.path(&entry.path))
    }
}
