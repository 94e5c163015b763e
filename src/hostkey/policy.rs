//! The policies that decide which host keys are accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::key::{Fingerprint, HostKey};
use super::names::HostNames;
use super::verdict::Verdict;
use crate::address::canonical;

/// Which host keys are accepted. The default is [`strict`](Self::strict).
///
/// ```
/// use sshoal::ParallelClient;
/// use sshoal::hostkey::{Fingerprint, HostKeyPins, HostKeyPolicy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pin: Fingerprint = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".parse()?;
/// let policy = HostKeyPolicy::pinned(HostKeyPins::new().for_host("web1", pin));
/// let builder = ParallelClient::builder(["web1"]).host_keys(policy);
/// # let _ = builder;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct HostKeyPolicy(pub(super) Kind);

#[derive(Clone, Default)]
pub(super) enum Kind {
    #[default]
    Strict,
    AcceptNew {
        file: PathBuf,
        hashed: bool,
    },
    Pinned(Arc<HostKeyPins>),
    Ask(Arc<Asked>),
    DangerAcceptChanged {
        file: PathBuf,
        hashed: bool,
    },
    DangerAcceptAny,
}

type Asked = dyn Fn(&HostKeyQuestion<'_>) -> HostKeyDecision + Send + Sync;

impl HostKeyPolicy {
    /// Accepts only keys on record for the host (`StrictHostKeyChecking yes`).
    #[must_use]
    pub fn strict() -> Self {
        Self(Kind::Strict)
    }

    /// Accepts keys on record. If no key is on record for a host, accepts the first key that the
    /// host sends and appends that key to `file` (`StrictHostKeyChecking accept-new`).
    ///
    /// A changed key, a revoked key, and a key whose type differs from the types on record are
    /// refused. `file` should be one of the loaded files; otherwise the next process does not find
    /// the key. A missing file is created with mode 0600, in a directory with mode 0700.
    ///
    /// A host is trusted only once its key is on the disk. A fleet writes keys on a separate
    /// thread, which it starts for the first new host, and writes all waiting keys at once. Only
    /// the hosts of these keys wait, at most until the time limit of their handshake. The file is
    /// locked (`flock(2)`) and synced, and lines that other processes append are taken into
    /// account. If the lock is not available within 10 s, or if the file cannot be written, the
    /// host fails with [`HostKeyProblem::CannotRecord`](super::HostKeyProblem::CannotRecord).
    ///
    /// Symbolic links in the path of the file are followed if the links and the file that they lead
    /// to belong to the user or to root. A `known_hosts` that links into a dotfiles directory
    /// therefore works, but a link that another user planted in a shared directory is an error.
    /// Besides regular files, only devices such as `/dev/null` are written to.
    #[must_use]
    pub fn accept_new(file: impl Into<PathBuf>) -> Self {
        Self(Kind::AcceptNew { file: file.into(), hashed: false })
    }

    /// Like [`accept_new`](Self::accept_new), but hashes the names in the recorded lines
    /// (`HashKnownHosts yes`).
    #[must_use]
    pub fn accept_new_hashed(file: impl Into<PathBuf>) -> Self {
        Self(Kind::AcceptNew { file: file.into(), hashed: true })
    }

    /// Accepts only keys whose fingerprint is pinned. Of the lines in the files, only the
    /// `@revoked` lines count.
    #[must_use]
    pub fn pinned(pins: HostKeyPins) -> Self {
        Self(Kind::Pinned(Arc::new(pins)))
    }

    /// Accepts keys on record. For any other key that is not revoked, calls `ask`.
    ///
    /// If keys of other types are on record for a host, those keys are requested first, if
    /// necessary on another connection. `ask` is called only if the host sends none of them.
    ///
    /// `ask` runs on the thread that drives all hosts, so it must return without waiting for
    /// anything. If it panics, the host that it was called for fails with
    /// [`HostKeyProblem::Panicked`](super::HostKeyProblem::Panicked), and other hosts continue.
    #[must_use]
    pub fn ask<F>(ask: F) -> Self
    where
        F: Fn(&HostKeyQuestion<'_>) -> HostKeyDecision + Send + Sync + 'static,
    {
        Self(Kind::Ask(Arc::new(ask)))
    }

    /// Accepts any key that is not revoked, even if another one is on record for the host
    /// (`StrictHostKeyChecking no`, or `off`). An attacker on the network can then read and change
    /// everything except what is restricted below.
    ///
    /// A new key is recorded in `file`, as by [`accept_new`](Self::accept_new), but is accepted
    /// also if it cannot be recorded; the log has a warning then. If keys of other types are on
    /// record for a host, those keys are requested first.
    ///
    /// If the host has changed its key, the log has a warning that names the key and the line with
    /// the old one, which stays on record. As in OpenSSH, passwords, keyboard-interactive and agent
    /// forwarding are then off for this connection, because another host could use them. Neither is
    /// a [password for `sudo`](crate::Command::sudo_password) sent. If the login fails for that
    /// reason, its error says so
    /// ([`AuthProblem::HostKeyChanged`](crate::error::AuthProblem::HostKeyChanged)).
    #[must_use]
    pub fn danger_accept_changed(file: impl Into<PathBuf>) -> Self {
        Self(Kind::DangerAcceptChanged { file: file.into(), hashed: false })
    }

    /// Accepts any key of any host, even one that a `@revoked` line forbids. An attacker on the
    /// network can then read and change everything, including passwords. Only the keys in a file
    /// that [`revoked_host_keys`](crate::config::ClientBuilder::revoked_host_keys) names are
    /// refused.
    #[must_use]
    pub fn danger_accept_any_host_key() -> Self {
        Self(Kind::DangerAcceptAny)
    }

    /// This policy, with hashed names in the lines that it records.
    pub(crate) fn hashing(mut self) -> Self {
        if let Kind::AcceptNew { hashed, .. } | Kind::DangerAcceptChanged { hashed, .. } = &mut self.0 {
            *hashed = true;
        }
        self
    }

    /// The file in which new keys are recorded, and whether their names are hashed.
    pub(super) fn record(&self) -> Option<(&Path, bool)> {
        match &self.0 {
            Kind::AcceptNew { file, hashed } | Kind::DangerAcceptChanged { file, hashed } => {
                Some((file, *hashed))
            }
            Kind::Strict | Kind::Pinned(_) | Kind::Ask(_) | Kind::DangerAcceptAny => None,
        }
    }
}

/// Two policies are equal if they have the same effect. Callbacks are equal if they are clones of
/// the same policy.
impl PartialEq for HostKeyPolicy {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Pinned(pins), Kind::Pinned(others)) => pins == others,
            (Kind::Ask(ask), Kind::Ask(other)) => Arc::ptr_eq(ask, other),
            (kind, kind_of_other) => {
                discriminant(kind) == discriminant(kind_of_other) && self.record() == other.record()
            }
        }
    }
}

impl Eq for HostKeyPolicy {}

/// By what usually distinguishes policies. Of many pins, only the first ones count, so that the
/// hash of a policy for all hosts takes no time for each of them.
impl Hash for HostKeyPolicy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (discriminant(&self.0), self.record()).hash(state);
        if let Kind::Pinned(pins) = &self.0 {
            (pins.any_host.len(), pins.any_host.first()).hash(state);
            (pins.by_name.len(), pins.by_name.first_key_value()).hash(state);
        }
    }
}

impl fmt::Debug for HostKeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Strict => f.write_str("Strict"),
            Kind::AcceptNew { file, hashed } => {
                f.debug_struct("AcceptNew").field("file", file).field("hashed", hashed).finish()
            }
            Kind::Pinned(pins) => f.debug_tuple("Pinned").field(pins).finish(),
            Kind::Ask(_) => f.write_str("Ask"),
            Kind::DangerAcceptChanged { file, hashed } => {
                f.debug_struct("DangerAcceptChanged").field("file", file).field("hashed", hashed).finish()
            }
            Kind::DangerAcceptAny => f.write_str("DangerAcceptAnyHostKey"),
        }
    }
}

/// The accepted fingerprints, for all hosts or for single hosts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HostKeyPins {
    any_host: BTreeSet<Fingerprint>,
    by_name: BTreeMap<String, BTreeSet<Fingerprint>>,
}

impl HostKeyPins {
    /// Creates an instance without pins, which refuses every host.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts the key with this fingerprint from all hosts.
    #[must_use]
    pub fn for_any_host(mut self, fingerprint: Fingerprint) -> Self {
        self.any_host.insert(fingerprint);
        self
    }

    /// Accepts the key with this fingerprint from `host`, on all ports of the host.
    #[must_use]
    pub fn for_host(self, host: &str, fingerprint: Fingerprint) -> Self {
        self.for_port(host, 0, fingerprint)
    }

    /// Accepts the key with this fingerprint from `host` on `port`. For port 22 this is the same as
    /// [`for_host`](Self::for_host).
    #[must_use]
    pub fn for_port(mut self, host: &str, port: u16, fingerprint: Fingerprint) -> Self {
        // Hosts have the usual form of their address. A `host_key_alias` may look like another
        // form.
        for host in [host, &canonical(host)] {
            let name = HostNames::new(host, port).exact().to_owned();
            self.by_name.entry(name).or_default().insert(fingerprint);
        }
        self
    }

    pub(super) fn accept(&self, names: &HostNames, fingerprint: &Fingerprint) -> bool {
        let by_name = |name| self.by_name.get(name).is_some_and(|pins| pins.contains(fingerprint));
        self.any_host.contains(fingerprint) || names.all().any(by_name)
    }
}

/// A host key that is not on record, for the callback of [`HostKeyPolicy::ask`].
#[derive(Debug)]
pub struct HostKeyQuestion<'a> {
    /// The host's name in known_hosts files: the host as the caller named it, with an address in
    /// its usual form, or its [`host_key_alias`](crate::HostConfig::host_key_alias).
    pub host: &'a str,
    /// The host's port.
    pub port: u16,
    /// The key that the host sent.
    pub key: &'a HostKey,
    /// The verdict of the files, which is `Unknown`, `Changed` or `OtherType`.
    pub verdict: &'a Verdict,
}

/// The answer to a [`HostKeyQuestion`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostKeyDecision {
    /// The key belongs to the host.
    Accept,
    /// The key does not belong to the host, or may not belong to it.
    Refuse,
}
