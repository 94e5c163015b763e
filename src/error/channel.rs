//! Why a channel failed.

use std::sync::Arc;

use super::auth::withheld;
use super::host::peer;
use crate::limits;

/// Why a channel or its command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelProblem {
    /// The server refused to open a session channel, because of its `MaxSessions` or because it
    /// forbids sessions.
    #[error(
        "the server refused to open a channel: {}; if it has reached its MaxSessions, set \
         wait_for_channel or run fewer commands at once on the host",
        peer(.0)
    )]
    OpenRefused(String),
    /// The server refused a terminal. The command was not sent.
    #[error("the server refused a terminal: {}", peer(.0))]
    PtyRefused(String),
    /// The server refused environment variables. The command was not sent. The text shows the first
    /// names.
    #[error(
        "the server refused {}: {}; let it accept them (OpenSSH: AcceptEnv), or use shell_env",
        variables(names),
        peer(text)
    )]
    EnvRefused {
        /// All variables that were refused, in the order in which they were set.
        names: Vec<String>,
        /// What is known about the reason.
        text: String,
    },
    /// The server refused to run the command. Devices that run no single commands may offer a
    /// [shell](crate::Command::login_shell).
    #[error("the server refused to run the command: {}", peer(.0))]
    ExecRefused(String),
    /// The server refused to start a [shell](crate::Command::login_shell).
    #[error("the server refused a shell: {}; some devices want a terminal for one: set use_pty", peer(.0))]
    ShellRefused(String),
    /// The server refused to start a [subsystem](crate::Command::subsystem). Servers know a
    /// subsystem only if they are configured for it.
    #[error(
        "the server refused the subsystem \"{}\": {}; check the name, and that the server is configured for it \
         (OpenSSH: Subsystem)",
        peer(name),
        peer(text)
    )]
    #[non_exhaustive]
    SubsystemRefused {
        /// The name of the subsystem.
        name: String,
        /// What is known about the reason.
        text: String,
    },
    /// The proxy refused to connect to the host (RFC 4254 section 5.1): OpenSSH does so because of
    /// `AllowTcpForwarding` or `PermitOpen`, or because it cannot resolve or reach the host.
    #[error("the proxy refused to connect: {}", tunnel_refusal(*reason, text))]
    TunnelRefused {
        /// The reason code: 1 administratively prohibited, 2 connect failed, 3 unknown channel
        /// type, 4 resource shortage.
        reason: u32,
        /// The proxy's text, unchanged.
        text: String,
    },
    /// Standard input cannot be sent, because the maximum packet size that the server announced is
    /// 10 bytes or less, or because that size could not be read. With some builds of libssh, a
    /// channel with packet size 0 cannot even be opened; that is reported in the same way.
    #[error(
        "standard input cannot be sent, because libssh cannot use the packet size that the server announced"
    )]
    Unwritable,
    /// `sudo` rejected the [password](crate::Command::sudo_password). The command was not run.
    #[error("sudo did not accept the password")]
    SudoPasswordRefused,
    /// The [password for `sudo`](crate::Command::sudo_password) was not sent, because other hosts
    /// have refused it ([`guard_passwords`](crate::config::ClientBuilder::guard_passwords)). The
    /// command was not run.
    #[error("the password for sudo was not sent: {}", withheld(refused_by))]
    #[non_exhaustive]
    SudoPasswordWithheld {
        /// The hosts that have refused the password.
        refused_by: Arc<[Arc<str>]>,
    },
    /// The [password for `sudo`](crate::Command::sudo_password) was not sent, because the host's
    /// key has changed
    /// ([`danger_accept_changed`](crate::hostkey::HostKeyPolicy::danger_accept_changed)). The
    /// command was not run.
    #[error("the password for sudo was not sent, because the host's key has changed")]
    SudoPasswordUnsafe,
    /// A signal was sent to a command that is not running.
    #[error("the command is not running")]
    NotRunning,
    /// Input was written after the end of input.
    #[error("standard input is closed")]
    InputClosed,
    /// Input was written to a command whose input is not [open](crate::config::Input::Open).
    #[error("standard input is not open for writing: set Command::stdin(Input::Open)")]
    InputNotOpen,
}

/// As many of the names as a text has room for, and the number of the others.
fn variables(names: &[String]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let mut text = format!("the environment variable{plural} ");
    for (index, name) in names.iter().enumerate() {
        let name = peer(name);
        let before = if index == 0 { "" } else { ", " };
        if index > 0 && text.len() + before.len() + name.len() > limits::PEER_TEXT {
            return format!("{text} and {} more", names.len() - index);
        }
        text.push_str(before);
        text.push_str(&name);
    }
    text
}

fn tunnel_refusal(reason: u32, text: &str) -> String {
    let (name, advice) = match reason {
        1 => ("administratively prohibited", "; see AllowTcpForwarding and PermitOpen of its sshd"),
        2 => ("connect failed", ""),
        3 => ("unknown channel type", ""),
        4 => ("resource shortage", ""),
        _ => ("no known reason", ""),
    };
    format!("{name} ({reason}): {}{advice}", peer(text))
}
