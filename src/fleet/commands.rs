//! Starting, inspecting and cancelling commands; pausing and draining the fleet.

use std::time::Instant;

use super::api::Fleet;
use super::engine::Engine;
use super::event_loop::Timer;
use super::run::Run;
use super::runs::Reach;
use super::schedule::{Drain, Schedule};
use super::slot::Slot;
use crate::config::Limits;
use crate::error::{CancelCause, ConfigProblem, Error};
use crate::ids::{CommandId, HostId, RunId, StdStream};
use crate::link::algorithms::Algorithms;
use crate::output::{Outcome, Transferred};
use crate::session::{CommandState, Exec, Input};
use crate::stage::{Stage, Timings};

/// What [`Fleet::start`] started: a run and its commands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Started {
    /// The id of the run.
    pub run: RunId,
    /// The ids of the run's commands: one for each host of the run, in order.
    pub commands: Vec<CommandId>,
}

/// The current state of one command of a [`Fleet`].
#[derive(Debug, Clone, Copy)]
pub struct CommandRef<'a>(&'a Exec);

impl<'a> CommandRef<'a> {
    /// The host that runs the command.
    pub fn host(&self) -> HostId {
        self.0.host()
    }

    /// The run that the command belongs to.
    pub fn run(&self) -> RunId {
        self.0.run()
    }

    /// The stage that the command is in.
    pub fn stage(&self) -> Stage {
        self.0.stage()
    }

    /// How far the command has progressed.
    pub fn state(&self) -> CommandState {
        self.0.state()
    }

    /// Whether the command and its output have ended, no matter how.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// How the command ended; `None` until then. An exit status or signal is returned as soon as
    /// the server has sent it, even if a background process still holds the output open
    /// ([`HostOutput::outcome`](crate::HostOutput::outcome)).
    pub fn outcome(&self) -> Option<&'a Outcome> {
        self.0.outcome()
    }

    /// The position of this command in the order in which the fleet's commands have ended, counted
    /// from 1; `None` until this command has ended.
    pub fn nth_end(&self) -> Option<u64> {
        Some(self.0.ended()).filter(|number| *number > 0)
    }

    /// The time at which the command requested its channel or, if it has not done so yet, the time
    /// at which the command was started.
    pub fn begun(&self) -> Instant {
        self.0.begun()
    }

    /// How long the command spent in each stage.
    pub fn timings(&self) -> Timings {
        self.0.timings()
    }

    /// The algorithms of the connection that the command was started on; `None` if the command has
    /// not begun to start.
    pub fn algorithms(&self) -> Option<&Algorithms> {
        self.0.algorithms.as_ref()
    }

    /// The number of unread bytes of one of the command's streams.
    pub fn unread(&self, stream: StdStream) -> usize {
        self.0.stream(stream).len()
    }

    /// How many bytes of one of the command's streams were dropped under the stream's
    /// [`Keep`](crate::output::Keep) policy.
    pub fn dropped(&self, stream: StdStream) -> u64 {
        self.0.stream(stream).dropped()
    }

    /// What the [transfer](crate::transfer) has done so far. `None` if the command is no transfer,
    /// before it has begun, and after it has ended.
    pub fn progress(&self) -> Option<Transferred> {
        self.0.progress()
    }

    /// The latest time, up to `now`, at which the [transfer](crate::transfer) waited because of
    /// [`transfer_rate`](crate::config::FleetBuilder::transfer_rate). `None` if it has not waited,
    /// or has ended. A caller that ends transfers without progress counts from this time on.
    pub fn throttled_until(&self, now: Instant) -> Option<Instant> {
        self.0.throttled_until(now)
    }

    /// The number of bytes of input that are queued to be sent.
    pub fn unsent(&self) -> usize {
        self.0.unsent()
    }

    /// Whether the host has granted the command a terminal, so that standard error arrives as
    /// standard output ([`Command::use_pty`](crate::Command::use_pty)).
    pub fn on_terminal(&self) -> bool {
        self.0.on_terminal
    }

    /// The number of signals that are queued to be sent.
    pub fn unsent_signals(&self) -> usize {
        self.0.unsent_signals()
    }
}

impl Fleet {
    /// Starts a command on all hosts, or a [`Run`]. This returns at once; the next turns do the
    /// work. Several commands may run at the same time, even on the same host.
    ///
    /// # Errors
    /// On error, nothing was started on any host. [`Error::Command`], [`Error::HostArgs`],
    /// [`Error::Template`] or [`Error::Config`] is returned if a command cannot be sent to some
    /// host, a host does not belong to this fleet, or the run's settings are invalid.
    /// [`Error::Draining`] is returned after [`drain`](Self::drain).
    pub fn start(&mut self, run: impl Into<Run>) -> Result<Started, Error> {
        if self.engine.schedule.drain != Drain::Not {
            return Err(Error::Draining);
        }
        let name = |id| Some(self.engine.hosts.get(id)?.session.target().host.clone());
        let (asked, plan) = run.into().into_parts(&self.positions, name)?;
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
        log::debug!("{run:?} starts: {} commands", commands.len());
        self.engine.tell_of_runs();
        self.engine.event_loop.alarm();
        Ok(Started { run, commands })
    }

    /// The state of a command; `None` once the command has been forgotten, which happens after its
    /// [`Finished`](crate::Event::Finished) event or by [`release`](Self::release).
    pub fn command(&self, id: CommandId) -> Option<CommandRef<'_>> {
        self.engine.execs.get(id).map(CommandRef)
    }

    /// Forgets a command. Its unread output is dropped, and there are no further events for it. A
    /// command that is running continues to run.
    pub fn release(&mut self, id: CommandId) {
        let Some(exec) = self.engine.execs.get(id) else { return };
        let index = exec.host().index();
        self.engine.execs.release(id);
        // The host may have been held back by this command's unread output.
        self.engine.event_loop.visit_soon(index);
    }

    /// Cancels a command. Its outcome is [`Cancelled`](crate::HostErrorKind::Cancelled).
    ///
    /// A command that has not been sent yet is never sent. A running command receives SIGTERM and
    /// the end of its input. If it has not ended a second later
    /// ([`stop_grace`](crate::HostConfig::stop_grace)), its channel is closed. If the host does not
    /// confirm the close within 10 seconds ([`close_timeout`](crate::HostConfig::close_timeout)),
    /// the command ends without the confirmation.
    pub fn cancel(&mut self, id: CommandId) {
        let Some(exec) = self.engine.execs.get(id).filter(|exec| !exec.has_left_host()) else { return };
        let index = exec.host().index();
        self.engine.order(index, Input::Cancel(id, CancelCause::Caller));
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

    /// Cancels a run. Commands that have not been sent end as
    /// [`NotStarted`](crate::HostErrorKind::NotStarted), and all others are
    /// [cancelled](Self::cancel).
    pub fn cancel_run(&mut self, id: RunId) {
        self.engine.schedule.runs.stop(id, CancelCause::RunCancelled, Reach::Everything);
        self.engine.event_loop.alarm();
    }

    /// Starts the next batch of a [gated](crate::Run::gated) run. Call it after the
    /// [`BatchDone`](crate::Event::BatchDone) of the previous batch. Returns whether a batch was
    /// waiting.
    pub fn proceed(&mut self, id: RunId) -> bool {
        let proceeds = self.engine.schedule.runs.proceed(id);
        self.engine.event_loop.alarm();
        proceeds
    }

    /// Stops admission until [`resume`](Self::resume): no host begins to connect, and no command
    /// starts. Connections in progress are completed, but the commands that need them wait.
    /// Commands that already have a channel continue to run. No time limit applies to hosts that
    /// are queued.
    pub fn pause(&mut self) {
        if !std::mem::replace(&mut self.engine.schedule.is_paused, true) {
            log::debug!("admission paused");
            let with_place = |(index, slot): (usize, &Slot)| slot.view().uses_place.then_some(index);
            let admitted: Vec<usize> = self.engine.hosts.slots.iter().filter_map(with_place).collect();
            admitted.into_iter().for_each(|index| self.engine.order(index, Input::Hold));
        }
    }

    /// Resumes admission after [`pause`](Self::pause).
    pub fn resume(&mut self) {
        if std::mem::take(&mut self.engine.schedule.is_paused) {
            log::debug!("admission resumed");
            self.engine.admit_soon();
        }
    }

    /// Whether admission is [paused](Self::pause).
    pub fn is_paused(&self) -> bool {
        self.engine.schedule.is_paused
    }

    /// Shuts the fleet down gracefully. From now on [`start`](Self::start) fails with
    /// [`Error::Draining`](crate::Error::Draining), and commands that were not sent end as
    /// [`NotStarted`](crate::HostErrorKind::NotStarted). Commands that were sent continue until the
    /// deadline, if there is one. At the deadline they are [cancelled](Self::cancel), which takes
    /// at most 11 seconds by default. Each connection closes once nothing needs it.
    /// [`Event::Drained`](crate::Event::Drained) reports that no command and no connection is left.
    ///
    /// This returns at once, so keep calling [`turn`](Self::turn). A further call changes the
    /// deadline; if the new deadline has already passed, the commands are cancelled at once.
    /// Draining cannot be undone. To close all connections immediately, drop the fleet.
    ///
    /// ```no_run
    /// use std::time::{Duration, Instant};
    /// use sshoal::{Budget, Fleet};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut fleet = Fleet::builder(["web1", "web2"]).build()?;
    /// fleet.start("make all")?;
    /// fleet.drain(Instant::now() + Duration::from_secs(30));
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
    pub fn drain(&mut self, deadline: impl Into<Option<Instant>>) {
        let deadline = deadline.into();
        match self.engine.schedule.drain {
            Drain::Over => return,
            Drain::Begun(timer) => _ = timer.and_then(|timer| self.engine.event_loop.wheel.disarm(timer)),
            Drain::Not => {
                log::debug!(
                    "the fleet is draining: {} commands have not ended",
                    self.engine.schedule.runs.unfinished
                );
                self.engine.schedule.runs.stop_all(CancelCause::Draining, Reach::Unsent);
            }
        }
        self.engine.schedule.drain =
            Drain::Begun(deadline.map(|at| self.engine.event_loop.wheel.arm(at, Timer::Drain)));
        self.disconnect();
        self.engine.event_loop.alarm();
    }

    /// Whether a [`drain`](Self::drain) is complete: no command and no connection is left.
    pub fn is_drained(&self) -> bool {
        self.engine.schedule.drain == Drain::Over
    }

    /// Changes [`max_connecting`](crate::config::FleetBuilder::max_connecting). If more hosts are
    /// connecting or starting commands than the new limit allows, they continue, and no host is
    /// admitted until enough of them are done.
    ///
    /// # Errors
    /// [`Error::Config`] if the number is 0.
    pub fn set_max_connecting(&mut self, hosts: usize) -> Result<(), Error> {
        self.change_limits(|limits| limits.max_connecting = hosts)
    }

    /// Changes [`max_running`](crate::config::FleetBuilder::max_running); `None` removes the limit.
    /// If more commands run than the new limit allows, they continue, and no command starts until
    /// enough have ended.
    ///
    /// # Errors
    /// [`Error::Config`] if the number is 0.
    pub fn set_max_running(&mut self, commands: impl Into<Option<usize>>) -> Result<(), Error> {
        let commands = commands.into();
        self.change_limits(|limits| limits.max_running = commands)
    }

    /// Changes [`connects_per_second`](crate::config::FleetBuilder::connects_per_second); `None`
    /// removes the limit.
    ///
    /// # Errors
    /// [`Error::Config`] if the number is 0.
    pub fn set_connects_per_second(&mut self, connections: impl Into<Option<u32>>) -> Result<(), Error> {
        let connections = connections.into();
        self.change_limits(|limits| limits.connects_per_second = connections)
    }

    /// Changes [`transfer_rate`](crate::config::FleetBuilder::transfer_rate); `None` removes the
    /// limit. Transfers that run are limited by the new rate from now on. A daemon may transfer
    /// slowly by day and fast by night.
    ///
    /// ```
    /// use sshoal::Fleet;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = Fleet::builder(["web1", "web2"]).transfer_rate(2_000_000);
    /// # let builder = builder.no_known_hosts().identity_auth(false);
    /// let mut fleet = builder.build()?;
    /// // In the evening:
    /// fleet.set_transfer_rate(50_000_000)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] if the number is 0.
    pub fn set_transfer_rate(&mut self, bytes_per_second: impl Into<Option<u64>>) -> Result<(), Error> {
        let rate = bytes_per_second.into();
        self.change_limits(|limits| limits.transfer_rate = rate)?;
        let now = self.engine.clock.now();
        self.engine.transfers.rate.change(rate, now);
        Ok(())
    }

    fn change_limits(&mut self, change: impl FnOnce(&mut Limits)) -> Result<(), Error> {
        let now = self.engine.clock.now();
        self.engine.schedule.admission.change(now, change)?;
        self.engine.admit_soon();
        Ok(())
    }
}
