//! Invariants that hold after every turn, and invariants that hold once there is nothing to do.

use std::time::Duration;

use super::world::{World, fake};
use crate::fleet::HostState;
use crate::fleet::engine::Engine;
use crate::fleet::password_guard::Asker;
use crate::fleet::schedule::Schedule;
use crate::fleet::slot::Slot;
use crate::ids::StdStream;

/// How late a timer may fire.
const TICK: Duration = Duration::from_millis(1);

impl World {
    /// All counts and timers agree with a scan of all hosts.
    pub(super) fn check_books(&mut self) {
        let (fleet, engine) = (&self.fleet, &self.fleet.engine);
        let (mut places, mut connections) = (0, 0);
        let Schedule { rate_timer, trial_timer, .. } = engine.schedule;
        let other_timers = [rate_timer, trial_timer, engine.transfers.rate.timer];
        let mut timers = other_timers.iter().flatten().count();
        let mut states = [0; HostState::ALL.len()];
        for (index, slot) in &engine.hosts.slots {
            let (id, view) = (slot.id, slot.session.view(&engine.execs));
            assert_eq!(slot.booked, slot.usage(&engine.execs), "{id:?}");
            let armed = slot.timer.map(|timer| timer.at);
            let is_fired = armed.is_none() && engine.event_loop.ready.contains(index);
            assert!(
                armed == view.deadline || is_fired,
                "{id:?} has deadline {:?}, but its timer is {armed:?}",
                view.deadline
            );
            timers += usize::from(armed.is_some());
            places += usize::from(view.uses_place);
            connections += usize::from(view.holds_descriptor);
            if !slot.session.is_proxy() {
                states[view.state as usize] += 1;
            }
        }
        let tries =
            |asker: Asker| engine.hosts.slots.get(asker.slot).is_some_and(|slot| slot.session.is_in_trial());
        engine.schedule.passwords.check(tries);
        let keeps_turn = |index| engine.hosts.slots.get(index).is_some_and(Slot::keeps_turn);
        engine.schedule.touches.check(keeps_turn);
        let metrics = fleet.metrics();
        assert_eq!(timers, metrics.timers, "timers");
        assert_eq!(connections, metrics.connections, "connections");
        for state in HostState::ALL {
            assert_eq!(states[state as usize], metrics.hosts(state), "hosts that are {state:?}");
        }
        // After a limit was lowered, usage may exceed it, but must not grow.
        let most = self.max_connecting.max(self.places);
        assert!(places <= most, "{places} places are in use, of {}", self.max_connecting);
        self.places = places;
        let most = self.max_running.unwrap_or(usize::MAX).max(self.running);
        assert!(metrics.running <= most, "{} commands run, of {:?}", metrics.running, self.max_running);
        self.running = metrics.running;
        let unread = |id| fleet.command(id).map_or(0, |command| unread_of(command));
        let unread: usize = self.told.commands.keys().map(|id| unread(*id)).sum();
        assert_eq!(unread, metrics.unread, "unread bytes");
    }

    /// Checks that no work was forgotten, when there is nothing left to do at this moment.
    pub(super) fn check(&mut self) {
        self.check_books();
        let is_unread = !self.fleet.engine.events.is_empty();
        for (_, slot) in &mut self.fleet.engine.hosts.slots {
            let (id, view, link) = (slot.id, slot.booked.view, fake(&mut *slot.link));
            // A host that is held back resumes when its output is taken.
            let is_held = is_unread && view.held.is_some();
            assert!(
                is_held || !link.is_unattended(),
                "{id:?} has input that is not read: {:?}",
                link.queues()
            );
            assert!(view.holds_descriptor || link.is_down(), "the connection of {id:?} was not closed");
            assert!(slot.mail.is_empty(), "{id:?} has queued inputs but was not visited");
            let is_late = view.deadline.is_some_and(|at| at + TICK <= self.now);
            assert!(!is_late, "{id:?} is late by {:?}", view.deadline.map(|at| self.now - at));
        }
        let waiting = self.fleet.metrics().hosts(HostState::Queued);
        assert!(waiting == 0 || self.is_full(), "{waiting} hosts wait for no reason: {:?}", self.fleet);
    }

    /// Whether hosts have a reason to wait: for a place, for commands to end, for descriptors, for
    /// the rate limit, or because admission is paused.
    pub(super) fn is_full(&self) -> bool {
        let Engine { schedule: Schedule { admission, rate_timer, .. }, hosts, .. } = &self.fleet.engine;
        let lacks_descriptors = |index| !admission.may_take(hosts.descriptors_needed(index), &hosts.sums);
        let is_waiting = |slot: &Slot| slot.view().state == HostState::Queued;
        self.fleet.is_paused()
            || self.places >= admission.pool()
            || self.max_running.is_some_and(|most| self.running >= most)
            || rate_timer.is_some()
            || hosts.slots.iter().any(|(index, slot)| is_waiting(slot) && lacks_descriptors(index))
    }
}

fn unread_of(command: crate::fleet::CommandRef<'_>) -> usize {
    command.unread(StdStream::Stdout) + command.unread(StdStream::Stderr)
}
