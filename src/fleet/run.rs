//! Runs: one command on some hosts, and how far it is.

use slab::Slab;

use crate::command::Command;
use crate::ids::{HostId, RunId};

/// A command on some hosts, to be [started](crate::Fleet::start).
#[derive(Debug, Clone)]
#[must_use]
pub struct Run {
    pub(super) command: Command,
    pub(super) hosts: Option<Vec<HostId>>,
}

impl Run {
    /// A run of this command on all hosts of the list.
    pub fn new(command: impl Into<Command>) -> Self {
        Self { command: command.into(), hosts: None }
    }

    /// The hosts that run it, in this order. Default: all of the list. One that comes twice runs it twice.
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = HostId>) -> Self {
        self.hosts = Some(hosts.into_iter().collect());
        self
    }
}

impl<C: Into<Command>> From<C> for Run {
    fn from(command: C) -> Self {
        Self::new(command)
    }
}

/// How the commands of a run have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// With exit status 0.
    pub succeeded: usize,
    /// In any other way.
    pub failed: usize,
}

/// What has become of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunNews {
    /// All its commands are over.
    Done(Tally),
}

/// All runs that are not over.
#[derive(Debug, Default)]
pub(super) struct Runs {
    slab: Slab<Running>,
    given: u32,
    /// Commands of all runs that are not over.
    unfinished: usize,
}

#[derive(Debug)]
struct Running {
    id: RunId,
    /// Commands without an end.
    unfinished: usize,
    tally: Tally,
}

impl Runs {
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// A run of so many commands.
    pub(super) fn begin(&mut self, commands: usize) -> RunId {
        self.given = self.given.wrapping_add(1);
        let entry = self.slab.vacant_entry();
        let id = RunId::new(entry.key(), self.given);
        self.unfinished += commands;
        entry.insert(Running { id, unfinished: commands, tally: Tally::default() });
        id
    }

    /// A run of no commands is over at once.
    pub(super) fn end_if_empty(&mut self, id: RunId) -> Option<RunNews> {
        let run = self.slab.get(id.index()).filter(|run| run.id == id && run.unfinished == 0)?;
        let done = RunNews::Done(run.tally);
        self.slab.remove(id.index());
        Some(done)
    }

    /// A command of this run is over.
    pub(super) fn finished(&mut self, id: RunId, succeeded: bool) -> Option<RunNews> {
        let run = self.slab.get_mut(id.index()).filter(|run| run.id == id)?;
        run.unfinished = run.unfinished.saturating_sub(1);
        self.unfinished = self.unfinished.saturating_sub(1);
        match succeeded {
            true => run.tally.succeeded += 1,
            false => run.tally.failed += 1,
        }
        self.end_if_empty(id)
    }
}
