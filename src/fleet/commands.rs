//! Commands: how they start, and how they are.

use std::time::Instant;

use super::Fleet;
use super::run::Run;
use super::runs::Task;
use crate::command::OutputOptions;
use crate::error::{ConfigProblem, Error};
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
    /// The run.
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
    /// Its host.
    pub fn host(&self) -> HostId {
        self.exec.host()
    }

    /// The run that it belongs to.
    pub fn run(&self) -> RunId {
        self.exec.run()
    }

    /// Its stage.
    pub fn stage(&self) -> Stage {
        self.exec.stage()
    }

    /// Whether its host has accepted it, or never will.
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

    /// Whether it has ended or failed.
    pub fn is_finished(&self) -> bool {
        self.exec.is_finished()
    }

    /// How it ended; `None` while it has not.
    pub fn outcome(&self) -> Option<&'a Outcome> {
        self.exec.outcome()
    }

    /// The number of its end among the ends of all commands of the fleet, from 1. `None` until
    /// then.
    pub fn nth_end(&self) -> Option<u64> {
        Some(self.exec.ended()).filter(|number| *number > 0)
    }

    /// When it was started, or its channel was opened.
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

    /// Bytes of one of its streams that were dropped ([`Keep`](crate::output::Keep)).
    pub fn dropped(&self, stream: StdStream) -> u64 {
        self.exec.stream(stream).dropped()
    }

    /// Queued bytes of input.
    pub fn unsent(&self) -> usize {
        self.exec.stdin.len()
    }

    /// Queued signals.
    pub fn unsent_signals(&self) -> usize {
        self.exec.signals.len()
    }
}

impl Fleet {
    /// Starts a command, on all hosts or as the [`Run`] says. Returns at once: the next turns start
    /// it. Commands run concurrently, even on one host.
    ///
    /// # Errors
    /// [`Error::Command`], [`Error::HostArgs`], [`Error::Template`] or [`Error::Config`] if a
    /// command cannot be sent to some host, a host is unknown, or the run is invalid: nothing was
    /// started. [`Error::Draining`] after [`drain`](Self::drain).
    pub fn start(&mut self, run: impl Into<Run>) -> Result<Started, Error> {
        if self.is_draining() {
            return Err(Error::Draining);
        }
        let output = OutputOptions {
            stdout: Keep::BackPressure(limits::STREAM_UNREAD),
            stderr: Keep::BackPressure(limits::STREAM_UNREAD),
            deliver: Deliver::Bytes,
            ends: LineEnds::Bytes,
        };
        let (asked, plan) = run.into().into_parts(&self.positions, &output)?;
        if let Some((stranger, _)) = asked.iter().find(|(id, _)| self.slot(*id).is_none()) {
            return Err(ConfigProblem::UnknownHost(*stranger).of_command());
        }
        let now = self.clock.now();
        let mut commands = Vec::with_capacity(asked.len());
        let Self { runs, execs, slots, .. } = self;
        execs.reserve(asked.len());
        let run = runs.begin(plan, |run| {
            for (position, (host, request)) in asked.into_iter().enumerate() {
                let id = execs.insert(Exec::new(request, host, (run, position), now));
                slots[host.index()].deferred.push_back(id);
                commands.push(id);
            }
            commands.clone()
        });
        log::debug!("{run:?} begins: {} commands", commands.len());
        self.tell_of_runs();
        self.alarm();
        Ok(Started { run, commands })
    }

    /// Does what is to be done for runs, as much of it as one turn may.
    pub(super) fn serve_runs(&mut self, now: Instant) {
        for _ in 0..limits::RUN_TASKS_PER_TURN {
            let Some(task) = self.runs.next_task() else { return };
            match task {
                Task::Open(run, size) => {
                    log::debug!("{run:?}: a batch of {size} begins");
                    self.admission.expect_connections();
                    self.agents.forget_identities();
                }
                Task::Begin(id) => self.give(id, now),
                Task::Withdraw(id, why) => self.order_end(id, [Input::Withdraw(id, why)]),
                Task::Cancel(id, why) => {
                    self.order_end(id, [Input::Withdraw(id, why), Input::Cancel(id)]);
                }
            }
        }
    }

    /// Gives a host its command.
    fn give(&mut self, id: CommandId, now: Instant) {
        let Some(index) = self.execs.get(id).map(|exec| exec.host().index()) else { return };
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.forget_deferred(id);
        slot.session.attach(id, now);
        self.settle(index);
    }

    fn order_end<const N: usize>(&mut self, id: CommandId, orders: [Input; N]) {
        let Some(index) = self.execs.get(id).map(|exec| exec.host().index()) else { return };
        orders.into_iter().for_each(|order| self.order(index, order));
    }

    /// A command; `None` once it was released.
    pub fn command(&self, id: CommandId) -> Option<CommandRef<'_>> {
        self.execs.get(id).map(|exec| CommandRef { exec })
    }

    /// Releases a command: its unread output is dropped, and it has no more events. If it runs, it
    /// goes on.
    pub fn release(&mut self, id: CommandId) {
        self.take_back();
        let Some(exec) = self.execs.get(id) else { return };
        let index = exec.host().index();
        self.execs.release(id);
        // It may have waited for its reader.
        self.visit_soon(index);
    }
}
