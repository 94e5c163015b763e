//! The settings of one host, and how a fleet or a rule changes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::sftp::SftpConfig;

/// How a host authenticates clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthPolicy {
    /// `any`: accepts the fleet's user key, or the password, also by keyboard-interactive.
    #[default]
    Any,
    /// `key`: the fleet's user key only.
    Key,
    /// `password`: the password only.
    Password,
    /// `keyboard`: the password by keyboard-interactive only.
    Keyboard,
    /// `key+password`: first the key (a partial success), then the password.
    KeyThenPassword,
    /// `none`: accepts everybody, at the first `none` request.
    None,
    /// `refuse`: accepts nobody; publickey and password stay on offer after every failure.
    Refuse,
}

/// A type of host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyKind {
    /// `ed25519`.
    Ed25519,
    /// `ecdsa`: ECDSA on P-256.
    EcdsaP256,
    /// `rsa`: RSA, 2048 bits; the same key for every seed, because generating one takes seconds.
    Rsa,
}

/// What one host offers in key exchange and authentication. Set for the fleet; rules can change it
/// for some hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Which clients are accepted. Default: [`AuthPolicy::Any`].
    pub auth: AuthPolicy,
    /// Delay of each authentication response. Default: 0.
    pub auth_delay: Duration,
    /// After this many refusals, the next request gets SSH_MSG_DISCONNECT. Default: 10, as in
    /// russh; OpenSSH has 6.
    pub auth_tries_max: usize,
    /// Host keys, in order of preference. Default: ed25519 only.
    pub host_keys: Vec<HostKeyKind>,
    /// Use host keys of another seed than the announced one: a changed host key. Default: no.
    pub other_host_key: bool,
    /// Key exchange methods in order; empty (the default) for russh's own list.
    pub kex: Vec<String>,
    /// Ciphers in order; empty (the default) for russh's own list.
    pub ciphers: Vec<String>,
    /// MACs in order; empty (the default) for russh's own list.
    pub macs: Vec<String>,
    /// Start a key re-exchange after this many bytes in either direction. Default: 1 GiB (RFC 4253
    /// section 9).
    pub rekey_bytes: usize,
    /// Our receive window per channel, in bytes. Default: 2 MiB.
    pub window: u32,
    /// Maximum packet size announced in channel confirmations, in bytes; 0 is the fault of
    /// announcing zero. Default: 32 KiB.
    pub packet: u32,
    /// The SFTP server.
    pub sftp: SftpConfig,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            auth: AuthPolicy::Any,
            auth_delay: Duration::ZERO,
            auth_tries_max: 10,
            host_keys: vec![HostKeyKind::Ed25519],
            other_host_key: false,
            kex: Vec::new(),
            ciphers: Vec::new(),
            macs: Vec::new(),
            rekey_bytes: 1 << 30,
            window: 2 << 20,
            packet: 32 << 10,
            sftp: SftpConfig::default(),
        }
    }
}

/// One field of [`HostConfig`] or [`SftpConfig`] with its value. Text form `NAME=VALUE`; on the
/// command line of the whole fleet `--NAME VALUE`, in a rule `set:NAME=VALUE`. Lists are separated
/// by commas, times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// The names of [`Setting`]s.
const SETTINGS: [&str; 18] = [
    "auth",
    "auth-delay",
    "auth-tries-max",
    "host-keys",
    "other-host-key",
    "kex",
    "ciphers",
    "macs",
    "rekey-bytes",
    "window",
    "packet",
    "sftp",
    "sftp-extensions",
    "sftp-limits",
    "sftp-delay",
    "sftp-files",
    "sftp-keep",
    "sftp-space",
];

impl Setting {
    /// The setting `name` with `value`.
    ///
    /// # Errors
    /// There is no such setting, or the value is not valid for it.
    pub fn new(name: &str, value: &str) -> Result<Self, String> {
        let known = SETTINGS.iter().find(|known| **known == name);
        let known = known.ok_or_else(|| format!("not a setting: {name:?}"))?;
        let setting = Self { name: known, value: value.to_owned() };
        setting.apply(&mut HostConfig::default())?;
        Ok(setting)
    }

    pub(crate) fn apply(&self, config: &mut HostConfig) -> Result<(), String> {
        let value = self.value.as_str();
        match self.name {
            "auth" => config.auth = value.parse()?,
            "auth-delay" => config.auth_delay = Duration::from_millis(number(value)?),
            "auth-tries-max" => config.auth_tries_max = number(value)?,
            "host-keys" => {
                config.host_keys = list(value).map(|kind| kind.parse()).collect::<Result<_, _>>()?
            }
            "other-host-key" => config.other_host_key = number(value)?,
            "kex" => config.kex = names::<russh::kex::Name>(value)?,
            "ciphers" => config.ciphers = names::<russh::cipher::Name>(value)?,
            "macs" => config.macs = names::<russh::mac::Name>(value)?,
            "rekey-bytes" => config.rekey_bytes = number(value)?,
            "window" => config.window = number(value)?,
            "packet" => config.packet = number::<u32>(value)?.min(65_535),
            name => config.sftp.set(name, value)?,
        }
        Ok(())
    }
}

pub(crate) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a valid value: {text:?}"))
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|item| !item.is_empty())
}

/// The names in a list; each must be known to russh.
fn names<'a, T: TryFrom<&'a str>>(text: &'a str) -> Result<Vec<String>, String> {
    let known = |name: &'a str| match T::try_from(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err(format!("unknown to russh: {name:?}")),
    };
    list(text).map(known).collect()
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("not NAME=VALUE: {text:?}"))?;
        Self::new(name, value)
    }
}

const POLICIES: [(AuthPolicy, &str); 7] = [
    (AuthPolicy::Any, "any"),
    (AuthPolicy::Key, "key"),
    (AuthPolicy::Password, "password"),
    (AuthPolicy::Keyboard, "keyboard"),
    (AuthPolicy::KeyThenPassword, "key+password"),
    (AuthPolicy::None, "none"),
    (AuthPolicy::Refuse, "refuse"),
];

impl fmt::Display for AuthPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(POLICIES.iter().find(|(policy, _)| policy == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for AuthPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = POLICIES.iter().find(|(_, name)| *name == text);
        found.map(|(policy, _)| *policy).ok_or_else(|| format!("not a way to authenticate: {text:?}"))
    }
}

impl FromStr for HostKeyKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "ed25519" => Self::Ed25519,
            "ecdsa" => Self::EcdsaP256,
            "rsa" => Self::Rsa,
            _ => return Err(format!("not a type of host key: {text:?}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_value_that_changes_something() {
        let values = [
            "key",
            "5",
            "3",
            "rsa,ecdsa",
            "true",
            "curve25519-sha256",
            "aes256-ctr",
            "hmac-sha2-256",
            "65536",
            "9",
            "0",
            "false",
            "fsync",
            "34000,4096,4096,2",
            "5",
            "etc/hosts=120,data/big=1000000000",
            "0",
            "10000",
        ];
        for (name, value) in SETTINGS.iter().zip(values) {
            let mut config = HostConfig::default();
            Setting::new(name, value).unwrap().apply(&mut config).unwrap();
            assert_ne!(config, HostConfig::default(), "{name}");
            assert!(Setting::new(name, "nonsense").is_err(), "{name}");
        }
        assert!(Setting::new("colour", "red").is_err());
    }
}
