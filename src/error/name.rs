//! Why a name has no address.

use std::net::IpAddr;
use std::time::Duration;

use crate::host::AddressFamily;
use crate::limits;
use crate::text::sanitise_bounded;

/// Why there is no address to connect to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownHostProblem {
    /// The name does not exist (NXDOMAIN).
    #[error("unknown host: no such name")]
    NoSuchName,
    /// The name exists but has no address, or none of the wanted family.
    #[error("unknown host: the name has no address")]
    NoAddress,
    /// The host is not a valid name, for this reason.
    #[error("unknown host: {0}")]
    BadName(&'static str),
    /// The system's resolver ([`Resolver::System`](crate::config::Resolver::System)) reports this
    /// error about the name.
    #[error("unknown host: {}", sanitise_bounded(.0, limits::PEER_TEXT))]
    System(String),
    /// The name has addresses, but only of a family that the settings exclude
    /// ([`address_family`](crate::config::ClientBuilder::address_family)).
    #[error("no {wanted} address{}", addresses(found))]
    OtherFamily {
        /// The family that the settings allow.
        wanted: AddressFamily,
        /// The addresses of the other family, if known. sshoal's own resolver asks the name
        /// servers for the wanted family only.
        found: Vec<IpAddr>,
    },
}

/// Why a name could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolverProblem {
    /// The name servers answered with this code (RFC 1035 section 4.1.1: 2 is SERVFAIL, 5 REFUSED).
    #[error("the name server failed (RCODE {0})")]
    ServerFailure(u16),
    /// The answers were invalid.
    #[error("the name server sent an invalid answer")]
    BadAnswer,
    /// No name server answered within this time.
    #[error("no name server answered within {0:?}")]
    Timeout(Duration),
    /// No name server can be reached. The text has the address of the last one and its error.
    #[error("{0}")]
    Unreachable(String),
    /// The system's resolver ([`Resolver::System`](crate::config::Resolver::System)) failed with
    /// this error.
    #[error("{}", sanitise_bounded(.0, limits::PEER_TEXT))]
    System(String),
}

fn addresses(found: &[IpAddr]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    format!(": found only {}", found.join(", "))
}
