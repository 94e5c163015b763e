//! The steps of an attempt to connect, from admission to the verified host key, and the ways in
//! which a connection ends.

use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::Poll;

use nix::errno::Errno;

use super::addresses::{Addresses, is_out_of_descriptors};
use super::auth::Login;
use super::deadline::Deadline;
use super::failure::{Failure, Peer, host_error_kind};
use super::retry::Cause;
use super::state::{Phase, State};
use super::trial::{Permission, TrialOf};
use super::tunnels::TunnelProgress;
use super::{Connection, Cx, Effect, Input, Role, Session, Target};
use crate::error::{CancelCause, HostError, HostErrorKind, ProxyCommandProblem};
use crate::hostkey::Decision;
use crate::limits;
use crate::link::{Conduit, HandshakeOptions, LinkError, LinkErrorKind};

impl Session {
    /// Lets up to `admitted` more commands begin, and starts to connect if the session is queued.
    pub(super) fn admit(&mut self, admitted: usize, cx: &mut Cx<'_>) -> Result<(), Failure> {
        let is_queued = matches!(self.state, State::Queued);
        if !is_queued && !self.holds_descriptor() {
            return Ok(());
        }
        if let Some(commands) = self.role.commands() {
            commands.admit(admitted);
        }
        if !is_queued {
            return self.drive(cx);
        }
        self.attempts.begin(cx.now);
        if self.target.proxy.is_some() {
            return self.open_tunnel(cx);
        }
        self.attempts.start_total(cx.now, &self.target.profile.connection.retry);
        if self.target.command.is_some() {
            return self.launch(cx);
        }
        self.enter(State::Resolving, cx);
        // An IP address needs no lookup.
        let Some(address) = self.target.ip else {
            cx.out.push(Effect::Lookup);
            return Ok(());
        };
        self.resolved(Ok(vec![SocketAddr::new(address, self.target.port)]), cx)
    }

    pub(super) fn resolved(
        &mut self,
        found: Result<Vec<SocketAddr>, HostErrorKind>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Failure> {
        if !matches!(self.state, State::Resolving) {
            return Ok(());
        }
        let list = self.target.profile.select(found)?;
        let Connection { attempt_delay, bind, .. } = self.target.profile.connection;
        self.enter(State::Connecting(Addresses::new(list, attempt_delay)), cx);
        match &mut self.state {
            State::Connecting(addresses) => addresses.dial(None, bind, self.deadline, cx),
            _ => Ok(()),
        }
    }

    /// Asks the proxy to open a tunnel to the host.
    fn open_tunnel(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        self.enter(State::Tunnelling, cx);
        let conduit = join(cx)?;
        cx.out.push(Effect::OpenTunnel(conduit));
        Ok(())
    }

    pub(super) fn tunnelled(&mut self, progress: TunnelProgress, cx: &mut Cx<'_>) -> Result<(), Failure> {
        let is_tunnelling = matches!(self.state, State::Tunnelling);
        match progress {
            TunnelProgress::Begun(_) if is_tunnelling => {
                self.attempts.start_total(cx.now, &self.target.profile.connection.retry);
                self.deadline = self.limit(cx.now, self.target.profile.timeouts.connect);
                Ok(())
            }
            TunnelProgress::Opened if is_tunnelling => {
                self.begin_ssh(cx)?;
                self.drive(cx)
            }
            TunnelProgress::Failed(error) if is_tunnelling => Err(HostErrorKind::Proxy(error).into()),
            // Data that the host sent before the proxy failed may still be on its way, followed by
            // the end of the stream. Read that data before failing.
            TunnelProgress::Failed(error) if self.holds_descriptor() => {
                self.proxy_lost = Some(error);
                self.drive(cx)
            }
            _ => Ok(()),
        }
    }

    /// Asks for the command to be started, and begins SSH. As with OpenSSH, the client's
    /// identification does not wait for the server's.
    fn launch(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        self.enter(State::Launching, cx);
        let conduit = join(cx)?;
        self.start_ssh(cx)?;
        cx.out.push(Effect::StartCommand(conduit));
        self.drive(cx)
    }

    /// Returns whether the host has sent something.
    pub(super) fn await_first_byte(&mut self, cx: &mut Cx<'_>) -> Result<bool, Failure> {
        if cx.link.bytes_read() == 0 {
            // Finds out whether the command has closed the connection.
            let _ = cx.link.handshake()?;
            return Ok(false);
        }
        self.enter(State::Handshaking, cx);
        Ok(true)
    }

    pub(super) fn command_not_started(&mut self, error: io::Error) -> Result<(), Failure> {
        if !matches!(self.state, State::Launching) {
            return Ok(());
        }
        let code = error.raw_os_error();
        let no_process = [Errno::EAGAIN, Errno::ENOMEM].iter().any(|errno| code == Some(*errno as i32));
        if no_process || is_out_of_descriptors(&error) {
            return Err(Failure::NoDescriptor);
        }
        let command = self.target.command_line().unwrap_or_default();
        Err(HostErrorKind::ProxyCommand(ProxyCommandProblem::NotStarted { command, error }).into())
    }

    /// Whether the error of the link means that the command has ended before the host has
    /// identified itself.
    pub(super) fn is_end_of_command(&self, error: &LinkError, cx: &Cx<'_>) -> bool {
        let is_end = match self.state {
            State::Launching => matches!(error.kind, LinkErrorKind::Lost | LinkErrorKind::Dropped),
            State::Handshaking => error.kind == LinkErrorKind::Dropped,
            _ => false,
        };
        is_end && cx.command.is_some()
    }

    /// Returns the error of a command that has ended. If its exit status is not known yet, waits
    /// for that: a process closes its connection before its end is reported.
    pub(super) fn reap(&mut self, cx: &mut Cx<'_>) -> Option<HostErrorKind> {
        match cx.command.as_mut()?.end() {
            Poll::Ready(status) => Some(self.ended_command(status)),
            Poll::Pending => {
                self.enter(State::Reaping(self.state.stage()), cx);
                None
            }
        }
    }

    /// Fails if the exit status has been awaited and is known now.
    pub(super) fn check_reaped(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        if let State::Reaping(_) = self.state
            && let Some(command) = cx.command.as_mut()
            && let Poll::Ready(status) = command.end()
        {
            return Err(self.ended_command(status).into());
        }
        Ok(())
    }

    pub(super) fn ended_command(&self, status: Option<ExitStatus>) -> HostErrorKind {
        let command = self.target.command_line().unwrap_or_default();
        HostErrorKind::ProxyCommand(ProxyCommandProblem::Ended { command, status })
    }

    pub(super) fn begin_ssh(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        self.enter(State::Handshaking, cx);
        self.start_ssh(cx)
    }

    /// Starts SSH over the connected socket or conduit.
    fn start_ssh(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        self.banner = None;
        let Target { recorded: (name, port), profile, .. } = &*self.target;
        let host_keys = self.scan.as_ref().map(|scan| scan.unseen(&profile.algorithms));
        if self.recorded.is_empty() {
            self.recorded = profile.verifier.algorithms_at_hand(name, *port);
        }
        let compress = profile.connection.compress;
        let agent = profile.forward_agent.as_ref();
        let (user, algorithms) = (&*profile.user, &*profile.algorithms);
        let (recorded, host_keys) = (&*self.recorded, host_keys.as_deref());
        cx.link.start(&HandshakeOptions { user, algorithms, recorded, host_keys, compress, agent })?;
        Ok(())
    }

    /// Starts to compare the host's key with the keys on record. Called when the key exchange is
    /// done.
    pub(super) fn begin_to_verify(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        cx.out.push(Effect::KeyExchange);
        let Target { recorded: (name, port), profile, .. } = &*self.target;
        let key = cx.link.server_key()?;
        let verification =
            profile.verifier.begin(name, *port, key, &self.recorded).map_err(HostErrorKind::HostKey)?;
        let verification = match &self.scan {
            Some(scan) => scan.check(verification, &profile.algorithms)?,
            None => verification,
        };
        self.enter(State::Verifying(Box::new(verification)), cx);
        self.verify(cx)
    }

    /// Compares the host's key with the next slice of the lines on record, and acts on the decision
    /// if there is one. Each visit compares one slice.
    ///
    /// This is the only place where authentication can start, because a login needs a
    /// [`HostVerified`](crate::hostkey::HostVerified), which only the verifier can create.
    pub(super) fn verify(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        let State::Verifying(verification) = &mut self.state else { return Ok(()) };
        if let Some(scan) = &mut self.scan {
            if scan.advance(verification, limits::HOST_KEY_LINES) {
                self.ask_for_next_key(cx);
            }
            return Ok(());
        }
        let profile = &self.target.profile;
        match profile.verifier.advance(verification, limits::HOST_KEY_LINES) {
            Decision::Pending => cx.out.extend(verification.take_request().map(Effect::Disk)),
            Decision::Accepted(proof) => {
                let login = Login::new(proof, profile, self.attempts.password_refused, cx.link);
                self.enter(State::Authenticating(Box::new(login)), cx);
            }
            Decision::Instead(algorithms) => {
                self.recorded = algorithms;
                return Err(Failure::OtherKey);
            }
            Decision::Refused(error) => return Err(HostErrorKind::HostKey(error).into()),
        }
        Ok(())
    }

    /// Handles the answer whether a password may be sent.
    pub(super) fn tried(
        &mut self,
        of: TrialOf,
        permission: Permission,
        cx: &mut Cx<'_>,
    ) -> Result<(), Failure> {
        let auth = self.target.profile.timeouts.auth;
        match (of, &mut self.state) {
            (TrialOf::Login, State::Authenticating(login)) if login.awaits_trial() => {
                login.permitted(permission, &self.target.profile, cx.out)?;
                self.deadline = self.limit(cx.now, auth);
            }
            (TrialOf::Sudo(id), _) => {
                if let Some(exec) = cx.execs.get_mut(id) {
                    exec.permitted(permission, Deadline::new(cx.now, auth));
                }
            }
            _ => {}
        }
        self.drive(cx)
    }

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
    fn ask_for_next_key(&mut self, cx: &mut Cx<'_>) {
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

/// Begins a connection through a conduit, and returns the far end of it.
fn join(cx: &mut Cx<'_>) -> Result<Conduit, Failure> {
    cx.link.join().map_err(|e| {
        if is_out_of_descriptors(&e) {
            return Failure::NoDescriptor;
        }
        HostErrorKind::Limit(format!("no socket pair: {e}")).into()
    })
}
