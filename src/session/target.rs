//! What a session knows about its host. While the fleet runs, only the profile can be replaced.

use std::ffi::CString;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Keepalive, RetryPolicy};
use crate::address::{LocalAddresses, canonical, literal};
use crate::agent::wire::Identity;
use crate::command::{ChannelRequest, LoginProgram};
use crate::credential::{Responder, Secret};
use crate::error::{AuthMethod, AuthProblem};
use crate::host::AddressFamily;
use crate::hostkey::Verifier;
use crate::link::algorithms::Offered;
use crate::link::{Gssapi, PrivateKey, RekeyLimit};
use crate::proxy_command::{Names, ProxyCommand};

/// A host of the list, or a proxy on the way to one.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The name shown to users, as in the list.
    pub host: Arc<str>,
    pub port: u16,
    /// The name or address to connect to.
    pub dialled: Arc<str>,
    /// The name and port under which known_hosts files list the host. An address has its usual
    /// form.
    pub recorded: (Arc<str>, u16),
    /// A name that the caller has chosen for the host. The session only passes it on.
    pub alias: Option<Arc<str>>,
    pub profile: Arc<Profile>,
    /// The proxy to connect through. Hosts with the same proxy share its connection.
    pub proxy: Option<Arc<Target>>,
    /// The command that makes the connection. It is `None` behind a proxy.
    pub command: Option<Arc<ProxyCommand>>,
    /// The id of the proxy, if this target is a proxy.
    pub proxy_id: Option<ProxyId>,
}

/// Identifies a proxy. Hosts whose proxies have the same id share one connection to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProxyId(NonZeroU64);

impl ProxyId {
    /// Creates an id that is unique in this process.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // The count does not overflow within the life of a process.
        Self(NonZeroU64::MIN.saturating_add(LAST.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Target {
    /// Creates a host whose shown, dialled and recorded names are the same.
    pub(crate) fn new(host: Arc<str>, port: u16, profile: Arc<Profile>) -> Self {
        Self {
            dialled: host.clone(),
            recorded: (recorded_name(&host), port),
            host,
            port,
            alias: None,
            profile,
            proxy: None,
            command: None,
            proxy_id: None,
        }
    }

    /// The host as texts show it, with its port unless that is 22.
    pub(crate) fn shown(&self) -> Arc<str> {
        match self.port {
            22 => self.host.clone(),
            port => format!("{} port {port}", self.host).into(),
        }
    }

    /// What the tokens of the proxy command stand for.
    pub(crate) fn names<'a>(&'a self, user: &'a str) -> Names<'a> {
        Names { host: &self.dialled, name: &self.host, port: self.port, user }
    }

    /// The proxy command for this host.
    pub(crate) fn command_line(&self) -> Option<String> {
        let user = self.profile.user.to_string_lossy();
        self.command.as_ref().map(|command| command.line(&self.names(&user)))
    }

    /// Sets the name or address to connect to. The host in the list is then a mere name, even if it
    /// looks like an address.
    pub(crate) fn dial(&mut self, name: &str) {
        self.recorded.0 = self.host.clone();
        self.dialled = name.into();
    }

    /// The address, if `dialled` is an address that needs no lookup. The index of a zone must be
    /// looked up.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        literal(&self.dialled).filter(|(_, zone)| zone.is_none()).map(|(address, _)| address)
    }
}

/// The name under which a host is recorded. Most hosts are recorded as they are written, and share
/// the text.
fn recorded_name(host: &Arc<str>) -> Arc<str> {
    let name = canonical(host);
    if *name == **host { host.clone() } else { name.into() }
}

/// Settings that many hosts share.
#[derive(Debug)]
pub(crate) struct Profile {
    pub user: CString,
    pub algorithms: Arc<Offered>,
    pub plan: AuthPlan,
    /// The credentials that the settings name, or that are tried by default, and that are not in
    /// `plan` because they cannot be used.
    pub skipped: Vec<AuthProblem>,
    /// Whether a password is sent to one host at a time until a host has accepted it.
    pub guard_passwords: bool,
    /// The socket of the agent for `plan`. The session only passes it on.
    pub agent: Option<Arc<Path>>,
    /// The socket of the agent that commands on the host can reach (agent forwarding).
    pub forward_agent: Option<Arc<Path>>,
    /// The channel requests that precede those of each command. As in OpenSSH, the server may
    /// refuse those for variables and for the agent. A command may go without the terminal.
    pub setup: Vec<ChannelRequest>,
    /// What runs in place of the login shell.
    pub login_program: Option<LoginProgram>,
    pub timeouts: Timeouts,
    /// How long a blocking reader of the output waits by default. Not used by the session.
    pub read_timeout: Option<Duration>,
    pub connection: Connection,
    pub verifier: Arc<Verifier>,
}

/// Equal profiles have the same effect.
impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        let Self { user, algorithms, plan, skipped, guard_passwords, agent, .. } = self;
        let Self { forward_agent, setup, login_program, timeouts, .. } = self;
        let Self { read_timeout, connection, verifier, .. } = self;
        (user, plan, skipped, agent) == (&other.user, &other.plan, &other.skipped, &other.agent)
            && (guard_passwords, forward_agent) == (&other.guard_passwords, &other.forward_agent)
            && (setup, login_program) == (&other.setup, &other.login_program)
            && (timeouts, read_timeout) == (&other.timeouts, &other.read_timeout)
            && (connection, algorithms) == (&other.connection, &other.algorithms)
            && Arc::ptr_eq(verifier, &other.verifier)
    }
}

impl Eq for Profile {}

/// By what usually tells profiles apart.
impl Hash for Profile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.user, &self.plan, &self.agent, self.timeouts, self.connection).hash(state);
        Arc::as_ptr(&self.verifier).hash(state);
    }
}

impl Profile {
    pub(crate) fn user_name(&self) -> String {
        self.user.to_string_lossy().into_owned()
    }
}

/// How a connection is made, kept alive, and retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    pub retry: RetryPolicy,
    /// The address families that may be dialled.
    pub family: AddressFamily,
    /// How long to wait for a connect before the next address is dialled as well. `None` if
    /// addresses do not race.
    pub attempt_delay: Option<Duration>,
    /// The local addresses to connect from.
    pub bind: Option<LocalAddresses>,
    /// Whether to negotiate compression, in both directions.
    pub compress: bool,
    pub rekey: RekeyLimit,
    /// Whether a channel is opened before a command needs it.
    pub spare_channel: bool,
    pub keepalive: Option<Keepalive>,
}

/// The time limits, each for a whole stage. `None` means that there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Timeouts {
    /// The limit for name resolution and TCP connect together.
    pub connect: Option<Duration>,
    pub handshake: Option<Duration>,
    pub auth: Option<Duration>,
    /// The limit from opening the channel until the command is accepted.
    pub exec: Option<Duration>,
    /// Whether the caller has set the limit `exec`. A default does not include the time in which
    /// the command waits for a channel, or in which its connection is not read (back-pressure).
    pub exec_is_set: bool,
    /// How long a command that is being stopped may take to end, before its channel is closed.
    pub stop: Duration,
    /// How long the server may take to confirm the close of a channel.
    pub close: Duration,
}

/// The offers to make to the server, in order: GSSAPI, the key that the caller named, the agent's
/// keys, identity files, password, keyboard-interactive.
pub(crate) type AuthPlan = Vec<Offer>;

/// One way to log in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Offer {
    /// The `none` method, which is used if nothing else is configured. It succeeds on hosts without
    /// authentication. Other hosts reply with the methods that they accept.
    None,
    /// Sign at once, because the caller named this key or because it is the only one.
    Sign(Arc<PrivateKey>),
    /// First ask whether the server accepts the key. The question is cheaper than a signature (2 ms
    /// for RSA).
    AskThenSign(Arc<PrivateKey>),
    /// The keys that the agent holds, except those offered already.
    Agent(Arc<AgentOffer>),
    Password(Secret),
    /// A Kerberos ticket.
    Gssapi(Arc<Gssapi>),
    /// The keyboard-interactive method, with this source of answers.
    Interactive(Answerer),
}

/// Which of the agent's keys are offered, and in which order (OpenSSH: `pubkey_prepare`): first the
/// keys with a certificate that the settings name, then the preferred keys, then the others, each
/// group in the agent's order.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct AgentOffer {
    pub preferred: Vec<PreferredKey>,
    /// The certificates that are offered for keys of the agent, each with its key. Both are wire
    /// blobs.
    pub certificates: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether only the preferred keys are offered (OpenSSH: `IdentitiesOnly`).
    pub only: bool,
}

/// A key that the settings name, or the key of a default identity file.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PreferredKey {
    /// The public key or certificate as a wire blob.
    pub blob: Vec<u8>,
    /// Whether the caller named this one key, so that it precedes the other preferred keys.
    pub is_first: bool,
    /// The problem to report if the agent does not hold the key. `None` if there is none, for
    /// example because the private half is in a file.
    pub missing: Option<UnusableKey>,
}

/// A key that this process cannot sign with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UnusableKey {
    /// The key's file, or `<bytes>`.
    pub path: PathBuf,
    /// The end of a sentence that begins with the path.
    pub reason: String,
}

impl PreferredKey {
    /// A key that is not only in the agent.
    pub(crate) fn new(blob: Vec<u8>) -> Self {
        Self { blob, is_first: false, missing: None }
    }
}

impl AgentOffer {
    /// Returns what to offer, of the keys that the agent lists.
    pub(crate) fn select(&self, listed: &[Identity]) -> Vec<Identity> {
        let is_listed = |blob: &[u8]| listed.iter().any(|identity| identity.blob() == blob);
        let mut selected: Vec<(u8, Identity)> = Vec::with_capacity(listed.len());
        for identity in listed {
            let preferred = self.preferred.iter().find(|key| key.blob == identity.blob());
            if self.only && preferred.is_none() {
                continue;
            }
            let rank = preferred.map_or(3, |key| if key.is_first { 0 } else { 2 });
            for (certificate, key) in &self.certificates {
                if key == identity.blob() && !is_listed(certificate) {
                    selected.push((rank.min(1), identity.certified(certificate)));
                }
            }
            selected.push((rank, identity.clone()));
        }
        selected.sort_by_key(|(rank, _)| *rank);
        selected.into_iter().map(|(_, identity)| identity).collect()
    }

    /// Whether all keys to offer, of those that the agent lists, are in security keys.
    pub(crate) fn needs_security_key(&self, listed: &[Identity]) -> bool {
        let is_preferred =
            |identity: &&Identity| self.preferred.iter().any(|key| key.blob == identity.blob());
        let mut offered = listed.iter().filter(|identity| !self.only || is_preferred(identity)).peekable();
        offered.peek().is_some() && offered.all(Identity::is_security_key)
    }

    /// The keys that nobody can sign with, because the agent does not list them.
    pub(crate) fn missing(&self, listed: &[Identity]) -> impl Iterator<Item = &UnusableKey> {
        let is_listed = |key: &&PreferredKey| listed.iter().any(|identity| key.blob == identity.blob());
        self.preferred.iter().filter(move |key| !is_listed(key)).filter_map(|key| key.missing.as_ref())
    }
}

/// The source of answers to a server's prompts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Answerer {
    /// The password. It answers the first prompt if that prompt is hidden, is alone in its round,
    /// and contains the second text in any case.
    Password(Secret, Arc<str>),
    /// The caller's callback.
    Responder(Responder),
}

impl Offer {
    /// The key to sign with, if any.
    pub(crate) fn key(&self) -> Option<&PrivateKey> {
        match self {
            Self::Sign(key) | Self::AskThenSign(key) => Some(key),
            Self::None | Self::Agent(_) | Self::Password(_) | Self::Gssapi(_) | Self::Interactive(_) => None,
        }
    }

    /// The password that this offer may send.
    pub(crate) fn password(&self) -> Option<&Secret> {
        match self {
            Self::Password(password) | Self::Interactive(Answerer::Password(password, _)) => Some(password),
            _ => None,
        }
    }

    /// Whether a host that only pretends to be the target could not use what this offer sends.
    pub(crate) fn is_safe(&self) -> bool {
        !matches!(self, Self::Password(_) | Self::Interactive(_))
    }

    /// The method that the server must accept for this offer to make sense.
    pub(crate) fn method(&self) -> AuthMethod {
        match self {
            Self::None => AuthMethod::None,
            Self::Sign(_) | Self::AskThenSign(_) | Self::Agent(_) => AuthMethod::PublicKey,
            Self::Password(_) => AuthMethod::Password,
            Self::Gssapi(_) => AuthMethod::Gssapi,
            Self::Interactive(_) => AuthMethod::KeyboardInteractive,
        }
    }
}
