//! The states of one connection and the edges between them.

use std::fmt;
use std::time::Duration;

use super::addresses::Addresses;
use super::auth::Login;
use super::keepalive::KeepaliveTimer;
use crate::error::HostError;
use crate::hostkey::Verification;
use crate::stage::Stage;

/// Where a connection is. Each variant carries exactly what is valid in it.
#[derive(Debug)]
pub(super) enum State {
    /// Not connected; waits for a place in the pool, or for a command.
    Queued,
    /// The name is being looked up.
    Resolving,
    /// A TCP connect is under way.
    Connecting(Addresses),
    /// The proxy connects it.
    Tunnelling,
    /// SSH identification and key exchange.
    Handshaking,
    /// The host's key is looked for among those on record, or is being recorded. The connection rests
    /// meanwhile: nothing is read from it, and nothing is sent.
    Verifying(Box<Verification>),
    /// The host is who it should be; the user is being proved. A login holds the proof of that, a
    /// [`HostVerified`](crate::hostkey::HostVerified), and cannot be made without.
    Authenticating(Box<Login>),
    /// Authenticated: commands can run. With a timer where keepalives are sent.
    Ready(Option<KeepaliveTimer>),
    /// The next attempt waits, for so long.
    BackingOff(Duration),
    /// Not connected, and nothing wants it to be.
    Closed,
    /// Given up, for this reason; the next command begins anew.
    Failed(HostError),
}

/// Where a host's connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostState {
    /// Not connected, and nothing wants it to be.
    Idle,
    /// Waiting for its turn to connect: for a place ([`max_connecting`](crate::config::FleetBuilder::max_connecting)), for commands of
    /// others to end ([`max_running`](crate::config::FleetBuilder::max_running)), for its time
    /// ([`connects_per_second`](crate::config::FleetBuilder::connects_per_second)), or for a descriptor.
    Queued,
    /// The name is being looked up.
    Resolving,
    /// A TCP connect is under way, or the proxy connects it.
    Connecting,
    /// SSH identification, key exchange and host key.
    Handshaking,
    /// User authentication.
    Authenticating,
    /// Logged in.
    Connected,
    /// Waiting for the next attempt to connect.
    BackingOff,
    /// Given up; the next command begins anew.
    Failed,
}

impl HostState {
    /// All of them, in the order in which a host passes through them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Idle,
        Self::Queued,
        Self::Resolving,
        Self::Connecting,
        Self::Handshaking,
        Self::Authenticating,
        Self::Connected,
        Self::BackingOff,
        Self::Failed,
    ];
}

/// In lower case, `backing_off` for instance: for labels of figures.
impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "idle",
            Self::Queued => "queued",
            Self::Resolving => "resolving",
            Self::Connecting => "connecting",
            Self::Handshaking => "handshaking",
            Self::Authenticating => "authenticating",
            Self::Connected => "connected",
            Self::BackingOff => "backing_off",
            Self::Failed => "failed",
        })
    }
}

/// A state's name, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Queued,
    Resolving,
    Connecting,
    Tunnelling,
    Handshaking,
    Verifying,
    Authenticating,
    Ready,
    BackingOff,
    Closed,
    Failed,
}

impl Phase {
    #[cfg(test)]
    pub(super) const ALL: [Self; 11] = [
        Self::Queued,
        Self::Resolving,
        Self::Connecting,
        Self::Tunnelling,
        Self::Handshaking,
        Self::Verifying,
        Self::Authenticating,
        Self::Ready,
        Self::BackingOff,
        Self::Closed,
        Self::Failed,
    ];
}

/// Every legal transition, with its cause.
pub(super) const EDGES: &[(Phase, Phase, &str)] = &[
    (Phase::Queued, Phase::Resolving, "admitted"),
    (Phase::Queued, Phase::Tunnelling, "admitted, behind a proxy"),
    (Phase::Queued, Phase::Failed, "given up: no descriptor, or off the list"),
    (Phase::Queued, Phase::Closed, "nothing wanted any more"),
    (Phase::Resolving, Phase::Connecting, "addresses known"),
    (Phase::Resolving, Phase::BackingOff, "no address, attempts left"),
    (Phase::Resolving, Phase::Failed, "no address"),
    (Phase::Resolving, Phase::Closed, "nothing wanted any more"),
    (Phase::Connecting, Phase::Handshaking, "TCP connected"),
    (Phase::Connecting, Phase::Queued, "no descriptor free"),
    (Phase::Connecting, Phase::BackingOff, "no address answers, attempts left"),
    (Phase::Connecting, Phase::Failed, "no address answers"),
    (Phase::Connecting, Phase::Closed, "nothing wanted any more"),
    (Phase::Tunnelling, Phase::Handshaking, "the proxy has connected it"),
    (Phase::Tunnelling, Phase::Queued, "no descriptor free"),
    (Phase::Tunnelling, Phase::BackingOff, "the proxy cannot connect it, attempts left"),
    (Phase::Tunnelling, Phase::Failed, "the proxy cannot connect it"),
    (Phase::Tunnelling, Phase::Closed, "nothing wanted any more"),
    (Phase::Handshaking, Phase::Verifying, "keys exchanged"),
    (Phase::Handshaking, Phase::BackingOff, "connection lost or timeout, attempts left"),
    (Phase::Handshaking, Phase::Failed, "handshake refused, or not a host key"),
    (Phase::Handshaking, Phase::Closed, "nothing wanted any more"),
    (Phase::Verifying, Phase::Authenticating, "host key verified"),
    (Phase::Verifying, Phase::Queued, "a key of another type is on record, to be asked for"),
    (Phase::Verifying, Phase::BackingOff, "timeout, attempts left"),
    (Phase::Verifying, Phase::Failed, "host key refused"),
    (Phase::Verifying, Phase::Closed, "nothing wanted any more"),
    (Phase::Authenticating, Phase::Ready, "credential accepted"),
    (Phase::Authenticating, Phase::BackingOff, "connection lost or timeout, attempts left"),
    (Phase::Authenticating, Phase::Failed, "no credential accepted"),
    (Phase::Authenticating, Phase::Closed, "nothing wanted any more"),
    (Phase::Ready, Phase::Queued, "connection had died while idle, commands wait"),
    (Phase::Ready, Phase::BackingOff, "connection lost, commands wait, attempts left"),
    (Phase::Ready, Phase::Closed, "connection lost, given up, or not wanted any more"),
    (Phase::Ready, Phase::Failed, "connection lost, commands wait"),
    (Phase::BackingOff, Phase::Queued, "delay over"),
    (Phase::BackingOff, Phase::Failed, "given up"),
    (Phase::BackingOff, Phase::Closed, "nothing wanted any more"),
    (Phase::Closed, Phase::Queued, "new command, or asked to connect"),
    (Phase::Failed, Phase::Queued, "new command, or asked to connect"),
];

impl State {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Queued => Phase::Queued,
            Self::Resolving => Phase::Resolving,
            Self::Connecting(_) => Phase::Connecting,
            Self::Tunnelling => Phase::Tunnelling,
            Self::Handshaking => Phase::Handshaking,
            Self::Verifying(_) => Phase::Verifying,
            Self::Authenticating(_) => Phase::Authenticating,
            Self::Ready(_) => Phase::Ready,
            Self::BackingOff(_) => Phase::BackingOff,
            Self::Closed => Phase::Closed,
            Self::Failed(_) => Phase::Failed,
        }
    }

    /// The stage that an error in this state names.
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Queued | Self::BackingOff(_) | Self::Closed | Self::Failed(_) => Stage::Queued,
            Self::Resolving => Stage::Resolving,
            Self::Connecting(_) | Self::Tunnelling => Stage::Connecting,
            Self::Handshaking | Self::Verifying(_) => Stage::Handshaking,
            Self::Authenticating(_) => Stage::Authenticating,
            // What runs has a stage of its own; what waits was about to get its channel.
            Self::Ready(_) => Stage::Opening,
        }
    }
}

pub(super) fn is_legal(from: Phase, to: Phase) -> bool {
    EDGES.iter().any(|(a, b, _)| (*a, *b) == (from, to))
}
