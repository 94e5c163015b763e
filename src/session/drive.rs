//! Drives a session: pumps the link (reads from and writes to its socket), then steps the state for
//! as long as the state advances.

use std::time::Instant;

use super::deadline::Deadline;
use super::exec::{Exec, Execs};
use super::failure::{Failure, Peer};
use super::keepalive::KeepaliveTimer;
use super::rekeys::Rekeys;
use super::state::State;
use super::{Cx, Effect, Role, Session, Target, Timeouts, batch};
use crate::error::HostErrorKind;
use crate::limits;
use crate::link::{Cork, LinkError, Pumped};
use crate::output::Room;

impl Role {
    /// Restarts the default limits of commands that are starting, or suspends them: while nothing
    /// is read, the server's answer cannot arrive.
    fn restart_limits(&self, timeouts: &Timeouts, listening_since: Option<Instant>, cx: &mut Cx<'_>) {
        if let Self::Host(commands) = self
            && !timeouts.exec_is_set
        {
            let deadline = listening_since.and_then(|now| Deadline::new(now, timeouts.exec));
            commands.limit_starts(deadline, cx.execs);
        }
    }
}

impl Session {
    /// Pumps the link and steps the state until neither makes progress, or until the budget of the
    /// visit is used up.
    ///
    /// Readiness is edge-triggered: there is a new event only if the last pump read all that had
    /// arrived, and either wrote all that was to be written or filled the socket's buffer.
    /// Otherwise the session asks to be stepped again ([`Effect::Again`]).
    pub(super) fn drive(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        // Without a dialled socket, the link has nothing to report. A link that has failed must not
        // be used.
        let is_idle = matches!(self.state, State::Resolving | State::Tunnelling | State::Reaping(_));
        if !self.holds_descriptor() || is_idle {
            return Ok(());
        }
        if self.rests(cx) {
            return Ok(());
        }
        batch::end_in_time(self, cx);
        let Some(cork) = self.cork(cx.execs) else { return self.pump_and_step(cx) };
        cx.link.cork(cork);
        let driven = self.pump_and_step(cx);
        cx.link.uncork();
        driven?;
        batch::update(self, cx);
        Ok(())
    }

    /// When to cork the link in this visit.
    fn cork(&self, execs: &Execs) -> Option<Cork> {
        let Role::Host(commands) = &self.role else { return None };
        let begun = || commands.begun().iter().filter_map(|id| execs.get(*id));
        // When a command ends, up to three messages are sent: a window adjustment, EOF and CLOSE.
        // Corking joins them into one segment.
        if begun().any(Exec::may_end) {
            return Some(Cork::Now);
        }
        // A transfer may get an answer in this visit and send nothing, or send many packets. If no
        // command has started, one message is sent per visit, so corking would gain nothing.
        begun().any(Exec::is_started).then_some(Cork::WithData)
    }

    fn pump_and_step(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        loop {
            let pumped = match self.reads_now(cx) {
                Some(reads) => self.pump(reads, cx)?,
                // There is no room, so leave the data in the socket. When a reader frees room, the
                // next visit is scheduled.
                None => Pumped::Drained,
            };
            self.check_rekeys(cx)?;
            let full = !cx.link.flushed();
            let was_connecting = matches!(self.state, State::Connecting(_));
            let mut progressed = false;
            while self.advance(cx)? {
                progressed = true;
            }
            if self.rests(cx) || !self.holds_descriptor() {
                return Ok(());
            }
            if self.scan.is_some() && matches!(self.state, State::Ready(_)) && !self.role.is_needed() {
                // Keys come from handshakes. The connection is closed once it is uncorked.
                return Err(Failure::OtherKey);
            }
            if let Role::Host(commands) = &mut self.role
                && (pumped == Pumped::More || self.held.is_some())
            {
                // Answers of the server wait behind output that was not read.
                commands.give_place_back(cx.execs);
            }
            // A step may make room: a transfer is allowed what it has read.
            let may_go_on = self.may_go_on(cx.execs);
            if pumped == Pumped::More || cx.input_budget.is_used_up() || may_go_on {
                cx.out.push(Effect::Again);
                return Ok(());
            }
            // Pump again in two cases: SSH has just begun, so the link was never pumped before; or
            // libssh still holds packets that may now fit into the socket.
            let began = was_connecting && !matches!(self.state, State::Connecting(_));
            if !began && (cx.link.flushed() || full && !progressed) {
                return Ok(());
            }
        }
    }

    /// Reads and sends. A command that runs gets its output in the fleet's buffer.
    fn pump(&self, reads: usize, cx: &mut Cx<'_>) -> Result<Pumped, LinkError> {
        if let Role::Host(commands) = &self.role {
            cx.execs.lend_buffer(commands.begun(), cx.link);
        }
        cx.link.pump(reads)
    }

    /// Whether host key verification is under way. Until it ends, the connection is neither read
    /// nor written. Data that has arrived by then is read afterwards, without a new readiness
    /// event. If the verification has more lines to compare, asks for another step.
    fn rests(&self, cx: &mut Cx<'_>) -> bool {
        let State::Verifying(verification) = &self.state else { return false };
        if verification.is_searching() {
            cx.out.push(Effect::Again);
        }
        true
    }

    /// How many socket reads there is room for. `None` if there is no room, so reading is
    /// suspended.
    fn reads_now(&mut self, cx: &mut Cx<'_>) -> Option<usize> {
        let room = self.room(cx.execs);
        let before = std::mem::replace(&mut self.held, room.lack());
        if before.is_some() != self.held.is_some() {
            let listening_since = self.held.is_none().then_some(cx.now);
            // While reading is suspended, silence does not mean that the peer is dead.
            if let State::Ready(Some(keepalive)) = &mut self.state {
                keepalive.restart(listening_since);
            }
            self.role.restart_limits(&self.target.profile.timeouts, listening_since, cx);
        }
        self.held.is_none().then(|| self.reads(room))
    }

    /// How many socket reads fit into `room`, rounded up and at least one. Somewhat more output
    /// than `room` may result, because the last read may complete a packet whose first part came
    /// with earlier reads.
    pub(super) fn reads(&self, room: Room) -> usize {
        let compress = self.target.profile.connection.compress;
        let read = if compress { limits::INFLATED_READ } else { limits::SOCKET_READ };
        room.bytes.div_ceil(read).clamp(1, limits::PUMPS_PER_VISIT)
    }

    /// How much output there is room for.
    pub(super) fn room(&self, execs: &Execs) -> Room {
        match &self.role {
            Role::Host(commands) => commands.room(execs),
            Role::Proxy(_) => Room::ENDLESS,
        }
    }

    /// Reads what has arrived, as far as there is room, and does nothing else. This is for a host
    /// that is being removed.
    pub(super) fn take_in(&mut self, cx: &mut Cx<'_>) {
        batch::end(self, cx);
        let (State::Ready(_), Role::Host(commands)) = (&self.state, &self.role) else { return };
        for _ in 0..limits::LAST_PUMPS {
            let room = commands.room(cx.execs);
            if room.lack().is_some() {
                return;
            }
            let pumped = self.pump(self.reads(room), cx);
            // Even a link that has failed may still hold output.
            for id in commands.begun() {
                cx.execs.collect(*id, cx.now, cx.link, cx.out);
            }
            if pumped != Ok(Pumped::More) {
                return;
            }
        }
    }

    /// Takes the state one step further. Returns whether anything changed.
    fn advance(&mut self, cx: &mut Cx<'_>) -> Result<bool, Failure> {
        match &mut self.state {
            State::Connecting(addresses) => {
                let from = self.target.profile.connection.bind;
                if addresses.poll(from, self.deadline, cx)?.is_pending() {
                    return Ok(false);
                }
                self.begin_ssh(cx)?;
            }
            State::Launching => return self.await_first_byte(cx),
            State::Handshaking => {
                if cx.link.handshake()?.is_pending() {
                    return Ok(false);
                }
                self.begin_to_verify(cx)?;
            }
            State::Authenticating(login) => {
                let (waited, touched) = (login.awaits_trial(), login.awaits_touch());
                if login.step(&self.target, cx)?.is_pending() {
                    if !touched && login.awaits_touch() {
                        self.await_touch(cx);
                    } else if !waited && login.awaits_trial() {
                        // Another host's trial may take as long as a login may.
                        let wait = self.target.profile.timeouts.auth.map(|limit| 2 * limit);
                        self.deadline = self.limit(cx.now, wait);
                    }
                    return Ok(false);
                }
                let Target { host, port, .. } = &*self.target;
                log::debug!("{host} (port {port}): connected; {}", login.proof);
                self.begin_to_serve(cx);
            }
            State::Ready(keepalive) => {
                let peer = Peer::of(&self.target, &self.attempts);
                let advanced = match &mut self.role {
                    Role::Host(commands) => commands.step(peer, cx)?,
                    Role::Proxy(tunnels) => tunnels.step(peer, cx)?,
                };
                if self.held.is_some() {
                    self.role.restart_limits(&self.target.profile.timeouts, None, cx);
                }
                // Once a command was accepted, or if none waits, the attempts have succeeded.
                let is_starting =
                    matches!(&self.role, Role::Host(commands) if commands.is_starting(cx.execs));
                if !is_starting {
                    self.attempts.end_total();
                }
                // Step the keepalive timer only after everything that has arrived was read, because
                // each packet shows that the peer is alive.
                if advanced || !keepalive.as_mut().map_or(Ok(false), |timer| timer.step(cx))? {
                    return Ok(advanced);
                }
                // No command begins before the keepalive is answered.
                if let Role::Host(commands) = &mut self.role {
                    commands.hold();
                }
            }
            State::Queued
            | State::Resolving
            | State::Tunnelling
            | State::Reaping(_)
            | State::Verifying(_)
            | State::BackingOff(_)
            | State::Closed
            | State::Failed(_) => return Ok(false),
        }
        Ok(true)
    }

    fn begin_to_serve(&mut self, cx: &mut Cx<'_>) {
        let bytes = cx.link.bytes_read();
        let keepalive = self.target.profile.connection.keepalive;
        let timer = keepalive.map(|keepalive| KeepaliveTimer::new(keepalive, bytes, cx.now));
        self.enter(State::Ready(timer), cx);
        if let Some(commands) = self.role.commands() {
            commands.connected();
        }
    }

    /// Fails if the server asks for new keys too often. There is nothing to check before the login
    /// is complete, because until then libssh itself accepts no second key exchange.
    fn check_rekeys(&mut self, cx: &Cx<'_>) -> Result<(), Failure> {
        if !matches!(self.state, State::Ready(_)) {
            return Ok(());
        }
        let seen = cx.link.key_exchanges();
        if seen.done <= 1 {
            return Ok(());
        }
        let own = self.target.profile.connection.rekey;
        let rekeys = self.rekeys.get_or_insert_with(|| Box::new(Rekeys::new(own)));
        let problem = rekeys.count(seen, cx.now);
        problem.map_or(Ok(()), |problem| Err(HostErrorKind::Protocol(problem).into()))
    }
}
