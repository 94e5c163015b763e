//! A few threads for calls that block and cannot be cancelled, so that the reactor never waits for
//! them.
//!
//! If no thread is idle when a job is queued, a new thread is started, up to a limit. Threads live
//! as long as the pool. Dropping the pool does not wait for them, unless [`Workers::wait`] was
//! called: queued jobs are dropped, and a thread that is in a call ends after that call and drops
//! the result.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use mio::Waker;

/// Work that may block.
pub(crate) trait Job: Send + 'static {
    type Done: Send + 'static;

    /// Does the work, on a thread of the pool.
    fn run(self) -> Self::Done;
    /// Returns a result without doing the work, because the system cannot start a thread.
    fn refuse(self, cause: &io::Error) -> Self::Done;
}

/// The threads and their FIFO queue.
pub(crate) struct Workers<J: Job>(Arc<Shared<J>>);

struct Shared<J: Job> {
    name: &'static str,
    threads_max: usize,
    work: Mutex<Work<J>>,
    work_added: Condvar,
    thread_ended: Condvar,
    waker: Arc<Waker>,
}

struct Work<J: Job> {
    jobs: VecDeque<J>,
    done: Vec<J::Done>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl<J: Job> Workers<J> {
    /// Creates a pool of at most `threads_max` threads of this name. `waker` is woken when there
    /// are results.
    pub(crate) fn new(name: &'static str, threads_max: usize, waker: Arc<Waker>) -> Self {
        let work = Work { jobs: VecDeque::new(), done: Vec::new(), threads: 0, idle: 0, closed: false };
        let work = Mutex::new(work);
        let (work_added, thread_ended) = (Condvar::new(), Condvar::new());
        Self(Arc::new(Shared { name, threads_max, work, work_added, thread_ended, waker }))
    }

    /// Queues a job. [`Workers::finished`] returns its result.
    pub(crate) fn start(&self, job: J) {
        let mut work = self.0.lock();
        work.jobs.push_back(job);
        if work.idle < work.jobs.len() && work.threads < self.0.threads_max {
            self.add_thread(&mut work);
        }
        drop(work);
        self.0.work_added.notify_one();
    }

    /// The results of the jobs that have ended since the last call.
    pub(crate) fn finished(&self) -> Vec<J::Done> {
        std::mem::take(&mut self.0.lock().done)
    }

    /// Whether a job is queued or under way.
    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        let work = self.0.lock();
        !work.jobs.is_empty() || work.idle < work.threads
    }

    fn add_thread(&self, work: &mut Work<J>) {
        let shared = self.0.clone();
        match thread::Builder::new().name(shared.name.to_owned()).spawn(move || shared.serve()) {
            Ok(_) => work.threads += 1,
            // An existing thread will do the job later.
            Err(_) if work.threads > 0 => {}
            Err(e) => self.0.refuse_all(work, &e),
        }
    }
}

impl<J: Job> Workers<J> {
    /// Drops the queued jobs, and waits until the others and the threads have ended, at most this
    /// long. Returns whether they have.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        self.close();
        let threads = |work: &mut Work<J>| work.threads > 0;
        let waited = self.0.thread_ended.wait_timeout_while(self.0.lock(), limit, threads);
        waited.unwrap_or_else(PoisonError::into_inner).0.threads == 0
    }

    fn close(&self) {
        let mut work = self.0.lock();
        work.closed = true;
        let unbegun = std::mem::take(&mut work.jobs);
        drop(work);
        self.0.work_added.notify_all();
        drop(unbegun);
    }
}

impl<J: Job> Drop for Workers<J> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<J: Job> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, Work<J>> {
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
            let done = job.run();
            work = self.lock();
            if work.closed {
                // Dropping a result may take as long as a job.
                drop(work);
                drop(done);
                work = self.lock();
                break;
            }
            work.done.push(done);
            self.wake();
        }
        work.threads -= 1;
        drop(work);
        self.thread_ended.notify_all();
    }

    fn refuse_all(&self, work: &mut Work<J>, cause: &io::Error) {
        let refused = work.jobs.drain(..).map(|job| job.refuse(cause));
        work.done.extend(refused);
        self.wake();
    }

    fn wake(&self) {
        if let Err(e) = self.waker.wake() {
            log::error!("cannot wake the reactor: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    /// Long enough even on a busy machine.
    const LIMIT: Duration = Duration::from_secs(30);

    /// Reports when it starts, then waits until the test releases it.
    struct Gated {
        number: usize,
        begun: Sender<usize>,
        gate: Receiver<()>,
    }

    impl Job for Gated {
        type Done = Result<usize, String>;

        fn run(self) -> Self::Done {
            self.begun.send(self.number).ok();
            self.gate.recv().ok();
            Ok(self.number)
        }

        fn refuse(self, cause: &io::Error) -> Self::Done {
            Err(cause.to_string())
        }
    }

    struct Bench {
        poll: Poll,
        workers: Workers<Gated>,
        begun: Receiver<usize>,
        begins: Sender<usize>,
        gates: Vec<Sender<()>>,
    }

    impl Bench {
        fn new(threads_max: usize) -> Self {
            let poll = Poll::new().unwrap();
            let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
            let (begins, begun) = channel();
            Self { poll, workers: Workers::new("test", threads_max, waker), begun, begins, gates: Vec::new() }
        }

        fn start(&mut self, count: usize) {
            for _ in 0..count {
                let (open, gate) = channel();
                let number = self.gates.len();
                self.gates.push(open);
                self.workers.start(Gated { number, begun: self.begins.clone(), gate });
            }
        }

        fn next_begun(&self) -> usize {
            self.begun.recv_timeout(LIMIT).unwrap()
        }

        fn await_done(&mut self) -> Vec<Result<usize, String>> {
            let mut events = Events::with_capacity(4);
            loop {
                self.poll.poll(&mut events, Some(LIMIT)).unwrap();
                assert!(!events.is_empty(), "the reactor is not woken");
                let done = self.workers.finished();
                if !done.is_empty() {
                    return done;
                }
            }
        }
    }

    #[test]
    fn jobs_run_in_parallel_up_to_the_limit_and_then_in_order() {
        let mut bench = Bench::new(2);
        bench.start(4);
        let mut first = [bench.next_begun(), bench.next_begun()];
        first.sort_unstable();
        assert_eq!(first, [0, 1]);
        assert!(bench.begun.try_recv().is_err(), "a third thread was started");
        bench.gates[1].send(()).unwrap();
        assert_eq!(bench.next_begun(), 2);
        assert_eq!(bench.await_done(), [Ok(1)]);
        bench.gates[2].send(()).unwrap();
        assert_eq!(bench.next_begun(), 3);
    }

    #[test]
    fn a_job_that_never_ends_blocks_only_its_own_thread() {
        let mut bench = Bench::new(2);
        bench.start(1);
        assert_eq!(bench.next_begun(), 0);
        for number in 1..20 {
            bench.start(1);
            assert_eq!(bench.next_begun(), number);
            bench.gates[number].send(()).unwrap();
            assert_eq!(bench.await_done(), [Ok(number)]);
        }
    }

    #[test]
    fn an_idle_thread_is_reused() {
        let mut bench = Bench::new(8);
        bench.start(1);
        bench.next_begun();
        bench.gates[0].send(()).unwrap();
        bench.await_done();
        while bench.workers.0.lock().idle == 0 {
            thread::yield_now();
        }
        bench.start(1);
        bench.next_begun();
        assert_eq!(bench.workers.0.lock().threads, 1);
    }

    #[test]
    fn dropping_the_pool_does_not_wait_and_drops_queued_jobs() {
        let mut bench = Bench::new(1);
        bench.start(2);
        assert_eq!(bench.next_begun(), 0);
        let Bench { workers, gates, begun, begins, .. } = bench;
        drop(workers);
        // The receiver of a dropped job is gone, that of the running one is not.
        assert!(gates[1].send(()).is_err());
        gates[0].send(()).unwrap();
        drop(begins);
        // Disconnects when the thread has ended the first job; the second never reports.
        assert!(begun.recv_timeout(LIMIT).is_err());
    }

    #[test]
    fn a_pool_can_be_waited_for() {
        let mut bench = Bench::new(2);
        bench.start(3);
        let begun = [bench.next_begun(), bench.next_begun()];
        assert!(!bench.workers.wait(Duration::from_millis(20)), "two jobs go on");
        let gates = std::mem::take(&mut bench.gates);
        assert!(gates[2].send(()).is_err(), "the queued job is dropped");
        let opened = thread::spawn(move || begun.iter().for_each(|at| gates[*at].send(()).unwrap()));
        assert!(bench.workers.wait(LIMIT));
        assert_eq!(bench.workers.0.lock().threads, 0);
        opened.join().unwrap();
    }

    #[test]
    fn without_any_thread_jobs_are_refused() {
        let mut bench = Bench::new(0);
        bench.start(2);
        assert!(bench.workers.finished().is_empty());
        let shared = bench.workers.0.clone();
        shared.refuse_all(&mut shared.lock(), &io::Error::other("no thread"));
        assert_eq!(bench.await_done(), [Err("no thread".to_owned()), Err("no thread".to_owned())]);
    }
}
