//! What a session may ask of SSH.
//!
//! [`Link`] is one connection: TCP, then SSH over it. Every call returns at once; `Poll::Pending` means "ask again after
//! the next readiness". A link never calls back: what arrives is left in an [`Inbox`] until the session collects it.

mod agent_channels;
mod agent_script;
mod backlog;
mod classify;
mod conduit;
mod dialler;
mod first_write;
mod gssapi;
mod libssh;
mod live;
mod outbox;
mod race;
mod tunnel;

use std::any::Any;
use std::ffi::{CStr, CString};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

pub(crate) use conduit::Conduit;
pub(crate) use dialler::Dialler;
pub(crate) use first_write::can_forward_agent;
pub(crate) use libssh::{PrivateKey, descriptor_of, has_gssapi, version};
pub(crate) use live::LibsshLink;

use crate::agent::wire::Identity;
use crate::command::ChannelRequest;
use crate::command::Signal;
use crate::credential::Prompt;
use crate::credential::Secret;
use crate::error::AuthMethod;
use crate::output::ExitSignal;

/// One SSH connection, as a session sees it.
///
/// After an error the link can only be collected from ([`Link::inbox`]) and dropped, which closes the connection.
pub(crate) trait Link: Any + Send {
    /// Begins a TCP connect; an earlier connection is closed.
    fn dial(&mut self, address: SocketAddr) -> io::Result<()>;
    /// Begins a TCP connect beside those under way, which go on even if this one cannot be begun.
    fn dial_beside(&mut self, address: SocketAddr) -> io::Result<()>;
    /// Begins a connection that a tunnel is to carry; an earlier connection is closed. The other end goes to the link of
    /// the proxy ([`Link::open_tunnel`]), which tells when SSH may begin.
    fn join(&mut self) -> io::Result<Conduit>;
    /// Names the connection among all of the fleet: the one begun last or, of several begun beside one another, the winner.
    fn generation(&self) -> u32;
    /// Whether this is the generation of the connection, or of a connect under way: readiness reported for another is stale.
    fn is_current(&self, generation: u32) -> bool;
    /// What has become of a TCP connect under way, and to which address.
    ///
    /// The first that is connected wins, and the others are closed. One that has failed is told once and is closed; the others
    /// go on, and their failures are told by the next calls.
    fn dialled(&mut self) -> Poll<(SocketAddr, io::Result<()>)>;

    /// Begins SSH over the connected socket, or through the tunnel.
    fn start(&mut self, setup: &Setup<'_>) -> Result<(), LinkError>;
    /// Reads and dispatches what has arrived, moves what goes through tunnels, and sends what waits, in at most `budget`
    /// socket reads at a time.
    fn pump(&mut self, budget: usize) -> Result<Pumped, LinkError>;
    /// Descriptors of connections to a forwarded agent.
    fn agent_connections(&self) -> usize;
    /// Packets received so far; while it grows, the peer lives.
    fn packets_read(&self) -> u64;
    /// Key exchanges completed so far, and what went over the connection besides.
    fn key_exchanges(&self) -> KeyExchanges;
    /// Asks for a sign of life (`keepalive@openssh.com`), unless one that was asked for is outstanding.
    fn send_keepalive(&mut self) -> Result<(), LinkError>;
    /// Whether everything written so far has reached the socket, and all that was read by the way has been looked at: else
    /// there is more to pump.
    fn flushed(&self) -> bool;
    /// From here on, what is written waits for [`uncork`](Self::uncork), so that several messages leave as one segment.
    fn cork(&mut self);
    /// Lets go what was held back.
    fn uncork(&mut self);
    /// Closes the connection, with a goodbye if there is somebody to say it to, and without waiting.
    fn hang_up(&mut self);
    /// Whether the key exchange is complete.
    fn handshake(&mut self) -> Result<Poll<()>, LinkError>;
    /// The server's public key as a wire blob (RFC 4253 section 6.6), once the handshake is complete.
    fn server_key(&mut self) -> Result<Vec<u8>, LinkError>;

    /// Asks for the authentication service; first of all authentication calls.
    fn request_auth(&mut self) -> Result<Poll<()>, LinkError>;
    /// Tries one credential; repeated with the same one until ready.
    fn authenticate(&mut self, credential: &Credential) -> Result<Poll<AuthReply>, LinkError>;
    /// Begins keyboard-interactive, or sends the answers that were given; repeated until ready.
    fn interact(&mut self) -> Result<Poll<Interaction>, LinkError>;
    /// Answers the questions asked, one each, in order. The next [`interact`](Self::interact) sends them.
    fn answer(&mut self, answers: &[Secret]) -> Result<(), LinkError>;
    /// The methods that the server's last refusal offered.
    fn offered(&mut self) -> Vec<AuthMethod>;

    /// Begins to open a session channel.
    fn open_channel(&mut self) -> Result<ChannelId, LinkError>;
    /// Whether the server opened the channel.
    fn opened(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError>;
    /// Asks for something that the command needs; repeated with the same request until ready, one at a time on a channel.
    fn request(&mut self, channel: ChannelId, request: &ChannelRequest) -> Result<Poll<()>, LinkError>;
    /// Asks the server to run the command; repeated until ready.
    fn exec(&mut self, channel: ChannelId, command: &CStr) -> Result<Poll<()>, LinkError>;
    /// What has arrived on the channel. Whoever takes it leaves it empty.
    fn inbox(&mut self, channel: ChannelId) -> &mut Inbox;
    /// Hands input over, as much as goes now; 0 until the peer or the socket takes more.
    fn write(&mut self, channel: ChannelId, input: &[u8]) -> Result<usize, LinkError>;
    /// Ends the input.
    fn send_eof(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError>;
    /// Sends a signal to the command, which must have been accepted. There is no answer.
    fn signal(&mut self, channel: ChannelId, signal: Signal) -> Result<(), LinkError>;
    /// Sends the end of the channel; ready when it is on its way.
    fn close_channel(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError>;
    /// Forgets the channel and its inbox.
    fn free_channel(&mut self, channel: ChannelId);

    /// Asks the server to connect a channel to this host (RFC 4254 section 7.2), for whoever has the conduit's other end.
    fn open_tunnel(&mut self, host: &CStr, port: u16, conduit: Conduit) -> Result<ChannelId, LinkError>;
    /// What has become of a tunnel; told once, of one after the other.
    fn tunnel_news(&mut self) -> Option<(ChannelId, TunnelNews)>;
    /// The host behind a tunnel may have sent or taken something: the next pump looks.
    fn wake_tunnel(&mut self, channel: ChannelId);
    /// The host behind a tunnel has hung up: the next pump closes the channel.
    fn close_tunnel(&mut self, channel: ChannelId);
}

/// What has become of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TunnelNews {
    /// The server has connected it.
    Opened,
    /// The server refuses (RFC 4254 section 5.1).
    Refused { reason: u32, text: String },
    /// It is gone, and its channel's name may come again.
    Ended,
}

/// Names one channel of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChannelId(pub usize);

/// How a handshake is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// Login name.
    pub user: &'a CStr,
    /// Host key algorithms already on record for this host, to be offered first.
    pub recorded: &'a [&'static str],
    /// Whether to compress once the user is logged in, if the server agrees.
    pub compress: bool,
    /// The socket of the agent that the server may open channels to, if it may.
    pub agent: Option<&'a Arc<Path>>,
}

/// The key exchanges of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeyExchanges {
    /// Those completed, the first one included.
    pub done: u64,
    /// Bytes of channels that went either way, and a little for each packet of them.
    pub traffic: u64,
}

/// What a pump left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// The socket has nothing more for now; the next readiness event will tell.
    Drained,
    /// The budget ran out first.
    More,
}

/// One way to prove who the user is.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// The `none` method: asks what the server offers, and succeeds where nothing is needed.
    None,
    /// Asks whether the server would take this key, without a signature.
    Probe(Arc<PrivateKey>),
    /// Signs with this key.
    Key(Arc<PrivateKey>),
    /// A key whose private half an agent keeps. Without the agent's signature: asks whether the server would take the
    /// key, and what to sign ([`AuthReply::ToSign`]). With it: signs.
    Agent { identity: Identity, signature: Option<Arc<[u8]>> },
    /// The password.
    Password(Secret),
    /// A Kerberos ticket, by `gssapi-with-mic` (RFC 4462 section 3).
    Gssapi(Arc<Gssapi>),
}

/// Who proves what to whom by GSSAPI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Gssapi {
    /// The host in the name of the server's service, `host@` being put before it.
    pub server: CString,
    /// Whose ticket. `None`: the default one's.
    pub client: Option<CString>,
    /// Whether the server gets a ticket to act for the user with.
    pub delegate: bool,
}

/// What came of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthReply {
    /// Accepted. For a probe: a signature by that key would be.
    Accepted,
    /// A signature by the agent's key would be accepted: this is the request for it, as an agent wants it.
    ToSign(Vec<u8>),
    /// Accepted, and the server wants another method as well (RFC 4252 section 5.1).
    Partial,
    /// Refused.
    Denied,
    /// Given up at this end for this reason; the server has refused nothing.
    Unable(String),
}

/// What a server does in keyboard-interactive authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Interaction {
    /// It asks.
    Asks(Questions),
    /// It has made up its mind.
    Replies(AuthReply),
}

/// One round of questions (RFC 4256 section 3.2), as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Questions {
    pub name: String,
    pub instruction: String,
    pub prompts: Vec<Prompt>,
}

/// What has arrived on a channel and was not collected yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Bytes of standard output.
    pub stdout: Vec<u8>,
    /// Bytes of standard error.
    pub stderr: Vec<u8>,
    /// The server will send no more data.
    pub eof: bool,
    /// The server closed the channel: whatever it sends afterwards is ignored.
    pub closed: bool,
    /// `exit-status` (RFC 4254 section 6.10).
    pub status: Option<u32>,
    /// `exit-signal`.
    pub signal: Option<ExitSignal>,
}

impl Inbox {
    /// Whether something has arrived that only a command which was run can have sent.
    pub(crate) fn shows_execution(&self) -> bool {
        let printed = !self.stdout.is_empty() || !self.stderr.is_empty();
        printed || self.status.is_some() || self.signal.is_some()
    }

    /// Whether nothing has arrived at all.
    pub(crate) fn is_empty(&self) -> bool {
        let silent = self.stdout.is_empty() && self.stderr.is_empty() && !self.eof && !self.closed;
        silent && self.status.is_none() && self.signal.is_none()
    }
}

/// A link failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkError {
    pub kind: LinkErrorKind,
    /// What libssh or the system said.
    pub text: String,
}

/// What a link failed of, as far as its text tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkErrorKind {
    /// The peer closed the connection, or the socket failed.
    Lost,
    /// The same, before the peer had said that it speaks SSH.
    Dropped,
    /// SSH_MSG_DISCONNECT with this reason.
    Disconnected(u32),
    /// The peer does not speak SSH 2.
    NotSsh,
    /// No algorithm in common.
    NoCommonAlgorithm,
    /// A packet did not decrypt, or its MAC or the host's signature is wrong.
    Integrity,
    /// A message out of place or malformed.
    Protocol,
    /// The server said no; the connection lives.
    Denied,
    /// The channel announced no usable packet size.
    Unwritable,
    /// A limit of this process.
    Limit,
    /// Anything else.
    Other,
}

impl LinkError {
    pub(crate) fn new(kind: LinkErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}
