//! The failures of a session, and the errors that callers get for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Target;
use super::attempts::Attempts;
use super::deadline::Deadline;
use super::retry::Cause;
use crate::dns::LookupError;
use crate::error::{
    ChannelProblem, HandshakeProblem, HostError, HostErrorKind, HostErrorParts, ResolverProblem,
    UnknownHostProblem,
};
use crate::link::{LinkError, LinkErrorKind};
use crate::stage::Stage;

/// The host at the other end, as error messages describe it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    pub target: &'a Target,
    /// The number of the current attempt to connect, from 1; 0 if the error does not belong to an
    /// attempt.
    pub attempt: u32,
    /// When that attempt began.
    pub begun: Option<Instant>,
    /// When all attempts must be over, if that is limited. The start of the first command counts as
    /// a part of the attempt.
    pub until: Option<Deadline>,
}

impl<'a> Peer<'a> {
    pub(super) fn of(target: &'a Target, attempts: &Attempts) -> Self {
        Self { target, attempt: attempts.number, begun: attempts.begun, until: attempts.until() }
    }

    pub(super) fn error(self, stage: Stage, elapsed: Duration, kind: HostErrorKind) -> HostError {
        self.error_of(Cause::of(&kind), stage, elapsed, kind)
    }

    /// Like [`error`](Self::error), for the failure of a command. No other attempt follows.
    pub(super) fn final_error(self, stage: Stage, elapsed: Duration, kind: HostErrorKind) -> HostError {
        self.error_of(Cause::Final, stage, elapsed, kind)
    }

    /// Like [`error`](Self::error), for a failure with this cause.
    pub(super) fn error_of(
        self,
        cause: Cause,
        stage: Stage,
        elapsed: Duration,
        kind: HostErrorKind,
    ) -> HostError {
        let policy = &self.target.profile.connection.retry;
        let attempts = policy.rule(cause).map(|rule| rule.attempts.max(self.attempt));
        HostError::new(HostErrorParts {
            host: self.target.host.clone(),
            port: self.target.port,
            stage,
            attempt: self.attempt,
            attempts,
            elapsed,
            kind: Arc::new(kind),
            banner: None,
            command_said: None,
            left_over: Default::default(),
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
    /// The host needs a security key, and it is another host's turn.
    Overtaken,
    /// The host presented a key of a type that is not on record for it, but keys of other types are
    /// on record. The session must reconnect and ask for those types. Or a scan asks a host that is
    /// connected for its keys.
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
        // After the login, the message has no meaning.
        LinkErrorKind::Protocol | LinkErrorKind::PasswordExpired => HostErrorKind::Protocol(text),
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
