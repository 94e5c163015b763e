//! Hosts that are literal addresses, in every form that `getaddrinfo` accepts without a lookup.
//!
//! `127.1`, `0x7f000001` and `127.0.0.1` are one host: it is dialled, looked up in known_hosts
//! files and pinned under one name, as in OpenSSH (`resolve_canonicalize`).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
