//! The interface through which a session uses SSH.
//!
//! [`Link`] is one connection: TCP with SSH on top. Every call returns at once. `Poll::Pending`
//! means that the caller must call again after the next readiness event. A link never calls back.
//! It keeps what arrives on a channel in that channel's [`Inbox`] until the session collects it.
//!
//! Only this module knows libssh. Another SSH implementation would have to provide what [`engine`]
//! exports:
//! - a type that implements the five parts of [`Link`] and is made from a [`Dialler`] and an index;
//! - a `PrivateKey` type, which is made from a [`PlainKey`](crate::credential::PlainKey), can be
//!   combined with a certificate, and returns its public blob;
//! - four functions that return the version, whether GSSAPI is available, whether an agent can be
//!   forwarded now, and whether an algorithm is supported.
//!
//! The other implementation can use the parts that are not specific to libssh: [`Dialler`],
//! `happy_eyeballs`, and [`Conduit`]s for tunnels.

mod agent_forwarding;
pub(crate) mod algorithms;
mod conduit;
mod dialler;
mod error;
mod first_write;
mod gssapi;
mod happy_eyeballs;
mod inbox;
mod libssh;
mod libssh_link;
mod provider;
mod tunnel;
mod tunnel_writer;

use std::ffi::CStr;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

pub(crate) use conduit::Conduit;
pub(crate) use dialler::Dialler;
pub(crate) use engine::PrivateKey;
pub(crate) use error::{LinkError, LinkErrorKind};
pub(crate) use inbox::Inbox;
pub(crate) use libssh::descriptor_of;
pub use provider::CryptoProvider;

use self::algorithms::{Algorithms, Offered};
use crate::agent::wire::Identity;
use crate::command::{ChannelRequest, Program, Signal};
use crate::credential::{Prompt, Secret};
use crate::error::AuthMethod;

/// The SSH implementation behind all links.
pub(crate) mod engine {
    pub(crate) use super::first_write::can_forward_agent;
    #[cfg(test)]
    pub(crate) use super::libssh::verbose_scopes;
    pub(crate) use super::libssh::{PrivateKey, has_gssapi, supports, takes_user, version};
    pub(crate) use super::libssh_link::LibsshLink as EngineLink;
    pub(crate) use super::provider::status as provider;
}

/// One SSH connection, as a session sees it.
///
/// After an error, a link can only be used to collect what has already arrived
/// ([`Channels::inbox`]). Dropping a link closes its connection.
pub(crate) trait Link: Dial + Transport + UserAuth + Channels + Tunnelling + Send {
    /// Lets a test downcast the link to the type that the test made it from.
    #[cfg(test)]
    fn as_any(&mut self) -> &mut dyn std::any::Any;
}

impl<T: Dial + Transport + UserAuth + Channels + Tunnelling + Send + 'static> Link for T {
    #[cfg(test)]
    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

/// How a link gets its connection: by TCP, or through a tunnel of another link.
pub(crate) trait Dial {
    /// Closes any earlier connection and begins a TCP connect, from the local address `from` if
    /// there is one.
    fn dial(&mut self, address: SocketAddr, from: Option<SocketAddr>) -> io::Result<()>;
    /// Begins a TCP connect in parallel with those under way, which continue even if the new one
    /// fails to start.
    fn dial_beside(&mut self, address: SocketAddr, from: Option<SocketAddr>) -> io::Result<()>;
    /// Closes any earlier connection and begins one through a tunnel. Returns the far end of the
    /// tunnel's conduit, which the caller passes to the proxy's link ([`Tunnelling::open_tunnel`]).
    /// The proxy's link reports when SSH may begin.
    fn join(&mut self) -> io::Result<Conduit>;
    /// The number that identifies the connection within the fleet. While TCP connects are under
    /// way, this is the number of the latest one; afterwards, it is the number of the winner.
    fn generation(&self) -> u32;
    /// Whether this number belongs to the connection or to a connect under way. Readiness events
    /// for any other number are stale.
    fn is_current(&self, generation: u32) -> bool;
    /// The result of the next TCP connect that has succeeded or failed, with its address.
    ///
    /// The first connect to succeed wins, and the others are closed. A connect that fails is
    /// reported once and closed, while the others continue.
    fn dialled(&mut self) -> Poll<(SocketAddr, io::Result<()>)>;
}

/// SSH over the connection (RFC 4253).
pub(crate) trait Transport {
    /// Begins SSH over the connected socket or tunnel.
    fn start(&mut self, options: &HandshakeOptions<'_>) -> Result<(), LinkError>;
    /// Returns `Ready` once the key exchange is complete.
    fn handshake(&mut self) -> Result<Poll<()>, LinkError>;
    /// The server's public key as a wire blob (RFC 4253 section 6.6). It is available once the
    /// handshake is complete.
    fn server_key(&mut self) -> Result<Vec<u8>, LinkError>;
    /// Restricts the connection, because the server may not be the one that it was before: from now
    /// on, it cannot open channels to the agent.
    fn restrict(&mut self);
    /// Whether the connection is [restricted](Self::restrict).
    fn is_restricted(&self) -> bool;
    /// The host key algorithms that the server has listed in a handshake with
    /// [chosen ones](HandshakeOptions::host_keys), if the list is known.
    fn listed_host_keys(&self) -> Option<&str>;
    /// The algorithms that the handshake has agreed on. They are known once
    /// [`server_key`](Self::server_key) was called.
    fn algorithms(&self) -> Algorithms;
    /// Reads and dispatches what has arrived, relays tunnels, and sends what is waiting, in passes
    /// of at most `budget` socket reads each.
    fn pump(&mut self, budget: usize) -> Result<Pumped, LinkError>;
    /// Whether the socket has accepted everything written so far and everything read has been
    /// dispatched. If not, another pump has work to do.
    fn flushed(&self) -> bool;
    /// Holds back what is sent until [`uncork`](Self::uncork) is called, so that several messages
    /// leave as one TCP segment.
    fn cork(&mut self, when: Cork);
    /// Sends the data that [`cork`](Self::cork) has held back.
    fn uncork(&mut self);
    /// Lets the link count as readable only once this many bytes have arrived, or the connection
    /// has ended (`SO_RCVLOWAT`). Until then, pumps read nothing. 0, the default, stands for any
    /// number of bytes; systems and sockets without that option know nothing else. Returns whether
    /// the number is lower than before. If so, what has arrived may cause no event.
    fn set_low_water(&mut self, bytes: usize) -> bool;
    /// How many bytes have been received so far, those of unfinished packets included. While this
    /// number grows, the peer is alive.
    fn bytes_read(&self) -> u64;
    /// The packet that is being received.
    fn partial_packet(&self) -> PartialPacket;
    /// How many key exchanges have completed so far, and how much traffic the channels have
    /// carried.
    fn key_exchanges(&self) -> KeyExchanges;
    /// Sends a keepalive request (`keepalive@openssh.com`), unless an earlier one is still
    /// unanswered.
    fn send_keepalive(&mut self) -> Result<(), LinkError>;
    /// Closes the connection without waiting. Sends SSH_MSG_DISCONNECT first if possible.
    fn hang_up(&mut self);
}

/// User authentication (RFC 4252).
pub(crate) trait UserAuth {
    /// Requests the authentication service. This must succeed before any other method of this trait
    /// is called.
    fn request_auth(&mut self) -> Result<Poll<()>, LinkError>;
    /// Tries one credential. Must be called again with the same credential until the result is
    /// ready.
    fn authenticate(&mut self, credential: &Credential) -> Result<Poll<AuthReply>, LinkError>;
    /// Begins keyboard-interactive authentication, or sends the answers to the last questions. Must
    /// be called again until the result is ready.
    fn interact(&mut self) -> Result<Poll<Interaction>, LinkError>;
    /// Stores the answers to the questions: one for each, in order. The next
    /// [`interact`](Self::interact) sends them.
    fn answer(&mut self, answers: &[Secret]) -> Result<(), LinkError>;
    /// The authentication methods that the server offered in its last refusal.
    fn offered(&mut self) -> Vec<AuthMethod>;
    /// Takes what the server has said to the user so far: lines before its version (RFC 4253
    /// section 4.2), banners (RFC 4252 section 5.4), and messages of keyboard-interactive. It is
    /// [sanitised](crate::text::sanitise_lines), and available even after an error.
    fn banner(&mut self) -> Option<Arc<str>>;
}

/// Channels for commands (RFC 4254 section 6).
pub(crate) trait Channels {
    /// Begins to open a session channel. [`write`](Self::write) may be called only if `writable` is
    /// set. A channel that need not be writable costs less to open.
    fn open_channel(&mut self, writable: bool) -> Result<ChannelId, LinkError>;
    /// Returns `Ready` once the server has opened the channel. A refusal is an error.
    fn opened(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError>;
    /// Requests something that the command needs, such as a terminal. Must be called again with the
    /// same request until the result is ready. A channel can have only one request pending.
    fn request(&mut self, channel: ChannelId, request: &ChannelRequest) -> Result<Poll<()>, LinkError>;
    /// Asks the server to start a program. `text` is the command line or the name of the subsystem.
    /// Must be called again until the result is ready.
    fn run(&mut self, channel: ChannelId, program: Program, text: &CStr) -> Result<Poll<()>, LinkError>;
    /// What has arrived on the channel. The caller takes it out of the inbox.
    fn inbox(&mut self, channel: ChannelId) -> &mut Inbox;
    /// Writes as much input as possible now and returns how many bytes were written. Returns 0 if
    /// the channel's window is closed or the socket accepts no more.
    fn write(&mut self, channel: ChannelId, input: &[u8]) -> Result<usize, LinkError>;
    /// Sends EOF, which ends the command's input.
    fn send_eof(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError>;
    /// Sends a signal to a command that the server has accepted. The server does not answer.
    fn signal(&mut self, channel: ChannelId, signal: Signal) -> Result<(), LinkError>;
    /// Sends SSH_MSG_CHANNEL_CLOSE. Returns `Ready` once the message is on its way.
    fn close_channel(&mut self, channel: ChannelId) -> Result<Poll<()>, LinkError>;
    /// Forgets the channel and its inbox.
    fn free_channel(&mut self, channel: ChannelId);
    /// How many connections this link has to a forwarded agent. Each takes a descriptor.
    fn agent_connections(&self) -> usize;
}

/// Tunnels to hosts behind this one (RFC 4254 section 7.2).
pub(crate) trait Tunnelling {
    /// Asks the server to open a tunnel to this host, and attaches it to the given end of a
    /// conduit.
    fn open_tunnel(&mut self, host: &str, port: u16, conduit: Conduit) -> Result<ChannelId, LinkError>;
    /// The next event of a tunnel. Each event is reported once.
    fn tunnel_news(&mut self) -> Option<(ChannelId, TunnelNews)>;
    /// Makes the next pump relay this tunnel. Call this when the host behind the proxy may have
    /// sent or read something.
    fn wake_tunnel(&mut self, channel: ChannelId);
    /// Makes the next pump close the channel of this tunnel. Call this when the host behind the
    /// proxy has hung up.
    fn close_tunnel(&mut self, channel: ChannelId);
}

/// An event of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TunnelNews {
    /// The server has connected the tunnel.
    Opened,
    /// The server has refused the tunnel (RFC 4254 section 5.1).
    Refused { reason: u32, text: String },
    /// The tunnel's channel no longer exists, and its id may be reused.
    Ended,
}

/// The id of a channel of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChannelId(pub usize);

/// The options of a handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandshakeOptions<'a> {
    /// The login name.
    pub user: &'a CStr,
    pub algorithms: &'a Offered,
    /// The host key algorithms on record for this host. They are offered first.
    pub recorded: &'a [&'static str],
    /// The host key algorithms to offer instead of those in `algorithms`.
    pub host_keys: Option<&'a str>,
    /// Whether to compress after the login, if the server agrees.
    pub compress: bool,
    /// Whether an agent's keys may be used to log in.
    pub logs_in_by_agent: bool,
    pub rekey: RekeyLimit,
    /// The socket of the agent to forward, if any.
    pub agent: Option<&'a Arc<Path>>,
}

impl<'a> HandshakeOptions<'a> {
    /// Options for this user and these algorithms, with nothing else asked for.
    pub(crate) fn new(user: &'a CStr, algorithms: &'a Offered) -> Self {
        Self {
            user,
            algorithms,
            recorded: &[],
            host_keys: None,
            compress: false,
            logs_in_by_agent: false,
            rekey: RekeyLimit::default(),
            agent: None,
        }
    }
}

/// When this end asks for new keys, besides where the cipher needs them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct RekeyLimit {
    /// After this many bytes in one direction.
    pub bytes: Option<u64>,
    /// With the first packet after this time.
    pub time: Option<Duration>,
}

/// The key exchanges and the traffic of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeyExchanges {
    /// How many key exchanges have completed, including the first.
    pub done: u64,
    /// How many bytes the channels have carried in both directions, plus a small overhead per
    /// packet.
    pub traffic: u64,
    /// How many bytes the socket has carried in both directions.
    pub carried: u64,
}

/// An SSH packet that is being received ([`HostRef::partial_packet`](crate::fleet::HostRef)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartialPacket {
    /// How many packets were received before it.
    pub number: u64,
    /// How many bytes of it have arrived, apart from those that came with the packet before it.
    pub bytes: u64,
}

/// When to begin to hold back what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cork {
    Now,
    /// Once data is written. If none is, that saves two system calls.
    WithData,
}

/// Whether a pump left work behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// The socket has nothing more to read, so the caller waits for the next readiness event.
    Drained,
    /// The budget ran out before the socket was drained.
    More,
}

/// One way to prove who the user is.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// The `none` method: asks which methods the server offers, and logs in if the server requires
    /// no authentication.
    None,
    /// Asks whether the server would accept this key, without making a signature.
    Probe(Arc<PrivateKey>),
    /// Signs with this key.
    Key(Arc<PrivateKey>),
    /// A key that an agent holds. Without a signature, asks whether the server would accept the key
    /// and what the agent has to sign ([`AuthReply::ToSign`]). With the agent's signature, logs in.
    Agent { identity: Identity, signature: Option<Arc<[u8]>> },
    /// The password.
    Password(Secret),
    /// A Kerberos ticket, by `gssapi-with-mic` (RFC 4462 section 3).
    Gssapi(Arc<Gssapi>),
}

/// The parameters of a GSSAPI login.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Gssapi {
    /// The server's name. The GSSAPI service name is `host@` followed by this name.
    pub server: String,
    /// The user's principal. `None` selects the default principal.
    pub client: Option<String>,
    /// Whether the server gets a ticket with which it can act as the user.
    pub delegate: bool,
}

/// The result of trying a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthReply {
    /// The server has accepted the credential. In reply to a probe, it means that the server would
    /// accept a signature by that key.
    Accepted,
    /// The server would accept a signature by the agent's key. Holds the request to send to the
    /// agent.
    ToSign(Vec<u8>),
    /// The server has accepted the credential but requires another method as well (RFC 4252 section
    /// 5.1).
    Partial,
    /// The server has refused the credential.
    Denied,
    /// This end has given up, for this reason. The server has not refused anything.
    Unable(String),
}

/// The server's response in keyboard-interactive authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Interaction {
    /// The server asks questions.
    Asks(Questions),
    /// The server has decided.
    Replies(AuthReply),
}

/// One round of questions (RFC 4256 section 3.2), exactly as the server sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Questions {
    pub name: String,
    pub instruction: String,
    pub prompts: Vec<Prompt>,
}
