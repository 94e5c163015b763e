//! The link to a real host: a TCP connection with libssh on top.

use std::ffi::CStr;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::{io, mem};

use super::agent_forwarding::AgentForwarding;
use super::algorithms::Algorithms;
use super::dialler::Dialler;
use super::gssapi::GssapiLogin;
use super::happy_eyeballs::{HappyEyeballs, TcpConnect};
use super::libssh::SshSession;
use super::tunnel::TunnelRelay;
use super::{
    AuthReply, ChannelId, Channels, Conduit, Cork, Credential, Dial, Gssapi, HandshakeOptions, Inbox,
    Interaction, KeyExchanges, LinkError, LinkErrorKind, PartialPacket, Pumped, Transport, TunnelNews,
    Tunnelling, UserAuth, first_write,
};
use crate::command::{ChannelRequest, Program, Signal};
use crate::credential::Secret;
use crate::error::AuthMethod;

/// A connection to a real host. Dropping this value closes the connection without waiting.
pub(crate) struct LibsshLink {
    dialler: Arc<Dialler>,
    index: usize,
    generation: u32,
    state: State,
    /// The tunnels to other hosts through this one.
    tunnels: Option<Box<TunnelRelay>>,
    /// The socket of the agent to forward, if any.
    agent: Option<Arc<Path>>,
    is_restricted: bool,
    agent_forwarding: Option<Box<AgentForwarding>>,
    /// The inbox that is returned for a channel that no longer exists.
    no_inbox: Option<Box<Inbox>>,
}

enum State {
    Idle,
    Connecting(HappyEyeballs),
    /// Connected by TCP, or attached to one end of a conduit, whose other end belongs to the
    /// proxy's link.
    Connected(OwnedFd),
    /// SSH is running. Boxed because most links may still be waiting to connect, and a waiting link
    /// should be small.
    Ssh(Box<SshSession>),
    /// SSH is running, and a GSSAPI login is in progress, whose calls into libssh may block.
    Gssapi(GssapiLogin),
}

impl LibsshLink {
    /// Makes a link whose readiness is reported under this index.
    pub(crate) fn new(dialler: Arc<Dialler>, index: usize) -> Self {
        let (tunnels, agent, agent_forwarding, no_inbox) = Default::default();
        let (state, generation, is_restricted) = (State::Idle, 0, false);
        Self { dialler, index, generation, state, tunnels, agent, is_restricted, agent_forwarding, no_inbox }
    }

    fn ssh(&self) -> Option<&SshSession> {
        match &self.state {
            State::Ssh(session) => Some(session),
            _ => None,
        }
    }

    fn session(&mut self) -> Result<&mut SshSession, LinkError> {
        match &mut self.state {
            State::Ssh(session) => Ok(session),
            _ => Err(no_ssh()),
        }
    }

    /// Makes the first write to an agent's channel, if such a write is waiting. Each first write
    /// starts a thread, so a pump makes only one. The write comes before the reading, because if it
    /// gets stuck, the session is lost, and with it all data that was read but not collected.
    fn write_first(&mut self) -> Result<(), LinkError> {
        let Self { state: State::Ssh(session), agent_forwarding: Some(forwarding), .. } = self else {
            return Ok(());
        };
        let Some((id, bytes)) = forwarding.first_write(session) else { return Ok(()) };
        let State::Ssh(session) = mem::replace(&mut self.state, State::Idle) else { return Ok(()) };
        let (session, written) = first_write::write(session, id, bytes).map_err(|lost| {
            lost.socket.inspect(|fd| self.dialler.deregister(*fd));
            lost.error
        })?;
        let packets_read = session.packets_read();
        self.state = State::Ssh(session);
        forwarding.first_written(id, written, packets_read)
    }

    fn authenticate_by_gssapi(&mut self, gssapi: &Arc<Gssapi>) -> Result<Poll<AuthReply>, LinkError> {
        let mut login = match mem::replace(&mut self.state, State::Idle) {
            State::Gssapi(login) => login,
            State::Ssh(session) => {
                GssapiLogin::begin(*session, self.index, gssapi.clone(), &self.dialler.gssapi_threads)
            }
            _ => return Err(no_ssh()),
        };
        match login.end() {
            Poll::Ready((session, reply)) => {
                self.state = State::Ssh(Box::new(session));
                reply.map(Poll::Ready)
            }
            Poll::Pending => {
                self.state = State::Gssapi(login);
                Ok(Poll::Pending)
            }
        }
    }
}

fn no_ssh() -> LinkError {
    LinkError::new(LinkErrorKind::Other, "SSH was not started")
}

/// Implements methods by calling the SSH session's method of the same name.
macro_rules! by_session {
    ($(fn $name:ident(&mut self $(, $argument:ident: $type:ty)*) -> $ok:ty;)*) => {
        $(fn $name(&mut self, $($argument: $type),*) -> Result<$ok, LinkError> {
            self.session()?.$name($($argument),*)
        })*
    };
}

impl Dial for LibsshLink {
    fn dial(&mut self, address: SocketAddr, from: Option<SocketAddr>) -> io::Result<()> {
        self.hang_up();
        self.dial_beside(address, from)
    }

    fn dial_beside(&mut self, address: SocketAddr, from: Option<SocketAddr>) -> io::Result<()> {
        let mut connects = match mem::replace(&mut self.state, State::Idle) {
            State::Connecting(connects) => connects,
            _ => HappyEyeballs::default(),
        };
        let generation = self.dialler.next_generation();
        let register = |fd| self.dialler.register(fd, self.index, generation);
        let begun = connects.dial(address, from, generation, register);
        self.generation = generation;
        self.state = State::Connecting(connects);
        begun
    }

    fn join(&mut self) -> io::Result<Conduit> {
        self.hang_up();
        self.generation = self.dialler.next_generation();
        let (near, far) = Conduit::pair()?;
        // Only the near end needs readiness events. The proxy's link relays the far end after each
        // visit to this host.
        self.dialler.register(near.as_raw_fd(), self.index, self.generation)?;
        self.state = State::Connected(near.into());
        Ok(far)
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn is_current(&self, generation: u32) -> bool {
        match &self.state {
            State::Connecting(connects) => connects.has(generation),
            _ => self.generation == generation,
        }
    }

    fn dialled(&mut self) -> Poll<(SocketAddr, io::Result<()>)> {
        let State::Connecting(connects) = &mut self.state else { return Poll::Pending };
        match ready!(connects.result()) {
            Ok(TcpConnect { address, generation, socket }) => {
                self.generation = generation;
                self.state = State::Connected(socket.into());
                Poll::Ready((address, Ok(())))
            }
            Err((address, e)) => Poll::Ready((address, Err(e))),
        }
    }
}

impl Transport for LibsshLink {
    fn start(&mut self, options: &HandshakeOptions<'_>) -> Result<(), LinkError> {
        let State::Connected(socket) = mem::replace(&mut self.state, State::Idle) else {
            return Err(LinkError::new(LinkErrorKind::Other, "nothing is connected"));
        };
        self.agent = options.agent.cloned();
        self.is_restricted = false;
        self.state = State::Ssh(Box::new(SshSession::start(socket, options)?));
        Ok(())
    }

    by_session! {
        fn handshake(&mut self) -> Poll<()>;
        fn server_key(&mut self) -> Vec<u8>;
        fn send_keepalive(&mut self) -> ();
    }

    fn restrict(&mut self) {
        self.is_restricted = true;
        // Without an agent, no further channels to it are admitted.
        self.agent = None;
        let _ = self.session().map(|session| session.admit_agent_channels(0));
    }

    fn is_restricted(&self) -> bool {
        self.is_restricted
    }

    fn listed_host_keys(&self) -> Option<&str> {
        self.ssh()?.listed_host_keys()
    }

    fn algorithms(&self) -> Algorithms {
        self.ssh().map(SshSession::algorithms).unwrap_or_default()
    }

    fn pump(&mut self, budget: usize) -> Result<Pumped, LinkError> {
        self.write_first()?;
        let Self { dialler, index, generation, state, tunnels, agent, agent_forwarding, .. } = self;
        let session = match state {
            State::Ssh(session) => session,
            State::Gssapi(login) => return login.pump(budget, &dialler.gssapi_threads),
            _ => return Ok(Pumped::Drained),
        };
        loop {
            if agent.is_some() {
                let is_possible = first_write::can_forward_agent();
                session.admit_agent_channels(if is_possible { dialler.agent_quota.left() } else { 0 });
            }
            let pumped = session.pump(budget).inspect_err(|_| {
                if let Some(tunnels) = tunnels {
                    tunnels.salvage(session);
                }
            })?;
            let is_full = session.write_pending();
            let relayed = match (agent.as_deref(), &mut *tunnels) {
                // A proxy has no agent, because no command runs on it.
                (Some(path), _) => {
                    let forwarding = agent_forwarding.get_or_insert_default();
                    forwarding.accept(session, || dialler.connect(path, *index, *generation));
                    forwarding.relay(session)?
                }
                (None, Some(tunnels)) => tunnels.relay(session)?,
                (None, None) => Pumped::Drained,
            };
            if pumped == Pumped::More || relayed == Pumped::More {
                return Ok(Pumped::More);
            }
            // If the socket was not full before, another pump sends what was relayed.
            if is_full || !session.write_pending() {
                return Ok(Pumped::Drained);
            }
        }
    }

    fn flushed(&self) -> bool {
        self.ssh().is_none_or(|session| !session.write_pending() && !session.has_channel_news())
    }

    fn cork(&mut self, when: Cork) {
        let _ = self.session().map(|session| session.cork(when));
    }

    fn uncork(&mut self) {
        let _ = self.session().map(SshSession::uncork);
    }

    fn set_low_water(&mut self, bytes: usize) -> bool {
        self.session().is_ok_and(|session| session.set_low_water(bytes))
    }

    fn bytes_read(&self) -> u64 {
        self.ssh().map_or(0, SshSession::bytes_read)
    }

    fn partial_packet(&self) -> PartialPacket {
        self.ssh().map(SshSession::partial_packet).unwrap_or_default()
    }

    fn key_exchanges(&self) -> KeyExchanges {
        self.ssh().map(SshSession::key_exchanges).unwrap_or_default()
    }

    fn hang_up(&mut self) {
        self.tunnels = None;
        self.agent_forwarding = None;
        self.state = State::Idle;
    }
}

impl UserAuth for LibsshLink {
    fn authenticate(&mut self, credential: &Credential) -> Result<Poll<AuthReply>, LinkError> {
        match credential {
            Credential::Gssapi(gssapi) => self.authenticate_by_gssapi(gssapi),
            _ => self.session()?.authenticate(credential),
        }
    }

    by_session! {
        fn request_auth(&mut self) -> Poll<()>;
        fn interact(&mut self) -> Poll<Interaction>;
        fn answer(&mut self, answers: &[Secret]) -> ();
    }

    fn offered(&mut self) -> Vec<AuthMethod> {
        self.session().map(SshSession::offered).unwrap_or_default()
    }

    fn banner(&mut self) -> Option<Arc<str>> {
        self.session().ok()?.banner()
    }
}

impl Channels for LibsshLink {
    by_session! {
        fn open_channel(&mut self, writable: bool) -> ChannelId;
        fn opened(&mut self, channel: ChannelId) -> Poll<()>;
        fn request(&mut self, channel: ChannelId, request: &ChannelRequest) -> Poll<()>;
        fn run(&mut self, channel: ChannelId, program: Program, text: &CStr) -> Poll<()>;
        fn send_eof(&mut self, channel: ChannelId) -> Poll<()>;
        fn signal(&mut self, channel: ChannelId, signal: Signal) -> ();
        fn close_channel(&mut self, channel: ChannelId) -> Poll<()>;
    }

    fn inbox(&mut self, channel: ChannelId) -> &mut Inbox {
        let Self { state, no_inbox, .. } = self;
        match state {
            State::Ssh(session) => session.inbox(channel),
            _ => None,
        }
        .unwrap_or_else(|| no_inbox.get_or_insert_default())
    }

    fn write(&mut self, channel: ChannelId, input: &[u8]) -> Result<usize, LinkError> {
        self.session()?.write(channel, input, 0)
    }

    fn free_channel(&mut self, channel: ChannelId) {
        let _ = self.session().map(|session| session.free_channel(channel));
    }

    fn agent_connections(&self) -> usize {
        self.agent_forwarding.as_ref().map_or(0, |forwarding| forwarding.connections())
    }
}

impl Tunnelling for LibsshLink {
    fn open_tunnel(&mut self, host: &str, port: u16, conduit: Conduit) -> Result<ChannelId, LinkError> {
        let Self { state: State::Ssh(session), tunnels, .. } = self else { return Err(no_ssh()) };
        let id = session.open_tunnel(host, port)?;
        tunnels.get_or_insert_default().add(id, conduit);
        Ok(id)
    }

    fn tunnel_news(&mut self) -> Option<(ChannelId, TunnelNews)> {
        self.tunnels.as_mut()?.next_news()
    }

    fn wake_tunnel(&mut self, channel: ChannelId) {
        if let Some(tunnels) = &mut self.tunnels {
            tunnels.wake(channel);
        }
    }

    fn close_tunnel(&mut self, channel: ChannelId) {
        if let Some(tunnels) = &mut self.tunnels {
            tunnels.close(channel);
        }
    }
}
