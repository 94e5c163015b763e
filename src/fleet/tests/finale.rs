//! The end of a simulation: the caller starts nothing more, and every command and connection must
//! end.

use std::collections::BTreeSet;
use std::time::Duration;

use super::told::Command;
use super::world::World;
use crate::fleet::HostState;
use crate::ids::RunId;
use crate::ids::StdStream;
use crate::limits;
use crate::output::Deliver;

/// How many rounds running commands have to end by themselves.
const QUIET_ROUNDS: usize = 400;

/// More rounds than any simulation takes.
const ROUNDS_MAX: usize = 100_000;

/// The time in which a cancelled command ends: its grace period, the time limit for closing its
/// channel, and a round or two.
const STOP: Duration =
    limits::STOP_GRACE.saturating_add(limits::CLOSE_TIMEOUT).saturating_add(Duration::from_secs(1));

impl World {
    pub(super) fn finish(&mut self) {
        self.say(|| "finale".to_owned());
        self.fleet.resume();
        self.take_events(usize::MAX);
        self.settle();
        loop {
            let mut quiet = 0;
            self.run(|world| {
                quiet = if world.is_quiet() { quiet + 1 } else { 0 };
                let is_over = world.unfinished() == 0 && world.fleet.metrics().admission_queue == 0;
                is_over && quiet > 0 || quiet > QUIET_ROUNDS
            });
            // Gated runs wait for `proceed`.
            let waiting: Vec<RunId> = self.told.runs.keys().copied().collect();
            if waiting.into_iter().filter(|id| self.fleet.proceed(*id)).count() == 0 {
                break;
            }
            self.settle();
        }
        self.check_unfinished();
        self.told.drained = self.random.chance(30).then_some(false);
        if self.told.drained.is_some() {
            self.say(|| "drain".to_owned());
            self.fleet.drain(Some(self.now));
        } else {
            self.fleet.cancel_all();
        }
        self.settle();
        let end = self.now + STOP;
        self.run(|world| world.unfinished() == 0 || world.now > end);
        assert_eq!(
            self.unfinished(),
            0,
            "commands are unfinished after they were cancelled: {:?}",
            self.fleet
        );
        assert!(self.told.runs.values().all(|run| run.done), "a run has not ended");
        // With all places free, every requested connection is made, or fails.
        self.run(|world| !world.is_awaited() && world.told.scans.is_empty());
        if self.told.drained.is_some() {
            self.run(|_| false);
            assert_eq!(self.told.drained, Some(true), "no Drained event: {:?}", self.fleet);
            assert!(self.fleet.is_drained());
        }
        if self.random.chance(50) {
            self.disconnect();
        }
        self.leave();
        self.forget_commands();
    }

    fn unfinished(&self) -> usize {
        self.fleet.metrics().unfinished
    }

    fn is_awaited(&self) -> bool {
        self.fleet.hosts().iter().any(|id| self.fleet.host(*id).is_some_and(|host| host.is_awaited()))
    }

    /// Whether no host is connecting. Queued hosts may stay queued for ever.
    fn is_quiet(&self) -> bool {
        let metrics = self.fleet.metrics();
        let settled = [HostState::Idle, HostState::Queued, HostState::Connected, HostState::Failed];
        let settled: usize = settled.iter().map(|state| metrics.hosts(*state)).sum();
        settled == self.fleet.hosts().len() && self.fleet.engine.schedule.rate_timer.is_none()
    }

    /// Only a command whose peer is silent may be unfinished. It runs, or holds its place in the
    /// pool, until it is cancelled, and later batches of its run wait for it.
    fn check_unfinished(&self) {
        let is_full = self.is_full();
        let state = |known: &Command| self.fleet.host(known.host).map(|host| host.state());
        let is_over = |id| self.fleet.command(id).is_none_or(|command| command.is_finished());
        let unfinished: Vec<_> = self.told.commands.iter().filter(|(id, _)| !is_over(**id)).collect();
        let may_wait = |known: &Command| match state(known) {
            Some(HostState::Connected) => true,
            Some(HostState::Queued) => is_full,
            _ => false,
        };
        let held: BTreeSet<RunId> =
            unfinished.iter().filter(|(_, known)| may_wait(known)).map(|(_, known)| known.run).collect();
        for (id, known) in unfinished {
            assert!(held.contains(&known.run), "{id:?} does not end, and its host is {:?}", state(known));
        }
    }

    /// Advances until `done`, or until nothing more can happen.
    fn run(&mut self, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..ROUNDS_MAX {
            if done(self) || !self.advance() {
                return;
            }
            self.settle();
        }
        panic!("no end after {ROUNDS_MAX} rounds: {:?}", self.fleet);
    }

    /// Closes every connection, and checks that no connection leaves anything behind.
    fn disconnect(&mut self) {
        self.say(|| "disconnect for good".to_owned());
        self.fleet.disconnect();
        self.settle();
        self.run(|_| false);
        let metrics = self.fleet.metrics();
        let left = (metrics.connections, metrics.timers, metrics.admission_queue, self.places);
        assert_eq!(left, (0, 0, 0, 0), "connections, timers, hosts in the queue, places");
        assert!(self.links().all(|link| link.is_down()));
        self.check_silence();
    }

    /// Removes all hosts.
    fn leave(&mut self) {
        self.say(|| "remove all".to_owned());
        self.fleet.set_hosts([] as [(&str, _); 0]).unwrap();
        self.settle();
        assert!(self.fleet.engine.hosts.slots.is_empty(), "slots are left");
        assert!(self.fleet.engine.hosts.proxies.is_empty(), "proxies are left");
        let metrics = self.fleet.metrics();
        let left = (metrics.connections, metrics.timers, metrics.unfinished, self.places);
        assert_eq!(left, (0, 0, 0, 0), "connections, timers, commands, places");
        self.check_silence();
    }

    /// Checks that nothing would ever wake the caller.
    fn check_silence(&mut self) {
        assert!(!self.is_called(), "the fleet asks for a turn");
        assert_eq!(self.fleet.next_deadline(), None, "a deadline without a host");
        assert!(self.fleet.next_event().is_none(), "an event without a host");
    }

    /// Checks that every command has ended exactly once, and that its output was kept until the
    /// command was forgotten.
    fn forget_commands(&mut self) {
        let sent = self.told.sent.clone();
        for (id, known) in &mut self.told.commands {
            if known.released {
                assert!(self.fleet.command(*id).is_none(), "{id:?} was released, but still exists");
                continue;
            }
            let outcome = known.outcome.as_ref().unwrap_or_else(|| panic!("no Finished event of {id:?}"));
            if known.deliver != Deliver::Nothing {
                assert!(self.fleet.command(*id).is_none(), "{id:?} had its Finished event, but still exists");
                continue;
            }
            let command = self.fleet.command(*id).unwrap_or_else(|| panic!("{id:?} was forgotten"));
            assert_eq!(
                *outcome,
                format!("{:?}", command.outcome().unwrap()),
                "the outcome of {id:?} has changed"
            );
            for stream in [StdStream::Stdout, StdStream::Stderr] {
                let mut buffer = vec![0; self.fleet.command(*id).unwrap().unread(stream)];
                assert_eq!(self.fleet.read(*id, stream, &mut buffer), buffer.len());
                known.read[stream as usize].extend(buffer);
            }
            known.check_output(*id, &sent);
            self.fleet.release(*id);
        }
        let metrics = self.fleet.metrics();
        assert_eq!((metrics.commands, metrics.unread), (0, 0), "commands and unread bytes");
    }
}
