//! What must hold whenever a turn is over, and what must hold once all is quiet.

use std::time::Duration;

use super::world::{World, fake};
use crate::engine::slot::Slot;
use crate::engine::{Fleet, HostState};
use crate::ids::StdStream;

/// How late a deadline may be noticed.
const TICK: Duration = Duration::from_millis(1);

impl World {
    /// All that is booked and counted is what a look at each host says.
    pub(super) fn check_books(&mut self) {
        // A line that is lent is neither read nor unread.
        self.fleet.take_back();
        let fleet = &self.fleet;
        let (mut places, mut timers, mut connections) = (0, usize::from(fleet.pace_timer.is_some()), 0);
        let mut states = [0; HostState::ALL.len()];
        for (_, slot) in &fleet.slots {
            let id = slot.id;
            let deadline = slot.session.deadline(&fleet.execs);
            let armed = slot.timer.map(|timer| timer.at);
            assert!(armed == deadline || slot.due, "{id:?} waits for {deadline:?}, its timer for {armed:?}");
            timers += usize::from(armed.is_some());
            let uses_place = slot.session.uses_place(&fleet.execs);
            assert_eq!(slot.booked.place, uses_place, "the place of {id:?}");
            places += usize::from(uses_place);
            connections += usize::from(slot.session.is_connected());
            if !slot.session.is_proxy() {
                states[slot.session.host_state() as usize] += 1;
            }
        }
        let metrics = fleet.metrics();
        assert_eq!(timers, metrics.timers, "timers");
        assert_eq!(connections, metrics.connections, "connections");
        for state in HostState::ALL {
            assert_eq!(states[state as usize], metrics.hosts(state), "hosts that are {state:?}");
        }
        // Fewer places than are taken: none is given until enough are free.
        let most = self.max_connecting.max(self.places);
        assert!(places <= most, "{places} places are taken, of {}", self.max_connecting);
        self.places = places;
        let most = self.max_running.unwrap_or(usize::MAX).max(self.running);
        assert!(metrics.running <= most, "{} commands run, of {:?}", metrics.running, self.max_running);
        self.running = metrics.running;
        let unread = |id| fleet.command(id).map_or(0, |command| unread_of(command));
        let unread: usize = self.told.commands.keys().map(|id| unread(*id)).sum();
        assert_eq!(unread, metrics.unread, "unread bytes");
    }

    /// With nothing left to do at this moment: nobody was forgotten.
    pub(super) fn check(&mut self) {
        self.check_books();
        let is_unread = self.fleet.events.len() > 0;
        for (_, slot) in &mut self.fleet.slots {
            let (id, link) = (slot.id, fake(&mut *slot.link));
            // One that is held back goes on when its output was taken.
            let is_held = is_unread && slot.session.held_by().is_some();
            assert!(
                is_held || !link.is_unattended(),
                "{id:?} has news that nobody takes: {:?}",
                link.queues()
            );
            let is_connected = slot.session.is_connected();
            assert!(is_connected || link.is_down(), "{id:?} was not hung up");
            assert!(!slot.due && slot.orders.is_empty(), "{id:?} was not visited");
            let deadline = slot.session.deadline(&self.fleet.execs);
            let is_late = deadline.is_some_and(|at| at + TICK <= self.now);
            assert!(!is_late, "{id:?} is late by {:?}", deadline.map(|at| self.now - at));
        }
        let waiting = self.fleet.metrics().hosts(HostState::Queued);
        assert!(waiting == 0 || self.is_full(), "{waiting} hosts wait for nothing: {:?}", self.fleet);
    }

    /// Whether there is a reason for hosts to wait: for a place, for commands to end, for descriptors, or for their turn.
    pub(super) fn is_full(&self) -> bool {
        let Fleet { admission, slots, pace_timer, .. } = &self.fleet;
        let lacks_descriptors = |index| !admission.may_take(self.fleet.descriptors_needed(index));
        let is_waiting = |slot: &Slot| slot.session.host_state() == HostState::Queued;
        self.fleet.is_paused()
            || self.places >= admission.pool()
            || self.max_running.is_some_and(|most| self.running >= most)
            || pace_timer.is_some()
            || slots.iter().any(|(index, slot)| is_waiting(slot) && lacks_descriptors(index))
    }
}

fn unread_of(command: crate::fleet::CommandRef<'_>) -> usize {
    command.unread(StdStream::Stdout) + command.unread(StdStream::Stderr)
}
