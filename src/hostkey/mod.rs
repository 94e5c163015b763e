//! Host key verification: `known_hosts` files, policies, and the proof that a host was verified.
//!
//! In the handshake, a server proves that it owns the private half of its host key. This module
//! decides whether that key belongs to the host, before any credential is sent. A [`HostKeyError`]
//! says what is wrong with the key and which line forbids it.
//!
//! The files are read by [`KnownHosts::load`] and, if they have changed, again before a key is
//! refused. They lead to the same verdicts as in OpenSSH, with
//! two exceptions that are stricter: a `@revoked` line for a host is valid for all ports of the
//! host, and a marker also counts if a tab follows it. Host certificates are not supported, so
//! `@cert-authority` lines make no key known.
//!
//! Keys in a file of revoked keys (OpenSSH: `RevokedHostKeys`) are refused whatever the other files
//! and the policy say.
//!
//! A search through large files is split into slices, so that a fleet can serve other hosts between
//! two slices.
//!
//! This module reads and writes only the configured files, and never reads the clock.

mod add;
mod blob;
mod error;
mod files;
mod key;
mod known_hosts;
mod krl;
mod line;
mod load;
mod loaded;
mod names;
mod open;
mod pattern;
mod policy;
mod printable;
mod proof;
mod recorder;
mod revoked;
mod scan;
mod scanned;
mod stamp;
mod verdict;
mod verification;
mod verifier;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use add::add;
pub use add::{AddError, AddOptions, AddedKeys, LeftOut, WhyLeftOut};
pub(crate) use blob::{BlobReader, bits, minimal, push_string, sign_byte};
pub use error::{HostKeyError, HostKeyProblem};
pub(crate) use files::{Contents, FileNames, HostKeyFiles};
pub use key::{Fingerprint, FingerprintError, HostKey, KeyError, KeyType};
pub use known_hosts::KnownHosts;
#[cfg(test)]
pub(crate) use known_hosts::PROBLEMS_MAX;
pub use line::LineFault;
#[cfg(test)]
pub(crate) use load::FILE_BYTES_MAX;
pub use load::LoadError;
pub(crate) use load::default_files;
pub(crate) use pattern::glob_matches;
pub use policy::{HostKeyDecision, HostKeyPins, HostKeyPolicy, HostKeyQuestion};
// Public because benches/known_hosts.rs measures it.
#[cfg(test)]
pub(crate) use proof::Acceptance;
pub(crate) use proof::HostVerified;
#[cfg(any(test, fuzzing))]
pub(crate) use revoked::RevokedKeys;
#[doc(hidden)]
pub use scan::HostScan;
pub use scanned::ScannedKey;
pub(crate) use scanned::ScannedKeys;
pub use verdict::{LineProblem, Location, Verdict};
pub(crate) use verification::{Decision, DiskAnswer, DiskRequest, Verification};
pub(crate) use verifier::Verifier;
