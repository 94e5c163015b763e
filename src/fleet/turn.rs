//! What a caller's event loop needs: the descriptor, the deadline, turns and metrics.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Waker;

use super::api::Fleet;
use super::engine::Engine;
use super::metrics::Metrics;
use super::turn_budget::{Budget, Turn};
use super::turn_times::TurnTimes;
use crate::link;
use crate::session::Traffic;

/// The descriptor of the fleet's own poll. It is readable whenever there is work for a
/// [`turn`](Fleet::turn), and after a turn while [events](Fleet::next_event) wait. Wait for it with
/// `poll(2)` or similar; do not read from it or write to it.
///
/// From the first call on, the fleet keeps the descriptor readable while there is work. A program
/// that only calls [`wait`](Fleet::wait) does not need that, and the fleet saves the system calls.
impl AsFd for Fleet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.engine.event_loop.watch(|| self.engine.is_due());
        link::descriptor_of(self.engine.event_loop.reactor.poll_itself())
    }
}

/// Wakes a fleet from any thread. A wake-up ends the fleet's [`wait`](Fleet::wait) and makes its
/// descriptor readable. Use it after sending an order to the thread that drives the fleet, so that
/// the driving thread looks for the order.
///
/// ```
/// use std::sync::mpsc;
/// use std::thread;
/// use sshoal::Fleet;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut fleet = Fleet::builder(["web1"])
/// #   .no_known_hosts().identity_auth(false)
///     .build()?;
/// let (orders, inbox) = mpsc::channel();
/// let waker = fleet.waker();
/// thread::spawn(move || {
///     orders.send("stop").expect("the fleet's thread is there");
///     waker.wake()
/// });
/// fleet.wait(None)?;
/// assert_eq!(inbox.recv()?, "stop");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FleetWaker(Arc<Waker>);

impl FleetWaker {
    /// Ends the current wait or, if the fleet is not waiting, its next wait. Several wake-ups
    /// before a wait count as one.
    ///
    /// # Errors
    /// The errors of `write(2)` to an `eventfd(2)`.
    pub fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}

impl Fleet {
    /// The time by which the next [`turn`](Self::turn) must run, even if the descriptor is not
    /// readable. It may be in the past. `None` if no deadline is pending. Every turn, and every
    /// call that starts something, may change it.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }

    /// Does the work that is ready, within the budget, and never blocks. `now` is the current time:
    /// read the clock right before the call.
    ///
    /// Hosts are visited round-robin, each for a bounded amount of work, so a host that streams
    /// output does not hold up the others. If work or an event is left, the descriptor stays
    /// readable. Afterwards, the caller may take as much output as the budget allows.
    ///
    /// # Errors
    /// The errors of `epoll_wait(2)`. On error, nothing is lost.
    pub fn turn(&mut self, now: Instant, budget: Budget) -> io::Result<Turn> {
        self.engine.turn(now, budget)
    }

    /// Blocks until there is work for a [`turn`](Self::turn), or `limit` has passed; `None` waits
    /// without a limit. Use this in programs that wait for nothing but the fleet.
    ///
    /// # Errors
    /// The errors of `epoll_wait(2)`.
    pub fn wait(&mut self, limit: impl Into<Option<Duration>>) -> io::Result<()> {
        self.engine.wait(limit.into())
    }

    /// A handle that wakes this fleet from another thread.
    pub fn waker(&self) -> FleetWaker {
        FleetWaker(self.engine.event_loop.reactor.waker().clone())
    }

    /// The CPU times of the turns since the fleet was built, or since the last
    /// [reset](Self::reset_turn_times).
    pub fn turn_times(&self) -> &TurnTimes {
        &self.engine.turn_times
    }

    /// Returns the CPU times of the turns so far, and starts to count anew.
    pub fn reset_turn_times(&mut self) -> TurnTimes {
        std::mem::take(&mut self.engine.turn_times)
    }

    /// The current metrics.
    pub fn metrics(&self) -> Metrics {
        let Engine { schedule, hosts, execs, event_loop, totals, children, .. } = &self.engine;
        let Traffic { received, sent } = execs.traffic();
        Metrics {
            bytes_received: received,
            bytes_sent: sent,
            connections: hosts.sums.connections,
            proxy_commands: children.len(),
            admission_queue: hosts.sums.queued(),
            running: hosts.sums.running,
            timers: event_loop.wheel.len(),
            pool: schedule.admission.pool(),
            runs: schedule.runs.len(),
            commands: execs.len(),
            unfinished: schedule.runs.unfinished,
            finished: execs.ended(),
            unread: execs.unread(),
            held_back: hosts.sums.held,
            hosts: hosts.sums.hosts,
            ..*totals
        }
    }
}
