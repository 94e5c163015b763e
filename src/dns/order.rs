//! The order of a host's addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Puts addresses without a route last, and IPv6 before IPv4; within a family the order is the server's.
///
/// That is what is left of RFC 6724 for a host with few addresses: rules 1 and 6. A server that rotates its answers spreads
/// the load, which rule 9 would undo.
pub(super) fn sort(addresses: &mut [IpAddr], mut has_route: impl FnMut(IpAddr) -> bool) {
    let mixed = addresses.iter().any(IpAddr::is_ipv4) && addresses.iter().any(IpAddr::is_ipv6);
    if mixed {
        addresses.sort_by_cached_key(|&address| (!has_route(address), address.is_ipv4()));
    }
}

/// Which kinds of address this machine has a route to, found out once per batch of lookups.
#[derive(Debug, Default)]
pub(super) struct Routes {
    v4: Option<bool>,
    v6: Option<bool>,
}

impl Routes {
    pub(super) fn has(&mut self, address: IpAddr) -> bool {
        if address.is_loopback() {
            return has_route(address);
        }
        let known = if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        *known.get_or_insert_with(|| has_route(address))
    }
}

/// As `getaddrinfo` does it: connecting a datagram socket sends nothing.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // The port is of no importance, but 0 is refused by some systems.
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 22))).is_ok()
}
