//! One host's failure.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::auth::{AuthMethod, AuthProblem, explained, listed};
use super::channel::ChannelProblem;
use super::name::{ResolverProblem, UnknownHostProblem};
use crate::hostkey::HostKeyError;
use crate::ids::StdStream;
use crate::limits;
use crate::stage::{Stage, TimeoutKind};
use crate::text::{sanitise, sanitise_bounded};

/// One host failed: which, where, after how long, and why (parallel-ssh: the exceptions of
/// `pssh.exceptions`).
///
/// Cheap to clone. Its `Display` is one line, safe for a terminal.
#[derive(Clone)]
pub struct HostError(Arc<HostErrorParts>);

#[derive(Debug)]
pub(crate) struct HostErrorParts {
    pub host: Arc<str>,
    pub port: u16,
    pub stage: Stage,
    pub attempt: u32,
    pub attempts: u32,
    pub elapsed: Duration,
    pub kind: Arc<HostErrorKind>,
}

impl HostError {
    pub(crate) fn new(parts: HostErrorParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The same failure, as seen from another stage.
    pub(crate) fn at(&self, stage: Stage, elapsed: Duration) -> Self {
        let HostErrorParts { host, port, attempt, attempts, kind, .. } = &*self.0;
        Self::new(HostErrorParts {
            host: host.clone(),
            port: *port,
            stage,
            attempt: *attempt,
            attempts: *attempts,
            elapsed,
            kind: kind.clone(),
        })
    }

    /// The host as it was given.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Where the host was when it failed.
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// Which connection attempt failed, from 1; 0 if none had begun.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Time from the start of the failed attempt, or of the command, to the failure.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// Why.
    pub fn kind(&self) -> &HostErrorKind {
        &self.0.kind
    }
}

impl fmt::Debug for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0;
        write!(f, "{}", sanitise(&*parts.host))?;
        if parts.port != 22 {
            write!(f, " port {}", parts.port)?;
        }
        if let HostErrorKind::NotStarted(why) = &*parts.kind {
            return write!(f, ": not started: {why}");
        }
        write!(f, ": {} failed", parts.stage)?;
        if parts.attempts > 1 && parts.attempt > 0 {
            write!(f, " (attempt {} of {})", parts.attempt, parts.attempts)?;
        }
        write!(f, ": {}", parts.kind)
    }
}

impl std::error::Error for HostError {}

/// Why a host failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostErrorKind {
    /// There is no address to connect to (parallel-ssh: `UnknownHostError`,
    /// `NoIPv6AddressFoundError`).
    #[error("{0}")]
    UnknownHost(UnknownHostProblem),
    /// Whether the name has an address could not be found out.
    #[error("name resolution does not work: {0}")]
    Resolver(ResolverProblem),
    /// No address answered; the last one's error (parallel-ssh: `ConnectionError`).
    #[error("{address} ({tried} of {known} addresses tried): {error}")]
    #[non_exhaustive]
    Connect {
        /// The address that failed last.
        address: SocketAddr,
        /// Addresses tried in this attempt.
        tried: usize,
        /// Addresses that the name has.
        known: usize,
        /// The system's answer.
        error: io::Error,
    },
    /// The SSH handshake failed (parallel-ssh: `SessionError`).
    #[error("{0}")]
    Handshake(HandshakeProblem),
    /// The host's identity is not proved; no credential was sent.
    #[error("{0}")]
    HostKey(HostKeyError),
    /// No credential was accepted (parallel-ssh: `AuthenticationError`).
    #[error(
        "no credential accepted for user {}: tried {}; the server offers {}{}",
        sanitise(user),
        listed(tried, "nothing (no credential is configured)"),
        listed(offered, "nothing more"),
        explained(problems)
    )]
    #[non_exhaustive]
    Auth {
        /// The login name.
        user: String,
        /// The methods tried, in order.
        tried: Vec<AuthMethod>,
        /// The methods that the server would still take.
        offered: Vec<AuthMethod>,
        /// What else is known of the failure.
        problems: Vec<AuthProblem>,
    },
    /// The proxy could not connect the host, or was lost; with the proxy's own name, stage and
    /// cause (parallel-ssh: `ProxyError`). What the host itself does is not reported by this.
    #[error("proxy {0}")]
    Proxy(HostError),
    /// A time limit was reached (parallel-ssh: `Timeout`).
    #[error("{kind} after {after:?}")]
    #[non_exhaustive]
    Timeout {
        /// Which limit.
        kind: TimeoutKind,
        /// Its length.
        after: Duration,
    },
    /// The server refused the channel or the command (parallel-ssh: `SessionError`).
    #[error("{0}")]
    Channel(ChannelProblem),
    /// The server said goodbye with SSH_MSG_DISCONNECT (RFC 4253 section 11.1).
    #[error("the server disconnected (reason {reason}): {}", peer(message))]
    #[non_exhaustive]
    Disconnected {
        /// The reason code.
        reason: u32,
        /// The server's text, as it came.
        message: String,
    },
    /// The connection ended without a goodbye.
    #[error("connection lost: {}", peer(.0))]
    ConnectionLost(String),
    /// Nothing was heard from the server any more, not even answers to keepalives
    /// ([`keepalive`](crate::config::ClientBuilder::keepalive)).
    #[error("the server is dead: nothing heard for {after:?}, {unanswered} keepalives unanswered")]
    #[non_exhaustive]
    PeerDead {
        /// Since the last sign of life.
        after: Duration,
        /// Keepalives that were due since then. libssh sends the next one only after an answer.
        unanswered: u32,
    },
    /// Data on the wire was altered, or is not what the cipher made.
    #[error("integrity check failed: {}", peer(.0))]
    Integrity(String),
    /// The peer sent what the protocol does not allow, or does what no peer in earnest does: it
    /// asks for 1 MiB of answers and reads none of them, asks for new keys again and again, sends
    /// packets of more than 64 KiB, or does not close channels.
    #[error("protocol error: {}", peer(.0))]
    Protocol(String),
    /// A line of output is not in its encoding, and the reader is
    /// [strict](crate::ReadOptions::strict_encoding) (parallel-ssh: `UnicodeDecodeError`). Only
    /// this line is concerned.
    #[error("a line of output is not {encoding} at byte {offset}")]
    #[non_exhaustive]
    Undecodable {
        /// The encoding's name.
        encoding: &'static str,
        /// Where, in the line, the first sequence of bytes begins that is none of the encoding.
        offset: usize,
        /// The line as the host sent it, without its line end.
        line: Vec<u8>,
    },
    /// The [`Sink`](crate::output::Sink) of a command's output failed: the command was ended, and
    /// this output is not complete.
    #[error("the sink of its {stream} failed: {}", sanitise(&error.to_string()))]
    #[non_exhaustive]
    Sink {
        /// Which output.
        stream: StdStream,
        /// What the sink said.
        error: io::Error,
    },
    /// A resource of this process is used up.
    #[error("{0}")]
    Limit(String),
    /// An error of libssh that fits nowhere else.
    #[error("libssh: {}", peer(.0))]
    Ssh(String),
    /// Ended by the caller.
    #[error("cancelled")]
    Cancelled,
    /// The command was never sent, because its run had ended before its turn came.
    #[error("{0}")]
    NotStarted(NotStarted),
    /// A broken invariant of sshoal itself: please report it.
    #[error("internal error, please report it: {0}")]
    Bug(&'static str),
}

/// Why a [`Run`](crate::Run) did not send all its commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotStarted {
    /// More of its commands had failed than [`max_failures`](crate::Run::max_failures) or
    /// [`max_failure_percent`](crate::Run::max_failure_percent) lets it go on with.
    #[error("too many others have failed")]
    TooManyFailures,
    /// It was [cancelled](crate::Fleet::cancel_run).
    #[error("its run was cancelled")]
    RunCancelled,
    /// Its fleet was to [come to an end](crate::Fleet::drain).
    #[error("the fleet is draining")]
    Draining,
}

/// A text that the peer may have written: made safe for a terminal, and not too long.
pub(super) fn peer(text: &str) -> Cow<'_, str> {
    sanitise_bounded(text, limits::PEER_TEXT)
}

/// Why the SSH handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeProblem {
    /// What answers is not an SSH 2 server.
    #[error("no SSH 2 server answers here: {}", peer(.0))]
    NotSsh(String),
    /// Client and server share no algorithm of some kind.
    #[error("no common algorithm: {}", peer(.0))]
    NoCommonAlgorithm(String),
}
