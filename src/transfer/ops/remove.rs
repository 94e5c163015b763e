//! Removing files and directories.

use std::collections::BTreeMap;

use super::{Operation, Recursion};
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::output::FileResult;
use crate::sftp::{Attrs, FileKind, Names, Reply, Request, StatusCode};
use crate::transfer::names;
use crate::transfer::put::paths;
use crate::transfer::replies::{Refusal, done, refused};
use crate::transfer::requests::{Step, Tag};
use crate::transfer::task::TaskCx;

/// Removes a file, a link, or a directory.
///
/// A directory is read to its end before anything in it is removed, because servers may skip names
/// otherwise. Only the innermost directory has requests under way. What is listed as a directory is
/// opened, and everything else is removed, so no link is followed.
#[derive(Debug)]
pub(super) struct Remove {
    path: Vec<u8>,
    recursion: Option<Recursion>,
    /// The directories on the way to the innermost one.
    frames: Vec<Frame>,
    /// How many entries were found, and the bytes of the names that wait.
    entries: u64,
    bytes: u64,
}

/// A directory whose contents are removed.
#[derive(Debug)]
struct Frame {
    path: Vec<u8>,
    handle: Option<Vec<u8>>,
    is_listed: bool,
    /// The names that wait: those of directories, and all others.
    directories: Vec<Vec<u8>>,
    others: Vec<Vec<u8>>,
    /// The removals without an answer, by slot, with the server's refusal if what the name is was
    /// asked for after it.
    removing: BTreeMap<u32, (Vec<u8>, Option<Refusal>)>,
    next_slot: u32,
    /// Whether a request about the directory itself has no answer.
    is_waiting: bool,
}

/// The slot of requests about the directory itself.
const OWN: u32 = 0;

impl Frame {
    fn new(path: Vec<u8>) -> Self {
        Self {
            path,
            handle: None,
            is_listed: false,
            directories: Vec::new(),
            others: Vec::new(),
            removing: BTreeMap::new(),
            next_slot: OWN,
            is_waiting: false,
        }
    }

    /// Makes a request about the directory itself. There is one at a time.
    fn send(&mut self, step: Step, request: &Request<'_>, cx: &mut TaskCx<'_>) {
        cx.requests.send(Tag { slot: OWN, step }, request);
        self.is_waiting = true;
    }

    fn open(&mut self, cx: &mut TaskCx<'_>) {
        let path = std::mem::take(&mut self.path);
        self.send(Step::OpenDirectory, &Request::Opendir { path: &path }, cx);
        self.path = path;
    }

    fn read(&mut self, cx: &mut TaskCx<'_>) {
        let Some(handle) = self.handle.take() else { return };
        self.send(Step::ReadDirectory, &Request::Readdir { handle: &handle }, cx);
        self.handle = Some(handle);
    }

    fn close(&mut self, cx: &mut TaskCx<'_>) {
        self.is_listed = true;
        if let Some(handle) = self.handle.take() {
            self.send(Step::Close, &Request::Close { handle: &handle }, cx);
        }
    }

    fn remove_others(&mut self, cx: &mut TaskCx<'_>) {
        while cx.requests.has_room()
            && let Some(name) = self.others.pop()
        {
            // Slots come back only after four thousand million removals.
            self.next_slot = self.next_slot.wrapping_add(1).max(OWN + 1);
            let path = paths::join(&self.path, &name);
            cx.requests
                .send(Tag { slot: self.next_slot, step: Step::Remove }, &Request::Remove { path: &path });
            self.removing.insert(self.next_slot, (name, None));
        }
    }

    /// Handles the answer about one of the entries, and returns whether it is removed.
    fn reply_to_entry(
        &mut self,
        Tag { slot, step }: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<bool, TransferProblem> {
        let Some((name, refusal)) = self.removing.remove(&slot) else { return Ok(false) };
        let path = paths::join(&self.path, &name);
        if step == Step::Remove {
            let Err(refusal) = done(reply)? else { return Ok(true) };
            // A server that lists no kinds refuses to remove a directory so.
            cx.requests.send(Tag { slot, step: Step::Look }, &Request::Lstat { path: &path });
            self.removing.insert(slot, (name, Some(refusal)));
            return Ok(false);
        }
        match (reply, refusal) {
            (Reply::Attrs { attrs, .. }, _) if attrs.kind() == Some(FileKind::Directory) => {
                self.directories.push(name);
                Ok(false)
            }
            // It was removed from elsewhere meanwhile.
            (Reply::Status { code: StatusCode::NoSuchFile, .. }, _) => Ok(true),
            (_, Some(refusal)) => Err(refusal.problem("remove", &path)),
            (other, None) => Err(refused(other)?.problem("remove", &path)),
        }
    }
}

impl Remove {
    pub(super) fn new(path: Vec<u8>, recursion: Option<Recursion>) -> Self {
        // With a slash at its end, the path of a link would be that of its target.
        let path = paths::trim(&path).to_vec();
        Self { path, recursion, frames: Vec::new(), entries: 0, bytes: 0 }
    }

    fn send(&self, step: Step, request: &Request<'_>, cx: &mut TaskCx<'_>) {
        cx.requests.send(Tag { slot: OWN, step }, request);
    }

    fn looked(&mut self, attrs: &Attrs, cx: &mut TaskCx<'_>) {
        match (attrs.kind(), self.recursion) {
            (Some(FileKind::Directory), Some(_)) => {
                let mut frame = Frame::new(self.path.clone());
                frame.open(cx);
                self.frames.push(frame);
            }
            (Some(FileKind::Directory), None) => {
                self.send(Step::RemoveDirectory, &Request::Rmdir { path: &self.path }, cx);
            }
            _ => self.send(Step::Remove, &Request::Remove { path: &self.path }, cx),
        }
    }

    fn take(&mut self, names: Names<'_>) -> Result<(), TransferProblem> {
        let (Some(frame), Some(recursion)) = (self.frames.last_mut(), self.recursion) else {
            return Ok(());
        };
        for name in names {
            let name = name?;
            let Some(bytes) = names::entry(name.name)? else { continue };
            self.entries += 1;
            self.bytes += bytes.len() as u64;
            let is_directory = name.attrs.kind() == Some(FileKind::Directory);
            let list = if is_directory { &mut frame.directories } else { &mut frame.others };
            list.push(bytes.to_vec());
        }
        let max = recursion.max_entries;
        let what = match () {
            () if self.entries > max => {
                format!("there are more than {max} entries below it; raise FileRequest::max_entries")
            }
            () if self.bytes > limits::LISTED_BYTES => {
                format!("the names below it have more than {} bytes", limits::LISTED_BYTES)
            }
            () => return Ok(()),
        };
        Err(TransferProblem::Limit { path: RemotePath::new(&self.path), what })
    }

    /// Goes on with the innermost directory.
    fn step(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut().filter(|frame| !frame.is_waiting) else { return Ok(()) };
        if !frame.is_listed {
            frame.read(cx);
            return Ok(());
        }
        frame.remove_others(cx);
        if !frame.others.is_empty() || !frame.removing.is_empty() {
            return Ok(());
        }
        if let Some(name) = frame.directories.pop() {
            let path = paths::join(&frame.path, &name);
            let max = self.recursion.map_or(0, |recursion| recursion.max_depth);
            if depth >= max {
                let what = format!("it is below more than {max} directories; remove it first");
                return Err(TransferProblem::Limit { path: RemotePath::new(&path), what });
            }
            let mut inner = Frame::new(path);
            inner.open(cx);
            self.frames.push(inner);
            return Ok(());
        }
        let path = std::mem::take(&mut frame.path);
        frame.send(Step::RemoveDirectory, &Request::Rmdir { path: &path }, cx);
        frame.path = path;
        Ok(())
    }

    /// Handles an answer about the innermost directory itself.
    fn reply_to_frame(
        &mut self,
        step: Step,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<Option<FileResult>, TransferProblem> {
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        frame.is_waiting = false;
        match (step, reply) {
            (Step::OpenDirectory, Reply::Handle { handle, .. }) => frame.handle = Some(handle.to_vec()),
            (Step::ReadDirectory, Reply::Status { code: StatusCode::Eof, .. }) => frame.close(cx),
            (Step::ReadDirectory, Reply::Names { names, .. }) if names.left() == 0 => frame.close(cx),
            (Step::ReadDirectory, Reply::Names { names, .. }) => self.take(names.clone())?,
            (Step::OpenDirectory | Step::ReadDirectory, other) => {
                return Err(refused(other)?.problem("list the directory", &frame.path));
            }
            (Step::RemoveDirectory, reply) => {
                if let Err(refusal) = done(reply)? {
                    return Err(refusal.problem("remove the directory", &frame.path));
                }
                cx.report.done.deleted += 1;
                self.frames.pop();
                if self.frames.is_empty() {
                    return Ok(Some(FileResult::Done));
                }
            }
            // Whether the handle was closed makes no difference.
            _ => {}
        }
        Ok(None)
    }
}

impl Operation for Remove {
    fn begin(&mut self, cx: &mut TaskCx<'_>) {
        self.send(Step::Look, &Request::Lstat { path: &self.path }, cx);
    }

    fn advance(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        self.step(cx)
    }

    fn reply(
        &mut self,
        tag: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<Option<FileResult>, TransferProblem> {
        if let Some(frame) = self.frames.last_mut().filter(|_| tag.slot != OWN) {
            cx.report.done.deleted += u64::from(frame.reply_to_entry(tag, reply, cx)?);
            return Ok(None);
        }
        if !self.frames.is_empty() {
            return self.reply_to_frame(tag.step, reply, cx);
        }
        match (tag.step, reply) {
            (Step::Look, Reply::Attrs { attrs, .. }) => self.looked(attrs, cx),
            (Step::Look, other) => return Err(refused(other)?.problem("remove", &self.path)),
            (step, reply) => match (done(reply)?, step) {
                (Ok(()), _) => {
                    cx.report.done.deleted += 1;
                    return Ok(Some(FileResult::Done));
                }
                (Err(refusal), Step::RemoveDirectory) => {
                    return Err(refusal.problem("remove the directory", &self.path));
                }
                (Err(refusal), _) => return Err(refusal.problem("remove", &self.path)),
            },
        }
        Ok(None)
    }
}
