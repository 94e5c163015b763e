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
    /// keyboard-interactive: nobody answers. The [responder](crate::ClientBuilder::responder) declined; or there is none, and
    /// the server asked for something else than the password: more than one thing, or one that may be shown.
    #[error("no answer to {}", asked(prompt, *prompts))]
    Unanswered {
        /// The first prompt, as it came, cut to 512 bytes.
        prompt: String,
        /// Prompts in the round.
        prompts: usize,
    },
    /// keyboard-interactive: the [responder](crate::ClientBuilder::responder) gave more or fewer answers than there were
    /// prompts. None of them was sent.
    #[error("the responder gave {answers} answers to {}", asked(prompt, *prompts))]
    WrongAnswers {
        /// The first prompt, as it came, cut to 512 bytes.
        prompt: String,
        /// Prompts in the round.
        prompts: usize,
        /// Answers given.
        answers: usize,
    },
    /// keyboard-interactive: an answer contains a NUL byte. None was sent.
    #[error("the answer to prompt {index} contains a NUL byte")]
    NulInAnswer {
        /// Which prompt of the round, from 0.
        index: usize,
    },
    /// keyboard-interactive: the server asks on and on.
    #[error("the server asked again after {0} rounds of questions")]
    TooManyRounds(u32),
}

fn asked(prompt: &str, prompts: usize) -> String {
    let first = peer(prompt);
    match prompts {
        1 => format!("\"{first}\""),
        _ => format!("{prompts} prompts, the first of which is \"{first}\""),
    }
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
