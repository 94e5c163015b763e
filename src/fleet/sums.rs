//! Sums over all connections of a fleet. They are updated on each change, so that no metric needs a
//! scan.

use super::slot::Slot;
use crate::session::{HostState, Wish};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// How many places of the pool are in use.
    pub places: usize,
    /// How many admitted commands have not ended.
    pub running: usize,
    /// How many connections are open or being opened.
    pub connections: usize,
    /// How many descriptors the connections hold.
    pub descriptors: usize,
    /// How many connections are held back by back-pressure.
    pub held: usize,
    /// How many connections wait in each line for admission.
    pub lines: [usize; Wish::ALL.len()],
    /// How many hosts of the list are in each state.
    pub hosts: [usize; HostState::ALL.len()],
}

impl Sums {
    pub(super) fn add(&mut self, slot: &Slot) {
        self.change(slot, |sum, amount| *sum += amount);
    }

    pub(super) fn subtract(&mut self, slot: &Slot) {
        self.change(slot, |sum, amount| {
            debug_assert!(*sum >= amount, "{amount} subtracted from {sum}");
            *sum = sum.saturating_sub(amount);
        });
    }

    fn change(&mut self, slot: &Slot, by: impl Fn(&mut usize, usize)) {
        let view = slot.view();
        by(&mut self.places, view.uses_place.into());
        by(&mut self.running, view.running);
        by(&mut self.connections, view.holds_descriptor.into());
        by(&mut self.descriptors, slot.booked.descriptors);
        by(&mut self.held, view.held.is_some().into());
        if let Some(wish) = view.wish {
            by(&mut self.lines[wish as usize], 1);
        }
        if !slot.session.is_proxy() {
            by(&mut self.hosts[view.state as usize], 1);
        }
    }

    pub(super) fn has_waiting(&self, line: Wish) -> bool {
        self.lines[line as usize] > 0
    }

    /// How many hosts wait for admission, not counting proxies.
    pub(super) fn queued(&self) -> usize {
        self.lines.iter().sum::<usize>() - self.lines[Wish::Proxy as usize]
    }
}
