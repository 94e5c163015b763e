//! Hosts that are literal addresses.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use nix::net::if_::if_nametoindex;

use super::LookupError;
use crate::address::literal;

/// The address of a host that is a [literal address](literal). `None` if the host is a name.
pub(super) fn parse(host: &str, port: u16) -> Option<Result<SocketAddr, LookupError>> {
    let (address, zone) = literal(host)?;
    let (IpAddr::V6(address), Some(zone)) = (address, zone) else {
        return Some(Ok((address, port).into()));
    };
    let index = zone.parse().ok().or_else(|| if_nametoindex(zone).ok());
    Some(match index {
        Some(index) => Ok(SocketAddrV6::new(address, port, 0, index).into()),
        None => Err(LookupError::BadName("no network interface matches the address's zone")),
    })
}
