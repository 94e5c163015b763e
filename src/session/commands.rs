//! The commands of one connection, by how far they are.
//!
//! Thousands may wait for one host, while a few run there. A visit looks at those that have begun and at the first one
//! that waits, never at all of them.

use std::collections::VecDeque;

use super::exec::{Exec, Execs};
use crate::ids::CommandId;

/// Commands that were given to a connection and have not ended.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// Those without a channel, in the order in which they are to begin.
    queue: VecDeque<CommandId>,
    /// How many of the queue, from its front, may begin.
    admitted: usize,
    /// The server had no channel for the front of the queue. It waits until another one of this connection is closed,
    /// and all behind it with it.
    is_blocked: bool,
    /// Those that have asked for a channel, in that order.
    begun: Vec<CommandId>,
}

impl Commands {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.begun.is_empty()
    }

    /// All of them: those that have begun, then those that wait.
    pub(super) fn iter(&self) -> impl Iterator<Item = CommandId> {
        self.begun.iter().chain(&self.queue).copied()
    }

    /// Those that have asked for a channel.
    pub(super) fn begun(&self) -> &[CommandId] {
        &self.begun
    }

    /// Those that may have a deadline of their own: of those that wait only the first one, if it was refused a channel.
    pub(super) fn timed(&self) -> impl Iterator<Item = CommandId> {
        self.begun.iter().chain(self.queue.front()).copied()
    }

    /// How many wait to be admitted. While the first one is blocked, none does: it could not begin.
    pub(super) fn waiting(&self) -> usize {
        if self.is_blocked { 0 } else { self.queue.len() - self.admitted }
    }

    /// How many were admitted and have not begun.
    pub(super) fn admitted(&self) -> usize {
        self.admitted
    }

    pub(super) fn push(&mut self, id: CommandId) {
        self.queue.push_back(id);
    }

    /// Lets so many more begin.
    pub(super) fn admit(&mut self, commands: usize) {
        self.admitted += commands.min(self.waiting());
    }

    /// Takes all admissions back of which no use was made.
    pub(super) fn hold(&mut self) {
        self.admitted = 0;
    }

    /// The command that may ask for a channel next. It counts as begun from here on.
    pub(super) fn begin_next(&mut self) -> Option<CommandId> {
        self.admitted = self.admitted.checked_sub(1)?;
        let id = self.queue.pop_front()?;
        self.begun.push(id);
        Some(id)
    }

    /// The server has refused this one a channel: it waits again, before all others.
    pub(super) fn requeue(&mut self, id: CommandId) {
        self.begun.retain(|begun| *begun != id);
        self.queue.push_front(id);
        // Its place and those of all behind it go to others meanwhile.
        self.hold();
    }

    /// As [`requeue`](Self::requeue), until [`unblock`](Self::unblock).
    pub(super) fn block(&mut self, id: CommandId) {
        self.requeue(id);
        self.is_blocked = true;
    }

    /// A channel was closed. The command that has waited for that, if there is one.
    pub(super) fn unblock(&mut self) -> Option<CommandId> {
        if !std::mem::take(&mut self.is_blocked) {
            return None;
        }
        self.queue.front().copied()
    }

    /// Forgets a command that has ended.
    pub(super) fn remove(&mut self, id: CommandId) {
        if let Some(index) = self.begun.iter().position(|begun| *begun == id) {
            self.begun.remove(index);
            return;
        }
        // Those that are cancelled all together come in order.
        let Some(index) = self.queue.iter().position(|queued| *queued == id) else { return };
        self.queue.remove(index);
        self.admitted -= usize::from(index < self.admitted);
        self.is_blocked &= index > 0;
    }

    pub(super) fn contains(&self, id: CommandId) -> bool {
        self.iter().any(|known| known == id)
    }

    /// The connection is lost: those that have begun wait again, before all others, unless they are over.
    pub(super) fn wait_again(&mut self, execs: &Execs) {
        self.hold();
        self.is_blocked = false;
        for id in std::mem::take(&mut self.begun).into_iter().rev() {
            if execs.get(id).is_some_and(Exec::is_waiting) {
                self.queue.push_front(id);
            }
        }
    }

    /// All of them, which are to end.
    pub(super) fn take(&mut self) -> Vec<CommandId> {
        let all = self.iter().collect();
        *self = Self::default();
        all
    }
}
