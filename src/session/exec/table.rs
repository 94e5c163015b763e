//! All commands of a fleet, by id.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::{CommandNews, Effect, Exec, ExecCx, ExecState, InboxBuffer};
use crate::command::Request;
use crate::ids::{CommandId, StdStream};
use crate::limits;
use crate::link::Link;
use crate::output::{Outcome, Room, SpareBuffers, Stream};
use crate::transfer::ErrandResult;
use crate::transfer::local::{FileAnswer, FileJob};

/// All commands of a fleet, including finished ones until they are released.
#[derive(Debug)]
pub(crate) struct Execs {
    slab: Slab<Exec>,
    /// How many commands have been created. Each id contains this number, so no id is reused.
    given: u32,
    /// How many commands have finished. The number orders failures by time.
    ended: u64,
    /// How many bytes of output of all commands are unread.
    unread: usize,
    traffic: Traffic,
    /// How many streams hold unread output.
    holding: usize,
    /// How many transfers have begun and have not ended.
    pub(in crate::session) transfers: usize,
    /// The limit for `unread`, in bytes.
    budget: usize,
    buffer: InboxBuffer,
    spare: SpareBuffers,
    #[cfg(test)]
    pub(in crate::session) looks: crate::session::tests::Looks,
}

/// Bytes transferred by commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// How many bytes of output have arrived, including dropped output and the output of `sudo`.
    pub received: u64,
    /// How many bytes of input the connections have accepted.
    pub sent: u64,
}

/// What the totals of a fleet include of one command.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Booked {
    /// For each stream, how many bytes are unread.
    unread: [usize; 2],
    /// Whether the command is a transfer that goes on.
    transfers: bool,
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
            transfers: 0,
            budget,
            buffer: InboxBuffer::default(),
            spare: SpareBuffers::new(),
            #[cfg(test)]
            looks: Default::default(),
        }
    }

    /// Reserves memory for `commands` more commands.
    pub(crate) fn reserve(&mut self, commands: usize) {
        self.slab.reserve(commands);
    }

    pub(crate) fn insert_with(&mut self, exec: impl FnOnce(CommandId) -> Exec) -> CommandId {
        self.given = self.given.wrapping_add(1);
        let entry = self.slab.vacant_entry();
        let id = CommandId::new(entry.key(), self.given);
        let exec = entry.insert(exec(id));
        exec.stdout.share(&self.spare);
        exec.stderr.share(&self.spare);
        id
    }

    /// Adds a command that another one needs.
    pub(crate) fn insert_helper(
        &mut self,
        of: CommandId,
        request: Arc<Request>,
        slot: u32,
        now: Instant,
    ) -> Option<CommandId> {
        let Exec { host, run, position, .. } = *self.get(of)?;
        let new = |id| Exec::new(id, request, host, (run, position), now);
        Some(self.insert_with(|id| Exec { helps: Some((of, slot)), ..new(id) }))
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

    /// How many commands are in the table, including finished ones that are not released.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// How many commands have finished, including those that are no longer in the table.
    pub(crate) fn ended(&self) -> u64 {
        self.ended
    }

    /// How many bytes of output of all commands are unread.
    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    /// The bytes transferred by all commands, including commands that are no longer in the table.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The number of unread bytes at which a stream counts as full. It depends on how much of the
    /// fleet's budget is used.
    ///
    /// Until half of the budget is used, no stream is full. While the third quarter is being used,
    /// each stream that holds output gets an equal share of half the budget. More streams may start
    /// to hold output later, so the shares may add up to more than half the budget. While the last
    /// quarter is being used, every stream therefore gets only as much as one socket read returns.
    /// A stream that holds less than that is never suspended because of other streams.
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

    /// At least how many answers the server owes to the transfer that this command is.
    pub(in crate::session) fn owed_answers(&self, id: CommandId) -> usize {
        self.get(id).and_then(|exec| exec.transfer.as_ref()).map_or(0, |transfer| transfer.owed_answers())
    }

    /// How much room there is for the output of this command.
    pub(in crate::session) fn room(&self, id: CommandId) -> Room {
        self.get(id).map_or(Room::ENDLESS, |exec| exec.room(self.share()))
    }

    /// Collects the output that has arrived for a command, and does nothing else.
    pub(in crate::session) fn collect(
        &mut self,
        id: CommandId,
        now: Instant,
        link: &mut dyn Link,
        out: &mut Vec<Effect>,
    ) {
        if self.take_in(id, now, link).is_some() {
            self.note(id, now, out);
        }
    }

    /// Collects the output that has arrived for a command.
    pub(super) fn take_in(&mut self, id: CommandId, now: Instant, link: &mut dyn Link) -> Option<&mut Exec> {
        let share = self.share();
        #[cfg(test)]
        self.looks.count();
        let exec = self.slab.get_mut(id.index()).filter(|exec| exec.id == id)?;
        exec.collect(now, link, share, &mut self.buffer);
        Some(exec)
    }

    /// Lends the fleet's buffer to the first of these commands that receives output, which must be
    /// collected in the same visit.
    pub(in crate::session) fn lend_buffer(&mut self, ids: &[CommandId], link: &mut dyn Link) {
        let channel = ids.iter().find_map(|id| self.get(*id)?.state.output_channel());
        if let Some(channel) = channel {
            self.buffer.lend(&mut link.inbox(channel).stdout);
        }
    }

    /// Calls `with` to read from a stream or to change how it is read. The second argument of
    /// `with` is the stream's [share](Self::share).
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

    /// Passes the answer to a file job on to the transfer that asked. If that has ended, cleans up
    /// after the job, and reports the end after the last one.
    pub(crate) fn file_answer(
        &mut self,
        id: CommandId,
        answer: FileAnswer,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let Some(exec) = self.get_mut(id) else {
            return out.extend(answer.cleanup(id).map(Effect::File));
        };
        let is_of_change = answer.is_of_change();
        exec.file_jobs = exec.file_jobs.saturating_sub(usize::from(is_of_change));
        match &mut exec.transfer {
            Some(transfer) => {
                transfer.answer(answer);
                self.note(id, now, out);
            }
            None => {
                hand_out(exec, answer.cleanup(id), out);
                if is_of_change {
                    self.tell_end(id, out);
                }
            }
        }
    }

    /// Passes the end of a command on to the transfer that needed it.
    pub(in crate::session) fn helped(
        &mut self,
        id: CommandId,
        result: ErrandResult,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        if let Some(transfer) = self.get_mut(id).and_then(|exec| exec.transfer.as_mut()) {
            transfer.ran(result);
            self.note(id, now, out);
        }
    }

    /// Releases a command whose output nobody will read any more. A finished command is removed.
    /// The output of an unfinished one is discarded from now on, unless it goes to a sink.
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
        exec.note_trial(out);
        let started = exec.has_run() && !mem::replace(&mut exec.told_started, true);
        let listed = exec.list_output();
        let Traffic { received, sent } = mem::take(&mut exec.traffic);
        let writable = exec.stdin.has_room_again();
        let is_told = exec.is_told();
        let jobs = exec.transfer.as_mut().map(|transfer| transfer.take_jobs());
        hand_out(exec, jobs.into_iter().flatten(), out);
        let progressed = exec.transfer.as_mut().is_some_and(|transfer| {
            out.extend(transfer.take_errands().into_iter().map(|errand| Effect::Errand(id, errand)));
            is_told && transfer.has_news()
        });
        self.traffic.received += received;
        self.traffic.sent += sent;
        if started {
            out.push(Effect::Command(id, CommandNews::Started));
        }
        out.extend(
            listed.into_iter().flatten().map(|stream| Effect::Command(id, CommandNews::Output(stream))),
        );
        if progressed {
            out.push(Effect::Command(id, CommandNews::Progress));
        }
        if writable {
            out.push(Effect::Command(id, CommandNews::Writable));
        }
        self.book(id);
    }

    /// Updates the totals.
    fn book(&mut self, id: CommandId) {
        let Some(exec) = self.get_mut(id) else { return };
        let unwritten = exec.transfer.as_ref().map_or(0, |transfer| transfer.unwritten());
        let unread = [exec.stdout.len() + unwritten, exec.stderr.len()];
        let now = Booked { unread, transfers: exec.transfer.is_some() };
        let before = mem::replace(&mut exec.booked, now);
        let holding = |booked: Booked| booked.unread.into_iter().filter(|unread| *unread > 0).count();
        let sum = |booked: Booked| booked.unread.iter().sum::<usize>();
        self.unread = self.unread - sum(before) + sum(now);
        self.holding = self.holding - holding(before) + holding(now);
        self.transfers = self.transfers - usize::from(before.transfers) + usize::from(now.transfers);
    }

    /// Finishes a command with an outcome. A command that is already finished keeps its first
    /// outcome.
    pub(super) fn finish(&mut self, id: CommandId, outcome: Outcome, cx: &mut ExecCx<'_>) {
        let Some(exec) = self.get_mut(id) else { return };
        if exec.has_left_host() {
            return;
        }
        let mut outcome = outcome;
        if let Some(mut transfer) = exec.transfer.take() {
            transfer.lose();
            // Other outcomes do not say what was copied.
            if !matches!(outcome, Outcome::Transferred(_) | Outcome::File(_)) {
                exec.done_at_end = Some(Box::new(transfer.progress()));
                if exec.is_told() && transfer.has_news() {
                    cx.out.push(Effect::Command(id, CommandNews::Progress));
                }
            }
            hand_out(exec, transfer.take_jobs(), cx.out);
            if let Outcome::Failed(error) = outcome {
                outcome = Outcome::Failed(error.with_left_over(transfer.left_over()));
            }
        }
        exec.end_dialogue();
        exec.stdout.finish();
        exec.stderr.finish();
        exec.stdin.abandon();
        exec.signals = VecDeque::new();
        exec.deadline = None;
        exec.stopwatch.stop(cx.now);
        exec.enter(ExecState::Finished(outcome));
        self.note(id, cx.now, cx.out);
        self.tell_end(id, cx.out);
    }

    /// Reports the end of a command, unless files of this machine still have to be removed.
    fn tell_end(&mut self, id: CommandId, out: &mut Vec<Effect>) {
        let ended = self.ended + 1;
        if let Some(exec) = self.get_mut(id)
            && exec.is_finished()
        {
            exec.ended = ended;
            self.ended = ended;
            out.push(Effect::Command(id, CommandNews::Finished));
        }
    }
}

/// Passes file jobs of a command's transfer on.
fn hand_out(exec: &mut Exec, jobs: impl IntoIterator<Item = FileJob>, out: &mut Vec<Effect>) {
    for job in jobs {
        exec.file_jobs += usize::from(job.is_change());
        out.push(Effect::File(job));
    }
}
