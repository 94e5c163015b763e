//! The event loop: the poll, the timers, and the list of hosts to visit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mio::Token;

use super::slot::Armed;
use crate::reactor::{IndexQueue, Key, Reactor, Wheel};

/// The kinds of descriptors in the poll.
pub(super) const HOST: u8 = 0;
pub(super) const AGENT: u8 = 1;
pub(super) const RESOLVER: u8 = 2;
pub(super) const CHILD: u8 = 3;

pub(super) fn token<const KIND: u8>(index: usize, generation: u32) -> Token {
    Key { kind: KIND, index, generation }.token()
}

pub(super) struct EventLoop {
    pub reactor: Reactor,
    pub wheel: Wheel<Timer>,
    /// The hosts to visit.
    pub ready: IndexQueue,
    /// Whether readiness was collected since the last turn.
    pub polled: bool,
    /// Whether there may be more readiness than was collected.
    pub poll_again: bool,
    /// Whether another turn must follow, even if nothing happens until then.
    pub alarmed: bool,
    /// Whether the caller has asked for the fleet's descriptor, and may wait for it.
    is_watched: AtomicBool,
    /// The buffer for expired timers, which is reused from turn to turn.
    expired: Vec<Timer>,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Timer {
    /// The deadline of the session in this slot.
    Slot(usize),
    /// The time at which the rate limit allows the next connection.
    ConnectRate,
    /// The time at which the next transfer may request bytes of a file.
    TransferRate,
    /// The time to visit the process of a proxy command.
    Child(usize),
    /// The time at which another host may try a password.
    Trial,
    /// The deadline of a drain.
    Drain,
}

impl EventLoop {
    pub(super) fn new(reactor: Reactor, now: Instant) -> Self {
        Self {
            reactor,
            wheel: Wheel::new(now),
            ready: IndexQueue::default(),
            polled: false,
            poll_again: false,
            alarmed: false,
            is_watched: AtomicBool::new(false),
            expired: Vec::new(),
        }
    }

    /// Makes the fleet's descriptor readable, so that the caller runs another turn. A caller that
    /// waits by [`Engine::wait`](super::engine::Engine::wait) needs no wake-up, because that looks
    /// for work itself. This saves two system calls, and a turn without work.
    pub(super) fn alarm(&mut self) {
        if !std::mem::replace(&mut self.alarmed, true) && self.is_watched() {
            self.alarmed = self.reactor.wake();
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// From now on, keeps the descriptor readable while there is work. `is_due` is asked the first
    /// time only, and says whether there is work now.
    pub(super) fn watch(&self, is_due: impl FnOnce() -> bool) {
        if !self.is_watched.swap(true, Ordering::Relaxed) && is_due() {
            self.is_watched.store(self.reactor.wake(), Ordering::Relaxed);
        }
    }

    /// Schedules a host for a visit in the next turn.
    pub(super) fn visit_soon(&mut self, index: usize) {
        self.ready.push(index);
        self.alarm();
    }

    /// Arms a timer for time `at`, moves an armed timer to that time, or disarms it if `at` is
    /// `None`.
    pub(super) fn arm(&mut self, armed: Option<Armed>, at: Option<Instant>, timer: Timer) -> Option<Armed> {
        let id = match (armed, at) {
            (Some(armed), Some(at)) if armed.at == at => armed.id,
            (Some(armed), Some(at)) => {
                self.wheel.rearm(armed.id, at);
                armed.id
            }
            (Some(armed), None) => {
                self.wheel.disarm(armed.id);
                return None;
            }
            (None, Some(at)) => self.wheel.arm(at, timer),
            (None, None) => return None,
        };
        at.map(|at| Armed { id, at })
    }

    /// Passes each expired timer to `fire`.
    pub(super) fn expire(&mut self, now: Instant, mut fire: impl FnMut(&mut Self, Timer)) {
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.advance(now, &mut expired);
        for timer in expired.drain(..) {
            fire(self, timer);
        }
        self.expired = expired;
    }
}
