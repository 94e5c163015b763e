//! The limits of a configuration, each with its reason.

use std::time::Duration;

/// Time that a command of `Match exec` has. Such commands test where the user is, by a ping or a
/// name lookup, which give up after about five seconds.
pub(super) const EXEC_TIME: Duration = Duration::from_secs(10);

/// The longest pause between two looks at a command of `Match exec`.
pub(super) const EXEC_POLL: Duration = Duration::from_millis(20);

/// Bytes of all files of a configuration: 50,000 hosts with a handful of lines each.
pub(super) const BYTES: usize = 8 * 1024 * 1024;

/// Bytes of a line. The longest real ones are proxy commands with tokens of cloud providers, of a
/// few KiB.
pub(super) const LINE_BYTES: usize = 64 * 1024;

/// Files of a configuration. Some programs write one per host.
pub(super) const FILES: usize = 50_000;

/// Depth of files that include each other (OpenSSH: `READCONF_MAX_DEPTH`).
pub(super) const DEPTH: usize = 16;

/// `IdentityFile` and `CertificateFile` lines that apply to a host (OpenSSH:
/// `SSH_MAX_IDENTITY_FILES`).
pub(super) const KEYS: usize = 100;
