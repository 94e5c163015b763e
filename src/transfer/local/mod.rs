//! The files of this machine that are copied to or from hosts.
//!
//! A turn never waits for a disk, so everything that touches one is a [`FileJob`], which a thread
//! runs. A job's answers go to the commands that need them.
//!
//! - A [`Source`] is read once for all hosts that are near each other in it.
//! - A [`Target`] is the directory that one host's files are written to. What the host says is
//!   trusted for nothing: everything below the directory is opened name by name, without following
//!   links, and a file is written under a name of its own and renamed when it is whole.

mod answer;
mod chunks;
mod claims;
mod folder;
mod listing;
mod part;
mod source;
mod target;
#[cfg(test)]
pub(super) mod tests;
mod walk;

pub(crate) use answer::FileAnswer;
pub(crate) use claims::Claims;
pub use listing::Links;
pub(crate) use listing::{Entry, EntryKind, Listing, Missing};
pub(crate) use part::Part;
pub(crate) use source::{Reader, Source, SourceOptions};
pub(crate) use target::{Begun, NewFile, Target, TargetOptions};

use std::io;
use std::sync::Arc;

use crate::error::LocalProblem;
use crate::ids::CommandId;
use crate::reactor::workers::Job;
pub(crate) use crate::sftp::Times;

/// Where in the tree that a host sends something is, name by name, as the host names it. Nothing
/// has checked the names.
pub(crate) type HostPath = Vec<Vec<u8>>;

/// Work with files. `tag` is returned with the answer.
#[derive(Debug)]
pub(crate) enum FileJob {
    /// Lists a source, unless that was done before.
    List { source: Arc<Source>, asker: CommandId },
    /// Reads a run of chunks for those that wait for them. Made by [`Reader::chunk`] only.
    Read { source: Arc<Source>, file: usize, first: u64, count: u64 },
    /// Checks that an entry of a source, by its position in the listing, is what was listed.
    Check { source: Arc<Source>, file: usize, asker: CommandId },
    /// Computes the SHA-256 of an entry of a source, unless that was done before.
    Hash { source: Arc<Source>, file: usize, asker: CommandId },
    /// Opens a part file.
    Begin { target: Arc<Target>, tag: u32, path: HostPath, file: NewFile, asker: CommandId },
    /// Writes pieces, each with its offset.
    Write { part: Arc<Part>, tag: u32, pieces: Vec<(u64, Vec<u8>)>, asker: CommandId },
    /// Gives the file its length, mode and name. A part file that cannot be finished is removed.
    Finish { part: Arc<Part>, tag: u32, file: NewFile, asker: CommandId },
    /// Removes the part file, or keeps it so that a later copy can resume it.
    Abandon { part: Arc<Part>, keep: bool, asker: CommandId },
    /// Creates a directory, unless it exists.
    MakeDirectory { target: Arc<Target>, tag: u32, path: HostPath, asker: CommandId },
    /// Sets the mode and times of a directory that was made, after everything in it was written.
    SetDirectory {
        target: Arc<Target>,
        tag: u32,
        path: HostPath,
        mode: Option<u32>,
        times: Option<Times>,
        asker: CommandId,
    },
    /// Creates a symbolic link.
    MakeLink { target: Arc<Target>, tag: u32, path: HostPath, leads_to: Vec<u8>, asker: CommandId },
}

impl FileJob {
    /// Whether the job changes files of this machine. It has one answer, for the command that
    /// asked, and that command has not ended before.
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::List { .. } | Self::Read { .. } | Self::Check { .. } | Self::Hash { .. } => false,
            Self::Begin { .. }
            | Self::Write { .. }
            | Self::Finish { .. }
            | Self::Abandon { .. }
            | Self::MakeDirectory { .. }
            | Self::SetDirectory { .. }
            | Self::MakeLink { .. } => true,
        }
    }
}

impl Job for FileJob {
    type Done = Vec<(CommandId, FileAnswer)>;

    fn run(self) -> Self::Done {
        match self {
            Self::List { source, asker } => vec![(asker, FileAnswer::Listed(source.list()))],
            Self::Read { source, file, first, count } => source.read(file, first, count),
            Self::Check { source, file, asker } => {
                vec![(asker, FileAnswer::Checked { file, result: source.check(file) })]
            }
            Self::Hash { source, file, asker } => {
                vec![(asker, FileAnswer::Hashed { file, result: source.hash(file) })]
            }
            Self::Begin { target, tag, path, file, asker } => {
                vec![(asker, FileAnswer::Begun { tag, result: target.begin(&path, file) })]
            }
            Self::Write { part, tag, pieces, asker } => {
                let bytes = pieces.iter().map(|(_, piece)| piece.len()).sum();
                vec![(asker, FileAnswer::Written { tag, bytes, result: part.write(&pieces) })]
            }
            Self::Finish { part, tag, file, asker } => {
                vec![(asker, FileAnswer::Finished { tag, result: part.finish(file) })]
            }
            Self::Abandon { part, keep, asker } => {
                part.abandon(keep);
                vec![(asker, FileAnswer::Abandoned)]
            }
            Self::MakeDirectory { target, tag, path, asker } => {
                vec![(asker, FileAnswer::Made { tag, result: target.make_directory(&path) })]
            }
            Self::SetDirectory { target, tag, path, mode, times, asker } => {
                let result = target.set_directory(&path, mode, times).map(|()| false);
                vec![(asker, FileAnswer::Made { tag, result })]
            }
            Self::MakeLink { target, tag, path, leads_to, asker } => {
                let result = target.make_link(&path, &leads_to).map(|()| true);
                vec![(asker, FileAnswer::Made { tag, result })]
            }
        }
    }

    fn refuse(self, cause: &io::Error) -> Self::Done {
        let problem = |path: &std::path::Path| {
            let error = io::Error::new(cause.kind(), cause.to_string());
            LocalProblem::io("start a thread to access", path, error)
        };
        match self {
            Self::List { source, asker } => {
                vec![(asker, FileAnswer::Listed(Err(problem(source.root()))))]
            }
            Self::Read { source, file, first, count } => {
                source.read_failed(file, first, count, problem(source.root()))
            }
            Self::Check { source, file, asker } => {
                vec![(asker, FileAnswer::Checked { file, result: Err(problem(source.root())) })]
            }
            Self::Hash { source, file, asker } => {
                vec![(asker, FileAnswer::Hashed { file, result: Err(problem(source.root())) })]
            }
            Self::Begin { target, tag, asker, .. } => {
                vec![(asker, FileAnswer::Begun { tag, result: Err(problem(target.root())) })]
            }
            Self::Write { part, tag, pieces, asker } => {
                let bytes = pieces.iter().map(|(_, piece)| piece.len()).sum();
                vec![(asker, FileAnswer::Written { tag, bytes, result: Err(problem(&part.path())) })]
            }
            Self::Finish { part, tag, asker, .. } => {
                vec![(asker, FileAnswer::Finished { tag, result: Err(problem(&part.path())) })]
            }
            // Dropping the part has the same effect.
            Self::Abandon { asker, .. } => vec![(asker, FileAnswer::Abandoned)],
            Self::MakeDirectory { target, tag, asker, .. }
            | Self::SetDirectory { target, tag, asker, .. }
            | Self::MakeLink { target, tag, asker, .. } => {
                vec![(asker, FileAnswer::Made { tag, result: Err(problem(target.root())) })]
            }
        }
    }
}
