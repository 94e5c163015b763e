//! The names under which `known_hosts` files list a host.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::ops::Range;

/// The port that `known_hosts` lines omit.
const DEFAULT_PORT: u16 = 22;

/// A host and port in the form of `known_hosts` lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct HostNames {
    /// `[host]:port`, or `[host]` for port 22.
    text: String,
    /// The range of the host in `text`.
    bare: Range<usize>,
}

impl HostNames {
    /// Converts names to lower case and addresses to their shortest form, as `ssh` does before it
    /// compares them.
    pub(super) fn new(host: &str, port: u16) -> Self {
        let mut text = String::with_capacity(host.len() + "[]:65535".len());
        // Writing to a string cannot fail.
        let bare = write_names(&mut text, host, port).unwrap_or_default();
        Self { text, bare }
    }

    /// The name under which `known_hosts` files list the host: `host` for port 22, and
    /// `[host]:port` for any other port.
    pub(super) fn exact(&self) -> &str {
        if self.shows_port() { &self.text } else { self.bare() }
    }

    /// The name without its port, if it differs from [`exact`](Self::exact).
    pub(super) fn fallback(&self) -> Option<&str> {
        self.shows_port().then(|| self.bare())
    }

    /// The name without its port.
    pub(super) fn bare(&self) -> &str {
        &self.text[self.bare.clone()]
    }

    fn shows_port(&self) -> bool {
        self.bare.end + 1 < self.text.len()
    }

    /// The exact name, followed by the name without its port if that differs.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.exact()).chain(self.fallback())
    }

    /// Whether a line with this name means exactly this host.
    ///
    /// OpenSSH refuses to record names that contain special characters of the format. White space,
    /// commas and `!` would change the meaning of the line as well.
    pub(super) fn recordable(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"@?*#[]|'\"\\,!".contains(&byte);
        !self.bare().is_empty() && self.bare().bytes().all(plain)
    }
}

/// Writes the text and returns the range of the bare host in it.
fn write_names(text: &mut String, host: &str, port: u16) -> Result<Range<usize>, fmt::Error> {
    let (address, zone) = host.split_at(host.find('%').unwrap_or(host.len()));
    text.push('[');
    match address.parse::<IpAddr>() {
        Ok(address) => write!(text, "{address}{zone}")?,
        Err(_) => text.extend(host.chars().map(|c| c.to_ascii_lowercase())),
    }
    let bare = 1..text.len();
    text.push(']');
    if port != 0 && port != DEFAULT_PORT {
        write!(text, ":{port}")?;
    }
    Ok(bare)
}
