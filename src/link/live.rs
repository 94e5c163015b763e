//! The link to a real host: our own TCP connect, then libssh over it.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::task::{Poll, ready};

use socket2::Socket;

use super::agent_channels::AgentChannels;
use super::dialler::Dialler;
use super::first_write;
use super::gssapi;
use super::libssh::LibsshSession;
use super::race::{Race, Winner};
use super::tunnel::Tunnels;
use super::{
    AuthReply, ChannelId, Conduit, Credential, Gssapi, Inbox, Interaction, KeyExchanges, Link, LinkError,
    LinkErrorKind, Pumped, Setup, TunnelNews,
};
use crate::command::ChannelRequest;
use crate::command::Signal;
use crate::credential::Secret;
use crate::error::AuthMethod;
use crate::limits;

/// Host key algorithms in the order of preference, before a host's recorded ones are moved to the front.
const HOST_KEYS: &CStr =
    c"ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256";

/// One real connection. Dropping it closes the connection without waiting.
pub(crate) struct LibsshLink {
    dialler: Arc<Dialler>,
    index: usize,
    generation: u32,
    state: State,
    /// What goes through this connection to other hosts.
    tunnels: Option<Box<Tunnels>>,
    /// The agent that the server may open channels to.
    agent: Option<Arc<Path>>,
    /// Those that it has open.
    agent_channels: Option<Box<AgentChannels>>,
    /// What `inbox` shows for a channel that is gone.
    no_inbox: Option<Box<Inbox>>,
}

enum State {
    Idle,
    Connecting(Race),
    Connected(Socket),
    /// Joined to a tunnel of another link.
    Joined(Conduit),
    /// Boxed for the sake of hosts that wait to be connected, which may be most of them.
    Ssh(Box<LibsshSession>),
    /// SSH, in the middle of a method that may block.
    Gssapi(gssapi::Login),
}

impl LibsshLink {
    /// A link whose readiness is reported under this index.
    pub(crate) fn new(dialler: Arc<Dialler>, index: usize) -> Self {
        let (tunnels, agent, agent_channels, no_inbox) = Default::default();
        let state = State::Idle;
        Self { dialler, index, generation: 0, state, tunnels, agent, agent_channels, no_inbox }
    }

    fn ssh(&self) -> Option<&LibsshSession> {
        match &self.state {
            State::Ssh(session) => Some(session),
            _ => None,
        }
    }

    fn session(&mut self) -> Result<&mut LibsshSession, LinkError> {
        match &mut self.state {
            State::Ssh(session) => Ok(session),
            _ => Err(no_ssh()),
        }
    }

    /// Makes the first write to a channel of the agent, if one waits for it: one a pump, as each has a thread
    /// started. Before anything is read, so that of a session that is lost with it all that had arrived was
    /// collected.
    fn write_first(&mut self) -> Result<(), LinkError> {
        let Self { state: State::Ssh(session), agent_channels: Some(channels), .. } = self else {
            return Ok(());
        };
        let Some((id, bytes)) = channels.first_write(session) else { return Ok(()) };
        let State::Ssh(session) = std::mem::replace(&mut self.state, State::Idle) else { return Ok(()) };
        let (session, written) = first_write::write(session, id, bytes).map_err(|lost| {
            lost.socket.inspect(|fd| self.dialler.deregister(*fd));
            lost.error
        })?;
        let packets_read = session.packets_read();
        self.state = State::Ssh(session);
        channels.first_written(id, written, packets_read)
    }

    fn authenticate_gssapi(&mut self, gssapi: &Arc<Gssapi>) -> Result<Poll<AuthReply>, LinkError> {
        let mut login = match std::mem::replace(&mut self.state, State::Idle) {
            State::Gssapi(login) => login,
            State::Ssh(session) => {
                gssapi::Login::begin(*session, self.index, gssapi.clone(), &self.dialler.lender)
            }
            _ => return Err(no_ssh()),
        };
        match login.end()? {
            Poll::Ready((session, reply)) => {
                self.state = State::Ssh(Box::new(session));
                Ok(Poll::Ready(reply))
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

impl Link for LibsshLink {
    fn dial(&mut self, address: SocketAddr) -> io::Result<()> {
        self.hang_up();
        self.dial_beside(address)
    }

    fn dial_beside(&mut self, address: SocketAddr) -> io::Result<()> {
        let mut race = match std::mem::replace(&mut self.state, State::Idle) {
            State::Connecting(race) => race,
            _ => Race::default(),
        };
        let generation = self.dialler.next_generation();
        let begun = race.dial(address, generation, |fd| self.dialler.register(fd, self.index, generation));
        self.generation = generation;
        self.state = State::Connecting(race);
        begun
    }

    fn join(&mut self) -> io::Result<Conduit> {
        self.hang_up();
        self.generation = self.dialler.next_generation();
        let (near, far) = Conduit::pair()?;
        // Only this end: the far one is looked at whenever the host at this end was visited.
        self.dialler.register(near.as_raw_fd(), self.index, self.generation)?;
        self.state = State::Joined(near);
        Ok(far)
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn is_current(&self, generation: u32) -> bool {
        match &self.state {
            State::Connecting(race) => race.has(generation),
            _ => self.generation == generation,
        }
    }

    fn hang_up(&mut self) {
        self.tunnels = None;
        self.agent_channels = None;
        self.state = State::Idle;
    }

    fn dialled(&mut self) -> Poll<(SocketAddr, io::Result<()>)> {
        let State::Connecting(race) = &mut self.state else { return Poll::Pending };
        match ready!(race.result()) {
            Ok(Winner { address, generation, socket }) => {
                self.generation = generation;
                self.state = State::Connected(socket);
                Poll::Ready((address, Ok(())))
            }
            Err((address, e)) => Poll::Ready((address, Err(e))),
        }
    }

    fn start(&mut self, setup: &Setup<'_>) -> Result<(), LinkError> {
        let socket: OwnedFd = match std::mem::replace(&mut self.state, State::Idle) {
            State::Connected(socket) => socket.into(),
            State::Joined(conduit) => conduit.into(),
            _ => return Err(LinkError::new(LinkErrorKind::Other, "nothing is connected")),
        };
        check_descriptor(socket.as_raw_fd())?;
        let host_keys = host_key_order(setup.recorded);
        self.agent = setup.agent.cloned();
        self.state = State::Ssh(Box::new(LibsshSession::start(socket, setup, &host_keys)?));
        Ok(())
    }

    fn pump(&mut self, budget: usize) -> Result<Pumped, LinkError> {
        self.write_first()?;
        let Self { dialler, index, generation, state, tunnels, agent, agent_channels, .. } = self;
        let session = match state {
            State::Ssh(session) => session,
            State::Gssapi(login) => return login.pump(budget, &dialler.lender),
            _ => return Ok(Pumped::Drained),
        };
        loop {
            if agent.is_some() {
                let is_possible = first_write::can_forward_agent();
                session.admit_agent_channels(if is_possible { dialler.agent_places.free() } else { 0 });
            }
            let pumped = session.pump(budget).inspect_err(|_| {
                if let Some(tunnels) = tunnels {
                    tunnels.salvage(session);
                }
            })?;
            let is_full = session.write_pending();
            let relayed = match (agent.as_deref(), &mut *tunnels) {
                // No command runs on a proxy, so it has no agent.
                (Some(path), _) => {
                    let channels = agent_channels.get_or_insert_default();
                    channels.let_in(session, || dialler.connect(path, *index, *generation));
                    channels.relay(session)?
                }
                (None, Some(tunnels)) => tunnels.relay(session)?,
                (None, None) => Pumped::Drained,
            };
            if pumped == Pumped::More || relayed == Pumped::More {
                return Ok(Pumped::More);
            }
            // What the tunnels have written goes with another pump, unless the socket was full before.
            if is_full || !session.write_pending() {
                return Ok(Pumped::Drained);
            }
        }
    }

    fn agent_connections(&self) -> usize {
        self.agent_channels.as_ref().map_or(0, |channels| channels.connections())
    }

    fn packets_read(&self) -> u64 {
        self.ssh().map_or(0, LibsshSession::packets_read)
    }

    fn key_exchanges(&self) -> KeyExchanges {
        self.ssh().map(LibsshSession::key_exchanges).unwrap_or_default()
    }

    fn send_keepalive(&mut self) -> Result<(), LinkError> {
        self.session()?.send_keepalive()
    }

    fn flushed(&self) -> bool {
        self.ssh().is_none_or(|session| !session.write_pending() && !session.has_tunnel_news())
    }

    fn cork(&mut self) {
        let _ = self.session().map(LibsshSession::cork);
    }

    fn uncork(&mut self) {
        let _ = self.session().map(LibsshSession::uncork);
    }

    fn handshake(&mut self) -> Result<Poll<()>, LinkError> {
        self.session()?.handshake()
    }

    fn server_key(&mut self) -> Result<Vec<u8>, LinkError> {
        self.session()?.server_key()
    }

    fn request_auth(&mut self) -> Result<Poll<()>, LinkError> {
        self.session()?.request_auth()
    }

    fn authenticate(&mut self, credential: &Credential) -> Result<Poll<AuthReply>, LinkError> {
        match credential {
            Credential::Gssapi(gssapi) => self.authenticate_gssapi(gssapi),
            _ => self.session()?.authenticate(credential),
        }
    }

    fn interact(&mut self) -> Result<Poll<Interaction>, LinkError> {
        self.session()?.interact()
    }

    fn answer(&mut self, answers: &[Secret]) -> Result<(), LinkError> {
        self.session()?.answer(answers)
    }

    fn offered(&mut self) -> Vec<AuthMethod> {
        self.session().map(LibsshSession::offered).unwrap_or_default()
    }

    fn open_channel(&mut self) -> Result<ChannelId, LinkError> {
        self.session()?.open_channel()
    }

    fn opened(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError> {
        self.session()?.opened(channel)
    }

    fn request(&mut self, channel: ChannelId, request: &ChannelRequest) -> Result<Poll<()>, LinkError> {
        self.session()?.request(channel, request)
    }

    fn exec(&mut self, channel: ChannelId, command: &CStr) -> Result<Poll<()>, LinkError> {
        self.session()?.exec(channel, command)
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

    fn send_eof(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError> {
        self.session()?.send_eof(channel)
    }

    fn signal(&mut self, channel: ChannelId, signal: Signal) -> Result<(), LinkError> {
        self.session()?.signal(channel, signal)
    }

    fn close_channel(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError> {
        self.session()?.close_channel(channel)
    }

    fn free_channel(&mut self, channel: ChannelId) {
        let _ = self.session().map(|session| session.free_channel(channel));
    }

    fn open_tunnel(&mut self, host: &CStr, port: u16, conduit: Conduit) -> Result<ChannelId, LinkError> {
        let Self { state: State::Ssh(session), tunnels, .. } = self else {
            return Err(no_ssh());
        };
        tunnels.get_or_insert_default().open(host, port, conduit, session)
    }

    fn tunnel_news(&mut self) -> Option<(ChannelId, TunnelNews)> {
        self.tunnels.as_mut()?.news()
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

/// The host key algorithms to offer: those on record first, so that a host with several keys shows the known one
/// (OpenSSH: `order_hostkeyalgs`).
fn host_key_order(recorded: &[&'static str]) -> Cow<'static, CStr> {
    if recorded.is_empty() {
        return HOST_KEYS.into();
    }
    let all = || HOST_KEYS.to_str().unwrap_or_default().split(',');
    let known = recorded.iter().copied().filter(|name| all().any(|usable| usable == *name));
    let mut order = String::with_capacity(HOST_KEYS.count_bytes() + 1);
    for name in known.chain(all().filter(|name| !recorded.contains(name))) {
        if !order.is_empty() {
            order.push(',');
        }
        order.push_str(name);
    }
    // Names from a constant list hold no NUL.
    CString::new(order).unwrap_or_default().into()
}

/// libssh keeps a descriptor in 16 bits: a higher one would become another's.
fn check_descriptor(fd: RawFd) -> Result<(), LinkError> {
    if fd <= limits::DESCRIPTOR_MAX {
        return Ok(());
    }
    let max = limits::DESCRIPTOR_MAX;
    Err(LinkError::new(
        LinkErrorKind::Limit,
        format!("descriptor {fd} is above {max}, the highest libssh can hold"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_above_16_bits_are_refused() {
        assert!(check_descriptor(65_535).is_ok());
        assert_eq!(check_descriptor(65_536).unwrap_err().kind, LinkErrorKind::Limit);
    }

    #[test]
    fn recorded_types_are_offered_first() {
        let order = host_key_order(&["rsa-sha2-512", "rsa-sha2-256"]);
        assert!(order.to_str().unwrap().starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519,"));
        assert_eq!(
            order.to_str().unwrap().split(',').count(),
            HOST_KEYS.to_str().unwrap().split(',').count()
        );
    }

    #[test]
    fn a_recorded_type_that_libssh_cannot_verify_is_not_offered() {
        let order = host_key_order(&["ssh-dss"]);
        assert!(order.to_str().unwrap().starts_with("ssh-ed25519,"));
    }
}
