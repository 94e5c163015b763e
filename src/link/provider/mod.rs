//! A provider for OpenSSL 3 with faster X25519 and Ed25519 than OpenSSL's own, by aws-lc, and with
//! random numbers that are fetched from the kernel in blocks.
//!
//! libssh leaves its cryptography to OpenSSL, and half of the time of a login went into these two
//! curves. A provider replaces them without changing libssh or OpenSSL.
//!
//! No other user of OpenSSL in the process notices. The provider is loaded into a library context
//! of its own, which is made the default of a thread only while libssh runs there ([`Scope`]).
//! Where the program or OpenSSL's configuration asks for something else, such as FIPS, libssh uses
//! OpenSSL's default context as it is ([`CryptoProvider`]).
//!
//! The `unsafe` code relies on these rules, besides those of each block:
//!
//! - OpenSSL calls the functions of the tables with objects that other functions of the same tables
//!   have made, frees each object once, and does not use it afterwards.
//! - It passes lists of parameters that end with an entry without a key, and buffers of the length
//!   that it names, which nobody changes during the call.
//! - Keys do not change once they have been imported, so threads may share them. A program uses the
//!   context of an operation on one thread at a time.
//! - The tables are static, and the library context is never freed.

#[cfg(not(openssl_provider))]
mod absent;
#[cfg(openssl_provider)]
mod context;
#[cfg(openssl_provider)]
mod ffi;
#[cfg(openssl_provider)]
mod keymgmt;
#[cfg(openssl_provider)]
mod keys;
#[cfg(openssl_provider)]
mod object;
#[cfg(openssl_provider)]
mod operations;
#[cfg(openssl_provider)]
mod random;
#[cfg(openssl_provider)]
mod ready;
#[cfg(all(test, openssl_provider))]
mod tests;

use std::fmt;

#[cfg(not(openssl_provider))]
pub(crate) use absent::{ReadyKey, Scope, status};
#[cfg(openssl_provider)]
pub(crate) use context::{Scope, status};
#[cfg(openssl_provider)]
pub(crate) use ready::ReadyKey;
#[cfg(all(test, openssl_provider))]
pub(crate) use tests::default_context;

/// The environment variable that turns the provider off, if its value is `off`. It is read once per
/// process.
#[cfg(openssl_provider)]
const SWITCH: &str = "SSHOAL_PROVIDER";

/// Whether libssh computes X25519 and Ed25519 with sshoal's provider, or why it does not.
///
/// The provider works inside OpenSSL's libcrypto and is by default in use with OpenSSL 3.0 and
/// later. It makes a login a third cheaper. While libssh runs, it also supplies random numbers. No
/// other user of OpenSSL in the process is affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CryptoProvider {
    /// The provider is in use.
    InUse,
    /// sshoal was built without the feature `aws-lc`, or with an OpenSSL before 3.0.
    NotBuilt,
    /// The environment variable `SSHOAL_PROVIDER` is `off`.
    TurnedOff,
    /// OpenSSL's configuration or the program has turned on FIPS
    /// (`EVP_default_properties_enable_fips`).
    Fips,
    /// OpenSSL is configured to use other providers than its default one, or has a default property
    /// query (config(5)).
    Configured,
    /// OpenSSL did not load the provider.
    Failed,
}

impl fmt::Display for CryptoProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "X25519 and Ed25519 by aws-lc",
            Self::NotBuilt => "X25519 and Ed25519 by libcrypto: built without a provider",
            Self::TurnedOff => "X25519 and Ed25519 by libcrypto: the provider is turned off",
            Self::Fips => "X25519 and Ed25519 by libcrypto: FIPS is turned on",
            Self::Configured => "X25519 and Ed25519 by libcrypto: OpenSSL is configured for other providers",
            Self::Failed => "X25519 and Ed25519 by libcrypto: OpenSSL did not load the provider",
        })
    }
}
