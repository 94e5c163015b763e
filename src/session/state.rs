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
    /// The session is not connected, and waits for a place in the pool or for a command.
    Queued,
    /// The host's name is being looked up.
    Resolving,
    /// A TCP connect is under way.
    Connecting(Addresses),
    /// The proxy is opening a tunnel to the host.
    Tunnelling,
    /// The proxy command is being started, or runs and the host has not sent anything yet.
    Launching,
    /// The proxy command has closed the connection before the host's SSH identification, in this
    /// stage. Its exit status is awaited.
    Reaping(Stage),
    /// SSH identification and key exchange are under way.
    Handshaking,
    /// The host's key is being compared with those on record, or is being recorded. Meanwhile,
    /// nothing is read from the connection or sent on it.
    Verifying(Box<Verification>),
    /// The host is verified, and the user is being authenticated. A `Login` holds the proof of the
    /// verification, a [`HostVerified`](crate::hostkey::HostVerified), and cannot be created
    /// without it.
    Authenticating(Box<Login>),
    /// The user is authenticated, and commands can run. Holds a timer if keepalives are enabled.
    Ready(Option<KeepaliveTimer>),
    /// The session waits for this long before the next attempt to connect.
    BackingOff(Duration),
    /// The session is not connected, and nothing needs a connection.
    Closed,
    /// The connection was given up with this error. When something needs it again, the session
    /// starts over.
    Failed(HostError),
}

/// The state of a host's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostState {
    /// The host is not connected, and nothing needs a connection.
    Idle,
    /// The host waits to connect until there is a place in the pool
    /// ([`max_connecting`](crate::config::FleetBuilder::max_connecting)), enough other commands
    /// have ended ([`max_running`](crate::config::FleetBuilder::max_running)), the rate limit
    /// allows it ([`connects_per_second`](crate::config::FleetBuilder::connects_per_second)), and a
    /// descriptor is free. A host that needs a security key also waits until the touches for other
    /// hosts are over ([`Event::Touch`](crate::Event::Touch)).
    Queued,
    /// The host's name is being looked up.
    Resolving,
    /// A TCP connect is under way, the proxy is opening a tunnel to the host, or the proxy command
    /// is making the connection.
    Connecting,
    /// SSH identification, key exchange or host key verification is under way.
    Handshaking,
    /// The user is being authenticated.
    Authenticating,
    /// The user is logged in.
    Connected,
    /// The host waits before the next attempt to connect.
    BackingOff,
    /// The connection was given up. The next command or request to connect starts over.
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

/// Formats the state in lower case with underscores, as in `backing_off`, for use as a metric
/// label.
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

/// The name of a state, without the data of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Queued,
    Resolving,
    Connecting,
    Tunnelling,
    Launching,
    Reaping,
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
    pub(super) const ALL: [Self; 13] = [
        Self::Queued,
        Self::Resolving,
        Self::Connecting,
        Self::Tunnelling,
        Self::Launching,
        Self::Reaping,
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
    (Phase::Queued, Phase::Launching, "admitted, with a proxy command"),
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
    (Phase::Launching, Phase::Handshaking, "host has sent something"),
    (Phase::Launching, Phase::Reaping, "command has closed the connection"),
    (Phase::Launching, Phase::Queued, "no descriptor or process free"),
    (Phase::Launching, Phase::BackingOff, "command has ended, or timeout, attempts left"),
    (Phase::Launching, Phase::Failed, "command cannot be started, has ended, or timeout"),
    (Phase::Launching, Phase::Closed, "no longer needed"),
    (Phase::Reaping, Phase::BackingOff, "command has ended, attempts left"),
    (Phase::Reaping, Phase::Failed, "command has ended"),
    (Phase::Reaping, Phase::Closed, "no longer needed"),
    (Phase::Handshaking, Phase::Reaping, "command has closed the connection before the identification"),
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
    (Phase::Authenticating, Phase::Queued, "needs a security key, not its turn"),
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
            Self::Launching => Phase::Launching,
            Self::Reaping(_) => Phase::Reaping,
            Self::Handshaking => Phase::Handshaking,
            Self::Verifying(_) => Phase::Verifying,
            Self::Authenticating(_) => Phase::Authenticating,
            Self::Ready(_) => Phase::Ready,
            Self::BackingOff(_) => Phase::BackingOff,
            Self::Closed => Phase::Closed,
            Self::Failed(_) => Phase::Failed,
        }
    }

    /// The stage to name in an error that occurs in this state.
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Queued | Self::BackingOff(_) | Self::Closed | Self::Failed(_) => Stage::Queued,
            Self::Resolving => Stage::Resolving,
            Self::Connecting(_) | Self::Tunnelling | Self::Launching => Stage::Connecting,
            Self::Reaping(stage) => *stage,
            Self::Handshaking | Self::Verifying(_) => Stage::Handshaking,
            Self::Authenticating(_) => Stage::Authenticating,
            // This is the stage of a waiting command, which was about to open its channel. A
            // command that has begun reports its stage itself.
            Self::Ready(_) => Stage::Opening,
        }
    }
}

pub(super) fn is_legal(from: Phase, to: Phase) -> bool {
    EDGES.iter().any(|(a, b, _)| (*a, *b) == (from, to))
}
