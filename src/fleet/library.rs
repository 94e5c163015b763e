//! The libssh that is linked.

use super::Fleet;
use crate::link;

/// Which libssh is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SshLibrary {
    /// As libssh says, for instance `0.10.6/openssl/zlib`. The bundled 0.11.4 calls itself 0.8.90.
    pub version: String,
    /// Whether it is the one that libssh-rs-sys bundles (feature `vendored`, or no system library at build time).
    pub bundled: bool,
    /// Whether it was built with GSSAPI: the system's usually is, the bundled one never.
    pub gssapi: bool,
}

impl Fleet {
    /// The libssh that this program uses.
    pub fn library() -> SshLibrary {
        SshLibrary { bundled: cfg!(bundled_libssh), gssapi: link::has_gssapi(), version: link::version() }
    }
}
