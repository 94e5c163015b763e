//! One host's connection and its commands, as an explicit state machine.
//!
//! A session has two doors: an [`Input`] enters through [`Session::step`], and [`Effect`]s leave
//! through [`Cx::out`].
//! - A step never blocks and never reads the clock: `now` is an argument. It knows neither sockets
//!   nor libssh, only a [`Link`].
//! - A step that finds nothing new changes nothing and has no effects.
//! - A step goes as far as it can. [`Effect::Again`] means that its budget for this turn is used
//!   up, not that the work is done.
//! - Between two steps, [`Session::view`] names everything that the session waits for besides the
//!   link's readiness.
//! - Every command assigned to it ends in exactly one [`Outcome`](crate::output::Outcome), whatever
//!   the peer does.
//! - No error leaves a session: a failure becomes the state of the connection and the outcome of
//!   its commands.
//!
//! [`Link`]: crate::link::Link

mod addresses;
mod attempts;
mod auth;
mod commands;
mod connect;
mod deadline;
mod drive;
mod exec;
mod failure;
mod input;
mod keepalive;
mod rekeys;
mod state;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod tunnels;
mod view;

use std::sync::Arc;
use std::time::Instant;

pub(crate) use attempts::{Jitter, RetryDelay};
pub(crate) use exec::{Exec, Execs, Traffic};
pub(crate) use input::{CommandNews, Cx, Effect, Input};
pub(crate) use keepalive::Keepalive;
pub(crate) use target::{Answerer, AuthPlan, Connection, Offer, Profile, ProxyId, Target, Timeouts};
pub(crate) use tunnels::{TunnelId, TunnelProgress, TunnelRequest};
pub(crate) use view::{Awaited, View, Wish};

use crate::error::{HostError, HostErrorKind, NotStarted};
use crate::ids::CommandId;
use crate::output::Bound;
use crate::stage::{Stage, Stopwatch, TimeoutKind};

use self::attempts::Attempts;
use self::commands::Commands;
use self::deadline::Deadline;
pub use self::exec::CommandState;
use self::failure::{Ending, Failure, Peer};
use self::rekeys::Rekeys;
pub use self::state::HostState;
use self::state::{Phase, State};
use self::tunnels::Tunnels;

/// One host's connection.
#[derive(Debug)]
pub(crate) struct Session {
    target: Arc<Target>,
    role: Role,
    state: State,
    /// The time limit of the current stage.
    deadline: Option<Deadline>,
    attempts: Attempts,
    /// Host key algorithms to offer first: those of the keys on record.
    recorded: Vec<&'static str>,
    /// Why reading from the connection is suspended (back-pressure).
    held: Option<Bound>,
    /// Counts the key exchanges after the first; `None` until there is one.
    rekeys: Option<Box<Rekeys>>,
    /// The proxy's error, from its failure until the connection through it ends.
    proxy_lost: Option<HostError>,
    /// Whether a caller asked for the connection itself, and it is neither there nor given up.
    awaited: bool,
    stopwatch: Stopwatch,
}

/// What a connection is used for.
#[derive(Debug)]
enum Role {
    /// It runs commands.
    Host(Commands),
    /// It connects other hosts.
    Proxy(Box<Tunnels>),
}

impl Role {
    fn commands(&mut self) -> Option<&mut Commands> {
        match self {
            Self::Host(commands) => Some(commands),
            Self::Proxy(_) => None,
        }
    }
}

impl Session {
    pub(crate) fn new(target: Target, jitter: Jitter, now: Instant) -> Self {
        Self::with(Arc::new(target), Role::Host(Commands::default()), jitter, now)
    }

    /// Creates the connection of a proxy.
    pub(crate) fn proxy(target: Arc<Target>, jitter: Jitter, now: Instant) -> Self {
        Self::with(target, Role::Proxy(Box::default()), jitter, now)
    }

    fn with(target: Arc<Target>, role: Role, jitter: Jitter, now: Instant) -> Self {
        Self {
            target,
            role,
            state: State::Queued,
            deadline: None,
            attempts: Attempts::new(jitter),
            recorded: Vec::new(),
            held: None,
            rekeys: None,
            proxy_lost: None,
            awaited: false,
            stopwatch: Stopwatch::new(Stage::Queued, now),
        }
    }

    /// Assigns a command to the session. Nothing happens before [`Input::Start`].
    pub(crate) fn assign(&mut self, id: CommandId) {
        if let Some(commands) = self.role.commands() {
            commands.assign(id);
        }
    }

    /// Goes as far as the link, the clock and the input allow.
    pub(crate) fn step(&mut self, input: Input, cx: &mut Cx<'_>) {
        let (kind, ending) = match self.react(input, cx) {
            Ok(()) => return,
            Err(Failure::NoDescriptor) => return self.wait_again(cx),
            Err(Failure::OtherKey) => return self.reconnect(cx),
            Err(Failure::Host(kind)) => {
                let ending = Ending::of(&kind);
                (kind, ending)
            }
            Err(Failure::Link(error)) => self.explain(error),
        };
        self.fail(kind, ending, cx);
    }

    fn react(&mut self, input: Input, cx: &mut Cx<'_>) -> Result<(), Failure> {
        match input {
            Input::Wake => {
                self.expire(cx)?;
                self.verify(cx)?;
                self.drive(cx)
            }
            Input::Admitted { commands } => self.admit(commands, cx),
            Input::Start(_) | Input::Tunnel(_) | Input::Connect => {
                self.need(input, cx);
                Ok(())
            }
            Input::Cancel(id) => self.stop(id, None, cx),
            Input::Withdraw(id, why) => self.stop(id, Some(why), cx),
            Input::Hold => {
                if let Some(commands) = self.role.commands() {
                    commands.hold();
                }
                Ok(())
            }
            Input::Close => {
                self.awaited = false;
                self.close(cx);
                Ok(())
            }
            Input::GiveUp(kind) => self.give_up(kind),
            Input::Remove => {
                if let Role::Host(commands) = &mut self.role {
                    let peer = Peer::of(&self.target, &self.attempts);
                    commands.cancel_assigned(peer, cx);
                }
                // Read what has arrived: the fleet may not have run for a while. Done last,
                // because it may leave the link failed.
                self.take_in(cx);
                self.give_up(HostErrorKind::Cancelled)
            }
            Input::Resolved(found) => self.resolved(found, cx),
            Input::Identities(identities) => {
                if let State::Authenticating(login) = &mut self.state {
                    login.listed(&self.target.profile, &identities);
                }
                self.drive(cx)
            }
            Input::Signed(signature) => {
                if let State::Authenticating(login) = &mut self.state {
                    login.signed(signature);
                }
                self.drive(cx)
            }
            Input::Recorded(recorded) => {
                if let State::Verifying(verification) = &mut self.state {
                    verification.answer(recorded);
                }
                self.verify(cx)?;
                self.drive(cx)
            }
            Input::Tunnelled(progress) => self.tunnelled(progress, cx),
        }
    }

    /// Registers a need for the connection: a command, a host behind the proxy, or a caller. Grants
    /// a full set of attempts if nothing needed the connection before.
    fn need(&mut self, input: Input, cx: &mut Cx<'_>) {
        if matches!((&input, &self.state), (Input::Connect, State::Ready(_))) {
            return;
        }
        if !self.is_needed() {
            self.attempts.reset();
        }
        match (input, &mut self.role) {
            (Input::Start(id), Role::Host(commands)) => commands.start(id),
            (Input::Tunnel(request), Role::Proxy(tunnels)) => tunnels.push(request),
            (Input::Connect, _) => self.awaited = true,
            (input, role) => debug_assert!(false, "{input:?} to {role:?}"),
        }
        self.revive(cx);
    }

    /// Stops a command. Also stops connecting if nothing else needs the connection.
    fn stop(&mut self, id: CommandId, why: Option<NotStarted>, cx: &mut Cx<'_>) -> Result<(), Failure> {
        if let Role::Host(commands) = &mut self.role
            && commands.stop(id, why, Peer::of(&self.target, &self.attempts), cx)
            && !matches!(self.state, State::Ready(_))
        {
            self.close(cx);
        }
        self.drive(cx)
    }

    fn give_up(&mut self, kind: HostErrorKind) -> Result<(), Failure> {
        match self.state {
            State::Closed | State::Failed(_) => Ok(()),
            _ => Err(kind.into()),
        }
    }

    /// Handles time limits that have been reached.
    fn expire(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        if let Some(after) = Deadline::expired(self.deadline, cx.now) {
            let kind = match &self.state {
                State::Resolving | State::Connecting(_) | State::Tunnelling => TimeoutKind::Connect,
                State::Handshaking | State::Verifying(_) => TimeoutKind::Handshake,
                State::Authenticating(login) => login.timeout_kind(&self.target.profile),
                State::BackingOff(_) => {
                    self.enter(State::Queued, cx);
                    return Ok(());
                }
                State::Queued | State::Ready(_) | State::Closed | State::Failed(_) => return Ok(()),
            };
            return Err(HostErrorKind::Timeout { kind, after }.into());
        }
        if let Role::Host(commands) = &mut self.role {
            commands.expire(Peer::of(&self.target, &self.attempts), cx);
        }
        Ok(())
    }

    /// Ends the connection and the commands on it. Commands that cannot have started on the host
    /// are tried again if an attempt is left.
    fn fail(&mut self, kind: HostErrorKind, ending: Ending, cx: &mut Cx<'_>) {
        let kind = match &mut self.state {
            State::Authenticating(login) => login.explain(kind, &self.target.profile),
            _ => kind,
        };
        let peer = Peer::of(&self.target, &self.attempts);
        let error = peer.error(self.state.stage(), peer.elapsed(cx.now), kind);
        match &mut self.role {
            Role::Host(commands) => {
                // A connection that has run a command is not a failed attempt.
                if commands.has_settled(cx.execs) {
                    self.attempts.reset();
                }
                commands.cut(&error, cx);
            }
            Role::Proxy(tunnels) => tunnels.cut(&error, cx.out),
        }
        cx.link.hang_up();
        self.proxy_lost = None;
        let was_ready = matches!(self.state, State::Ready(_));
        let next = if was_ready && !self.is_needed() {
            State::Closed
        } else if let Some(retry) = self.attempts.retry(ending, error.kind(), &self.target.profile.connection)
        {
            retry
        } else {
            match &mut self.role {
                Role::Host(commands) => commands.fail(&error, cx),
                Role::Proxy(tunnels) => tunnels.fail(&error, cx.out),
            }
            State::Failed(error.clone())
        };
        match &next {
            State::BackingOff(pause) => log::debug!("{error}; next attempt in {pause:?}"),
            State::Queued => log::debug!("{error}; next attempt at once"),
            State::Failed(_) => log::debug!("{error}; given up"),
            _ => log::debug!("{error}"),
        }
        let retrying = matches!(next, State::Queued | State::BackingOff(_));
        cx.out.push(Effect::Disconnected { error: Some(error), retrying });
        self.enter(next, cx);
    }

    /// The only way to change the state. Checks the edge, starts the stage's time limit, and
    /// reports the stage.
    fn enter(&mut self, next: State, cx: &mut Cx<'_>) {
        let (from, to) = (self.state.phase(), next.phase());
        log::trace!("{}: {from:?} -> {to:?}", self.target.host);
        debug_assert!(state::is_legal(from, to), "{from:?} -> {to:?}");
        #[cfg(test)]
        tests::record(from, to);
        let timeouts = &self.target.profile.timeouts;
        self.deadline = match &next {
            State::Resolving => Deadline::new(cx.now, timeouts.connect),
            State::Connecting(_) | State::Verifying(_) => self.deadline,
            State::Handshaking => Deadline::new(cx.now, timeouts.handshake),
            State::Authenticating(_) => Deadline::new(cx.now, timeouts.auth),
            State::BackingOff(pause) => Deadline::new(cx.now, *pause),
            // While the proxy itself connects, its own limits apply. The host's limit starts when
            // the proxy requests the channel.
            State::Queued | State::Tunnelling | State::Ready(_) | State::Closed | State::Failed(_) => None,
        };
        self.awaited &= !matches!(to, Phase::Ready | Phase::Closed | Phase::Failed);
        if matches!(from, Phase::Closed | Phase::Failed) {
            self.stopwatch = Stopwatch::new(Stage::Queued, cx.now);
        }
        self.held = None;
        self.rekeys = None;
        self.state = next;
        match to {
            Phase::Queued | Phase::BackingOff => self.stopwatch.enter(Stage::Queued, cx.now),
            Phase::Closed | Phase::Failed => self.stopwatch.stop(cx.now),
            Phase::Ready => {
                self.stopwatch.stop(cx.now);
                cx.out.push(Effect::Connected(self.stopwatch.timings()));
            }
            // Part of the handshake.
            Phase::Verifying => {}
            Phase::Resolving
            | Phase::Connecting
            | Phase::Tunnelling
            | Phase::Handshaking
            | Phase::Authenticating => {
                self.stopwatch.enter(self.state.stage(), cx.now);
                cx.out.push(Effect::Entered(self.state.stage()));
            }
        }
    }
}
