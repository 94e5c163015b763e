//! The names under which `known_hosts` files know a host.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::ops::Range;

/// The port whose entries carry no port number.
const DEFAULT_PORT: u16 = 22;

/// A host and port in the form of `known_hosts` lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct HostNames {
    /// `[host]:port`, or `[host]` where the port does not show.
    text: String,
    /// Where the host is.
    bare: Range<usize>,
}

impl HostNames {
    /// Names are compared in lower case and addresses in their shortest form, as `ssh` does before it looks.
    pub(super) fn new(host: &str, port: u16) -> Self {
        let mut text = String::with_capacity(host.len() + "[]:65535".len());
        // A string takes all that is written to it.
        let bare = write_names(&mut text, host, port).unwrap_or_default();
        Self { text, bare }
    }

    /// `host`, or `[host]:port` for any port but 22: the name whose lines decide.
    pub(super) fn exact(&self) -> &str {
        if self.shows_port() { &self.text } else { self.bare() }
    }

    /// The name without its port, where that differs from [`exact`](Self::exact).
    pub(super) fn fallback(&self) -> Option<&str> {
        self.shows_port().then(|| self.bare())
    }

    /// `host`, whatever the port.
    pub(super) fn bare(&self) -> &str {
        &self.text[self.bare.clone()]
    }

    fn shows_port(&self) -> bool {
        self.bare.end + 1 < self.text.len()
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
        !self.bare().is_empty() && self.bare().bytes().all(plain)
    }
}

/// Where in the text the bare host is.
fn write_names(text: &mut String, host: &str, port: u16) -> Result<Range<usize>, fmt::Error> {
    let (address, zone) = host.split_once('%').map_or((host, None), |(address, zone)| (address, Some(zone)));
    text.push('[');
    match (address.parse::<IpAddr>(), zone) {
        (Ok(address), None) => write!(text, "{address}")?,
        (Ok(address), Some(zone)) => write!(text, "{address}%{zone}")?,
        (Err(_), _) => text.extend(host.chars().map(|c| c.to_ascii_lowercase())),
    }
    let bare = 1..text.len();
    text.push(']');
    if port != 0 && port != DEFAULT_PORT {
        write!(text, ":{port}")?;
    }
    Ok(bare)
}
