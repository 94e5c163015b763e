//! What a connection waits for before it may begin, and what it uses then.

use std::net::SocketAddr;

use super::failure::Failure;
use super::{Ask, Cx, Exec, Execs, Session, State, Step};
use crate::ids::CommandId;

/// What a session waits to be admitted for, and how many commands wait there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To connect, whether or not a command can begin as well: somebody waits for the connection itself.
    Connection(usize),
    /// To connect for its commands.
    ConnectionFor(usize),
    /// To start commands; it is connected.
    Commands(usize),
}

impl Wish {
    /// Commands that wait.
    pub(crate) fn commands(self) -> usize {
        let (Self::Connection(commands) | Self::ConnectionFor(commands) | Self::Commands(commands)) = self;
        commands
    }
}

impl Session {
    /// What it waits to be admitted for.
    pub(crate) fn wish(&self) -> Option<Wish> {
        let commands = self.commands.waiting();
        match self.state {
            State::Queued if self.is_wanted_itself() => Some(Wish::Connection(commands)),
            State::Queued if self.is_wanted() => Some(Wish::ConnectionFor(commands)),
            State::Ready(_) if commands > 0 => Some(Wish::Commands(commands)),
            _ => None,
        }
    }

    /// Whether it uses a place: it connects, or starts a command. A proxy uses none, as those that wait for it do.
    pub(crate) fn uses_place(&self, execs: &Execs) -> bool {
        match self.state {
            _ if self.tunnels.is_some() => false,
            State::Resolving
            | State::Connecting(_)
            | State::Tunnelling(_)
            | State::Handshaking
            | State::Verifying(_)
            | State::Authenticating(_) => true,
            State::Ready(_) => {
                let is_starting = |id: &CommandId| execs.get(*id).is_some_and(Exec::is_starting);
                self.commands.admitted() > 0 || self.commands.begun().iter().any(is_starting)
            }
            State::Queued | State::BackingOff(_) | State::Closed | State::Failed(_) => false,
        }
    }

    /// Its commands that were admitted and have not ended.
    pub(crate) fn running(&self, execs: &Execs) -> usize {
        let is_over = |id: &&CommandId| execs.get(**id).is_none_or(Exec::is_finished);
        self.commands.admitted() + self.commands.begun().iter().filter(|id| !is_over(id)).count()
    }

    /// Whether it holds, or is about to hold, a descriptor.
    pub(crate) fn is_connected(&self) -> bool {
        !matches!(self.state, State::Queued | State::BackingOff(_) | State::Closed | State::Failed(_))
    }

    /// Whether it is connected and has nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Ready(_)) && !self.is_wanted()
    }

    /// Has so many of its commands begin, and itself connect if it is not connected.
    pub(super) fn admit(&mut self, commands: usize, cx: &mut Cx<'_>) -> Result<Step, Failure> {
        let is_queued = matches!(self.state, State::Queued);
        if !is_queued && !self.is_connected() {
            return Ok(Step::default());
        }
        self.commands.admit(commands);
        if !is_queued {
            return self.drive(cx);
        }
        self.attempt += 1;
        self.attempt_begun = Some(cx.now);
        if self.target.proxy.is_some() {
            return self.join(cx);
        }
        self.enter(State::Resolving, cx.now);
        // An address needs no lookup.
        let Some(address) = self.target.ip else {
            return Ok(Step { ask: Some(Ask::Lookup), ..Step::default() });
        };
        let list = self.target.profile.select(Ok(vec![SocketAddr::new(address, self.target.port)]))?;
        self.dial(list, cx)?;
        Ok(Step::default())
    }

    /// It could not connect after all, for want of a descriptor: it waits again, and so do its commands.
    pub(super) fn wait_again(&mut self, cx: &mut Cx<'_>) {
        cx.link.hang_up();
        self.attempt = self.attempt.saturating_sub(1);
        self.commands.hold();
        self.enter(State::Queued, cx.now);
    }
}
