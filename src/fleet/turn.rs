//! The loop, one turn at a time: what it waits for, and what it does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Waker;

use super::meter::{Budget, Turn};
use super::{Fleet, Timer};
use crate::link;
use crate::reactor::{Ready, Taken};
use crate::session::Input;

/// The poll's own descriptor: readable whenever there is work for a [`turn`](Fleet::turn). For `poll(2)` and its like; it
/// is nothing to read from or to write to.
impl AsFd for Fleet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        link::descriptor_of(self.reactor.poll_itself())
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
        self.wheel.next_deadline().into_iter().chain(self.dns.next_deadline()).min()
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
        if !std::mem::take(&mut self.polled) {
            self.poll(Some(Duration::ZERO))?;
        }
        Ok(self.work(now, budget))
    }

    /// Blocks until there is work for a [`turn`](Self::turn), or for this long (`None`: no limit): for programs that
    /// wait for nothing else.
    ///
    /// # Errors
    /// Those of `epoll_wait(2)`.
    pub fn wait(&mut self, limit: impl Into<Option<Duration>>) -> io::Result<()> {
        let limit = limit.into();
        let deadline = if self.has_work() { Some(Duration::ZERO) } else { self.time_left() };
        self.poll([limit, deadline].into_iter().flatten().min())?;
        self.polled = true;
        Ok(())
    }

    /// A handle that ends a [`wait`](Self::wait) from another thread.
    pub fn waker(&self) -> FleetWaker {
        FleetWaker(self.reactor.waker().clone())
    }

    fn time_left(&self) -> Option<Duration> {
        Some(self.next_deadline()?.saturating_duration_since(self.clock.now()))
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Self { reactor, ready, slots, agents, dns, .. } = self;
        let mut woken = false;
        let taken = reactor.poll(timeout, |news| match news {
            Ready::Slot { index, generation } => {
                if slots.get(index).is_some_and(|slot| slot.link.is_current(generation)) {
                    ready.push(index);
                }
            }
            Ready::Agent { index, generation } => agents.note_ready(index, generation),
            Ready::Dns { index, generation } => dns.ready(index, generation),
            Ready::Woken => woken = true,
        })?;
        if woken {
            self.alarmed = false;
            self.note_returned();
            self.disk.collect();
        }
        self.poll_again = taken == Taken::Full;
        // An alarm that is still among the rest would not be told to a loop that is told of changes only.
        self.alarmed &= !self.poll_again;
        Ok(())
    }

    fn work(&mut self, now: Instant, budget: Budget) -> Turn {
        self.take_back();
        self.meter.begin(budget, &self.clock);
        // Whoever takes no events gets no more.
        if !self.meter.is_full(self.events.len()) {
            self.dns.advance(now);
            self.fire_timers(now);
            self.meter.resume(&self.clock);
            self.deliver_lookups(now);
            self.deliver_recorded(now);
            self.visit_agents(now);
            self.serve_runs(now);
            self.visit_ready(now);
            self.resume_held(now);
            self.admit(now);
            if self.close_proxies && self.ready.is_empty() {
                self.close_unused_proxies(now);
            }
            self.end_drain();
        }
        let more = self.has_work();
        if more {
            self.alarm();
        }
        let turn = self.meter.end(more, &self.clock);
        self.totals.count(&turn);
        turn
    }

    /// Whether there is something to do that neither the poll nor a timer tells, or may not tell again.
    fn has_work(&self) -> bool {
        let has_answers = self.agents.has_answers() || self.disk.has_answers();
        let has_news = self.poll_again || has_answers || self.dns.has_work();
        let has_room = self.held.has_next(self.execs.share());
        let has_tasks = self.runs.has_tasks() || self.admit_again || self.close_proxies;
        !self.ready.is_empty() || has_tasks || has_news || has_room
    }

    /// Makes the descriptor readable.
    pub(super) fn alarm(&mut self) {
        if !std::mem::replace(&mut self.alarmed, true) {
            self.alarmed = self.reactor.wake();
        }
    }

    /// There may be places to give.
    pub(super) fn admit_soon(&mut self) {
        self.admit_again = true;
        self.alarm();
    }

    /// Has a host visited with the next turn.
    pub(super) fn visit_soon(&mut self, index: usize) {
        self.ready.push(index);
        self.alarm();
    }

    fn fire_timers(&mut self, now: Instant) {
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.advance(now, &mut expired);
        for timer in expired.drain(..) {
            match timer {
                Timer::Slot(index) => {
                    if let Some(slot) = self.slots.get_mut(index) {
                        slot.timer = None;
                        slot.due = true;
                        self.ready.push(index);
                    }
                }
                // Whoever waits for it is admitted with this turn.
                Timer::Pace => self.pace_timer = None,
                Timer::Drain => self.drain_is_due(),
            }
        }
        self.expired = expired;
    }

    /// Visits each host that is ready at most once, as long as there is time.
    fn visit_ready(&mut self, now: Instant) {
        for _ in 0..self.ready.len() {
            let Some(index) = self.ready.pop() else { break };
            let due = self.slots.get_mut(index).is_some_and(|slot| std::mem::take(&mut slot.due));
            self.visit(index, if due { Input::Timer } else { Input::Readiness }, now);
            if self.is_over() {
                break;
            }
        }
    }

    /// Whether this turn's budget is used up.
    pub(super) fn is_over(&self) -> bool {
        self.meter.is_over(self.events.len())
    }
}
