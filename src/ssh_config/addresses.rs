//! Host names that are addresses (ssh.c, `is_addr` and `resolve_canonicalize`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host::AddressFamily;

/// The name to connect to: lower case, or an address in its usual notation.
pub(super) fn normalised(name: String, family: AddressFamily) -> String {
    let address = parse(&name).filter(|address| family.admits(*address));
    if let Some(address) = address {
        let usual = address.to_string();
        // OpenSSH keeps an address that differs in case only.
        return if usual.eq_ignore_ascii_case(&name) { name } else { usual };
    }
    let is_numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_numeric || name.contains(['%', ':']) { name } else { name.to_ascii_lowercase() }
}

fn parse(name: &str) -> Option<IpAddr> {
    let v6 = name.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    v6.or_else(|| parse_v4(name).map(IpAddr::V4))
}

/// An IPv4 address as inet_aton(3) reads it: up to four parts in decimal, octal or hexadecimal, the
/// last of which fills the remaining bytes.
fn parse_v4(name: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = name.split('.').map(part).collect::<Option<_>>()?;
    let (last, heads) = parts.split_last()?;
    if heads.len() > 3 || heads.iter().any(|head| *head > 255) {
        return None;
    }
    let room = 8 * (4 - u32::try_from(heads.len()).ok()?);
    if u64::from(*last) >= 1 << room {
        return None;
    }
    let head = heads.iter().enumerate().fold(0_u32, |bits, (index, head)| bits | head << (24 - 8 * index));
    Some(Ipv4Addr::from_bits(head | last))
}

fn part(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // `from_str_radix` also takes a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}
