//! How much one turn may do, and what it did.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::ids::HostId;
use crate::limits;
use crate::stage::Stage;

/// How much work one [`Fleet::turn`](crate::Fleet::turn) may do before it returns: whichever is used up first. One step
/// of one host always comes on top of it: mostly below 2 ms, and below 5 ms with the costliest key exchange that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Budget {
    pub(super) time: Option<Duration>,
    pub(super) events: usize,
}

impl Default for Budget {
    /// 1 ms, and 1,024 events.
    fn default() -> Self {
        Self { time: Some(limits::TURN_BUDGET), events: limits::TURN_EVENTS }
    }
}

impl Budget {
    /// Time after which no other host is visited. Zero: each kind of work goes on by one host at least. Default: 1 ms.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// No bound by time.
    pub fn any_time(mut self) -> Self {
        self.time = None;
        self
    }

    /// Events waiting to be taken, at which no other host is visited. While so many wait, nothing is done at all. Default:
    /// 1,024; 0 counts as 1.
    pub fn events(mut self, events: usize) -> Self {
        self.events = events.max(1);
        self
    }
}

/// What a [`Fleet::turn`](crate::Fleet::turn) did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Hosts visited, each as often as it was.
    pub visits: usize,
    /// Key exchanges completed, whoever the host turned out to be: the costliest steps there are, a few hundred microseconds
    /// each.
    pub key_exchanges: usize,
    /// Signatures made here to log in, of about a quarter of that; with a large RSA key, several times of it. Those of an
    /// ssh-agent cost this process nothing, and do not count.
    pub signatures: usize,
    /// Time that it took, by the clock.
    pub elapsed: Duration,
    /// The step that took longest.
    pub longest_step: Option<LongestStep>,
    /// Whether work is left. Then the descriptor is readable.
    pub more: bool,
}

/// The step of a turn that took longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LongestStep {
    /// Of which host. `None` for a proxy.
    pub host: Option<HostId>,
    /// Where the host's connection was before, or [`Stage::Running`] once it was there.
    pub stage: Stage,
    /// By the clock.
    pub took: Duration,
}

/// Measures one turn.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub turn: Turn,
    begun: Option<Instant>,
    /// When the last step ended.
    mark: Option<Instant>,
    budget: Budget,
}

impl Meter {
    pub(super) fn begin(&mut self, budget: Budget, clock: &Clock) {
        // Without a bound by time the clock need not be read.
        let now = budget.time.map(|_| clock.now());
        *self = Self { turn: Turn::default(), begun: now, mark: now, budget };
    }

    /// Something else than a step has ended.
    pub(super) fn resume(&mut self, clock: &Clock) {
        self.mark = self.mark.map(|_| clock.now());
    }

    /// A step of this host has ended, which had begun in this stage.
    pub(super) fn stepped(&mut self, host: Option<HostId>, stage: Stage, clock: &Clock) {
        self.turn.visits += 1;
        let Some(mark) = self.mark else { return };
        let now = clock.now();
        let took = now.saturating_duration_since(mark);
        self.mark = Some(now);
        if self.turn.longest_step.is_none_or(|longest| longest.took < took) {
            self.turn.longest_step = Some(LongestStep { host, stage, took });
        }
    }

    /// Whether the budget is used up, with so many events waiting.
    pub(super) fn is_over(&self, events: usize) -> bool {
        let is_late = match (self.begun, self.mark, self.budget.time) {
            (Some(begun), Some(mark), Some(time)) => mark.saturating_duration_since(begun) >= time,
            _ => false,
        };
        is_late || self.is_full(events)
    }

    pub(super) fn is_full(&self, events: usize) -> bool {
        events >= self.budget.events
    }

    /// The turn is over.
    pub(super) fn end(&mut self, more: bool, clock: &Clock) -> Turn {
        let elapsed = self.begun.map(|begun| clock.now().saturating_duration_since(begun));
        self.turn.elapsed = elapsed.unwrap_or_default();
        self.turn.more = more;
        self.turn
    }
}
