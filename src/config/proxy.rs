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
use crate::hostkey::HostKeyPolicy;
use crate::session::RetryPolicy;

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
/// the number of attempts, the pause between them, the time limits, and what is set for host keys
/// are the client's unless they are set on the proxy.
///
/// ```
/// use sshoal::{HostConfig, ParallelClient, Proxy};
///
/// # fn main() -> Result<(), sshoal::Error> {
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
/// #   .no_known_hosts().identity_auth(false)
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
}

settings! { @pass Proxy.config {
    /// Login name, unless the text given to [`new`](Self::new) contains one. Default: the owner of
    /// this process.
    user(name: impl Into<String>);

    /// Port, unless the text given to [`new`](Self::new) contains one. Default: 22. 0 is rejected.
    port(port: u16);

    /// The name or address to connect to, if it differs from the one given to [`new`](Self::new)
    /// (OpenSSH: `HostName`). Errors still have that one, and so do known_hosts files, unless
    /// [`host_key_alias`](Self::host_key_alias) is set.
    hostname(name: impl Into<String>);

    /// The name that the proxy's keys have in known_hosts files, without a port (OpenSSH:
    /// `HostKeyAlias`). Default: the host given to [`new`](Self::new), with its port.
    host_key_alias(name: impl Into<String>);

    /// Password, tried last. Without a [`passphrase`](Self::passphrase), the password also decrypts
    /// private keys.
    password(password: impl Into<String>);

    /// Whether the password waits until another host has accepted it
    /// ([`Builder::guard_passwords`](crate::config::ClientBuilder::guard_passwords)). Default: the
    /// client's setting.
    guard_passwords(on: bool);

    /// Passphrase of encrypted private keys.
    passphrase(passphrase: impl Into<String>);

    /// Limit on the work of decrypting a private key
    /// ([`Builder::kdf_rounds_max`](crate::config::ClientBuilder::kdf_rounds_max)). Default: the
    /// client's setting.
    kdf_rounds_max(rounds: u32);

    /// Private key file, tried first
    /// ([`Builder::key_file`](crate::config::ClientBuilder::key_file)). `~/` stands for the home
    /// directory.
    key_file(path: impl Into<PathBuf>);

    /// Private key, as the content of a [file](Self::key_file).
    key_bytes(key: impl Into<Vec<u8>>);

    /// Whether the identity files are tried. Default: `true`.
    identity_auth(on: bool);

    /// The identity files. Default: the five default files in `~/.ssh`
    /// ([`Builder::identity_files`](crate::config::ClientBuilder::identity_files)).
    identity_files(files: impl IntoIterator<Item = impl Into<PathBuf>>);

    /// Whether the keys of an ssh-agent are tried. Default: `true`.
    allow_agent(on: bool);

    /// Whether the ssh-agent offers only the keys that this proxy's settings name
    /// ([`Builder::identities_only`](crate::config::ClientBuilder::identities_only)). Default:
    /// `false`.
    identities_only(on: bool);

    /// The socket of the ssh-agent. Default: the client's setting.
    agent_socket(path: impl Into<PathBuf>);

    /// Whether keyboard-interactive is tried, with the [`password`](Self::password) or the
    /// [`responder`](Self::responder)
    /// ([`Builder::keyboard_interactive`](crate::config::ClientBuilder::keyboard_interactive)).
    /// Default: `true` with a responder; with a password, only for prompts that ask for it.
    keyboard_interactive(on: bool);

    /// The text by which the proxy's prompt for the password is known
    /// ([`Builder::password_prompt`](crate::config::ClientBuilder::password_prompt)). Default:
    /// `"password"`.
    password_prompt(text: impl Into<String>);

    /// A function that answers the proxy's prompts, such as those for a one-time code
    /// ([`Builder::responder`](crate::config::ClientBuilder::responder)). It answers the prompts of
    /// one login, however many hosts are behind the proxy. Two proxies with a responder share a
    /// connection only if they are clones of the same [`Proxy`].
    responder(respond: impl Fn(&Challenge<'_>) -> Option<Vec<Answer>> + Send + Sync + 'static);

    /// Whether GSSAPI is tried, before all other methods
    /// ([`Builder::gssapi_auth`](crate::config::ClientBuilder::gssapi_auth)). Default: `false`,
    /// unless an identity is set.
    gssapi_auth(on: bool);

    /// The host name in the proxy's Kerberos principal. Default: the host given to
    /// [`new`](Self::new).
    gssapi_server_identity(name: impl Into<String>);

    /// The Kerberos principal to log in as. Default: the principal of the default tickets.
    gssapi_client_identity(name: impl Into<String>);

    /// Whether the proxy gets a ticket to act as the user. Default: `false`. A login to the hosts
    /// behind the proxy needs no ticket on the proxy.
    gssapi_delegate_credentials(on: bool);

    /// The policy for the proxy's host key
    /// ([`Builder::host_keys`](crate::config::ClientBuilder::host_keys)). Default: the client's
    /// setting.
    host_keys(policy: HostKeyPolicy);

    /// The known_hosts files for the proxy's host key
    /// ([`Builder::known_hosts`](crate::config::ClientBuilder::known_hosts)). Default: the client's
    /// setting.
    known_hosts(files: impl IntoIterator<Item = impl Into<PathBuf>>);

    /// Reads no known_hosts file for the proxy's host key
    /// ([`Builder::no_known_hosts`](crate::config::ClientBuilder::no_known_hosts)).
    no_known_hosts();

    /// A file of host keys that are refused from the proxy
    /// ([`Builder::revoked_host_keys`](crate::config::ClientBuilder::revoked_host_keys)). Default:
    /// the client's setting.
    revoked_host_keys(file: impl Into<PathBuf>);

    /// Whether the proxy's name is hashed when its host key is recorded
    /// ([`Builder::hash_known_hosts`](crate::config::ClientBuilder::hash_known_hosts)). Default:
    /// the client's setting.
    hash_known_hosts(on: bool);

    /// A command that makes the connection to the proxy
    /// ([`Builder::proxy_command`](crate::config::ClientBuilder::proxy_command)), such as one that
    /// starts the session of a cloud's bastion. Only the first of several proxies can have one.
    /// Default: none, whatever the client's setting is.
    proxy_command(command: impl Into<String>);

    /// Which failed attempts to connect to the proxy are followed by another one
    /// ([`Builder::retry`](crate::config::ClientBuilder::retry)). Default: the client's setting.
    retry(policy: RetryPolicy);

    /// How many times a connection to the proxy is attempted. Default: the client's setting; 0 is
    /// rejected.
    max_attempts(attempts: u32);

    /// Pause between two attempts. Default: the client's setting.
    retry_delay(delay: Duration);

    /// Time limit for each stage of the connection to the proxy. Default: the client's setting.
    timeout(limit: impl Into<Option<Duration>>);
}}

impl HostConfig {
    /// Connects directly, without the client's proxies or its
    /// [`proxy_command`](Self::proxy_command).
    pub fn no_proxy(self) -> Self {
        self.proxies([])
    }
}

settings! { HostConfig, FleetBuilder.client, ClientBuilder.fleet; {
    /// The [`Proxy`] to connect through. Default: none.
    proxy(proxy: Proxy) => |config| config.proxy.hops = Some([proxy].into());

    /// Several [`Proxy`]s to connect through, one behind the other. Only the first is connected to
    /// directly (OpenSSH: `ProxyJump a,b`). An empty list means no proxy.
    ///
    /// No proxy may appear twice in the list, and the host itself may not appear in it.
    proxies(hops: impl IntoIterator<Item = Proxy>) =>
        |config| config.proxy.hops = Some(hops.into_iter().collect());

    /// A command that makes the connection to a host (OpenSSH: `ProxyCommand`), such as
    /// `nc -X 5 -x socks:1080 %h %p`. Its standard input and output carry the connection. Default:
    /// none; `none` means that there is no command.
    ///
    /// These tokens are expanded, and any other is an error of
    /// [`build`](crate::config::ClientBuilder::build): `%h` is the name or address to connect to,
    /// `%p` the port, `%r` the login name, `%n` the name in the host list, and `%%` a percent sign.
    /// No host name can contain shell syntax ([`HostSpec`]). A login name that does is an error if
    /// `%r` would expand to it.
    ///
    /// The most specific layer that has any of `proxy`, `proxies`, `proxy_host` and `proxy_command`
    /// decides: a host's own proxy replaces the client's command, and
    /// [`no_proxy`](crate::HostConfig::no_proxy) connects directly.
    ///
    /// As in OpenSSH, each connection starts a process, with `$SHELL -c "exec command"` (`/bin/sh`
    /// if `SHELL` is not set when the fleet is built), and host keys are verified under the host's
    /// name. Unlike in OpenSSH, the last lines of its standard error do not go to the terminal, but
    /// become a part of the host's error
    /// ([`HostError::proxy_command_said`](crate::HostError::proxy_command_said)). The time limit
    /// for connecting ends when the host sends its first byte.
    ///
    /// The command cannot ask for a password: reading from the terminal stops it until the time
    /// limit ends it. So `ssh` as a command needs `-o BatchMode=yes`.
    ///
    /// When the connection has ended, the process and all others in its process group get SIGTERM
    /// and, after a second, SIGKILL. That happens in turns of the fleet or calls of the client, at
    /// the latest when it is dropped, which then takes up to two seconds.
    ///
    /// A process takes about a millisecond to start. With its three descriptors, it counts towards
    /// the limit on descriptors. At most half of the processes that the user may have (`ulimit -u`)
    /// are used; further hosts wait.
    ///
    /// ```
    /// use sshoal::{HostConfig, ParallelClient};
    ///
    /// # fn main() -> Result<(), sshoal::Error> {
    /// let client = ParallelClient::builder(["web1", "i-0123456789", "gate"])
    ///     .proxy_command("ssh -W %h:%p jump@gate")
    ///     .host_config([
    ///         HostConfig::default(),
    ///         HostConfig::default().proxy_command("cloud-session --target %h --port %p"),
    ///         HostConfig::default().no_proxy(),
    ///     ])
    /// #   .no_known_hosts().identity_auth(false)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    proxy_command(command: impl Into<String>) =>
        |config| config.proxy.command = Some(command.into());

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
}}
