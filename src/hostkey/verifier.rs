//! The decision whether a host is trusted.

use std::sync::{Mutex, PoisonError};

use super::error::{HostKeyError, HostKeyProblem};
use super::key::{Fingerprint, HostKey, KeyType};
use super::known_hosts::KnownHosts;
use super::names::HostNames;
use super::policy::{HostKeyDecision, HostKeyPolicy, HostKeyQuestion, Kind};
use super::recorder::Recorder;
use super::scan::HostScan;
use super::verdict::{Location, Verdict};

/// Why a host key was accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Acceptance {
    /// The callback of the policy said yes.
    Asked,
    /// The policy accepts any key: nothing was verified.
    DangerAcceptedAny,
    /// The key is on record, at this place. With the accept-new policy this process may have recorded it.
    Known(Location),
    /// The key is pinned.
    Pinned,
}

/// The proof that the key of a host was accepted.
///
/// Only [`Verifier`] makes such values, so whatever demands one (authentication, above all) cannot start
/// before the host key has been verified.
#[derive(Debug)]
#[must_use]
pub struct HostVerified {
    key_type: KeyType,
    fingerprint: Fingerprint,
    acceptance: Acceptance,
}

impl HostVerified {
    fn new(key: &HostKey, acceptance: Acceptance) -> Self {
        Self { key_type: key.key_type(), fingerprint: key.fingerprint(), acceptance }
    }

    /// The type of the host's key.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The fingerprint of the host's key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Why the key was accepted.
    #[must_use]
    pub fn acceptance(&self) -> &Acceptance {
        &self.acceptance
    }
}

/// Decides for all hosts of a fleet whether they are trusted: the keys on record and a policy.
#[derive(Debug)]
pub struct Verifier {
    known: KnownHosts,
    policy: HostKeyPolicy,
    recorder: Option<Mutex<Recorder>>,
}

impl Verifier {
    /// Verifies by the keys in `known` and by `policy`.
    #[must_use]
    pub fn new(known: KnownHosts, policy: HostKeyPolicy) -> Self {
        let recorder = match &policy.0 {
            Kind::AcceptNew { file, hashed } => Some(Mutex::new(Recorder::new(file, *hashed, &known))),
            _ => None,
        };
        Self { known, policy, recorder }
    }

    /// The keys that were on record at the start.
    #[must_use]
    pub fn known_hosts(&self) -> &KnownHosts {
        &self.known
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &HostKeyPolicy {
        &self.policy
    }

    /// The host key algorithms to offer first in the handshake with a host, best first; see
    /// [`KnownHosts::recorded_algorithms`]. Keys recorded by the accept-new policy count.
    #[must_use]
    pub fn recorded_algorithms(&self, host: &str, port: u16) -> Vec<&'static str> {
        let mut scan = self.known.scan(host, port);
        while !scan.advance(&self.known, usize::MAX) {}
        self.algorithms_from(&scan)
    }

    /// The host key algorithms to offer first before anything else is known: those that can be told in constant time
    /// ([`KnownHosts::named_algorithms`]). A policy that asks somebody needs all of them, as nobody is asked twice.
    ///
    /// A host whose recorded keys these do not show may then present a key of another type. Where that is refused,
    /// [`algorithms_instead`](Self::algorithms_instead) tells which ones to ask for.
    #[must_use]
    pub fn algorithms_at_hand(&self, host: &str, port: u16) -> Vec<&'static str> {
        match &self.policy.0 {
            Kind::Ask(_) => self.recorded_algorithms(host, port),
            Kind::DangerAcceptAny | Kind::Pinned(_) | Kind::Strict | Kind::AcceptNew { .. } => {
                self.known.named_algorithms(host, port)
            }
        }
    }

    /// The host key algorithms that might show a key on record, after one was refused with this error. None if all that is on
    /// record has spoken. Hashed names are compared only here, where it matters: each costs as much as a look at all others.
    #[must_use]
    pub fn algorithms_instead(&self, refused: &HostKeyError) -> Vec<&'static str> {
        let (host, port) = (refused.host(), refused.port());
        match refused.problem() {
            HostKeyProblem::OtherType { .. } => self.recorded_algorithms(host, port),
            // Nothing is on record but, perhaps, for the host without its port.
            HostKeyProblem::Unknown if HostNames::new(host, port).fallback().is_some() => {
                self.recorded_algorithms(host, port)
            }
            _ => Vec::new(),
        }
    }

    /// As [`recorded_algorithms`](Self::recorded_algorithms), from a finished scan of
    /// [`known_hosts`](Self::known_hosts).
    #[must_use]
    pub fn algorithms_from(&self, scan: &HostScan) -> Vec<&'static str> {
        let algorithms = self.known.algorithms_from(scan);
        match &self.recorder {
            Some(recorder) if algorithms.is_empty() => {
                let recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
                recorder.recorded_algorithms(scan.names())
            }
            _ => algorithms,
        }
    }

    /// Decides whether `key`, shown by `host` on `port`, is accepted.
    ///
    /// # Errors
    /// [`HostKeyError`] when it is not: the connection must end without sending a credential.
    pub fn verify(&self, host: &str, port: u16, key: &HostKey) -> Result<HostVerified, HostKeyError> {
        let names = HostNames::new(host, port);
        self.decide(host, port, &names, key, || self.known.verdict_for(&names, key))
    }

    /// As [`verify`](Self::verify), for the key blob that a server sent.
    ///
    /// # Errors
    /// [`HostKeyError`], also when the blob is not a key.
    pub fn verify_blob(&self, host: &str, port: u16, blob: Vec<u8>) -> Result<HostVerified, HostKeyError> {
        match HostKey::from_blob(blob) {
            Ok(key) => self.verify(host, port, &key),
            Err(error) => Err(HostKeyError::new(host, port, None, HostKeyProblem::Malformed(error))),
        }
    }

    /// As [`verify`](Self::verify), without another search for the lines of the host: `scan` is a finished
    /// scan of [`known_hosts`](Self::known_hosts) for the same host and port.
    ///
    /// # Errors
    /// [`HostKeyError`] when the key is not accepted.
    pub fn verify_scanned(
        &self,
        host: &str,
        port: u16,
        key: &HostKey,
        scan: &HostScan,
    ) -> Result<HostVerified, HostKeyError> {
        let names = HostNames::new(host, port);
        if !scan.is_done() || *scan.names() != names {
            debug_assert!(false, "the scan of another host or an unfinished one");
            return self.verify(host, port, key);
        }
        self.decide(host, port, &names, key, || self.known.verdict_from(scan, key))
    }

    fn decide(
        &self,
        host: &str,
        port: u16,
        names: &HostNames,
        key: &HostKey,
        verdict: impl FnOnce() -> Verdict,
    ) -> Result<HostVerified, HostKeyError> {
        let accept = |acceptance| Ok(HostVerified::new(key, acceptance));
        let refuse = |problem| Err(HostKeyError::new(host, port, Some(key), problem));
        let verdict = match &self.policy.0 {
            Kind::DangerAcceptAny => return accept(Acceptance::DangerAcceptedAny),
            Kind::Pinned(pins) => match self.known.revoked(names, key) {
                Some(revoked) => revoked,
                None if pins.accept(names, &key.fingerprint()) => {
                    return accept(Acceptance::Pinned);
                }
                None => return refuse(HostKeyProblem::NotPinned),
            },
            Kind::Strict | Kind::AcceptNew { .. } | Kind::Ask(_) => verdict(),
        };
        let verdict = match (verdict, &self.recorder) {
            (Verdict::Unknown, Some(recorder)) => self.record(recorder, names, key),
            (verdict, _) => Ok(verdict),
        };
        match (verdict, &self.policy.0) {
            (Err(problem), _) => refuse(problem),
            (Ok(Verdict::Known { location }), _) => accept(Acceptance::Known(location)),
            (Ok(verdict), Kind::Ask(ask)) if !matches!(verdict, Verdict::Revoked { .. }) => {
                match ask(&HostKeyQuestion { host, port, key, verdict: &verdict }) {
                    HostKeyDecision::Accept => accept(Acceptance::Asked),
                    HostKeyDecision::Refuse => refuse(HostKeyProblem::Refused),
                }
            }
            (Ok(verdict), _) => {
                let authority = match verdict {
                    Verdict::Unknown => self.known.authority(names),
                    _ => None,
                };
                Err(HostKeyError::from_verdict(host, port, key, &verdict).with_authority(authority))
            }
        }
    }

    fn record(
        &self,
        recorder: &Mutex<Recorder>,
        names: &HostNames,
        key: &HostKey,
    ) -> Result<Verdict, HostKeyProblem> {
        let mut recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
        recorder.record(names, key).map_err(|source| {
            let path = recorder.path().to_owned();
            HostKeyProblem::CannotRecord { path, source }
        })
    }
}
