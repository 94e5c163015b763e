//! Keyboard-interactive authentication (RFC 4256): the server's prompts, and the responder that
//! answers them.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::credential::Secret;

/// One round of a server's prompts, for a [responder](crate::config::ClientBuilder::responder).
///
/// The texts are passed on unchanged, except that invalid UTF-8 is replaced. Pass them through
/// [`sanitise`](crate::output::sanitise) before printing them on a terminal.
#[derive(Debug)]
#[non_exhaustive]
pub struct Challenge<'a> {
    /// The host as the caller named it.
    pub host: &'a str,
    /// The host's port.
    pub port: u16,
    /// The login name.
    pub user: &'a str,
    /// The number of this round within the login, from 1. Rounds without a prompt count, but are
    /// not passed to the responder.
    pub round: u32,
    /// The server's title, which is often empty.
    pub name: &'a str,
    /// The server's instruction for the user, which is often empty.
    pub instruction: &'a str,
    /// The prompts to answer, in order. Never empty.
    pub prompts: &'a [Prompt],
}

/// One prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prompt {
    /// The server's text, for example `Password: ` or `Verification code: `.
    pub text: String,
    /// Whether the answer may be shown while it is typed; `false` for secrets.
    pub echo: bool,
}

/// The answer to a [`Prompt`]. It is overwritten when dropped, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer(Zeroizing<String>);

impl Answer {
    /// Copies the answer. `None` if it contains a NUL byte, which libssh's C strings do not allow.
    pub(crate) fn to_secret(&self) -> Option<Secret> {
        Secret::copy(&self.0)
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

type Respond = dyn Fn(&Challenge<'_>) -> Option<Vec<Answer>> + Send + Sync;

/// The caller's function that answers prompts. Two responders are equal only if they are clones of
/// the same one.
#[derive(Clone)]
pub(crate) struct Responder(Arc<Respond>);

impl Responder {
    pub(crate) fn new<F>(respond: F) -> Self
    where
        F: Fn(&Challenge<'_>) -> Option<Vec<Answer>> + Send + Sync + 'static,
    {
        Self(Arc::new(respond))
    }

    pub(crate) fn respond(&self, challenge: &Challenge<'_>) -> Option<Vec<Answer>> {
        (self.0)(challenge)
    }

    fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl PartialEq for Responder {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Responder {}

impl std::hash::Hash for Responder {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder(..)")
    }
}
