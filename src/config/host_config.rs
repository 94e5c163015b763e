//! What can be set for a single host, and how it combines with the client's settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::SockAddr;

use super::credentials::{AgentSocket, Hidden, Interactive, KeySource, Login};
use super::limit;
use super::owner::Owner;
use super::way::Way;
use crate::credential::Opener;
use crate::credential::Responder;
use crate::host::AddressFamily;
use crate::host::check_user;
use crate::limits;
use crate::link::Gssapi;
use crate::session::{Connection, Keepalive, RetryDelay};

/// Settings of one host, in place of the client's (parallel-ssh: `HostConfig`).
///
/// Given to [`Builder::host_config`](super::Builder::host_config), one per host in the order of the host list.
/// What is not set here is inherited. For each setting by itself, the first of these that has it counts:
///
/// 1. the host's entry in the list (`user@host:port`),
/// 2. its `HostConfig`,
/// 3. the client's setting,
/// 4. the default.
///
/// Unlike in parallel-ssh, `false` and zero count as set, so a host can have identity files or a time limit switched off
/// that the others have.
///
/// | setting | unit | default, if the client has none either | parallel-ssh |
/// |---|---|---|---|
/// | [`user`](Self::user) | | the owner of this process | `user` |
/// | [`port`](Self::port) | | 22 | `port` |
/// | [`password`](Self::password) | | none | `password` |
/// | [`passphrase`](Self::passphrase) | | none | (`password`) |
/// | [`kdf_rounds_max`](Self::kdf_rounds_max) | rounds of bcrypt | 1,024 | |
/// | [`key_file`](Self::key_file), [`key_bytes`](Self::key_bytes) | | none | `private_key` |
/// | [`cert_file`](Self::cert_file), [`cert_bytes`](Self::cert_bytes) | | `<key>-cert.pub`, if it exists | `cert_file` |
/// | [`gssapi_auth`](Self::gssapi_auth) | | `false`, unless an identity is set | `gssapi_auth` |
/// | [`gssapi_server_identity`](Self::gssapi_server_identity) | | the host's name | `gssapi_server_identity` |
/// | [`gssapi_client_identity`](Self::gssapi_client_identity) | | the default tickets' | `gssapi_client_identity` |
/// | [`gssapi_delegate_credentials`](Self::gssapi_delegate_credentials) | | `false` | `gssapi_delegate_credentials` |
/// | [`allow_agent`](Self::allow_agent) | | `true` | `allow_agent` |
/// | [`agent_socket`](Self::agent_socket) | | `SSH_AUTH_SOCK` | |
/// | [`forward_ssh_agent`](Self::forward_ssh_agent) | | `false` | `forward_ssh_agent` |
/// | [`identity_auth`](Self::identity_auth) | | `true` | `identity_auth` |
/// | [`identity_files`](Self::identity_files) | | the usual five | |
/// | [`keyboard_interactive`](Self::keyboard_interactive) | | only with a `responder` | `keyboard_interactive` |
/// | [`responder`](Self::responder) | | none | |
/// | [`num_retries`](Self::num_retries) | attempts | 3 | `num_retries` |
/// | [`retry_delay`](Self::retry_delay) | [`Duration`] | 5 s | `retry_delay` |
/// | [`retry_backoff`](Self::retry_backoff) | [`Duration`] | off | |
/// | [`address_family`](Self::address_family) | [`AddressFamily`] | any | `ipv6_only` |
/// | [`attempt_delay`](Self::attempt_delay) | [`Duration`] | off | |
/// | [`compress`](Self::compress) | | `false` | `compress` |
/// | [`keepalive`](Self::keepalive) | [`Duration`] | off | `keepalive_seconds` |
/// | [`keepalive_max_missed`](Self::keepalive_max_missed) | keepalives | 3 | |
/// | [`timeout`](Self::timeout) | [`Duration`] | no limit but those before the login | `timeout` |
/// | [`read_timeout`](Self::read_timeout) | [`Duration`] | the host's `timeout` | |
/// | [`proxy`](Self::proxy), [`proxies`](Self::proxies), [`no_proxy`](Self::no_proxy) | | none | |
/// | [`proxy_host`](Self::proxy_host) | | none | `proxy_host` |
/// | [`proxy_port`](Self::proxy_port) | | 22 | `proxy_port` |
/// | [`proxy_user`](Self::proxy_user) | | the owner of this process | `proxy_user` |
/// | [`proxy_password`](Self::proxy_password) | | none | `proxy_password` |
/// | [`proxy_key_file`](Self::proxy_key_file) | | none | `proxy_pkey` |
/// | [`alias`](Self::alias) | | none | `alias` |
///
/// ```
/// use std::time::Duration;
/// use sshoal::{HostConfig, ParallelClient};
///
/// # fn main() -> Result<(), sshoal::Error> {
/// # let none: [&str; 0] = [];
/// let client = ParallelClient::builder(["web1", "admin@web2:2222", "10.0.0.7"])
///     .user("deploy")
///     .timeout(Duration::from_secs(10))
///     .host_config([
///         HostConfig::default(),
///         // Still logs in as admin, which the entry says.
///         HostConfig::default().user("root").num_retries(1),
///         HostConfig::default().user("pi").port(2200).timeout(Duration::ZERO).alias("cellar"),
///     ])
/// #   .known_hosts(none).identity_auth(false)
///     .build()?;
/// assert_eq!(client.len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct HostConfig {
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) password: Option<Hidden>,
    pub(super) passphrase: Option<Hidden>,
    pub(super) kdf_rounds_max: Option<u32>,
    pub(super) key: Option<KeySource>,
    pub(super) certificate: Option<KeySource>,
    pub(super) allow_agent: Option<bool>,
    pub(super) agent_socket: Option<PathBuf>,
    pub(super) forward_agent: Option<bool>,
    pub(super) identity_auth: Option<bool>,
    pub(super) identity_files: Option<Vec<PathBuf>>,
    pub(super) gssapi_auth: Option<bool>,
    pub(super) gssapi_server: Option<String>,
    pub(super) gssapi_client: Option<String>,
    pub(super) gssapi_delegate: Option<bool>,
    pub(super) keyboard_interactive: Option<bool>,
    pub(super) responder: Option<Responder>,
    pub(super) attempts: Option<u32>,
    pub(super) retry_delay: Option<Duration>,
    pub(super) retry_backoff: Option<Duration>,
    pub(super) family: Option<AddressFamily>,
    pub(super) attempt_delay: Option<Duration>,
    pub(super) compress: Option<bool>,
    pub(super) keepalive: Option<Duration>,
    pub(super) keepalive_max_missed: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) read_timeout: Option<Duration>,
    pub(super) proxy: Way,
    alias: Option<String>,
}

impl HostConfig {
    /// A name for people, shown by [`HostOutput::alias`](crate::HostOutput::alias). Nothing connects to it, and errors
    /// name the host.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.alias = Some(alias.into());
        self
    }

    /// What is wrong with it, as far as it shows without reading keys.
    pub(super) fn problem(&self) -> Option<String> {
        if self.port == Some(0) {
            return Some("port 0 cannot be connected to".to_owned());
        }
        if self.attempt_delay.is_some_and(|it| !it.is_zero() && it < limits::ATTEMPT_DELAY_MIN) {
            return Some(format!("attempt_delay must be at least {:?}, or zero", limits::ATTEMPT_DELAY_MIN));
        }
        if self.keepalive_max_missed == Some(0) {
            return Some("keepalive_max_missed must be at least 1".to_owned());
        }
        if self.kdf_rounds_max == Some(0) {
            return Some("kdf_rounds_max must be at least 1".to_owned());
        }
        if let Some(user) = &self.user
            && let Err(problem) = check_user(user)
        {
            return Some(format!("user {user:?}: {problem}"));
        }
        if let Some(path) = &self.agent_socket
            && let Err(e) = SockAddr::unix(path)
        {
            return Some(format!("no socket can be at {}: {e}", path.display()));
        }
        let has_nul = |secret: &Option<Hidden>| secret.as_ref().is_some_and(Hidden::has_nul);
        if has_nul(&self.password) {
            return Some("the password contains a NUL byte".to_owned());
        }
        if has_nul(&self.passphrase) {
            return Some("the passphrase contains a NUL byte".to_owned());
        }
        let identities = [("server", &self.gssapi_server), ("client", &self.gssapi_client)];
        let problem = identities.iter().find_map(|(whose, name)| {
            let problem = gssapi_name_problem(name.as_deref()?)?;
            Some(format!("the GSSAPI {whose} identity {problem}"))
        });
        problem.or_else(|| self.proxy.problem())
    }

    /// Delegation that it asks for itself, where nothing can be delegated.
    pub(super) fn delegation_problem(&self, client: &Self) -> Option<&'static str> {
        let is_idle = self.gssapi_delegate == Some(true) && self.gssapi_over(client).is_none();
        is_idle.then_some("gssapi_delegate_credentials is on, but GSSAPI is not: set gssapi_auth")
    }

    /// Whether it says how to log in: then it is to blame for a way that cannot be gone.
    pub(super) fn concerns_login(&self) -> bool {
        let names_keys = self.key.is_some() || self.certificate.is_some();
        let opens_keys = self.passphrase.is_some() || self.kdf_rounds_max.is_some();
        names_keys || opens_keys || self.keyboard_interactive.is_some()
    }

    /// Whether this file is one of its own identity files.
    pub(super) fn names_identity(&self, path: &Path, owner: &Owner) -> bool {
        let files = self.identity_files.iter().flatten();
        files.into_iter().any(|file| owner.expand(file).is_ok_and(|expanded| expanded == path))
    }

    /// Whether it says anything about proxies: then it is to blame for a key of theirs that cannot be used.
    pub(super) fn concerns_proxy(&self) -> bool {
        self.proxy != Way::default()
    }

    pub(super) fn alias_name(&self) -> Option<&str> {
        self.alias.as_deref()
    }

    /// What holds for a host of its own configuration, under the client's.
    pub(super) fn over<'a>(&'a self, client: &'a Self) -> Settings<'a> {
        let timeout = limit(self.timeout.or(client.timeout).unwrap_or_default());
        Settings {
            user: self.user.as_deref().or(client.user.as_deref()),
            port: self.port.or(client.port).unwrap_or(22),
            login: self.login_over(client),
            gssapi: self.gssapi_over(client),
            connection: self.connection_over(client),
            agent_socket: self.agent_socket_over(client),
            forward_agent: self.forward_agent.or(client.forward_agent).unwrap_or(false),
            timeout,
            read_timeout: self.read_timeout.or(client.read_timeout).map_or(timeout, limit),
        }
    }

    /// `None` where it is off. A `false` outranks an identity, whoever set that.
    pub(super) fn gssapi_over<'a>(&'a self, client: &'a Self) -> Option<GssapiSettings<'a>> {
        let server = self.gssapi_server.as_deref().or(client.gssapi_server.as_deref());
        let user = self.gssapi_client.as_deref().or(client.gssapi_client.as_deref());
        let on = self.gssapi_auth.or(client.gssapi_auth).unwrap_or(server.is_some() || user.is_some());
        let delegate = self.gssapi_delegate.or(client.gssapi_delegate).unwrap_or(false);
        on.then_some(GssapiSettings { server, client: user, delegate })
    }

    fn connection_over(&self, client: &Self) -> Connection {
        Connection {
            attempts: self.attempts.or(client.attempts).unwrap_or(limits::ATTEMPTS).max(1),
            retry_delay: RetryDelay {
                base: self.retry_delay.or(client.retry_delay).unwrap_or(limits::RETRY_DELAY),
                backoff_max: self.retry_backoff.or(client.retry_backoff).and_then(limit),
            },
            family: self.family.or(client.family).unwrap_or_default(),
            attempt_delay: self.attempt_delay.or(client.attempt_delay).and_then(limit),
            compress: self.compress.or(client.compress).unwrap_or(false),
            keepalive: self.keepalive.or(client.keepalive).and_then(limit).map(|interval| Keepalive {
                interval,
                missed_max: self
                    .keepalive_max_missed
                    .or(client.keepalive_max_missed)
                    .unwrap_or(limits::KEEPALIVE_MISSED),
            }),
        }
    }

    fn agent_socket_over<'a>(&'a self, client: &'a Self) -> AgentSocket<'a> {
        self.agent_socket.as_deref().or(client.agent_socket.as_deref())
    }

    fn login_over<'a>(&'a self, client: &'a Self) -> Login<'a> {
        let passphrase = self.passphrase.as_ref().or(client.passphrase.as_ref());
        let password = self.password.as_ref().or(client.password.as_ref());
        // Were the client's keys opened by each host's password, ten thousand passwords would cost as many attempts to
        // open the same file, of 100 ms each.
        let rounds_max = self.rounds_max_over(client);
        let opener =
            |secret: Option<&'a Hidden>| Opener { passphrase: secret.map(Hidden::as_bytes), rounds_max };
        let own_opener = opener(passphrase.or(password));
        let client_opener = opener(passphrase.or(client.password.as_ref()));
        let own_key = self.key.as_ref().map(|key| (key, own_opener));
        let own_files = self.identity_files.as_deref().map(|files| (Some(files), own_opener));
        let identities = own_files.unwrap_or((client.identity_files.as_deref(), client_opener));
        Login {
            key: own_key.or(client.key.as_ref().map(|key| (key, client_opener))),
            certificate: self.certificate_over(client),
            identities: self.identity_auth.or(client.identity_auth).unwrap_or(true).then_some(identities),
            agent: self
                .allow_agent
                .or(client.allow_agent)
                .unwrap_or(true)
                .then(|| self.agent_socket_over(client)),
            password,
            interactive: self.interactive_over(client),
        }
    }

    pub(super) fn rounds_max_over(&self, client: &Self) -> u32 {
        self.kdf_rounds_max.or(client.kdf_rounds_max).unwrap_or(limits::KDF_ROUNDS)
    }

    /// The client's certificate is for the client's keys: it goes where they go.
    fn certificate_over<'a>(&'a self, client: &'a Self) -> Option<&'a KeySource> {
        let other_identities = self.identity_files.is_some() || self.identity_auth == Some(false);
        let other_keys = self.key.is_some() || client.key.is_none() && other_identities;
        let inherited = if other_keys { None } else { client.certificate.as_ref() };
        self.certificate.as_ref().or(inherited)
    }

    /// A responder switches the method on unless whoever is asked first has switched it off.
    fn interactive_over<'a>(&'a self, client: &'a Self) -> Option<Interactive<'a>> {
        let switch =
            |config: &Self| config.keyboard_interactive.or(config.responder.is_some().then_some(true));
        let on = switch(self).or(switch(client)).unwrap_or(false);
        let responder = self.responder.as_ref().or(client.responder.as_ref());
        on.then(|| responder.map_or(Interactive::Password, Interactive::Responder))
    }
}

/// What holds for a host, whoever said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings<'a> {
    pub user: Option<&'a str>,
    pub port: u16,
    pub login: Login<'a>,
    /// `None` where it is off.
    pub gssapi: Option<GssapiSettings<'a>>,
    pub connection: Connection,
    pub agent_socket: AgentSocket<'a>,
    pub forward_agent: bool,
    pub timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
}

/// How GSSAPI is used on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GssapiSettings<'a> {
    /// `None`: the host's name.
    pub server: Option<&'a str>,
    /// `None`: the default principal.
    pub client: Option<&'a str>,
    pub delegate: bool,
}

impl GssapiSettings<'_> {
    /// For the host of this name.
    pub fn of(self, host: &str) -> Result<Gssapi, String> {
        let server = self.server.unwrap_or(host);
        if let Some(problem) = gssapi_name_problem(server) {
            return Err(format!("its name as a GSSAPI identity {problem}"));
        }
        Ok(Gssapi {
            server: server.to_owned(),
            client: self.client.map(str::to_owned),
            delegate: self.delegate,
        })
    }
}

/// What makes a name unusable for GSSAPI.
fn gssapi_name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.contains('\0') {
        Some("contains a NUL byte")
    } else if name.len() > limits::GSSAPI_NAME {
        Some("is too long")
    } else {
        None
    }
}
