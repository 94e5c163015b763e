//! Recording of new host keys. A turn must not wait for a disk, so a separate thread writes the
//! keys. The thread is started when the first key has to be recorded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use mio::Waker;

use crate::agent::Asker;
use crate::hostkey::{NewKey, Recorded, Verifier};
use crate::limits;
use crate::reactor::workers::{Job, Workers};

/// The recording thread, its pending work, and its results.
pub(super) struct Disk {
    workers: Option<Workers<Record>>,
    waker: Arc<Waker>,
    waiting: Arc<Waiting>,
    pub answers: VecDeque<Answer>,
}

/// The keys to be recorded, by the slot of their host. There is at most one key per host, even if
/// the host connects several times while the disk is stuck.
type Waiting = Mutex<BTreeMap<usize, (Asker, NewKey)>>;

type Answer = (Asker, Recorded);

/// A job that records all keys that are pending when the job starts.
struct Record {
    verifier: Arc<Verifier>,
    waiting: Arc<Waiting>,
}

impl Disk {
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        Self { workers: None, waker, waiting: Arc::default(), answers: VecDeque::new() }
    }

    pub(super) fn record(&mut self, verifier: &Arc<Verifier>, asker: Asker, new: NewKey) {
        let mut waiting = lock(&self.waiting);
        let is_first = waiting.is_empty();
        waiting.insert(asker.slot, (asker, new));
        drop(waiting);
        // The job that is started for the first key also records all keys that are added before the
        // job runs.
        if is_first {
            let waker = &self.waker;
            let workers = self
                .workers
                .get_or_insert_with(|| Workers::new("sshoal-disk", limits::DISK_THREADS, waker.clone()));
            workers.start(Record { verifier: verifier.clone(), waiting: self.waiting.clone() });
        }
    }

    /// Collects the results of the recording thread.
    pub(super) fn collect(&mut self) {
        let found = self.workers.as_ref().map(Workers::finished).unwrap_or_default();
        self.answers.extend(found.into_iter().flatten());
    }
}

impl Job for Record {
    type Done = Vec<Answer>;

    fn run(self) -> Vec<Answer> {
        let (askers, new): (Vec<_>, Vec<_>) = self.take().unzip();
        askers.into_iter().zip(self.verifier.record(&new)).collect()
    }

    fn refuse(self, cause: &io::Error) -> Vec<Answer> {
        let refused = |asker| {
            let error = io::Error::new(cause.kind(), format!("there is no thread to write to it: {cause}"));
            (asker, Err(error))
        };
        self.take().map(|(asker, _)| refused(asker)).collect()
    }
}

impl Record {
    fn take(&self) -> impl Iterator<Item = (Asker, NewKey)> + use<> {
        mem::take(&mut *lock(&self.waiting)).into_values()
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, BTreeMap<usize, (Asker, NewKey)>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
