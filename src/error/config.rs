//! Settings that cannot work.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::host::HostSpecError;
use crate::ids::HostId;
use crate::text::sanitise;

/// Where a setting comes from. Error texts begin with its `Display` form, which counts positions
/// from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The setting has its default.
    Default,
    /// The setting was made for all hosts, on the builder of the client or the fleet.
    Client,
    /// The [`HostConfig`](crate::HostConfig) of one host.
    #[non_exhaustive]
    Host {
        /// Position in the host list, from 0.
        position: usize,
        /// The host, as the list names it.
        name: Arc<str>,
    },
    /// The host's entry in the list (`user@host:port`).
    #[non_exhaustive]
    Entry {
        /// Position in the host list, from 0.
        position: usize,
        /// The host, as the list names it.
        name: Arc<str>,
    },
    /// OpenSSH's configuration ([`ssh_config`](crate::config::ClientBuilder::ssh_config)).
    #[non_exhaustive]
    SshConfig {
        /// The host, as the list names it.
        name: Arc<str>,
    },
    /// A [`Proxy`](crate::Proxy).
    #[non_exhaustive]
    Proxy {
        /// The name of the proxy, as it was given.
        name: String,
        /// Where the proxy comes from.
        given: Box<Origin>,
    },
    /// A [`Command`](crate::Command), or its [`Run`](crate::Run).
    Command,
    /// The command for one host of a [`Run::each`](crate::Run::each).
    #[non_exhaustive]
    HostCommand {
        /// The position of the host in the run, from 0.
        position: usize,
        /// The host, as the list names it; `None` if the fleet does not know the host.
        name: Option<Arc<str>>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Client => f.write_str("all hosts"),
            Self::Host { position, name } | Self::Entry { position, name } => {
                write!(f, "host {} of the list ({})", position + 1, sanitise(&**name))
            }
            Self::SshConfig { name } => write!(f, "ssh_config for {}", sanitise(&**name)),
            Self::Proxy { name, given } => match &**given {
                Self::Default | Self::Client => write!(f, "proxy {}", sanitise(name)),
                given => write!(f, "{given}: proxy {}", sanitise(name)),
            },
            Self::Command => f.write_str("command"),
            Self::HostCommand { position, name } => {
                write!(f, "command for host {} of the run", position + 1)?;
                name.as_ref().map_or(Ok(()), |name| write!(f, " ({})", sanitise(&**name)))
            }
        }
    }
}

impl Origin {
    /// The text that precedes the text of an error. It is empty if the setting's name says enough.
    pub(super) fn prefix(&self) -> String {
        match self {
            Self::Default | Self::Client | Self::Command => String::new(),
            origin => format!("{origin}: "),
        }
    }
}

/// Why a setting cannot work. The texts name the setting and say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// The value is too small or too large.
    #[error("{setting} must be {allowed}")]
    #[non_exhaustive]
    OutOfRange {
        /// The setting.
        setting: &'static str,
        /// The allowed values, such as `at least 1`.
        allowed: &'static str,
    },
    /// The text cannot be used.
    #[error("{setting} \"{}\": {problem}", sanitise(value))]
    #[non_exhaustive]
    Invalid {
        /// The setting.
        setting: &'static str,
        /// The text.
        value: String,
        /// What is wrong with the text.
        problem: String,
    },
    /// The text is not a valid host.
    #[error("{setting} {problem}")]
    #[non_exhaustive]
    Host {
        /// The setting.
        setting: &'static str,
        /// The text, and what is wrong with it.
        problem: HostSpecError,
    },
    /// The text cannot be used, and is not shown because it is long or a secret.
    #[error("{setting} {problem}")]
    #[non_exhaustive]
    Unusable {
        /// The setting.
        setting: &'static str,
        /// What is wrong with the text.
        problem: &'static str,
    },
    /// Only one of two settings may be given.
    #[error("{setting} cannot be combined with {other}: give one of them")]
    #[non_exhaustive]
    Conflict {
        /// One of the settings.
        setting: &'static str,
        /// The other setting.
        other: &'static str,
    },
    /// The setting needs something that is missing.
    #[error("{setting} needs {needs}")]
    #[non_exhaustive]
    Missing {
        /// The setting.
        setting: &'static str,
        /// What the setting needs.
        needs: &'static str,
    },
    /// The number of host configurations differs from the number of hosts (parallel-ssh:
    /// `HostConfigError`).
    #[error("host_config has {configs} entries for {hosts} hosts: give one for each host")]
    #[non_exhaustive]
    HostConfigs {
        /// How many hosts the list has.
        hosts: usize,
        /// How many configurations were given.
        configs: usize,
    },
    /// A path begins with `~/`, and this process has no home directory.
    #[error(
        "cannot expand {}, because this process has no home directory: give an absolute path",
        .0.display()
    )]
    NoHome(PathBuf),
    /// The proxies of a host lead back to one of them, or to the host itself.
    #[error("proxy loop: {} port {port} appears twice on the way to the host", sanitise(host))]
    #[non_exhaustive]
    ProxyLoop {
        /// The name that appears twice.
        host: String,
        /// The port of that proxy or host.
        port: u16,
    },
    /// No host of this fleet has this id, or the host was removed from the fleet.
    #[error("{0} is unknown to this fleet, or was removed from it")]
    UnknownHost(HostId),
}

impl ConfigProblem {
    /// The setting, by the name of the method that sets it. `None` if the problem does not concern
    /// one particular setting.
    #[must_use]
    pub fn setting(&self) -> Option<&'static str> {
        match self {
            Self::OutOfRange { setting, .. }
            | Self::Invalid { setting, .. }
            | Self::Host { setting, .. }
            | Self::Unusable { setting, .. }
            | Self::Conflict { setting, .. }
            | Self::Missing { setting, .. } => Some(setting),
            Self::HostConfigs { .. } => Some("host_config"),
            Self::ProxyLoop { .. } => Some("proxies"),
            Self::UnknownHost(_) => Some("hosts"),
            Self::NoHome(_) => None,
        }
    }

    /// The error for this problem in a setting that comes from `origin`.
    pub(crate) fn of(self, origin: Origin) -> super::Error {
        super::Error::Config { origin, problem: self }
    }

    /// Rejects a time limit of zero.
    pub(crate) fn check_limit(setting: &'static str, limit: Option<Duration>) -> Result<(), Self> {
        match limit {
            Some(Duration::ZERO) => Err(Self::OutOfRange { setting, allowed: "longer than zero, or None" }),
            _ => Ok(()),
        }
    }

    /// The error for this problem in a setting of a command or a run.
    pub(crate) fn of_command(self) -> super::Error {
        self.of(Origin::Command)
    }
}
