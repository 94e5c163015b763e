//! The failure of one host.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use super::auth::{AuthMethod, AuthProblem, refusal};
use super::cancel::CancelCause;
use super::channel::ChannelProblem;
use super::name::{ResolverProblem, UnknownHostProblem};
use super::proxy_command::ProxyCommandProblem;
use super::transfer::{RemotePath, TransferProblem};
use crate::hostkey::{Fingerprint, HostKeyError};
use crate::ids::StdStream;
use crate::limits;
use crate::stage::{Stage, TimeoutKind};
use crate::text::{sanitise, sanitise_bounded};

/// One host failed: which host, at which stage, after how long, and why (parallel-ssh: the
/// exceptions of `pssh.exceptions`).
///
/// The error is cheap to clone. Its `Display` form is one line, and safe for a terminal.
#[derive(Debug, Clone)]
pub struct HostError(Arc<HostErrorParts>);

#[derive(Debug, Clone)]
pub(crate) struct HostErrorParts {
    pub host: Arc<str>,
    pub port: u16,
    pub stage: Stage,
    pub attempt: u32,
    /// How many attempts the retry policy allows for this failure; `None` if it is final.
    pub attempts: Option<u32>,
    pub elapsed: Duration,
    pub kind: Arc<HostErrorKind>,
    /// What the server said before the login ended; sanitised.
    pub banner: Option<Arc<str>>,
    /// What the proxy command has written to standard error last; sanitised.
    pub command_said: Option<Arc<str>>,
    /// The temporary files that a transfer may have left on the host.
    pub left_over: Arc<[RemotePath]>,
}

impl HostError {
    pub(crate) fn new(parts: HostErrorParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The same failure, for a command that had begun. Such a command is not sent again.
    pub(crate) fn at(&self, stage: Stage, elapsed: Duration) -> Self {
        Self::new(HostErrorParts { stage, elapsed, attempts: None, ..HostErrorParts::clone(&self.0) })
    }

    /// The same failure, without another attempt after it.
    pub(crate) fn given_up(&self) -> Self {
        let attempts = self.0.attempts.filter(|attempts| *attempts <= self.0.attempt);
        Self::new(HostErrorParts { attempts, ..HostErrorParts::clone(&self.0) })
    }

    /// The same failure, of a server that has said this.
    pub(crate) fn with_banner(mut self, banner: Option<Arc<str>>) -> Self {
        Arc::make_mut(&mut self.0).banner = banner;
        self
    }

    /// The same failure, of a host whose proxy command has said this.
    pub(crate) fn with_command_said(mut self, said: Option<Arc<str>>) -> Self {
        if said.is_some() {
            Arc::make_mut(&mut self.0).command_said = said;
        }
        self
    }

    /// The same failure, of a transfer that may have left these files on the host.
    pub(crate) fn with_left_over(mut self, left_over: Vec<RemotePath>) -> Self {
        if !left_over.is_empty() {
            Arc::make_mut(&mut self.0).left_over = left_over.into();
        }
        self
    }

    /// The host as the list names it.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The stage that failed.
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// The number of the connection attempt that failed, from 1; 0 if no attempt had begun.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// How many attempts the [retry policy](crate::config::RetryPolicy) allows for this failure,
    /// the first one included. `None` if the failure is final before that number is reached:
    /// another attempt would end in the same way, no time is left for one, or the command may have
    /// begun.
    pub fn attempts(&self) -> Option<u32> {
        self.0.attempts
    }

    /// Time from the start of the failed attempt, or of the command, to the failure.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// The cause.
    pub fn kind(&self) -> &HostErrorKind {
        &self.0.kind
    }

    /// What the server said to the user, if the handshake or the login failed.
    ///
    /// This joins, one per line, in order: the lines before the server's version (RFC 4253 section
    /// 4.2), such as sshd's "Exceeded MaxStartups"; the SSH banners (RFC 4252 section 5.4), such as
    /// the text of `/run/nologin`; and what keyboard-interactive says besides its prompts (RFC
    /// 4256), such as a message of PAM. If several banners arrive at once, libssh keeps the last
    /// one.
    ///
    /// The text has up to 4 KiB. It is safe for a terminal: line ends are `\n`, and everything else
    /// that could control a terminal is escaped. The `Display` form of the error shows its first
    /// 512 bytes on the same line. A proxy's text is in the error of the
    /// [proxy](HostErrorKind::Proxy).
    pub fn banner(&self) -> Option<&str> {
        self.0.banner.as_deref()
    }

    /// The last lines that the [proxy command](crate::config::ClientBuilder::proxy_command) of this
    /// connection has written to standard error, such as `nc: connect to web1 port 22 failed`.
    ///
    /// The text has up to 4 KiB before it is made safe for a terminal, in the same way as
    /// [`banner`](Self::banner). The `Display` form of the error shows its last 512 bytes.
    pub fn proxy_command_said(&self) -> Option<&str> {
        self.0.command_said.as_deref()
    }
}

impl HostError {
    /// The temporary files that a [transfer](crate::transfer) may have left on the host, because
    /// the connection was lost before they could be removed. The `Display` form of the error names
    /// the first.
    pub fn left_over(&self) -> &[RemotePath] {
        &self.0.left_over
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
        match (parts.attempt, parts.attempts) {
            (1.., Some(attempts @ 2..)) => write!(f, " (attempt {} of {attempts})", parts.attempt)?,
            // The number is not that of a command.
            (2.., None) if parts.stage <= Stage::Authenticating => write!(f, " (attempt {})", parts.attempt)?,
            _ => {}
        }
        write!(f, ": {}", parts.kind)?;
        if let Some(banner) = &parts.banner {
            write!(f, "; the server said: \"{}\"", peer(banner))?;
        }
        if let Some(said) = &parts.command_said {
            write!(f, "; the proxy command said: \"{}\"", peer_end(said))?;
        }
        match &*parts.left_over {
            [] => Ok(()),
            [path] => write!(f, "; the temporary file {path} may be left on the host"),
            [path, rest @ ..] => {
                write!(f, "; the temporary file {path} and {} more may be left on the host", rest.len())
            }
        }
    }
}

impl std::error::Error for HostError {}

/// Why a host failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostErrorKind {
    /// The name has no address to connect to (parallel-ssh: `UnknownHostError`,
    /// `NoIPv6AddressFoundError`).
    #[error("{0}")]
    UnknownHost(UnknownHostProblem),
    /// The name could not be resolved.
    #[error("name resolution failed: {0}")]
    Resolver(ResolverProblem),
    /// No address could be connected to (parallel-ssh: `ConnectionError`).
    #[error("{address} ({tried} of {known} addresses tried): {error}")]
    #[non_exhaustive]
    Connect {
        /// The address that failed last.
        address: SocketAddr,
        /// How many addresses were tried in this attempt.
        tried: usize,
        /// How many addresses the name has.
        known: usize,
        /// The system's error for that address.
        error: io::Error,
    },
    /// The SSH handshake failed (parallel-ssh: `SessionError`).
    #[error("{0}")]
    Handshake(HandshakeProblem),
    /// The host key was not accepted. No credential was sent.
    #[error("{0}")]
    HostKey(HostKeyError),
    /// No credential was accepted (parallel-ssh: `AuthenticationError`).
    #[error(
        "no credential accepted for user {}: {}",
        sanitise(user),
        refusal(tried, keys, offered, problems)
    )]
    #[non_exhaustive]
    Auth {
        /// The login name.
        user: String,
        /// The methods tried, in order.
        tried: Vec<AuthMethod>,
        /// The public keys that were offered, in order. `ssh-keygen -l` prints the same
        /// fingerprints.
        keys: Vec<Fingerprint>,
        /// The methods that the server still offers.
        offered: Vec<AuthMethod>,
        /// What else is known about the failure.
        problems: Vec<AuthProblem>,
    },
    /// The proxy failed. The error has the proxy's name, stage and cause (parallel-ssh:
    /// `ProxyError`). A failure of the host behind the proxy is not of this kind.
    #[error("proxy {0}")]
    Proxy(HostError),
    /// The proxy command did not lead to the host.
    #[error("{0}")]
    ProxyCommand(ProxyCommandProblem),
    /// A time limit was reached (parallel-ssh: `Timeout`).
    #[error("{kind} after {after:?}")]
    #[non_exhaustive]
    Timeout {
        /// Which limit was reached.
        kind: TimeoutKind,
        /// The length of the limit.
        after: Duration,
    },
    /// The server refused the channel or the command (parallel-ssh: `SessionError`).
    #[error("{0}")]
    Channel(ChannelProblem),
    /// The server sent SSH_MSG_DISCONNECT (RFC 4253 section 11.1).
    #[error("the server disconnected (reason {reason}): {}", peer(message))]
    #[non_exhaustive]
    Disconnected {
        /// The reason code.
        reason: u32,
        /// The server's text, unchanged.
        message: String,
    },
    /// The connection ended without SSH_MSG_DISCONNECT.
    #[error("connection lost: {}", peer(.0))]
    ConnectionLost(String),
    /// The server no longer responds, not even to keepalives
    /// ([`keepalive`](crate::config::ClientBuilder::keepalive)).
    #[error(
        "the server does not respond: nothing received for {after:?}, {unanswered} keepalives unanswered"
    )]
    #[non_exhaustive]
    PeerDead {
        /// Time since the server last sent anything.
        after: Duration,
        /// How many keepalives have come due since then. libssh may have sent fewer, because it
        /// sends the next one only after an answer.
        unanswered: u32,
    },
    /// Received data failed its integrity check, or could not be checked: a packet announced more
    /// than the 256 KiB that libssh reads.
    #[error("integrity check failed: {}", peer(.0))]
    Integrity(String),
    /// The peer violated the protocol, or did what no genuine peer does: it requested 1 MiB of
    /// answers without reading them, rekeyed again and again, sent packets of more than 64 KiB, or
    /// did not close channels.
    #[error("protocol error: {}", peer(.0))]
    Protocol(String),
    /// A line of output is not valid in its encoding, and the reader is
    /// [strict](crate::ReadOptions::strict_encoding) (parallel-ssh: `UnicodeDecodeError`). Other
    /// lines are unaffected.
    #[error("a line of output is not {encoding} at byte {offset}")]
    #[non_exhaustive]
    Undecodable {
        /// The encoding's name.
        encoding: &'static str,
        /// Offset of the first invalid byte sequence, from the start of the line.
        offset: usize,
        /// The bytes of the line, without its line end.
        line: Vec<u8>,
    },
    /// The [`Sink`](crate::output::Sink) of a command's output failed. The command was ended, and
    /// its output is incomplete.
    #[error("the sink for {stream} failed: {}", sanitise(&error.to_string()))]
    #[non_exhaustive]
    Sink {
        /// The output that the sink was for.
        stream: StdStream,
        /// The sink's error.
        error: io::Error,
    },
    /// A [transfer](crate::transfer) of files failed.
    #[error("{0}")]
    Transfer(TransferProblem),
    /// This process ran out of a resource, or a limit of libssh was reached.
    #[error("{0}")]
    Limit(String),
    /// Any other error of libssh.
    #[error("libssh: {}", peer(.0))]
    Ssh(String),
    /// The command was cancelled, by the caller or for another cause.
    #[error("cancelled ({0})")]
    Cancelled(CancelCause),
    /// The command was not sent, because its run had already ended.
    #[error("{0}")]
    NotStarted(CancelCause),
    /// There is a bug in sshoal. Please report it.
    #[error("internal error, please report it: {0}")]
    Bug(&'static str),
}

/// Makes text that may come from the peer safe for a terminal, and limits its length.
pub(super) fn peer(text: &str) -> Cow<'_, str> {
    sanitise_bounded(text, limits::PEER_TEXT)
}

/// Like [`peer`], but keeps the end of a text that is too long.
fn peer_end(text: &str) -> Cow<'_, str> {
    let text = sanitise(text);
    let excess = text.len().saturating_sub(limits::PEER_TEXT);
    let Some(start) = (excess..text.len()).find(|at| excess > 0 && text.is_char_boundary(*at)) else {
        return text;
    };
    Cow::Owned(format!("…{}", &text[start..]))
}

/// Why the SSH handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeProblem {
    /// The peer is not an SSH 2 server, or libssh does not recognise it as one, because it sent a
    /// line of more than 255 bytes before its version.
    #[error("not recognised as an SSH 2 server: {}", peer(.0))]
    NotSsh(String),
    /// For some kind of algorithm (such as ciphers), client and server have none in common. The
    /// text names the kind, what the server offers, and the setting that would allow it, such as
    /// [`ciphers`](crate::config::ClientBuilder::ciphers).
    #[error("no common algorithm: {}", peer(.0))]
    NoCommonAlgorithm(String),
}
