//! The proof that a host's key was accepted, and why.

use std::fmt;

use super::key::{Fingerprint, KeyType};
use super::verdict::Location;

/// Why a host key was accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Acceptance {
    /// The policy's callback accepted the key.
    Asked,
    /// The policy accepts any key, so nothing was verified.
    DangerAcceptedAny,
    /// Another key is on record for the host, but the policy accepts this one all the same.
    DangerAcceptedChanged,
    /// The key is new and could not be recorded, but the policy accepts it all the same.
    DangerAcceptedUnrecorded,
    /// The key is on record at this line. With the accept-new policy, the line may have been
    /// written by this process.
    Known(Location),
    /// The key's fingerprint is pinned.
    Pinned,
}

/// The proof that a host's key was accepted.
///
/// Only [`Verifier`](super::Verifier) creates values of this type. Code that takes one as an
/// argument, in particular authentication, therefore cannot run before the host key is verified.
#[derive(Debug)]
#[must_use]
pub struct HostVerified {
    pub(super) key_type: KeyType,
    pub(super) fingerprint: Fingerprint,
    pub(super) acceptance: Acceptance,
}

impl HostVerified {
    /// The type of the host's key.
    #[cfg(test)]
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The fingerprint of the host's key.
    #[cfg(test)]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Why the key was accepted.
    #[cfg(test)]
    pub fn acceptance(&self) -> &Acceptance {
        &self.acceptance
    }

    /// Whether the connection is restricted, because the host may be another one than before.
    /// Nothing that such a host could use may be sent or offered to it: no password, no answer to a
    /// prompt, and no ssh-agent.
    pub fn is_restricted(&self) -> bool {
        self.acceptance == Acceptance::DangerAcceptedChanged
    }
}

/// Formats the proof for the log.
impl fmt::Display for HostVerified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host key {} {}, ", self.key_type, self.fingerprint)?;
        match &self.acceptance {
            Acceptance::Asked => f.write_str("accepted by the callback"),
            Acceptance::DangerAcceptedAny => f.write_str("not verified"),
            Acceptance::DangerAcceptedChanged => f.write_str("accepted although another key is on record"),
            Acceptance::DangerAcceptedUnrecorded => f.write_str("accepted although it is not on record"),
            Acceptance::Known(location) => write!(f, "known by {location}"),
            Acceptance::Pinned => f.write_str("pinned"),
        }
    }
}
