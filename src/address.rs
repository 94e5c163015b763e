//! Hosts that are literal addresses, in every form that `getaddrinfo` accepts without a lookup.
//!
//! `127.1`, `0x7f000001` and `127.0.0.1` are one host: it is dialled, looked up in known_hosts
//! files and pinned under one name, as in OpenSSH (`resolve_canonicalize`).

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The addresses of this machine that connections are made from: at most one of each family. Ports
/// are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct LocalAddresses {
    v4: Option<SocketAddrV4>,
    /// With the scope of a link-local address.
    v6: Option<SocketAddrV6>,
}

impl LocalAddresses {
    /// The first of each family.
    pub(crate) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut local = Self::default();
        for address in addresses {
            match address {
                SocketAddr::V4(v4) => local.v4 = local.v4.or(Some(v4)),
                SocketAddr::V6(v6) => local.v6 = local.v6.or(Some(v6)),
            }
        }
        local
    }

    pub(crate) fn has_v4(&self) -> bool {
        self.v4.is_some()
    }

    pub(crate) fn has_v6(&self) -> bool {
        self.v6.is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The address from which to connect to `peer`.
    pub(crate) fn towards(&self, peer: SocketAddr) -> io::Result<SocketAddr> {
        let own = match peer {
            SocketAddr::V4(_) => self.v4.map(Into::into),
            SocketAddr::V6(_) => self.v6.map(Into::into),
        };
        let text = "there is no local address of this family to connect from";
        own.ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, text))
    }
}

/// Parses a literal address: IPv4 in any form of `inet_aton` (`127.1`, `0x7f000001`), or IPv6 with
/// or without a zone (RFC 4007 section 11), which is the second part of the result. `None` if the
/// host is a name.
pub(crate) fn literal(host: &str) -> Option<(IpAddr, Option<&str>)> {
    if let Some(address) = inet_aton(host) {
        return Some((address.into(), None));
    }
    let (address, zone) = match host.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (host, None),
    };
    Some((address.parse::<Ipv6Addr>().ok()?.into(), zone))
}

/// The usual form of a literal address. Names stay as they are.
pub(crate) fn canonical(host: &str) -> Cow<'_, str> {
    match literal(host) {
        Some((address, None)) => address.to_string().into(),
        Some((address, Some(zone))) => format!("{address}%{zone}").into(),
        None => host.into(),
    }
}

/// Parses one to four numbers, each decimal, octal (`0…`) or hexadecimal (`0x…`). The last number
/// fills the remaining bytes.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let mut numbers = [0; 4];
    let mut count = 0;
    for part in text.split('.') {
        *numbers.get_mut(count)? = number(part)?;
        count += 1;
    }
    let (last, leading) = numbers[..count].split_last()?;
    let mut address = 0u32;
    for (position, &byte) in leading.iter().enumerate() {
        address |= u32::from(u8::try_from(byte).ok()?) << (24 - 8 * position);
    }
    let bits_left = 32 - 8 * leading.len() as u32;
    let fits = u64::from(*last) < 1 << bits_left;
    fits.then_some(Ipv4Addr::from_bits(address | *last))
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    // `from_str_radix` would accept a sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}
