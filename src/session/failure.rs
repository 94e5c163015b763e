//! The failures of a session, and the errors that callers get for them.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Target;
use super::attempts::Attempts;
use crate::dns::LookupError;
use crate::error::{
    ChannelProblem, HandshakeProblem, HostError, HostErrorKind, HostErrorParts, ResolverProblem,
    UnknownHostProblem,
};
use crate::link::{LinkError, LinkErrorKind};
use crate::stage::Stage;

/// `SSH_OPEN_CONNECT_FAILED` and `SSH_OPEN_RESOURCE_SHORTAGE` (RFC 4254 section 5.1).
const CONNECT_FAILED: u32 = 2;
const RESOURCE_SHORTAGE: u32 = 4;

/// The host at the other end, as error messages describe it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    pub target: &'a Target,
    /// The number of the current attempt to connect, from 1; 0 if the error does not belong to an
    /// attempt.
    pub attempt: u32,
    /// When that attempt began.
    pub begun: Option<Instant>,
}

impl<'a> Peer<'a> {
    pub(super) fn of(target: &'a Target, attempts: &Attempts) -> Self {
        Self { target, attempt: attempts.number, begun: attempts.begun }
    }

    pub(super) fn error(self, stage: Stage, elapsed: Duration, kind: HostErrorKind) -> HostError {
        HostError::new(HostErrorParts {
            host: self.target.host.clone(),
            port: self.target.port,
            stage,
            attempt: self.attempt,
            attempts: self.target.profile.connection.attempts,
            elapsed,
            kind: Arc::new(kind),
        })
    }

    /// Time since the attempt began.
    pub(super) fn elapsed(self, now: Instant) -> Duration {
        self.begun.map_or_else(Default::default, |begun| now.saturating_duration_since(begun))
    }
}

/// Why a step could not continue.
#[derive(Debug)]
pub(super) enum Failure {
    /// The host failed for a reason found by the session.
    Host(HostErrorKind),
    /// The link failed.
    Link(LinkError),
    /// No descriptor was free. The host is not at fault.
    NoDescriptor,
    /// The host presented a key of a type that is not on record for it, but keys of other types are
    /// on record. The session must reconnect and ask for those types.
    OtherKey,
}

impl From<HostErrorKind> for Failure {
    fn from(kind: HostErrorKind) -> Self {
        Self::Host(kind)
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// How an attempt to connect ended. Whether to retry depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The attempt failed, and counts as one of the attempts allowed.
    Failed,
    /// The server had no room for the connection. It ended the connection before sending its SSH
    /// identification, as sshd does beyond its `MaxStartups`. If the load comes from this client,
    /// the drop says nothing about the host.
    Dropped,
}

impl Ending {
    pub(super) fn of(kind: &HostErrorKind) -> Self {
        match kind {
            // The server accepted the connection, and reset it before the connect was checked. A
            // port without a listener would have refused the connection.
            HostErrorKind::Connect { error, .. } if error.kind() == ErrorKind::ConnectionReset => {
                Self::Dropped
            }
            _ => Self::Failed,
        }
    }
}

/// Maps a link error to the error that callers get.
pub(super) fn host_error_kind(error: LinkError) -> HostErrorKind {
    let LinkError { kind, text } = error;
    match kind {
        LinkErrorKind::Lost | LinkErrorKind::Dropped => HostErrorKind::ConnectionLost(text),
        LinkErrorKind::Disconnected(reason) => HostErrorKind::Disconnected { reason, message: text },
        LinkErrorKind::NotSsh => HostErrorKind::Handshake(HandshakeProblem::NotSsh(text)),
        LinkErrorKind::NoCommonAlgorithm => {
            HostErrorKind::Handshake(HandshakeProblem::NoCommonAlgorithm(text))
        }
        LinkErrorKind::Integrity => HostErrorKind::Integrity(text),
        LinkErrorKind::Protocol => HostErrorKind::Protocol(text),
        LinkErrorKind::Unwritable => HostErrorKind::Channel(ChannelProblem::Unwritable),
        LinkErrorKind::Limit => HostErrorKind::Limit(text),
        LinkErrorKind::Denied | LinkErrorKind::Other => HostErrorKind::Ssh(text),
    }
}

impl From<LookupError> for HostErrorKind {
    fn from(failure: LookupError) -> Self {
        match failure {
            LookupError::NoSuchName => Self::UnknownHost(UnknownHostProblem::NoSuchName),
            LookupError::NoAddress => Self::UnknownHost(UnknownHostProblem::NoAddress),
            LookupError::BadName(why) => Self::UnknownHost(UnknownHostProblem::BadName(why)),
            LookupError::SystemUnknown(text) => Self::UnknownHost(UnknownHostProblem::System(text)),
            LookupError::Rcode(code) => Self::Resolver(ResolverProblem::ServerFailure(code)),
            LookupError::BadAnswer => Self::Resolver(ResolverProblem::BadAnswer),
            LookupError::Timeout(after) => Self::Resolver(ResolverProblem::Timeout(after)),
            LookupError::Unreachable(text) => Self::Resolver(ResolverProblem::Unreachable(text.to_string())),
            LookupError::SystemResolver(text) => Self::Resolver(ResolverProblem::System(text)),
        }
    }
}

/// Whether hosts may be tried again after this error of their proxy. A proxy that cannot be reached
/// has already been tried as often as allowed, so its hosts are not tried again.
fn is_proxy_retryable(error: &HostError) -> bool {
    match error.kind() {
        HostErrorKind::Channel(ChannelProblem::TunnelRefused { reason, .. }) => {
            matches!(*reason, CONNECT_FAILED | RESOURCE_SHORTAGE)
        }
        kind => error.stage() == Stage::Opening && is_retryable(kind),
    }
}

/// Whether another attempt may succeed. A refusal is final, and a host that failed verification
/// must not be tried again.
pub(super) fn is_retryable(kind: &HostErrorKind) -> bool {
    match kind {
        HostErrorKind::UnknownHost(
            UnknownHostProblem::NoSuchName | UnknownHostProblem::NoAddress | UnknownHostProblem::System(_),
        )
        | HostErrorKind::Resolver(_)
        | HostErrorKind::Connect { .. }
        | HostErrorKind::Timeout { .. }
        | HostErrorKind::ConnectionLost(_)
        | HostErrorKind::PeerDead { .. } => true,
        HostErrorKind::Disconnected { reason, .. } => !is_refusal(*reason),
        HostErrorKind::Proxy(error) => is_proxy_retryable(error),
        HostErrorKind::UnknownHost(
            UnknownHostProblem::BadName(_) | UnknownHostProblem::OtherFamily { .. },
        )
        | HostErrorKind::Handshake(_)
        | HostErrorKind::HostKey(_)
        | HostErrorKind::Auth { .. }
        | HostErrorKind::Channel(_)
        | HostErrorKind::Integrity(_)
        | HostErrorKind::Protocol(_)
        | HostErrorKind::Undecodable { .. }
        | HostErrorKind::Limit(_)
        | HostErrorKind::Ssh(_)
        | HostErrorKind::Cancelled
        | HostErrorKind::Sink { .. }
        | HostErrorKind::NotStarted(_)
        | HostErrorKind::Bug(_) => false,
    }
}

/// Whether a disconnect with this reason (RFC 4253 section 11.1) is a decision about the user.
pub(super) fn is_refusal(reason: u32) -> bool {
    // 2: protocol error, which sshd sends after too many authentication failures; 14: no more
    // authentication methods; 15: illegal user name.
    matches!(reason, 2 | 14 | 15)
}
