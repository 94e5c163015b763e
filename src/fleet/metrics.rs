//! Figures of a fleet.

use std::time::Duration;

use super::meter::Turn;
use super::{Fleet, HostState};

/// What a fleet has done so far, and how it is now. Cheap to take: nothing is counted for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns of the event loop: times that the thread woke up.
    pub turns: u64,
    /// Visits to a host with news.
    pub visits: u64,
    /// The longest time that one turn held the thread, waiting excluded. Turns without a bound by time are not measured.
    pub longest_turn: Duration,
    /// Connections open now, those to proxies included.
    pub connections: usize,
    /// Hosts that wait for a place in the pool now.
    pub queued: usize,
    /// Timers armed now.
    pub timers: usize,
    /// Hosts that can be worked on at once: `pool_size`, or fewer if descriptors are short.
    pub pool: usize,
    /// Commands that were not forgotten, finished ones included.
    pub commands: usize,
    /// Commands that are not over.
    pub unfinished: usize,
    /// Unread bytes of output.
    pub unread: usize,
    hosts: [usize; HostState::ALL.len()],
}

impl Metrics {
    /// Hosts in this state now.
    pub fn hosts(&self, state: HostState) -> usize {
        self.hosts[state as usize]
    }
}

/// What is counted as it happens.
#[derive(Debug, Default)]
pub(super) struct Totals {
    turns: u64,
    visits: u64,
    longest_turn: Duration,
    hosts: [usize; HostState::ALL.len()],
}

impl Totals {
    pub(super) fn count(&mut self, turn: &Turn) {
        self.turns += 1;
        self.visits += turn.visits as u64;
        self.longest_turn = self.longest_turn.max(turn.elapsed);
    }

    /// A host has come from one state to another.
    pub(super) fn pass(&mut self, from: Option<HostState>, to: Option<HostState>) {
        self.leave(from);
        if let Some(state) = to {
            self.hosts[state as usize] += 1;
        }
    }

    pub(super) fn leave(&mut self, state: Option<HostState>) {
        if let Some(state) = state {
            self.hosts[state as usize] -= 1;
        }
    }
}

impl Fleet {
    /// Figures of now.
    pub fn metrics(&self) -> Metrics {
        let Totals { turns, visits, longest_turn, hosts } = self.totals;
        Metrics {
            turns,
            visits,
            longest_turn,
            connections: self.admission.connections(),
            queued: self.admission.queued(),
            timers: self.wheel.len(),
            pool: self.admission.pool(),
            commands: self.execs.len(),
            unfinished: self.runs.unfinished(),
            unread: self.execs.unread(),
            hosts,
        }
    }
}
