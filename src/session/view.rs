//! A session's state as seen from outside, between two steps.

use std::time::Instant;

use super::exec::Execs;
use super::keepalive::KeepaliveTimer;
use super::state::State;
use super::{AgentOffer, HostState, Offer, Role, Session, Target};
use crate::error::HostError;
use crate::ids::CommandId;
use crate::output::Bound;
use crate::stage::{Stage, Timings};

/// The state of a session as the scheduler sees it. It changes only in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub state: HostState,
    /// When the session must be stepped at the latest.
    pub deadline: Option<Instant>,
    /// What the session is waiting to be admitted for; `None` if it is not waiting for admission.
    pub wish: Option<Wish>,
    /// How many commands wait to be admitted.
    pub waiting: usize,
    /// Whether the session occupies a place in the pool, because it is connecting or starting a
    /// command. A proxy occupies no place, because the hosts that wait for it already do.
    pub uses_place: bool,
    /// How many commands were admitted and have not finished.
    pub running: usize,
    /// Whether the session is connected or connecting, and so holds a descriptor or is about to
    /// open one.
    pub holds_descriptor: bool,
    /// Whether the session is logged in and nothing needs its connection.
    pub is_idle: bool,
    /// For a proxy: whether hosts wait for it to connect.
    pub has_waiting_hosts: bool,
    /// Why reading from the connection is suspended (back-pressure); `None` if it is not.
    pub held: Option<Bound>,
    /// How many bytes of a file a transfer waits to request, because of the fleet's limit; 0 if
    /// none does.
    pub lack: u32,
    /// What the session waits for besides the peer.
    pub awaits: Option<Awaited>,
}

/// What a session waits to be admitted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To connect a proxy that hosts wait for.
    Proxy,
    /// To start commands on a connection that is established.
    Commands,
    /// To connect once more in a scan, for a key of another type.
    AnotherKey,
    /// To connect because a caller asked for the connection or for the host's keys, whether or not
    /// a command can also begin.
    Connection,
    /// To connect in order to run commands.
    ConnectionForCommands,
}

impl Wish {
    pub(crate) const ALL: [Self; 5] =
        [Self::Proxy, Self::Commands, Self::AnotherKey, Self::Connection, Self::ConnectionForCommands];
}

/// An answer that a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    Lookup,
    Agent,
    Disk,
}

/// What is known about the next login's need of a security key, before the host is dialled.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TouchNeed<'a> {
    /// It begins with another credential, or needs none.
    No,
    /// The host has asked for a signature by a security key before.
    Yes,
    /// It begins with the agent's keys, so their list tells.
    IfListed(&'a AgentOffer),
}

impl Session {
    pub(crate) fn view(&self, execs: &Execs) -> View {
        let (uses_place, running, waiting, has_waiting_hosts, lack) = match &self.role {
            Role::Host(commands) => {
                let uses_place = match self.state {
                    State::Ready(_) => commands.holds_place(execs),
                    _ => self.holds_descriptor(),
                };
                let begun = commands.begun().iter().filter_map(|id| execs.get(*id));
                let running = commands.admitted() + begun.filter(|exec| !exec.has_left_host()).count();
                let waiting = if commands.is_stuck(execs) { 0 } else { commands.waiting() };
                (uses_place, running, waiting, false, commands.lack(execs))
            }
            Role::Proxy(tunnels) => (false, 0, 0, tunnels.has_waiting(), 0),
        };
        View {
            state: self.host_state(),
            deadline: self.next_deadline(execs),
            wish: self.wish(waiting),
            waiting,
            uses_place,
            running,
            holds_descriptor: self.holds_descriptor(),
            is_idle: matches!(self.state, State::Ready(_)) && !self.is_needed(),
            has_waiting_hosts,
            held: self.held,
            lack,
            awaits: self.awaits(),
        }
    }

    /// When the session must be stepped at the latest.
    pub(super) fn next_deadline(&self, execs: &Execs) -> Option<Instant> {
        let of_commands = match &self.role {
            Role::Host(commands) => commands.deadline(execs),
            Role::Proxy(_) => None,
        };
        let own = match &self.state {
            State::Connecting(addresses) => addresses.next_at,
            State::Ready(keepalive) => keepalive.as_ref().and_then(|timer| timer.due),
            _ => None,
        };
        let of_stage = self.deadline.map(|deadline| deadline.at);
        let of_batch = self.batch.as_ref().map(|batch| batch.until);
        [of_commands, own, of_stage, of_batch].into_iter().flatten().min()
    }

    fn wish(&self, waiting: usize) -> Option<Wish> {
        match &self.state {
            State::Queued if self.is_proxy() => self.is_needed().then_some(Wish::Proxy),
            State::Queued if self.scan.as_ref().is_some_and(|scan| scan.has_keys()) => Some(Wish::AnotherKey),
            State::Queued if self.awaited || self.scan.is_some() => Some(Wish::Connection),
            State::Queued if self.is_needed() => Some(Wish::ConnectionForCommands),
            State::Ready(keepalive) if waiting > 0 => {
                let may_be_dead = keepalive.as_ref().is_some_and(KeepaliveTimer::is_unanswered);
                (!may_be_dead).then_some(Wish::Commands)
            }
            _ => None,
        }
    }

    fn awaits(&self) -> Option<Awaited> {
        match &self.state {
            State::Resolving => Some(Awaited::Lookup),
            State::Verifying(verification) if verification.awaits_disk() => Some(Awaited::Disk),
            State::Authenticating(login) if login.awaits_agent() => Some(Awaited::Agent),
            _ => None,
        }
    }

    fn host_state(&self) -> HostState {
        match self.state {
            State::Queued if self.is_needed() => HostState::Queued,
            State::Queued | State::Closed => HostState::Idle,
            State::Resolving => HostState::Resolving,
            State::Connecting(_) | State::Tunnelling | State::Launching | State::Reaping(_) => {
                HostState::Connecting
            }
            State::Handshaking | State::Verifying(_) => HostState::Handshaking,
            State::Authenticating(_) => HostState::Authenticating,
            State::Ready(_) => HostState::Connected,
            State::BackingOff(_) => HostState::BackingOff,
            State::Failed(_) => HostState::Failed,
        }
    }

    pub(crate) fn touch_need(&self) -> TouchNeed<'_> {
        match self.target.profile.plan.first() {
            _ if self.scan.is_some() => TouchNeed::No,
            _ if self.attempts.needs_touch => TouchNeed::Yes,
            Some(Offer::Agent(choice)) => TouchNeed::IfListed(choice),
            _ => TouchNeed::No,
        }
    }

    /// Whether the session is connected or connecting.
    pub(super) fn holds_descriptor(&self) -> bool {
        !matches!(self.state, State::Queued | State::BackingOff(_) | State::Closed | State::Failed(_))
    }

    /// Whether a command, a host behind the proxy, a scan, or a caller needs the connection.
    pub(super) fn is_needed(&self) -> bool {
        self.awaited || self.scan.is_some() || self.role.is_needed()
    }

    /// Whether a caller has asked for the connection itself, and the connection is neither
    /// established nor given up yet.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited
    }

    pub(crate) fn is_proxy(&self) -> bool {
        matches!(self.role, Role::Proxy(_))
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The number of the current attempt to connect, from 1; 0 before the first attempt.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempts.number
    }

    /// The stage that the session is in.
    pub(crate) fn stage(&self) -> Stage {
        match self.state {
            State::Ready(_) => Stage::Running,
            _ => self.state.stage(),
        }
    }

    /// The stage that a failure of the connection belongs to now.
    pub(super) fn failing_stage(&self) -> Stage {
        match (&self.role, &self.state) {
            (Role::Proxy(_), State::Ready(_)) => Stage::Forwarding,
            (_, state) => state.stage(),
        }
    }

    /// Why the connection was given up, if it was.
    pub(crate) fn error(&self) -> Option<&HostError> {
        match &self.state {
            State::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// What the server said before its latest login ended.
    pub(crate) fn banner(&self) -> Option<&str> {
        self.banner.as_deref()
    }

    /// Time spent in each stage since the connection was last asked for.
    pub(crate) fn timings(&self) -> Timings {
        self.stopwatch.timings
    }

    /// The unfinished commands of the session.
    pub(crate) fn commands(&self) -> impl Iterator<Item = CommandId> {
        let commands = match &self.role {
            Role::Host(commands) => Some(commands),
            Role::Proxy(_) => None,
        };
        commands.into_iter().flat_map(|commands| commands.iter())
    }

    /// Whether reading was suspended for lack of room, and there is room again.
    pub(crate) fn may_go_on(&self, execs: &Execs) -> bool {
        self.held.is_some() && self.room(execs).lack().is_none()
    }
}
