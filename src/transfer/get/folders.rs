//! The directories of a get that are not complete.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::options::Settings;
use crate::error::TransferProblem;
use crate::limits;
use crate::sftp::{Attrs, Names, Times};
use crate::transfer::local::{FileJob, HostPath, Target};
use crate::transfer::put::paths;
use crate::transfer::task::TaskCx;

/// The tags of the jobs of directories: a number per directory, and one of these.
const MAKE: u32 = limits::FILES_AT_ONCE as u32;
const SET: u32 = MAKE + 1;

/// What the answer to a file job of a directory is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FolderJob {
    Made(u32),
    Set(u32),
}

/// A directory of which something is missing.
#[derive(Debug)]
pub(super) struct Folder {
    /// The path on the host.
    pub remote: Vec<u8>,
    /// The path below the target.
    pub path: HostPath,
    /// The absolute path on the host, without links, if it is known.
    real: Option<Vec<u8>>,
    mode: Option<u32>,
    times: Option<Times>,
    parent: Option<u32>,
    /// How many of its entries are not complete, and one more until all are known.
    incomplete: usize,
    is_new: bool,
}

/// The directories that are not complete, by number.
#[derive(Debug)]
pub(super) struct Folders {
    target: Arc<Target>,
    settings: Settings,
    folders: HashMap<u32, Folder>,
    next: u32,
}

impl Folders {
    pub(super) fn new(target: Arc<Target>, settings: Settings) -> Self {
        Self { target, settings, folders: HashMap::new(), next: 0 }
    }

    /// The tag of a job, if it is that of a directory.
    pub(super) fn job(tag: u32) -> Option<FolderJob> {
        let number = tag / super::file::TAGS_PER_SLOT;
        match tag % super::file::TAGS_PER_SLOT {
            MAKE => Some(FolderJob::Made(number)),
            SET => Some(FolderJob::Set(number)),
            _ => None,
        }
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    pub(super) fn get(&self, number: u32) -> Option<&Folder> {
        self.folders.get(&number)
    }

    /// Adds the directory with everything, and creates it here.
    pub(super) fn add_root(
        &mut self,
        remote: Vec<u8>,
        real: Option<Vec<u8>>,
        attrs: &Attrs,
        cx: &mut TaskCx<'_>,
    ) -> u32 {
        self.add(remote, HostPath::new(), real, attrs, None, cx)
    }

    /// Adds a directory in another one, and creates it here.
    pub(super) fn add_below(
        &mut self,
        parent: u32,
        name: &[u8],
        real: Option<Vec<u8>>,
        attrs: &Attrs,
        cx: &mut TaskCx<'_>,
    ) -> Option<u32> {
        let above = self.get(parent)?;
        let remote = paths::join(&above.remote, name);
        let mut path = above.path.clone();
        path.push(name.to_vec());
        let real = real.or_else(|| Some(paths::join(above.real.as_ref()?, name)));
        self.begin_entry(parent);
        Some(self.add(remote, path, real, attrs, Some(parent), cx))
    }

    fn add(
        &mut self,
        remote: Vec<u8>,
        path: HostPath,
        real: Option<Vec<u8>>,
        attrs: &Attrs,
        parent: Option<u32>,
        cx: &mut TaskCx<'_>,
    ) -> u32 {
        let number = self.next;
        self.next = (number + 1) % (u32::MAX / super::file::TAGS_PER_SLOT);
        let tag = number * super::file::TAGS_PER_SLOT + MAKE;
        let target = self.target.clone();
        cx.jobs.push(FileJob::MakeDirectory { target, tag, path: path.clone(), asker: cx.id });
        let (mode, times) = (attrs.permissions(), attrs.times);
        let folder = Folder { remote, path, real, mode, times, parent, incomplete: 1, is_new: false };
        self.folders.insert(number, folder);
        number
    }

    /// Whether a directory is the one with everything.
    pub(super) fn is_root(&self, number: u32) -> bool {
        self.get(number).is_some_and(|folder| folder.parent.is_none())
    }

    /// Whether a directory with this path is among those that contain the directory, or the
    /// directory itself.
    pub(super) fn is_within(&self, number: u32, real: &[u8]) -> bool {
        let above = |folder: &&Folder| folder.parent.and_then(|parent| self.get(parent));
        let mut chain = std::iter::successors(self.get(number), above);
        chain.any(|folder| folder.real.as_deref() == Some(real))
    }

    /// Notes that the directory was created.
    pub(super) fn made(&mut self, number: u32, is_new: bool, cx: &mut TaskCx<'_>) {
        if let Some(folder) = self.folders.get_mut(&number) {
            folder.is_new = is_new;
            cx.report.done.directories += u64::from(is_new);
        }
    }

    /// Notes that an entry of the directory is on its way.
    pub(super) fn begin_entry(&mut self, number: u32) {
        if let Some(folder) = self.folders.get_mut(&number) {
            folder.incomplete += 1;
        }
    }

    /// Notes that an entry of the directory is complete, or that all entries are known. A directory
    /// gets its mode and times once everything in it is complete: files may then be forbidden, and
    /// each new file changes its times.
    pub(super) fn end_entry(&mut self, number: u32, cx: &mut TaskCx<'_>) {
        let Some(folder) = self.folders.get_mut(&number) else { return };
        folder.incomplete -= 1;
        if folder.incomplete > 0 {
            return;
        }
        let keeps = self.settings.target.preserve || self.settings.target.skip_same;
        if !folder.is_new && !keeps {
            return self.remove(number, cx);
        }
        let (target, path) = (self.target.clone(), folder.path.clone());
        let tag = number * super::file::TAGS_PER_SLOT + SET;
        // Without a mode from the host, the directory gets the usual one.
        let mode =
            Some(folder.mode.unwrap_or(0o777)).filter(|_| folder.is_new || self.settings.target.preserve);
        let times = folder.times;
        cx.jobs.push(FileJob::SetDirectory { target, tag, path, mode, times, asker: cx.id });
    }

    /// Forgets a directory that is complete.
    pub(super) fn remove(&mut self, number: u32, cx: &mut TaskCx<'_>) {
        if let Some(parent) = self.folders.remove(&number).and_then(|folder| folder.parent) {
            self.end_entry(parent, cx);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }
}

/// A directory that is being read.
#[derive(Debug)]
pub(super) struct Frame {
    pub folder: u32,
    pub handle: Option<Vec<u8>>,
    pub state: FrameState,
    /// The entries that have arrived and not begun.
    pub entries: VecDeque<(Vec<u8>, Attrs)>,
    /// How often the server has listed the directory itself or the one above.
    dots: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameState {
    /// The directory is created here.
    Making,
    /// It is here. It is opened on the host once the server may open another one.
    Made,
    /// The directory is opened on the host.
    Opening,
    Open,
    /// More names are on their way.
    Reading,
    /// There are no more names.
    Ended,
}

impl Frame {
    pub(super) fn new(folder: u32) -> Self {
        Self { folder, handle: None, state: FrameState::Making, entries: VecDeque::new(), dots: 0 }
    }

    /// Takes the names of a reply. Returns how many there are.
    pub(super) fn take(&mut self, names: Names<'_>) -> Result<u64, TransferProblem> {
        let protocol = |text: &str| Err(TransferProblem::Protocol(text.to_owned()));
        let mut count = 0;
        // A reply without names is the end, as for OpenSSH's client.
        self.state = FrameState::Ended;
        for name in names {
            let name = name?;
            self.state = FrameState::Open;
            if matches!(name.name, b"." | b"..") {
                self.dots += 1;
                if self.dots > 2 {
                    return protocol("a directory lists itself again and again");
                }
                continue;
            }
            if count >= limits::NAMES_PER_REPLY as u64 {
                return protocol("too many names in one reply");
            }
            self.entries.push_back((name.name.to_vec(), name.attrs));
            count += 1;
        }
        Ok(count)
    }
}
