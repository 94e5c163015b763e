//! The steps of an attempt to connect, from admission to the verified host key.

use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use nix::errno::Errno;

use super::addresses::{Addresses, is_out_of_descriptors};
use super::auth::Login;
use super::deadline::Deadline;
use super::failure::Failure;
use super::state::State;
use super::trial::{Permission, TrialOf};
use super::tunnels::TunnelProgress;
use super::{Connection, Cx, Effect, Session, Target};
use crate::agent::Listed;
use crate::agent::limits::TOUCH_TIME;
use crate::error::{HostErrorKind, ProxyCommandProblem};
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
        let Some(address) = self.target.ip() else {
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
            self.recorded = profile.verifier.algorithms_at_hand(name, *port).into();
        }
        let Connection { compress, rekey, .. } = profile.connection;
        let agent = profile.forward_agent.as_ref();
        let (user, algorithms) = (&*profile.user, &*profile.algorithms);
        let (recorded, host_keys) = (&*self.recorded, host_keys.as_deref());
        let logs_in_by_agent = profile.agent.is_some();
        cx.link.start(&HandshakeOptions {
            user,
            algorithms,
            recorded,
            host_keys,
            compress,
            rekey,
            logs_in_by_agent,
            agent,
        })?;
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
            None => {
                let bits = profile.algorithms.rsa_bits_min.unwrap_or(0);
                verification.require_rsa_bits(bits.into()).map_err(HostErrorKind::HostKey)?
            }
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
                self.recorded = algorithms.into();
                return Err(Failure::OtherKey);
            }
            Decision::Refused(error) => return Err(HostErrorKind::HostKey(error).into()),
        }
        Ok(())
    }

    /// Gives the agent's user time to touch the security key: the time of a person is not the
    /// host's.
    pub(super) fn await_touch(&mut self, cx: &Cx<'_>) {
        self.attempts.needs_touch = true;
        self.attempts.stop_total(cx.now);
        let limit = self.target.profile.timeouts.auth.map(|limit| limit.max(TOUCH_TIME));
        self.deadline = Deadline::new(cx.now, limit);
    }

    /// Handles the agent's list of its keys, or why there is none.
    pub(super) fn listed(&mut self, listed: &Listed, cx: &mut Cx<'_>) -> Result<(), Failure> {
        self.resume_login(cx.now);
        if let State::Authenticating(login) = &mut self.state {
            login.listed(&self.target.profile, listed);
        }
        self.drive(cx)
    }

    /// Handles the agent's signature; `None` if the agent refused to sign.
    pub(super) fn signed(&mut self, signature: Option<Arc<[u8]>>, cx: &mut Cx<'_>) -> Result<(), Failure> {
        self.resume_login(cx.now);
        if let State::Authenticating(login) = &mut self.state {
            login.signed(signature);
        }
        self.drive(cx)
    }

    /// Starts the time limit of the login again, if it has rested during a touch.
    fn resume_login(&mut self, now: Instant) {
        if let State::Authenticating(login) = &mut self.state
            && (login.awaits_touch() || std::mem::take(&mut login.was_held_up))
        {
            self.attempts.resume_total(now);
            self.deadline = self.limit(now, self.target.profile.timeouts.auth);
        }
    }

    /// Leaves the host, because another one waits for a touch of the security key.
    pub(super) fn overtaken(&mut self) -> Result<(), Failure> {
        match &self.state {
            State::Authenticating(login) if login.awaits_touch() => Err(Failure::Overtaken),
            _ => Ok(()),
        }
    }

    /// Whether the login has waited for an agent that could answer only after another host's touch.
    /// If so, its time limits begin again.
    pub(super) fn waits_for_other_touch(&mut self, cx: &Cx<'_>) -> bool {
        let State::Authenticating(login) = &mut self.state else { return false };
        let was_busy = |deadline: Deadline| cx.agent_busy_until.is_some_and(|at| deadline.began_before(at));
        let waits = self.deadline.is_some_and(was_busy) && login.awaits_agent() && !login.awaits_touch();
        if waits {
            login.was_held_up = true;
            self.attempts.renew_total(cx.now);
            self.deadline = self.limit(cx.now, self.target.profile.timeouts.auth);
        }
        waits
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
