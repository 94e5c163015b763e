//! The host specification `[user@]host[:port]`.

mod error;
mod family;
mod uri;

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::sync::Arc;

pub use error::{HostSpecError, HostSpecPart, HostSpecProblem};
pub use family::AddressFamily;

use crate::text::must_escape;

/// Where to connect and as which user: a checked `[user@]host[:port]`, or the same with `ssh://`
/// before it.
///
/// | text | user | host | port |
/// |---|---|---|---|
/// | `web1` | | `web1` | |
/// | `web2:2222` | | `web2` | 2222 |
/// | `deploy@web1` | `deploy` | `web1` | |
/// | `deploy@example.org@web1:22` | `deploy@example.org` | `web1` | 22 |
/// | `::1` | | `::1` | |
/// | `[::1]:22` | | `::1` | 22 |
/// | `root@[fe80::1%eth0]:2222` | `root` | `fe80::1%eth0` | 2222 |
/// | `CORP\deploy@web1` | `CORP\deploy` | `web1` | |
/// | `ssh://deploy@web1:22` | `deploy` | `web1` | 22 |
///
/// The user ends at the last `@`, as in OpenSSH. An IPv6 address needs brackets only before a port,
/// and may name its zone (RFC 4007, section 11). Brackets around a name or an IPv4 address are
/// accepted, because known_hosts files contain `[web1]:2222`. In an `ssh://` address, `%` and two
/// hexadecimal digits stand for a byte of the user (RFC 3986 section 2.1), and `%25` for the `%`
/// before a zone (RFC 6874). `Display` gives the shortest form, which parses to an equal value.
///
/// # Rejected input
/// Every text that OpenSSH 9.6 and later reject is rejected here too (`valid_hostname` and
/// `valid_ruser`): one with a leading `-`, shell metacharacters or control characters. So a name
/// from an inventory cannot become an option, a shell command or a terminal escape sequence in
/// another program. The following rules are stricter than OpenSSH's:
/// - An ASCII host consists of letters, digits, `.`, `-` and `_`. This excludes `*`, `?`, `!`, `,`,
///   `|` and `#`: in a known_hosts file, they would make a recorded host key valid for other hosts
///   too.
/// - Invisible and bidirectional Unicode characters are rejected in both parts; other non-ASCII
///   characters are accepted.
/// - A user may not contain `:`, because `user:password@host` would spread the password into logs,
///   and may neither begin nor end with a blank. The setting
///   [`user`](crate::config::ClientBuilder::user) accepts such names.
/// - An `ssh://` address may have neither a path nor connection parameters (`;fingerprint=`).
///
/// ```
/// # use sshoal::HostSpec;
/// let spec: HostSpec = "deploy@[::1]:2222".parse()?;
/// assert_eq!((spec.user(), spec.host(), spec.port()), (Some("deploy"), "::1", Some(2222)));
/// assert_eq!(spec.to_string(), "deploy@[::1]:2222");
/// # Ok::<(), sshoal::error::HostSpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostSpec {
    /// One word, because few of many thousands of hosts have one.
    user: Option<Arc<String>>,
    host: Arc<str>,
    port: Option<u16>,
}

impl HostSpec {
    /// The largest length of the host, and of the user, in bytes.
    ///
    /// RFC 1035, section 2.3.4, limits a domain name to 255 octets; Linux limits a user name to far
    /// less.
    pub const PART_LEN_MAX: usize = 255;

    /// Builds a specification from its parts. `host` has no brackets.
    ///
    /// # Errors
    /// The same as for parsing; see [`HostSpec`].
    pub fn from_parts(user: Option<&str>, host: &str, port: Option<u16>) -> Result<Self, HostSpecError> {
        Self::checked(user, host, port).map_err(|problem| {
            let user = user.map_or_else(String::new, |user| format!("{user}@"));
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            HostSpecError::new(&format!("{user}{host}{port}"), problem)
        })
    }

    fn checked(user: Option<&str>, host: &str, port: Option<u16>) -> Result<Self, HostSpecProblem> {
        if let Some(user) = user {
            check_user(user)?;
            check_characters(user, HostSpecPart::User, |character| character == ':')?;
            if user.starts_with(' ') || user.ends_with(' ') {
                return Err(HostSpecProblem::Character { part: HostSpecPart::User, character: ' ' });
            }
        }
        check_host(host)?;
        if port == Some(0) {
            return Err(HostSpecProblem::Port);
        }
        Ok(Self { user: user.map(|user| Arc::new(user.to_owned())), host: host.into(), port })
    }

    /// The user to log in as, if the specification names one.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref().map(String::as_str)
    }

    /// The name or address as it was written, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Like [`host`](Self::host), for what keeps the name.
    pub(crate) fn shared_host(&self) -> Arc<str> {
        self.host.clone()
    }

    /// The port, if the specification names one; never 0.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }
}

impl FromStr for HostSpec {
    type Err = HostSpecError;

    fn from_str(text: &str) -> Result<Self, HostSpecError> {
        parse(text).map_err(|problem| HostSpecError::new(text, problem))
    }
}

impl TryFrom<&str> for HostSpec {
    type Error = HostSpecError;

    fn try_from(text: &str) -> Result<Self, HostSpecError> {
        text.parse()
    }
}

impl TryFrom<String> for HostSpec {
    type Error = HostSpecError;

    fn try_from(text: String) -> Result<Self, HostSpecError> {
        text.parse()
    }
}

impl TryFrom<&String> for HostSpec {
    type Error = HostSpecError;

    fn try_from(text: &String) -> Result<Self, HostSpecError> {
        text.parse()
    }
}

impl fmt::Display for HostSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

fn parse(text: &str) -> Result<HostSpec, HostSpecProblem> {
    if let Some(address) = uri::after_scheme(text) {
        return uri::parse(address);
    }
    let (user, address) = text.rsplit_once('@').map_or((None, text), |(user, address)| (Some(user), address));
    let (host, port) = split_port(address)?;
    let port = port.map(parse_port).transpose()?;
    HostSpec::checked(user, host, port)
}

/// Splits `host`, `host:port`, `[host]`, `[host]:port` or a bare IPv6 address.
fn split_port(address: &str) -> Result<(&str, Option<&str>), HostSpecProblem> {
    if let Some(bracketed) = address.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(HostSpecProblem::Brackets)?;
        if rest.is_empty() {
            return Ok((host, None));
        }
        let port = rest.strip_prefix(':').ok_or(HostSpecProblem::Brackets)?;
        return Ok((host, Some(port)));
    }
    if address.contains(['[', ']']) {
        return Err(HostSpecProblem::Brackets);
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => Ok((host, Some(port))),
        _ => Ok((address, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, HostSpecProblem> {
    // `u16::from_str` would accept a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostSpecProblem::Port);
    }
    text.parse().map_err(|_| HostSpecProblem::Port)
}

/// Checks the rules that hold for both the host and the user.
fn check_part(text: &str, part: HostSpecPart) -> Result<(), HostSpecProblem> {
    if text.is_empty() {
        return Err(HostSpecProblem::Empty(part));
    }
    if text.len() > HostSpec::PART_LEN_MAX {
        return Err(HostSpecProblem::TooLong { part, len: text.len() });
    }
    if text.starts_with('-') {
        return Err(HostSpecProblem::LeadingDash(part));
    }
    check_characters(text, part, |character| {
        let is_space = character.is_whitespace() && (character, part) != (' ', HostSpecPart::User);
        must_escape(character) || is_space
    })
}

/// Rejects a text with a character for which `is_forbidden` returns `true`.
fn check_characters(
    text: &str,
    part: HostSpecPart,
    is_forbidden: impl Fn(char) -> bool,
) -> Result<(), HostSpecProblem> {
    let found = text.chars().find(|&character| is_forbidden(character));
    found.map_or(Ok(()), |character| Err(HostSpecProblem::Character { part, character }))
}

/// Checks a user as OpenSSH does (`valid_ruser`).
///
/// # Errors
/// Some of those for parsing; see [`HostSpec`].
pub(crate) fn check_user(user: &str) -> Result<(), HostSpecProblem> {
    let part = HostSpecPart::User;
    check_part(user, part)?;
    let found = unsafe_in_command(user);
    found.map_or(Ok(()), |character| Err(HostSpecProblem::Character { part, character }))
}

/// The character by which a user would be shell syntax or an option, were it part of a command.
pub(crate) fn unsafe_in_command(user: &str) -> Option<char> {
    let syntax = user.chars().find(|&character| "'`\";&<>|(){}".contains(character));
    // Another program would take a `-` after a blank for an option.
    let option = || user.contains(" -").then_some('-');
    // A backslash separates a Windows domain from its user. A backslash at the end would escape the
    // next character in a shell.
    syntax.or_else(option).or_else(|| user.ends_with('\\').then_some('\\'))
}

/// Checks the name of an account for `sudo`. Unlike a name to log in with ([`check_user`]), it has
/// neither blanks nor `:`.
pub(crate) fn check_account(user: &str) -> Result<(), HostSpecProblem> {
    check_user(user)?;
    check_characters(user, HostSpecPart::User, |character| matches!(character, ' ' | ':'))
}

/// Checks a host that is not part of a [`HostSpec`] by the same rules. It has no brackets.
///
/// # Errors
/// The same as for parsing; see [`HostSpec`].
pub(crate) fn check_host(host: &str) -> Result<(), HostSpecProblem> {
    let part = HostSpecPart::Host;
    check_part(host, part)?;
    let is_ipv6 = host.contains(':');
    let (address, zone) = host.split_once('%').map_or((host, None), |(address, zone)| (address, Some(zone)));
    if is_ipv6 && (address.parse::<Ipv6Addr>().is_err() || zone == Some("")) {
        return Err(HostSpecProblem::Ipv6);
    }
    let name = if is_ipv6 { zone.unwrap_or_default() } else { host };
    check_characters(name, part, |character| {
        character.is_ascii() && !character.is_ascii_alphanumeric() && !matches!(character, '.' | '-' | '_')
    })
}

#[cfg(test)]
mod tests;
