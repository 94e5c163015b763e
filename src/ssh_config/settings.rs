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
/// the parser of its arguments.
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
    "addressfamily" AddressFamily address_family: AddressFamily = value::word;
    /// `BatchMode`.
    "batchmode" BatchMode batch_mode: bool = value::word;
    /// `BindAddress`.
    "bindaddress" BindAddress bind_address: String = value::text;
    /// `BindInterface`.
    "bindinterface" BindInterface bind_interface: String = value::text;
    /// `CASignatureAlgorithms`.
    "casignaturealgorithms" CaSignatureAlgorithms ca_signature_algorithms: AlgorithmList = value::algorithms;
    /// `Ciphers`.
    "ciphers" Ciphers ciphers: AlgorithmList = value::algorithms;
    /// `Compression`.
    "compression" Compression compression: bool = value::compression;
    /// `ConnectionAttempts`, at least 1.
    "connectionattempts" ConnectionAttempts connection_attempts: u32 = value::number;
    /// `ConnectTimeout`. Zero is no limit.
    "connecttimeout*" ConnectTimeout connect_timeout: Duration = value::set_time;
    /// `GlobalKnownHostsFile`; empty for `none`.
    "globalknownhostsfile" GlobalKnownHosts global_known_hosts: Vec<PathBuf> = value::files;
    /// `GSSAPIAuthentication`.
    "gssapiauthentication" GssapiAuthentication gssapi_authentication: bool = value::word;
    /// `GSSAPIDelegateCredentials`.
    "gssapidelegatecredentials" GssapiDelegateCredentials gssapi_delegate_credentials: bool = value::word;
    /// `HashKnownHosts`.
    "hashknownhosts" HashKnownHosts hash_known_hosts: bool = value::word;
    /// `HostKeyAlgorithms`.
    "hostkeyalgorithms" HostKeyAlgorithms host_key_algorithms: AlgorithmList = value::algorithms;
    /// `HostKeyAlias`, in lower case.
    "hostkeyalias" HostKeyAlias host_key_alias: String = value::text;
    /// `IdentitiesOnly`.
    "identitiesonly" IdentitiesOnly identities_only: bool = value::word;
    /// `IdentityAgent`.
    "identityagent" IdentityAgent identity_agent: AgentSocket = value::agent;
    /// `IgnoreUnknown`: a pattern list of keywords.
    "ignoreunknown" IgnoreUnknown ignore_unknown: String = value::text;
    /// `KbdInteractiveAuthentication`.
    "kbdinteractiveauthentication" KbdInteractive kbd_interactive_authentication: bool = value::word;
    /// `KexAlgorithms`.
    "kexalgorithms" KexAlgorithms kex_algorithms: AlgorithmList = value::algorithms;
    /// `MACs`.
    "macs" Macs macs: AlgorithmList = value::algorithms;
    /// `NoHostAuthenticationForLocalhost`.
    "nohostauthenticationforlocalhost" NoLocalhost no_host_authentication_for_localhost: bool = value::word;
    /// `NumberOfPasswordPrompts`.
    "numberofpasswordprompts" PasswordPrompts number_of_password_prompts: u32 = value::number;
    /// `PasswordAuthentication`.
    "passwordauthentication" PasswordAuthentication password_authentication: bool = value::word;
    /// `Port`.
    "port" Port port: u16 = value::port;
    /// `PreferredAuthentications`.
    "preferredauthentications" PreferredAuth preferred_authentications: Vec<String> = value::methods;
    /// `ProxyCommand` or `ProxyJump`, whichever comes first.
    "proxyjump*" Proxy proxy: ProxyRoute = value::proxy_jump;
    /// `PubkeyAcceptedAlgorithms`.
    "pubkeyacceptedalgorithms" PubkeyAccepted pubkey_accepted_algorithms: AlgorithmList = value::algorithms;
    /// `PubkeyAuthentication`.
    "pubkeyauthentication" PubkeyAuthentication pubkey_authentication: PublicKeys = value::word;
    /// `RefuseConnection` (OpenSSH 10): a message that says why.
    "refuseconnection" RefuseConnection refuse_connection: String = value::text;
    /// The first value of `RekeyLimit`, in bytes; zero is the cipher's default.
    "rekeylimit*" RekeyBytes rekey_bytes: u64 = value::size;
    /// The second value of `RekeyLimit`; zero is no limit.
    "rekeylimit**" RekeyTime rekey_time: Duration = value::set_time;
    /// `RemoteCommand`, except `none`.
    "remotecommand" RemoteCommand remote_command: String = value::command;
    /// `RequestTTY`.
    "requesttty" RequestTty request_tty: TtyRequest = value::word;
    /// `RequiredRSASize`, in bits.
    "requiredrsasize" RequiredRsaSize required_rsa_size: u32 = value::number;
    /// `RevokedHostKeys`, except `none`.
    "revokedhostkeys" RevokedHostKeys revoked_host_keys: PathBuf = value::path;
    /// `ServerAliveCountMax`.
    "serveralivecountmax" ServerAliveCountMax server_alive_count_max: u32 = value::number;
    /// `ServerAliveInterval`. Zero is no keepalive.
    "serveraliveinterval*" ServerAliveInterval server_alive_interval: Duration = value::set_time;
    /// `SessionType`.
    "sessiontype" SessionType session_type: SessionKind = value::word;
    /// `SetEnv`: names and values. The first line wins as a whole.
    "setenv" SetEnv set_env: Vec<(String, String)> = value::variables;
    /// `StrictHostKeyChecking`.
    "stricthostkeychecking" StrictHostKeyChecking strict_host_key_checking: StrictHostKeys = value::word;
    /// `Tag` (OpenSSH 9.4), for `Match tagged`.
    "tag" Tag tag: String = value::text;
    /// `TCPKeepAlive`.
    "tcpkeepalive" TcpKeepAlive tcp_keep_alive: bool = value::word;
    /// `User`.
    "user" User user: String = value::text;
    /// `UserKnownHostsFile`; empty for `none`.
    "userknownhostsfile" UserKnownHosts user_known_hosts: Vec<PathBuf> = value::files;
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

/// Reads the arguments of a keyword that has an effect here. `None` is another keyword.
pub(super) fn effects(keyword: &str, args: &mut Args<'_>) -> Option<Result<Vec<Effect>, String>> {
    if let Some(effects) = special(keyword, args) {
        return Some(effects);
    }
    let (_, parser) = SETTINGS.iter().find(|(known, _)| *known == keyword)?;
    Some(parser(args).map(|setting| vec![Effect::Set(setting)]))
}

/// The keywords that can have several effects or none.
fn special(keyword: &str, args: &mut Args<'_>) -> Option<Result<Vec<Effect>, String>> {
    let set = |setting: Option<Setting>| setting.map(Effect::Set).into_iter().collect();
    Some(match keyword {
        "certificatefile" => value::text(args).map(|path| vec![Effect::CertificateFile(path)]),
        "connecttimeout" => value::time(args).map(|time| set(time.map(Setting::ConnectTimeout))),
        "serveraliveinterval" => value::time(args).map(|time| set(time.map(Setting::ServerAliveInterval))),
        "forwardagent" => forward_agent(args),
        "hostname" => value::text(args).map(|name| vec![Effect::HostName(name)]),
        "identityfile" => value::text(args).map(|path| vec![Effect::IdentityFile(path)]),
        "proxycommand" => value::proxy_command(args).map(|route| vec![Effect::Set(Setting::Proxy(route))]),
        "proxyjump" => value::proxy_jump(args).map(|route| match route {
            ProxyRoute::Direct => vec![Effect::NoJump],
            route => vec![Effect::Set(Setting::Proxy(route))],
        }),
        "rekeylimit" => rekey_limit(args),
        // A comment instead of values sets nothing.
        "setenv" | "userknownhostsfile" | "globalknownhostsfile" if args.words.len() == 0 => Ok(Vec::new()),
        "sendenv" => value::variable_names(args).map(|names| vec![Effect::SendEnv(names)]),
        _ => return None,
    })
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
