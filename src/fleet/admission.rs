//! Who may begin: a pool of places for hosts that connect or start a command, and a bound on open connections.
//!
//! A host gives its place back as soon as its command is accepted, so commands run on more hosts than the pool has
//! places (parallel-ssh's `pool_size`). Its connection stays open for the next command, unless descriptors are short:
//! then a connection that has nothing to do is closed for a host that waits.

use slab::Slab;

use super::descriptors;
use super::slot::{Booked, Slot};
use crate::config::Limits;
use crate::error::Error;
use crate::reactor::IndexQueue;
use crate::session::Execs;

#[derive(Debug)]
pub(super) struct Admission {
    /// As configured.
    limits: Limits,
    places_used: usize,
    connections: usize,
    /// Descriptors of connections.
    descriptors: usize,
    descriptors_max: usize,
    /// Proxies that hosts wait for. They need no place.
    proxies: IndexQueue,
    /// Hosts that wait for a place and need a descriptor as well.
    waiting: IndexQueue,
    /// Hosts that wait for a place only. They come first: while one of them waited behind a host without a descriptor, its
    /// connection could never become idle and give that host its own.
    connected: IndexQueue,
    /// Connections that had nothing to do when they were last seen, the longest idle first.
    idle: IndexQueue,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            places_used: 0,
            connections: 0,
            descriptors: 0,
            descriptors_max: usize::MAX,
            proxies: IndexQueue::default(),
            waiting: IndexQueue::default(),
            connected: IndexQueue::default(),
            idle: IndexQueue::default(),
        }
    }

    /// Changes what was configured, unless it makes no sense.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Limits)) -> Result<(), Error> {
        let mut limits = self.limits;
        change(&mut limits);
        limits.check()?;
        self.limits = limits;
        Ok(())
    }

    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    pub(super) fn queued(&self) -> usize {
        self.connected.len() + self.waiting.len()
    }

    /// Places there are.
    pub(super) fn pool(&self) -> usize {
        self.limits.max_connecting.min(self.descriptors_max)
    }

    /// Bounds the connections by the descriptors that the process has left, before a command for `hosts` hosts, whose names
    /// may take so many to look up.
    pub(super) fn count_descriptors(&mut self, hosts: usize, for_lookups: usize) {
        let Some(free) = descriptors::free() else { return };
        let free = free.saturating_sub(for_lookups);
        let pool_before = self.pool();
        self.descriptors_max = free.saturating_add(self.descriptors).max(1);
        let pool = self.pool();
        if pool < self.limits.max_connecting.min(hosts) && pool != pool_before {
            log::warn!(
                "{free} descriptors are free: pool of {pool} instead of {}",
                self.limits.max_connecting
            );
        }
    }

    /// The next proxy that is wanted, or the next host that wants a place, if one is free.
    pub(super) fn next(&mut self, slots: &Slab<Slot>, execs: &Execs) -> Option<usize> {
        while let Some(index) = self.proxies.pop() {
            if slots.get(index).is_some_and(|slot| slot.session.wants_place(execs)) {
                return Some(index);
            }
        }
        while self.places_used < self.pool() {
            let index = self.connected.pop().or_else(|| self.waiting.pop())?;
            if slots.get(index).is_some_and(|slot| slot.session.wants_place(execs)) {
                return Some(index);
            }
        }
        None
    }

    pub(super) fn put_back(&mut self, index: usize) {
        self.waiting.push_front(index);
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
        let connection = slot.session.is_connected();
        // A proxy's is kept for it while hosts wait: they have theirs, and it might never get it back.
        let descriptors = if connection || slot.session.is_waited_for() { slot.descriptors() } else { 0 };
        let state = (!slot.session.is_proxy()).then(|| slot.session.host_state());
        let now = Booked { place: slot.session.uses_place(execs), connection, descriptors, state };
        let before = std::mem::replace(&mut slot.booked, now);
        book(&mut self.places_used, before.place, now.place);
        book(&mut self.connections, before.connection, now.connection);
        self.descriptors = self.descriptors.saturating_sub(before.descriptors) + now.descriptors;
        if !now.place && slot.session.wants_place(execs) {
            let queue = match now.connection {
                _ if slot.session.is_proxy() => &mut self.proxies,
                true => &mut self.connected,
                false => &mut self.waiting,
            };
            queue.push(index);
        }
        if slot.session.is_idle() {
            self.idle.push(index);
        }
    }
}

fn book(count: &mut usize, before: bool, now: bool) {
    match (before, now) {
        (false, true) => *count += 1,
        (true, false) => *count = count.saturating_sub(1),
        _ => {}
    }
}
