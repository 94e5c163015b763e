//! The unfinished commands of one host, in one list for each stage of their progress.
//!
//! Thousands of commands may wait while a few run. A visit looks only at the commands that have
//! begun and at the first one in the queue, so its cost does not grow with the queue.

mod place;

use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

use self::place::Place;
use super::Cx;
use super::deadline::Deadline;
use super::exec::{Exec, ExecCx, Execs, Progress};
use super::failure::{Failure, Peer};
use super::spare::Channels;
use crate::error::{CancelCause, HostError, HostErrorKind};
use crate::ids::CommandId;
use crate::output::Room;

/// The unfinished commands of one host.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// The commands whose batch has not started.
    assigned: VecDeque<CommandId>,
    /// The commands without a channel, in the order in which they will begin.
    queue: VecDeque<CommandId>,
    /// How many commands at the front of the queue may begin.
    admitted: usize,
    /// Whether the server refused a channel to the command at the front of the queue. The queue
    /// then waits until a channel of this connection closes.
    is_blocked: bool,
    /// The commands that have asked for a channel, in the order in which they asked.
    begun: Vec<CommandId>,
    channels: Channels,
    /// Whether the commands that are starting hold a place in the pool.
    place: Place,
}

impl Commands {
    /// Forgets what was known about the channels of the last connection.
    pub(super) fn connected(&mut self) {
        self.channels = Channels::default();
    }

    /// Whether no command needs the connection. Assigned commands do not need it yet.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.begun.is_empty()
    }

    /// The commands that need the connection: first those that have begun, then the queue.
    fn started(&self) -> impl Iterator<Item = CommandId> {
        self.begun.iter().chain(&self.queue).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = CommandId> {
        self.started().chain(self.assigned.iter().copied())
    }

    pub(super) fn begun(&self) -> &[CommandId] {
        &self.begun
    }

    /// The commands that may have a deadline. In the queue, only the first command can have one,
    /// and only after it was refused a channel.
    fn timed(&self) -> impl Iterator<Item = CommandId> {
        self.begun.iter().chain(self.queue.front()).copied()
    }

    /// How many commands wait to be admitted. This is 0 while the first of them is blocked, because
    /// none of them could begin.
    pub(super) fn waiting(&self) -> usize {
        if self.is_blocked { 0 } else { self.queue.len() - self.admitted }
    }

    /// How many commands have been admitted and have not begun.
    pub(super) fn admitted(&self) -> usize {
        self.admitted
    }

    pub(super) fn deadline(&self, execs: &Execs) -> Option<Instant> {
        self.timed().filter_map(|id| execs.get(id)?.deadline()).chain(self.place.until()).min()
    }

    /// Whether commands that are starting, or may start, hold a place in the pool.
    pub(super) fn holds_place(&self, execs: &Execs) -> bool {
        self.place != Place::GivenBack && (self.admitted > 0 || self.is_starting(execs))
    }

    /// Whether the next command would wait for the answer to a request that has given its place
    /// back. Only one channel is opened at a time.
    pub(super) fn is_stuck(&self, execs: &Execs) -> bool {
        self.place == Place::GivenBack && self.any(execs, is_opening)
    }

    /// Whether this is true of any command that has begun.
    fn any(&self, execs: &Execs, is: impl Fn(&Exec) -> bool) -> bool {
        self.begun.iter().any(|id| execs.get(*id).is_some_and(&is))
    }

    /// Gives the place back if commands are starting. Called if their answers wait behind output.
    pub(super) fn give_place_back(&mut self, execs: &Execs) {
        if self.is_starting(execs) {
            self.place = Place::GivenBack;
        }
        self.hold_if_stuck(execs);
    }

    fn hold_if_stuck(&mut self, execs: &Execs) {
        if self.is_stuck(execs) {
            self.hold();
        }
    }

    /// How much output there is room for.
    pub(super) fn room(&self, execs: &Execs) -> Room {
        self.begun.iter().map(|id| execs.room(*id)).min().unwrap_or(Room::ENDLESS)
    }

    /// How many bytes of a file a transfer waits to request; 0 if none waits for that.
    pub(super) fn lack(&self, execs: &Execs) -> u32 {
        self.begun.iter().filter_map(|id| execs.get(*id)).map(Exec::lack).max().unwrap_or(0)
    }

    /// Whether a command has begun and the server has not accepted it yet.
    pub(super) fn is_starting(&self, execs: &Execs) -> bool {
        self.any(execs, Exec::is_starting)
    }

    /// Sets the deadline of the commands that have begun and that the server has not accepted yet.
    pub(super) fn limit_starts(&self, deadline: Option<Deadline>, execs: &mut Execs) {
        for id in &self.begun {
            if let Some(exec) = execs.get_mut(*id).filter(|exec| exec.is_starting()) {
                exec.limit_start(deadline);
            }
        }
    }

    /// Whether the server has accepted one of the commands that have begun.
    pub(super) fn has_settled(&self, execs: &Execs) -> bool {
        self.any(execs, Exec::is_settled)
    }

    pub(super) fn assign(&mut self, id: CommandId) {
        self.assigned.push_back(id);
    }

    /// Moves an assigned command to the queue. Returns `false` if the command has ended: it may
    /// have been cancelled after its start was decided.
    pub(super) fn start(&mut self, id: CommandId, cx: &mut Cx<'_>) -> bool {
        let is_assigned = self.forget_assigned(id);
        if is_assigned {
            queued(id, cx);
            self.queue.push_back(id);
        }
        is_assigned
    }

    /// Moves an assigned command to the front of the queue, and lets it begin. It takes no place of
    /// its own, because the command that needs it has one.
    pub(super) fn help(&mut self, id: CommandId, cx: &mut Cx<'_>) {
        if self.forget_assigned(id) {
            queued(id, cx);
            self.queue.push_front(id);
            self.admitted += 1;
        }
    }

    /// Lets up to `commands` more commands begin.
    pub(super) fn admit(&mut self, commands: usize) {
        self.admitted += commands.min(self.waiting());
    }

    /// Revokes the admissions that are not used yet.
    pub(super) fn hold(&mut self) {
        self.admitted = 0;
    }

    /// Steps each command that has begun, and lets the next admitted one begin. Returns whether
    /// anything changed.
    pub(super) fn step(&mut self, peer: Peer<'_>, cx: &mut Cx<'_>) -> Result<bool, Failure> {
        let has_room = self.room(cx.execs).lack().is_none();
        let (mut advanced, mut answered) = (self.channels.step(cx.link, has_room)?, false);
        let mut index = 0;
        while let Some(id) = self.begun.get(index).copied() {
            let awaited = cx.execs.get(id).is_some_and(Exec::is_starting);
            let has_moved = self.step_one(id, peer, cx)? != Progress::Pending;
            advanced |= has_moved;
            answered |= has_moved && awaited;
            // If the command has left the list, the next command now has its index.
            index += usize::from(self.begun.get(index) == Some(&id));
        }
        // Open only one channel at a time. A command that is refused one goes back to the front of
        // the queue, so several of them would change places.
        if !self.any(cx.execs, is_opening)
            && let Some(id) = self.begin_next()
        {
            self.step_one(id, peer, cx)?;
            advanced = true;
        }
        // The spare channel must not take a place that a command waits for.
        let may_open = peer.target.profile.connection.spare_channel && has_room && self.queue.is_empty();
        if may_open && !self.any(cx.execs, is_opening) {
            advanced |= self.channels.open_spare(cx.link)?;
        }
        self.place.note(self.is_starting(cx.execs), answered, cx.now);
        self.hold_if_stuck(cx.execs);
        Ok(advanced)
    }

    /// Steps a command that has begun, then moves it to the list where it belongs.
    fn step_one(&mut self, id: CommandId, peer: Peer<'_>, cx: &mut Cx<'_>) -> Result<Progress, Failure> {
        // `has_others` matters only for a command whose channel is being opened, because only such
        // a command can be refused a channel.
        let is_opening = cx.execs.get(id).is_some_and(is_opening);
        let has_channel =
            |id: &CommandId| cx.execs.get(*id).is_some_and(|exec| exec.state.channel().is_some());
        let has_others = is_opening && self.begun.iter().any(|other| *other != id && has_channel(other));
        let (execs, exec_cx) = ExecCx::split(cx, peer, &mut self.channels);
        let progress = execs.step(id, &mut ExecCx { has_others, ..exec_cx })?;
        match cx.execs.get(id) {
            _ if progress == Progress::Done => self.ended(id, cx.execs),
            Some(exec) if exec.is_waiting() => self.requeue(id),
            Some(exec) if exec.is_blocked() => self.block(id),
            _ => {}
        }
        Ok(progress)
    }

    /// Takes the next admitted command from the queue, and adds it to the commands that have begun.
    pub(super) fn begin_next(&mut self) -> Option<CommandId> {
        self.admitted = self.admitted.checked_sub(1)?;
        let id = self.queue.pop_front()?;
        self.begun.push(id);
        Some(id)
    }

    /// Moves a command that was refused a channel back to the front of the queue.
    fn requeue(&mut self, id: CommandId) {
        self.begun.retain(|begun| *begun != id);
        self.queue.push_front(id);
        // Other hosts can use the admissions while this command waits.
        self.hold();
    }

    /// Like [`requeue`](Self::requeue), but the queue waits until another channel closes.
    pub(super) fn block(&mut self, id: CommandId) {
        self.requeue(id);
        self.is_blocked = true;
    }

    /// Ends commands whose deadlines have passed, and those that have waited behind one of them for
    /// all of its time.
    pub(super) fn expire(&mut self, peer: Peer<'_>, cx: &mut Cx<'_>) {
        let due = |id: &CommandId| cx.execs.get(*id).and_then(Exec::deadline).is_some_and(|at| at <= cx.now);
        let mut expired: Vec<CommandId> = self.timed().filter(due).collect();
        let asking = |id: &CommandId| cx.execs.get(*id).and_then(|exec| Some((exec.begun(), exec.asking()?)));
        if let Some((begun, deadline)) = expired.iter().find_map(asking) {
            // Otherwise each would take the whole limit after the one before it, and a queue that
            // is added to more often than that would never end.
            for id in &self.queue {
                if let Some(exec) = cx.execs.get_mut(*id).filter(|exec| exec.begun() <= begun) {
                    exec.limit_start(Some(deadline));
                    expired.push(*id);
                }
            }
        }
        for id in expired {
            self.end(id, peer, cx, Execs::expire);
        }
    }

    /// Cancels a command for this reason; with [`HostErrorKind::NotStarted`], unless it was sent.
    /// Returns whether the command was queued or had begun.
    pub(super) fn stop(
        &mut self,
        id: CommandId,
        why: HostErrorKind,
        peer: Peer<'_>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let was_started = self.started().any(|started| started == id);
        self.end(id, peer, cx, |execs, id, cx| execs.stop(id, why, cx));
        was_started
    }

    fn end(
        &mut self,
        id: CommandId,
        peer: Peer<'_>,
        cx: &mut Cx<'_>,
        how: impl FnOnce(&mut Execs, CommandId, &mut ExecCx<'_>) -> Progress,
    ) {
        let (execs, mut exec_cx) = ExecCx::split(cx, peer, &mut self.channels);
        if how(execs, id, &mut exec_cx) == Progress::Done {
            self.ended(id, cx.execs);
        }
    }

    /// Removes a command that has ended. If the command at the front of the queue was refused a
    /// channel, lets it ask for one again.
    fn ended(&mut self, id: CommandId, execs: &mut Execs) {
        self.remove(id);
        if mem::take(&mut self.is_blocked)
            && let Some(exec) = self.queue.front().and_then(|front| execs.get_mut(*front))
        {
            exec.unblock();
        }
    }

    fn remove(&mut self, id: CommandId) {
        if let Some(index) = self.begun.iter().position(|begun| *begun == id) {
            self.begun.remove(index);
        } else if let Some(index) = self.queue.iter().position(|queued| *queued == id) {
            // Commands that are cancelled together are cancelled in order, so the index is usually
            // 0.
            self.queue.remove(index);
            self.admitted -= usize::from(index < self.admitted);
            self.is_blocked &= index > 0;
        } else {
            self.forget_assigned(id);
        }
    }

    /// Returns whether the command was assigned. Commands mostly start in order, so mostly this is
    /// the first one.
    fn forget_assigned(&mut self, id: CommandId) -> bool {
        let index = self.assigned.iter().position(|assigned| *assigned == id);
        index.and_then(|index| self.assigned.remove(index)).is_some()
    }

    /// Handles the loss of the connection. Commands that cannot have started on the host go back to
    /// the front of the queue. Commands that may have started end with `error`, or with their
    /// outcome if it is known.
    pub(super) fn cut(&mut self, error: &HostError, peer: Peer<'_>, cx: &mut Cx<'_>) {
        let (execs, mut exec_cx) = ExecCx::split(cx, peer, &mut self.channels);
        for id in self.begun.iter().chain(self.queue.front()) {
            execs.cut(*id, error, &mut exec_cx);
        }
        self.hold();
        self.is_blocked = false;
        self.place = Place::default();
        for id in mem::take(&mut self.begun).into_iter().rev() {
            if cx.execs.get(id).is_some_and(Exec::is_waiting) {
                self.queue.push_front(id);
            }
        }
    }

    /// Ends all commands that need the connection with `error`, because the connection is given up.
    pub(super) fn fail(&mut self, error: &HostError, peer: Peer<'_>, cx: &mut Cx<'_>) {
        self.hold();
        self.is_blocked = false;
        let (execs, mut exec_cx) = ExecCx::split(cx, peer, &mut self.channels);
        for id in mem::take(&mut self.begun).into_iter().chain(mem::take(&mut self.queue)) {
            execs.fail(id, error, &mut exec_cx);
        }
    }

    /// Ends the assigned commands, because the host is being removed.
    pub(super) fn cancel_assigned(&mut self, peer: Peer<'_>, cx: &mut Cx<'_>) {
        for id in mem::take(&mut self.assigned) {
            let why = HostErrorKind::Cancelled(CancelCause::HostRemoved);
            self.end(id, peer, cx, |execs, id, cx| execs.stop(id, why, cx));
        }
    }
}

/// Notes that a command waits from now on for its turn.
fn queued(id: CommandId, cx: &mut Cx<'_>) {
    if let Some(exec) = cx.execs.get_mut(id) {
        exec.queued(cx.now);
    }
}

/// Whether the command's channel was requested, and the server has not answered yet.
fn is_opening(exec: &Exec) -> bool {
    exec.state.is_opening()
}
