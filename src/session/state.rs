//! The states of a connection and the edges between them.

use std::fmt;
use std::time::Duration;

use super::addresses::Addresses;
use super::auth::Login;
use super::keepalive::KeepaliveTimer;
use crate::error::HostError;
use crate::hostkey::Verification;
use crate::stage::Stage;

/// The state of a connection. Each variant holds exactly the data that is valid in it.
#[derive(Debug)]
pub(super) enum State {
    /// Not connected. Waits for a place in the pool, or for a command.
    Queued,
    /// The name is being looked up.
    Resolving,
    /// A TCP connect is under way.
    Connecting(Addresses),
    /// The proxy is connecting the host.
    Tunnelling,
    /// SSH identification and key exchange.
    Handshaking,
    /// The host's key is being compared with those on record, or being recorded. Meanwhile nothing
    /// is read from the connection and nothing is sent.
    Verifying(Box<Verification>),
    /// The host is verified; the user is being authenticated. A `Login` holds the proof, a
    /// [`HostVerified`](crate::hostkey::HostVerified), and cannot be created without one.
    Authenticating(Box<Login>),
    /// Authenticated: commands can run. Holds a timer if keepalives are enabled.
    Ready(Option<KeepaliveTimer>),
    /// Waits this long before the next attempt.
    BackingOff(Duration),
    /// Not connected, and nothing needs a connection.
    Closed,
    /// Given up with this error. A new need for the connection starts over.
    Failed(HostError),
}

/// The state of a host's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostState {
    /// Not connected, and nothing needs a connection.
    Idle,
    /// Waiting to connect: for a place in the pool
    /// ([`max_connecting`](crate::config::FleetBuilder::max_connecting)), for other commands to end
    /// ([`max_running`](crate::config::FleetBuilder::max_running)), for the rate limit
    /// ([`connects_per_second`](crate::config::FleetBuilder::connects_per_second)), or for a
    /// descriptor.
    Queued,
    /// The name is being looked up.
    Resolving,
    /// A TCP connect is under way, or the proxy is connecting the host.
    Connecting,
    /// SSH identification, key exchange and host key verification.
    Handshaking,
    /// User authentication.
    Authenticating,
    /// Logged in.
    Connected,
    /// Waiting for the next attempt to connect.
    BackingOff,
    /// Given up. The next command, or a request to connect, starts over.
    Failed,
}

impl HostState {
    /// All states, in the order in which a host passes through them.
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

/// In lower case with underscores, such as `backing_off`: for metric labels.
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

/// Every legal transition and its cause.
pub(super) const EDGES: &[(Phase, Phase, &str)] = &[
    (Phase::Queued, Phase::Resolving, "admitted"),
    (Phase::Queued, Phase::Tunnelling, "admitted, behind a proxy"),
    (Phase::Queued, Phase::Failed, "given up without a descriptor, or host removed"),
    (Phase::Queued, Phase::Closed, "no longer needed"),
    (Phase::Resolving, Phase::Connecting, "addresses known"),
    (Phase::Resolving, Phase::BackingOff, "lookup failed or timed out, attempts left"),
    (Phase::Resolving, Phase::Failed, "lookup failed or timed out"),
    (Phase::Resolving, Phase::Closed, "no longer needed"),
    (Phase::Connecting, Phase::Handshaking, "TCP connected"),
    (Phase::Connecting, Phase::Queued, "no descriptor free"),
    (Phase::Connecting, Phase::BackingOff, "connect failed or timed out, attempts left"),
    (Phase::Connecting, Phase::Failed, "connect failed or timed out"),
    (Phase::Connecting, Phase::Closed, "no longer needed"),
    (Phase::Tunnelling, Phase::Handshaking, "proxy channel open"),
    (Phase::Tunnelling, Phase::Queued, "no descriptor free"),
    (Phase::Tunnelling, Phase::BackingOff, "proxy cannot connect the host, attempts left"),
    (Phase::Tunnelling, Phase::Failed, "proxy cannot connect the host"),
    (Phase::Tunnelling, Phase::Closed, "no longer needed"),
    (Phase::Handshaking, Phase::Verifying, "keys exchanged"),
    (Phase::Handshaking, Phase::BackingOff, "connection lost or timeout, attempts left"),
    (Phase::Handshaking, Phase::Failed, "handshake failed, or invalid host key"),
    (Phase::Handshaking, Phase::Closed, "no longer needed"),
    (Phase::Verifying, Phase::Authenticating, "host key verified"),
    (Phase::Verifying, Phase::Queued, "key of another type on record: reconnect to ask for it"),
    (Phase::Verifying, Phase::BackingOff, "timeout, attempts left"),
    (Phase::Verifying, Phase::Failed, "host key refused"),
    (Phase::Verifying, Phase::Closed, "no longer needed"),
    (Phase::Authenticating, Phase::Ready, "credential accepted"),
    (Phase::Authenticating, Phase::BackingOff, "connection lost or timeout, attempts left"),
    (Phase::Authenticating, Phase::Failed, "no credential accepted"),
    (Phase::Authenticating, Phase::Closed, "no longer needed"),
    (Phase::Ready, Phase::Queued, "connection had died while idle, commands waiting"),
    (Phase::Ready, Phase::BackingOff, "connection lost, commands waiting, attempts left"),
    (Phase::Ready, Phase::Closed, "connection lost or given up with nothing waiting, or no longer needed"),
    (Phase::Ready, Phase::Failed, "connection lost, commands waiting"),
    (Phase::BackingOff, Phase::Queued, "delay over"),
    (Phase::BackingOff, Phase::Failed, "given up"),
    (Phase::BackingOff, Phase::Closed, "no longer needed"),
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
            // Running commands report their own stage. A waiting command was about to open its
            // channel.
            Self::Ready(_) => Stage::Opening,
        }
    }
}

pub(super) fn is_legal(from: Phase, to: Phase) -> bool {
    EDGES.iter().any(|(a, b, _)| (*a, *b) == (from, to))
}
