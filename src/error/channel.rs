//! Why a channel was of no use.

use super::host::peer;
use crate::text::sanitise;

/// Why a channel or its command was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelProblem {
    /// The server refused to open a session channel (MaxSessions, or sessions are forbidden).
    #[error("the server refused to open a channel: {}", peer(.0))]
    OpenRefused(String),
    /// The server refused a terminal; the command was not sent.
    #[error("the server refused a terminal: {}", peer(.0))]
    PtyRefused(String),
    /// The server refused an environment variable (OpenSSH: `AcceptEnv`); the command was not sent.
    #[error("the server refused the environment variable {}: {}", sanitise(name), peer(text))]
    EnvRefused {
        /// The variable.
        name: String,
        /// What is known of the reason.
        text: String,
    },
    /// The server refused to run the command.
    #[error("the server refused to run the command: {}", peer(.0))]
    ExecRefused(String),
    /// The proxy refused to connect onwards (RFC 4254 section 5.1): with OpenSSH because of
    /// `AllowTcpForwarding` or `PermitOpen`, or because the host has no address or does not answer
    /// there.
    #[error("the proxy refused to connect: {}", tunnel_refusal(*reason, text))]
    TunnelRefused {
        /// The reason code: 1 administratively prohibited, 2 connect failed, 3 unknown channel
        /// type, 4 resource shortage.
        reason: u32,
        /// The proxy's text, as it came.
        text: String,
    },
    /// The server takes no input: it announced a maximum packet size of 10 bytes or less, or none
    /// that could be read. Some builds of libssh do not even open a channel of packet size 0.
    #[error("the server announced no usable packet size, standard input cannot be sent")]
    Unwritable,
    /// `sudo` asked for the [password](crate::Command::sudo_password) again: it had not accepted
    /// it. The command was not run.
    #[error("sudo did not accept the password")]
    SudoPasswordRefused,
    /// A signal was to be sent to a command that does not run, or not any more.
    #[error("the command is not running")]
    NotRunning,
    /// Input was written after its end was sent.
    #[error("standard input is closed")]
    InputClosed,
}

fn tunnel_refusal(reason: u32, text: &str) -> String {
    let name = match reason {
        1 => "administratively prohibited",
        2 => "connect failed",
        3 => "unknown channel type",
        4 => "resource shortage",
        _ => "no known reason",
    };
    format!("{name} ({reason}): {}", peer(text))
}
