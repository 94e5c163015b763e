//! The order of a host's addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Sorts addresses without a route last, and IPv6 before IPv4. Keeps the server's order within a
/// family.
///
/// These are rules 1 and 6 of RFC 6724, the ones that matter for a host with few addresses. Rule 9
/// is left out, because it would undo the load balancing of a server that rotates its responses.
pub(super) fn sort(addresses: &mut [IpAddr], mut has_route: impl FnMut(IpAddr) -> bool) {
    let mixed = addresses.iter().any(IpAddr::is_ipv4) && addresses.iter().any(IpAddr::is_ipv6);
    if mixed {
        addresses.sort_by_cached_key(|&address| (!has_route(address), address.is_ipv4()));
    }
}

/// Which address families this machine has a route for, determined once per batch of lookups.
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

/// Tests for a route as `getaddrinfo` does, by connecting a UDP socket, which sends nothing.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Any port would do, but some systems refuse 0.
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 22))).is_ok()
}
