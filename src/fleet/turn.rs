//! One turn of the loop, and waiting by turns.

use std::io;
use std::time::{Duration, Instant};

use super::{Fleet, Timer, Wait};
use crate::limits;
use crate::reactor::{Reactor, Ready};
use crate::session::Input;

impl Fleet {
    /// One turn of the loop. Waits for news at most `patience` (`None`: for ever), and no longer than to the next timer.
    pub(crate) fn turn(&mut self, patience: Option<Duration>) -> io::Result<()> {
        let timeout = [patience, self.timeout()].into_iter().flatten().min();
        let Self { reactor, ready, slots, agents, dns, .. } = self;
        let mut woken = false;
        reactor.poll(timeout, |news| match news {
            Ready::Slot { index, generation } => {
                if slots.get(index).is_some_and(|slot| slot.link.is_current(generation)) {
                    ready.push(index);
                }
            }
            Ready::Agent { index, generation } => agents.note_ready(index, generation),
            Ready::Dns { index, generation } => dns.ready(index, generation),
            Ready::Woken => woken = true,
        })?;
        let now = Reactor::now();
        self.stats.turns += 1;
        if woken {
            self.note_returned();
        }
        self.dns.advance(now);
        self.deliver_lookups(now);
        self.fire_timers(now);
        self.visit_agents(now);
        self.visit_ready(now);
        self.admit(now);
        self.stats.longest_turn = self.stats.longest_turn.max(Reactor::now().saturating_duration_since(now));
        Ok(())
    }

    /// Turns until `done`, or until the deadline. Whether it was done.
    pub(crate) fn run_until(
        &mut self,
        deadline: Option<Instant>,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> io::Result<bool> {
        if done(self) {
            return Ok(true);
        }
        let wait = deadline.map(|at| self.arm_wait(at));
        let result = loop {
            if let Err(e) = self.turn(None) {
                break Err(e);
            }
            if done(self) {
                break Ok(true);
            }
            if wait.is_some_and(|key| matches!(self.waits.get(key), Some(Wait::Fired))) {
                break Ok(false);
            }
        };
        if let Some(key) = wait
            && let Some(Wait::Armed(timer)) = self.waits.try_remove(key)
        {
            self.wheel.disarm(timer);
        }
        result
    }

    fn arm_wait(&mut self, at: Instant) -> usize {
        let entry = self.waits.vacant_entry();
        let key = entry.key();
        entry.insert(Wait::Armed(self.wheel.arm(at, Timer::Wait(key))));
        key
    }

    /// How long the poll may wait: not at all while hosts are ready, else until the next timer.
    fn timeout(&self) -> Option<Duration> {
        let has_work = self.agents.has_answers() || self.dns.has_work();
        if !self.ready.is_empty() || self.admit_again || has_work {
            return Some(Duration::ZERO);
        }
        let next = self.wheel.next_deadline().into_iter().chain(self.dns.next_deadline()).min()?;
        Some(next.saturating_duration_since(Reactor::now()))
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
                Timer::Wait(key) => {
                    if let Some(wait) = self.waits.get_mut(key) {
                        *wait = Wait::Fired;
                    }
                }
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
            if is_over(now) {
                break;
            }
        }
    }
}

/// Whether a turn that began at `begun` has used its time up.
pub(super) fn is_over(begun: Instant) -> bool {
    Reactor::now().saturating_duration_since(begun) >= limits::TURN_BUDGET
}
