//! The loop in the caller's hands: what it waits for, its turns, and its figures.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Waker;

use super::Fleet;
use super::engine::Engine;
use super::metrics::{Metrics, Totals};
use super::turn_budget::{Budget, Turn};
use crate::link;
use crate::session::Traffic;

/// The poll's own descriptor: readable whenever there is work for a [`turn`](Fleet::turn). For `poll(2)` and its like; it
/// is nothing to read from or to write to.
impl AsFd for Fleet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        link::descriptor_of(self.engine.event_loop.reactor.poll_itself())
    }
}

/// Ends a [`wait`](Fleet::wait) of its fleet from any thread, and makes the fleet's descriptor readable: for a
/// program that hands orders to the thread that drives the fleet.
///
/// ```
/// use std::sync::mpsc;
/// use std::thread;
/// use sshoal::Fleet;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let none: [&str; 0] = [];
/// let mut fleet = Fleet::builder(["web1"])
/// #   .known_hosts(none).identity_auth(false)
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
    /// Ends the wait that is under way, or else the next one. Wakes that come before a wait count as one.
    ///
    /// # Errors
    /// Those of `write(2)` to an `eventfd(2)`.
    pub fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}

impl Fleet {
    /// When the next [`turn`](Self::turn) has to come at the latest, whatever the descriptor says; it may have passed. `None`:
    /// nothing waits for a time. Changes with every turn and every call that starts something.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }

    /// Does what is to be done, as far as the budget goes, and never blocks. `now` is the present time, as the caller has
    /// just read it.
    ///
    /// Hosts are visited in turns, each for a bounded amount of work, so one that streams does not hold up others. What is
    /// left over keeps the descriptor readable.
    ///
    /// # Errors
    /// Those of `epoll_wait(2)`. Nothing is lost then.
    pub fn turn(&mut self, now: Instant, budget: Budget) -> io::Result<Turn> {
        self.engine.turn(now, budget)
    }

    /// Blocks until there is work for a [`turn`](Self::turn), or for so long: for programs that wait for nothing else.
    ///
    /// # Errors
    /// Those of `epoll_wait(2)`.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.engine.wait(limit)
    }

    /// A handle that ends a [`wait`](Self::wait) from another thread.
    pub fn waker(&self) -> FleetWaker {
        FleetWaker(self.engine.event_loop.reactor.waker().clone())
    }

    /// Figures of now.
    pub fn metrics(&self) -> Metrics {
        let Engine { schedule, hosts, execs, event_loop, totals, .. } = &self.engine;
        let Totals { turns, visits, longest_turn, key_exchanges, signatures } = *totals;
        let Traffic { received, sent } = execs.traffic();
        Metrics {
            turns,
            visits,
            longest_turn,
            key_exchanges,
            signatures,
            bytes_received: received,
            bytes_sent: sent,
            connections: hosts.sums.connections,
            queued: hosts.sums.queued(),
            running: hosts.sums.running,
            timers: event_loop.wheel.len(),
            pool: schedule.admission.pool(),
            runs: schedule.runs.len(),
            commands: execs.len(),
            unfinished: schedule.runs.unfinished(),
            unread: execs.unread(),
            held_back: hosts.sums.held,
            hosts: hosts.sums.hosts,
        }
    }
}
