//! Hosts that are literal addresses, as `getaddrinfo` accepts them without a lookup.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use nix::net::if_::if_nametoindex;

use super::LookupError;

/// Parses a literal address: IPv4 in any form of `inet_aton` (`127.1`, `0x7f000001`), or IPv6 with
/// or without a zone (RFC 4007 section 11). `None` if the host is a name.
pub(super) fn parse(host: &str, port: u16) -> Option<Result<SocketAddr, LookupError>> {
    if let Some(address) = inet_aton(host) {
        return Some(Ok((address, port).into()));
    }
    let (address, zone) = host.split_once('%').map_or((host, None), |(address, zone)| (address, Some(zone)));
    let address: Ipv6Addr = address.parse().ok()?;
    let Some(zone) = zone else { return Some(Ok((address, port).into())) };
    let index = zone.parse().ok().or_else(|| if_nametoindex(zone).ok());
    Some(match index {
        Some(index) => Ok(SocketAddrV6::new(address, port, 0, index).into()),
        None => Err(LookupError::BadName("no network interface matches the address's zone")),
    })
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
