//! The libssh that this program is linked with.

use std::fmt;
use std::sync::Once;

use crate::link::{CryptoProvider, engine};

/// The release of libssh that libssh-rs-sys bundles, as the build script has determined it.
const BUNDLED: &str = env!("BUNDLED_LIBSSH");

/// The vulnerabilities that libssh 0.11.5 fixes. Two more that were published with them,
/// CVE-2026-59842 and CVE-2026-59851, concern GSSAPI key exchange, which 0.11 does not have.
const FIXED_AFTER_BUNDLED: [&str; 9] = [
    "CVE-2026-15370",
    "CVE-2026-59843",
    "CVE-2026-59844",
    "CVE-2026-59845",
    "CVE-2026-59846",
    "CVE-2026-59847",
    "CVE-2026-59848",
    "CVE-2026-59849",
    "CVE-2026-59850",
];

/// Which libssh is in use. `Display` shows one line, for instance
/// `libssh 0.10.6/openssl/zlib (system's), X25519 and Ed25519 by aws-lc`.
///
/// ```
/// let library = sshoal::ParallelClient::library();
/// println!("{library}");
/// if !library.unfixed.is_empty() {
///     eprintln!("libssh lacks the fixes for {}", library.unfixed.join(", "));
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SshLibrary {
    /// The version that libssh reports, for instance `0.10.6/openssl/zlib`. The bundled 0.11.4
    /// reports 0.8.90.
    pub version: String,
    /// Whether the libssh in use is the one that libssh-rs-sys bundles. That is the case with the
    /// feature `vendored`, or if there was no system library at build time.
    pub bundled: bool,
    /// Whether libssh was built with GSSAPI. A system library usually is; the bundled one never is.
    pub gssapi: bool,
    /// Whether sshoal's provider for OpenSSL is in use, or why not.
    pub provider: CryptoProvider,
    /// The CVE numbers of published vulnerabilities that later releases of libssh fix; SECURITY.md
    /// says which of them matter here.
    ///
    /// Always empty for a system library: distributions apply fixes without changing the version,
    /// so sshoal cannot determine which fixes are present. Consult your distribution's security
    /// tracker.
    pub unfixed: &'static [&'static str],
}

impl SshLibrary {
    pub(super) fn linked() -> Self {
        let bundled = cfg!(bundled_libssh);
        let unfixed: &[_] = if bundled { &FIXED_AFTER_BUNDLED } else { &[] };
        let (version, gssapi, provider) = (engine::version(), engine::has_gssapi(), engine::provider());
        Self { version, bundled, gssapi, provider, unfixed }
    }
}

impl fmt::Display for SshLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bundled {
            true => write!(f, "libssh {BUNDLED} (bundled, calls itself {})", self.version)?,
            false => write!(f, "libssh {} (system's)", self.version)?,
        }
        write!(f, ", {}", self.provider)
    }
}

/// Warns once per process that the bundled libssh is in use. Cargo shows the build script's warning
/// only when sshoal itself is built, not when a program that depends on it is built.
pub(super) fn warn_if_bundled() {
    static WARNED: Once = Once::new();
    if cfg!(bundled_libssh) {
        WARNED.call_once(|| {
            log::warn!(
                "the bundled libssh {BUNDLED} is in use, which lacks the fixes for {}; build with your \
                 distribution's libssh instead (Debian: libssh-dev)",
                FIXED_AFTER_BUNDLED.join(", ")
            );
        });
    }
}
