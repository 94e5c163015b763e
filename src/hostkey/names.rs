//! The names under which `known_hosts` files know a host.

use std::net::IpAddr;

/// The port whose entries carry no port number.
const DEFAULT_PORT: u16 = 22;

/// A host and port in the form of `known_hosts` lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct HostNames {
    bare: String,
    with_port: Option<String>,
}

impl HostNames {
    /// Names are compared in lower case and addresses in their shortest form, as `ssh` does before it looks.
    pub(super) fn new(host: &str, port: u16) -> Self {
        let bare = match host.split_once('%') {
            Some((address, zone)) => match address.parse::<IpAddr>() {
                Ok(address) => format!("{address}%{zone}"),
                Err(_) => host.to_ascii_lowercase(),
            },
            None => match host.parse::<IpAddr>() {
                Ok(address) => address.to_string(),
                Err(_) => host.to_ascii_lowercase(),
            },
        };
        let with_port = (port != 0 && port != DEFAULT_PORT).then(|| format!("[{bare}]:{port}"));
        Self { bare, with_port }
    }

    /// `host`, or `[host]:port` for any port but 22: the name whose lines decide.
    pub(super) fn exact(&self) -> &str {
        self.with_port.as_deref().unwrap_or(&self.bare)
    }

    /// The name without its port, where that differs from [`exact`](Self::exact).
    pub(super) fn fallback(&self) -> Option<&str> {
        self.with_port.is_some().then_some(self.bare.as_str())
    }

    /// `host`, whatever the port.
    pub(super) fn bare(&self) -> &str {
        &self.bare
    }

    /// Both names, the exact one first.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.exact()).chain(self.fallback())
    }

    /// Whether a line for this host means this host and nothing else.
    ///
    /// OpenSSH refuses to record the special characters of the format; white space, commas and `!` would
    /// change the meaning of the line as well.
    pub(super) fn recordable(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"@?*#[]|'\"\\,!".contains(&byte);
        !self.bare.is_empty() && self.bare.bytes().all(plain)
    }
}
