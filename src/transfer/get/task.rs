//! A get on one host: the walk through its tree, with several files on their way at a time.

use std::sync::Arc;

use super::GetPlan;
use super::file::{FileGet, TAGS_PER_SLOT};
use super::folders::{FolderJob, Folders, Frame, FrameState};
use super::link::{LinkGet, Resolved};
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::sftp::{Attrs, FileKind, Reply, Request};
use crate::transfer::errand::ErrandResult;
use crate::transfer::local::{FileAnswer, Links};
use crate::transfer::replies::refused;
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::{Task, TaskCx};

/// The slot of requests about the remote path itself. Those of entries have lower slots than
/// [`FIRST_FRAME`].
pub(super) const ROOT: u32 = u32::MAX;

/// The slot of the outermost directory that is open.
pub(super) const FIRST_FRAME: u32 = limits::FILES_AT_ONCE as u32;

/// A get on one host.
#[derive(Debug)]
pub(in crate::transfer) struct GetTask {
    pub(super) plan: Arc<GetPlan>,
    host: String,
    state: GetState,
    /// What the remote path is, and where, once that is known.
    root: Option<Attrs>,
    real: Option<Vec<u8>>,
    pub(super) folders: Option<Folders>,
    /// The directories that are being read, from the outermost.
    pub(super) frames: Vec<Frame>,
    /// What is on its way.
    pub(super) slots: [Option<Entry>; limits::FILES_AT_ONCE],
    /// How many names the server has listed.
    pub(super) names: u64,
    /// How many requests about the remote path itself wait for their answers.
    awaited: usize,
}

/// How far a get is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GetState {
    New,
    /// What the remote path is, is asked for.
    Looking,
    Copying,
    /// The get has failed or was cancelled.
    Abandoned,
}

/// An entry of a directory on its way, or the single file of a get.
#[derive(Debug)]
pub(super) struct Entry {
    /// The directory that it is in, and its name there.
    pub place: Option<(u32, Vec<u8>)>,
    pub work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    File(Box<FileGet>),
    Link(Box<LinkGet>),
}

impl GetTask {
    pub(in crate::transfer) fn new(plan: Arc<GetPlan>, host: &str) -> Self {
        Self {
            plan,
            host: host.to_owned(),
            state: GetState::New,
            root: None,
            real: None,
            folders: None,
            frames: Vec::new(),
            slots: Default::default(),
            names: 0,
            awaited: 0,
        }
    }

    fn look(&mut self, cx: &mut TaskCx<'_>) {
        self.state = GetState::Looking;
        let mut send = |step, request| cx.requests.send(Tag { slot: ROOT, step }, &request);
        send(Step::Look, Request::Stat { path: &self.plan.remote });
        self.awaited = 1;
        if self.plan.settings.recurse && self.plan.settings.links == Links::Follow {
            send(Step::RealPath, Request::Realpath { path: &self.plan.remote });
            self.awaited = 2;
        }
    }

    /// Handles the answers about the remote path itself.
    fn looked(&mut self, step: Step, reply: &Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        self.awaited = self.awaited.saturating_sub(1);
        match (step, reply) {
            (Step::Look, Reply::Attrs { attrs, .. }) => self.root = Some(*attrs),
            (Step::Look, other) => return Err(refused(other)?.problem("look at", &self.plan.remote)),
            (Step::RealPath, Reply::Names { names, .. }) => {
                self.real = names.clone().next().transpose()?.map(|name| name.name.to_vec());
            }
            // Not every server has this. It is needed only to find loops early.
            (Step::RealPath, other) => drop(refused(other)?),
            _ => {}
        }
        match self.root {
            Some(attrs) if self.awaited == 0 && self.state == GetState::Looking => self.begin(&attrs, cx),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, attrs: &Attrs, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        self.state = GetState::Copying;
        let plan = self.plan.clone();
        match attrs.kind() {
            Some(FileKind::Directory) if !plan.settings.recurse => {
                Err(TransferProblem::IsDirectory { path: RemotePath::new(&plan.remote).to_string() })
            }
            Some(FileKind::Directory) => {
                let target = plan.target(plan.local_path(&self.host));
                let folders = self.folders.insert(Folders::new(target, plan.settings));
                let root = folders.add_root(plan.remote.clone(), self.real.take(), attrs, cx);
                self.frames.push(Frame::new(root));
                Ok(())
            }
            Some(FileKind::File) | None => {
                cx.report.is_single = true;
                let place = plan.file_target(&self.host)?;
                let file = FileGet::start(0, plan.settings, plan.remote.clone(), attrs, place, cx);
                self.slots[0] = Some(Entry { place: None, work: Work::File(Box::new(file)) });
                Ok(())
            }
            _ => Err(TransferProblem::Special { path: RemotePath::new(&plan.remote) }),
        }
    }

    /// Handles an answer about an entry.
    fn reply_to_entry(
        &mut self,
        Tag { slot, step }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        let Some(entry) = &mut self.slots[slot as usize] else { return Ok(()) };
        let resolved = match &mut entry.work {
            Work::File(file) => {
                file.reply(step, reply, cx)?;
                None
            }
            // A file that had the slot before was closed without waiting for the answer.
            Work::Link(_) if step == Step::Close => None,
            Work::Link(link) => link.reply(reply, cx)?,
        };
        let place = entry.place.clone();
        let (Some(resolved), Some((folder, name))) = (resolved, place) else { return Ok(()) };
        match resolved {
            Resolved::File(attrs) => {
                if let Some((remote, place)) = self.place(folder, &name) {
                    let file = FileGet::start(slot, self.plan.settings, remote, &attrs, place, cx);
                    self.slots[slot as usize] =
                        Some(Entry { place: Some((folder, name)), work: Work::File(Box::new(file)) });
                }
            }
            Resolved::Directory(attrs, real) => self.enter(folder, &name, real, &attrs, cx),
        }
        Ok(())
    }

    /// Forgets the entries that are done.
    fn take_done(&mut self, cx: &mut TaskCx<'_>) {
        for slot in &mut self.slots {
            let Some(entry) = slot else { continue };
            let problem = match &mut entry.work {
                Work::File(file) if file.is_done() => file.take_problem(),
                Work::Link(link) if link.is_done() => link.take_problem(),
                _ => continue,
            };
            problem.into_iter().for_each(|problem| cx.report.note(problem));
            if let (Some((folder, _)), Some(folders)) = (&entry.place, &mut self.folders) {
                folders.end_entry(*folder, cx);
            }
            *slot = None;
        }
    }

    fn files(&mut self) -> impl Iterator<Item = &mut Box<FileGet>> {
        self.slots.iter_mut().flatten().filter_map(|entry| match &mut entry.work {
            Work::File(file) => Some(file),
            Work::Link(_) => None,
        })
    }

    /// Handles the answer to a job of a directory.
    fn answer_to_folder(
        &mut self,
        job: FolderJob,
        answer: FileAnswer,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        let (FileAnswer::Made { result, .. }, Some(folders)) = (answer, &mut self.folders) else {
            return Ok(());
        };
        match (job, result) {
            (FolderJob::Made(number), Ok(is_new)) => {
                folders.made(number, is_new, cx);
                if let Some(frame) = self.frames.iter_mut().find(|frame| frame.folder == number) {
                    frame.state = FrameState::Made;
                }
            }
            (FolderJob::Made(number), Err(problem)) => {
                if problem.is_of_disk() || folders.is_root(number) {
                    return Err(problem.into());
                }
                cx.report.note(problem.into());
                let frames = self.frames.iter_mut();
                frames
                    .filter(|frame| frame.folder == number)
                    .for_each(|frame| frame.state = FrameState::Ended);
            }
            (FolderJob::Set(number), result) => {
                if let Err(problem) = result {
                    cx.report.note(problem.into());
                }
                folders.remove(number, cx);
            }
        }
        Ok(())
    }
}

impl Task for GetTask {
    fn advance(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        if self.state == GetState::New {
            self.look(cx);
        }
        self.files().for_each(|file| file.advance(cx));
        self.take_done(cx);
        self.walk(cx);
        // What has just begun may be done.
        self.take_done(cx);
        Ok(())
    }

    fn reply(&mut self, tag: Tag, reply: Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        match tag.slot {
            _ if self.state == GetState::Abandoned => Ok(()),
            ROOT => self.looked(tag.step, &reply, cx),
            slot if slot >= FIRST_FRAME => self.reply_to_frame(tag, reply, cx),
            _ => self.reply_to_entry(tag, &reply, cx),
        }
    }

    fn answer(&mut self, answer: FileAnswer, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        if self.state == GetState::Abandoned {
            cx.jobs.extend(answer.cleanup(cx.id));
            return Ok(());
        }
        let Some(tag) = answer.tag() else { return Ok(()) };
        if let Some(job) = Folders::job(tag) {
            self.answer_to_folder(job, answer, cx)?;
        } else if let Some(Some(entry)) = self.slots.get_mut((tag % TAGS_PER_SLOT) as usize) {
            match &mut entry.work {
                Work::File(file) => file.answer(answer, cx)?,
                Work::Link(link) => link.answer(answer, cx),
            }
        }
        Ok(())
    }

    /// A get runs no commands.
    fn ran(&mut self, _result: ErrandResult, _cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        Ok(())
    }

    fn abandon(&mut self, cx: &mut TaskCx<'_>) {
        self.state = GetState::Abandoned;
        self.files().for_each(|file| file.abandon(cx));
    }

    fn is_done(&self) -> bool {
        match self.state {
            GetState::Abandoned => true,
            GetState::Copying => {
                self.frames.is_empty()
                    && self.slots.iter().all(Option::is_none)
                    && self.folders.as_ref().is_none_or(Folders::is_empty)
            }
            GetState::New | GetState::Looking => false,
        }
    }

    fn left_over(&self) -> Vec<RemotePath> {
        Vec::new()
    }

    fn unwritten(&self) -> usize {
        // What a get that was given up has on its way must not hold up the end of the channel.
        if self.state == GetState::Abandoned {
            return 0;
        }
        let entries = self.slots.iter().flatten();
        let files = entries.filter_map(|entry| match &entry.work {
            Work::File(file) => Some(file.unwritten()),
            Work::Link(_) => None,
        });
        files.sum()
    }
}
