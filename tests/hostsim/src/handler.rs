//! One connection in russh's server: authentication, channels, requests, and the actions of those
//! stages.

use std::sync::{Arc, OnceLock};

use russh::server::{
    Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, Error, Pty};
use tokio::time::sleep;

use crate::auth::{methods, takes_key, takes_keyboard, takes_password};
use crate::exec::Program;
use crate::faults::{Action, Stage};
use crate::fleet::Host;
use crate::opens::open_to_client;
use crate::setting::AuthPolicy;
use crate::slots::Slots;
use crate::stats::{add, count, subtract};
use crate::tunnel::connect;
use crate::wire::Wire;

/// What remains to be done after a stage's action.
#[derive(PartialEq, Eq)]
enum Verdict {
    Go,
    Refuse,
    /// The action replaced the response.
    Leave,
}

pub(crate) struct HostHandler {
    pub(crate) host: Arc<Host>,
    pub(crate) wire: Arc<Wire>,
    /// Set as soon as the session exists, before the first callback.
    pub(crate) handle: Arc<OnceLock<Handle>>,
    auth_met: bool,
    key_done: bool,
    /// [`Wire::reads`] at the last offered key.
    offered_at: Option<u64>,
    slots: Slots,
}

impl HostHandler {
    pub(crate) fn new(host: Arc<Host>, wire: Arc<Wire>) -> Self {
        let handle = Arc::default();
        Self {
            host,
            wire,
            handle,
            auth_met: false,
            key_done: false,
            offered_at: None,
            slots: Slots::default(),
        }
    }

    /// Performs the action of `stage`, if there is one.
    async fn pass(&self, stage: Stage, session: Option<&mut Session>) -> Result<Verdict, Error> {
        match self.host.profile.plan.action(stage) {
            None | Some(Action::Opens) => Ok(Verdict::Go),
            Some(Action::Refuse) => Ok(Verdict::Refuse),
            Some(Action::Delay(time)) => {
                sleep(*time).await;
                Ok(Verdict::Go)
            }
            Some(Action::Drip) => {
                self.wire.drip();
                Ok(Verdict::Go)
            }
            Some(Action::Disconnect(text)) => {
                match (session, self.handle.get()) {
                    (Some(session), _) => session.disconnect(Disconnect::ByApplication, text, "")?,
                    // During authentication, russh first sends the refusal that this callback must
                    // return.
                    (None, Some(handle)) => {
                        handle.disconnect(Disconnect::ByApplication, text.clone(), String::new()).await?;
                    }
                    (None, None) => (),
                }
                Ok(Verdict::Leave)
            }
            Some(action) => {
                self.wire.retire(action);
                Err(Error::Disconnect)
            }
        }
    }

    /// Performs the action of authentication, once per connection, and waits as configured.
    async fn consider(&mut self) -> Result<Verdict, Error> {
        let first = !std::mem::replace(&mut self.auth_met, true);
        let refuses = self.host.profile.plan.action(Stage::Auth) == Some(&Action::Refuse);
        let verdict = if first || refuses { self.pass(Stage::Auth, None).await? } else { Verdict::Go };
        let delay = self.host.profile.auth_delay;
        // Even a sleep of zero length lasts until the next tick.
        if !delay.is_zero() {
            sleep(delay).await;
        }
        Ok(verdict)
    }

    /// Whether `right` credentials log the client in; first waits as configured.
    async fn answer(&mut self, right: bool) -> Result<Auth, Error> {
        let verdict = self.consider().await?;
        Ok(if right && verdict == Verdict::Go { Auth::Accept } else { self.refusal() })
    }

    fn refusal(&self) -> Auth {
        let methods = methods(self.host.profile.auth, self.key_done);
        Auth::Reject { proceed_with_methods: Some(methods), partial_success: false }
    }
}

impl Handler for HostHandler {
    type Error = Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Error> {
        count(&self.host.counters.handshakes);
        Ok(None)
    }

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Error> {
        count(&self.host.counters.auth_none);
        self.answer(self.host.profile.auth == AuthPolicy::None).await
    }

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Error> {
        count(&self.host.counters.auth_publickey_query);
        self.offered_at = Some(self.wire.reads());
        self.answer(takes_key(&self.host.profile, self.key_done, offer.public_key)).await
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        // Without a query before it, a signed request contains the offer too: it is one request.
        let right = takes_key(&self.host.profile, self.key_done, key.public_key);
        let answer = if self.offered_at == Some(self.wire.reads()) {
            subtract(&self.host.counters.auth_publickey_query, 1);
            if right { Auth::Accept } else { self.refusal() }
        } else {
            self.answer(right).await?
        };
        count(&self.host.counters.auth_publickey_signed);
        if answer != Auth::Accept || self.host.profile.auth != AuthPolicy::KeyThenPassword {
            return Ok(answer);
        }
        self.key_done = true;
        let rest = methods(AuthPolicy::KeyThenPassword, true);
        Ok(Auth::Reject { proceed_with_methods: Some(rest), partial_success: true })
    }

    async fn auth_password(&mut self, _user: &str, password: &str) -> Result<Auth, Error> {
        count(&self.host.counters.auth_password);
        self.answer(takes_password(&self.host.profile, self.key_done, password.as_bytes())).await
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Error> {
        let policy = takes_keyboard(&self.host.profile);
        let Some(mut response) = response else {
            count(&self.host.counters.auth_keyboard);
            return match self.answer(policy).await? {
                Auth::Accept => Ok(Auth::Partial {
                    name: "hostsim".into(),
                    instructions: "".into(),
                    prompts: vec![("Password: ".into(), false)].into(),
                }),
                refusal => Ok(refusal),
            };
        };
        count(&self.host.counters.auth_keyboard_answers);
        let right = response.next().is_some_and(|word| word == self.host.profile.password.as_bytes());
        self.answer(policy && right).await
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Error> {
        count(&self.host.counters.auth_successes);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Error> {
        match self.pass(Stage::Open, Some(session)).await? {
            Verdict::Go => (),
            Verdict::Leave => return Ok(()),
            Verdict::Refuse => {
                reply.reject(ChannelOpenFailure::ResourceShortage).await;
                return Ok(());
            }
        }
        count(&self.host.counters.channels);
        self.slots.open(channel.id(), &self.host);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        let to = (host_to_connect.to_owned(), port_to_connect);
        tokio::spawn(connect(self.host.clone(), channel, to, reply));
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        count(&self.host.counters.execs);
        match self.pass(Stage::Exec, Some(session)).await? {
            Verdict::Go => (),
            Verdict::Leave => return Ok(()),
            Verdict::Refuse => return session.channel_failure(channel),
        }
        let plan = &self.host.profile.plan;
        if plan.action(Stage::Exec) == Some(&Action::Opens) {
            tokio::spawn(open_to_client(session.handle(), self.host.clone()));
        }
        session.channel_success(channel)?;
        let hostname = self.host.address.to_string();
        let program = Program::parse(&String::from_utf8_lossy(data), &hostname);
        if program.is_short() && !plan.touches_output() {
            return self.slots.play(channel, program, session);
        }
        let (host, wire) = (self.host.clone(), self.wire.clone());
        self.slots.start(channel, program, host, wire, session);
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_success(channel)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        match self.pass(Stage::Exec, Some(session)).await? {
            Verdict::Go if name == "sftp" && self.host.profile.sftp.enabled => (),
            Verdict::Go | Verdict::Refuse => return session.channel_failure(channel),
            Verdict::Leave => return Ok(()),
        }
        session.channel_success(channel)?;
        let (host, wire) = (self.host.clone(), self.wire.clone());
        self.slots.start(channel, Program::sftp(), host, wire, session);
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Error> {
        add(&self.host.counters.stdin_bytes, data.len() as u64);
        self.slots.feed(channel, data, session)
    }

    async fn channel_eof(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Error> {
        count(&self.host.counters.eofs);
        self.slots.end_input(channel);
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Error> {
        self.slots.close(channel);
        Ok(())
    }
}
