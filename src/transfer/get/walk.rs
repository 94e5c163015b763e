//! The walk of a get through the directories of its host.

use std::sync::Arc;

use super::file::FileGet;
use super::folders::{Frame, FrameState};
use super::link::LinkGet;
use super::task::{Entry, FIRST_FRAME, GetTask, ROOT, Work};
use crate::error::{RemotePath, TransferProblem};
use crate::sftp::{Attrs, FileKind, Reply, Request, StatusCode};
use crate::transfer::local::{HostPath, Target};
use crate::transfer::put::paths;
use crate::transfer::replies::refused;
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

/// Where an entry goes on this machine.
pub(super) type Place = (Arc<Target>, HostPath);

impl GetTask {
    /// Begins entries of the innermost directory, as far as there is room. Reads more names if they
    /// are needed.
    pub(super) fn walk(&mut self, cx: &mut TaskCx<'_>) {
        self.read_ahead(cx);
        while let Some(at) = self.frames.len().checked_sub(1) {
            let frame = &mut self.frames[at];
            match frame.state {
                FrameState::Making | FrameState::Opening | FrameState::Reading => return,
                FrameState::Made => return self.open(at, cx),
                FrameState::Open | FrameState::Ended => {}
            }
            if !cx.requests.has_room() {
                return;
            }
            if let Some((name, attrs)) = frame.entries.pop_front() {
                let folder = frame.folder;
                if let Some(name) = self.begin_entry(folder, name, &attrs, cx)
                    && let Some(frame) = self.frames.last_mut()
                {
                    frame.entries.push_front((name, attrs));
                    return;
                }
                self.read_ahead(cx);
            } else if frame.state == FrameState::Open {
                self.read(at, cx);
            } else if let Some(frame) = self.frames.pop()
                && let Some(folders) = &mut self.folders
            {
                folders.end_entry(frame.folder, cx);
            }
        }
    }

    /// How many directories are open on the host.
    fn open_directories(&self) -> usize {
        let is_open = |frame: &&Frame| frame.handle.is_some() || frame.state == FrameState::Opening;
        self.frames.iter().filter(is_open).count()
    }

    /// Whether the server may open another file or directory. What is being closed may be open
    /// still.
    fn may_open(&self, cx: &TaskCx<'_>) -> bool {
        let files = self.slots.iter().flatten().count();
        files + self.open_directories() + cx.requests.closing() < cx.requests.max_handles
    }

    /// If the server may open nothing beside the directories that are open, reads the innermost of
    /// them to its end, so that it can be closed.
    fn read_ahead(&mut self, cx: &mut TaskCx<'_>) {
        if self.open_directories() < cx.requests.max_handles {
            return;
        }
        let innermost = self.frames.iter().rposition(|frame| frame.handle.is_some());
        if let Some(at) = innermost
            && self.frames[at].state == FrameState::Open
        {
            self.read(at, cx);
        }
    }

    /// Opens the directory if the server may open another one.
    fn open(&mut self, at: usize, cx: &mut TaskCx<'_>) {
        let folder = self.folders.as_ref().and_then(|folders| folders.get(self.frames[at].folder));
        if let Some(folder) = folder
            && self.may_open(cx)
        {
            let tag = Tag { slot: FIRST_FRAME + at as u32, step: Step::OpenDirectory };
            cx.requests.send(tag, &Request::Opendir { path: &folder.remote });
            self.frames[at].state = FrameState::Opening;
        }
    }

    /// Asks for more names of a directory.
    fn read(&mut self, at: usize, cx: &mut TaskCx<'_>) {
        let frame = &mut self.frames[at];
        if let Some(handle) = &frame.handle {
            let tag = Tag { slot: FIRST_FRAME + at as u32, step: Step::ReadDirectory };
            cx.requests.send(tag, &Request::Readdir { handle });
            frame.state = FrameState::Reading;
        }
    }

    /// Begins an entry. Returns its name if there is no free slot, or no free handle of the server.
    fn begin_entry(
        &mut self,
        folder: u32,
        name: Vec<u8>,
        attrs: &Attrs,
        cx: &mut TaskCx<'_>,
    ) -> Option<Vec<u8>> {
        let settings = self.plan.settings;
        let slot = self.slots.iter().position(Option::is_none).filter(|_| self.may_open(cx));
        let (remote, place) = self.place(folder, &name)?;
        if let Err(problem) = place.0.check(&place.1) {
            cx.report.note(problem.into());
            return None;
        }
        let work = match attrs.kind() {
            Some(FileKind::Directory) => {
                self.enter(folder, &name, None, attrs, cx);
                return None;
            }
            Some(FileKind::Other) => {
                cx.report.note(TransferProblem::Special { path: RemotePath::new(&remote) });
                return None;
            }
            _ if slot.is_none() => return Some(name),
            Some(FileKind::File) => {
                let slot = slot? as u32;
                Work::File(Box::new(FileGet::start(slot, settings, remote, attrs, place, cx)))
            }
            kind => {
                let slot = slot? as u32;
                Work::Link(Box::new(LinkGet::start(slot, settings, remote, kind, place, cx)))
            }
        };
        if let Some(folders) = &mut self.folders {
            folders.begin_entry(folder);
        }
        self.slots[slot?] = Some(Entry { place: Some((folder, name)), work });
        None
    }

    /// Where an entry is on the host and here.
    pub(super) fn place(&self, folder: u32, name: &[u8]) -> Option<(Vec<u8>, Place)> {
        let folders = self.folders.as_ref()?;
        let found = folders.get(folder)?;
        let path = found.path.iter().cloned().chain([name.to_vec()]).collect();
        Some((paths::join(&found.remote, name), (folders.target().clone(), path)))
    }

    /// Begins to read a directory.
    pub(super) fn enter(
        &mut self,
        parent: u32,
        name: &[u8],
        real: Option<Vec<u8>>,
        attrs: &Attrs,
        cx: &mut TaskCx<'_>,
    ) {
        let Some((remote, (_, path))) = self.place(parent, name) else { return };
        let Some(folders) = &mut self.folders else { return };
        let max = self.plan.settings.max_depth;
        let is_loop = real.as_ref().is_some_and(|real| folders.is_within(parent, real));
        let what = match () {
            () if is_loop => "the link leads back to a directory that contains it".to_owned(),
            () if path.len() >= max => format!("more than {max} levels of directories are not fetched"),
            () => {
                let folder = folders.add_below(parent, name, real, attrs, cx);
                self.frames.extend(folder.map(Frame::new));
                return;
            }
        };
        cx.report.note(TransferProblem::Limit { path: RemotePath::new(&remote), what });
    }

    /// Handles an answer about a directory. Closes it once all of its names are known.
    pub(super) fn reply_to_frame(
        &mut self,
        tag: Tag,
        reply: Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        let handled = self.listed(tag, reply, cx);
        if let Some(frame) = self.frames.get_mut((tag.slot - FIRST_FRAME) as usize)
            && frame.state == FrameState::Ended
            && let Some(handle) = frame.handle.take()
        {
            cx.requests.send(Tag { slot: ROOT, step: Step::Close }, &Request::Close { handle: &handle });
        }
        handled
    }

    fn listed(
        &mut self,
        Tag { slot, step }: Tag,
        reply: Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        let Some(frame) = self.frames.get_mut((slot - FIRST_FRAME) as usize) else { return Ok(()) };
        let refusal = match (step, reply) {
            (Step::OpenDirectory, Reply::Handle { handle, .. }) => {
                frame.handle = Some(handle.to_vec());
                frame.state = FrameState::Open;
                return Ok(());
            }
            (Step::ReadDirectory, Reply::Names { names, .. }) => {
                self.names = self.names.saturating_add(frame.take(names)?);
                let max = self.plan.settings.max_entries;
                if self.names > max {
                    let what =
                        format!("it contains more than {max} files and directories; raise Get::max_entries");
                    return Err(TransferProblem::Limit { path: RemotePath::new(&self.plan.remote), what });
                }
                return Ok(());
            }
            (Step::ReadDirectory, Reply::Status { code: StatusCode::Eof, .. }) => None,
            (_, other) => Some(refused(&other)?),
        };
        frame.state = FrameState::Ended;
        let folder = self.folders.as_ref().and_then(|folders| folders.get(frame.folder));
        if let (Some(refusal), Some(folder)) = (refusal, folder) {
            let problem = refusal.problem("read the directory", &folder.remote);
            if step == Step::OpenDirectory && folder.path.is_empty() {
                return Err(problem);
            }
            cx.report.note(problem);
        }
        Ok(())
    }
}
