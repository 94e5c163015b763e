//! Labels for counting how commands and connections end.

use std::fmt;

use super::host::{HandshakeProblem, HostError, HostErrorKind};
use crate::hostkey::HostKeyProblem;
use crate::stage::TimeoutKind;

macro_rules! labels {
    ($($(#[doc = $doc:literal])* $label:ident => $text:literal,)*) => {
        /// How a command ended, or why a connection failed, as a name to count by. There are few
        /// labels, and none holds a host's name, a peer's text or a number.
        ///
        /// `Display` shows the label in lower case with underscores, as in `auth_timeout`, for use
        /// in metrics. These texts stay as they are. Later releases may add labels.
        ///
        /// ```
        /// use sshoal::Outcome;
        ///
        /// assert_eq!(Outcome::Exited(0).label().to_string(), "succeeded");
        /// assert_eq!(Outcome::Exited(3).label().to_string(), "exit_status");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Label {
            $($(#[doc = $doc])* $label,)*
        }

        impl Label {
            /// All labels.
            pub(crate) const ALL: [Self; [$($text),*].len()] = [$(Self::$label),*];

            /// The text of the label, as `Display` shows it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$label => $text,)*
                }
            }
        }
    };
}

labels! {
    /// The command exited with status 0, or the transfer is complete.
    Succeeded => "succeeded",
    /// The command exited with another status.
    ExitStatus => "exit_status",
    /// A signal ended the command.
    Signaled => "signaled",
    /// The server closed the command's channel without a status.
    NoStatus => "no_status",
    /// The host's name has no address to connect to.
    UnknownHost => "unknown_host",
    /// The host's name could not be resolved.
    Resolver => "resolver",
    /// No address could be connected to.
    Connect => "connect",
    /// The peer is not an SSH server.
    NotSsh => "not_ssh",
    /// Client and server have no algorithm in common.
    NoCommonAlgorithm => "no_common_algorithm",
    /// The host key is not on record.
    HostKeyUnknown => "host_key_unknown",
    /// The host key differs from the one on record.
    HostKeyChanged => "host_key_changed",
    /// The host key has been revoked.
    HostKeyRevoked => "host_key_revoked",
    /// The host key was not accepted for another reason.
    HostKey => "host_key",
    /// No credential was accepted.
    Auth => "auth",
    /// The proxy failed.
    Proxy => "proxy",
    /// The proxy command did not lead to the host.
    ProxyCommand => "proxy_command",
    /// Resolving the name and connecting took too long.
    ConnectTimeout => "connect_timeout",
    /// The SSH handshake took too long.
    HandshakeTimeout => "handshake_timeout",
    /// Authentication took too long, for whatever reason.
    AuthTimeout => "auth_timeout",
    /// All attempts to connect together took too long.
    AttemptsTimeout => "attempts_timeout",
    /// The server took too long to accept the command.
    ExecTimeout => "exec_timeout",
    /// The command ran longer than it may.
    CommandTimeout => "command_timeout",
    /// No output came while a reader waited for it.
    ReadTimeout => "read_timeout",
    /// The server refused the channel or the command.
    Channel => "channel",
    /// The server disconnected, and gave a reason.
    Disconnected => "disconnected",
    /// The connection ended without a reason.
    ConnectionLost => "connection_lost",
    /// The server no longer responds.
    PeerDead => "peer_dead",
    /// A transfer of files failed.
    Transfer => "transfer",
    /// Received data failed its integrity check.
    Integrity => "integrity",
    /// The peer violated the protocol.
    Protocol => "protocol",
    /// A line of output is not valid in its encoding.
    Undecodable => "undecodable",
    /// A sink for output failed.
    Sink => "sink",
    /// This process ran out of a resource.
    Limit => "limit",
    /// Another error of libssh.
    Ssh => "ssh",
    /// The command was cancelled.
    Cancelled => "cancelled",
    /// The command was not sent, because its run had ended.
    NotStarted => "not_started",
    /// There is a bug in sshoal.
    Bug => "bug",
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl HostError {
    /// The label of the error's kind, to count by.
    pub fn label(&self) -> Label {
        self.kind().label()
    }
}

impl HostErrorKind {
    /// The label of this kind, to count by. Kinds with causes that call for different action have
    /// several labels. The failure of a proxy is one label, whatever its cause.
    pub fn label(&self) -> Label {
        match self {
            Self::UnknownHost(_) => Label::UnknownHost,
            Self::Resolver(_) => Label::Resolver,
            Self::Connect { .. } => Label::Connect,
            Self::Handshake(HandshakeProblem::NotSsh(_)) => Label::NotSsh,
            Self::Handshake(HandshakeProblem::NoCommonAlgorithm(_)) => Label::NoCommonAlgorithm,
            Self::HostKey(error) => match error.problem() {
                HostKeyProblem::Unknown => Label::HostKeyUnknown,
                HostKeyProblem::Changed => Label::HostKeyChanged,
                HostKeyProblem::Revoked => Label::HostKeyRevoked,
                _ => Label::HostKey,
            },
            Self::Auth { .. } => Label::Auth,
            Self::Proxy(_) => Label::Proxy,
            Self::ProxyCommand(_) => Label::ProxyCommand,
            Self::Timeout { kind, .. } => match kind {
                TimeoutKind::Connect => Label::ConnectTimeout,
                TimeoutKind::Handshake => Label::HandshakeTimeout,
                TimeoutKind::Auth
                | TimeoutKind::Gssapi
                | TimeoutKind::Agent
                | TimeoutKind::Touch
                | TimeoutKind::Trial => Label::AuthTimeout,
                TimeoutKind::Attempts => Label::AttemptsTimeout,
                TimeoutKind::Exec | TimeoutKind::Sudo => Label::ExecTimeout,
                TimeoutKind::Command => Label::CommandTimeout,
                TimeoutKind::Read => Label::ReadTimeout,
            },
            Self::Channel(_) => Label::Channel,
            Self::Disconnected { .. } => Label::Disconnected,
            Self::ConnectionLost(_) => Label::ConnectionLost,
            Self::PeerDead { .. } => Label::PeerDead,
            Self::Integrity(_) => Label::Integrity,
            Self::Protocol(_) => Label::Protocol,
            Self::Undecodable { .. } => Label::Undecodable,
            Self::Sink { .. } => Label::Sink,
            Self::Transfer(_) => Label::Transfer,
            Self::Limit(_) => Label::Limit,
            Self::Ssh(_) => Label::Ssh,
            Self::Cancelled(_) => Label::Cancelled,
            Self::NotStarted(_) => Label::NotStarted,
            Self::Bug(_) => Label::Bug,
        }
    }
}
