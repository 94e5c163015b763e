//! Commands: how they start, and how they are.

use std::time::Instant;

use super::Fleet;
use super::drain::Drain;
use super::engine::Engine;
use super::event_loop::Timer;
use super::run::Run;
use super::runs::Reach;
use super::schedule::Schedule;
use super::slot::Slot;
use crate::command::OutputOptions;
use crate::config::Limits;
use crate::error::{ConfigProblem, Error, NotStarted};
use crate::ids::StdStream;
use crate::ids::{CommandId, HostId, RunId};
use crate::limits;
use crate::output::LineEnds;
use crate::output::{Deliver, Keep, Outcome};
use crate::session::{Exec, Input};
use crate::stage::Stage;
use crate::stage::Timings;

/// What a [`Fleet::start`] has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Started {
    /// The whole.
    pub run: RunId,
    /// The command on each host, in the order of the hosts.
    pub commands: Vec<CommandId>,
}

/// A look at one command of a [`Fleet`].
#[derive(Debug, Clone, Copy)]
pub struct CommandRef<'a> {
    exec: &'a Exec,
}

impl<'a> CommandRef<'a> {
    /// Where it runs.
    pub fn host(&self) -> HostId {
        self.exec.host()
    }

    /// The run that it belongs to.
    pub fn run(&self) -> RunId {
        self.exec.run()
    }

    /// Where it is.
    pub fn stage(&self) -> Stage {
        self.exec.stage()
    }

    /// Whether its host has accepted it, or will never.
    pub fn is_settled(&self) -> bool {
        self.exec.is_settled()
    }

    /// Whether it may have begun on its host.
    pub fn is_started(&self) -> bool {
        self.exec.is_started()
    }

    /// Whether it runs: accepted by its host, and neither ended nor being stopped.
    pub fn is_running(&self) -> bool {
        self.exec.is_running()
    }

    /// Whether it is over.
    pub fn is_finished(&self) -> bool {
        self.exec.is_finished()
    }

    /// How it ended; `None` while it has not.
    pub fn outcome(&self) -> Option<&'a Outcome> {
        self.exec.outcome()
    }

    /// The place of its end among all ends of the fleet; 0 while it has none.
    pub fn nth_end(&self) -> u64 {
        self.exec.ended()
    }

    /// When it was given, or its channel was begun.
    pub fn begun(&self) -> Instant {
        self.exec.begun()
    }

    /// How long it was in each stage.
    pub fn timings(&self) -> Timings {
        self.exec.timings()
    }

    /// Unread bytes of one of its streams.
    pub fn unread(&self, stream: StdStream) -> usize {
        self.exec.stream(stream).len()
    }

    /// Bytes of one of its streams that were not kept ([`Keep`](crate::Keep)).
    pub fn dropped(&self, stream: StdStream) -> u64 {
        self.exec.stream(stream).dropped()
    }

    /// Bytes of input that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.exec.unsent()
    }

    /// Signals that wait to be sent.
    pub fn unsent_signals(&self) -> usize {
        self.exec.unsent_signals()
    }
}

impl Fleet {
    /// Starts a command, on all hosts or as the [`Run`] says. Returns at once: hosts begin with the next turns. Commands run side
    /// by side, also on one host.
    ///
    /// # Errors
    /// [`Error::Command`], [`Error::HostArgs`], [`Error::Template`] or [`Error::Config`] if a command cannot be sent to
    /// some host, a host is not one of this fleet, or the run cannot be as it says: nothing was started on any.
    /// [`Error::Draining`] after [`drain`](Self::drain).
    pub fn start(&mut self, run: impl Into<Run>) -> Result<Started, Error> {
        if self.engine.schedule.drain.is_requested() {
            return Err(Error::Draining);
        }
        let output = OutputOptions {
            stdout: Keep::BackPressure(limits::STREAM_UNREAD),
            stderr: Keep::BackPressure(limits::STREAM_UNREAD),
            deliver: Deliver::Bytes,
            ends: LineEnds::Bytes,
        };
        let (asked, plan) = run.into().into_parts(&self.positions, &output)?;
        if let Some((stranger, _)) = asked.iter().find(|(id, _)| self.engine.hosts.get(*id).is_none()) {
            return Err(ConfigProblem::UnknownHost(*stranger).of_command());
        }
        let now = self.engine.clock.now();
        let mut commands = Vec::with_capacity(asked.len());
        let Engine { schedule: Schedule { runs, .. }, execs, hosts, .. } = &mut self.engine;
        execs.reserve(asked.len());
        let run = runs.begin(plan, |run| {
            for (position, (host, request)) in asked.into_iter().enumerate() {
                let id = execs.insert_with(|id| Exec::new(id, request, host, (run, position), now));
                hosts.slots[host.index()].session.assign(id);
                commands.push(id);
            }
            commands.clone()
        });
        log::debug!("{run:?} begins: {} commands", commands.len());
        self.engine.tell_of_runs();
        self.engine.event_loop.alarm();
        Ok(Started { run, commands })
    }

    /// One command; `None` once it was forgotten.
    pub fn command(&self, id: CommandId) -> Option<CommandRef<'_>> {
        self.engine.execs.get(id).map(|exec| CommandRef { exec })
    }

    /// Forgets a command: its unread output is dropped, and there are no more events of it. One that runs goes on.
    pub fn release(&mut self, id: CommandId) {
        let Some(exec) = self.engine.execs.get(id) else { return };
        let index = exec.host().index();
        self.engine.execs.release(id);
        // It may have waited for its reader.
        self.engine.event_loop.visit_soon(index);
    }

    /// Ends a command before its time, with an outcome of [`Cancelled`](crate::HostErrorKind::Cancelled).
    ///
    /// One that was not sent never will be. One that runs gets SIGTERM and the end of its input, a second to end by itself,
    /// and then its channel is closed; a host that does not confirm that within 10 seconds is not waited for.
    pub fn cancel(&mut self, id: CommandId) {
        let Some(exec) = self.engine.execs.get(id).filter(|exec| !exec.is_finished()) else { return };
        let index = exec.host().index();
        self.engine.order(index, Input::Cancel(id));
    }

    /// [Cancels](Self::cancel) all commands of a host.
    pub fn cancel_host(&mut self, id: HostId) {
        let commands: Vec<CommandId> =
            self.engine.hosts.get(id).into_iter().flat_map(|slot| slot.session.commands()).collect();
        commands.into_iter().for_each(|id| self.cancel(id));
    }

    /// [Cancels](Self::cancel) all commands.
    pub fn cancel_all(&mut self) {
        let all: Vec<CommandId> =
            self.engine.hosts.slots.iter().flat_map(|(_, slot)| slot.session.commands()).collect();
        all.into_iter().for_each(|id| self.cancel(id));
    }

    /// Ends a run before its time: commands that were not sent end as [`NotStarted`](crate::HostErrorKind::NotStarted), all
    /// others are [cancelled](Self::cancel).
    pub fn cancel_run(&mut self, id: RunId) {
        self.engine.schedule.runs.stop(id, NotStarted::RunCancelled, Reach::Everything);
        self.engine.event_loop.alarm();
    }

    /// Begins the next batch of a [gated](crate::Run::gated) run, after the [`BatchDone`](crate::Event::BatchDone) of the one
    /// before. Whether there was one that waited.
    pub fn proceed(&mut self, id: RunId) -> bool {
        let proceeds = self.engine.schedule.runs.proceed(id);
        self.engine.event_loop.alarm();
        proceeds
    }

    /// Lets no host begin to connect, and no command begin, until [`resume`](Self::resume) is called. What has begun goes on:
    /// connections that are being made, without the commands that they are made for, and commands that have a channel. Hosts
    /// that wait for their turn have no time limit.
    pub fn pause(&mut self) {
        if !std::mem::replace(&mut self.engine.schedule.is_paused, true) {
            log::debug!("admission is paused");
            let with_place = |(index, slot): (usize, &Slot)| slot.view().uses_place.then_some(index);
            let admitted: Vec<usize> = self.engine.hosts.slots.iter().filter_map(with_place).collect();
            admitted.into_iter().for_each(|index| self.engine.order(index, Input::Hold));
        }
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&mut self) {
        if std::mem::take(&mut self.engine.schedule.is_paused) {
            log::debug!("admission is resumed");
            self.engine.admit_soon();
        }
    }

    /// Whether it is [paused](Self::pause).
    pub fn is_paused(&self) -> bool {
        self.engine.schedule.is_paused
    }

    /// Comes to an end. From now on nothing is started ([`Error::Draining`](crate::Error::Draining)), and commands that were
    /// not sent end as [`NotStarted`](crate::HostErrorKind::NotStarted). Those that were go on until the deadline, if there
    /// is one, and are [cancelled](Self::cancel) then, which takes 11 seconds at the longest. Each connection closes when
    /// nothing needs it any more. When nothing is left at all, [`Event::Drained`](crate::Event::Drained) says so.
    ///
    /// It does not wait: turns have to follow. Called again, it changes the deadline; one that has passed cancels at once.
    /// There is no way back, and none is needed: to drop the fleet closes all connections at any time.
    ///
    /// ```no_run
    /// use std::time::{Duration, Instant};
    /// use sshoal::{Budget, Fleet};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut fleet = Fleet::builder(["web1", "web2"]).build()?;
    /// fleet.start("make all")?;
    /// fleet.drain(Some(Instant::now() + Duration::from_secs(30)));
    /// while !fleet.is_drained() {
    ///     fleet.wait(None)?;
    ///     fleet.turn(Instant::now(), Budget::default())?;
    ///     while let Some(event) = fleet.next_event() {
    ///         println!("{event:?}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain(&mut self, deadline: Option<Instant>) {
        match self.engine.schedule.drain {
            Drain::Over => return,
            Drain::Begun(timer) => _ = timer.and_then(|timer| self.engine.event_loop.wheel.disarm(timer)),
            Drain::Not => {
                log::debug!(
                    "the fleet is drained: {} commands are not over",
                    self.engine.schedule.runs.unfinished()
                );
                self.engine.schedule.runs.stop_all(NotStarted::Draining, Reach::Unsent);
            }
        }
        self.engine.schedule.drain =
            Drain::Begun(deadline.map(|at| self.engine.event_loop.wheel.arm(at, Timer::Drain)));
        self.disconnect();
        self.engine.event_loop.alarm();
    }

    /// Whether nothing is left after [`drain`](Self::drain).
    pub fn is_drained(&self) -> bool {
        self.engine.schedule.drain.is_over()
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
    pub fn set_max_running(&mut self, commands: Option<usize>) -> Result<(), Error> {
        self.change_limits(|limits| limits.max_running = commands)
    }

    /// Changes [`connects_per_second`](crate::config::FleetBuilder::connects_per_second); `None`: no bound.
    ///
    /// # Errors
    /// [`Error::Config`] for 0.
    pub fn set_connects_per_second(&mut self, connections: Option<u32>) -> Result<(), Error> {
        self.change_limits(|limits| limits.connects_per_second = connections)
    }

    fn change_limits(&mut self, change: impl FnOnce(&mut Limits)) -> Result<(), Error> {
        let now = self.engine.clock.now();
        self.engine.schedule.admission.change(now, change)?;
        self.engine.admit_soon();
        Ok(())
    }
}
