//! The decision whether a host is trusted.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io, mem};

use super::error::{HostKeyError, HostKeyProblem};
use super::key::{Fingerprint, HostKey, KeyType};
use super::known_hosts::KnownHosts;
use super::load::LoadError;
use super::loaded::Loaded;
use super::names::HostNames;
use super::policy::{HostKeyDecision, HostKeyPolicy, HostKeyQuestion, Kind};
use super::recorder::Recorder;
use super::scan::HostScan;
use super::verdict::{Location, Verdict};
use super::verification::{Decision, DiskAnswer, DiskRequest, Recording, Rereading, Verification};
use crate::callback;

/// Why a host key was accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Acceptance {
    /// The policy's callback accepted the key.
    Asked,
    /// The policy accepts any key, so nothing was verified.
    DangerAcceptedAny,
    /// The key is on record at this line. With the accept-new policy, the line may have been
    /// written by this process.
    Known(Location),
    /// The key's fingerprint is pinned.
    Pinned,
}

/// The proof that a host's key was accepted.
///
/// Only [`Verifier`] creates values of this type. Code that takes one as an argument, in particular
/// authentication, therefore cannot run before the host key is verified.
#[derive(Debug)]
#[must_use]
pub struct HostVerified {
    key_type: KeyType,
    fingerprint: Fingerprint,
    acceptance: Acceptance,
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
}

/// Formats the proof for the log.
impl fmt::Display for HostVerified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host key {} {}, ", self.key_type, self.fingerprint)?;
        match &self.acceptance {
            Acceptance::Asked => f.write_str("accepted by the callback"),
            Acceptance::DangerAcceptedAny => f.write_str("not verified"),
            Acceptance::Known(location) => write!(f, "known by {location}"),
            Acceptance::Pinned => f.write_str("pinned"),
        }
    }
}

/// Decides which hosts of a fleet are trusted, based on the keys on record and on a policy.
///
/// Fleets and threads share a verifier. When the files are read again, the keys on record change
/// for all of them; a verification that has begun goes on with the keys that it began with.
#[derive(Debug)]
pub struct Verifier {
    loaded: Mutex<Arc<Loaded>>,
    policy: HostKeyPolicy,
}

impl Verifier {
    /// Creates a verifier from the keys on record and a policy.
    #[must_use]
    pub fn new(known: KnownHosts, policy: HostKeyPolicy) -> Self {
        Self { loaded: Mutex::new(Loaded::new(known, &policy)), policy }
    }

    /// The keys on record.
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again if they have changed since they were read. Returns `None` if they have
    /// not. Blocks on the disk.
    pub(crate) fn read_again(&self) -> Result<Option<Arc<Loaded>>, LoadError> {
        let known = self.loaded().known.load_again()?;
        Ok(known.map(|known| {
            known.log_problems();
            Loaded::new(known, &self.policy)
        }))
    }

    /// Uses these keys from now on.
    pub(crate) fn replace(&self, loaded: Arc<Loaded>) {
        log::debug!("the known_hosts files have changed: {} keys are on record now", loaded.known.len());
        *self.lock() = loaded;
    }

    /// Carries out requests of verifications, with one write for all new keys. Blocks on the disk,
    /// and on other writers of the file.
    pub(crate) fn serve(&self, requests: Vec<DiskRequest>) -> Vec<DiskAnswer> {
        if requests.iter().any(|request| matches!(request, DiskRequest::Reread)) {
            self.reread();
        }
        let loaded = self.loaded();
        let mut new = Vec::new();
        let mut answers: Vec<Option<DiskAnswer>> = Vec::new();
        for request in requests {
            answers.push(match request {
                DiskRequest::Reread => Some(DiskAnswer::Reread),
                DiskRequest::Record(key, searched) => match loaded.find_unless(&searched, &key) {
                    Some(found) => Some(DiskAnswer::Recorded(Ok(found))),
                    None => {
                        new.push(key);
                        None
                    }
                },
            });
        }
        let mut recorded = loaded.record(&new).into_iter().map(DiskAnswer::Recorded);
        answers.into_iter().filter_map(|answer| answer.or_else(|| recorded.next())).collect()
    }

    /// Reads the files again if they have changed, and uses them from now on.
    fn reread(&self) {
        match self.read_again() {
            Ok(loaded) => loaded.into_iter().for_each(|loaded| self.replace(loaded)),
            Err(error) => log::warn!("{error}; the keys that were read before stay on record"),
        }
    }

    /// The algorithms of a host's keys on record, best first. The handshake prefers them. They
    /// include the algorithms of keys recorded by the accept-new policy; see also
    /// [`KnownHosts::recorded_algorithms`].
    ///
    /// Searches all lines, and blocks while the accept-new policy records another key.
    #[cfg(test)]
    pub fn recorded_algorithms(&self, host: &str, port: u16) -> Vec<&'static str> {
        let loaded = self.loaded();
        let algorithms = loaded.known.recorded_algorithms(host, port);
        match &loaded.recorder {
            Some(recorder) if algorithms.is_empty() => recorder.recorded_algorithms(host, port),
            _ => algorithms,
        }
    }

    /// The algorithms of a host's keys on record, as far as they are known without a search
    /// ([`KnownHosts::named_algorithms`]). The handshake prefers them.
    ///
    /// A key that is on record only under a hashed name or a pattern cannot be found without a
    /// search, so its algorithm is missing from the result. The host may then send a key of a type
    /// that is not on record. Before that key is refused, recorded, or passed to a callback, a
    /// search finds all keys on record for the host. If the handshake did not request the
    /// algorithms of these keys, the session reconnects and requests them.
    #[must_use]
    pub fn algorithms_at_hand(&self, host: &str, port: u16) -> Vec<&'static str> {
        let loaded = self.loaded();
        let algorithms = loaded.known.named_algorithms(host, port);
        match &loaded.recorder {
            Some(recorder) if algorithms.is_empty() => {
                recorder.indexed_algorithms(&HostNames::new(host, port))
            }
            _ => algorithms,
        }
    }

    /// Decides whether the `key` that `host` sent on `port` is accepted.
    ///
    /// Searches all lines and, with the accept-new policy, blocks until a new key is on the disk. A
    /// fleet does neither within a turn: it searches in slices, and records the key on another
    /// thread.
    ///
    /// # Errors
    /// Returns [`HostKeyError`] if the key is not accepted. The connection must then be closed
    /// without sending a credential.
    #[cfg(any(test, fuzzing))]
    pub fn verify(&self, host: &str, port: u16, key: &HostKey) -> Result<HostVerified, HostKeyError> {
        let mut verification = self.verification(&Arc::from(host), port, key.clone());
        loop {
            match self.advance(&mut verification, usize::MAX) {
                Decision::Accepted(proof) => return Ok(proof),
                Decision::Refused(error) => return Err(error),
                Decision::Pending | Decision::Instead(_) => {
                    let requests = verification.take_request().into_iter().collect();
                    self.serve(requests).into_iter().for_each(|answer| verification.answer(answer));
                }
            }
        }
    }

    /// Like [`verify`](Self::verify), for the key blob that a server sent.
    ///
    /// # Errors
    /// [`HostKeyError`] if the key is not accepted, or the blob is not a valid key.
    #[cfg(test)]
    pub fn verify_blob(&self, host: &str, port: u16, blob: Vec<u8>) -> Result<HostVerified, HostKeyError> {
        self.verify(host, port, &read_key(host, port, blob)?)
    }

    /// Begins to verify a key that a host sent. `requested` names the host key algorithms that the
    /// handshake preferred. This call compares no lines yet.
    pub(crate) fn begin(
        &self,
        host: &Arc<str>,
        port: u16,
        blob: Vec<u8>,
        requested: &[&'static str],
    ) -> Result<Verification, HostKeyError> {
        let verification = self.verification(host, port, read_key(host, port, blob)?);
        Ok(Verification { requested: Some(requested.to_vec()), ..verification })
    }

    fn verification(&self, host: &Arc<str>, port: u16, key: HostKey) -> Verification {
        let mut scan = HostScan::new(HostNames::new(host, port), key);
        scan.only_revoked = matches!(self.policy.0, Kind::Pinned(_));
        Verification {
            host: host.clone(),
            port,
            scan,
            requested: None,
            loaded: self.loaded(),
            rereading: Rereading::NotAsked,
            recording: Recording::NotNeeded,
        }
    }

    /// Compares at most `lines` lines. Returns [`Decision::Pending`] if more lines must be
    /// compared, or if a [request](Verification::take_request) must be answered first. Never
    /// blocks.
    pub(crate) fn advance(&self, verification: &mut Verification, lines: usize) -> Decision {
        if let Kind::DangerAcceptAny = &self.policy.0 {
            return verification.accept(Acceptance::DangerAcceptedAny);
        }
        if verification.rereading == Rereading::Answered {
            verification.rereading = Rereading::Done;
            // The files may have been read again for another host, or by a reload.
            let loaded = self.loaded();
            if !Arc::ptr_eq(&loaded, &verification.loaded) {
                verification.scan.restart();
                verification.loaded = loaded;
            }
        }
        if !verification.scan.advance(&verification.loaded.known, lines) {
            return Decision::Pending;
        }
        match mem::replace(&mut verification.recording, Recording::NotNeeded) {
            Recording::NotNeeded => self.decide(verification),
            Recording::Done(Ok(found)) => match verification.unrequested(found.algorithms) {
                Some(algorithms) => Decision::Instead(algorithms),
                None => verification.conclude(&found.verdict),
            },
            Recording::Done(Err(error)) => self.cannot_record(verification, error),
            waits @ (Recording::Needed | Recording::Awaited) => {
                verification.recording = waits;
                Decision::Pending
            }
        }
    }

    /// Decides after the search is complete.
    fn decide(&self, verification: &mut Verification) -> Decision {
        let (scan, key) = (&verification.scan, verification.scan.key());
        // The search is complete, so there is a verdict.
        let verdict = scan.verdict().unwrap_or(&Verdict::Unknown);
        if matches!(verdict, Verdict::Known { .. }) {
            return verification.conclude(verdict);
        }
        if self.may_be_outdated(verification, verdict) {
            verification.rereading = Rereading::Needed;
        }
        if matches!(verification.rereading, Rereading::Needed | Rereading::Awaited) {
            return Decision::Pending;
        }
        if matches!(verdict, Verdict::Revoked { .. }) {
            return verification.conclude(verdict);
        }
        if let Kind::Pinned(pins) = &self.policy.0 {
            return match pins.accept(scan.names(), &key.fingerprint()) {
                true => verification.accept(Acceptance::Pinned),
                false => verification.refuse(HostKeyProblem::NotPinned),
            };
        }
        // Request the keys on record before calling the callback or recording a new key.
        if let Some(algorithms) = verification.unrequested(scan.algorithms()) {
            return Decision::Instead(algorithms);
        }
        match (&self.policy.0, &verification.loaded.recorder) {
            (Kind::Ask(ask), _) => {
                let question =
                    HostKeyQuestion { host: &verification.host, port: verification.port, key, verdict };
                match callback::call(|| ask(&question)) {
                    Ok(HostKeyDecision::Accept) => verification.accept(Acceptance::Asked),
                    Ok(HostKeyDecision::Refuse) => verification.refuse(HostKeyProblem::Refused),
                    Err(callback::Panicked) => verification.refuse(HostKeyProblem::Panicked),
                }
            }
            (_, Some(recorder)) if *verdict == Verdict::Unknown => {
                if let Some(location) = recorder.recorded_at(scan.names(), key) {
                    return verification.conclude(&Verdict::Known { location });
                }
                if !scan.names().recordable() {
                    let text = "the name of the host contains characters with a special meaning in known_hosts files";
                    let source = io::Error::new(io::ErrorKind::InvalidInput, text);
                    return self.cannot_record(verification, source);
                }
                verification.recording = Recording::Needed;
                Decision::Pending
            }
            _ => verification.conclude(verdict),
        }
    }

    /// Whether the files must be looked at before this verdict has consequences. Pins do not depend
    /// on the files unless the key is revoked, and before a new key is recorded, its file is looked
    /// at anyway.
    fn may_be_outdated(&self, verification: &Verification, verdict: &Verdict) -> bool {
        let depends = match &self.policy.0 {
            Kind::Pinned(_) => matches!(verdict, Verdict::Revoked { .. }),
            Kind::AcceptNew { .. } => *verdict != Verdict::Unknown,
            Kind::Strict | Kind::Ask(_) | Kind::DangerAcceptAny => true,
        };
        depends && verification.rereading == Rereading::NotAsked && verification.loaded.known.has_files()
    }

    fn cannot_record(&self, verification: &Verification, error: io::Error) -> Decision {
        let path = verification.loaded.recorder.as_ref().map_or(Path::new(""), Recorder::path).to_owned();
        verification.refuse(HostKeyProblem::CannotRecord { path, error })
    }
}

impl Verification {
    /// The decision that follows from a verdict alone.
    fn conclude(&self, verdict: &Verdict) -> Decision {
        if let Verdict::Known { location } = verdict {
            return self.accept(Acceptance::Known(location.clone()));
        }
        let file = self.loaded.known.addable.as_ref();
        Decision::Refused(HostKeyError::from_verdict(&self.host, self.port, &self.scan, verdict, file))
    }

    fn accept(&self, acceptance: Acceptance) -> Decision {
        let key = self.scan.key();
        let (key_type, fingerprint) = (key.key_type(), key.fingerprint());
        Decision::Accepted(HostVerified { key_type, fingerprint, acceptance })
    }

    fn refuse(&self, problem: HostKeyProblem) -> Decision {
        Decision::Refused(HostKeyError::new(&self.host, self.port, Some(self.scan.key()), problem))
    }
}

fn read_key(host: &str, port: u16, blob: Vec<u8>) -> Result<HostKey, HostKeyError> {
    HostKey::from_blob(blob)
        .map_err(|error| HostKeyError::new(host, port, None, HostKeyProblem::Malformed(error)))
}
