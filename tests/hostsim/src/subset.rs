//! Which hosts a rule applies to, and the numbering of hosts.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Hosts per second octet: 254 usable last octets times 256 third octets.
const PER_BLOCK: usize = 254 * 256;

/// The network that numbering starts in.
const FIRST_NETWORK: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 0);

/// How many distinct hosts [`host_address`] can name.
pub const HOSTS_MAX: usize = 100 * PER_BLOCK;

/// The address of host number `index`: 127.1.0.1, 127.1.0.2 and so on; no last octet is 0 or 255.
///
/// # Panics
/// When `index` is not below [`HOSTS_MAX`].
#[must_use]
pub fn host_address(index: usize) -> Ipv4Addr {
    assert!(index < HOSTS_MAX, "host {index} of at most {HOSTS_MAX}");
    let (network, last) = (index / 254, index % 254 + 1);
    let number = u32::try_from(network * 256 + last).unwrap_or(u32::MAX);
    Ipv4Addr::from_bits(FIRST_NETWORK.to_bits() + number)
}

/// The inverse of [`host_address`]; `None` if the address is not that of a numbered host.
#[must_use]
pub fn host_index(address: IpAddr) -> Option<usize> {
    let IpAddr::V4(v4) = address.to_canonical() else {
        return None;
    };
    let [127, block @ 1..=100, third, last @ 1..=254] = v4.octets() else {
        return None;
    };
    Some((usize::from(block) - 1) * PER_BLOCK + usize::from(third) * 254 + usize::from(last) - 1)
}

/// A set of simulated hosts. Each variant documents its text form on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subset {
    /// `*`: every host.
    All,
    /// `127.1.1.7` or `::1`: one address.
    One(IpAddr),
    /// `127.1.1.1-127.1.1.9`: an inclusive range of addresses.
    Range(Ipv4Addr, Ipv4Addr),
    /// `127.1.2.0/24`: a network in CIDR notation.
    Net(Ipv4Addr, u8),
    /// `i%100==7`: the numbered hosts whose [`host_index`] leaves this remainder (modulus,
    /// remainder).
    Modulo(usize, usize),
    /// `i:10..20`: the numbered hosts from the first index up to, not including, the second.
    Indices(usize, usize),
}

impl Subset {
    /// Host number `index` alone.
    #[must_use]
    pub fn host(index: usize) -> Self {
        Self::One(IpAddr::V4(host_address(index)))
    }

    /// Whether `address` belongs to the set.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let index = || host_index(address);
        match (self, address) {
            (Self::All, _) => true,
            (Self::One(one), _) => *one == address,
            (Self::Range(first, last), IpAddr::V4(v4)) => (*first..=*last).contains(&v4),
            (Self::Net(net, length), IpAddr::V4(v4)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*length)).unwrap_or(0);
                v4.to_bits() & mask == net.to_bits() & mask
            }
            (Self::Range(..) | Self::Net(..), IpAddr::V6(_)) => false,
            (Self::Modulo(modulus, remainder), _) => index().is_some_and(|i| i % modulus == *remainder),
            (Self::Indices(from, to), _) => index().is_some_and(|i| (*from..*to).contains(&i)),
        }
    }
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::One(address) => write!(f, "{address}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Net(net, length) => write!(f, "{net}/{length}"),
            Self::Modulo(modulus, remainder) => write!(f, "i%{modulus}=={remainder}"),
            Self::Indices(from, to) => write!(f, "i:{from}..{to}"),
        }
    }
}

impl FromStr for Subset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| format!("not a set of hosts: {text:?}"))
    }
}

fn parse(text: &str) -> Option<Subset> {
    if text == "*" {
        return Some(Subset::All);
    }
    if let Some(rest) = text.strip_prefix("i%") {
        let (modulus, remainder) = rest.split_once("==")?;
        let (modulus, remainder) = (modulus.parse().ok()?, remainder.parse().ok()?);
        return (remainder < modulus).then_some(Subset::Modulo(modulus, remainder));
    }
    if let Some(rest) = text.strip_prefix("i:") {
        let (from, to) = rest.split_once("..")?;
        return Some(Subset::Indices(from.parse().ok()?, to.parse().ok()?));
    }
    if let Some((net, length)) = text.split_once('/') {
        let length = length.parse().ok().filter(|length| *length <= 32)?;
        return Some(Subset::Net(net.parse().ok()?, length));
    }
    if let Some((first, last)) = text.split_once('-') {
        return Some(Subset::Range(first.parse().ok()?, last.parse().ok()?));
    }
    text.parse().ok().map(Subset::One)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Subset {
        let set: Subset = text.parse().unwrap();
        assert_eq!(set.to_string(), text);
        set
    }

    #[test]
    fn numbering_is_a_bijection_without_last_octets_0_and_255() {
        assert_eq!(host_address(0), Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(host_address(253), Ipv4Addr::new(127, 1, 0, 254));
        assert_eq!(host_address(254), Ipv4Addr::new(127, 1, 1, 1));
        assert_eq!(host_address(PER_BLOCK), Ipv4Addr::new(127, 2, 0, 1));
        for index in (0..2 * PER_BLOCK).chain([HOSTS_MAX - 1]) {
            let address = host_address(index);
            assert!((1..=254).contains(&address.octets()[3]), "{address}");
            assert_eq!(host_index(address.into()), Some(index));
        }
        for address in ["127.0.0.1", "127.1.1.0", "127.1.1.255", "127.101.1.1", "10.1.1.1", "::1"] {
            assert_eq!(host_index(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn every_kind_of_subset_contains_what_it_says() {
        let inside = |text: &str, address: &str| set(text).contains(address.parse().unwrap());
        assert!(inside("*", "127.0.0.9") && inside("*", "::1"));
        assert!(inside("127.1.1.7", "127.1.1.7") && inside("127.1.1.7", "::ffff:127.1.1.7"));
        assert!(!inside("127.1.1.7", "127.1.1.8") && inside("::1", "::1"));
        assert!(inside("127.1.1.1-127.1.1.9", "127.1.1.9") && !inside("127.1.1.1-127.1.1.9", "127.1.1.10"));
        assert!(inside("127.1.2.0/24", "127.1.2.255") && !inside("127.1.2.0/24", "127.1.3.0"));
        assert!(inside("127.0.0.0/0", "10.9.8.7") && inside("127.1.1.1/32", "127.1.1.1"));
        assert!(inside("i%100==7", &host_address(107).to_string()));
        assert!(!inside("i%100==7", &host_address(108).to_string()) && !inside("i%1==0", "127.0.0.1"));
        assert!(inside("i:10..20", &host_address(19).to_string()));
        assert!(!inside("i:10..20", &host_address(20).to_string()));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", "i%0==0", "i%3==3", "127.0.0.0/33", "1-2", "i:3", "127.1.1.1-"] {
            assert!(text.parse::<Subset>().is_err(), "{text}");
        }
    }
}
