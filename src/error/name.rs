//! Why a host's name came to no address.

use std::net::IpAddr;
use std::time::Duration;

use crate::host::AddressFamily;
use crate::limits;
use crate::text::sanitise_bounded;

/// Why there is no address to connect to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownHostProblem {
    /// There is no such name (NXDOMAIN).
    #[error("unknown host: no such name")]
    NoSuchName,
    /// The name exists, and has no address, or none of the kind asked for.
    #[error("unknown host: the name has no address")]
    NoAddress,
    /// What was given can be no host's name.
    #[error("unknown host: {0}")]
    BadName(&'static str),
    /// The system's resolver ([`Resolver::System`](crate::config::Resolver::System)) says so, in
    /// its words.
    #[error("unknown host: {}", sanitise_bounded(.0, limits::PEER_TEXT))]
    System(String),
    /// It has addresses, but the settings allow only those of another family
    /// ([`address_family`](crate::config::ClientBuilder::address_family)).
    #[error("no {wanted} address{}", addresses(found))]
    OtherFamily {
        /// What is allowed.
        wanted: AddressFamily,
        /// What there is, as far as it is known: name servers are asked for what is wanted alone.
        found: Vec<IpAddr>,
    },
}

/// Why it could not be found out whether a name has an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolverProblem {
    /// A name server answered with this code (RFC 1035 section 4.1.1: 2 is SERVFAIL, 5 REFUSED),
    /// and none better.
    #[error("the name server failed (RCODE {0})")]
    ServerFailure(u16),
    /// The answers were of no use.
    #[error("the name server's answer is of no use")]
    BadAnswer,
    /// No name server answered within this time.
    #[error("no name server answered within {0:?}")]
    Timeout(Duration),
    /// No name server can be reached; the last one's address and error.
    #[error("{0}")]
    Unreachable(String),
    /// The system's resolver ([`Resolver::System`](crate::config::Resolver::System)) failed, in its
    /// words.
    #[error("{}", sanitise_bounded(.0, limits::PEER_TEXT))]
    System(String),
}

fn addresses(found: &[IpAddr]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    format!(": there is {}", found.join(", "))
}
