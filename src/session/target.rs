//! What a session needs to know of its host. Nothing here changes while the fleet runs.

use std::ffi::CString;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// The name that is shown: the one in the list.
    pub host: Arc<str>,
    pub port: u16,
    /// The name or address that is connected to.
    pub dialled: Arc<str>,
    /// The address, where `dialled` is one.
    pub ip: Option<IpAddr>,
    /// The name and port by which known_hosts files know the host.
    pub recorded: (Arc<str>, u16),
    /// What people call it. Only passed on.
    pub alias: Option<Arc<str>>,
    pub profile: Arc<Profile>,
    /// The proxy that connects to it. Hosts with the same one share its connection.
    pub proxy: Option<Arc<Target>>,
    /// For proxies.
    pub proxy_id: Option<ProxyId>,
}

/// Tells proxies apart: two hosts share a proxy if its id is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProxyId(u64);

impl ProxyId {
    /// One that no other proxy of this process has.
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Target {
    /// A host with one name: shown, dialled and recorded.
    pub(crate) fn new(host: &str, port: u16, profile: Arc<Profile>) -> Self {
        let host: Arc<str> = host.into();
        Self {
            dialled: host.clone(),
            ip: host.parse().ok(),
            recorded: (host.clone(), port),
            host,
            port,
            alias: None,
            profile,
            proxy: None,
            proxy_id: None,
        }
    }

    /// Connects to another name, or to an address.
    pub(crate) fn dial(&mut self, name: &str) {
        (self.dialled, self.ip) = (name.into(), name.parse().ok());
    }
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
