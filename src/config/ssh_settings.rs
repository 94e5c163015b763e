//! Which settings the options of OpenSSH's configuration make.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bind::Bind;
use super::host_config::HostConfig;
use super::host_keys::HostKeySettings;
use super::library::LibraryFacts;
use super::ssh_file::ResolvedHost;
use crate::command::{Program, Pty};
use crate::error::AuthMethod;
use crate::hostkey::{HostKeyPolicy, glob_matches};
use crate::limits;
use crate::link::algorithms::AlgorithmKind;
use crate::link::engine;
use crate::ssh_config::{
    AgentSocket, AlgorithmList, ForwardedAgent, Ignored, ListChange, LocalContext, PublicKeys, SessionKind,
    SettingSource, Sourced, SshConfig, SshConfigError, SshSettings, StrictHostKeys, TtyRequest,
};

/// The methods in the order in which they are tried by default.
const METHODS: [AuthMethod; 4] =
    [AuthMethod::Gssapi, AuthMethod::PublicKey, AuthMethod::Password, AuthMethod::KeyboardInteractive];

const LOGIN_SHELLS: &str = "a command that is given runs instead of it, which replaces login shells only";
const SUBSYSTEMS: &str = "a command that is given is a command line, unless the program asks for a subsystem";
const NO_SESSION: &str = "the program decides what runs";
const NO_TERMINAL: &str = "it asks for a terminal where ssh runs on one; force does so here";
const REKEYS: &str = "keys are exchanged after 64 KiB at the earliest";

/// The settings of a host, except for the proxies.
pub(super) fn converted(
    settings: &SshSettings,
    file: &SshConfig,
    library: &mut LibraryFacts,
) -> Result<ResolvedHost, SshConfigError> {
    if let Some(reason) = &settings.refuse_connection {
        return Err(SshConfigError::line(&reason.source, format!("refuseconnection: {}", reason.value)));
    }
    let config = HostConfig { from_ssh_config: true, ..HostConfig::default() };
    let (context, ignored) = (&file.context, settings.ignored.clone());
    let mut conversion = Conversion { settings, context, library, config, ignored };
    conversion.names();
    conversion.host_keys(file.allows_no_checking);
    conversion.keys();
    conversion.agent();
    conversion.methods();
    conversion.gssapi();
    conversion.algorithms()?;
    conversion.keys_in_use();
    conversion.connection();
    conversion.environment();
    conversion.commands();
    conversion.without_effect();
    Ok(ResolvedHost { config: conversion.config, ignored: conversion.ignored })
}

struct Conversion<'a> {
    settings: &'a SshSettings,
    context: &'a LocalContext,
    library: &'a mut LibraryFacts,
    config: HostConfig,
    ignored: Vec<Ignored>,
}

/// The value, without its source.
fn value<T: Clone>(setting: &Option<Sourced<T>>) -> Option<T> {
    setting.as_ref().map(|setting| setting.value.clone())
}

impl Conversion<'_> {
    fn ignore(&mut self, keyword: &str, arguments: &str, source: &SettingSource, reason: &'static str) {
        let (keyword, arguments) = (keyword.into(), arguments.into());
        self.ignored.push(Ignored { keyword, arguments, source: source.clone(), reason });
    }

    fn names(&mut self) {
        let SshSettings { alias, host_name, .. } = self.settings;
        if !host_name.eq_ignore_ascii_case(alias) {
            self.config.hostname = Some(host_name.value.clone());
        }
        self.config.host_key_alias = value(&self.settings.host_key_alias);
        self.config.user = value(&self.settings.user);
        self.config.port = value(&self.settings.port);
    }

    fn host_keys(&mut self, allows_no_checking: bool) {
        let SshSettings { user_known_hosts, global_known_hosts, strict_host_key_checking, .. } =
            self.settings;
        let (own, system) = self.settings.known_hosts_files(&self.context.home);
        let recorded = || own.first().map_or(Path::new("/dev/null"), |file| file).to_owned();
        let policy = match strict_host_key_checking.as_deref() {
            Some(StrictHostKeys::AcceptNew) => Some(HostKeyPolicy::accept_new(recorded())),
            Some(StrictHostKeys::Off) if allows_no_checking => {
                Some(HostKeyPolicy::danger_accept_changed(recorded()))
            }
            Some(StrictHostKeys::Yes | StrictHostKeys::Ask | StrictHostKeys::Off) | None => None,
        };
        let is_changed = user_known_hosts.is_some() || global_known_hosts.is_some();
        let known_hosts = is_changed.then(|| [&*own, &*system].concat());
        let revoked = value(&self.settings.revoked_host_keys);
        let hash_names = value(&self.settings.hash_known_hosts);
        *self.config.verification() = HostKeySettings { policy, known_hosts, revoked, hash_names };
        if let Some(strict) = strict_host_key_checking
            && strict.value == StrictHostKeys::Off
            && !allows_no_checking
        {
            let reason = "host keys are verified unless the program allows something else";
            self.ignore("stricthostkeychecking", "no", &strict.source, reason);
        }
    }

    fn keys(&mut self) {
        let paths = |files: &[Sourced<PathBuf>]| files.iter().map(|file| file.value.clone()).collect();
        self.config.identity_files = self.settings.identity_files.as_deref().map(paths);
        let certificates = &self.settings.certificate_files;
        self.config.certificate_files = (!certificates.is_empty()).then(|| paths(certificates));
        self.config.identities_only = value(&self.settings.identities_only);
        if value(&self.settings.pubkey_authentication) == Some(PublicKeys::No) {
            (self.config.identity_auth, self.config.allow_agent) = (Some(false), Some(false));
        }
    }

    /// The path of an agent's socket; `None` if there is no agent.
    fn socket(&self, socket: &AgentSocket) -> Option<PathBuf> {
        match socket {
            AgentSocket::Disabled => None,
            AgentSocket::Variable(name) => self.context.variables.get(name).map(PathBuf::from),
            AgentSocket::Path(path) => Some(path.clone()),
        }
    }

    fn agent(&mut self) {
        let of_logins = self.settings.identity_agent.as_ref();
        let is_off = of_logins.is_some_and(|socket| self.socket(socket).is_none());
        self.config.agent_socket = of_logins.and_then(|socket| self.socket(socket));
        if is_off {
            self.config.allow_agent = Some(false);
        }
        let Some(forwarded) = &self.settings.forward_agent else { return };
        self.config.forward_agent = Some(match &forwarded.value {
            ForwardedAgent::No => false,
            ForwardedAgent::Yes => !is_off,
            ForwardedAgent::Socket(socket) => {
                self.config.forward_socket = self.socket(socket);
                self.config.forward_socket.is_some()
            }
        });
    }

    fn methods(&mut self) {
        let SshSettings { preferred_authentications, password_authentication, .. } = self.settings;
        let kbd_interactive = value(&self.settings.kbd_interactive_authentication);
        if kbd_interactive == Some(false) {
            self.config.keyboard_interactive = Some(false);
        }
        let method = |name: &String| match name.as_str() {
            "gssapi-with-mic" => Some(AuthMethod::Gssapi),
            "publickey" => Some(AuthMethod::PublicKey),
            "password" => Some(AuthMethod::Password),
            "keyboard-interactive" => Some(AuthMethod::KeyboardInteractive),
            _ => None,
        };
        let preferred = value(preferred_authentications);
        let has_password = value(password_authentication) != Some(false);
        if preferred.is_some() || !has_password {
            let names = preferred.map(|names| names.iter().filter_map(method).collect());
            let mut methods: Vec<AuthMethod> = names.unwrap_or(METHODS.to_vec());
            methods.retain(|method| has_password || *method != AuthMethod::Password);
            self.config.auth_methods = Some(methods);
        }
    }

    fn gssapi(&mut self) {
        let Some(on) = &self.settings.gssapi_authentication else { return };
        if !on.value {
            self.config.gssapi_auth = Some(false);
            return;
        }
        let user = self.settings.user.as_deref().unwrap_or(&self.context.user);
        let problem = if !engine::has_gssapi() {
            Some("the libssh in use was built without GSSAPI")
        } else if !self.library.takes_user(user) {
            Some("libssh cannot use this user's name with GSSAPI")
        } else {
            None
        };
        if let Some(reason) = problem {
            return self.ignore("gssapiauthentication", "yes", &on.source, reason);
        }
        self.config.gssapi_auth = Some(true);
        self.config.gssapi_delegate = value(&self.settings.gssapi_delegate_credentials);
    }

    fn algorithms(&mut self) -> Result<(), SshConfigError> {
        let SshSettings { kex_algorithms, host_key_algorithms, ciphers, macs, .. } = self.settings;
        let lists = [
            (AlgorithmKind::KeyExchange, "kexalgorithms", kex_algorithms),
            (AlgorithmKind::HostKey, "hostkeyalgorithms", host_key_algorithms),
            (AlgorithmKind::Cipher, "ciphers", ciphers),
            (AlgorithmKind::Mac, "macs", macs),
            (AlgorithmKind::UserKey, "pubkeyacceptedalgorithms", &self.settings.pubkey_accepted_algorithms),
        ];
        for (kind, keyword, list) in lists {
            if let Some(list) = list {
                self.config.algorithms[kind as usize] = self.algorithm_list(kind, keyword, list)?;
            }
        }
        Ok(())
    }

    /// The list without the names that libssh lacks. `None` means that nothing is left of a change
    /// to the default.
    fn algorithm_list(
        &mut self,
        kind: AlgorithmKind,
        keyword: &str,
        list: &Sourced<AlgorithmList>,
    ) -> Result<Option<AlgorithmList>, SshConfigError> {
        let AlgorithmList { change, names } = list.value.clone();
        if change == ListChange::Remove {
            return Ok(Some(list.value.clone()));
        }
        let is_supported = |name: &String| self.library.supports(kind, name);
        let (usable, others): (Vec<_>, Vec<_>) = names.into_iter().partition(is_supported);
        let others = others.join(",");
        if usable.is_empty() && change == ListChange::Replace {
            let library = engine::version();
            let problem = format!("{keyword} {others}: libssh {library} has none of these algorithms");
            return Err(SshConfigError::line(&list.source, problem));
        }
        if !others.is_empty() {
            self.ignore(keyword, &others, &list.source, "the libssh in use lacks these algorithms");
        }
        Ok((!usable.is_empty()).then_some(AlgorithmList { change, names: usable }))
    }

    /// How long RSA keys must be, and how long session keys are used.
    fn keys_in_use(&mut self) {
        let SshSettings { required_rsa_size, rekey_bytes, rekey_time, .. } = self.settings;
        // OpenSSH raises smaller values to its default, and accepts no longer keys.
        let bits = required_rsa_size.as_ref().map(|bits| u16::try_from(bits.value).unwrap_or(u16::MAX));
        let (min, max) = limits::REQUIRED_RSA_SIZE.into_inner();
        self.config.required_rsa_size = bits.map(|bits| bits.clamp(min, max));
        if let Some(Sourced { value: bytes @ 1.., source }) = rekey_bytes {
            self.config.rekey_bytes = Some(Some((*bytes).max(limits::REKEY_BYTES_MIN)));
            if *bytes < limits::REKEY_BYTES_MIN {
                self.ignore("rekeylimit", &bytes.to_string(), source, REKEYS);
            }
        }
        let time = value(rekey_time).filter(|time| !time.is_zero());
        self.config.rekey_time = time.map(|time| Some(time.min(*limits::REKEY_TIME.end())));
    }

    fn connection(&mut self) {
        let limit = |time: Duration| (!time.is_zero()).then_some(time);
        self.config.family = value(&self.settings.address_family);
        self.config.compress = value(&self.settings.compression);
        self.config.attempts = value(&self.settings.connection_attempts);
        self.config.connect_timeout = value(&self.settings.connect_timeout).map(limit);
        self.config.keepalive = value(&self.settings.server_alive_interval).map(limit);
        self.config.keepalive_max_missed =
            value(&self.settings.server_alive_count_max).filter(|count| *count > 0);
        // As in OpenSSH, an address precedes an interface, whichever comes first.
        let interface = self.settings.bind_interface.as_ref().map(|name| Bind::Interface(name.value.clone()));
        let name = self.settings.bind_address.as_ref().map(|name| Bind::Name(name.value.clone()));
        self.config.bind = name.or(interface);
    }

    /// `SetEnv` comes after `SendEnv`, as in OpenSSH.
    fn environment(&mut self) {
        let mut sent: Vec<(String, String)> = Vec::new();
        if !self.settings.send_env.is_empty() {
            let is_sent = |name: &str| {
                let matches = |pattern: &Sourced<String>| glob_matches(pattern.as_bytes(), name.as_bytes());
                self.settings.send_env.iter().any(matches)
            };
            let variables = self.context.variables.iter().filter(|(name, _)| is_sent(name));
            sent = variables.map(|(name, value)| (name.clone(), value.clone())).collect();
            sent.sort();
        }
        let set = value(&self.settings.set_env).unwrap_or_default();
        sent.retain(|(name, _)| set.iter().all(|(known, _)| known != name));
        sent.extend(set);
        if !sent.is_empty() {
            self.config = std::mem::take(&mut self.config).env(sent);
        }
    }

    fn commands(&mut self) {
        let SshSettings { request_tty, remote_command, session_type, .. } = self.settings;
        if let Some(Sourced { value, source }) = request_tty {
            match value {
                TtyRequest::Force => self.config.pty = Some(Some(Pty::default())),
                TtyRequest::Yes => self.ignore("requesttty", "yes", source, NO_TERMINAL),
                // Without a local terminal, both mean that there is none on the host.
                TtyRequest::No | TtyRequest::Auto => {}
            }
        }
        let kind = value(session_type).unwrap_or(SessionKind::Default);
        let program = if kind == SessionKind::Subsystem { Program::Subsystem } else { Program::Command };
        if let Some(Sourced { value, source }) = remote_command {
            self.config.login_program = Some((program, value.clone()));
            self.ignore("remotecommand", "", source, LOGIN_SHELLS);
        }
        if let Some(Sourced { source, .. }) = session_type {
            match kind {
                SessionKind::Subsystem => self.ignore("sessiontype", "subsystem", source, SUBSYSTEMS),
                SessionKind::None => self.ignore("sessiontype", "none", source, NO_SESSION),
                SessionKind::Default => {}
            }
        }
    }

    /// Options that are understood, and have no effect because a fleet has other ways.
    fn without_effect(&mut self) {
        let SshSettings { ca_signature_algorithms, .. } = self.settings;
        let found = [
            source(
                ca_signature_algorithms,
                "casignaturealgorithms",
                "host certificates are not supported",
                |_| true,
            ),
            source(
                &self.settings.no_host_authentication_for_localhost,
                "nohostauthenticationforlocalhost",
                "host keys are always verified",
                |on| *on,
            ),
        ];
        for (keyword, source, reason) in found.into_iter().flatten() {
            self.ignore(keyword, "", &source, reason);
        }
    }
}

type Found = Option<(&'static str, SettingSource, &'static str)>;

fn source<T>(
    setting: &Option<Sourced<T>>,
    keyword: &'static str,
    reason: &'static str,
    is_ignored: impl Fn(&T) -> bool,
) -> Found {
    let setting = setting.as_ref().filter(|setting| is_ignored(&setting.value))?;
    Some((keyword, setting.source.clone(), reason))
}
