//! The ways in which a connection ends: it fails, is closed, or has served a scan of host keys.

use std::sync::Arc;

use super::failure::{Failure, Peer, host_error_kind};
use super::retry::Cause;
use super::state::{Phase, State};
use super::{Cx, Effect, Input, Role, Session, Target};
use crate::error::{CancelCause, HostError, HostErrorKind};
use crate::link::{LinkError, LinkErrorKind};

impl Session {
    /// Puts the host back into the queue and revokes the admissions of its commands, because no
    /// descriptor was free.
    pub(super) fn wait_again(&mut self, cx: &mut Cx<'_>) {
        cx.link.hang_up();
        self.attempts.uncount();
        if let Some(commands) = self.role.commands() {
            commands.hold();
        }
        self.enter(State::Queued, cx);
        cx.out.push(Effect::NoDescriptor);
    }

    /// Connects again to ask the host for a key of another type. The connection that ends here does
    /// not count as an attempt.
    pub(super) fn reconnect(&mut self, cx: &mut Cx<'_>) {
        cx.link.hang_up();
        self.attempts.uncount();
        cx.out.push(Effect::Disconnected { error: None, retrying: true });
        self.enter(State::Queued, cx);
    }

    /// Leaves the server, whose time limit for the login does not wait for other hosts, until it is
    /// this host's turn to use the security key. All time limits start then.
    pub(super) fn wait_for_turn(&mut self, cx: &mut Cx<'_>) {
        self.attempts.end_total();
        self.reconnect(cx);
    }

    /// Ends the connection, and the commands that may have started on the host. The other commands
    /// are tried again if an attempt is left.
    pub(super) fn fail(&mut self, kind: HostErrorKind, cause: Cause, cx: &mut Cx<'_>) {
        let (kind, cause) = match &mut self.state {
            State::Authenticating(login) => {
                self.attempts.password_refused = login.password_refused;
                login.explain(kind, cause, &self.target.profile, cx.out)
            }
            _ => (kind, cause),
        };
        let peer = Peer::of(&self.target, &self.attempts);
        let error = peer.error_of(cause, self.failing_stage(), peer.elapsed(cx.now), kind);
        let error = match self.state {
            State::Launching
            | State::Reaping(_)
            | State::Handshaking
            | State::Verifying(_)
            | State::Authenticating(_) => error.with_banner(cx.link.banner()),
            _ => error,
        };
        let error = error.with_command_said(cx.command.as_mut().and_then(|command| command.said()));
        match &mut self.role {
            Role::Host(commands) => {
                // A connection that has run a command does not count as a failed attempt.
                if commands.has_settled(cx.execs) {
                    self.attempts.reset();
                }
                commands.cut(&error, peer, cx);
            }
            Role::Proxy(tunnels) => tunnels.cut(&error, cx.out),
        }
        cx.link.hang_up();
        self.proxy_lost = None;
        let was_ready = matches!(self.state, State::Ready(_));
        let retry = match was_ready && !self.is_needed() {
            true => Some(State::Closed),
            false => self.attempts.retry(cause, &self.target.profile.connection.retry, cx.now),
        };
        let error = if retry.is_some() { error } else { error.given_up() };
        let next = retry.unwrap_or_else(|| {
            match &mut self.role {
                Role::Host(commands) => commands.fail(&error, peer, cx),
                Role::Proxy(tunnels) => tunnels.fail(&error, cx.out),
            }
            let scan = self.scan.take().map(|scan| scan.end(&self.target, Some(error.clone())));
            cx.out.extend(scan.map(Effect::Scanned));
            State::Failed(error.clone())
        });
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

    /// Begins to fetch the host's keys, once no command uses the connection.
    pub(super) fn begin_scan(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        // A verification that has begun for a login may not look at all lines.
        if self.scan.is_none() && matches!(self.state, State::Verifying(_)) {
            self.leave(cx);
        }
        self.need(Input::Scan, cx);
        self.drive(cx)
    }

    /// Whether a scan goes on, or ends well, after this error of the link.
    pub(super) fn goes_on(&mut self, error: &LinkError, cx: &mut Cx<'_>) -> bool {
        let offered = &self.target.profile.algorithms;
        let (true, Some(scan)) = (matches!(self.state, State::Handshaking), &mut self.scan) else {
            return false;
        };
        let goes_on = scan.outlives(error.kind, offered, cx.link.listed_host_keys());
        if goes_on {
            self.ask_for_next_key(cx);
        }
        goes_on
    }

    /// Connects again for a key of another type, unless the host has been asked for all of its
    /// keys.
    pub(super) fn ask_for_next_key(&mut self, cx: &mut Cx<'_>) {
        let offered = &self.target.profile.algorithms;
        match &self.scan {
            Some(scan) if !scan.is_complete(offered, cx.link.listed_host_keys()) => self.leave(cx),
            _ => self.end_scan(None, cx),
        }
    }

    /// Reports the keys that the host has shown, and ends the connection that was made for one. If
    /// commands wait, the session connects again: that connection was not verified, and its
    /// handshake did not prefer the keys on record.
    pub(super) fn end_scan(&mut self, error: Option<HostError>, cx: &mut Cx<'_>) {
        let Some(scan) = self.scan.take() else { return };
        cx.out.push(Effect::Scanned(scan.end(&self.target, error)));
        if self.holds_descriptor() && !matches!(self.state, State::Ready(_)) {
            self.leave(cx);
        }
    }

    /// Closes the connection. If something needs one, begins anew, with a full set of attempts.
    fn leave(&mut self, cx: &mut Cx<'_>) {
        let (retrying, awaited) = (self.is_needed(), self.awaited);
        self.attempts.reset();
        cx.link.hang_up();
        cx.out.push(Effect::Disconnected { error: None, retrying });
        self.enter(State::Closed, cx);
        if retrying {
            self.awaited = awaited;
            self.enter(State::Queued, cx);
        }
    }

    /// Ends a scan for the caller.
    pub(super) fn cancel_scan(&mut self, cx: &mut Cx<'_>) {
        let peer = Peer::of(&self.target, &self.attempts);
        let kind = HostErrorKind::Cancelled(CancelCause::Caller);
        let error = peer.final_error(self.failing_stage(), peer.elapsed(cx.now), kind);
        self.end_scan(Some(error), cx);
    }

    /// Closes the connection, or stops connecting, unless something needs the connection.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>) {
        if !self.is_needed() && !matches!(self.state, State::Closed | State::Failed(_)) {
            cx.link.hang_up();
            if !matches!(self.state, State::Queued) {
                cx.out.push(Effect::Disconnected { error: None, retrying: false });
            }
            self.enter(State::Closed, cx);
        }
    }

    /// Fails the connection, or the attempt to connect, with this error.
    pub(super) fn give_up(&mut self, kind: HostErrorKind) -> Result<(), Failure> {
        match self.state {
            State::Closed | State::Failed(_) => Ok(()),
            _ => Err(kind.into()),
        }
    }

    /// Takes over a new profile, unless an attempt to connect is in progress: an attempt ends with
    /// the profile that it began with.
    pub(super) fn renew(&mut self) {
        let is_stable = matches!(
            self.state.phase(),
            Phase::Queued | Phase::BackingOff | Phase::Ready | Phase::Closed | Phase::Failed
        );
        if is_stable && let Some(profile) = self.renewed.take() {
            self.target = Arc::new(Target { profile, ..Target::clone(&self.target) });
        }
    }

    /// Converts a link error to the error of the host. If the connection was lost after the proxy
    /// had failed, the error of the host is that of the proxy.
    pub(super) fn explain(&mut self, error: LinkError, cx: &mut Cx<'_>) -> (HostErrorKind, Cause) {
        if let State::Authenticating(login) = &mut self.state
            && error.kind == LinkErrorKind::PasswordExpired
        {
            return (login.expired(&self.target.profile, cx.out), Cause::Final);
        }
        let is_dropped = error.kind == LinkErrorKind::Dropped;
        let kind = match (host_error_kind(error), self.proxy_lost.take()) {
            (HostErrorKind::ConnectionLost(_), Some(error)) => HostErrorKind::Proxy(error),
            (kind, _) if is_dropped => return (kind, Cause::Dropped),
            (kind, _) => kind,
        };
        let cause = Cause::of(&kind);
        (kind, cause)
    }
}
