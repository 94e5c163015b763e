//! All commands of a fleet, by id.

use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

use slab::Slab;

use super::{CommandNews, Effect, Exec, ExecState};
use crate::ids::{CommandId, StdStream};
use crate::limits;
use crate::link::Link;
use crate::output::{Outcome, Room, Stream};

/// All commands of a fleet, including finished ones until they are released.
#[derive(Debug)]
pub(crate) struct Execs {
    slab: Slab<Exec>,
    /// Counts the commands created, so that an id is not reused.
    given: u32,
    /// Commands finished so far, which orders failures by time.
    ended: u64,
    /// Unread bytes of output of all commands.
    unread: usize,
    traffic: Traffic,
    /// How many streams hold unread output.
    holding: usize,
    /// The limit for `unread`, in bytes.
    budget: usize,
    #[cfg(test)]
    pub(in crate::session) looks: crate::session::tests::Looks,
}

impl Default for Execs {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

/// Bytes transferred by commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Output as it arrived, kept or not, including that of `sudo`.
    pub received: u64,
    /// Input accepted by the connections.
    pub sent: u64,
}

impl Execs {
    /// Creates a table with a limit for the unread bytes of all commands together.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            slab: Slab::new(),
            given: 0,
            ended: 0,
            traffic: Traffic::default(),
            unread: 0,
            holding: 0,
            budget,
            #[cfg(test)]
            looks: Default::default(),
        }
    }

    /// Reserves memory for this many more commands.
    pub(crate) fn reserve(&mut self, commands: usize) {
        self.slab.reserve(commands);
    }

    pub(crate) fn insert_with(&mut self, exec: impl FnOnce(CommandId) -> Exec) -> CommandId {
        self.given = self.given.wrapping_add(1);
        let entry = self.slab.vacant_entry();
        let id = CommandId::new(entry.key(), self.given);
        entry.insert(exec(id));
        id
    }

    pub(crate) fn get(&self, id: CommandId) -> Option<&Exec> {
        #[cfg(test)]
        self.looks.count();
        self.slab.get(id.index()).filter(|exec| exec.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: CommandId) -> Option<&mut Exec> {
        #[cfg(test)]
        self.looks.count();
        self.slab.get_mut(id.index()).filter(|exec| exec.id == id)
    }

    /// Commands in the table, including finished ones that are not released.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Unread bytes of output of all commands.
    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    /// Bytes transferred by all commands, including those no longer in the table.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The number of unread bytes at which the fleet's budget counts a stream as full.
    ///
    /// Until half of the budget is used, no stream is full. In the third quarter, each stream that
    /// holds output gets an equal share of half the budget. Since more streams may start to hold
    /// output, the shares may add up to more than that; so in the last quarter every stream gets
    /// only one socket read. A stream below that is never held back by others.
    pub(crate) fn share(&self) -> usize {
        let half = self.budget / 2;
        let used = self.unread.saturating_add(self.holding.saturating_mul(limits::WAITING_COST));
        if used < half {
            usize::MAX
        } else if used < self.budget - self.budget / 4 {
            let share = half / self.holding.max(1);
            share.saturating_sub(limits::WAITING_COST).max(limits::SHARE_MIN)
        } else {
            limits::SHARE_MIN
        }
    }

    /// How much output of this command there is room for.
    pub(in crate::session) fn room(&self, id: CommandId) -> Room {
        self.get(id).map_or(Room::ENDLESS, |exec| exec.room(self.share()))
    }

    /// Collects what has arrived for a command, and does nothing else.
    pub(in crate::session) fn collect(
        &mut self,
        id: CommandId,
        now: Instant,
        link: &mut dyn Link,
        out: &mut Vec<Effect>,
    ) {
        let share = self.share();
        if let Some(exec) = self.get_mut(id) {
            exec.collect(now, link, share);
            self.note(id, now, out);
        }
    }

    /// Reads from a stream, or changes how it is read. `with` also gets the stream's
    /// [share](Self::share).
    pub(crate) fn with_stream<T>(
        &mut self,
        id: CommandId,
        which: StdStream,
        with: impl FnOnce(&mut Stream, usize) -> T,
    ) -> Option<T> {
        let share = self.share();
        let result = with(self.get_mut(id)?.stream_mut(which), share);
        self.book(id);
        Some(result)
    }

    /// Releases a command that nobody will read any more. A finished one is removed; the output of
    /// a running one is discarded from now on.
    pub(crate) fn release(&mut self, id: CommandId) {
        let Some(exec) = self.get_mut(id) else { return };
        exec.stdout.clear();
        exec.stderr.clear();
        exec.released = true;
        let is_finished = exec.is_finished();
        self.book(id);
        if is_finished {
            self.slab.remove(id.index());
        }
    }

    /// Updates counters, timings and effects after a command has changed.
    pub(super) fn note(&mut self, id: CommandId, now: Instant, out: &mut Vec<Effect>) {
        let Some(exec) = self.get_mut(id) else { return };
        exec.stopwatch.enter(exec.state.stage(), now);
        let started = exec.has_run() && !mem::replace(&mut exec.told_started, true);
        let listed = exec.list_output();
        let Traffic { received, sent } = mem::take(&mut exec.traffic);
        let writable = exec.input_refused && exec.stdin.len() <= limits::STDIN_QUEUE / 2;
        exec.input_refused &= !writable;
        self.traffic.received += received;
        self.traffic.sent += sent;
        if started {
            out.push(Effect::Command(id, CommandNews::Started));
        }
        out.extend(
            listed.into_iter().flatten().map(|stream| Effect::Command(id, CommandNews::Output(stream))),
        );
        if writable {
            out.push(Effect::Command(id, CommandNews::Writable));
        }
        self.book(id);
    }

    /// Updates the totals of unread output.
    fn book(&mut self, id: CommandId) {
        let Some(exec) = self.get_mut(id) else { return };
        let unread = [exec.stdout.len(), exec.stderr.len()];
        let before = mem::replace(&mut exec.booked, unread);
        let holding = |streams: [usize; 2]| streams.into_iter().filter(|unread| *unread > 0).count();
        self.unread = self.unread - before.iter().sum::<usize>() + unread.iter().sum::<usize>();
        self.holding = self.holding - holding(before) + holding(unread);
    }

    /// Finishes a command. Only the first outcome counts.
    pub(in crate::session) fn finish(
        &mut self,
        id: CommandId,
        outcome: Outcome,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        self.ended += 1;
        let ended = self.ended;
        let Some(exec) = self.get_mut(id) else { return };
        if exec.is_finished() {
            return;
        }
        exec.ended = ended;
        exec.end_dialogue();
        exec.stdout.finish();
        exec.stderr.finish();
        exec.stdin.abandon();
        exec.signals = VecDeque::new();
        exec.deadline = None;
        exec.stopwatch.stop(now);
        exec.enter(ExecState::Finished(outcome));
        self.note(id, now, out);
        out.push(Effect::Command(id, CommandNews::Finished));
    }
}
