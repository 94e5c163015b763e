//! Name resolution by the system's `getaddrinfo`, on a few helper threads: the call blocks and cannot be cancelled.
//!
//! Threads start with the first name that is not an IP address and end with the resolver, after the lookup they are in.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use mio::Waker;

use crate::error::{HostErrorKind, UnknownHostProblem};
use crate::limits;

/// Names one lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LookupId(u64);

/// What a lookup found.
pub(crate) type LookupResult = Result<Vec<SocketAddr>, HostErrorKind>;

/// The resolver of one fleet.
pub(crate) struct Resolver {
    shared: Arc<Shared>,
    threads: usize,
    next: u64,
}

struct Shared {
    work: Mutex<Work>,
    work_added: Condvar,
    waker: Arc<Waker>,
}

#[derive(Default)]
struct Work {
    jobs: VecDeque<Job>,
    done: Vec<(LookupId, LookupResult)>,
    idle: usize,
    closed: bool,
}

struct Job {
    id: LookupId,
    host: Arc<str>,
    port: u16,
}

impl Resolver {
    /// `waker` is woken when results are there.
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let shared = Shared { work: Mutex::default(), work_added: Condvar::new(), waker };
        Self { shared: Arc::new(shared), threads: 0, next: 0 }
    }

    /// Begins a lookup. Its result comes through [`Resolver::finished`].
    pub(crate) fn start(&mut self, host: &Arc<str>, port: u16) -> LookupId {
        let id = LookupId(self.next);
        self.next += 1;
        let mut work = self.shared.lock();
        work.jobs.push_back(Job { id, host: host.clone(), port });
        let needs_thread = work.idle < work.jobs.len() && self.threads < limits::RESOLVER_THREADS;
        drop(work);
        self.shared.work_added.notify_one();
        if needs_thread {
            self.add_thread();
        }
        id
    }

    /// The lookups that have ended since the last call.
    pub(crate) fn finished(&mut self) -> Vec<(LookupId, LookupResult)> {
        std::mem::take(&mut self.shared.lock().done)
    }

    fn add_thread(&mut self) {
        let shared = self.shared.clone();
        match thread::Builder::new().name("sshoal-resolver".to_owned()).spawn(move || shared.serve()) {
            Ok(_) => self.threads += 1,
            // With a thread there already the job is served, only later.
            Err(e) if self.threads == 0 => self.shared.refuse_all(&e),
            Err(_) => {}
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let mut work = self.shared.lock();
        work.closed = true;
        work.jobs.clear();
        drop(work);
        self.shared.work_added.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut work = self.lock();
        while !work.closed {
            let Some(job) = work.jobs.pop_front() else {
                work.idle += 1;
                work = self.work_added.wait(work).unwrap_or_else(PoisonError::into_inner);
                work.idle -= 1;
                continue;
            };
            drop(work);
            let result = look_up(&job.host, job.port);
            work = self.lock();
            if work.closed {
                return;
            }
            work.done.push((job.id, result));
            self.wake();
        }
    }

    fn refuse_all(&self, cause: &io::Error) {
        let mut work = self.lock();
        while let Some(job) = work.jobs.pop_front() {
            let kind = HostErrorKind::Resolver(format!("no thread for the lookup: {cause}"));
            work.done.push((job.id, Err(kind)));
        }
        self.wake();
    }

    fn wake(&self) {
        if let Err(e) = self.waker.wake() {
            log::error!("cannot wake the reactor: {e}");
        }
    }
}

fn look_up(host: &str, port: u16) -> LookupResult {
    match (host, port).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(e) => Err(classify(&e)),
    }
}

/// `std` keeps only the text of `getaddrinfo`'s code; EAI_AGAIN and EAI_SYSTEM say nothing about the name.
fn classify(error: &io::Error) -> HostErrorKind {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned();
    let about_us =
        error.raw_os_error().is_some() || text.contains("Temporary failure") || text.contains("System error");
    if about_us {
        HostErrorKind::Resolver(text)
    } else {
        HostErrorKind::UnknownHost(UnknownHostProblem::NoAddress(text))
    }
}
