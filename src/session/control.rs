//! What a caller asks of a connection besides running commands on it: to be there, to end a command, to be closed.

use std::time::Instant;

use super::exec::{Exec, ExecCx, Execs, Progress};
use super::state::State;
use super::{Cx, HostState, Milestone, Session};
use crate::error::HostError;
use crate::ids::CommandId;
use crate::stage::Stage;

impl Session {
    /// Has it connect, whether or not there is a command for it.
    pub(crate) fn connect(&mut self, now: Instant) {
        if matches!(self.state, State::Ready(_)) {
            return;
        }
        if !self.is_wanted() {
            self.begin_anew();
        }
        self.awaited = true;
        self.wake(now);
    }

    pub(super) fn wake(&mut self, now: Instant) {
        if matches!(self.state, State::Closed | State::Failed(_)) {
            self.enter(State::Queued, now);
        }
    }

    /// Whether anything needs it: a command, a host behind it, or somebody who waits for the connection itself.
    pub(super) fn is_wanted(&self) -> bool {
        !self.commands.is_empty() || self.is_wanted_itself()
    }

    /// Whether it is to be connected even if no command can begin.
    pub(super) fn is_wanted_itself(&self) -> bool {
        self.awaited || self.tunnels.as_ref().is_some_and(|tunnels| !tunnels.is_empty())
    }

    /// Whether a connection that was asked for is neither there nor given up.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// Where the connection is.
    pub(crate) fn host_state(&self) -> HostState {
        match self.state {
            State::Queued if self.is_wanted() => HostState::Queued,
            State::Queued | State::Closed => HostState::Idle,
            State::Resolving => HostState::Resolving,
            State::Connecting(_) | State::Tunnelling(_) => HostState::Connecting,
            State::Handshaking | State::Verifying(_) => HostState::Handshaking,
            State::Authenticating(_) => HostState::Authenticating,
            State::Ready(_) => HostState::Connected,
            State::BackingOff(_) => HostState::BackingOff,
            State::Failed(_) => HostState::Failed,
        }
    }

    /// The stage of what it does now.
    pub(crate) fn stage(&self) -> Stage {
        match self.state {
            State::Ready(_) => Stage::Running,
            _ => self.state.stage(),
        }
    }

    /// Why there is no connection, if it was given up.
    pub(crate) fn error(&self) -> Option<&HostError> {
        match &self.state {
            State::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Its commands that have not ended.
    pub(crate) fn commands(&self) -> impl Iterator<Item = CommandId> {
        self.commands.iter()
    }

    /// Attends to the commands whose own deadlines have passed.
    pub(super) fn expire_commands(&mut self, cx: &mut Cx<'_>) {
        let due = |id: &CommandId| cx.execs.get(*id).and_then(Exec::deadline).is_some_and(|at| at <= cx.now);
        let expired: Vec<CommandId> = self.commands.timed().filter(due).collect();
        for id in expired {
            self.end(id, cx, Execs::expire);
        }
    }

    /// Ends a command, one that it was not given yet as well, and the attempt to connect if it was made for that command
    /// alone.
    pub(super) fn cancel(
        &mut self,
        id: CommandId,
        cx: &mut Cx<'_>,
        how: impl FnOnce(&mut Execs, CommandId, &mut ExecCx<'_>) -> Progress,
    ) {
        let was_given = self.commands.contains(id);
        self.end(id, cx, how);
        if was_given && !matches!(self.state, State::Ready(_)) {
            self.close(cx);
        }
    }

    fn end(
        &mut self,
        id: CommandId,
        cx: &mut Cx<'_>,
        how: impl FnOnce(&mut Execs, CommandId, &mut ExecCx<'_>) -> Progress,
    ) {
        let mut exec_cx = ExecCx {
            target: &self.target,
            attempt: self.attempt,
            now: cx.now,
            link: &mut *cx.link,
            input_budget: &mut 0,
            has_others: false,
            room_expected: &mut self.room_expected,
        };
        if how(cx.execs, id, &mut exec_cx) == Progress::Done {
            self.commands.remove(id);
            self.unblock(cx.execs);
        }
    }

    /// A command has ended: one that was refused a channel may get one now.
    pub(super) fn unblock(&mut self, execs: &mut Execs) {
        if let Some(exec) = self.commands.unblock().and_then(|id| execs.get_mut(id)) {
            exec.unblock();
        }
    }

    /// Closes the connection, or gives up making it, unless something needs it.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>) {
        if !self.is_wanted() && !matches!(self.state, State::Closed | State::Failed(_)) {
            cx.link.hang_up();
            if !matches!(self.state, State::Queued) {
                self.trail.push_back(Milestone::Disconnected { error: None, retrying: false });
            }
            self.enter(State::Closed, cx.now);
        }
    }
}
