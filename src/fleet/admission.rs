//! Admission decides which hosts may connect or start a command. It limits how many hosts do so at
//! once (the pool), how many connections are open, how many connections are made per second, and
//! how many commands run.
//!
//! A host gives its place in the pool back as soon as its command is accepted. So more commands can
//! run than the pool (parallel-ssh's `pool_size`) has places, unless the number of running commands
//! is limited as well. The host's connection stays open for its next command. An idle connection is
//! closed only if file descriptors are short and another host waits for one.

#[cfg(test)]
pub(super) mod tests;

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
    /// How many descriptors the connections may hold together.
    descriptors_max: usize,
    /// Whether connections were requested since descriptors were last counted. If so, descriptors
    /// are counted again before the next connection begins.
    pub is_count_due: bool,
    /// The waiting hosts, in one line for each [`Wish`]. A line may contain the index of a host
    /// that no longer waits in it; such an entry is skipped when it is popped.
    lines: [IndexQueue; Wish::ALL.len()],
    /// The connections that were idle after the last visit to them. The one that has been idle for
    /// the longest time comes first.
    pub idle: IndexQueue,
}

/// Hosts with the same wish wait in one line. The lines are served in the order of [`Wish::ALL`].
///
/// [`Proxy`](Self::Proxy) comes first. A proxy needs no place in the pool, because the hosts that
/// wait for it already hold places.
///
/// [`Commands`](Self::Commands) comes next. These hosts are connected, so they need a place but no
/// descriptor. They must not wait behind a host that lacks a descriptor, because then both might
/// wait forever: a descriptor may become free only when a connected host has run its commands and
/// its idle connection is closed.
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
    /// How many of the host's commands may start.
    pub commands: usize,
}

impl Next {
    /// Whether the host is about to be dialled.
    pub(super) fn is_connection(&self) -> bool {
        self.wish.needs_connection()
    }

    /// Whether the host must wait until enough descriptors are free. A connected host needs no
    /// further descriptor. A proxy must not wait: the hosts behind it may hold all descriptors
    /// while they wait for the proxy, and then neither they nor the proxy would ever proceed.
    pub(super) fn waits_for_descriptors(&self) -> bool {
        matches!(self.wish, Wish::AnotherKey | Wish::Connection | Wish::ConnectionForCommands)
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

    /// How many places the pool has.
    pub(super) fn pool(&self) -> usize {
        self.limits.max_connecting.min(self.descriptors_max)
    }

    /// Sets how many descriptors the connections may hold together: those that they hold now, and
    /// those that are free in this process, except `for_lookups`, which are reserved for name
    /// lookups. Counting may be slow in a process with many descriptors, so this does nothing
    /// unless connections were requested since the last count and a waiting host needs a
    /// connection.
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
                "only {free} descriptors are free, so the pool has {pool} places instead of {}",
                self.limits.max_connecting
            );
        }
    }

    /// The next host that may begin; `None` if no host waits or the limits allow none.
    pub(super) fn next(&mut self, hosts: &Registry, now: Instant) -> Option<Next> {
        let commands = self.commands_left(&hosts.sums);
        for line in Wish::ALL {
            while self.is_open(line, &hosts.sums) && (!line.needs_connection() || self.allows_connection(now))
            {
                let Some(index) = self.lines[line as usize].pop() else { break };
                let Some(view) = hosts.slots.get(index).map(Slot::view) else { continue };
                // A host whose wish has changed is also queued in the line for its new wish, so
                // its entry in this line is skipped.
                if view.wish == Some(line) {
                    return Some(Next { index, wish: line, commands: view.waiting.min(commands) });
                }
            }
        }
        None
    }

    /// Whether the pool and the limit on running commands allow a host in this line to be admitted.
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

    /// When the next host may begin, if the rate limit is the only thing that delays it.
    pub(super) fn next_at(&self, now: Instant, sums: &Sums) -> Option<Instant> {
        let waits =
            |line: &Wish| line.needs_connection() && self.is_open(*line, sums) && sums.has_waiting(*line);
        let at = self.rate_limit?.next_at().filter(|at| *at > now)?;
        Wish::ALL.iter().any(waits).then_some(at)
    }

    /// Counts the host's connection against the rate limit, if the host needs a new one.
    pub(super) fn begin(&mut self, next: &Next, now: Instant) {
        if let Some(limit) = self.rate_limit.as_mut().filter(|_| next.wish.needs_connection()) {
            limit.take(now);
        }
    }

    pub(super) fn put_back(&mut self, next: &Next) {
        self.lines[next.wish as usize].push_front(next.index);
    }

    /// Whether the fleet's connections may take this many more descriptors. Always `true` if they
    /// hold none yet: no connection could close to make room, so the attempt is made, and the
    /// kernel decides.
    pub(super) fn may_take(&self, descriptors: usize, sums: &Sums) -> bool {
        sums.descriptors == 0 || sums.descriptors.saturating_add(descriptors) <= self.descriptors_max
    }

    /// Called when the system has refused a descriptor for a host. Lowers the limit to the number
    /// of descriptors in use. The host's proxies hold `own` of them. Returns `false` if no others
    /// are in use, because then the host cannot wait for another connection to close.
    pub(super) fn shrink_to_open(&mut self, own: usize, sums: &Sums) -> bool {
        if sums.descriptors <= own {
            return false;
        }
        if sums.descriptors < self.descriptors_max {
            log::warn!("out of descriptors: continuing with the {} in use", sums.descriptors);
            self.descriptors_max = sums.descriptors;
        }
        true
    }

    /// Puts a host to the front of the line for what it is waiting for.
    pub(super) fn queue_first(&mut self, index: usize, view: &View) {
        if let Some(wish) = view.wish {
            self.lines[wish as usize].push_front(index);
        }
    }

    /// Puts a host in the line for what it is waiting for. If its connection is idle, also queues
    /// the connection.
    pub(super) fn queue(&mut self, index: usize, view: &View) {
        if let Some(wish) = view.wish {
            self.lines[wish as usize].push(index);
        }
        if view.is_idle {
            self.idle.push(index);
        }
    }
}
