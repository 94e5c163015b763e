//! Who may begin: a pool of places for hosts that connect or start a command, and bounds on open connections, on
//! connections begun per second, and on commands that run.
//!
//! A host gives its place back as soon as its command is accepted, so commands run on more hosts than the pool has
//! places (parallel-ssh's `pool_size`), unless the commands themselves are bounded. Its connection stays open for the next
//! command, unless descriptors are short: then a connection that has nothing to do is closed for a host that waits.

#[cfg(test)]
mod tests;

use std::time::Instant;

use super::descriptors;
use super::rate_limit::RateLimit;
use super::registry::Registry;
use super::sums::Sums;
use crate::config::Limits;
use crate::error::Error;
use crate::reactor::IndexQueue;
use crate::session::{View, Wish};

#[derive(Debug)]
pub(super) struct Admission {
    /// As configured.
    limits: Limits,
    rate_limit: Option<RateLimit>,
    descriptors_max: usize,
    /// Descriptors were not counted since somebody asked for connections.
    is_count_due: bool,
    /// An index may stand in a line that its host has left: that is noticed when its turn comes.
    lines: [IndexQueue; Line::ALL.len()],
    /// Connections that had nothing to do when they were last seen, the longest idle first.
    idle: IndexQueue,
}

/// Where a host waits, by what it needs to begin. Those of the first line come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Proxies that hosts wait for. They need no place: those hosts hold theirs meanwhile.
    Proxies,
    /// Hosts that are connected. They need a place, but no descriptor: while one of them waited behind a host without a
    /// descriptor, its connection could never become idle and give that host its own.
    Connected,
    /// Hosts that are to connect, whatever becomes of their commands.
    Awaited,
    /// Hosts that are to connect for a command, which has to be among those that may run.
    Waiting,
}

impl Line {
    pub(super) const ALL: [Self; 4] = [Self::Proxies, Self::Connected, Self::Awaited, Self::Waiting];

    pub(super) fn of(wish: Wish) -> Self {
        match wish {
            Wish::Proxy => Self::Proxies,
            Wish::Commands(_) => Self::Connected,
            Wish::Connection(_) => Self::Awaited,
            Wish::ConnectionFor(_) => Self::Waiting,
        }
    }

    fn needs_place(self) -> bool {
        self != Self::Proxies
    }

    fn needs_command(self) -> bool {
        matches!(self, Self::Connected | Self::Waiting)
    }

    fn needs_connection(self) -> bool {
        self != Self::Connected
    }
}

/// A host whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    pub index: usize,
    pub line: Line,
    /// Commands of it that may begin.
    pub commands: usize,
}

impl Next {
    /// Whether it needs descriptors of its own before it may begin. A proxy is what others wait for: were it to wait for
    /// them, neither would come.
    pub(super) fn waits_for_descriptors(&self) -> bool {
        matches!(self.line, Line::Awaited | Line::Waiting)
    }
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            rate_limit: limits.connects_per_second.map(RateLimit::new),
            descriptors_max: usize::MAX,
            is_count_due: false,
            lines: Default::default(),
            idle: IndexQueue::default(),
        }
    }

    /// Changes what was configured, unless it makes no sense.
    pub(super) fn change(&mut self, now: Instant, change: impl FnOnce(&mut Limits)) -> Result<(), Error> {
        let mut limits = self.limits;
        change(&mut limits);
        limits.check()?;
        self.rate_limit = match (self.rate_limit, limits.connects_per_second) {
            (_, None) => None,
            (None, Some(rate)) => Some(RateLimit::new(rate)),
            (Some(mut limit), Some(rate)) => {
                limit.change(rate, now);
                Some(limit)
            }
        };
        self.limits = limits;
        Ok(())
    }

    /// Places there are.
    pub(super) fn pool(&self) -> usize {
        self.limits.max_connecting.min(self.descriptors_max)
    }

    /// Somebody asks for connections: before the next one is begun, the descriptors that are free are counted anew.
    pub(super) fn expect_connections(&mut self) {
        self.is_count_due = true;
    }

    /// Bounds the connections by the descriptors that the process has left, if that is not known: `for_lookups` are needed to
    /// look up names. Only where a connection is wanted: to count them may take long in a process that has many.
    pub(super) fn count_descriptors(&mut self, for_lookups: usize, sums: &Sums) {
        let is_wanted = |line: &Line| line.needs_connection() && sums.has_waiting(*line);
        if !self.is_count_due || !Line::ALL.iter().any(is_wanted) {
            return;
        }
        self.is_count_due = false;
        let Some(free) = descriptors::free() else { return };
        let free = free.saturating_sub(for_lookups);
        let pool_before = self.pool();
        self.descriptors_max = free.saturating_add(sums.descriptors).max(1);
        let pool = self.pool();
        if pool < self.limits.max_connecting.min(sums.queued()) && pool != pool_before {
            log::warn!(
                "{free} descriptors are free: pool of {pool} instead of {}",
                self.limits.max_connecting
            );
        }
    }

    /// The next host that may begin, if there is a place for it.
    pub(super) fn next(&mut self, hosts: &Registry, now: Instant) -> Option<Next> {
        let commands = self.commands_left(&hosts.sums);
        for line in Line::ALL {
            while self.is_open(line, &hosts.sums) && (!line.needs_connection() || self.allows_connection(now))
            {
                let Some(index) = self.lines[line as usize].pop() else { break };
                let Some(wish) = hosts.slots.get(index).and_then(|slot| slot.view().wish) else { continue };
                // A host that needs something else by now waits in another line as well.
                if Line::of(wish) == line {
                    return Some(Next { index, line, commands: wish.commands().min(commands) });
                }
            }
        }
        None
    }

    /// Whether places of the kinds that this line needs are free.
    fn is_open(&self, line: Line, sums: &Sums) -> bool {
        let has_place = !line.needs_place() || sums.places < self.pool();
        has_place && (!line.needs_command() || self.commands_left(sums) > 0)
    }

    /// Commands that may be admitted.
    fn commands_left(&self, sums: &Sums) -> usize {
        self.limits.max_running.map_or(usize::MAX, |max| max.saturating_sub(sums.running))
    }

    fn allows_connection(&self, now: Instant) -> bool {
        self.rate_limit.is_none_or(|rate_limit| rate_limit.allows(now))
    }

    /// When the next host may begin, if it waits for the rate limit alone.
    pub(super) fn next_at(&self, now: Instant, sums: &Sums) -> Option<Instant> {
        let waits =
            |line: &Line| line.needs_connection() && self.is_open(*line, sums) && sums.has_waiting(*line);
        let at = self.rate_limit?.next_at().filter(|at| *at > now)?;
        Line::ALL.iter().any(waits).then_some(at)
    }

    /// This host is told to begin.
    pub(super) fn begin(&mut self, next: &Next, now: Instant) {
        if let Some(limit) = self.rate_limit.as_mut().filter(|_| next.line.needs_connection()) {
            limit.take(now);
        }
    }

    pub(super) fn put_back(&mut self, next: &Next) {
        self.lines[next.line as usize].push_front(next.index);
    }

    /// Whether this many descriptors may be taken. If no connection holds any, the kernel decides.
    pub(super) fn may_take(&self, descriptors: usize, sums: &Sums) -> bool {
        sums.descriptors == 0 || sums.descriptors.saturating_add(descriptors) <= self.descriptors_max
    }

    pub(super) fn next_idle(&mut self) -> Option<usize> {
        self.idle.pop()
    }

    /// The system refused a descriptor: no more than there are. `false` if there are none to wait for but these, which are
    /// the host's own.
    pub(super) fn shrink_to_open(&mut self, own: usize, sums: &Sums) -> bool {
        if sums.descriptors <= own {
            return false;
        }
        if sums.descriptors < self.descriptors_max {
            log::warn!("out of descriptors: going on with {}", sums.descriptors);
            self.descriptors_max = sums.descriptors;
        }
        true
    }

    /// Queues a session by what it waits for, and by whether its descriptor can be given to another host.
    pub(super) fn queue(&mut self, index: usize, view: &View) {
        if let Some(wish) = view.wish {
            self.lines[Line::of(wish) as usize].push(index);
        }
        if view.is_idle {
            self.idle.push(index);
        }
    }
}
