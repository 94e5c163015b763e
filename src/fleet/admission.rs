//! Who may begin: a pool of places for hosts that connect or start a command, and bounds on open connections, on
//! connections begun per second, and on commands that run.
//!
//! A host gives its place back as soon as its command is accepted, so commands run on more hosts than the pool has
//! places (parallel-ssh's `pool_size`), unless the commands themselves are bounded. Its connection stays open for the next
//! command, unless descriptors are short: then a connection that has nothing to do is closed for a host that waits.

#[cfg(test)]
mod tests;

use std::time::Instant;

use slab::Slab;

use super::descriptors;
use super::pace::Pace;
use super::slot::{Booked, Slot};
use super::{Fleet, Timer};
use crate::config::Limits;
use crate::error::Error;
use crate::reactor::IndexQueue;
use crate::session::{Execs, Input, Session, Wish};

#[derive(Debug)]
pub(super) struct Admission {
    /// As configured.
    limits: Limits,
    pace: Option<Pace>,
    places_used: usize,
    /// Commands that were admitted and have not ended.
    running: usize,
    connections: usize,
    /// How many wait in each line.
    waiting: [usize; Line::ALL.len()],
    /// Descriptors of connections.
    descriptors: usize,
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
    const ALL: [Self; 4] = [Self::Proxies, Self::Connected, Self::Awaited, Self::Waiting];

    pub(super) fn of(session: &Session, wish: Wish) -> Self {
        match wish {
            _ if session.is_proxy() => Self::Proxies,
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
            pace: limits.connects_per_second.map(Pace::new),
            places_used: 0,
            running: 0,
            connections: 0,
            waiting: Default::default(),
            descriptors: 0,
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
        self.pace = match (self.pace, limits.connects_per_second) {
            (_, None) => None,
            (None, Some(rate)) => Some(Pace::new(rate)),
            (Some(mut pace), Some(rate)) => {
                pace.change(rate, now);
                Some(pace)
            }
        };
        self.limits = limits;
        Ok(())
    }

    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// Hosts that wait for their turn. A proxy is none.
    pub(super) fn queued(&self) -> usize {
        self.waiting.iter().sum::<usize>() - self.waiting[Line::Proxies as usize]
    }

    fn has_waiting(&self, line: Line) -> bool {
        self.waiting[line as usize] > 0
    }

    pub(super) fn running(&self) -> usize {
        self.running
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
    pub(super) fn count_descriptors(&mut self, for_lookups: usize) {
        let is_wanted = |line: &Line| line.needs_connection() && self.has_waiting(*line);
        if !self.is_count_due || !Line::ALL.iter().any(is_wanted) {
            return;
        }
        self.is_count_due = false;
        let Some(free) = descriptors::free() else { return };
        let free = free.saturating_sub(for_lookups);
        let pool_before = self.pool();
        self.descriptors_max = free.saturating_add(self.descriptors).max(1);
        let pool = self.pool();
        if pool < self.limits.max_connecting.min(self.queued()) && pool != pool_before {
            log::warn!(
                "{free} descriptors are free: pool of {pool} instead of {}",
                self.limits.max_connecting
            );
        }
    }

    /// The next host whose turn it is, if there is a place for it.
    pub(super) fn next(&mut self, slots: &Slab<Slot>, now: Instant) -> Option<Next> {
        let commands = self.commands_left();
        for line in Line::ALL {
            while self.is_open(line) && (!line.needs_connection() || self.allows_connection(now)) {
                let Some(index) = self.lines[line as usize].pop() else { break };
                let Some(slot) = slots.get(index) else { continue };
                let Some(wish) = slot.session.wish() else { continue };
                // One that needs something else by now waits in another line as well.
                if Line::of(&slot.session, wish) == line {
                    return Some(Next { index, line, commands: wish.commands().min(commands) });
                }
            }
        }
        None
    }

    /// Whether places of the kinds that this line needs are free.
    fn is_open(&self, line: Line) -> bool {
        let has_place = !line.needs_place() || self.places_used < self.pool();
        has_place && (!line.needs_command() || self.commands_left() > 0)
    }

    /// Commands that may be admitted.
    fn commands_left(&self) -> usize {
        self.limits.max_running.map_or(usize::MAX, |max| max.saturating_sub(self.running))
    }

    fn allows_connection(&self, now: Instant) -> bool {
        self.pace.is_none_or(|pace| pace.allows(now))
    }

    /// When the next host may begin, if it is the pace that it waits for.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let waits = |line: &Line| line.needs_connection() && self.is_open(*line) && self.has_waiting(*line);
        let at = self.pace?.next_at().filter(|at| *at > now)?;
        Line::ALL.iter().any(waits).then_some(at)
    }

    /// This host is told to begin.
    pub(super) fn begin(&mut self, next: &Next, now: Instant) {
        if let Some(pace) = self.pace.as_mut().filter(|_| next.line.needs_connection()) {
            pace.take(now);
        }
    }

    pub(super) fn put_back(&mut self, next: &Next) {
        self.lines[next.line as usize].push_front(next.index);
    }

    /// Whether so many descriptors may be taken. Where nothing can be given back, the system has the word.
    pub(super) fn may_take(&self, descriptors: usize) -> bool {
        self.descriptors == 0 || self.descriptors.saturating_add(descriptors) <= self.descriptors_max
    }

    pub(super) fn next_idle(&mut self) -> Option<usize> {
        self.idle.pop()
    }

    /// The system refused a descriptor: no more than there are. `false` if there are none to wait for but these, which are
    /// the host's own.
    pub(super) fn shrink_to_open(&mut self, own: usize) -> bool {
        if self.descriptors <= own {
            return false;
        }
        if self.descriptors < self.descriptors_max {
            log::warn!("out of descriptors: going on with {}", self.descriptors);
            self.descriptors_max = self.descriptors;
        }
        true
    }

    /// Books what a session has come to use or has given back.
    pub(super) fn settle(&mut self, index: usize, slot: &mut Slot, execs: &Execs) {
        let now = Booked::of(slot, execs);
        let before = std::mem::replace(&mut slot.booked, now);
        book(&mut self.places_used, before.place.into(), now.place.into());
        book(&mut self.running, before.running, now.running);
        book(&mut self.connections, before.connection.into(), now.connection.into());
        for line in Line::ALL {
            let stands = |booked: Booked| usize::from(booked.line == Some(line));
            book(&mut self.waiting[line as usize], stands(before), stands(now));
        }
        book(&mut self.descriptors, before.descriptors, now.descriptors);
        if let Some(line) = now.line {
            self.lines[line as usize].push(index);
        }
        if slot.session.is_idle() {
            self.idle.push(index);
        }
    }
}

fn book(count: &mut usize, before: usize, now: usize) {
    debug_assert!(*count >= before, "{before} given back of {count}");
    *count = count.saturating_sub(before).saturating_add(now);
}

impl Fleet {
    /// Lets hosts begin as places, descriptors, the pace and the turn's time allow.
    pub(super) fn admit(&mut self, now: Instant) {
        self.admit_again = false;
        // Commands that must not begin any more are told so first.
        let at = if self.paused || self.runs.has_tasks() {
            None
        } else {
            self.admission.count_descriptors(self.descriptors_for_lookups());
            self.admit_hosts(now);
            self.admission.next_at(now)
        };
        self.pace_timer = self.arm(self.pace_timer, at, Timer::Pace);
    }

    fn admit_hosts(&mut self, now: Instant) {
        while let Some(next) = self.admission.next(&self.slots, now) {
            if next.waits_for_descriptors() {
                while !self.admission.may_take(self.descriptors_needed(next.index)) {
                    if !self.close_idle(now) {
                        self.admission.put_back(&next);
                        return;
                    }
                }
            }
            self.admission.begin(&next, now);
            self.visit(next.index, Input::Admitted { commands: next.commands }, now);
            if self.is_over() {
                self.admit_again = true;
                return;
            }
        }
    }

    /// Changes [`max_connecting`](crate::config::FleetBuilder::max_connecting). With fewer places than are taken, none is given until enough
    /// are free again.
    ///
    /// # Errors
    /// [`Error::Config`] for 0.
    pub fn set_max_connecting(&mut self, hosts: usize) -> Result<(), Error> {
        self.change_limits(|limits| limits.max_connecting = hosts)
    }

    /// Changes [`max_running`](crate::config::FleetBuilder::max_running); `None`: no bound. Below what runs, nothing is started until
    /// enough has ended: what runs goes on.
    ///
    /// # Errors
    /// [`Error::Config`] for 0.
    pub fn set_max_running(&mut self, commands: impl Into<Option<usize>>) -> Result<(), Error> {
        let commands = commands.into();
        self.change_limits(|limits| limits.max_running = commands)
    }

    /// Changes [`connects_per_second`](crate::config::FleetBuilder::connects_per_second); `None`: no bound.
    ///
    /// # Errors
    /// [`Error::Config`] for 0.
    pub fn set_connects_per_second(&mut self, connections: impl Into<Option<u32>>) -> Result<(), Error> {
        let connections = connections.into();
        self.change_limits(|limits| limits.connects_per_second = connections)
    }

    fn change_limits(&mut self, change: impl FnOnce(&mut Limits)) -> Result<(), Error> {
        self.admission.change(self.clock.now(), change)?;
        self.admit_soon();
        Ok(())
    }
}
