//! The settings of a destination, and the keywords that make them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::source::{Ignored, SettingSource, Sourced};
use super::types::{
    AgentSocket, AlgorithmList, ForwardedAgent, ProxyRoute, PublicKeys, SessionKind, StrictHostKeys,
    TtyRequest,
};
use super::value::{self, Args};
use crate::host::AddressFamily;
use crate::hostkey::default_files;

/// Declares the settings of which the first value wins. Each has a keyword, a variant, a field, and
/// the parser of its arguments. With a `*`, the keyword is one of [`SPECIAL`].
macro_rules! settings {
    ($($(#[$doc:meta])+ $keyword:literal $variant:ident $field:ident: $type:ty = $parser:expr;)+) => {
        /// What OpenSSH's configuration says about a destination.
        ///
        /// `None` means that no line sets the option, so that the defaults of the program apply,
        /// which may differ from OpenSSH's. Tokens, `~` and `${VAR}` are expanded.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct SshSettings {
            /// The name that the configuration was asked for.
            pub alias: String,
            /// The name or address to connect to: `HostName`, or the alias, in lower case, with
            /// addresses in their usual notation.
            pub host_name: Sourced<String>,
            /// `IdentityFile`, in the order in which keys are tried. Every line adds to the list.
            /// `None` means OpenSSH's default files; an empty list means no file.
            pub identity_files: Option<Vec<Sourced<PathBuf>>>,
            /// `CertificateFile`. Every line adds to the list.
            pub certificate_files: Vec<Sourced<PathBuf>>,
            /// `SendEnv`: names of variables, which may contain `*` and `?`. Every line adds to the
            /// list, or removes from it by `-`.
            pub send_env: Vec<Sourced<String>>,
            /// `ForwardAgent`.
            pub forward_agent: Option<Sourced<ForwardedAgent>>,
            $($(#[$doc])+ pub $field: Option<Sourced<$type>>,)+
            /// What applies to this destination and has no effect, with reasons.
            pub ignored: Vec<Ignored>,
        }

        impl SshSettings {
            pub(super) fn new(alias: String) -> Self {
                let host_name = Sourced { value: String::new(), source: SettingSource::Caller };
                Self {
                    alias,
                    host_name,
                    identity_files: None,
                    certificate_files: Vec::new(),
                    send_env: Vec::new(),
                    forward_agent: None,
                    $($field: None,)+
                    ignored: Vec::new(),
                }
            }

            /// Sets a value, unless an earlier line has set one.
            pub(super) fn apply(&mut self, setting: &Setting, source: &SettingSource) {
                match setting {
                    $(Setting::$variant(value) => {
                        if self.$field.is_none() {
                            self.$field = Some(Sourced { value: value.clone(), source: source.clone() });
                        }
                    })+
                }
            }
        }

        /// A setting of which the first value wins.
        #[derive(Debug)]
        pub(super) enum Setting {
            $($variant($type),)+
        }

        type SettingParser = fn(&mut Args<'_>) -> Result<Setting, String>;

        const SETTINGS: &[(&str, SettingParser)] =
            &[$(($keyword, |args| $parser(args).map(Setting::$variant)),)+];
    };
}

settings! {
    /// `AddressFamily`.
    "AddressFamily" AddressFamily address_family: AddressFamily = value::word;
    /// `BatchMode`.
    "BatchMode" BatchMode batch_mode: bool = value::word;
    /// `BindAddress`.
    "BindAddress" BindAddress bind_address: String = value::text;
    /// `BindInterface`.
    "BindInterface" BindInterface bind_interface: String = value::text;
    /// `CASignatureAlgorithms`.
    "CASignatureAlgorithms" CaSignatureAlgorithms ca_signature_algorithms: AlgorithmList = value::algorithms;
    /// `Ciphers`.
    "Ciphers" Ciphers ciphers: AlgorithmList = value::algorithms;
    /// `Compression`.
    "Compression" Compression compression: bool = value::compression;
    /// `ConnectionAttempts`, at least 1.
    "ConnectionAttempts" ConnectionAttempts connection_attempts: u32 = value::number;
    /// `ConnectTimeout`. Zero is no limit.
    "ConnectTimeout*" ConnectTimeout connect_timeout: Duration = value::set_time;
    /// `GlobalKnownHostsFile`; empty for `none`.
    "GlobalKnownHostsFile" GlobalKnownHosts global_known_hosts: Vec<PathBuf> = value::files;
    /// `GSSAPIAuthentication`.
    "GSSAPIAuthentication" GssapiAuthentication gssapi_authentication: bool = value::word;
    /// `GSSAPIDelegateCredentials`.
    "GSSAPIDelegateCredentials" GssapiDelegateCredentials gssapi_delegate_credentials: bool = value::word;
    /// `HashKnownHosts`.
    "HashKnownHosts" HashKnownHosts hash_known_hosts: bool = value::word;
    /// `HostKeyAlgorithms`.
    "HostKeyAlgorithms" HostKeyAlgorithms host_key_algorithms: AlgorithmList = value::algorithms;
    /// `HostKeyAlias`, in lower case.
    "HostKeyAlias" HostKeyAlias host_key_alias: String = value::text;
    /// `IdentitiesOnly`.
    "IdentitiesOnly" IdentitiesOnly identities_only: bool = value::word;
    /// `IdentityAgent`.
    "IdentityAgent" IdentityAgent identity_agent: AgentSocket = value::agent;
    /// `IgnoreUnknown`: a pattern list of keywords.
    "IgnoreUnknown" IgnoreUnknown ignore_unknown: String = value::text;
    /// `KbdInteractiveAuthentication`.
    "KbdInteractiveAuthentication" KbdInteractive kbd_interactive_authentication: bool = value::word;
    /// `KexAlgorithms`.
    "KexAlgorithms" KexAlgorithms kex_algorithms: AlgorithmList = value::algorithms;
    /// `MACs`.
    "MACs" Macs macs: AlgorithmList = value::algorithms;
    /// `NoHostAuthenticationForLocalhost`.
    "NoHostAuthenticationForLocalhost" NoLocalhost no_host_authentication_for_localhost: bool = value::word;
    /// `NumberOfPasswordPrompts`.
    "NumberOfPasswordPrompts" PasswordPrompts number_of_password_prompts: u32 = value::number;
    /// `PasswordAuthentication`.
    "PasswordAuthentication" PasswordAuthentication password_authentication: bool = value::word;
    /// `Port`.
    "Port" Port port: u16 = value::port;
    /// `PreferredAuthentications`.
    "PreferredAuthentications" PreferredAuth preferred_authentications: Vec<String> = value::methods;
    /// `ProxyCommand` or `ProxyJump`, whichever comes first.
    "ProxyJump*" Proxy proxy: ProxyRoute = value::proxy_jump;
    /// `PubkeyAcceptedAlgorithms`.
    "PubkeyAcceptedAlgorithms" PubkeyAccepted pubkey_accepted_algorithms: AlgorithmList = value::algorithms;
    /// `PubkeyAuthentication`.
    "PubkeyAuthentication" PubkeyAuthentication pubkey_authentication: PublicKeys = value::word;
    /// `RefuseConnection` (OpenSSH 10): a message that says why.
    "RefuseConnection" RefuseConnection refuse_connection: String = value::text;
    /// The first value of `RekeyLimit`, in bytes; zero is the cipher's default.
    "RekeyLimit*" RekeyBytes rekey_bytes: u64 = value::size;
    /// The second value of `RekeyLimit`; zero is no limit.
    "RekeyLimit**" RekeyTime rekey_time: Duration = value::set_time;
    /// `RemoteCommand`, except `none`.
    "RemoteCommand" RemoteCommand remote_command: String = value::command;
    /// `RequestTTY`.
    "RequestTTY" RequestTty request_tty: TtyRequest = value::word;
    /// `RequiredRSASize`, in bits.
    "RequiredRSASize" RequiredRsaSize required_rsa_size: u32 = value::number;
    /// `RevokedHostKeys`, except `none`.
    "RevokedHostKeys" RevokedHostKeys revoked_host_keys: PathBuf = value::path;
    /// `ServerAliveCountMax`.
    "ServerAliveCountMax" ServerAliveCountMax server_alive_count_max: u32 = value::number;
    /// `ServerAliveInterval`. Zero is no keepalive.
    "ServerAliveInterval*" ServerAliveInterval server_alive_interval: Duration = value::set_time;
    /// `SessionType`.
    "SessionType" SessionType session_type: SessionKind = value::word;
    /// `SetEnv`: names and values. The first line wins as a whole.
    "SetEnv" SetEnv set_env: Vec<(String, String)> = value::variables;
    /// `StrictHostKeyChecking`.
    "StrictHostKeyChecking" StrictHostKeyChecking strict_host_key_checking: StrictHostKeys = value::word;
    /// `Tag` (OpenSSH 9.4), for `Match tagged`.
    "Tag" Tag tag: String = value::text;
    /// `TCPKeepAlive`.
    "TCPKeepAlive" TcpKeepAlive tcp_keep_alive: bool = value::word;
    /// `User`.
    "User" User user: String = value::text;
    /// `UserKnownHostsFile`; empty for `none`.
    "UserKnownHostsFile" UserKnownHosts user_known_hosts: Vec<PathBuf> = value::files;
}

impl SshSettings {
    /// The known_hosts files of the user, and those of the system. Where no line names any, they
    /// are those that OpenSSH reads by default, the user's below `home`.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sshoal::ssh_config::{LocalContext, SshConfig, SshDestination};
    /// let context = LocalContext::fixed("me", 1000, "/home/me", "here");
    /// let config = SshConfig::parse("UserKnownHostsFile ~/known", "config", context)?;
    /// let settings = config.resolver().resolve(&SshDestination::new("web1"))?;
    ///
    /// let (own, system) = settings.known_hosts_files(Path::new("/home/me"));
    /// assert_eq!(own, [Path::new("/home/me/known")]);
    /// assert_eq!(system[0], Path::new("/etc/ssh/ssh_known_hosts"));
    /// # Ok::<(), sshoal::ssh_config::SshConfigError>(())
    /// ```
    pub fn known_hosts_files(&self, home: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let mut own = default_files(Some(home));
        let system = own.split_off(2);
        let named = |files: &Option<Sourced<Vec<PathBuf>>>| files.as_deref().cloned();
        (named(&self.user_known_hosts).unwrap_or(own), named(&self.global_known_hosts).unwrap_or(system))
    }
}

/// What a line of a block does.
#[derive(Debug)]
pub(super) enum Effect {
    Set(Setting),
    HostName(String),
    IdentityFile(String),
    CertificateFile(String),
    SendEnv(Vec<String>),
    /// `ProxyJump none` shuts out a later `ProxyJump`, but no `ProxyCommand`.
    NoJump,
    /// In OpenSSH, the flag and the socket are two settings.
    ForwardAgent(bool),
    ForwardSocket(AgentSocket),
}

type EffectsParser = fn(&mut Args<'_>) -> Result<Vec<Effect>, String>;

/// The keywords that can have several effects or none.
const SPECIAL: &[(&str, EffectsParser)] = &[
    ("CertificateFile", |args| value::text(args).map(|path| vec![Effect::CertificateFile(path)])),
    ("ConnectTimeout", |args| value::time(args).map(|time| set(time.map(Setting::ConnectTimeout)))),
    ("ForwardAgent", forward_agent),
    ("HostName", |args| value::text(args).map(|name| vec![Effect::HostName(name)])),
    ("IdentityFile", |args| value::text(args).map(|path| vec![Effect::IdentityFile(path)])),
    ("ProxyCommand", |args| value::proxy_command(args).map(|route| set(Some(Setting::Proxy(route))))),
    ("ProxyJump", |args| {
        value::proxy_jump(args).map(|route| match route {
            ProxyRoute::Direct => vec![Effect::NoJump],
            route => set(Some(Setting::Proxy(route))),
        })
    }),
    ("RekeyLimit", rekey_limit),
    ("SendEnv", |args| value::variable_names(args).map(|names| vec![Effect::SendEnv(names)])),
    ("ServerAliveInterval", |args| value::time(args).map(|time| set(time.map(Setting::ServerAliveInterval)))),
];

/// The keywords that can have no values.
const LISTS: [&str; 3] = ["SetEnv", "UserKnownHostsFile", "GlobalKnownHostsFile"];

/// All keywords that have an effect here, as OpenSSH writes them.
pub(super) fn keywords() -> impl Iterator<Item = &'static str> {
    let names = SETTINGS.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('*'));
    names.chain(SPECIAL.iter().map(|(name, _)| *name))
}

/// Reads the arguments of a keyword that has an effect here. `None` is another keyword.
pub(super) fn effects(keyword: &str, args: &mut Args<'_>) -> Option<Result<Vec<Effect>, String>> {
    let is_it = |known: &&str| known.eq_ignore_ascii_case(keyword);
    // A comment instead of values sets nothing.
    if args.words.len() == 0 && LISTS.iter().any(is_it) {
        return Some(Ok(Vec::new()));
    }
    if let Some((_, parser)) = SPECIAL.iter().find(|(known, _)| is_it(known)) {
        return Some(parser(args));
    }
    let (_, parser) = SETTINGS.iter().find(|(known, _)| is_it(known))?;
    Some(parser(args).map(|setting| vec![Effect::Set(setting)]))
}

fn set(setting: Option<Setting>) -> Vec<Effect> {
    setting.map(Effect::Set).into_iter().collect()
}

fn forward_agent(args: &mut Args<'_>) -> Result<Vec<Effect>, String> {
    let given = value::text(args)?;
    Ok(match given.to_ascii_lowercase().as_str() {
        "yes" | "true" => vec![Effect::ForwardAgent(true)],
        "no" | "false" => vec![Effect::ForwardAgent(false)],
        _ => vec![Effect::ForwardAgent(true), Effect::ForwardSocket(value::agent_socket(given)?)],
    })
}

fn rekey_limit(args: &mut Args<'_>) -> Result<Vec<Effect>, String> {
    let mut effects = vec![Effect::Set(Setting::RekeyBytes(value::size(args)?))];
    if args.words.len() > 0 {
        let time = value::time(args)?;
        effects.extend(time.map(|time| Effect::Set(Setting::RekeyTime(time))));
    }
    Ok(effects)
}

/// Other names of keywords (readconf.c, `keywords`).
pub(super) fn canonical(keyword: &str) -> &str {
    match keyword {
        "challengeresponseauthentication" | "skeyauthentication" | "tisauthentication" => {
            "kbdinteractiveauthentication"
        }
        "dsaauthentication" => "pubkeyauthentication",
        "identityfile2" => "identityfile",
        "keepalive" => "tcpkeepalive",
        "pubkeyacceptedkeytypes" => "pubkeyacceptedalgorithms",
        "hostbasedkeytypes" => "hostbasedacceptedalgorithms",
        "smartcarddevice" => "pkcs11provider",
        _ => keyword,
    }
}
