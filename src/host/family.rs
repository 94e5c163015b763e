//! Address families that a host may be reached by.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Which addresses of a host are used, and in which order (OpenSSH: `AddressFamily`; parallel-ssh:
/// `ipv6_only`).
///
/// A literal address has the family of its notation: `::ffff:192.0.2.1` is an IPv6 address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressFamily {
    /// All, in the resolver's order: addresses with a route first, IPv6 before IPv4.
    #[default]
    Any,
    /// All, IPv4 first.
    PreferV4,
    /// All, IPv6 first.
    PreferV6,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl AddressFamily {
    /// The addresses that may be used, in the order in which they are tried.
    pub(crate) fn select(self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        match self {
            Self::Any => {}
            Self::PreferV4 => addresses.sort_by_key(SocketAddr::is_ipv6),
            Self::PreferV6 => addresses.sort_by_key(SocketAddr::is_ipv4),
            Self::V4 => addresses.retain(SocketAddr::is_ipv4),
            Self::V6 => addresses.retain(SocketAddr::is_ipv6),
        }
        addresses
    }

    pub(crate) fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Any | Self::PreferV4 | Self::PreferV6 => true,
        }
    }

    /// Whether addresses of the other family are excluded.
    pub(crate) fn is_exclusive(self) -> bool {
        matches!(self, Self::V4 | Self::V6)
    }
}

impl fmt::Display for AddressFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::PreferV4 => "IPv4 before IPv6",
            Self::PreferV6 => "IPv6 before IPv4",
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 22)).collect()
    }

    #[test]
    fn each_family_selects_and_orders() {
        let resolved = ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"];
        for (family, selected) in [
            (AddressFamily::Any, resolved.as_slice()),
            (AddressFamily::PreferV4, &["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]),
            (AddressFamily::PreferV6, &["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"]),
            (AddressFamily::V4, &["192.0.2.1", "192.0.2.2"]),
            (AddressFamily::V6, &["2001:db8::1", "2001:db8::2"]),
        ] {
            assert_eq!(family.select(addresses(&resolved)), addresses(selected), "{family}");
            let admitted = resolved.iter().filter(|address| family.admits(address.parse().unwrap()));
            assert_eq!(admitted.count(), selected.len(), "{family}");
        }
    }

    #[test]
    fn a_preference_accepts_the_other_family() {
        for family in [AddressFamily::PreferV4, AddressFamily::PreferV6] {
            for only in ["192.0.2.1", "2001:db8::1"] {
                assert_eq!(family.select(addresses(&[only])), addresses(&[only]));
            }
        }
    }

    #[test]
    fn a_mapped_address_has_the_family_of_its_notation() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert!(AddressFamily::V6.admits(mapped) && !AddressFamily::V4.admits(mapped));
    }
}
