//! What a session needs to know of its host. Nothing here changes while the fleet runs.

use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Keepalive, RetryDelay};
use crate::credential::Responder;
use crate::credential::Secret;
use crate::error::AuthMethod;
use crate::host::AddressFamily;
use crate::hostkey::Verifier;
use crate::link::{Gssapi, PrivateKey};

/// One host of the list, or a proxy to such.
#[derive(Debug)]
pub(crate) struct Target {
    /// As it was given: resolved, and looked up in known_hosts, by this name.
    pub host: Arc<str>,
    pub port: u16,
    /// What people call it. Only passed on.
    pub alias: Option<Arc<str>>,
    pub profile: Arc<Profile>,
    /// The host that connects to it in our place. Whoever has the same one shares its connection.
    pub proxy: Option<Arc<Target>>,
}

/// Settings that many hosts share.
#[derive(Debug)]
pub(crate) struct Profile {
    pub user: CString,
    pub plan: AuthPlan,
    /// The socket of the agent that is meant by the plan, and by `forward_agent`. Only passed on.
    pub agent: Option<Arc<Path>>,
    /// Whether commands on the host are led to the agent.
    pub forward_agent: bool,
    pub timeouts: Timeouts,
    /// How long a reader of its output waits, unless told otherwise. The session itself does not care.
    pub read_timeout: Option<Duration>,
    pub connection: Connection,
    pub verifier: Arc<Verifier>,
}

impl Profile {
    pub(crate) fn user_name(&self) -> String {
        self.user.to_string_lossy().into_owned()
    }
}

/// How a connection is made, kept, and made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    /// At least 1.
    pub attempts: u32,
    pub retry_delay: RetryDelay,
    /// Addresses that may be dialled.
    pub family: AddressFamily,
    /// How long a connect is under way before the next address is dialled beside it. `None`: never.
    pub attempt_delay: Option<Duration>,
    /// Whether the server is asked to compress, and told that we would.
    pub compress: bool,
    pub keepalive: Option<Keepalive>,
}

/// Time limits per stage, each a total. `None`: no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// Name resolution and TCP connect together.
    pub connect: Option<Duration>,
    pub handshake: Option<Duration>,
    pub auth: Option<Duration>,
    /// From opening the channel until the command is accepted.
    pub exec: Option<Duration>,
}

/// What to offer the server, in order: GSSAPI, the named key, the agent's keys, identity files, password,
/// keyboard-interactive.
pub(crate) type AuthPlan = Vec<Offer>;

/// One way to log in.
#[derive(Debug, Clone)]
pub(crate) enum Offer {
    /// `none`, where nothing else is configured: succeeds on hosts that ask for nothing, else tells what they want.
    None,
    /// Sign at once: the caller named this key, or it is the only one.
    Sign(Arc<PrivateKey>),
    /// Ask first whether the server knows the key: a signature costs more than the question (2 ms for RSA).
    AskThenSign(Arc<PrivateKey>),
    /// Every key that the agent holds, in its order, for which no other offer was made already.
    Agent,
    /// The password.
    Password(Secret),
    /// A Kerberos ticket.
    Gssapi(Arc<Gssapi>),
    /// keyboard-interactive, answered by this.
    Interactive(Answerer),
}

/// Who answers a server's questions.
#[derive(Debug, Clone)]
pub(crate) enum Answerer {
    /// The password, given to the one hidden prompt of a round that has no other.
    Password(Secret),
    /// The caller.
    Responder(Responder),
}

impl Offer {
    /// The key that it signs with.
    pub(crate) fn key(&self) -> Option<&PrivateKey> {
        match self {
            Self::Sign(key) | Self::AskThenSign(key) => Some(key),
            Self::None | Self::Agent | Self::Password(_) | Self::Gssapi(_) | Self::Interactive(_) => None,
        }
    }

    /// The method that the server has to want for this to be worth making.
    pub(crate) fn method(&self) -> AuthMethod {
        match self {
            Self::None => AuthMethod::None,
            Self::Sign(_) | Self::AskThenSign(_) | Self::Agent => AuthMethod::PublicKey,
            Self::Password(_) => AuthMethod::Password,
            Self::Gssapi(_) => AuthMethod::Gssapi,
            Self::Interactive(_) => AuthMethod::KeyboardInteractive,
        }
    }
}
