//! One host's connection and its commands, as an explicit state machine.
//!
//! The caller passes an [`Input`] to [`Session::step`], and the step appends its [`Effect`]s to
//! [`Cx::out`].
//! - A step never blocks and never reads the clock: the time is [`Cx::now`]. It knows neither
//!   sockets nor libssh, only the trait [`Link`].
//! - A step that finds nothing new changes nothing and has no effects.
//! - A step makes as much progress as it can. [`Effect::Again`] means that the step has used up its
//!   budget for this turn, and that more work is left.
//! - Between two steps, [`Session::view`] names everything that the session waits for, apart from
//!   the readiness of the link.
//! - Every command assigned to a session ends in exactly one [`Outcome`](crate::output::Outcome),
//!   whatever the peer does.
//! - A step returns no errors. A failure becomes the state of the connection and the outcome of its
//!   commands.
//!
//! [`Link`]: crate::link::Link

mod addresses;
mod attempts;
mod auth;
mod batch;
mod commands;
mod connect;
mod deadline;
mod disconnect;
mod drive;
mod exec;
mod failure;
mod input;
mod keepalive;
mod key_scan;
mod late;
mod rekeys;
mod retry;
mod spare;
mod state;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod trial;
mod tunnels;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use attempts::Jitter;
pub(crate) use exec::{Exec, Execs, Traffic};
pub(crate) use input::{CommandNews, Cx, Effect, Input, InputBudget, TouchRequest};
pub(crate) use keepalive::Keepalive;
pub use key_scan::ScannedHost;
pub(crate) use target::{
    AgentOffer, Answerer, AuthPlan, Connection, Offer, PreferredKey, Profile, ProxyId, Target, Timeouts,
    UnusableKey,
};
pub(crate) use trial::{Permission, TrialEnd, TrialOf};
pub(crate) use tunnels::{TunnelId, TunnelProgress, TunnelRequest};
pub(crate) use view::{Awaited, TouchNeed, View, Wish};

use crate::error::{CancelCause, HostError, HostErrorKind};
use crate::ids::CommandId;
use crate::output::Bound;
use crate::proxy_command::limits::STATUS_WAIT;
use crate::stage::{Stage, Stopwatch, TimeoutKind};

use self::attempts::Attempts;
use self::commands::Commands;
use self::deadline::Deadline;
pub use self::exec::CommandState;
use self::failure::{Failure, Peer};
use self::key_scan::Scan;
use self::rekeys::Rekeys;
use self::retry::Cause;
pub use self::retry::{Retry, RetryPolicy};
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
    /// The host key algorithms to offer first, which are those of the host's keys on record.
    recorded: Box<[&'static str]>,
    /// Why reading from the connection is suspended (back-pressure); `None` if it is not.
    held: Option<Bound>,
    /// The answers that are awaited together, if any are.
    batch: Option<Box<batch::Batch>>,
    /// Counts the key exchanges after the first one. `None` until there is a second one.
    rekeys: Option<Box<Rekeys>>,
    /// The error of the proxy, if the proxy has failed and the connection through it has not ended
    /// yet.
    proxy_lost: Option<HostError>,
    /// The profile for later attempts to connect, if it has been replaced during an attempt.
    renewed: Option<Arc<Profile>>,
    /// The keys that the host has shown so far, while they are being fetched.
    scan: Option<Box<Scan>>,
    /// Whether a caller has asked for the connection itself, and the connection is neither
    /// established nor given up yet.
    awaited: bool,
    stopwatch: Stopwatch,
    /// What the server said before its latest login ended.
    banner: Option<Arc<str>>,
}

/// What a connection is used for.
#[derive(Debug)]
enum Role {
    /// The connection runs commands.
    Host(Commands),
    /// The connection carries tunnels to other hosts.
    Proxy(Box<Tunnels>),
}

impl Role {
    /// Whether a command, or a host behind the proxy, needs the connection.
    fn is_needed(&self) -> bool {
        match self {
            Self::Host(commands) => !commands.is_empty(),
            Self::Proxy(tunnels) => !tunnels.is_empty(),
        }
    }

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
            recorded: Box::default(),
            held: None,
            batch: None,
            rekeys: None,
            proxy_lost: None,
            renewed: None,
            scan: None,
            awaited: false,
            stopwatch: Stopwatch::new(Stage::Queued, now),
            banner: None,
        }
    }

    /// Assigns a command to the session. Nothing happens before [`Input::Start`].
    pub(crate) fn assign(&mut self, id: CommandId) {
        if let Some(commands) = self.role.commands() {
            commands.assign(id);
        }
    }

    /// Reacts to the input, and makes as much progress as the link and the time allow.
    pub(crate) fn step(&mut self, input: Input, cx: &mut Cx<'_>) {
        let (kind, cause) = match self.react(input, cx) {
            Ok(()) => return,
            Err(Failure::NoDescriptor) => return self.wait_again(cx),
            Err(Failure::OtherKey) => return self.reconnect(cx),
            Err(Failure::Overtaken) => return self.wait_for_turn(cx),
            Err(Failure::Link(error)) if self.goes_on(&error, cx) => return,
            Err(Failure::Host(kind)) => {
                let cause = Cause::of(&kind);
                (kind, cause)
            }
            Err(Failure::Link(error)) if self.is_end_of_command(&error, cx) => {
                let Some(kind) = self.reap(cx) else { return };
                let cause = Cause::of(&kind);
                (kind, cause)
            }
            Err(Failure::Link(error)) => self.explain(error, cx),
        };
        self.fail(kind, cause, cx);
    }

    fn react(&mut self, input: Input, cx: &mut Cx<'_>) -> Result<(), Failure> {
        match input {
            Input::Wake => {
                self.check_reaped(cx)?;
                late::catch_up(self, cx)?;
                self.expire(cx)?;
                self.verify(cx)?;
                self.drive(cx)
            }
            Input::Admitted { commands } => self.admit(commands, cx),
            Input::Start(_) | Input::Help(_) | Input::Tunnel(_) | Input::Connect => {
                self.need(input, cx);
                Ok(())
            }
            Input::Cancel(id, why) => self.stop(id, HostErrorKind::Cancelled(why), cx),
            Input::Withdraw(id, why) => self.stop(id, HostErrorKind::NotStarted(why), cx),
            Input::Hold => {
                if let Some(commands) = self.role.commands() {
                    commands.hold();
                }
                Ok(())
            }
            Input::Scan => self.begin_scan(cx),
            Input::Close => {
                self.awaited = false;
                self.cancel_scan(cx);
                self.close(cx);
                Ok(())
            }
            Input::GiveUp(kind) => self.give_up(kind),
            Input::Renew(profile) => {
                self.renewed = Some(profile);
                self.renew();
                Ok(())
            }
            Input::Remove => self.remove(cx),
            Input::Resolved(found) => self.resolved(found, cx),
            Input::Identities(identities) => self.listed(&identities, cx),
            Input::Signed(signature) => self.signed(signature, cx),
            Input::Overtaken => self.overtaken(),
            Input::Trial(of, permission) => self.tried(of, permission, cx),
            Input::Disk(answer) => {
                if let State::Verifying(verification) = &mut self.state {
                    verification.answer(answer);
                }
                self.verify(cx)?;
                self.drive(cx)
            }
            Input::File(id, answer) => {
                cx.execs.file_answer(id, answer, cx.now, cx.out);
                self.drive(cx)
            }
            Input::Helped(id, result) => {
                cx.execs.helped(id, *result, cx.now, cx.out);
                self.drive(cx)
            }
            Input::CommandNotStarted(error) => self.command_not_started(error),
            Input::Tunnelled(progress) => self.tunnelled(progress, cx),
        }
    }

    /// Ends everything, because the host is removed from its fleet.
    fn remove(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        if let Role::Host(commands) = &mut self.role {
            let peer = Peer::of(&self.target, &self.attempts);
            commands.cancel_assigned(peer, cx);
        }
        // Read what has arrived, because the fleet may not have run for a while. This comes after
        // the assigned commands are cancelled, because reading may leave the link in a failed
        // state.
        self.take_in(cx);
        self.give_up(HostErrorKind::Cancelled(CancelCause::HostRemoved))
    }

    /// Registers that a command, a host behind the proxy, or a caller needs the connection. Grants
    /// a full set of attempts if nothing needed the connection until now.
    fn need(&mut self, input: Input, cx: &mut Cx<'_>) {
        if matches!((&input, &self.state), (Input::Connect, State::Ready(_))) {
            return;
        }
        let was_needed = self.is_needed();
        match (input, &mut self.role) {
            (Input::Start(id), Role::Host(commands)) => {
                if !commands.start(id, cx) {
                    return;
                }
            }
            (Input::Help(id), Role::Host(commands)) => commands.help(id, cx),
            (Input::Tunnel(request), Role::Proxy(tunnels)) => tunnels.push(request),
            (Input::Connect, _) => self.awaited = true,
            (Input::Scan, _) => _ = self.scan.get_or_insert_with(|| Box::new(Scan::new(&self.target))),
            (input, role) => debug_assert!(false, "{input:?} to {role:?}"),
        }
        if !was_needed {
            self.attempts.reset();
        }
        if matches!(self.state, State::Closed | State::Failed(_)) {
            self.enter(State::Queued, cx);
        }
    }

    /// Stops a command. If the session is not connected yet and nothing else needs the connection,
    /// also stops connecting.
    fn stop(&mut self, id: CommandId, why: HostErrorKind, cx: &mut Cx<'_>) -> Result<(), Failure> {
        if let Role::Host(commands) = &mut self.role
            && commands.stop(id, why, Peer::of(&self.target, &self.attempts), cx)
            && !matches!(self.state, State::Ready(_))
        {
            self.close(cx);
        }
        self.drive(cx)
    }

    /// Handles time limits that have been reached.
    fn expire(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        if let Some(after) = Deadline::expired(self.deadline, cx.now) {
            if self.waits_for_other_touch(cx) {
                return Ok(());
            }
            let kind = match &self.state {
                State::Authenticating(login) if login.awaits_trial() => TimeoutKind::Trial,
                State::Reaping(_) => return Err(self.ended_command(None).into()),
                _ if self.deadline == self.attempts.until() => TimeoutKind::Attempts,
                State::Resolving | State::Connecting(_) | State::Tunnelling | State::Launching => {
                    TimeoutKind::Connect
                }
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

    /// The deadline of a stage that begins now.
    fn limit(&self, now: Instant, stage: Option<Duration>) -> Option<Deadline> {
        Deadline::earlier(Deadline::new(now, stage), self.attempts.until())
    }

    /// Changes the state; nothing else may set it. Checks that the transition is legal, starts the
    /// time limit of the stage, and reports the stage.
    fn enter(&mut self, next: State, cx: &mut Cx<'_>) {
        let (from, to) = (self.state.phase(), next.phase());
        log::trace!("{}: {from:?} -> {to:?}", self.target.host);
        debug_assert!(state::is_legal(from, to), "{from:?} -> {to:?}");
        #[cfg(test)]
        tests::record(from, to);
        let timeouts = &self.target.profile.timeouts;
        if to == Phase::Queued {
            self.attempts.stop_total(cx.now);
        }
        self.deadline = match &next {
            State::Resolving | State::Launching => self.limit(cx.now, timeouts.connect),
            State::Reaping(_) => Deadline::new(cx.now, STATUS_WAIT),
            State::Connecting(_) | State::Verifying(_) => self.deadline,
            State::Handshaking => self.limit(cx.now, timeouts.handshake),
            State::Authenticating(_) => self.limit(cx.now, timeouts.auth),
            State::BackingOff(pause) => Deadline::new(cx.now, *pause),
            // While a proxy connects, the limits of the proxy apply, and the host behind it has
            // none of its own. They start when the proxy first requests the channel.
            State::Tunnelling => self.attempts.until(),
            State::Queued | State::Ready(_) | State::Closed | State::Failed(_) => None,
        };
        self.awaited &= !matches!(to, Phase::Ready | Phase::Closed | Phase::Failed);
        if matches!(from, Phase::Closed | Phase::Failed) {
            self.stopwatch = Stopwatch::new(Stage::Queued, cx.now);
        }
        if let State::Authenticating(login) = &mut self.state {
            login.end_trial(TrialEnd::Unanswered, cx.out);
        }
        (self.held, self.batch, self.rekeys) = (None, None, None);
        self.state = next;
        self.renew();
        match to {
            Phase::Queued | Phase::BackingOff => self.stopwatch.enter(Stage::Queued, cx.now),
            Phase::Closed | Phase::Failed => self.stopwatch.stop(cx.now),
            Phase::Ready => {
                self.stopwatch.stop(cx.now);
                self.banner = cx.link.banner();
                cx.out.extend(self.banner.clone().map(Effect::Banner));
                cx.out.push(Effect::Connected(self.stopwatch.timings, cx.link.algorithms()));
            }
            // Verification is part of the handshake, so the stage stays the same.
            Phase::Verifying | Phase::Reaping => {}
            Phase::Resolving
            | Phase::Connecting
            | Phase::Tunnelling
            | Phase::Launching
            | Phase::Handshaking
            | Phase::Authenticating => {
                self.stopwatch.enter(self.state.stage(), cx.now);
                cx.out.push(Effect::Entered(self.state.stage()));
            }
        }
    }
}
