//! What the jobs report.

use std::sync::Arc;

use super::{Begun, FileJob, Listing};
use crate::error::LocalProblem;
use crate::ids::CommandId;

/// The result of a [`FileJob`], for the command that asked.
#[derive(Debug)]
pub(crate) enum FileAnswer {
    Listed(Result<Arc<Listing>, LocalProblem>),
    /// A chunk that a [`Reader`](super::Reader) waits for. `offset` is a multiple of
    /// [`CHUNK`](crate::limits::CHUNK).
    Chunk {
        file: usize,
        offset: u64,
        bytes: Result<Arc<[u8]>, LocalProblem>,
    },
    Checked {
        file: usize,
        result: Result<(), LocalProblem>,
    },
    /// The SHA-256 of a file of a source.
    Hashed {
        file: usize,
        result: Result<[u8; 32], LocalProblem>,
    },
    Begun {
        tag: u32,
        result: Result<Begun, LocalProblem>,
    },
    /// `bytes` is how many bytes the job had, whether or not they could be written.
    Written {
        tag: u32,
        bytes: usize,
        result: Result<(), LocalProblem>,
    },
    Finished {
        tag: u32,
        result: Result<(), LocalProblem>,
    },
    /// `Ok` says whether the directory or link is new.
    Made {
        tag: u32,
        result: Result<bool, LocalProblem>,
    },
    /// The part file is removed, or kept to be resumed.
    Abandoned,
}

impl FileAnswer {
    /// The tag of the job, if it had one.
    pub(crate) fn tag(&self) -> Option<u32> {
        match self {
            Self::Begun { tag, .. }
            | Self::Written { tag, .. }
            | Self::Finished { tag, .. }
            | Self::Made { tag, .. } => Some(*tag),
            Self::Listed(_)
            | Self::Chunk { .. }
            | Self::Checked { .. }
            | Self::Hashed { .. }
            | Self::Abandoned => None,
        }
    }

    /// Whether this answers a job that [changes](FileJob::is_change) files.
    pub(crate) fn is_of_change(&self) -> bool {
        self.tag().is_some() || matches!(self, Self::Abandoned)
    }

    /// The job that cleans up after an answer that the command no longer needs.
    pub(crate) fn cleanup(self, asker: CommandId) -> Option<FileJob> {
        match self {
            Self::Begun { result: Ok(Begun::Part { part, resume_at }), .. } => {
                Some(FileJob::Abandon { part, keep: resume_at > 0, asker })
            }
            _ => None,
        }
    }
}
