//! One host's connection and the commands on it, as an explicit state machine.
//!
//! The contract of [`Session::step`]:
//! - It never blocks, never reads the clock (`now` is an argument), and knows neither sockets nor libssh, only a [`Link`].
//! - It is called with an input, or because the link may have news; a call without news changes nothing.
//! - It goes as far as it can; `Step::again` says that its share of this turn was used up, not the work.
//! - Between two calls, all that waits is named by [`Session::deadline`] and by the link's readiness.
//! - Every command that was attached ends in exactly one [`Outcome`], whatever the peer does.
//! - No error leaves it: a failure becomes the state of the connection and the outcome of its commands.

mod auth;
mod backoff;
mod commands;
mod connect;
mod control;
mod drive;
mod exec;
mod failure;
mod input;
mod place;
mod proxy;
mod pulse;
mod rekeys;
mod state;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod trail;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use backoff::{Jitter, RetryDelay};
pub(crate) use exec::{Exec, Execs, News, Traffic};
pub(crate) use input::{Ask, Cx, Input, Step};
pub(crate) use place::Wish;
pub(crate) use proxy::{TunnelId, TunnelRequest, Tunnelled};
pub(crate) use pulse::Keepalive;
pub(crate) use target::{Answerer, AuthPlan, Connection, Offer, Profile, ProxyId, Target, Timeouts};
pub(crate) use trail::{Costs, Milestone};

use crate::error::{HostError, HostErrorKind, HostErrorParts};
use crate::ids::CommandId;
use crate::output::Bound;
use crate::stage::Stopwatch;
use crate::stage::{Stage, TimeoutKind};

use self::commands::Commands;
use self::connect::Addresses;
use self::failure::{Ending, Failure};
use self::proxy::Tunnels;
use self::pulse::Pulse;
use self::rekeys::Rekeys;
pub use self::state::HostState;
use self::state::{Phase, State};

/// One host's connection.
#[derive(Debug)]
pub(crate) struct Session {
    target: Arc<Target>,
    state: State,
    /// When the present stage has taken too long.
    deadline: Option<Instant>,
    /// The connection attempt under way, from 1.
    attempt: u32,
    attempt_begun: Option<Instant>,
    /// Connections that the server has dropped, and that did not count as attempts.
    drops: u32,
    jitter: Jitter,
    commands: Commands,
    /// Host key algorithms that were offered first, of keys on record.
    recorded: Vec<&'static str>,
    /// A channel was closed since one was refused ([`ExecCx::room_expected`]).
    room_expected: bool,
    /// What keeps it from being read from.
    held: Option<Bound>,
    /// The key exchanges that have followed the first, once there was one.
    rekeys: Option<Box<Rekeys>>,
    /// Of a proxy: what other hosts want of it.
    tunnels: Option<Box<Tunnels>>,
    /// Why the connection through the proxy is about to end.
    proxy_lost: Option<HostError>,
    /// Whether somebody waits for the connection itself.
    awaited: bool,
    /// What was not told yet, in order.
    trail: VecDeque<Milestone>,
    costs: Costs,
    stopwatch: Stopwatch,
}

impl Session {
    pub(crate) fn new(target: Target, jitter: Jitter, now: Instant) -> Self {
        Self::with(Arc::new(target), jitter, now, None)
    }

    /// The connection of a proxy: it runs no commands, and connects other hosts.
    pub(crate) fn proxy(target: Arc<Target>, jitter: Jitter, now: Instant) -> Self {
        Self::with(target, jitter, now, Some(Box::default()))
    }

    fn with(target: Arc<Target>, jitter: Jitter, now: Instant, tunnels: Option<Box<Tunnels>>) -> Self {
        Self {
            target,
            tunnels,
            proxy_lost: None,
            state: State::Queued,
            deadline: None,
            attempt: 0,
            attempt_begun: None,
            drops: 0,
            jitter,
            commands: Commands::default(),
            recorded: Vec::new(),
            room_expected: false,
            held: None,
            rekeys: None,
            awaited: false,
            trail: VecDeque::new(),
            costs: Costs::default(),
            stopwatch: Stopwatch::new(Stage::Queued, now),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The connection attempt under way, from 1; 0 before the first.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether it waits for [`Ask::Lookup`] to be answered.
    pub(crate) fn is_resolving(&self) -> bool {
        matches!(self.state, State::Resolving)
    }

    /// Gives the session a command. It begins once the session is admitted, with a full set of attempts.
    pub(crate) fn attach(&mut self, id: CommandId, now: Instant) {
        if !self.is_wanted() {
            self.begin_anew();
        }
        self.commands.push(id);
        self.wake(now);
    }

    /// When it must be stepped at the latest.
    pub(crate) fn deadline(&self, execs: &Execs) -> Option<Instant> {
        let own = match &self.state {
            State::Connecting(addresses) => addresses.next_at(),
            State::Ready(pulse) => pulse.as_ref().and_then(Pulse::due),
            _ => None,
        };
        let commands = self.commands.timed().filter_map(|id| execs.get(id)?.deadline());
        commands.chain(self.deadline).chain(own).min()
    }

    /// Goes as far as the link, the clock and the input allow.
    pub(crate) fn step(&mut self, input: Input, cx: &mut Cx<'_>) -> Step {
        match self.react(input, cx) {
            Ok(step) => Step { ask: step.ask.or_else(|| self.take_ask()), ..step },
            Err(Failure::NoDescriptor) => {
                self.wait_again(cx);
                Step { no_descriptor: true, ..Step::default() }
            }
            Err(Failure::OtherKey) => {
                cx.link.hang_up();
                self.attempt = self.attempt.saturating_sub(1);
                self.trail.push_back(Milestone::Disconnected { error: None, retrying: true });
                self.enter(State::Queued, cx.now);
                Step::default()
            }
            Err(Failure::Host(kind)) => {
                let ending = Ending::of(&kind);
                self.fail(kind, ending, cx);
                Step::default()
            }
            Err(Failure::Link(error)) => {
                let (kind, ending) = self.explain(error);
                self.fail(kind, ending, cx);
                Step::default()
            }
        }
    }

    fn take_ask(&mut self) -> Option<Ask> {
        match &mut self.state {
            State::Verifying(verification) => verification.take_request().map(Ask::Record),
            State::Authenticating(login) => login.take_ask(),
            _ => None,
        }
    }

    /// Whether its host's key is being recorded.
    pub(crate) fn awaits_record(&self) -> bool {
        matches!(&self.state, State::Verifying(verification) if verification.awaits_record())
    }

    /// Whether an agent owes it an answer.
    pub(crate) fn awaits_agent(&self) -> bool {
        matches!(&self.state, State::Authenticating(login) if login.awaits_agent())
    }

    fn react(&mut self, input: Input, cx: &mut Cx<'_>) -> Result<Step, Failure> {
        match input {
            Input::Admitted { commands } => self.admit(commands, cx),
            Input::Resolved(result) => {
                if matches!(self.state, State::Resolving) {
                    let list = self.target.profile.select(result)?;
                    self.dial(list, cx)?;
                }
                Ok(Step::default())
            }
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
            Input::Tunnelled(tunnelled) => self.tunnelled(tunnelled, cx),
            Input::Readiness => {
                self.verify(cx)?;
                self.drive(cx)
            }
            Input::Timer => {
                self.expire(cx)?;
                self.verify(cx)?;
                self.drive(cx)
            }
            Input::GiveUp(_) if matches!(self.state, State::Closed | State::Failed(_)) => Ok(Step::default()),
            Input::GiveUp(kind) => Err(kind.into()),
            Input::Cancel(id) => {
                self.cancel(id, cx, Execs::cancel);
                self.drive(cx)
            }
            Input::Withdraw(id, why) => {
                self.cancel(id, cx, |execs, id, cx| execs.withdraw(id, cx, why));
                self.drive(cx)
            }
            Input::Hold => {
                self.commands.hold();
                Ok(Step::default())
            }
            Input::Close => {
                self.awaited = false;
                self.close(cx);
                Ok(Step::default())
            }
        }
    }

    fn dial(&mut self, list: Vec<SocketAddr>, cx: &mut Cx<'_>) -> Result<(), Failure> {
        let attempt_delay = self.target.profile.connection.attempt_delay;
        self.enter(State::Connecting(Addresses::new(list, attempt_delay)), cx.now);
        match &mut self.state {
            State::Connecting(addresses) => addresses.dial(cx.now, self.deadline, cx.link, None),
            _ => Ok(()),
        }
    }

    fn expire(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        if self.deadline.is_some_and(|at| at <= cx.now) {
            let timeouts = &self.target.profile.timeouts;
            let (kind, after) = match &self.state {
                State::Resolving | State::Connecting(_) | State::Tunnelling(_) => {
                    (TimeoutKind::Connect, timeouts.connect)
                }
                State::Handshaking | State::Verifying(_) => (TimeoutKind::Handshake, timeouts.handshake),
                State::Authenticating(login) => (login.timeout_kind(&self.target.profile), timeouts.auth),
                State::BackingOff(_) => {
                    self.enter(State::Queued, cx.now);
                    return Ok(());
                }
                State::Queued | State::Ready(_) | State::Closed | State::Failed(_) => return Ok(()),
            };
            return Err(HostErrorKind::Timeout { kind, after: after.unwrap_or_default() }.into());
        }
        self.expire_commands(cx);
        Ok(())
    }

    /// Ends the connection and what ran on it; what cannot have started is tried again if an attempt is left.
    fn fail(&mut self, kind: HostErrorKind, ending: Ending, cx: &mut Cx<'_>) {
        let kind = match &mut self.state {
            State::Authenticating(login) => login.explain(kind, &self.target.profile),
            _ => kind,
        };
        let error = self.host_error(kind, cx.now);
        // A connection that carried a command was no failed attempt: who waited to use it begins anew.
        if self.commands.begun().iter().any(|id| cx.execs.get(*id).is_some_and(Exec::is_settled)) {
            self.begin_anew();
        }
        for id in self.commands.timed() {
            cx.execs.cut(id, cx.now, cx.link, &error);
        }
        cx.link.hang_up();
        self.proxy_lost = None;
        self.cut_tunnels(&error);
        self.commands.wait_again(cx.execs);
        let was_ready = matches!(self.state, State::Ready(_));
        let next = if was_ready && !self.is_wanted() {
            State::Closed
        } else if let Some(retry) = self.retry(ending, error.kind()) {
            retry
        } else {
            for id in self.commands.take() {
                cx.execs.fail(id, cx.now, &error);
            }
            self.refuse_tunnels(&error);
            State::Failed(error.clone())
        };
        match &next {
            State::BackingOff(pause) => log::debug!("{error}; the next attempt is {pause:?} away"),
            State::Queued => log::debug!("{error}; the next attempt is due"),
            State::Failed(_) => log::debug!("{error}; given up"),
            _ => log::debug!("{error}"),
        }
        let retrying = matches!(next, State::Queued | State::BackingOff(_));
        self.trail.push_back(Milestone::Disconnected { error: Some(error), retrying });
        self.enter(next, cx.now);
    }

    fn host_error(&self, kind: HostErrorKind, now: Instant) -> HostError {
        let elapsed =
            self.attempt_begun.map_or_else(Default::default, |begun| now.saturating_duration_since(begun));
        HostError::new(HostErrorParts {
            host: self.target.host.clone(),
            port: self.target.port,
            stage: self.state.stage(),
            attempt: self.attempt,
            attempts: self.target.profile.connection.attempts,
            elapsed,
            kind: Arc::new(kind),
        })
    }

    /// The only way into a state: checks the edge, sets the stage's deadline and leaves a trace.
    fn enter(&mut self, next: State, now: Instant) {
        let (from, to) = (self.state.phase(), next.phase());
        log::trace!("{}: {from:?} -> {to:?}", self.target.host);
        debug_assert!(state::is_legal(from, to), "{from:?} -> {to:?}");
        #[cfg(test)]
        tests::record(from, to);
        let timeouts = &self.target.profile.timeouts;
        self.deadline = match &next {
            State::Resolving => deadline(now, timeouts.connect),
            State::Connecting(_) | State::Verifying(_) => self.deadline,
            State::Handshaking => deadline(now, timeouts.handshake),
            State::Authenticating(_) => deadline(now, timeouts.auth),
            State::BackingOff(pause) => deadline(now, Some(*pause)),
            // A host's own time begins when its proxy has begun to connect it: the proxy's stages have limits of their own.
            State::Queued | State::Tunnelling(_) | State::Ready(_) | State::Closed | State::Failed(_) => None,
        };
        self.awaited &= !matches!(to, Phase::Ready | Phase::Closed | Phase::Failed);
        if matches!(from, Phase::Closed | Phase::Failed) {
            self.stopwatch = Stopwatch::new(Stage::Queued, now);
        }
        self.held = None;
        self.rekeys = None;
        self.state = next;
        self.leave_trail(to, now);
    }
}

fn deadline(now: Instant, after: Option<Duration>) -> Option<Instant> {
    now.checked_add(after?)
}
