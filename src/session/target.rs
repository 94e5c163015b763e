//! What a session knows about its host. These values do not change while the fleet runs.

use std::ffi::CString;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Keepalive, RetryDelay};
use crate::credential::{Responder, Secret};
use crate::error::AuthMethod;
use crate::host::AddressFamily;
use crate::hostkey::Verifier;
use crate::link::{Gssapi, PrivateKey};

/// A host of the list, or a proxy on the way to one.
#[derive(Debug)]
pub(crate) struct Target {
    /// The name shown to users, as in the list.
    pub host: Arc<str>,
    pub port: u16,
    /// The name or address to connect to.
    pub dialled: Arc<str>,
    /// The address, if `dialled` is an address.
    pub ip: Option<IpAddr>,
    /// The name and port under which known_hosts files list the host.
    pub recorded: (Arc<str>, u16),
    /// A name that the caller has chosen for the host. The session only passes it on.
    pub alias: Option<Arc<str>>,
    pub profile: Arc<Profile>,
    /// The proxy to connect through. Hosts with the same proxy share its connection.
    pub proxy: Option<Arc<Target>>,
    /// The id of the proxy, if this target is a proxy.
    pub proxy_id: Option<ProxyId>,
}

/// Identifies a proxy. Hosts whose proxies have the same id share one connection to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProxyId(u64);

impl ProxyId {
    /// Creates an id that is unique in this process.
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Target {
    /// Creates a host whose shown, dialled and recorded names are the same.
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

    /// Sets the name or address to connect to.
    pub(crate) fn dial(&mut self, name: &str) {
        (self.dialled, self.ip) = (name.into(), name.parse().ok());
    }
}

/// Settings that many hosts share.
#[derive(Debug)]
pub(crate) struct Profile {
    pub user: CString,
    pub plan: AuthPlan,
    /// The socket of the agent for `plan` and `forward_agent`. The session only passes it on.
    pub agent: Option<Arc<Path>>,
    /// Whether commands on the host can reach the agent (agent forwarding).
    pub forward_agent: bool,
    pub timeouts: Timeouts,
    /// How long a blocking reader of the output waits by default. Not used by the session.
    pub read_timeout: Option<Duration>,
    pub connection: Connection,
    pub verifier: Arc<Verifier>,
}

impl Profile {
    pub(crate) fn user_name(&self) -> String {
        self.user.to_string_lossy().into_owned()
    }
}

/// How a connection is made, kept alive, and retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    /// How many attempts to connect are allowed; at least 1.
    pub attempts: u32,
    pub retry_delay: RetryDelay,
    /// The address families that may be dialled.
    pub family: AddressFamily,
    /// How long to wait for a connect before the next address is dialled as well. `None` if
    /// addresses do not race.
    pub attempt_delay: Option<Duration>,
    /// Whether to negotiate compression, in both directions.
    pub compress: bool,
    pub keepalive: Option<Keepalive>,
}

/// The time limits, each for a whole stage. `None` means that there is no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// The limit for name resolution and TCP connect together.
    pub connect: Option<Duration>,
    pub handshake: Option<Duration>,
    pub auth: Option<Duration>,
    /// The limit from opening the channel until the command is accepted.
    pub exec: Option<Duration>,
}

/// The offers to make to the server, in order: GSSAPI, the key that the caller named, the agent's
/// keys, identity files, password, keyboard-interactive.
pub(crate) type AuthPlan = Vec<Offer>;

/// One way to log in.
#[derive(Debug, Clone)]
pub(crate) enum Offer {
    /// The `none` method, which is used if nothing else is configured. It succeeds on hosts without
    /// authentication. Other hosts reply with the methods that they accept.
    None,
    /// Sign at once, because the caller named this key or because it is the only one.
    Sign(Arc<PrivateKey>),
    /// First ask whether the server accepts the key. The question is cheaper than a signature (2 ms
    /// for RSA).
    AskThenSign(Arc<PrivateKey>),
    /// Every key that the agent holds, in the agent's order, except those offered already.
    Agent,
    Password(Secret),
    /// A Kerberos ticket.
    Gssapi(Arc<Gssapi>),
    /// The keyboard-interactive method, with this source of answers.
    Interactive(Answerer),
}

/// The source of answers to a server's prompts.
#[derive(Debug, Clone)]
pub(crate) enum Answerer {
    /// The password. It answers the first prompt if that prompt is hidden and is alone in its
    /// round.
    Password(Secret),
    /// The caller's callback.
    Responder(Responder),
}

impl Offer {
    /// The key to sign with, if any.
    pub(crate) fn key(&self) -> Option<&PrivateKey> {
        match self {
            Self::Sign(key) | Self::AskThenSign(key) => Some(key),
            Self::None | Self::Agent | Self::Password(_) | Self::Gssapi(_) | Self::Interactive(_) => None,
        }
    }

    /// The method that the server must accept for this offer to make sense.
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
