//! What a session may ask of SSH.
//!
//! [`Link`] is one connection: TCP, then SSH over it. Every call returns at once; `Poll::Pending`
//! means "ask again after the next readiness". A link never calls back: what arrives stays in an
//! [`Inbox`] until the session collects it.
//!
//! Only this module knows libssh. Another SSH implementation would have to provide what [`engine`]
//! exports:
//! - a type that implements the five parts of [`Link`] and is made from a [`Dialler`] and an index;
//! - a `PrivateKey`: made from a [`PlainKey`](crate::credential::PlainKey), shown with a
//!   certificate, and its public blob;
//! - three answers about itself: its version, whether it has GSSAPI, and whether it can forward an
//!   agent now.
//!
//! It can use what is not specific to libssh: [`Dialler`], `happy_eyeballs`, and [`Conduit`]s for
//! tunnels.

mod agent_forwarding;
mod conduit;
mod dialler;
mod first_write;
mod gssapi;
mod happy_eyeballs;
mod libssh;
mod libssh_link;
mod tunnel;
mod tunnel_writer;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

pub(crate) use conduit::Conduit;
pub(crate) use dialler::Dialler;
pub(crate) use engine::PrivateKey;
pub(crate) use libssh::descriptor_of;

use crate::agent::wire::Identity;
use crate::command::{ChannelRequest, Signal};
use crate::credential::{Prompt, Secret};
use crate::error::AuthMethod;
use crate::output::ExitSignal;

/// The SSH implementation behind all links.
pub(crate) mod engine {
    pub(crate) use super::first_write::can_forward_agent;
    pub(crate) use super::libssh::{PrivateKey, has_gssapi, version};
    pub(crate) use super::libssh_link::LibsshLink as EngineLink;
}

/// One SSH connection, as a session sees it.
///
/// After an error a link can only be collected from ([`Channels::inbox`]) and dropped, which closes
/// the connection.
pub(crate) trait Link: Dial + Transport + UserAuth + Channels + Tunnelling + Send {
    /// For tests that know which link they gave.
    #[cfg(test)]
    fn as_any(&mut self) -> &mut dyn std::any::Any;
}

impl<T: Dial + Transport + UserAuth + Channels + Tunnelling + Send + 'static> Link for T {
    #[cfg(test)]
    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

/// Getting a connection: by TCP, or through a tunnel of another link.
pub(crate) trait Dial {
    /// Begins a TCP connect and closes an earlier connection.
    fn dial(&mut self, address: SocketAddr) -> io::Result<()>;
    /// Begins a TCP connect beside those under way. They go on even if this one cannot begin.
    fn dial_beside(&mut self, address: SocketAddr) -> io::Result<()>;
    /// Begins a connection through a tunnel and closes an earlier connection. Give the other end to
    /// the proxy's link ([`Tunnelling::open_tunnel`]), which reports when SSH may begin.
    fn join(&mut self) -> io::Result<Conduit>;
    /// Identifies the connection within the fleet: the one begun last or, of several TCP connects,
    /// the winner.
    fn generation(&self) -> u32;
    /// Whether this is the generation of the connection or of a connect under way. Readiness for
    /// any other is stale.
    fn is_current(&self, generation: u32) -> bool;
    /// The result of a TCP connect under way, and its address.
    ///
    /// The first to connect wins, and the others are closed. A failed one is reported once and
    /// closed while the others go on.
    fn dialled(&mut self) -> Poll<(SocketAddr, io::Result<()>)>;
}

/// SSH over the connection (RFC 4253).
pub(crate) trait Transport {
    /// Begins SSH over the connected socket or tunnel.
    fn start(&mut self, options: &HandshakeOptions<'_>) -> Result<(), LinkError>;
    /// Whether the key exchange is complete.
    fn handshake(&mut self) -> Result<Poll<()>, LinkError>;
    /// The server's public key as a wire blob (RFC 4253 section 6.6), once the handshake is
    /// complete.
    fn server_key(&mut self) -> Result<Vec<u8>, LinkError>;
    /// Reads and dispatches what has arrived, relays tunnels, and sends what waits, in at most
    /// `budget` socket reads at a time.
    fn pump(&mut self, budget: usize) -> Result<Pumped, LinkError>;
    /// Whether the socket has taken everything written so far, and everything read has been
    /// dispatched. If not, there is more to pump.
    fn flushed(&self) -> bool;
    /// Holds back what is written until [`uncork`](Self::uncork), so that several messages leave as
    /// one segment.
    fn cork(&mut self);
    /// Sends what was held back.
    fn uncork(&mut self);
    /// Packets received so far. While the number grows, the peer is alive.
    fn packets_read(&self) -> u64;
    /// Key exchanges completed so far, and the traffic of channels.
    fn key_exchanges(&self) -> KeyExchanges;
    /// Asks for a sign of life (`keepalive@openssh.com`), unless an earlier request is outstanding.
    fn send_keepalive(&mut self) -> Result<(), LinkError>;
    /// Closes the connection without waiting, with a DISCONNECT if possible.
    fn hang_up(&mut self);
}

/// User authentication (RFC 4252).
pub(crate) trait UserAuth {
    /// Requests the authentication service. Before all other calls of this trait.
    fn request_auth(&mut self) -> Result<Poll<()>, LinkError>;
    /// Tries one credential. Repeat with the same one until ready.
    fn authenticate(&mut self, credential: &Credential) -> Result<Poll<AuthReply>, LinkError>;
    /// Begins keyboard-interactive, or sends the answers. Repeat until ready.
    fn interact(&mut self) -> Result<Poll<Interaction>, LinkError>;
    /// Answers the questions, one each, in order. The next [`interact`](Self::interact) sends the
    /// answers.
    fn answer(&mut self, answers: &[Secret]) -> Result<(), LinkError>;
    /// The methods that the server's last refusal offered.
    fn offered(&mut self) -> Vec<AuthMethod>;
}

/// Channels for commands (RFC 4254 section 6).
pub(crate) trait Channels {
    /// Begins to open a session channel.
    fn open_channel(&mut self) -> Result<ChannelId, LinkError>;
    /// Whether the server opened the channel.
    fn opened(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError>;
    /// Requests something that the command needs. Repeat with the same request until ready; one at
    /// a time on a channel.
    fn request(&mut self, channel: ChannelId, request: &ChannelRequest) -> Result<Poll<()>, LinkError>;
    /// Asks the server to run the command. Repeat until ready.
    fn exec(&mut self, channel: ChannelId, command: &[u8]) -> Result<Poll<()>, LinkError>;
    /// What has arrived on the channel. Take it out.
    fn inbox(&mut self, channel: ChannelId) -> &mut Inbox;
    /// Writes as much input as goes now. 0: the window is shut, or the socket takes no more.
    fn write(&mut self, channel: ChannelId, input: &[u8]) -> Result<usize, LinkError>;
    /// Ends the input.
    fn send_eof(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError>;
    /// Sends a signal to a command that was accepted. There is no answer.
    fn signal(&mut self, channel: ChannelId, signal: Signal) -> Result<(), LinkError>;
    /// Sends CLOSE. Ready when it is on its way.
    fn close_channel(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError>;
    /// Forgets the channel and its inbox.
    fn free_channel(&mut self, channel: ChannelId);
    /// Descriptors of connections to a forwarded agent.
    fn agent_connections(&self) -> usize;
}

/// Tunnels to hosts behind this one (RFC 4254 section 7.2).
pub(crate) trait Tunnelling {
    /// Asks the server to connect a channel to this host, for the other end of the conduit.
    fn open_tunnel(&mut self, host: &str, port: u16, conduit: Conduit) -> Result<ChannelId, LinkError>;
    /// News of a tunnel, each reported once.
    fn tunnel_news(&mut self) -> Option<(ChannelId, TunnelNews)>;
    /// The host behind a tunnel may have sent or taken something: the next pump looks.
    fn wake_tunnel(&mut self, channel: ChannelId);
    /// The host behind a tunnel has hung up: the next pump closes the channel.
    fn close_tunnel(&mut self, channel: ChannelId);
}

/// News of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TunnelNews {
    /// The server has connected it.
    Opened,
    /// The server refuses (RFC 4254 section 5.1).
    Refused { reason: u32, text: String },
    /// The channel is gone, and its id may be reused.
    Ended,
}

/// A channel of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChannelId(pub usize);

/// Options of a handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandshakeOptions<'a> {
    /// Login name.
    pub user: &'a str,
    /// Host key algorithms on record for this host, to be offered first.
    pub recorded: &'a [&'static str],
    /// Whether to compress after the login, if the server agrees.
    pub compress: bool,
    /// The socket of the agent to forward, if any.
    pub agent: Option<&'a Arc<Path>>,
}

/// Key exchanges of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeyExchanges {
    /// Number completed, the first included.
    pub done: u64,
    /// Bytes of channels in both directions, with a little for each packet.
    pub traffic: u64,
}

/// What a pump left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// The socket has nothing more: wait for the next readiness event.
    Drained,
    /// The budget ran out first.
    More,
}

/// One way to prove who the user is.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// The `none` method: asks which methods the server offers, and succeeds if it needs none.
    None,
    /// Asks whether the server would take this key, without a signature.
    Probe(Arc<PrivateKey>),
    /// Signs with this key.
    Key(Arc<PrivateKey>),
    /// A key in an agent. Without a signature: asks whether the server would take the key, and what
    /// to sign ([`AuthReply::ToSign`]). With the agent's signature: logs in.
    Agent { identity: Identity, signature: Option<Arc<[u8]>> },
    /// The password.
    Password(Secret),
    /// A Kerberos ticket, by `gssapi-with-mic` (RFC 4462 section 3).
    Gssapi(Arc<Gssapi>),
}

/// The identities of a GSSAPI login.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Gssapi {
    /// The host part of the server's service name: the service is `host@server`.
    pub server: String,
    /// The user's principal. `None`: the default principal.
    pub client: Option<String>,
    /// Whether the server gets a ticket to act as the user.
    pub delegate: bool,
}

/// The result of trying a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthReply {
    /// Accepted. For a probe: a signature by that key would be accepted.
    Accepted,
    /// A signature by the agent's key would be accepted. This is the request to send to the agent.
    ToSign(Vec<u8>),
    /// Accepted, and the server wants another method as well (RFC 4252 section 5.1).
    Partial,
    /// Refused.
    Denied,
    /// This end gave up, for this reason. The server has refused nothing.
    Unable(String),
}

/// A server's turn in keyboard-interactive authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Interaction {
    /// It asks questions.
    Asks(Questions),
    /// It has decided.
    Replies(AuthReply),
}

/// One round of questions (RFC 4256 section 3.2), unfiltered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Questions {
    pub name: String,
    pub instruction: String,
    pub prompts: Vec<Prompt>,
}

/// What has arrived on a channel and was not collected.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Bytes of standard output.
    pub stdout: Vec<u8>,
    /// Bytes of standard error.
    pub stderr: Vec<u8>,
    /// The server will send no more data.
    pub eof: bool,
    /// The server closed the channel. Later messages are ignored.
    pub closed: bool,
    /// `exit-status` (RFC 4254 section 6.10).
    pub status: Option<u32>,
    /// `exit-signal`.
    pub signal: Option<ExitSignal>,
}

impl Inbox {
    /// Whether something has arrived that shows that the command ran.
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

/// The failure of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkError {
    pub kind: LinkErrorKind,
    /// The text of libssh or the system.
    pub text: String,
}

/// The kind of a failure, as far as its text shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkErrorKind {
    /// The peer closed the connection, or the socket failed.
    Lost,
    /// The same, before the peer has sent its version line.
    Dropped,
    /// SSH_MSG_DISCONNECT with this reason.
    Disconnected(u32),
    /// The peer does not speak SSH 2.
    NotSsh,
    /// No algorithm in common.
    NoCommonAlgorithm,
    /// A packet did not decrypt, or its MAC or the host's signature is wrong.
    Integrity,
    /// A malformed or unexpected message.
    Protocol,
    /// The server refused. The connection is up.
    Denied,
    /// The channel's maximum packet size leaves no room for data.
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
