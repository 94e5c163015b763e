//! Stages of a connection and of a command, the time limits that bound them, and how long each
//! stage took.

mod timings;

use std::fmt;

pub(crate) use timings::Stopwatch;
pub use timings::Timings;

/// The stage that a host or command was in when an event happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Waiting for a place in the pool.
    Queued,
    /// Resolving the host's name.
    Resolving,
    /// Connecting by TCP, through a proxy or by a proxy command.
    Connecting,
    /// Exchanging SSH identifications and keys, and verifying the host key.
    Handshaking,
    /// Authenticating the user.
    Authenticating,
    /// Opening the command's channel.
    Opening,
    /// Requesting what the command needs on its channel: a terminal, environment variables.
    Preparing,
    /// Waiting for the server to accept the command.
    Requesting,
    /// Running the command.
    Running,
    /// Closing the channel.
    Closing,
    /// Of a proxy: carrying the connections to the hosts behind it.
    Forwarding,
}

impl Stage {
    pub(crate) const ALL: [Self; 11] = [
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
        Self::Forwarding,
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
            Self::Forwarding => "forwarding connections",
        })
    }
}

/// The time limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// Name resolution and TCP connect together. Behind a proxy: the time until the proxy has
    /// connected to the host. With a proxy command: the time from its start until the host sends
    /// its first byte.
    Connect,
    /// The SSH handshake.
    Handshake,
    /// Authentication.
    Auth,
    /// Authentication, while GSSAPI was being tried. The KDC or the server did not answer.
    Gssapi,
    /// Authentication, while waiting for the ssh-agent.
    Agent,
    /// Authentication, while waiting for a touch of a security key (FIDO). The limit is a minute,
    /// or that of a login if that is longer.
    Touch,
    /// Waiting until another host has accepted or refused the same password
    /// ([`guard_passwords`](crate::config::ClientBuilder::guard_passwords)). The limit is twice
    /// that of a login.
    Trial,
    /// All attempts to connect, up to the acceptance of the first command
    /// ([`RetryPolicy`](crate::config::RetryPolicy)).
    Attempts,
    /// From opening the channel until the server accepts the command. A connection opens one
    /// channel at a time. If its server does not answer, the commands that have waited for their
    /// turn all the while reach the limit together with the first one.
    Exec,
    /// From the acceptance of a command with a [`sudo_password`](crate::Command::sudo_password)
    /// until `sudo` starts it. The limit is that of a login.
    Sudo,
    /// The command's run time ([`Command::time_limit`](crate::Command::time_limit)).
    Command,
    /// The time a reader waits for the next output of the stream.
    Read,
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect timeout",
            Self::Handshake => "handshake timeout",
            Self::Auth => "authentication timeout",
            Self::Gssapi => "authentication timeout in GSSAPI (is the KDC silent?)",
            Self::Agent => "authentication timeout, waiting for the ssh-agent,",
            Self::Touch => "authentication timeout, waiting for a touch of the security key,",
            Self::Trial => "timeout while another host tried the same password (guard_passwords)",
            Self::Attempts => "time limit of all attempts",
            Self::Exec => "exec timeout",
            Self::Sudo => "sudo timeout",
            Self::Command => "time limit of the command",
            Self::Read => "read timeout",
        })
    }
}
