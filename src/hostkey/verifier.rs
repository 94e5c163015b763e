//! The decision whether a host is trusted.

use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, mem};

use super::error::{HostKeyError, HostKeyProblem};
use super::files::HostKeyFiles;
use super::key::HostKey;
use super::loaded::Loaded;
use super::names::HostNames;
use super::policy::{HostKeyDecision, HostKeyPolicy, HostKeyQuestion, Kind};
use super::proof::{Acceptance, HostVerified};
use super::recorder::Recorder;
use super::scan::HostScan;
use super::verdict::Verdict;
use super::verification::{Decision, DiskAnswer, DiskRequest, Recording, Rereading, Verification};
use crate::callback;

/// Decides which hosts are trusted, based on the keys on record and on a policy.
///
/// Hosts, fleets and threads with the same files and policy share a verifier. When the files are
/// read again, the keys on record change for all of them; a verification that has begun goes on
/// with the keys that it began with.
#[derive(Debug)]
pub struct Verifier {
    files: Arc<HostKeyFiles>,
    policy: HostKeyPolicy,
    loaded: Mutex<Arc<Loaded>>,
}

/// Equal verifiers have the same files and the same policy.
impl PartialEq for Verifier {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.files, &other.files) && self.policy == other.policy
    }
}

impl Eq for Verifier {}

impl Hash for Verifier {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (Arc::as_ptr(&self.files), &self.policy).hash(state);
    }
}

impl Verifier {
    /// Creates a verifier from files and a policy.
    #[must_use]
    pub fn new(files: impl Into<Arc<HostKeyFiles>>, policy: HostKeyPolicy) -> Self {
        let files = files.into();
        Self { loaded: Mutex::new(Loaded::new(files.contents(), &policy)), files, policy }
    }

    pub(crate) fn files(&self) -> &Arc<HostKeyFiles> {
        &self.files
    }

    /// The keys on record, as the files were read last.
    pub(super) fn loaded(&self) -> Arc<Loaded> {
        let contents = self.files.contents();
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&loaded.contents, &contents) {
            *loaded = Loaded::new(contents, &self.policy);
        }
        loaded.clone()
    }

    /// Carries out requests of verifications, with one write for all new keys. Blocks on the disk,
    /// and on other writers of the file.
    pub(crate) fn serve(&self, requests: Vec<DiskRequest>) -> Vec<DiskAnswer> {
        if requests.iter().any(|request| matches!(request, DiskRequest::Reread)) {
            self.files.refresh();
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

    /// The algorithms of a host's keys on record, best first. The handshake prefers them. They
    /// include the algorithms of keys recorded by the accept-new policy; see also
    /// [`KnownHosts::recorded_algorithms`].
    ///
    /// Searches all lines, and blocks while the accept-new policy records another key.
    #[cfg(test)]
    pub fn recorded_algorithms(&self, host: &str, port: u16) -> Vec<&'static str> {
        let loaded = self.loaded();
        let algorithms = loaded.contents.known.recorded_algorithms(host, port);
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
        let algorithms = loaded.contents.known.named_algorithms(host, port);
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
        scan.only_revoked = matches!(self.policy.0, Kind::Pinned(_) | Kind::DangerAcceptAny);
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
        if verification.rereading == Rereading::Answered {
            verification.rereading = Rereading::Done;
            // The files may have been read again for another host, or by a reload.
            let loaded = self.loaded();
            if !Arc::ptr_eq(&loaded, &verification.loaded) {
                verification.scan.restart();
                verification.loaded = loaded;
            }
        }
        let Verification { scan, loaded, .. } = verification;
        if let Kind::DangerAcceptAny = &self.policy.0
            && loaded.contents.revoking(scan.key()).is_none()
        {
            return verification.accept(Acceptance::DangerAcceptedAny);
        }
        if !scan.advance(&loaded.contents.known, lines) {
            return Decision::Pending;
        }
        match mem::replace(&mut verification.recording, Recording::NotNeeded) {
            Recording::NotNeeded => self.decide(verification),
            Recording::Done(Ok(found)) => match verification.unrequested(found.algorithms) {
                Some(algorithms) => Decision::Instead(algorithms),
                None => self.conclude(verification, &found.verdict),
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
        let revoking = verification.loaded.contents.revoking(key).map(|revoked| revoked.path.clone());
        if matches!(verdict, Verdict::Known { .. }) && revoking.is_none() {
            return self.conclude(verification, verdict);
        }
        if self.may_be_outdated(verification, verdict, revoking.is_some()) {
            verification.rereading = Rereading::Needed;
        }
        if matches!(verification.rereading, Rereading::Needed | Rereading::Awaited) {
            return Decision::Pending;
        }
        if let Some(path) = revoking {
            return verification.refuse(HostKeyProblem::RevokedByFile { path: path.to_path_buf() });
        }
        if matches!(verdict, Verdict::Revoked { .. }) {
            return self.conclude(verification, verdict);
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
                    return self.conclude(verification, &Verdict::Known { location });
                }
                if !scan.names().recordable() {
                    let text = "the name of the host contains characters with a special meaning in known_hosts files";
                    let source = io::Error::new(io::ErrorKind::InvalidInput, text);
                    return self.cannot_record(verification, source);
                }
                verification.recording = Recording::Needed;
                Decision::Pending
            }
            _ => self.conclude(verification, verdict),
        }
    }

    /// The decision that follows from a verdict alone.
    fn conclude(&self, verification: &Verification, verdict: &Verdict) -> Decision {
        let error = match verdict {
            Verdict::Known { location } => {
                return verification.accept(Acceptance::Known(location.clone()));
            }
            verdict => verification.error(verdict),
        };
        let is_changed = matches!(verdict, Verdict::Changed { .. } | Verdict::OtherType { .. });
        if is_changed && matches!(self.policy.0, Kind::DangerAcceptChanged { .. }) {
            log::warn!(
                "{error}; it is accepted because of danger_accept_changed, without passwords, \
                 keyboard-interactive and agent forwarding"
            );
            return verification.accept(Acceptance::DangerAcceptedChanged);
        }
        Decision::Refused(error)
    }

    /// Whether the files must be looked at before this verdict has consequences. Pins do not depend
    /// on the files unless the key is revoked, and before a new key is recorded, its file is looked
    /// at anyway.
    fn may_be_outdated(&self, verification: &Verification, verdict: &Verdict, is_in_file: bool) -> bool {
        let depends = match &self.policy.0 {
            Kind::Pinned(_) => matches!(verdict, Verdict::Revoked { .. }),
            Kind::AcceptNew { .. } | Kind::DangerAcceptChanged { .. } => *verdict != Verdict::Unknown,
            Kind::Strict | Kind::Ask(_) | Kind::DangerAcceptAny => true,
        };
        (depends || is_in_file)
            && verification.rereading == Rereading::NotAsked
            && verification.loaded.contents.has_files()
    }

    fn cannot_record(&self, verification: &Verification, error: io::Error) -> Decision {
        let path = verification.loaded.recorder.as_ref().map_or(Path::new(""), Recorder::path).to_owned();
        let problem = HostKeyProblem::CannotRecord { path, error };
        match (&self.policy.0, verification.refuse(problem)) {
            (Kind::DangerAcceptChanged { .. }, Decision::Refused(error)) => {
                log::warn!("{error}; it is accepted because of danger_accept_changed");
                verification.accept(Acceptance::DangerAcceptedUnrecorded)
            }
            (_, refused) => refused,
        }
    }
}

impl Verification {
    /// The error for a verdict that is not `Known`.
    fn error(&self, verdict: &Verdict) -> HostKeyError {
        let file = self.loaded.contents.known.addable.as_ref();
        HostKeyError::from_verdict(&self.host, self.port, &self.scan, verdict, file)
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
