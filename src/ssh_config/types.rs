//! The values of settings.

use std::fmt;
use std::path::PathBuf;

use crate::host::AddressFamily;

/// A list of algorithms, and what it does to the default list (ssh_config(5), `Ciphers`). Settings
/// such as [`ciphers`](crate::config::ClientBuilder::ciphers) take it, or a text in OpenSSH's
/// syntax.
///
/// ```
/// use sshoal::ssh_config::{AlgorithmList, ListChange};
///
/// let list = AlgorithmList::from("+aes128-cbc,3des-cbc");
/// assert_eq!(list.change, ListChange::Append);
/// assert_eq!(list.names, ["aes128-cbc", "3des-cbc"]);
/// assert_eq!(list.to_string(), "+aes128-cbc,3des-cbc");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AlgorithmList {
    /// How the list combines with the default.
    pub change: ListChange,
    /// The names. With [`ListChange::Remove`], they may contain `*` and `?`.
    pub names: Vec<String>,
}

/// Reads names separated by commas, after a sign or none. Names are not checked.
impl From<&str> for AlgorithmList {
    fn from(text: &str) -> Self {
        let signs = [ListChange::Append, ListChange::Remove, ListChange::Prepend];
        let signed = signs.iter().find_map(|change| Some((*change, text.strip_prefix(change.sign())?)));
        let (change, names) = signed.unwrap_or((ListChange::Replace, text));
        Self { change, names: names.split(',').map(str::to_owned).collect() }
    }
}

impl From<String> for AlgorithmList {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

/// Writes the list in OpenSSH's syntax.
impl fmt::Display for AlgorithmList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.change.sign(), self.names.join(","))
    }
}

/// How a list of algorithms combines with the default list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListChange {
    /// No sign: the list replaces the default.
    Replace,
    /// `+`: the names follow the default.
    Append,
    /// `-`: the names are removed from the default.
    Remove,
    /// `^`: the names precede the default.
    Prepend,
}

impl ListChange {
    fn sign(self) -> &'static str {
        match self {
            Self::Replace => "",
            Self::Append => "+",
            Self::Remove => "-",
            Self::Prepend => "^",
        }
    }
}

/// What `StrictHostKeyChecking` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrictHostKeys {
    /// `yes`: unknown and changed keys are refused.
    Yes,
    /// `ask`: a person decides about unknown keys.
    Ask,
    /// `accept-new`: unknown keys are recorded, changed keys are refused.
    AcceptNew,
    /// `no` or `off`: unknown keys are recorded, and changed keys are used.
    Off,
}

/// How to reach a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyRoute {
    /// `ProxyCommand none` or `ProxyJump none`.
    Direct,
    /// `ProxyCommand`: a text for the user's shell, with tokens expanded. OpenSSH puts `exec`
    /// before it.
    Command(String),
    /// `ProxyJump`: the hosts in the order in which they are visited. Each has a configuration of
    /// its own, which [`ConfigResolver::resolve`](super::ConfigResolver::resolve) finds under its
    /// name.
    Jump(Vec<JumpHop>),
}

/// One host of a `ProxyJump`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JumpHop {
    /// The user, if the file names one.
    pub user: Option<String>,
    /// The name, to be resolved like any other.
    pub host: String,
    /// The port, if the file names one.
    pub port: Option<u16>,
}

/// Which ssh-agent to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentSocket {
    /// `none`.
    Disabled,
    /// `SSH_AUTH_SOCK`, or the name after `$`: the variable that has the path of the socket.
    Variable(String),
    /// The path of the socket.
    Path(PathBuf),
}

/// What `ForwardAgent` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardedAgent {
    /// `no`.
    No,
    /// `yes`: the agent that logins use.
    Yes,
    /// This agent.
    Socket(AgentSocket),
}

/// What `PubkeyAuthentication` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKeys {
    /// `no`.
    No,
    /// `yes`.
    Yes,
    /// `unbound`: without OpenSSH's host-bound extension.
    Unbound,
    /// `host-bound`: with that extension.
    HostBound,
}

/// What `RequestTTY` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TtyRequest {
    /// `no`.
    No,
    /// `yes`: if standard input is a terminal.
    Yes,
    /// `force`.
    Force,
    /// `auto`: for a login session.
    Auto,
}

/// What `SessionType` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// `none`: no session.
    None,
    /// `subsystem`: the command is the name of a subsystem.
    Subsystem,
    /// `default`: a shell or a command.
    Default,
}

/// The words of a setting with few values, as OpenSSH writes them. The first word of a value is the
/// one that `ssh -G` prints.
pub(super) trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl Words for bool {
    const WORDS: &'static [(&'static str, Self)] =
        &[("yes", true), ("no", false), ("true", true), ("false", false)];
}

impl Words for AddressFamily {
    const WORDS: &'static [(&'static str, Self)] =
        &[("inet", Self::V4), ("inet6", Self::V6), ("any", Self::Any)];
}

impl Words for StrictHostKeys {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("true", Self::Yes),
        ("false", Self::Off),
        ("yes", Self::Yes),
        ("no", Self::Off),
        ("ask", Self::Ask),
        ("off", Self::Off),
        ("accept-new", Self::AcceptNew),
    ];
}

impl Words for PublicKeys {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("true", Self::Yes),
        ("false", Self::No),
        ("yes", Self::Yes),
        ("no", Self::No),
        ("unbound", Self::Unbound),
        ("host-bound", Self::HostBound),
    ];
}

impl Words for TtyRequest {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("true", Self::Yes),
        ("yes", Self::Yes),
        ("false", Self::No),
        ("no", Self::No),
        ("force", Self::Force),
        ("auto", Self::Auto),
    ];
}

impl Words for SessionKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("subsystem", Self::Subsystem), ("default", Self::Default)];
}
