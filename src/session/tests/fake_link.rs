//! A link without IO. It follows a script, records every call, and panics when the session breaks
//! the rules.
//!
//! The session learns of news as from an edge-triggered poll: news is reported only once, and is
//! received only by pumping. A session that stops pumping too early therefore hangs here, as it
//! would on a real socket.

mod inspect;
mod tunnels;

use std::collections::{HashMap, VecDeque};
use std::ffi::CStr;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use nix::errno::Errno;

use super::call::{Call, Failing, Fault};
use super::script::{Answer, Cred, Dial, Peer, Script, Take, host_key};
use super::wire::{Op, Wire};
use crate::command::{ChannelRequest, Program, Signal};
use crate::credential::Secret;
use crate::error::AuthMethod;
use crate::link::algorithms::Algorithms;
use crate::link::{
    self, AuthReply, ChannelId, Channels, Conduit, Cork, Credential, HandshakeOptions, Inbox, Interaction,
    KeyExchanges, LinkError, LinkErrorKind, PartialPacket, Pumped, Transport, TunnelNews, Tunnelling,
    UserAuth,
};

/// More calls than any step has reason to make.
const CALLS_PER_STEP: usize = 5_000;

#[derive(Debug)]
enum Connection {
    None,
    /// Connects in progress, in the order in which they were started.
    Dialling(Vec<(SocketAddr, Dial)>),
    Connected,
    /// The link is connected to a proxy.
    Joined,
    Up(Box<Wire>),
    /// The link has failed. The session may still collect output from it, and hang it up.
    Broken(Box<Wire>),
}

/// The output of each command's channel, stdout and stderr, by the command's text. Filled once the
/// channel is gone.
pub(crate) type Sent = Arc<Mutex<HashMap<String, [Vec<u8>; 2]>>>;

#[derive(Debug)]
pub(crate) struct FakeLink {
    script: Script,
    connection: Connection,
    generation: u32,
    is_corked: bool,
    /// How the visits so far were corked.
    pub corks: Vec<Cork>,
    is_restricted: bool,
    /// Connections on which SSH was started.
    started: usize,
    channels_opened: usize,
    /// The conduits of hosts behind this proxy, by channel.
    pub conduits: HashMap<usize, Conduit>,
    tunnel_news: VecDeque<(ChannelId, TunnelNews)>,
    /// The tunnel news to come, each with the number of rounds until it arrives.
    tunnels_due: Vec<(u32, ChannelId, TunnelNews)>,
    tunnels_opened: usize,
    /// Our end of the conduit that carries the connection.
    near: Option<Conduit>,
    /// Where to record the output of commands.
    pub sent: Option<Sent>,
    /// The channel on which each command was requested.
    requested: HashMap<String, usize>,
    /// Open connections to a forwarded agent.
    pub agent_connections: usize,
    /// For each handshake, the host key algorithms to offer first.
    pub offered: Vec<Vec<&'static str>>,
    /// For each handshake of a scan, the host key algorithms to offer.
    pub asked: Vec<String>,
    /// The host key algorithms that the server lists, if the link knows them.
    pub listed: Option<&'static str>,
    pub calls: Vec<Call>,
    /// All keyboard-interactive answers, in order.
    pub answers: Vec<String>,
    calls_before_step: usize,
    edge: bool,
    pub fault: Option<Fault>,
    /// How many fallible calls there have been.
    pub fallible: usize,
    stuck: Option<mem::Discriminant<Call>>,
}

impl FakeLink {
    pub(crate) fn new(script: Script) -> Self {
        Self {
            script,
            connection: Connection::None,
            generation: 0,
            is_corked: false,
            corks: Vec::new(),
            is_restricted: false,
            started: 0,
            channels_opened: 0,
            conduits: HashMap::new(),
            tunnel_news: VecDeque::new(),
            tunnels_due: Vec::new(),
            tunnels_opened: 0,
            near: None,
            sent: None,
            requested: HashMap::new(),
            agent_connections: 0,
            offered: Vec::new(),
            asked: Vec::new(),
            listed: None,
            calls: Vec::new(),
            answers: Vec::new(),
            calls_before_step: 0,
            edge: false,
            fault: None,
            fallible: 0,
            stuck: None,
        }
    }

    /// Creates the `nth` link of a fleet. The generations of its connections differ from those of
    /// all other links.
    pub(crate) fn numbered(self, nth: u16) -> Self {
        Self { generation: u32::from(nth) << 16, ..self }
    }

    fn note(&mut self, call: Call) {
        self.calls.push(call);
        assert!(self.calls.len() - self.calls_before_step < CALLS_PER_STEP, "a step makes calls without end");
    }

    /// Records a fallible call. Returns `Ok(true)` if the call must report that it is pending.
    fn enter(&mut self, call: Call) -> Result<bool, LinkError> {
        let kind = mem::discriminant(&call);
        self.note(call);
        self.fallible += 1;
        if self.stuck == Some(kind) {
            return Ok(true);
        }
        let Some(fault) = self.fault.filter(|fault| fault.nth == self.fallible) else { return Ok(false) };
        match fault.with {
            Failing::Pending => {
                self.stuck = Some(kind);
                Ok(true)
            }
            Failing::Error(kind) => Err(self.breaks(LinkError::new(kind, "injected"))),
        }
    }

    fn breaks(&mut self, error: LinkError) -> LinkError {
        self.connection = match mem::replace(&mut self.connection, Connection::None) {
            Connection::Up(wire) => Connection::Broken(wire),
            other => other,
        };
        error
    }

    /// Returns the SSH connection. Panics unless it is up.
    fn wire(&mut self) -> &mut Wire {
        let Connection::Up(wire) = &mut self.connection else {
            panic!("SSH is down: {:?}", self.calls.last())
        };
        wire
    }

    /// Starts a connect while other connects may be in progress.
    fn begin(&mut self, address: SocketAddr, call: Call) -> io::Result<()> {
        self.stuck = None;
        self.generation += 1;
        let dials = self.script.dials.get_mut(&address);
        let next = |dials: &mut Vec<Dial>| if dials.len() > 1 { dials.remove(0) } else { dials[0] };
        let mut dial = dials.map_or(Dial::Connects(1), next);
        match self.enter(call) {
            Ok(false) => {}
            Ok(true) => dial = Dial::Silent,
            Err(error) if error.kind == LinkErrorKind::Limit => dial = Dial::FailsAtOnce(Errno::EMFILE),
            Err(_) => dial = Dial::FailsAtOnce(Errno::ENETUNREACH),
        }
        if let Dial::FailsAtOnce(errno) = dial {
            return Err(errno.into());
        }
        match &mut self.connection {
            Connection::Dialling(dials) => dials.push((address, dial)),
            connection => *connection = Connection::Dialling(vec![(address, dial)]),
        }
        Ok(())
    }

    /// Sends a request, or polls for its answer.
    fn ask(&mut self, op: Op, answer: &Answer) -> Result<Poll<()>, LinkError> {
        if !self.wire().ask(op, answer.after) {
            return Ok(Poll::Pending);
        }
        match &answer.says {
            Ok(()) => Ok(Poll::Ready(())),
            Err(error) if error.kind == LinkErrorKind::Denied => Err(error.clone()),
            Err(error) => Err(self.breaks(error.clone())),
        }
    }
}

impl link::Dial for FakeLink {
    fn dial(&mut self, address: SocketAddr, _: Option<SocketAddr>) -> io::Result<()> {
        self.connection = Connection::None;
        self.edge = false;
        self.begin(address, Call::Dial(address))
    }

    fn dial_beside(&mut self, address: SocketAddr, _: Option<SocketAddr>) -> io::Result<()> {
        let Connection::Dialling(dials) = &self.connection else { panic!("beside {:?}", self.connection) };
        assert!(!dials.is_empty(), "beside nothing");
        self.begin(address, Call::DialBeside(address))
    }

    fn join(&mut self) -> io::Result<Conduit> {
        self.connection = Connection::None;
        self.stuck = None;
        self.edge = false;
        self.generation += 1;
        match self.enter(Call::Join) {
            Err(error) if error.kind == LinkErrorKind::Limit => return Err(Errno::EMFILE.into()),
            Err(_) => return Err(Errno::ENOBUFS.into()),
            Ok(_) => {}
        }
        let (near, far) = Conduit::pair()?;
        self.connection = Connection::Joined;
        self.near = Some(near);
        Ok(far)
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn is_current(&self, generation: u32) -> bool {
        self.generation == generation
    }

    fn dialled(&mut self) -> Poll<(SocketAddr, io::Result<()>)> {
        let entered = self.enter(Call::Dialled);
        let Connection::Dialling(dials) = &mut self.connection else {
            panic!("dialled on {:?}", self.connection)
        };
        match entered {
            Ok(false) => {}
            Ok(true) => return Poll::Pending,
            Err(_) => return Poll::Ready((dials.remove(0).0, Err(Errno::ECONNRESET.into()))),
        }
        if let Some((address, _)) = dials.iter().find(|(_, dial)| *dial == Dial::Connects(0)) {
            let address = *address;
            self.connection = Connection::Connected;
            return Poll::Ready((address, Ok(())));
        }
        for index in 0..dials.len() {
            if let (address, Dial::Fails(0, errno)) = dials[index] {
                dials.remove(index);
                return Poll::Ready((address, Err(errno.into())));
            }
        }
        Poll::Pending
    }
}

impl Transport for FakeLink {
    fn start(&mut self, options: &HandshakeOptions<'_>) -> Result<(), LinkError> {
        let is_connected = matches!(self.connection, Connection::Connected | Connection::Joined);
        assert!(is_connected, "SSH before TCP");
        let last = self.script.peers.len().checked_sub(1);
        let peer = last.map_or_else(Peer::default, |last| self.script.peers[self.started.min(last)].clone());
        self.started += 1;
        self.is_restricted = false;
        self.offered.push(options.recorded.to_vec());
        self.asked.extend(options.host_keys.map(str::to_owned));
        let result = peer.start.clone();
        self.connection = Connection::Up(Box::new(Wire::new(peer)));
        self.enter(Call::Start)?;
        result.map_err(|error| self.breaks(error))
    }

    fn pump(&mut self, budget: usize) -> Result<Pumped, LinkError> {
        assert!(budget > 0);
        if let Connection::Dialling(_) = self.connection {
            self.note(Call::Pump);
            return Ok(Pumped::Drained);
        }
        assert!(matches!(self.connection, Connection::Up(_)), "pumped a link that is down");
        if self.enter(Call::Pump)? {
            return Ok(Pumped::Drained);
        }
        self.wire().pump(budget).map_err(|error| self.breaks(error))
    }

    fn restrict(&mut self) {
        self.is_restricted = true;
    }

    fn is_restricted(&self) -> bool {
        self.is_restricted
    }

    fn listed_host_keys(&self) -> Option<&str> {
        self.listed
    }

    fn algorithms(&self) -> Algorithms {
        Algorithms::default()
    }

    fn partial_packet(&self) -> PartialPacket {
        PartialPacket::default()
    }

    fn bytes_read(&self) -> u64 {
        match &self.connection {
            Connection::Up(wire) => wire.bytes,
            other => panic!("bytes of {other:?}"),
        }
    }

    fn key_exchanges(&self) -> KeyExchanges {
        match &self.connection {
            Connection::Up(wire) => wire.keys,
            other => panic!("key exchanges of {other:?}"),
        }
    }

    fn send_keepalive(&mut self) -> Result<(), LinkError> {
        if !self.enter(Call::Keepalive)? {
            self.wire().keepalive();
        }
        Ok(())
    }

    fn flushed(&self) -> bool {
        !matches!(&self.connection, Connection::Up(wire) if !wire.outbox.is_empty())
    }

    fn cork(&mut self, when: Cork) {
        self.corks.push(when);
        assert!(!mem::replace(&mut self.is_corked, true), "corked twice");
    }

    fn uncork(&mut self) {
        assert!(mem::take(&mut self.is_corked), "uncorked twice");
    }

    fn set_low_water(&mut self, bytes: usize) -> bool {
        self.wire().set_low_water(bytes)
    }

    fn hang_up(&mut self) {
        assert!(!self.is_corked, "hung up while corked: the last messages are lost");
        self.note(Call::HangUp);
        if let Connection::Up(wire) | Connection::Broken(wire) =
            mem::replace(&mut self.connection, Connection::None)
        {
            wire.channels.into_values().for_each(|channel| self.write_down(channel));
        }
        self.near = None;
        self.edge = false;
        self.conduits.clear();
        self.tunnel_news.clear();
        self.tunnels_due.clear();
    }

    fn handshake(&mut self) -> Result<Poll<()>, LinkError> {
        if self.enter(Call::Handshake)? {
            return Ok(Poll::Pending);
        }
        let answer = self.wire().peer.handshake.clone();
        self.ask(Op::Handshake, &answer)
    }

    fn server_key(&mut self) -> Result<Vec<u8>, LinkError> {
        self.enter(Call::ServerKey)?;
        let wire = self.wire();
        wire.key_shown = true;
        Ok(wire.peer.key.clone())
    }
}

impl UserAuth for FakeLink {
    fn request_auth(&mut self) -> Result<Poll<()>, LinkError> {
        let wire = self.wire();
        assert!(
            wire.key_shown && wire.peer.key == host_key(0),
            "authentication on a host that is not trusted"
        );
        let answer = wire.peer.service.clone();
        if self.enter(Call::RequestAuth)? {
            return Ok(Poll::Pending);
        }
        self.ask(Op::Service, &answer)
    }

    fn authenticate(&mut self, credential: &Credential) -> Result<Poll<AuthReply>, LinkError> {
        let cred = Cred::from(credential);
        let wire = self.wire();
        assert!(
            wire.key_shown && wire.peer.key == host_key(0),
            "a credential for a host that is not trusted"
        );
        let after = wire.peer.auth_after;
        if self.enter(Call::Authenticate(cred))? || !self.wire().ask(Op::Auth(cred), after) {
            return Ok(Poll::Pending);
        }
        self.wire().reply(cred).map(Poll::Ready).map_err(|error| self.breaks(error))
    }

    fn interact(&mut self) -> Result<Poll<Interaction>, LinkError> {
        let wire = self.wire();
        assert!(wire.key_shown && wire.peer.key == host_key(0), "answers for a host that is not trusted");
        let after = wire.peer.auth_after;
        if self.enter(Call::Interact)? || !self.wire().ask(Op::Interact, after) {
            return Ok(Poll::Pending);
        }
        self.wire().interact().map(Poll::Ready).map_err(|error| self.breaks(error))
    }

    fn answer(&mut self, answers: &[Secret]) -> Result<(), LinkError> {
        self.enter(Call::Answer(answers.len()))?;
        self.wire().answer(answers.len());
        let told = answers.iter().map(|answer| answer.as_c_str().to_str().unwrap().to_owned());
        self.answers.extend(told);
        Ok(())
    }

    fn offered(&mut self) -> Vec<AuthMethod> {
        let wire = self.wire();
        if let Some(policy) = &wire.peer.policy {
            return policy.offered();
        }
        let offers = &wire.peer.offers;
        offers.get((wire.refusals - 1).min(offers.len() - 1)).cloned().unwrap_or_default()
    }

    fn banner(&mut self) -> Option<Arc<str>> {
        match &mut self.connection {
            Connection::Up(wire) | Connection::Broken(wire) => wire.peer.banner.take().map(Into::into),
            _ => None,
        }
    }
}

impl Channels for FakeLink {
    fn open_channel(&mut self, writable: bool) -> Result<ChannelId, LinkError> {
        let id = self.channels_opened;
        self.enter(Call::Open(id))?;
        self.channels_opened += 1;
        self.wire().open(id, writable);
        Ok(ChannelId(id))
    }

    fn opened(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError> {
        let answer = self.wire().channel(channel).script.open.clone();
        let is_open = self.wire().channel(channel).is_open;
        if self.enter(Call::Opened(channel.0))? {
            return Ok(Poll::Pending);
        }
        if is_open {
            return Ok(Poll::Ready(()));
        }
        let result = self.ask(Op::Open(channel.0), &answer);
        if let Ok(Poll::Ready(())) = result {
            self.wire().channel(channel).is_open = true;
        }
        result
    }

    fn request(&mut self, channel: ChannelId, request: &ChannelRequest) -> Result<Poll<()>, LinkError> {
        let state = self.wire().channel(channel);
        assert!(state.is_open, "a request on a channel that is not open");
        let number = state.requests;
        let answers = &state.script.requests;
        let answer = answers[number.min(answers.len() - 1)].clone();
        if self.enter(Call::Request(channel.0, format!("{request:?}")))? {
            return Ok(Poll::Pending);
        }
        let result = self.ask(Op::Request(channel.0, number), &answer);
        if !matches!(result, Ok(Poll::Pending)) && matches!(self.connection, Connection::Up(_)) {
            self.wire().channel(channel).requests += 1;
        }
        result
    }

    fn run(&mut self, channel: ChannelId, program: Program, command: &CStr) -> Result<Poll<()>, LinkError> {
        assert!(self.wire().channel(channel).is_open, "a command on a channel that is not open");
        let command = command.to_str().unwrap().to_owned();
        let on = *self.requested.entry(command.clone()).or_insert(channel.0);
        // All transfers ask for one subsystem.
        assert!(on == channel.0 || program == Program::Subsystem, "{command} may run twice");
        let state = self.wire().channel(channel);
        state.command.get_or_insert_with(|| command.clone());
        let answer = state.script.exec.clone();
        if self.enter(Call::Exec(channel.0, command))? {
            return Ok(Poll::Pending);
        }
        self.ask(Op::Exec(channel.0), &answer)
    }

    fn inbox(&mut self, channel: ChannelId) -> &mut Inbox {
        match &mut self.connection {
            Connection::Up(wire) | Connection::Broken(wire) => &mut wire.channel(channel).inbox,
            other => panic!("inbox of channel {} on {other:?}", channel.0),
        }
    }

    fn write(&mut self, channel: ChannelId, input: &[u8]) -> Result<usize, LinkError> {
        assert!(!input.is_empty(), "an empty write");
        assert!(self.wire().channel(channel).is_open, "input for a channel that is not open");
        assert!(self.wire().channel(channel).is_writable, "input for a channel that cannot be written to");
        if self.enter(Call::Write(channel.0, input.len()))? || !self.flushed() {
            return Ok(0);
        }
        match self.wire().write(channel, input) {
            Ok(taken) => Ok(taken),
            Err(Take::Denied) => Err(LinkError::new(LinkErrorKind::Denied, "the channel is closed")),
            Err(_) => Err(LinkError::new(LinkErrorKind::Unwritable, "")),
        }
    }

    fn send_eof(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError> {
        let answer = Answer { after: self.wire().channel(channel).script.eof_after, says: Ok(()) };
        if self.enter(Call::SendEof(channel.0))? {
            return Ok(Poll::Pending);
        }
        self.ask(Op::Eof(channel.0), &answer)
    }

    fn signal(&mut self, channel: ChannelId, signal: Signal) -> Result<(), LinkError> {
        assert!(self.wire().channel(channel).is_open, "a signal on a channel that is not open");
        self.enter(Call::Signal(channel.0, signal))?;
        self.wire().signal(channel);
        Ok(())
    }

    fn close_channel(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError> {
        let state = self.wire().channel(channel);
        assert!(state.is_open, "the close of a channel that is not open");
        let answer = Answer { after: state.script.close_after, says: Ok(()) };
        if self.enter(Call::Close(channel.0))? {
            return Ok(Poll::Pending);
        }
        self.ask(Op::Close(channel.0), &answer)
    }

    fn free_channel(&mut self, channel: ChannelId) {
        self.note(Call::Free(channel.0));
        let freed = self.wire().channels.remove(&channel.0);
        self.write_down(freed.unwrap_or_else(|| panic!("channel {} freed twice", channel.0)));
    }

    fn agent_connections(&self) -> usize {
        self.agent_connections
    }
}

impl Tunnelling for FakeLink {
    fn open_tunnel(&mut self, host: &str, port: u16, conduit: Conduit) -> Result<ChannelId, LinkError> {
        let id = self.channels_opened;
        self.enter(Call::OpenTunnel(id, format!("{host}:{port}")))?;
        self.wire();
        self.channels_opened += 1;
        self.conduits.insert(id, conduit);
        self.begin_tunnel(ChannelId(id));
        Ok(ChannelId(id))
    }

    fn tunnel_news(&mut self) -> Option<(ChannelId, TunnelNews)> {
        let (channel, news) = self.tunnel_news.pop_front()?;
        if news == TunnelNews::Ended {
            self.conduits.remove(&channel.0);
        }
        Some((channel, news))
    }

    fn wake_tunnel(&mut self, channel: ChannelId) {
        self.note(Call::WakeTunnel(channel.0));
    }

    fn close_tunnel(&mut self, channel: ChannelId) {
        self.note(Call::CloseTunnel(channel.0));
        self.end_tunnel(channel);
    }
}
