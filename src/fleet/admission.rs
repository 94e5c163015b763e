//! Admission: which hosts may begin. It limits the hosts that connect or start a command (the
//! pool), open connections, new connections per second, and running commands.
//!
//! A host returns its place as soon as its command is accepted, so more commands run than the pool
//! (parallel-ssh's `pool_size`) has places, unless running commands are limited too. Its connection
//! stays open for the next command, unless descriptors are short: then an idle connection is closed
//! for a host that waits.

#[cfg(test)]
mod tests;

use std::time::Instant;

use super::descriptors;
use super::rate_limit::RateLimit;
use super::registry::Registry;
use super::slot::Slot;
use super::sums::Sums;
use crate::config::Limits;
use crate::error::Error;
use crate::reactor::IndexQueue;
use crate::session::{View, Wish};

#[derive(Debug)]
pub(super) struct Admission {
    /// The configured limits.
    limits: Limits,
    rate_limit: Option<RateLimit>,
    descriptors_max: usize,
    /// Connections were requested since descriptors were last counted.
    is_count_due: bool,
    /// The waiting hosts. A line may contain the index of a host that has left it; such an entry is
    /// skipped when it is popped.
    lines: [IndexQueue; Wish::ALL.len()],
    /// Connections that were idle after their last visit, the longest idle first.
    idle: IndexQueue,
}

/// Hosts with the same wish wait in one line; earlier lines come first.
///
/// Hosts that wait for a proxy hold places in the meantime, so a proxy needs none. Connected hosts
/// need a place, but no descriptor, so they come before hosts that need one: if a connected host
/// waited behind a host without a descriptor, its connection could never become idle and free a
/// descriptor for that host.
impl Wish {
    fn needs_place(self) -> bool {
        self != Self::Proxy
    }

    fn needs_command(self) -> bool {
        matches!(self, Self::Commands | Self::ConnectionForCommands)
    }

    fn needs_connection(self) -> bool {
        self != Self::Commands
    }
}

/// The next host to admit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    pub index: usize,
    pub wish: Wish,
    /// How many of its commands may start.
    pub commands: usize,
}

impl Next {
    /// Whether the host must wait for free descriptors. A proxy must not: the descriptors may be
    /// held by hosts that wait for this proxy, so neither would ever proceed.
    pub(super) fn waits_for_descriptors(&self) -> bool {
        matches!(self.wish, Wish::Connection | Wish::ConnectionForCommands)
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

    /// Changes the configured limits, if the new ones are valid.
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

    /// The number of places.
    pub(super) fn pool(&self) -> usize {
        self.limits.max_connecting.min(self.descriptors_max)
    }

    /// Connections were requested: count the free descriptors again before the next one begins.
    pub(super) fn expect_connections(&mut self) {
        self.is_count_due = true;
    }

    /// Limits the connections to the descriptors that the process has left, unless they were
    /// counted already; `for_lookups` of them are reserved for name lookups. Done only if a
    /// connection is wanted, because counting may be slow in a process with many descriptors.
    pub(super) fn count_descriptors(&mut self, for_lookups: usize, sums: &Sums) {
        let is_wanted = |line: &Wish| line.needs_connection() && sums.has_waiting(*line);
        if !self.is_count_due || !Wish::ALL.iter().any(is_wanted) {
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

    /// The next host that may begin, if there is one within the limits.
    pub(super) fn next(&mut self, hosts: &Registry, now: Instant) -> Option<Next> {
        let commands = self.commands_left(&hosts.sums);
        for line in Wish::ALL {
            while self.is_open(line, &hosts.sums) && (!line.needs_connection() || self.allows_connection(now))
            {
                let Some(index) = self.lines[line as usize].pop() else { break };
                let Some(view) = hosts.slots.get(index).map(Slot::view) else { continue };
                // A host whose needs have changed is queued in another line as well.
                if view.wish == Some(line) {
                    return Some(Next { index, wish: line, commands: view.waiting.min(commands) });
                }
            }
        }
        None
    }

    /// Whether the pool and the limit of running commands admit a host of this line.
    fn is_open(&self, line: Wish, sums: &Sums) -> bool {
        let has_place = !line.needs_place() || sums.places < self.pool();
        has_place && (!line.needs_command() || self.commands_left(sums) > 0)
    }

    /// How many more commands may be admitted.
    fn commands_left(&self, sums: &Sums) -> usize {
        self.limits.max_running.map_or(usize::MAX, |max| max.saturating_sub(sums.running))
    }

    fn allows_connection(&self, now: Instant) -> bool {
        self.rate_limit.is_none_or(|rate_limit| rate_limit.allows(now))
    }

    /// When the next host may begin, if only the rate limit delays it.
    pub(super) fn next_at(&self, now: Instant, sums: &Sums) -> Option<Instant> {
        let waits =
            |line: &Wish| line.needs_connection() && self.is_open(*line, sums) && sums.has_waiting(*line);
        let at = self.rate_limit?.next_at().filter(|at| *at > now)?;
        Wish::ALL.iter().any(waits).then_some(at)
    }

    /// Counts the host against the rate limit.
    pub(super) fn begin(&mut self, next: &Next, now: Instant) {
        if let Some(limit) = self.rate_limit.as_mut().filter(|_| next.wish.needs_connection()) {
            limit.take(now);
        }
    }

    pub(super) fn put_back(&mut self, next: &Next) {
        self.lines[next.wish as usize].push_front(next.index);
    }

    /// Whether this many descriptors may be taken. If no connection holds a descriptor, let the
    /// kernel decide.
    pub(super) fn may_take(&self, descriptors: usize, sums: &Sums) -> bool {
        sums.descriptors == 0 || sums.descriptors.saturating_add(descriptors) <= self.descriptors_max
    }

    pub(super) fn next_idle(&mut self) -> Option<usize> {
        self.idle.pop()
    }

    /// Lowers the limit to the descriptors in use, after the system refused one. Returns `false` if
    /// only the host's `own` are in use: then there is none to wait for.
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

    /// Queues a host by what it waits for, and its connection if it is idle.
    pub(super) fn queue(&mut self, index: usize, view: &View) {
        if let Some(wish) = view.wish {
            self.lines[wish as usize].push(index);
        }
        if view.is_idle {
            self.idle.push(index);
        }
    }
}
