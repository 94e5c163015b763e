//! The settings of a single host, and how they combine with the client's settings.

use std::path::PathBuf;
use std::time::Duration;

use socket2::SockAddr;

use super::bind::Bind;
use super::commands::CommandChoice;
use super::credentials::{Hidden, KeySource};
use super::host_keys::HostKeySettings;
use super::layers::GssapiSettings;
use super::settings::settings;
use super::way::Way;
use crate::command::{Program, Pty, Variable};
use crate::credential::Responder;
use crate::error::{AuthMethod, ConfigProblem, Error, Origin};
use crate::host::{AddressFamily, check_host, check_user};
use crate::limits;
use crate::link::Gssapi;
use crate::link::algorithms::AlgorithmKind;
use crate::session::RetryPolicy;
use crate::ssh_config::AlgorithmList;

/// Settings of one host, which take precedence over the client's (parallel-ssh: `HostConfig`).
///
/// The builder's [`host_config`](crate::config::ClientBuilder::host_config) takes one of these per
/// host, in the order of the host list. A setting that is not set here is inherited. Each setting
/// is looked up separately, and its value comes from the first of these places that has one:
///
/// 1. the host's entry in the list (`user@host:port`),
/// 2. its `HostConfig`,
/// 3. the client's setting,
/// 4. the default.
///
/// Unlike in parallel-ssh, `false` and `None` count as set, so identity files or a time limit can
/// be switched off for a single host.
///
/// | setting | unit | default, if the client has none either | parallel-ssh |
/// |---|---|---|---|
/// | [`user`](Self::user) | | the owner of this process | `user` |
/// | [`port`](Self::port) | | 22 | `port` |
/// | [`password`](Self::password) | | none | `password` |
/// | [`guard_passwords`](Self::guard_passwords) | | `true` | |
/// | [`passphrase`](Self::passphrase) | | none | (`password`) |
/// | [`kdf_rounds_max`](Self::kdf_rounds_max) | rounds of bcrypt | 1,024 | |
/// | [`key_file`](Self::key_file), [`key_bytes`](Self::key_bytes) | | none | `private_key` |
/// | [`cert_file`](Self::cert_file), [`cert_bytes`](Self::cert_bytes) | | `<key>-cert.pub`, if it exists | `cert_file` |
/// | [`cert_files`](Self::cert_files) | | none | |
/// | [`gssapi_auth`](Self::gssapi_auth) | | `false`, unless an identity is set | `gssapi_auth` |
/// | [`gssapi_server_identity`](Self::gssapi_server_identity) | | the host's name | `gssapi_server_identity` |
/// | [`gssapi_client_identity`](Self::gssapi_client_identity) | | the principal of the default tickets | `gssapi_client_identity` |
/// | [`gssapi_delegate_credentials`](Self::gssapi_delegate_credentials) | | `false` | `gssapi_delegate_credentials` |
/// | [`allow_agent`](Self::allow_agent) | | `true` | `allow_agent` |
/// | [`identities_only`](Self::identities_only) | | `false` | |
/// | [`agent_socket`](Self::agent_socket) | | `SSH_AUTH_SOCK` | |
/// | [`forward_ssh_agent`](Self::forward_ssh_agent) | | `false` | `forward_ssh_agent` |
/// | [`forward_agent_socket`](Self::forward_agent_socket) | | that of logins | |
/// | [`identity_auth`](Self::identity_auth) | | `true` | `identity_auth` |
/// | [`identity_files`](Self::identity_files) | | the five default files | |
/// | [`auth_methods`](Self::auth_methods) | [`AuthMethod`] | all | |
/// | [`keyboard_interactive`](Self::keyboard_interactive) | | with a `responder` or a `password` | `keyboard_interactive` |
/// | [`password_prompt`](Self::password_prompt) | | `"password"` | |
/// | [`responder`](Self::responder) | | none | |
/// | [`kex_algorithms`](Self::kex_algorithms), [`host_key_algorithms`](Self::host_key_algorithms), [`ciphers`](Self::ciphers), [`macs`](Self::macs), [`pubkey_algorithms`](Self::pubkey_algorithms) | lists of names | see each | |
/// | [`require_post_quantum`](Self::require_post_quantum) | | `false` | |
/// | [`required_rsa_size`](Self::required_rsa_size) | bits | 1,024 | |
/// | [`rekey_bytes`](Self::rekey_bytes) | bytes | what the cipher needs | |
/// | [`rekey_time`](Self::rekey_time) | [`Duration`] | none | |
/// | [`host_keys`](Self::host_keys) | [`HostKeyPolicy`](crate::hostkey::HostKeyPolicy) | strict | |
/// | [`known_hosts`](Self::known_hosts), [`no_known_hosts`](Self::no_known_hosts) | | the four default files | |
/// | [`revoked_host_keys`](Self::revoked_host_keys) | | none | |
/// | [`hash_known_hosts`](Self::hash_known_hosts) | | `false` | |
/// | [`retry`](Self::retry) | [`RetryPolicy`](crate::config::RetryPolicy) | its default, within 30 s | |
/// | [`max_attempts`](Self::max_attempts) | attempts | that of `retry` | `num_retries` |
/// | [`retry_delay`](Self::retry_delay) | [`Duration`] | that of `retry` | `retry_delay` |
/// | [`retry_backoff`](Self::retry_backoff) | [`Duration`] | that of `retry` | |
/// | [`address_family`](Self::address_family) | [`AddressFamily`] | any | `ipv6_only` |
/// | [`attempt_delay`](Self::attempt_delay) | [`Duration`] | off | |
/// | [`bind_address`](Self::bind_address), [`bind_name`](Self::bind_name), [`bind_interface`](Self::bind_interface) | | the system's choice | |
/// | [`compress`](Self::compress) | | `false` | `compress` |
/// | [`spare_channel`](Self::spare_channel) | | `false` | |
/// | [`keepalive`](Self::keepalive) | [`Duration`] | off | `keepalive_seconds` |
/// | [`keepalive_max_missed`](Self::keepalive_max_missed) | keepalives | 3 | |
/// | [`timeout`](Self::timeout) | [`Duration`] | 10 s to connect, 10 s for the handshake, 20 s for the login, 30 s for the start of a command | `timeout` |
/// | [`connect_timeout`](Self::connect_timeout) | [`Duration`] | that of `timeout` | |
/// | [`stop_grace`](Self::stop_grace) | [`Duration`] | 1 s | |
/// | [`close_timeout`](Self::close_timeout) | [`Duration`] | 10 s | |
/// | [`read_timeout`](Self::read_timeout) | [`Duration`] | the host's `timeout`, else none | |
/// | [`proxy`](Self::proxy), [`proxies`](Self::proxies), [`no_proxy`](Self::no_proxy) | | none | |
/// | [`proxy_command`](Self::proxy_command) | | none | |
/// | [`proxy_host`](Self::proxy_host) | | none | `proxy_host` |
/// | [`proxy_port`](Self::proxy_port) | | 22 | `proxy_port` |
/// | [`proxy_user`](Self::proxy_user) | | the owner of this process | `proxy_user` |
/// | [`proxy_password`](Self::proxy_password) | | none | `proxy_password` |
/// | [`proxy_key_file`](Self::proxy_key_file) | | none | `proxy_pkey` |
/// | [`env`](Self::env) | names and values | none | |
/// | [`pty`](Self::pty) | [`Pty`](crate::config::Pty) | none | |
/// | [`remote_command`](Self::remote_command), [`remote_subsystem`](Self::remote_subsystem) | | the login shell | |
/// | [`alias`](Self::alias) | | none | `alias` |
/// | [`hostname`](Self::hostname), [`host_key_alias`](Self::host_key_alias) | | the host in the list | |
///
/// ```
/// use std::time::Duration;
/// use sshoal::{HostConfig, ParallelClient};
///
/// # fn main() -> Result<(), sshoal::Error> {
/// let client = ParallelClient::builder(["web1", "admin@web2:2222", "10.0.0.7"])
///     .user("deploy")
///     .timeout(Duration::from_secs(10))
///     .host_config([
///         HostConfig::default(),
///         // Still logs in as admin, because the list entry says so.
///         HostConfig::default().user("root").num_retries(1),
///         HostConfig::default().user("pi").port(2200).timeout(None).alias("cellar"),
///     ])
/// #   .no_known_hosts().identity_auth(false)
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
    pub(super) guard_passwords: Option<bool>,
    pub(super) passphrase: Option<Hidden>,
    pub(super) kdf_rounds_max: Option<u32>,
    pub(super) key: Option<KeySource>,
    pub(super) certificate: Option<KeySource>,
    pub(super) certificate_files: Option<Vec<PathBuf>>,
    pub(super) allow_agent: Option<bool>,
    pub(super) identities_only: Option<bool>,
    pub(super) agent_socket: Option<PathBuf>,
    pub(super) forward_agent: Option<bool>,
    pub(super) forward_socket: Option<PathBuf>,
    pub(super) identity_auth: Option<bool>,
    pub(super) identity_files: Option<Vec<PathBuf>>,
    pub(super) auth_methods: Option<Vec<AuthMethod>>,
    pub(super) gssapi_auth: Option<bool>,
    pub(super) gssapi_server: Option<String>,
    pub(super) gssapi_client: Option<String>,
    pub(super) gssapi_delegate: Option<bool>,
    pub(super) keyboard_interactive: Option<bool>,
    pub(super) password_prompt: Option<String>,
    pub(super) responder: Option<Responder>,
    /// One list for each kind of algorithm.
    pub(super) algorithms: [Option<AlgorithmList>; AlgorithmKind::ALL.len()],
    pub(super) require_post_quantum: Option<bool>,
    pub(super) required_rsa_size: Option<u16>,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) attempts: Option<u32>,
    pub(super) retry_delay: Option<Duration>,
    pub(super) retry_backoff: Option<Option<Duration>>,
    pub(super) family: Option<AddressFamily>,
    pub(super) attempt_delay: Option<Option<Duration>>,
    pub(super) bind: Option<Bind>,
    pub(super) compress: Option<bool>,
    pub(super) rekey_bytes: Option<Option<u64>>,
    pub(super) rekey_time: Option<Option<Duration>>,
    pub(super) spare_channel: Option<bool>,
    pub(super) keepalive: Option<Option<Duration>>,
    pub(super) keepalive_max_missed: Option<u32>,
    pub(super) timeout: Option<Option<Duration>>,
    pub(super) connect_timeout: Option<Option<Duration>>,
    pub(super) stop_grace: Option<Duration>,
    pub(super) close_timeout: Option<Duration>,
    pub(super) read_timeout: Option<Option<Duration>>,
    pub(super) proxy: Way,
    pub(super) verification: Option<Box<HostKeySettings>>,
    pub(super) alias: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) host_key_alias: Option<String>,
    pub(super) env: Option<Vec<Variable>>,
    pub(super) pty: Option<Option<Pty>>,
    /// What runs in place of the login shell.
    pub(super) login_program: Option<(Program, String)>,
    /// Whether these settings come from OpenSSH's configuration, which is less strict than code:
    /// what cannot be used is skipped.
    pub(super) from_ssh_config: bool,
}

settings! { HostConfig; {
    /// A name for display, returned by [`HostOutput::alias`](crate::HostOutput::alias). It is not
    /// used to connect, and errors do not show it.
    alias(alias: impl Into<String>) => |config| config.alias = Some(alias.into());

    /// The name or address to connect to, if it differs from the one in the host list (OpenSSH:
    /// `HostName`). Default: the host in the list.
    ///
    /// Output, errors and events still have the name in the host list. Host keys are looked up in
    /// known_hosts files under that name too, unless [`host_key_alias`](Self::host_key_alias) is
    /// set.
    hostname(name: impl Into<String>) => |config| config.hostname = Some(name.into());

    /// The name that the host's keys have in known_hosts files, without a port (OpenSSH:
    /// `HostKeyAlias`). Default: the host in the list, with its port.
    host_key_alias(name: impl Into<String>) => |config| config.host_key_alias = Some(name.into());
}}

impl HostConfig {
    pub(super) fn verification(&mut self) -> &mut HostKeySettings {
        self.verification.get_or_insert_default()
    }

    /// Checks the settings, as far as that is possible without reading keys.
    pub(super) fn check(&self, origin: &Origin) -> Result<(), Error> {
        self.check_values().map_err(|problem| problem.of(origin.clone()))?;
        self.proxy.check(origin)
    }

    fn check_values(&self) -> Result<(), ConfigProblem> {
        let is_short = self.attempt_delay.flatten().is_some_and(|delay| delay < limits::ATTEMPT_DELAY_MIN);
        let is_narrow = self.required_rsa_size.is_some_and(|bits| !limits::REQUIRED_RSA_SIZE.contains(&bits));
        let is_hasty = self.rekey_bytes.flatten().is_some_and(|bytes| bytes < limits::REKEY_BYTES_MIN);
        let is_odd = self.rekey_time.flatten().is_some_and(|time| !limits::REKEY_TIME.contains(&time));
        let ranges = [
            ("port", self.port == Some(0), "1 to 65535"),
            ("max_attempts", self.attempts == Some(0), "at least 1"),
            ("keepalive_max_missed", self.keepalive_max_missed == Some(0), "at least 1"),
            ("kdf_rounds_max", self.kdf_rounds_max == Some(0), "at least 1"),
            ("attempt_delay", is_short, "at least 10 ms, or None"),
            ("required_rsa_size", is_narrow, "1024 to 16384"),
            ("rekey_bytes", is_hasty, "at least 65536, or None"),
            ("rekey_time", is_odd, "1 second to 24 days, or None"),
        ];
        if let Some((setting, _, allowed)) = ranges.into_iter().find(|(_, is_wrong, _)| *is_wrong) {
            return Err(ConfigProblem::OutOfRange { setting, allowed });
        }
        let times = [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
            ("read_timeout", self.read_timeout),
            ("retry_backoff", self.retry_backoff),
            ("keepalive", self.keepalive),
        ];
        for (setting, limit) in times {
            ConfigProblem::check_limit(setting, limit.flatten())?;
        }
        self.retry.map_or(Ok(()), |policy| policy.check())?;
        let invalid = |setting, value: &str, problem: String| ConfigProblem::Invalid {
            setting,
            value: value.to_owned(),
            problem,
        };
        if let Some(user) = &self.user {
            check_user(user).map_err(|problem| invalid("user", user, problem.to_string()))?;
        }
        for (setting, name) in [("hostname", &self.hostname), ("host_key_alias", &self.host_key_alias)] {
            let Some(name) = name else { continue };
            check_host(name).map_err(|problem| invalid(setting, name, problem.to_string()))?;
        }
        for (setting, path) in
            [("agent_socket", &self.agent_socket), ("forward_agent_socket", &self.forward_socket)]
        {
            let Some(path) = path else { continue };
            SockAddr::unix(path).map_err(|e| invalid(setting, &path.display().to_string(), e.to_string()))?;
        }
        let commands = CommandChoice {
            env: self.env.as_deref(),
            pty: self.pty.as_ref().and_then(Option::as_ref),
            login_program: self.login_program.as_ref(),
        };
        commands.setup(false)?;
        commands.login_program()?;
        for (setting, secret) in [("password", &self.password), ("passphrase", &self.passphrase)] {
            if secret.as_ref().is_some_and(Hidden::has_nul) {
                return Err(ConfigProblem::Unusable { setting, problem: "contains a NUL byte" });
            }
        }
        let identities = [
            ("gssapi_server_identity", &self.gssapi_server),
            ("gssapi_client_identity", &self.gssapi_client),
        ];
        identities.into_iter().try_for_each(|(setting, name)| {
            name.as_ref().map_or(Ok(()), |name| check_gssapi_name(setting, name))
        })
    }
}

impl GssapiSettings<'_> {
    /// Returns the GSSAPI parameters for the host of this name.
    pub fn of(self, host: &str) -> Result<Gssapi, ConfigProblem> {
        let server = self.server.unwrap_or(host);
        check_gssapi_name("gssapi_server_identity", server)?;
        Ok(Gssapi {
            server: server.to_owned(),
            client: self.client.map(str::to_owned),
            delegate: self.delegate,
        })
    }
}

fn check_gssapi_name(setting: &'static str, name: &str) -> Result<(), ConfigProblem> {
    let problem = match name {
        "" => "is empty",
        _ if name.contains('\0') => "contains a NUL byte",
        _ if name.len() > limits::GSSAPI_NAME => "is too long",
        _ => return Ok(()),
    };
    Err(ConfigProblem::Unusable { setting, problem })
}
