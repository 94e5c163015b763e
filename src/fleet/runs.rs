//! Runs in progress: which of their commands start, which never start, and when each run ends.
//!
//! [`Runs`] deals neither with hosts nor with time. It records every command that ends, and returns
//! what to do next ([`Runs::next_task`]) and what to report next ([`Runs::news`]).

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use slab::Slab;

use super::run::{Gate, Plan, Tally};
use crate::error::CancelCause;
use crate::ids::{CommandId, RunId};
use crate::output::Outcome;
use crate::reactor::IndexQueue;

/// Something to do for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// A batch with this many commands starts.
    Open(RunId, usize),
    /// The command may begin on its host.
    Begin(CommandId),
    /// The command must not be sent. If it was sent already, it continues.
    Withdraw(CommandId, CancelCause),
    /// The command must not be sent. If it was sent already, it is cancelled.
    Cancel(CommandId, CancelCause),
}

/// Something to report about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunNews {
    /// All commands of this batch have ended; `left` commands of the run have not ended.
    BatchDone { batch: usize, tally: Tally, left: usize },
    /// All commands of the run have ended.
    Done(Tally),
}

/// Which commands are affected when a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Commands that were not sent.
    Unsent,
    /// All commands.
    Everything,
}

/// All runs that have not ended.
#[derive(Debug, Default)]
pub(super) struct Runs {
    slab: Slab<Running>,
    given: u32,
    /// How many commands of all runs have not ended.
    pub unfinished: usize,
    /// The runs that may have tasks. They are served round-robin.
    busy: IndexQueue,
    /// The news to report, in order.
    pub news: VecDeque<(RunId, RunNews)>,
}

#[derive(Debug)]
struct Running {
    id: RunId,
    plan: Plan,
    /// The commands, in the order of the run; `None` in the place of a command that has ended.
    commands: Vec<Option<CommandId>>,
    unfinished: usize,
    tally: Tally,
    /// How many batches have started.
    batches: usize,
    /// The latest batch; `None` once it has ended.
    batch: Option<Open>,
    /// The position of the first command of the next batch.
    until: usize,
    /// The position of the next command that may begin.
    next: usize,
    stop: Option<Stop>,
}

/// A batch in progress.
#[derive(Debug)]
struct Open {
    unfinished: usize,
    /// The size of the batch; `None` once the start of the batch has been reported.
    begins: Option<usize>,
}

/// A request to stop a run early.
#[derive(Debug)]
struct Stop {
    why: CancelCause,
    reach: Reach,
    /// The position of the next command to stop.
    next: usize,
}

impl Runs {
    /// How many runs have not ended.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn has_tasks(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Starts a run. `commands` receives the id of the run and creates the run's commands.
    pub(super) fn begin(&mut self, plan: Plan, commands: impl FnOnce(RunId) -> Vec<CommandId>) -> RunId {
        self.given = self.given.wrapping_add(1);
        let entry = self.slab.vacant_entry();
        let id = RunId::new(entry.key(), self.given);
        let commands: Vec<_> = commands(id).into_iter().map(Some).collect();
        let unfinished = commands.len();
        self.unfinished += unfinished;
        entry.insert(Running {
            id,
            plan,
            commands,
            unfinished,
            tally: Tally::default(),
            batches: 0,
            batch: None,
            until: 0,
            next: 0,
            stop: None,
        });
        self.go_on(id);
        id
    }

    /// The next task. If several runs have tasks, they take turns.
    pub(super) fn next_task(&mut self) -> Option<Task> {
        while let Some(index) = self.busy.pop() {
            if let Some(task) = self.slab.get_mut(index).and_then(Running::next_task) {
                self.busy.push(index);
                return Some(task);
            }
        }
        None
    }

    /// Records that the command at this position of the run has ended. Later calls for the same
    /// command have no effect.
    pub(super) fn finished(&mut self, id: RunId, position: usize, outcome: &Outcome) {
        let Some(run) = self.slab.get_mut(id.index()).filter(|run| run.id == id) else { return };
        if !run.finished(position, outcome) {
            return;
        }
        self.unfinished -= 1;
        if run.batch.take_if(|batch| batch.unfinished == 0).is_some() {
            let (batch, left) = (run.batches - 1, run.unfinished);
            self.news.push_back((id, RunNews::BatchDone { batch, tally: run.tally, left }));
        }
        if run.is_over_budget() {
            self.stop(id, CancelCause::TooManyFailures, Reach::Unsent);
        }
        self.go_on(id);
    }

    /// Starts the next batch of a run that is waiting for the caller's permission. Returns whether
    /// the run was waiting.
    pub(super) fn proceed(&mut self, id: RunId) -> bool {
        let run = self.slab.get_mut(id.index()).filter(|run| run.id == id);
        let waits = |run: &&mut Running| run.batch.is_none() && run.stop.is_none();
        let Some(run) = run.filter(waits) else { return false };
        run.open();
        self.busy.push(id.index());
        true
    }

    /// Stops a run early. A second stop may widen the reach of the first one, but the first reason
    /// is kept.
    pub(super) fn stop(&mut self, id: RunId, why: CancelCause, reach: Reach) {
        let Some(run) = self.slab.get_mut(id.index()).filter(|run| run.id == id) else { return };
        match &mut run.stop {
            Some(stop) if stop.reach >= reach => return,
            Some(stop) => (stop.reach, stop.next) = (reach, 0),
            none => {
                log::debug!("{id:?} is stopped: {why}");
                *none = Some(Stop { why, reach, next: 0 });
            }
        }
        self.busy.push(id.index());
    }

    pub(super) fn stop_all(&mut self, why: CancelCause, reach: Reach) {
        let all: Vec<RunId> = self.slab.iter().map(|(_, run)| run.id).collect();
        all.into_iter().for_each(|id| self.stop(id, why, reach));
    }

    /// Ends the run if all its commands have ended; otherwise starts its next batch if that is due.
    fn go_on(&mut self, id: RunId) {
        let Some(run) = self.slab.get_mut(id.index()) else { return };
        if run.unfinished == 0 {
            self.news.push_back((id, RunNews::Done(run.tally)));
            self.slab.remove(id.index());
        } else if run.batch.is_none() && run.stop.is_none() && run.may_go_on() {
            run.open();
            self.busy.push(id.index());
        }
    }
}

impl Running {
    /// Whether the next batch starts without [`Runs::proceed`].
    fn may_go_on(&self) -> bool {
        self.batches == 0 || self.plan.gate == Gate::Open
    }

    fn is_over_budget(&self) -> bool {
        self.unfinished > 0 && self.plan.budget.is_exceeded(self.tally.failed, self.commands.len())
    }

    /// Forms the next batch from the commands that have not ended.
    fn open(&mut self) {
        let size = self.plan.size(self.batches, self.commands.len());
        let mut unfinished = 0;
        self.next = self.until;
        while unfinished < size
            && let Some(command) = self.commands.get(self.until)
        {
            unfinished += usize::from(command.is_some());
            self.until += 1;
        }
        self.batches += 1;
        self.batch = Some(Open { unfinished, begins: Some(unfinished) });
    }

    /// Counts the end of a command. Returns `false` if that end was already counted.
    fn finished(&mut self, position: usize, outcome: &Outcome) -> bool {
        if self.commands.get_mut(position).and_then(Option::take).is_none() {
            return false;
        }
        self.unfinished -= 1;
        self.tally.count(outcome);
        if let Some(batch) = self.batch.as_mut().filter(|_| position < self.until) {
            batch.unfinished -= 1;
        }
        true
    }

    fn next_task(&mut self) -> Option<Task> {
        let first = |from: usize, commands: &[Option<CommandId>]| {
            let mut rest = commands.iter().enumerate().skip(from);
            rest.find_map(|(position, command)| Some((position, (*command)?)))
        };
        if let Some(stop) = &mut self.stop {
            let (position, command) = first(stop.next, &self.commands)?;
            stop.next = position + 1;
            return Some(match stop.reach {
                Reach::Unsent => Task::Withdraw(command, stop.why),
                Reach::Everything => Task::Cancel(command, stop.why),
            });
        }
        if let Some(size) = self.batch.as_mut()?.begins.take() {
            return Some(Task::Open(self.id, size));
        }
        let (position, command) = first(self.next, &self.commands[..self.until])?;
        self.next = position + 1;
        Some(Task::Begin(command))
    }
}
