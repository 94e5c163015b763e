//! Reading known_hosts files again, and recording new host keys. A turn must not wait for a disk,
//! so a separate thread does this. It is started for the first host key that is not on record.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use crate::agent::Asker;
use crate::hostkey::{DiskAnswer, DiskRequest, Verifier};
use crate::limits;
use crate::reactor::workers::{Job, Workers};

/// The thread, its pending work, and its results.
pub(super) struct Disk {
    workers: Option<Workers<Serve>>,
    waker: Arc<Waker>,
    waiting: Arc<Waiting>,
    pub answers: VecDeque<Answer>,
}

/// The requests of each verifier. The address of a verifier identifies it: no other one has it
/// while a job holds the verifier.
type Waiting = Mutex<HashMap<usize, Requests>>;

/// The requests, by the slot of their host. There is at most one per host, even if the host
/// connects several times while the disk is stuck.
type Requests = BTreeMap<usize, (Asker, DiskRequest)>;

type Answer = (Asker, DiskAnswer);

/// A job that serves all requests to a verifier that are pending when the job starts.
struct Serve {
    verifier: Arc<Verifier>,
    waiting: Arc<Waiting>,
}

impl Disk {
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        Self { workers: None, waker, waiting: Arc::default(), answers: VecDeque::new() }
    }

    pub(super) fn ask(&mut self, verifier: &Arc<Verifier>, asker: Asker, request: DiskRequest) {
        let mut waiting = lock(&self.waiting);
        let requests = waiting.entry(address(verifier)).or_default();
        let is_first = requests.is_empty();
        requests.insert(asker.slot, (asker, request));
        drop(waiting);
        // The job that is started for the first request also serves all that are added before the
        // job runs.
        if is_first {
            let waker = &self.waker;
            let workers = self
                .workers
                .get_or_insert_with(|| Workers::new("sshoal-disk", limits::DISK_THREADS, waker.clone()));
            workers.start(Serve { verifier: verifier.clone(), waiting: self.waiting.clone() });
        }
    }

    /// Collects the results of the thread.
    pub(super) fn collect(&mut self) {
        let found = self.workers.as_ref().map(Workers::finished).unwrap_or_default();
        self.answers.extend(found.into_iter().flatten());
    }
}

impl Job for Serve {
    type Done = Vec<Answer>;

    fn run(self) -> Vec<Answer> {
        let (askers, requests): (Vec<_>, Vec<_>) = self.take().unzip();
        askers.into_iter().zip(self.verifier.serve(requests)).collect()
    }

    fn refuse(self, cause: &io::Error) -> Vec<Answer> {
        let refused = |request| match request {
            DiskRequest::Reread => DiskAnswer::Reread,
            DiskRequest::Record(..) => {
                let text = format!("there is no thread to write to it: {cause}");
                DiskAnswer::Recorded(Err(io::Error::new(cause.kind(), text)))
            }
        };
        self.take().map(|(asker, request)| (asker, refused(request))).collect()
    }
}

impl Serve {
    fn take(&self) -> impl Iterator<Item = (Asker, DiskRequest)> + use<> {
        lock(&self.waiting).remove(&address(&self.verifier)).unwrap_or_default().into_values()
    }
}

fn address(verifier: &Arc<Verifier>) -> usize {
    Arc::as_ptr(verifier).addr()
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<usize, Requests>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
