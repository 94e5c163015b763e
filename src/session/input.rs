//! The two doors of a session: an [`Input`] enters, [`Effect`]s leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::Execs;
use super::tunnels::{TunnelId, TunnelProgress, TunnelRequest};
use crate::agent::wire::Identity;
use crate::error::{HostError, HostErrorKind, NotStarted};
use crate::hostkey::{NewKey, Recorded};
use crate::ids::{CommandId, StdStream};
use crate::link::{Conduit, Link};
use crate::stage::{Stage, Timings};

/// Something that a session reacts to.
#[derive(Debug)]
pub(crate) enum Input {
    /// The link may have news, there is new input to send, or a deadline has passed.
    Wake,
    /// Permission to connect, and to start up to this many of the waiting commands.
    Admitted { commands: usize },
    /// An [assigned](super::Session::assign) command may start once it is admitted.
    Start(CommandId),
    /// End this command.
    Cancel(CommandId),
    /// End this command if it was not sent, for this reason.
    Withdraw(CommandId, NotStarted),
    /// Start no command before the next admission.
    Hold,
    /// Connect, even without a command.
    Connect,
    /// Close the connection, or stop connecting, unless something needs it.
    Close,
    /// Fail for this reason, which no further attempt can change.
    GiveUp(HostErrorKind),
    /// The host is removed: take in what has arrived, then end everything.
    Remove,
    /// Answers [`Effect::Lookup`].
    Resolved(Result<Vec<SocketAddr>, HostErrorKind>),
    /// Answers [`Effect::ListKeys`].
    Identities(Arc<[Identity]>),
    /// Answers [`Effect::Sign`]; `None` if the agent refused.
    Signed(Option<Arc<[u8]>>),
    /// Answers [`Effect::Record`].
    Recorded(Recorded),
    /// Answers [`Effect::OpenTunnel`], step by step.
    Tunnelled(TunnelProgress),
    /// To a proxy: connect this host.
    Tunnel(TunnelRequest),
}

/// Something that a session wants done or known.
#[derive(Debug)]
pub(crate) enum Effect {
    /// More can be done at once: visit again, after the other hosts.
    Again,
    /// No descriptor was free; the session is queued again.
    NoDescriptor,
    /// Resolve the host's name: [`Input::Resolved`].
    Lookup,
    /// Ask the agent for its keys: [`Input::Identities`].
    ListKeys,
    /// Send the agent this request for a signature: [`Input::Signed`].
    Sign(Vec<u8>),
    /// Record the host's new key: [`Input::Recorded`].
    Record(NewKey),
    /// Have the proxy connect the host to this end of a conduit: [`Input::Tunnelled`].
    OpenTunnel(Conduit),
    /// From a proxy: how far the connection of this host is.
    Tunnelled(TunnelId, TunnelProgress),
    /// An attempt to connect has reached this stage.
    Entered(Stage),
    /// The user is logged in.
    Connected(Timings),
    /// The connection, or an attempt to connect, has ended: closed, or failed with this error.
    Disconnected { error: Option<HostError>, retrying: bool },
    /// A key exchange was completed.
    KeyExchange,
    /// A signature was made in this process.
    Signature,
    /// News of one command.
    Command(CommandId, CommandNews),
}

/// What has happened to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandNews {
    /// Its host has accepted it.
    Started,
    /// This stream has unread output.
    Output(StdStream),
    /// There is room for input again.
    Writable,
    /// It has its outcome.
    Finished,
}

/// What a step works with.
pub(crate) struct Cx<'a> {
    pub now: Instant,
    /// Reads the calendar, which only explanations of errors need.
    pub calendar: fn() -> SystemTime,
    pub link: &'a mut dyn Link,
    pub execs: &'a mut Execs,
    /// Effects of the step, in order.
    pub out: &'a mut Vec<Effect>,
}
