//! What an authentication tried, and why it failed.

use std::fmt;

use super::host::peer;

/// An authentication method, by its SSH name (RFC 4252, RFC 4256, RFC 4462).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthMethod {
    /// `none`: the host needs no credential.
    None,
    /// `publickey`.
    PublicKey,
    /// `password`.
    Password,
    /// `keyboard-interactive`.
    KeyboardInteractive,
    /// `hostbased`.
    HostBased,
    /// `gssapi-with-mic`.
    Gssapi,
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::PublicKey => "publickey",
            Self::Password => "password",
            Self::KeyboardInteractive => "keyboard-interactive",
            Self::HostBased => "hostbased",
            Self::Gssapi => "gssapi-with-mic",
        })
    }
}

/// Something that explains why an authentication failed, besides the server's refusals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthProblem {
    /// The server ended the connection after a refusal, as sshd does at its `MaxAuthTries`: credentials that came later in
    /// the order were not tried.
    #[error("the server then disconnected (reason {reason}): {}", peer(message))]
    Disconnected {
        /// The reason code (RFC 4253 section 11.1).
        reason: u32,
        /// The server's text, as it came.
        message: String,
    },
    /// A credential could not be used at this end, for instance a Kerberos ticket that has expired. The server has refused
    /// nothing.
    #[error("{method} could not go on: {}", peer(reason))]
    Unable {
        /// The method.
        method: AuthMethod,
        /// What the library that it needs says.
        reason: String,
    },
}

pub(super) fn listed(methods: &[AuthMethod], none: &str) -> String {
    if methods.is_empty() {
        return none.to_owned();
    }
    let names: Vec<String> = methods.iter().map(ToString::to_string).collect();
    names.join(", ")
}

pub(super) fn explained(problems: &[AuthProblem]) -> String {
    problems.iter().map(|problem| format!("; {problem}")).collect()
}
