//! What is resolved: the command line of ssh, as far as a configuration depends on it.

use super::error::SshConfigError;
use crate::host::unsafe_in_command;

/// A destination as it would be on the command line of ssh: `ssh -l user -p port -o option alias`.
///
/// ```
/// use sshoal::ssh_config::SshDestination;
///
/// let destination = SshDestination::new("web1").user("deploy").option("ConnectTimeout=5");
/// assert_eq!(destination.alias(), "web1");
/// ```
#[derive(Debug, Clone)]
pub struct SshDestination {
    alias: String,
    user: Option<String>,
    port: Option<u16>,
    options: Vec<String>,
}

impl SshDestination {
    /// A name, as a user types it.
    pub fn new(alias: impl Into<String>) -> Self {
        Self { alias: alias.into(), user: None, port: None, options: Vec::new() }
    }

    /// A user, which precedes `User` in files.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// A port, which precedes `Port` in files.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// A line like the argument of `-o`, for example `HostName=192.0.2.7`. It precedes files, and
    /// earlier calls precede later ones. An `IgnoreUnknown` comes too late here: unknown keywords
    /// are errors when a file is read.
    #[must_use]
    pub fn option(mut self, line: impl Into<String>) -> Self {
        self.options.push(line.into());
        self
    }

    /// The name.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    pub(super) fn named_user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn named_port(&self) -> Option<u16> {
        self.port
    }

    pub(super) fn options(&self) -> &[String] {
        &self.options
    }

    /// Names become parts of commands, by tokens in `ProxyCommand` and `Match exec`. OpenSSH 9.6
    /// refuses the same characters (`ssh_valid_hostname`, `ssh_valid_ruser`).
    pub(super) fn check(&self) -> Result<(), SshConfigError> {
        let unsafe_name =
            |what, value: &str| Err(SshConfigError::UnsafeName { what, value: value.to_owned() });
        if !is_safe_host(&self.alias) {
            return unsafe_name("the host name", &self.alias);
        }
        match &self.user {
            Some(user) if !is_safe_user(user) => unsafe_name("the user", user),
            _ => Ok(()),
        }
    }
}

fn is_safe_host(name: &str) -> bool {
    let is_wrong = |byte: u8| {
        byte.is_ascii_whitespace() || byte.is_ascii_control() || b"'`\"$\\;&<>|(){},\x0b".contains(&byte)
    };
    !name.is_empty() && !name.starts_with('-') && !name.bytes().any(is_wrong)
}

fn is_safe_user(name: &str) -> bool {
    let has_control = name.bytes().any(|byte| byte.is_ascii_control());
    !name.is_empty() && !name.starts_with('-') && !has_control && unsafe_in_command(name).is_none()
}
