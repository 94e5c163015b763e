//! Layers of settings. Each setting is looked up separately, in the first layer that has it.
//!
//! A layer is a [`HostConfig`] with its [`Origin`]. Each host has two: its own and the client's. A
//! layer for a file, say, would be one more list item. A setting in no layer has its default.

use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use super::algorithms::Choices;
use super::bind::Bind;
use super::commands::CommandChoice;
use super::credentials::{AgentSocket, Hidden, Interactive, KeySource, Login};
use super::file_lists::{FileLists, Identities};
use super::host_config::HostConfig;
use super::host_keys::HostKeyChoice;
use super::list::Listed;
use crate::credential::Opener;
use crate::error::{ConfigProblem, Error, Origin};
use crate::host::HostSpec;
use crate::limits;
use crate::link::RekeyLimit;
use crate::link::algorithms::AlgorithmKind;
use crate::session::{Connection, Keepalive, RetryPolicy};

/// One layer of settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer<'a> {
    pub origin: &'a Origin,
    pub config: &'a HostConfig,
}

/// A value and the layer that it comes from. `==` compares the values only, not the layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a, T> {
    pub value: T,
    pub origin: &'a Origin,
    /// Whether the layer's settings come from OpenSSH's configuration, which is less strict.
    pub from_ssh_config: bool,
    /// The position of the layer. The layer at position 0 is the most specific.
    depth: usize,
}

impl<'a, T> Given<'a, T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Given<'a, U> {
        let Self { value, origin, from_ssh_config, depth } = self;
        Given { value: change(value), origin, from_ssh_config, depth }
    }

    pub fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// This value, but with the origin of `other` if `other` comes from a more specific layer.
    fn or_origin_of<U>(self, other: Option<Given<'a, U>>) -> Self {
        match other {
            Some(other) if other.depth < self.depth => other.map(|_| self.value),
            _ => self,
        }
    }
}

impl<T: PartialEq> PartialEq for Given<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Given<'_, T> {}

impl<T: Hash> Hash for Given<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

/// The settings of one host or proxy: its list entry, then layers, the most specific one first.
#[derive(Debug, Clone)]
pub(super) struct Layers<'a> {
    /// `None` for settings that are checked without a host.
    spec: Option<&'a HostSpec>,
    pub all: Vec<Layer<'a>>,
    /// How many of the layers belong to this host alone. Passwords in these layers do not decrypt
    /// the keys in shared layers.
    own: usize,
    /// Whether the last layer is OpenSSH's configuration, as it applies to this host alone.
    has_file: bool,
}

/// The settings that apply to a host, except for its port. Hosts with equal settings share one
/// profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Settings<'a> {
    pub user: Option<&'a str>,
    pub login: Login<'a>,
    /// `None` if GSSAPI is off.
    pub gssapi: Option<GssapiSettings<'a>>,
    pub algorithms: Choices<'a>,
    pub host_keys: HostKeyChoice<'a>,
    pub guard_passwords: bool,
    pub connection: Connection,
    pub bind: Option<Given<'a, &'a Bind>>,
    pub agent_socket: AgentSocket<'a>,
    /// `None` if the agent is not forwarded.
    pub forward_agent: Option<Forwarding<'a>>,
    pub commands: CommandChoice<'a>,
    pub timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub stop_grace: Duration,
    pub close_timeout: Duration,
    pub read_timeout: Option<Duration>,
}

/// How the agent is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Forwarding<'a> {
    /// `None` means the agent of logins.
    pub socket: AgentSocket<'a>,
    /// Whether it is an error if there is no agent.
    pub is_strict: Given<'a, bool>,
}

/// How GSSAPI is used on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct GssapiSettings<'a> {
    /// `None` means the host's name.
    pub server: Option<&'a str>,
    /// `None` means the default principal.
    pub client: Option<&'a str>,
    pub delegate: bool,
}

impl<'a> Layers<'a> {
    /// The layers of one host (`own`), followed by those of all hosts (`shared`).
    pub fn new(
        spec: Option<&'a HostSpec>,
        own: impl IntoIterator<Item = Layer<'a>>,
        shared: impl IntoIterator<Item = Layer<'a>>,
    ) -> Self {
        let mut all: Vec<Layer<'a>> = own.into_iter().collect();
        let own = all.len();
        all.extend(shared);
        Self { spec, all, own, has_file: false }
    }

    /// The layers of a host in the list. `origin` is that of its own settings, and `file` the layer
    /// of OpenSSH's configuration.
    pub fn of_host(
        host: &'a Listed,
        origin: &'a Origin,
        client: &'a HostConfig,
        file: Option<Layer<'a>>,
    ) -> Self {
        let own = host.config.as_deref().map(|config| Layer { origin, config });
        let shared = [Layer { origin: &Origin::Client, config: client }].into_iter().chain(file);
        Self { has_file: file.is_some(), ..Self::new(Some(&host.spec), own, shared) }
    }

    /// The value in the first layer that has one.
    pub fn first<T>(&self, get: impl Fn(&'a HostConfig) -> Option<T>) -> Option<Given<'a, T>> {
        self.first_from(0, get)
    }

    /// Like [`first`](Self::first), but begins with the layer at position `start`.
    fn first_from<T>(&self, start: usize, get: impl Fn(&'a HostConfig) -> Option<T>) -> Option<Given<'a, T>> {
        let given = |(depth, &Layer { origin, config }): (usize, &Layer<'a>)| {
            Some(Given { value: get(config)?, origin, from_ssh_config: config.from_ssh_config, depth })
        };
        self.all.iter().enumerate().skip(start).find_map(given)
    }

    /// Like [`first`](Self::first), but without the origin.
    pub fn value<T>(&self, get: impl Fn(&'a HostConfig) -> Option<T>) -> Option<T> {
        self.first(get).map(|given| given.value)
    }

    pub fn own(&self) -> &[Layer<'a>] {
        &self.all[..self.own]
    }

    /// The layer of OpenSSH's configuration.
    pub fn file(&self) -> Option<&Layer<'a>> {
        self.all.last().filter(|_| self.has_file)
    }

    /// The layers of all hosts.
    pub fn shared(&self) -> &[Layer<'a>] {
        &self.all[self.own..self.all.len() - usize::from(self.has_file)]
    }

    pub fn rounds_max(&self) -> u32 {
        self.value(|config| config.kdf_rounds_max).unwrap_or(limits::KDF_ROUNDS)
    }

    pub fn uses_gssapi(&self) -> bool {
        self.gssapi().is_some()
    }

    /// The layer that turns on delegation, if delegation has no effect because GSSAPI is off.
    pub fn idle_delegation(&self) -> Option<&'a Origin> {
        let delegate = self.first(|config| config.gssapi_delegate).filter(|given| given.value)?;
        // OpenSSH's configuration may say how GSSAPI is used without turning it on.
        if delegate.from_ssh_config {
            return None;
        }
        (!self.uses_gssapi()).then_some(delegate.origin)
    }

    /// Rejects delegation that has [no effect](Self::idle_delegation).
    pub fn check_delegation(&self) -> Result<(), Error> {
        let Some(origin) = self.idle_delegation() else { return Ok(()) };
        let (setting, needs) = ("gssapi_delegate_credentials", "gssapi_auth, which is off");
        Err(ConfigProblem::Missing { setting, needs }.of(origin.clone()))
    }

    pub fn port(&self) -> u16 {
        self.spec.and_then(HostSpec::port).or(self.value(|config| config.port)).unwrap_or(22)
    }

    pub fn settings(&self) -> Settings<'a> {
        let timeout = self.value(|config| config.timeout).flatten();
        Settings {
            user: self.spec.and_then(HostSpec::user).or(self.value(|config| config.user.as_deref())),
            login: self.login(),
            gssapi: self.gssapi(),
            algorithms: self.algorithms(),
            host_keys: self.host_keys(),
            guard_passwords: self.value(|config| config.guard_passwords).unwrap_or(true),
            connection: self.connection(),
            bind: self.first(|config| config.bind.as_ref()),
            agent_socket: self.agent_socket(),
            forward_agent: self.forwarding(),
            commands: CommandChoice::of(self),
            timeout,
            connect_timeout: self.value(|config| config.connect_timeout).unwrap_or(timeout),
            stop_grace: self.value(|config| config.stop_grace).unwrap_or(limits::STOP_GRACE),
            close_timeout: self.value(|config| config.close_timeout).unwrap_or(limits::CLOSE_TIMEOUT),
            read_timeout: self.value(|config| config.read_timeout).unwrap_or(timeout),
        }
    }

    /// `None` if GSSAPI is off. `gssapi_auth(false)` overrides the GSSAPI identities of all layers.
    pub fn gssapi(&self) -> Option<GssapiSettings<'a>> {
        let server = self.value(|config| config.gssapi_server.as_deref());
        let client = self.value(|config| config.gssapi_client.as_deref());
        let on = self.value(|config| config.gssapi_auth).unwrap_or(server.is_some() || client.is_some());
        let delegate = self.value(|config| config.gssapi_delegate).unwrap_or(false);
        on.then_some(GssapiSettings { server, client, delegate })
    }

    /// Without the local addresses, which have to be looked up.
    fn connection(&self) -> Connection {
        Connection {
            retry: self.retry(),
            family: self.value(|config| config.family).unwrap_or_default(),
            bind: None,
            attempt_delay: self.value(|config| config.attempt_delay).flatten(),
            compress: self.value(|config| config.compress).unwrap_or(false),
            rekey: RekeyLimit {
                bytes: self.value(|config| config.rekey_bytes).flatten(),
                time: self.value(|config| config.rekey_time).flatten(),
            },
            spare_channel: self.value(|config| config.spare_channel).unwrap_or(false),
            keepalive: self.value(|config| config.keepalive).flatten().map(|interval| Keepalive {
                interval,
                missed_max: self
                    .value(|config| config.keepalive_max_missed)
                    .unwrap_or(limits::KEEPALIVE_MISSED),
            }),
        }
    }

    fn algorithms(&self) -> Choices<'a> {
        let list = |kind| self.first(|config| config.algorithms[kind as usize].as_ref());
        let post_quantum = self.first(|config| config.require_post_quantum).filter(|given| given.value);
        let rsa_bits_min = self.value(|config| config.required_rsa_size);
        Choices { lists: AlgorithmKind::ALL.map(list), post_quantum, rsa_bits_min }
    }

    /// The policy in the most specific layer that has one, changed by the settings of single values
    /// in that layer and in more specific ones.
    fn retry(&self) -> RetryPolicy {
        let policy = self.first(|config| config.retry);
        let depth = policy.map_or(usize::MAX, |policy| policy.depth);
        let attempts = self.first(|config| config.attempts).filter(|given| given.depth <= depth);
        let delay = self.first(|config| config.retry_delay).filter(|given| given.depth <= depth);
        let backoff = self.first(|config| config.retry_backoff).filter(|given| given.depth <= depth);
        let backoff = backoff.and_then(|given| given.value);
        let timeout = self.value(|config| config.timeout).flatten();
        let is_changed = attempts.is_some() || delay.is_some() || backoff.is_some() || timeout.is_some();
        let mut retry = match policy {
            Some(policy) => policy.value,
            None if is_changed => RetryPolicy::default().time_limit(None),
            None => RetryPolicy::default(),
        };
        if let Some(attempts) = attempts {
            retry = retry.attempts(attempts.value);
        }
        if let Some(delay) = delay {
            retry = retry.delay(delay.value);
        }
        if let Some(max) = backoff {
            retry = retry.backoff(max);
        }
        retry
    }

    fn forwarding(&self) -> Option<Forwarding<'a>> {
        let on = self.first(|config| config.forward_agent)?;
        let socket = self.first(|config| config.forward_socket.as_deref());
        on.value.then(|| Forwarding { socket, is_strict: on.map(|_| !on.from_ssh_config) })
    }

    pub fn agent_socket(&self) -> AgentSocket<'a> {
        self.first(|config| config.agent_socket.as_deref())
    }

    fn login(&self) -> Login<'a> {
        let key = self.first(|config| config.key.as_ref());
        let identity_files = |config: &'a HostConfig| config.identity_files.as_deref();
        let files = self.first(|config| identity_files(config).filter(|_| !config.from_ssh_config));
        let usual = Given { value: (), origin: &Origin::Default, from_ssh_config: false, depth: usize::MAX };
        let opener = match files {
            Some(files) => self.opener(files.depth, files),
            None => self.opener(self.own, usual),
        };
        let identities = opener.map(|opener| Identities { files: self.files(identity_files), opener });
        Login {
            key: key.map(|key| (key, self.opener(key.depth, key))),
            certificate: self.certificate(),
            certificate_files: self.files(|config| config.certificate_files.as_deref()),
            methods: self.value(|config| config.auth_methods.as_deref()),
            identities: self.value(|config| config.identity_auth).unwrap_or(true).then_some(identities),
            agent: self.value(|config| config.allow_agent).unwrap_or(true).then(|| self.agent_socket()),
            identities_only: self.value(|config| config.identities_only).unwrap_or(false),
            password: self.first(|config| config.password.as_ref()),
            interactive: self.interactive(),
        }
    }

    /// The files in the first layer that has a list, and those of OpenSSH's configuration.
    fn files(&self, get: impl Fn(&'a HostConfig) -> Option<&'a [PathBuf]>) -> FileLists<'a> {
        let list =
            |is_ssh: bool| self.value(|config| get(config).filter(|_| config.from_ssh_config == is_ssh));
        FileLists { named: list(false), found: list(true) }
    }

    /// How to decrypt the keys that the layer at `depth` names: with a passphrase of any layer, or
    /// with a password of that layer or a less specific one.
    ///
    /// Passwords of more specific layers are not tried, because the passwords of ten thousand hosts
    /// would mean ten thousand attempts to decrypt the client's one key, at 100 ms each.
    fn opener<T>(&self, depth: usize, key: Given<'a, T>) -> Given<'a, Opener<'a>> {
        let passphrase = self
            .first(|config| config.passphrase.as_ref())
            .or_else(|| self.first_from(depth, |config| config.password.as_ref()));
        let rounds = self.first(|config| config.kdf_rounds_max);
        let opener = Opener {
            passphrase: passphrase.map(|given| Hidden::as_bytes(given.value)),
            rounds_max: self.rounds_max(),
        };
        key.map(|_| opener).or_origin_of(passphrase).or_origin_of(rounds)
    }

    /// The certificate, unless a layer more specific than the certificate's replaces the keys.
    fn certificate(&self) -> Option<Given<'a, &'a KeySource>> {
        let certificate = self.first(|config| config.certificate.as_ref())?;
        let above = &self.all[..certificate.depth];
        let names_no_key = self.first_from(certificate.depth, |config| config.key.as_ref()).is_none();
        let replaces_identities =
            |config: &HostConfig| config.identity_files.is_some() || config.identity_auth == Some(false);
        let has_other_keys = above
            .iter()
            .any(|layer| layer.config.key.is_some() || names_no_key && replaces_identities(layer.config));
        (!has_other_keys).then_some(certificate)
    }

    /// A responder enables the method, unless the same layer or a more specific one disables it. So
    /// does a password, for prompts that ask for a password.
    fn interactive(&self) -> Option<Given<'a, Interactive<'a>>> {
        let switch =
            |config: &HostConfig| config.keyboard_interactive.or(config.responder.is_some().then_some(true));
        let prompt = self.value(|config| config.password_prompt.as_deref());
        let Some(on) = self.first(switch) else {
            let password = self.first(|config| config.password.as_ref())?;
            return Some(password.map(|_| Interactive::Password(prompt.unwrap_or("password"))));
        };
        let responder = self.value(|config| config.responder.as_ref());
        let by_password = Interactive::Password(prompt.unwrap_or(""));
        on.value.then(|| on.map(|_| responder.map_or(by_password, Interactive::Responder)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::command::Pty;
    use crate::host::AddressFamily;
    use crate::hostkey::HostKeyPolicy;

    const SECOND: Duration = Duration::from_secs(1);

    fn everything(name: &str, number: u32) -> HostConfig {
        HostConfig::default()
            .user(name)
            .port(number as u16)
            .password(name)
            .guard_passwords(false)
            .passphrase(name)
            .kdf_rounds_max(number)
            .key_file(name)
            .cert_file(name)
            .host_keys(HostKeyPolicy::accept_new(name))
            .known_hosts([name])
            .revoked_host_keys(name)
            .hash_known_hosts(number == 1)
            .gssapi_auth(true)
            .gssapi_server_identity(name)
            .gssapi_client_identity(name)
            .gssapi_delegate_credentials(true)
            .allow_agent(true)
            .identities_only(true)
            .agent_socket(name)
            .forward_ssh_agent(true)
            .identity_auth(true)
            .identity_files([name])
            .keyboard_interactive(true)
            .password_prompt(name)
            .kex_algorithms(name)
            .host_key_algorithms(name)
            .ciphers(name)
            .macs(name)
            .pubkey_algorithms(name)
            .require_post_quantum(true)
            .required_rsa_size(1024 + number as u16)
            .rekey_bytes(limits::REKEY_BYTES_MIN * u64::from(number))
            .rekey_time(SECOND * number)
            .max_attempts(number)
            .retry_delay(SECOND * number)
            .retry_backoff(SECOND * number)
            .retry(RetryPolicy::default().time_limit(SECOND * number))
            .address_family(if number == 1 { AddressFamily::V4 } else { AddressFamily::V6 })
            .attempt_delay(SECOND * number)
            .compress(true)
            .spare_channel(true)
            .keepalive(SECOND * number)
            .keepalive_max_missed(number)
            .timeout(SECOND * number)
            .env([(name, name)])
            .pty(Pty::default().term(name))
            .remote_command(name)
            .stop_grace(SECOND * number)
            .close_timeout(SECOND * number)
            .read_timeout(SECOND * number)
    }

    /// A further layer, such as a file's, needs only a place in the list.
    #[test]
    fn a_third_layer_needs_no_code() {
        let spec: HostSpec = "web1".parse().unwrap();
        let host = Origin::Host { position: 0, name: "web1".into() };
        let file = Origin::Command;
        let (none, one, two) = (HostConfig::default(), everything("one", 1), everything("two", 2));
        let layers = |configs: [&'static HostConfig; 3]| {
            let origins: [&'static Origin; 3] =
                [&host, &Origin::Client, &file].map(|origin| &*Box::leak(Box::new(origin.clone())));
            let [own, client, file] =
                [0, 1, 2].map(|index| Layer { origin: origins[index], config: configs[index] });
            Layers::new(Some(Box::leak(Box::new(spec.clone()))), [own], [client, file])
        };
        let [none, one, two] = [none, one, two].map(|config| &*Box::leak(Box::new(config)));
        let found = |layers: Layers<'static>| (layers.settings(), layers.port());
        let alone = |config| {
            let spec = Box::leak(Box::new(spec.clone()));
            found(Layers::new(Some(spec), [Layer { origin: &Origin::Client, config }], []))
        };

        // Each setting is found in each layer, and only the origin differs.
        let places = [[one, none, none], [none, one, none], [none, none, one]];
        for (configs, origin) in places.into_iter().zip([&host, &Origin::Client, &file]) {
            let settings = layers(configs).settings();
            assert_eq!(found(layers(configs)), alone(one), "{origin:?}");
            let (key, opener) = settings.login.key.unwrap();
            assert_eq!((key.origin, opener.origin), (origin, origin));
            assert_eq!(settings.login.certificate.unwrap().origin, origin);
            assert_eq!(settings.agent_socket.unwrap().origin, origin);
            assert_eq!(settings.forward_agent.unwrap().is_strict.origin, origin);
        }
        // The first layer that has a value counts.
        assert_eq!(found(layers([two, one, one])), alone(two));
        assert_eq!(found(layers([none, two, one])), alone(two));
        assert_eq!(found(layers([none, none, none])), alone(none));
        // Each setting is looked up separately.
        let own = &*Box::leak(Box::new(HostConfig::default().port(7)));
        let client = &*Box::leak(Box::new(HostConfig::default().user("me")));
        let (mixed, port) = found(layers([own, client, two]));
        assert_eq!((port, mixed.user, mixed.timeout), (7, Some("me"), Some(2 * SECOND)));
        assert_eq!(mixed.agent_socket.unwrap().value, Path::new("two"));
    }

    /// Off is a value too.
    #[test]
    fn a_setting_that_is_switched_off_hides_those_below() {
        let spec: HostSpec = "web1".parse().unwrap();
        let (off, on) = (
            HostConfig::default().timeout(None).keepalive(None),
            HostConfig::default().timeout(SECOND).keepalive(SECOND),
        );
        let layer = |config| Layer { origin: &Origin::Client, config };
        let settings = Layers::new(Some(&spec), [layer(&off)], [layer(&on)]).settings();
        assert_eq!(
            (settings.timeout, settings.read_timeout, settings.connection.keepalive),
            (None, None, None)
        );
        let settings = Layers::new(Some(&spec), [layer(&on)], [layer(&off)]).settings();
        assert_eq!((settings.timeout, settings.read_timeout), (Some(SECOND), Some(SECOND)));
    }

    /// The entry in the list takes precedence over all layers.
    #[test]
    fn the_entry_of_the_list_counts_first() {
        let spec: HostSpec = "root@web1:7".parse().unwrap();
        let own = HostConfig::default().user("pi").port(8);
        let layers = Layers::new(Some(&spec), [Layer { origin: &Origin::Client, config: &own }], []);
        assert_eq!((layers.settings().user, layers.port()), (Some("root"), 7));
    }

    /// The origin in the error about a key that cannot be decrypted.
    #[test]
    fn what_opens_a_key_has_the_most_specific_origin() {
        let spec: HostSpec = "web1".parse().unwrap();
        let host = Origin::Host { position: 0, name: "web1".into() };
        let client = HostConfig::default().key_file("id").password("all");
        let blamed = |own: HostConfig| {
            let (own, client) =
                (Layer { origin: &host, config: &own }, Layer { origin: &Origin::Client, config: &client });
            let (key, opener) = Layers::new(Some(&spec), [own], [client]).settings().login.key.unwrap();
            assert_eq!(key.origin, &Origin::Client);
            (opener.origin.clone(), opener.value.passphrase.unwrap().to_vec())
        };
        assert_eq!(blamed(HostConfig::default()), (Origin::Client, b"all".to_vec()));
        // A host's password does not open the client's key; its passphrase does.
        assert_eq!(blamed(HostConfig::default().password("own")), (Origin::Client, b"all".to_vec()));
        assert_eq!(blamed(HostConfig::default().passphrase("own")), (host.clone(), b"own".to_vec()));
        assert_eq!(blamed(HostConfig::default().kdf_rounds_max(1)), (host.clone(), b"all".to_vec()));
    }
}
