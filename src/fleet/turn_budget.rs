//! The budget of a turn, and the report of a turn.

use std::time::{Duration, Instant};

use super::event_queue;
use crate::clock::Clock;
use crate::ids::HostId;
use crate::limits;
use crate::stage::Stage;

/// How much work one [`Fleet::turn`](crate::Fleet::turn) may do, as a limit on its time and a limit
/// on the number of untaken events; and how much output the caller may take before the next turn,
/// in lines and in bytes. The turn ends when either of its limits is reached. It may exceed the
/// budget by one step of one host. Most steps take less than 2 ms, and a step with the costliest
/// key exchange that is offered takes less than 5 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Budget {
    pub(super) time: Option<Duration>,
    pub(super) events: usize,
    pub(super) lines: usize,
    pub(super) bytes: usize,
}

impl Default for Budget {
    /// 1 ms, 1,024 events, 256 lines and 256 KiB.
    fn default() -> Self {
        Self {
            time: Some(limits::TURN_BUDGET),
            events: limits::TURN_EVENTS,
            lines: event_queue::LINES_PER_TURN,
            bytes: event_queue::BYTES_PER_TURN,
        }
    }
}

impl Budget {
    /// The time after which the turn visits no further host. With a time of zero, each kind of work
    /// still advances by at least one host. Default: 1 ms.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Removes the time limit.
    pub fn any_time(mut self) -> Self {
        self.time = None;
        self
    }

    /// The number of untaken events that ends the turn: once there are this many, it visits no
    /// further host. A turn that begins with this many events or more does nothing. Default: 1,024;
    /// 0 counts as 1.
    pub fn events(mut self, events: usize) -> Self {
        self.events = events.max(1);
        self
    }

    /// How many lines of output ([`Event::Line`](crate::Event::Line)) the caller may take before
    /// the next turn. After that many, [`Fleet::next_event`](crate::Fleet::next_event) returns
    /// `None`. Default: 256; 0 counts as 1.
    pub fn lines(mut self, lines: usize) -> Self {
        self.lines = lines.max(1);
        self
    }

    /// How many bytes of output the caller may take as events before the next turn. The event that
    /// exceeds this number is the last one. Default: 256 KiB; 0 counts as 1.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes.max(1);
        self
    }
}

/// The report of a [`Fleet::turn`](crate::Fleet::turn).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// How many visits to hosts and proxies there were. A host or proxy that was visited twice
    /// counts twice.
    pub visits: usize,
    /// How many key exchanges completed, whether or not the host key was accepted. Key exchanges
    /// are the costliest steps, at a few hundred microseconds each.
    pub key_exchanges: usize,
    /// How many signatures were made in this process to log in. One costs about a quarter of a key
    /// exchange, or several times that with a large RSA key. Signatures of an ssh-agent cost this
    /// process nothing and do not count.
    pub signatures: usize,
    /// The duration of the turn by the clock; zero if the budget has no time limit.
    pub elapsed: Duration,
    /// The longest step; `None` if nothing was visited or the budget has no time limit.
    pub longest_step: Option<LongestStep>,
    /// Whether work is left. If so, the descriptor is readable. Events that wait to be taken do not
    /// count as work, but they too keep the descriptor readable.
    pub more: bool,
}

/// The longest step of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LongestStep {
    /// The host; `None` for a proxy.
    pub host: Option<HostId>,
    /// The stage of the host's connection before the step; [`Stage::Running`] if the host was
    /// logged in.
    pub stage: Stage,
    /// The duration of the step by the clock.
    pub took: Duration,
}

/// Measures one turn against its budget.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub turn: Turn,
    begun: Option<Instant>,
    /// The CPU time of this thread at the start of the turn.
    cpu: Option<Duration>,
    /// The time from which the next step is measured.
    mark: Option<Instant>,
    budget: Budget,
}

impl Meter {
    pub(super) fn begin(&mut self, budget: Budget, clock: &Clock) {
        // Without a time limit, the clock need not be read.
        let now = budget.time.map(|_| clock.now());
        let cpu = budget.time.map(|_| clock.thread_cpu());
        *self = Self { turn: Turn::default(), begun: now, cpu, mark: now, budget };
    }

    /// Excludes the work that was done since the last step from the time of the next step.
    pub(super) fn resume(&mut self, clock: &Clock) {
        self.mark = self.mark.map(|_| clock.now());
    }

    /// Counts a step of this host that has just ended. `stage` is the stage before the step.
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

    /// Whether the budget is used up; `events` is the number of untaken events.
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

    /// The CPU time of the turn so far; `None` if the budget has no time limit.
    pub(super) fn cpu(&self, clock: &Clock) -> Option<Duration> {
        self.cpu.map(|begun| clock.thread_cpu().saturating_sub(begun))
    }

    /// Completes the report.
    pub(super) fn end(&mut self, more: bool, clock: &Clock) -> Turn {
        let elapsed = self.begun.map(|begun| clock.now().saturating_duration_since(begun));
        self.turn.elapsed = elapsed.unwrap_or_default();
        self.turn.more = more;
        self.turn
    }
}
