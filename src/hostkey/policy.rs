//! Policies for host keys that the files do not decide.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::key::{Fingerprint, HostKey};
use super::names::HostNames;
use super::verdict::Verdict;

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
    Pinned(HostKeyPins),
    Ask(Arc<Asked>),
    DangerAcceptAny,
}

type Asked = dyn Fn(&HostKeyQuestion<'_>) -> HostKeyDecision + Send + Sync;

impl HostKeyPolicy {
    /// Accepts only keys on record for the host (`StrictHostKeyChecking yes`).
    #[must_use]
    pub fn strict() -> Self {
        Self(Kind::Strict)
    }

    /// Accepts keys on record, and the first key of a host that has none, which is appended to
    /// `file` (`StrictHostKeyChecking accept-new`).
    ///
    /// A changed or revoked key, or one of another type than those on record, is refused. `file`
    /// should be one of the loaded files, or the next process does not find the key. It is created
    /// with mode 0600, in a directory with mode 0700.
    ///
    /// A host is trusted only once its key is on the disk. A fleet writes on a separate thread,
    /// started for the first new host, and writes all waiting keys at once. Only their hosts wait,
    /// up to the time limit of their handshake. The file is locked (`flock(2)`) and synced; lines
    /// that other processes append are taken into account. If the lock is not available within
    /// 10 s, or the file cannot be written, the host fails with
    /// [`HostKeyProblem::CannotRecord`](super::HostKeyProblem::CannotRecord).
    ///
    /// Symbolic links in the path of the file are followed if they and the file they lead to belong
    /// to the user or to root: a `known_hosts` that links into a dotfiles directory works, and a
    /// link that another user planted in a shared directory is an error. Only regular files are
    /// written to, and devices such as `/dev/null`.
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

    /// Accepts only keys with a pinned fingerprint. Only the `@revoked` lines of the files count.
    #[must_use]
    pub fn pinned(pins: HostKeyPins) -> Self {
        Self(Kind::Pinned(pins))
    }

    /// Accepts keys on record; for any other key that is not revoked, calls `ask`.
    ///
    /// If keys of other types are on record for a host, those are requested first, if necessary on
    /// another connection: `ask` is called only if the host sends none of them.
    ///
    /// `ask` runs on the thread that drives all hosts: it must return without waiting for anything.
    /// If it panics, its host fails with
    /// [`HostKeyProblem::Panicked`](super::HostKeyProblem::Panicked); other hosts continue.
    #[must_use]
    pub fn ask<F>(ask: F) -> Self
    where
        F: Fn(&HostKeyQuestion<'_>) -> HostKeyDecision + Send + Sync + 'static,
    {
        Self(Kind::Ask(Arc::new(ask)))
    }

    /// Accepts any key of any host, even a revoked one. An attacker on the network can then read
    /// and change everything, including passwords.
    #[must_use]
    pub fn danger_accept_any_host_key() -> Self {
        Self(Kind::DangerAcceptAny)
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
            Kind::DangerAcceptAny => f.write_str("DangerAcceptAnyHostKey"),
        }
    }
}

/// Accepted fingerprints, for all hosts or for one.
#[derive(Clone, Debug, Default)]
pub struct HostKeyPins {
    any_host: HashSet<Fingerprint>,
    by_name: HashMap<String, HashSet<Fingerprint>>,
}

impl HostKeyPins {
    /// No pins: every host is refused.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts a key from all hosts.
    #[must_use]
    pub fn for_any_host(mut self, fingerprint: Fingerprint) -> Self {
        self.any_host.insert(fingerprint);
        self
    }

    /// Accepts a key from `host`, on all its ports.
    #[must_use]
    pub fn for_host(self, host: &str, fingerprint: Fingerprint) -> Self {
        self.for_port(host, 0, fingerprint)
    }

    /// Accepts a key from `host` on `port`. For port 22 this is the same as
    /// [`for_host`](Self::for_host).
    #[must_use]
    pub fn for_port(mut self, host: &str, port: u16, fingerprint: Fingerprint) -> Self {
        let name = HostNames::new(host, port).exact().to_owned();
        self.by_name.entry(name).or_default().insert(fingerprint);
        self
    }

    pub(super) fn accept(&self, names: &HostNames, fingerprint: &Fingerprint) -> bool {
        let by_name = |name| self.by_name.get(name).is_some_and(|pins| pins.contains(fingerprint));
        self.any_host.contains(fingerprint) || names.all().any(by_name)
    }
}

/// A host key that is not on record.
#[derive(Debug)]
pub struct HostKeyQuestion<'a> {
    /// The host as the caller named it.
    pub host: &'a str,
    /// The host's port.
    pub port: u16,
    /// The key that the host sent.
    pub key: &'a HostKey,
    /// The verdict of the files: unknown, changed or other type.
    pub verdict: &'a Verdict,
}

/// The answer to a [`HostKeyQuestion`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostKeyDecision {
    /// The key belongs to the host.
    Accept,
    /// The key does not belong to the host, or it is not certain.
    Refuse,
}
