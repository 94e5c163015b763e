//! How far a host or a command is, which limit bounds that, and how long each stage took.

mod timings;

use std::fmt;

pub(crate) use timings::Stopwatch;
pub use timings::Timings;

/// Where a host was when something happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Waiting for a place in the pool.
    Queued,
    /// Resolving the name.
    Resolving,
    /// TCP connect.
    Connecting,
    /// SSH identification, key exchange and host key.
    Handshaking,
    /// User authentication.
    Authenticating,
    /// Opening the command's channel.
    Opening,
    /// Asking for what the command needs on its channel: a terminal, environment variables.
    Preparing,
    /// Waiting for the server to accept the command.
    Requesting,
    /// The command runs.
    Running,
    /// Ending the channel.
    Closing,
}

impl Stage {
    pub(crate) const ALL: [Self; 10] = [
        Self::Queued,
        Self::Resolving,
        Self::Connecting,
        Self::Handshaking,
        Self::Authenticating,
        Self::Opening,
        Self::Preparing,
        Self::Requesting,
        Self::Running,
        Self::Closing,
    ];
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "waiting in the pool",
            Self::Resolving => "resolving the name",
            Self::Connecting => "connecting",
            Self::Handshaking => "SSH handshake",
            Self::Authenticating => "authentication",
            Self::Opening => "opening a channel",
            Self::Preparing => "preparing the channel",
            Self::Requesting => "starting the command",
            Self::Running => "running the command",
            Self::Closing => "closing the channel",
        })
    }
}

/// A time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// Total of name resolution and TCP connect, or of the proxy's connecting.
    Connect,
    /// Total of the SSH handshake.
    Handshake,
    /// Total of authentication.
    Auth,
    /// Total of authentication, exceeded in GSSAPI: the KDC or the server does not answer.
    Gssapi,
    /// Total of authentication, exceeded while waiting for the ssh-agent.
    Agent,
    /// Total from opening the channel until the server accepted the command.
    Exec,
    /// Total from the acceptance of a command with a
    /// [`sudo_password`](crate::Command::sudo_password) until `sudo` runs it: that of a login.
    Sudo,
    /// Total of the command's run ([`Command::time_limit`](crate::Command::time_limit)).
    Command,
    /// No output from the stream for this long while a reader waited.
    Read,
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect timeout",
            Self::Handshake => "handshake timeout",
            Self::Auth => "authentication timeout",
            Self::Gssapi => "authentication timeout in GSSAPI (does the KDC answer?)",
            Self::Agent => "authentication timeout, waiting for the ssh-agent,",
            Self::Exec => "exec timeout",
            Self::Sudo => "sudo timeout",
            Self::Command => "time limit of the command",
            Self::Read => "read timeout",
        })
    }
}
