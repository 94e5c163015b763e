//! What transfers need besides their SFTP channels: threads that read and write files, because a
//! turn must not wait for a disk, commands on their hosts, and the limit on their rate. The threads
//! are started for the first transfer.

use std::collections::VecDeque;
use std::sync::Arc;

use mio::Waker;

use super::transfer_rate::TransferRate;
use crate::ids::CommandId;
use crate::limits;
use crate::reactor::workers::Workers;
use crate::transfer::local::{FileAnswer, FileJob};

pub(super) struct Transfers {
    workers: Option<Workers<FileJob>>,
    waker: Arc<Waker>,
    /// The results of file jobs that were not delivered yet.
    pub answers: VecDeque<(CommandId, FileAnswer)>,
    /// The commands that run for transfers: each transfer, and its command.
    errands: Vec<(CommandId, CommandId)>,
    pub rate: TransferRate,
}

impl Transfers {
    pub(super) fn new(waker: Arc<Waker>, rate: TransferRate) -> Self {
        Self { workers: None, waker, answers: VecDeque::new(), errands: Vec::new(), rate }
    }

    /// Queues a file job.
    pub(super) fn start(&mut self, job: FileJob) {
        let new = || Workers::new("sshoal-files", limits::FILE_THREADS, self.waker.clone());
        self.workers.get_or_insert_with(new).start(job);
    }

    /// Collects the results of the threads.
    pub(super) fn collect(&mut self) {
        let found = self.workers.as_ref().map(Workers::finished).unwrap_or_default();
        self.answers.extend(found.into_iter().flatten());
    }

    /// Waits until the threads have done all jobs. Returns whether there are results.
    #[cfg(test)]
    pub(super) fn await_answers(&mut self) -> bool {
        while self.workers.as_ref().is_some_and(Workers::is_busy) {
            std::thread::yield_now();
        }
        self.collect();
        !self.answers.is_empty()
    }

    /// Notes that a command runs for a transfer.
    pub(super) fn errand_begun(&mut self, transfer: CommandId, errand: CommandId) {
        self.errands.push((transfer, errand));
    }

    pub(super) fn errand_ended(&mut self, errand: CommandId) {
        self.errands.retain(|(_, other)| *other != errand);
    }

    /// The commands that run for a transfer.
    pub(super) fn errands_of(&self, transfer: CommandId) -> Vec<CommandId> {
        let own = self.errands.iter().filter(|(other, _)| *other == transfer);
        own.map(|(_, errand)| *errand).collect()
    }
}
