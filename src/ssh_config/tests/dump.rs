//! Settings in the form of `ssh -G`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::hostkey::glob_matches;
use crate::ssh_config::merge::Merged;
use crate::ssh_config::types::Words;
use crate::ssh_config::*;

/// The lines of each keyword, without the keyword.
pub type Dump = BTreeMap<String, Vec<String>>;

/// The keywords that are compared. `ssh -G` prints neither `Tag` nor `RefuseConnection` in 9.2.
pub const KEYWORDS: [&str; 46] = [
    "host",
    "user",
    "hostname",
    "port",
    "addressfamily",
    "batchmode",
    "bindaddress",
    "bindinterface",
    "casignaturealgorithms",
    "certificatefile",
    "ciphers",
    "compression",
    "connectionattempts",
    "connecttimeout",
    "forwardagent",
    "globalknownhostsfile",
    "gssapiauthentication",
    "gssapidelegatecredentials",
    "hashknownhosts",
    "hostkeyalgorithms",
    "hostkeyalias",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "ignoreunknown",
    "kbdinteractiveauthentication",
    "kexalgorithms",
    "macs",
    "nohostauthenticationforlocalhost",
    "numberofpasswordprompts",
    "passwordauthentication",
    "preferredauthentications",
    "proxycommand",
    "proxyjump",
    "pubkeyacceptedalgorithms",
    "pubkeyauthentication",
    "rekeylimit",
    "remotecommand",
    "requesttty",
    "requiredrsasize",
    "revokedhostkeys",
    "sendenv",
    "serveralivecountmax",
    "serveraliveinterval",
    "setenv",
    "sessiontype",
];

/// Those that were left out above because an array of one size reads badly.
pub const MORE_KEYWORDS: [&str; 3] = ["stricthostkeychecking", "tcpkeepalive", "userknownhostsfile"];

/// The output of `ssh -G`.
pub fn parse(output: &str) -> Dump {
    let mut dump = Dump::new();
    for line in output.lines() {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        dump.entry(keyword.to_owned()).or_default().push(value.to_owned());
    }
    dump
}

/// Stands for any socket.
pub const UNUSED_SOCKET: &str = "a socket that is not used";

struct Writer<'a> {
    dump: Dump,
    /// What ssh prints without any file.
    defaults: &'a Dump,
}

impl Writer<'_> {
    fn lines(&mut self, keyword: &str, lines: Option<Vec<String>>) {
        let lines = lines.or_else(|| self.defaults.get(keyword).cloned());
        if let Some(lines) = lines.filter(|lines| !lines.is_empty()) {
            self.dump.insert(keyword.to_owned(), lines);
        }
    }

    fn text<T: ToString>(&mut self, keyword: &str, setting: &Option<Sourced<T>>) {
        self.lines(keyword, setting.as_ref().map(|setting| vec![setting.value.to_string()]));
    }

    fn path(&mut self, keyword: &str, path: Option<&Path>) {
        self.lines(keyword, path.map(|path| vec![path.display().to_string()]));
    }

    /// The first word for a value.
    fn word<T: Words>(&mut self, keyword: &str, setting: &Option<Sourced<T>>) {
        let word = |value: T| T::WORDS.iter().find(|(_, known)| *known == value).unwrap().0.to_owned();
        self.lines(keyword, setting.as_ref().map(|setting| vec![word(setting.value)]));
    }

    fn seconds(&mut self, keyword: &str, setting: &Option<Sourced<std::time::Duration>>) {
        self.lines(keyword, setting.as_ref().map(|setting| vec![setting.value.as_secs().to_string()]));
    }

    fn files(&mut self, keyword: &str, setting: Option<Vec<String>>) {
        let line = |files: Vec<String>| {
            if files.is_empty() { "none".to_owned() } else { files.join(" ") }
        };
        self.lines(keyword, setting.map(|files| vec![line(files)]));
    }

    /// `kex_assemble_names`, without wildcards in names that are added.
    fn algorithms(&mut self, keyword: &str, setting: &Option<Sourced<AlgorithmList>>) {
        let default: Vec<&str> = self.defaults[keyword][0].split(',').collect();
        let Some(list) = setting else { return self.lines(keyword, None) };
        let names: Vec<&str> = list.names.iter().map(String::as_str).collect();
        let is_removed =
            |name: &str| names.iter().any(|pattern| glob_matches(pattern.as_bytes(), name.as_bytes()));
        let all: Vec<&str> = match list.change {
            ListChange::Replace => names.clone(),
            ListChange::Append => [default, names.clone()].concat(),
            ListChange::Prepend => [names.clone(), default].concat(),
            ListChange::Remove => default.into_iter().filter(|name| !is_removed(name)).collect(),
        };
        let mut once: Vec<&str> = Vec::new();
        for name in all {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        self.lines(keyword, Some(vec![once.join(",")]));
    }
}

/// What `ssh -G` prints for these settings.
pub fn dump(merged: &Merged, settings: &SshSettings, user: &str, defaults: &Dump) -> Dump {
    let mut out = Writer { dump: Dump::new(), defaults };
    let raw = &merged.settings;
    out.lines("host", Some(vec![settings.alias.clone()]));
    out.lines("user", Some(vec![settings.user.as_ref().map_or(user, |user| &user.value).to_owned()]));
    out.lines("hostname", Some(vec![settings.host_name.value.clone()]));
    out.text("port", &settings.port);
    words(&mut out, settings);
    out.text("bindaddress", &settings.bind_address);
    out.text("bindinterface", &settings.bind_interface);
    out.text("connectionattempts", &settings.connection_attempts);
    out.text("hostkeyalias", &settings.host_key_alias);
    out.text("ignoreunknown", &settings.ignore_unknown);
    out.text("numberofpasswordprompts", &settings.number_of_password_prompts);
    out.text("requiredrsasize", &settings.required_rsa_size);
    out.text("serveralivecountmax", &settings.server_alive_count_max);
    out.seconds("serveraliveinterval", &settings.server_alive_interval);
    out.seconds("connecttimeout", &settings.connect_timeout);
    let methods = settings.preferred_authentications.as_ref();
    out.lines("preferredauthentications", methods.map(|methods| vec![methods.join(",")]));
    out.text("remotecommand", &settings.remote_command);
    let bytes = settings.rekey_bytes.as_deref().copied().unwrap_or(0);
    let time = settings.rekey_time.as_deref().copied().unwrap_or_default();
    out.lines("rekeylimit", Some(vec![format!("{bytes} {}", time.as_secs())]));
    out.algorithms("casignaturealgorithms", &settings.ca_signature_algorithms);
    out.algorithms("ciphers", &settings.ciphers);
    out.algorithms("hostkeyalgorithms", &settings.host_key_algorithms);
    out.algorithms("kexalgorithms", &settings.kex_algorithms);
    out.algorithms("macs", &settings.macs);
    out.algorithms("pubkeyacceptedalgorithms", &settings.pubkey_accepted_algorithms);
    files(&mut out, merged, settings);
    // One line for each, from all lines; the second pass reads them again.
    out.lines("sendenv", Some(merged.send_env.iter().map(|name| name.value.clone()).collect()));
    let pair = |(name, value): &(String, String)| format!("{name}={value}");
    out.lines("setenv", raw.set_env.as_ref().map(|set| set.iter().map(pair).collect()));
    proxy(&mut out, raw);
    out.dump
}

fn words(out: &mut Writer<'_>, settings: &SshSettings) {
    out.word("addressfamily", &settings.address_family);
    out.word("batchmode", &settings.batch_mode);
    out.word("compression", &settings.compression);
    out.word("gssapiauthentication", &settings.gssapi_authentication);
    out.word("gssapidelegatecredentials", &settings.gssapi_delegate_credentials);
    out.word("hashknownhosts", &settings.hash_known_hosts);
    out.word("identitiesonly", &settings.identities_only);
    out.word("kbdinteractiveauthentication", &settings.kbd_interactive_authentication);
    out.word("nohostauthenticationforlocalhost", &settings.no_host_authentication_for_localhost);
    out.word("passwordauthentication", &settings.password_authentication);
    out.word("pubkeyauthentication", &settings.pubkey_authentication);
    out.word("requesttty", &settings.request_tty);
    out.word("sessiontype", &settings.session_type);
    out.word("stricthostkeychecking", &settings.strict_host_key_checking);
    out.word("tcpkeepalive", &settings.tcp_keep_alive);
}

fn socket(socket: &AgentSocket) -> String {
    match socket {
        AgentSocket::Disabled => "none".to_owned(),
        AgentSocket::Variable(name) if name == "SSH_AUTH_SOCK" => name.clone(),
        AgentSocket::Variable(name) => format!("${name}"),
        AgentSocket::Path(path) => path.display().to_string(),
    }
}

fn files(out: &mut Writer<'_>, merged: &Merged, settings: &SshSettings) {
    out.lines("identityagent", settings.identity_agent.as_ref().map(|agent| vec![socket(agent)]));
    let forwarded = match settings.forward_agent.as_deref() {
        None => None,
        // Forwards nothing, but `ssh -G` prints the socket.
        Some(ForwardedAgent::No) if merged.forward_socket.is_some() => Some(UNUSED_SOCKET.to_owned()),
        Some(ForwardedAgent::No) => Some("no".to_owned()),
        Some(ForwardedAgent::Yes) => Some("yes".to_owned()),
        Some(ForwardedAgent::Socket(agent)) => Some(socket(agent)),
    };
    out.lines("forwardagent", forwarded.map(|word| vec![word]));
    let texts =
        |list: &[Sourced<String>]| -> Vec<String> { list.iter().map(|file| file.value.clone()).collect() };
    // As written.
    let keys = texts(&merged.identity_files);
    out.lines("identityfile", Some(keys).filter(|keys| !keys.is_empty()));
    out.lines("certificatefile", Some(texts(&merged.certificate_files)));
    out.path("revokedhostkeys", merged.settings.revoked_host_keys.as_deref().map(|path| &**path));
    if merged.settings.revoked_host_keys.as_deref().is_some_and(|path| path.as_os_str() == "none") {
        out.dump.remove("revokedhostkeys");
    }
    let paths = |list: &Vec<std::path::PathBuf>| list.iter().map(|path| path.display().to_string()).collect();
    out.files("userknownhostsfile", settings.user_known_hosts.as_deref().map(paths));
    // `~` stays, because it is expanded later.
    let global = merged.settings.global_known_hosts.as_deref().map(paths);
    let global = global.map(|files: Vec<String>| if files == ["none"] { Vec::new() } else { files });
    out.files("globalknownhostsfile", global);
}

fn proxy(out: &mut Writer<'_>, raw: &SshSettings) {
    match raw.proxy.as_deref() {
        None | Some(ProxyRoute::Direct) => {}
        Some(ProxyRoute::Command(command)) => out.lines("proxycommand", Some(vec![command.clone()])),
        Some(ProxyRoute::Jump(hops)) => {
            let hops: Vec<String> = hops.iter().map(hop).collect();
            out.lines("proxyjump", Some(vec![hops.join(",")]));
        }
    }
}

fn hop(hop: &JumpHop) -> String {
    let user = hop.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    let is_numeric =
        hop.host.contains(':') || hop.host.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
    let host = if is_numeric { format!("[{}]", hop.host) } else { hop.host.clone() };
    let port = hop.port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{user}{host}{port}")
}
