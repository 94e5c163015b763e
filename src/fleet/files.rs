//! The threads that read and write the files of transfers. A turn must not wait for a disk. The
//! threads are started for the first transfer.

use std::collections::VecDeque;
use std::sync::Arc;

use mio::Waker;

use crate::ids::CommandId;
use crate::limits;
use crate::reactor::workers::Workers;
use crate::transfer::local::{FileAnswer, FileJob};

/// The threads, and the results that were not delivered yet.
pub(super) struct Files {
    workers: Option<Workers<FileJob>>,
    waker: Arc<Waker>,
    pub answers: VecDeque<(CommandId, FileAnswer)>,
}

impl Files {
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        Self { workers: None, waker, answers: VecDeque::new() }
    }

    /// Queues a job.
    pub(super) fn start(&mut self, job: FileJob) {
        let new = || Workers::new("sshoal-files", limits::FILE_THREADS, self.waker.clone());
        self.workers.get_or_insert_with(new).start(job);
    }

    /// Collects the results of the threads.
    pub(super) fn collect(&mut self) {
        let found = self.workers.as_ref().map(Workers::finished).unwrap_or_default();
        self.answers.extend(found.into_iter().flatten());
    }
}
