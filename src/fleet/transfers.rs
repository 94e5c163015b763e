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

/// Waits for the jobs that are under way, so that a program that ends now leaves no part file.
impl Drop for Transfers {
    fn drop(&mut self) {
        if let Some(workers) = &self.workers
            && !workers.wait(limits::FILES_END)
        {
            log::warn!("part files may be left, because the disk is slow");
        }
    }
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use mio::{Events, Poll, Token};

    use super::*;
    use crate::transfer::local::{Begun, NewFile, Target, TargetOptions};

    #[test]
    fn dropping_waits_for_what_is_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let names = || folder.path().read_dir().unwrap().count();
        let asker = CommandId::new(0, 0);
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut transfers = Transfers::new(waker, TransferRate::new(None, Instant::now()));
        let target = Target::new(folder.path().to_owned(), TargetOptions::default(), Arc::default());
        let (path, file) = (vec![b"file".to_vec()], NewFile::default());
        transfers.start(FileJob::Begin { target: target.into(), tag: 0, path, file, asker });
        while transfers.answers.is_empty() {
            poll.poll(&mut Events::with_capacity(1), Some(Duration::from_secs(30))).unwrap();
            transfers.collect();
        }
        let answer = transfers.answers.pop_front();
        let Some((_, FileAnswer::Begun { result: Ok(Begun::Part { part, .. }), .. })) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(names(), 1);
        // Many small pieces take a while.
        let pieces = (0..200_000).map(|at| (at, vec![1])).collect();
        transfers.start(FileJob::Write { part, tag: 0, pieces, asker });
        let part = folder.path().read_dir().unwrap().next().unwrap().unwrap();
        while part.metadata().is_ok_and(|found| found.len() == 0) {
            std::thread::yield_now();
        }
        drop(transfers);
        assert_eq!(names(), 0);
    }
}
