//! Proxies (jump hosts), and the settings that name them.

use std::path::PathBuf;
use std::time::Duration;

use super::builder::{ClientBuilder, FleetBuilder};
use super::credentials::{Hidden, KeySource};
use super::host_config::HostConfig;
use super::list::{Entry, entry};
use super::settings::settings;
use crate::credential::{Answer, Challenge};
use crate::host::{HostSpec, HostSpecError};

/// A host through which other hosts are reached (bastion, jump host). sshoal logs in to the proxy,
/// and the proxy opens the connections to those hosts (`direct-tcpip`, RFC 4254 section 7.2), as
/// with OpenSSH's `ProxyJump`.
///
/// [`Builder::proxy`](crate::config::ClientBuilder::proxy) sets the proxy of all hosts,
/// [`HostConfig::proxy`] that of one host. All hosts with equal proxies share one connection to the
/// proxy, and so one login. This connection takes no place in the pool, counts its attempts
/// separately, and stays open for the next hosts. While hosts wait for the proxy, the time limits
/// of the proxy apply; a host's own [`timeout`](crate::config::ClientBuilder::timeout) begins when
/// the proxy is asked to connect to the host.
///
/// The proxy resolves the names of the hosts behind it. Host keys are verified at each hop, under
/// the name and port of that hop, before any credential is sent. The proxy sees only encrypted data
/// of the hosts behind it.
///
/// Login name, port, password, keys and GSSAPI are never inherited from the hosts or the client;
/// the number of attempts, the pause between them and the time limits are the client's unless they
/// are set on the proxy.
///
/// ```
/// use sshoal::{HostConfig, ParallelClient, Proxy};
///
/// # fn main() -> Result<(), sshoal::Error> {
/// # let none: [&str; 0] = [];
/// let client = ParallelClient::builder(["web1", "web2", "db1", "gate"])
///     .user("deploy")
///     .proxy(Proxy::new("jump@gate").password("secret"))
///     .host_config([
///         HostConfig::default(),
///         HostConfig::default(),
///         // First to the gate, from there to the vault, from there to db1.
///         HostConfig::default().proxies([
///             Proxy::new("jump@gate").password("secret"),
///             Proxy::new("vault:2222"),
///         ]),
///         HostConfig::default().no_proxy(),
///     ])
/// #   .known_hosts(none).identity_auth(false)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Proxy {
    pub(super) host: Entry,
    pub(super) config: HostConfig,
}

impl Proxy {
    /// A proxy at this `[user@]host[:port]` ([`HostSpec`](crate::HostSpec)).
    pub fn new<H>(host: H) -> Self
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        Self { host: entry(host), config: HostConfig::default() }
    }

    /// Login name, unless the text given to [`new`](Self::new) contains one. Default: the owner of
    /// this process.
    pub fn user(self, name: impl Into<String>) -> Self {
        self.set(|config| config.user(name))
    }

    /// Port, unless the text given to [`new`](Self::new) contains one. Default: 22. 0 is rejected.
    pub fn port(self, port: u16) -> Self {
        self.set(|config| config.port(port))
    }

    /// Password, tried last. Without a [`passphrase`](Self::passphrase), the password also decrypts
    /// private keys.
    pub fn password(self, password: impl Into<String>) -> Self {
        self.set(|config| config.password(password))
    }

    /// Passphrase of encrypted private keys.
    pub fn passphrase(self, passphrase: impl Into<String>) -> Self {
        self.set(|config| config.passphrase(passphrase))
    }

    /// Limit on the work of decrypting a private key
    /// ([`Builder::kdf_rounds_max`](crate::config::ClientBuilder::kdf_rounds_max)). Default: the
    /// client's setting.
    pub fn kdf_rounds_max(self, rounds: u32) -> Self {
        self.set(|config| config.kdf_rounds_max(rounds))
    }

    /// Private key file, tried first
    /// ([`Builder::key_file`](crate::config::ClientBuilder::key_file)). `~/` stands for the home
    /// directory.
    pub fn key_file(self, path: impl Into<PathBuf>) -> Self {
        self.set(|config| config.key_file(path))
    }

    /// Private key, as the content of a [file](Self::key_file).
    pub fn key_bytes(self, key: impl Into<Vec<u8>>) -> Self {
        self.set(|config| config.key_bytes(key))
    }

    /// Whether the identity files are tried. Default: `true`.
    pub fn identity_auth(self, on: bool) -> Self {
        self.set(|config| config.identity_auth(on))
    }

    /// The identity files. Default: the five default files in `~/.ssh`
    /// ([`Builder::identity_files`](crate::config::ClientBuilder::identity_files)).
    pub fn identity_files(self, files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.set(|config| config.identity_files(files))
    }

    /// Whether the keys of an ssh-agent are tried. Default: `true`.
    pub fn allow_agent(self, on: bool) -> Self {
        self.set(|config| config.allow_agent(on))
    }

    /// The socket of the ssh-agent. Default: the client's setting.
    pub fn agent_socket(self, path: impl Into<PathBuf>) -> Self {
        self.set(|config| config.agent_socket(path))
    }

    /// Whether keyboard-interactive is tried, with the [`password`](Self::password) or the
    /// [`responder`](Self::responder). Default: `true` with a responder, else `false`.
    pub fn keyboard_interactive(self, on: bool) -> Self {
        self.set(|config| config.keyboard_interactive(on))
    }

    /// A function that answers the proxy's prompts, such as those for a one-time code
    /// ([`Builder::responder`](crate::config::ClientBuilder::responder)). It answers the prompts of
    /// one login, however many hosts are behind the proxy. Two proxies with a responder share a
    /// connection only if they are clones of the same [`Proxy`].
    pub fn responder(
        self,
        respond: impl Fn(&Challenge<'_>) -> Option<Vec<Answer>> + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.responder(respond))
    }

    /// Whether GSSAPI is tried, before all other methods
    /// ([`Builder::gssapi_auth`](crate::config::ClientBuilder::gssapi_auth)). Default: `false`,
    /// unless an identity is set.
    pub fn gssapi_auth(self, on: bool) -> Self {
        self.set(|config| config.gssapi_auth(on))
    }

    /// The host name in the proxy's Kerberos principal. Default: the host given to
    /// [`new`](Self::new).
    pub fn gssapi_server_identity(self, name: impl Into<String>) -> Self {
        self.set(|config| config.gssapi_server_identity(name))
    }

    /// The Kerberos principal to log in as. Default: the principal of the default tickets.
    pub fn gssapi_client_identity(self, name: impl Into<String>) -> Self {
        self.set(|config| config.gssapi_client_identity(name))
    }

    /// Whether the proxy gets a ticket to act as the user. Default: `false`. A login to the hosts
    /// behind the proxy needs no ticket on the proxy.
    pub fn gssapi_delegate_credentials(self, on: bool) -> Self {
        self.set(|config| config.gssapi_delegate_credentials(on))
    }

    /// How many times a connection to the proxy is attempted. Default: the client's setting; 0 is
    /// rejected.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.set(|config| config.max_attempts(attempts))
    }

    /// Pause between two attempts. Default: the client's setting.
    pub fn retry_delay(self, delay: Duration) -> Self {
        self.set(|config| config.retry_delay(delay))
    }

    /// Time limit for each stage of the connection to the proxy. Default: the client's setting.
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.set(|config| config.timeout(limit))
    }

    fn set(self, change: impl FnOnce(HostConfig) -> HostConfig) -> Self {
        Self { config: change(self.config), ..self }
    }
}

impl HostConfig {
    /// Connects directly, without the client's proxies.
    pub fn no_proxy(self) -> Self {
        self.proxies([])
    }
}

settings! {
    /// The [`Proxy`] to connect through. Default: none.
    proxy(proxy: Proxy) => |config| config.proxy.hops = Some(vec![proxy]);

    /// Several [`Proxy`]s to connect through, one behind the other. Only the first is connected to
    /// directly (OpenSSH: `ProxyJump a,b`). An empty list means no proxy.
    ///
    /// No proxy may appear twice in the list, and the host itself may not appear in it.
    proxies(hops: impl IntoIterator<Item = Proxy>) =>
        |config| config.proxy.hops = Some(hops.into_iter().collect());

    /// A short form of [`proxy`](Self::proxy), for a proxy with this name (parallel-ssh:
    /// `proxy_host`). `proxy_port`, `proxy_user`, `proxy_password` and `proxy_key_file` apply to
    /// this proxy. Each of these settings can be made for one host or for all hosts.
    ///
    /// Unlike in parallel-ssh, all hosts share one connection to the proxy, and no local port is
    /// opened. A setting that is not made has the default of a [`Proxy`], as parallel-ssh
    /// documents; it is not taken from the host's login.
    proxy_host(host: impl TryInto<HostSpec, Error: Into<HostSpecError>>) =>
        |config| config.proxy.host = Some(entry(host));

    /// Port of the [`proxy_host`](Self::proxy_host), unless its text contains one. Default: 22.
    proxy_port(port: u16) => |config| config.proxy.login().port = Some(port);

    /// Login name on the [`proxy_host`](Self::proxy_host), unless its text contains one. Default:
    /// the owner of this process.
    proxy_user(name: impl Into<String>) => |config| config.proxy.login().user = Some(name.into());

    /// Password for the [`proxy_host`](Self::proxy_host). It also decrypts an encrypted
    /// `proxy_key_file`.
    proxy_password(password: impl Into<String>) =>
        |config| config.proxy.login().password = Some(Hidden::new(password.into()));

    /// Private key file for the [`proxy_host`](Self::proxy_host) (parallel-ssh: `proxy_pkey`).
    proxy_key_file(path: impl Into<PathBuf>) =>
        |config| config.proxy.login().key = Some(KeySource::File(path.into()));
}
