//! The verification of one host's key, step by step.

use std::io;
use std::sync::Arc;

use super::blob::rsa_bits;
use super::error::{HostKeyError, HostKeyProblem};
use super::key::{HostKey, KeyType};
use super::known_hosts::KnownHosts;
use super::loaded::Loaded;
use super::names::HostNames;
use super::proof::HostVerified;
use super::scan::HostScan;
use super::verdict::{Location, Verdict};

/// A host key that is being verified. [`Verifier::begin`](super::Verifier::begin) creates the
/// verification, and [`Verifier::advance`](super::Verifier::advance) continues it.
#[derive(Debug)]
pub(crate) struct Verification {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) scan: HostScan,
    /// The host key algorithms that the handshake preferred. `None` if the caller cannot reconnect
    /// to request others.
    pub(super) requested: Option<Vec<&'static str>>,
    /// The keys on record that are searched.
    pub(super) loaded: Arc<Loaded>,
    pub(super) rereading: Rereading,
    pub(super) recording: Recording,
}

impl Verification {
    /// Refuses an RSA key with fewer bits.
    pub(crate) fn require_rsa_bits(self, required: usize) -> Result<Self, HostKeyError> {
        let key = self.scan.key();
        match rsa_bits(key.blob()) {
            Some(bits) if bits < required => {
                let problem = HostKeyProblem::TooShort { bits, required };
                Err(HostKeyError::new(&self.host, self.port, Some(key), problem))
            }
            _ => Ok(self),
        }
    }
}

/// Whether the files must be read again before the key is refused, recorded, or passed to a
/// callback, because they may have changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rereading {
    NotAsked,
    /// The files must be looked at, and `take_request` has not said so yet.
    Needed,
    Awaited,
    /// The files were looked at, and the verification has not continued yet.
    Answered,
    Done,
}

/// Whether the key must be recorded before it is accepted.
#[derive(Debug)]
pub(super) enum Recording {
    NotNeeded,
    /// The key must be recorded, and `take_request` has not returned it yet.
    Needed,
    Awaited,
    /// The result of the recording.
    Done(Recorded),
}

/// The state of a verification.
#[derive(Debug)]
pub(crate) enum Decision {
    /// There is no decision yet. The search continues with the next call, or a disk is waited for.
    Pending,
    /// The host is trusted.
    Accepted(HostVerified),
    /// Keys of other types are on record for the host. Reconnect, and prefer these algorithms in
    /// the handshake.
    Instead(Vec<&'static str>),
    /// The host is not trusted.
    Refused(HostKeyError),
}

/// A request that blocks on a disk, to be carried out on another thread.
#[derive(Debug)]
pub(crate) enum DiskRequest {
    /// Read the files again if they have changed.
    Reread,
    /// Record a key, which is not among those that were searched.
    Record(NewKey, Arc<Loaded>),
}

/// The answer to a [`DiskRequest`].
#[derive(Debug)]
pub(crate) enum DiskAnswer {
    /// The files were looked at.
    Reread,
    Recorded(Recorded),
}

/// A new host key to be recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NewKey {
    pub(super) names: HostNames,
    pub(super) key: HostKey,
}

impl NewKey {
    /// What is on record for the host in these lines; `None` if nothing is.
    pub(super) fn find_in(&self, known: &KnownHosts) -> Option<OnRecord> {
        let (verdict, algorithms) = HostScan::new(self.names.clone(), self.key.clone()).run(known);
        (verdict != Verdict::Unknown).then_some(OnRecord { verdict, algorithms })
    }
}

/// The result of recording a [`NewKey`].
pub(crate) type Recorded = io::Result<OnRecord>;

/// What is on record for a host after an attempt to record its key.
#[derive(Clone, Debug)]
pub(crate) struct OnRecord {
    /// `Known`, unless another process has meanwhile recorded another key or revoked this one.
    pub(super) verdict: Verdict,
    /// The algorithms of the host's keys on record, if those are of other types than the offered
    /// key; otherwise empty.
    pub(super) algorithms: Vec<&'static str>,
}

impl Verification {
    /// Whether [`Verifier::advance`](super::Verifier::advance) has more lines to compare.
    pub(crate) fn is_searching(&self) -> bool {
        !self.scan.is_done()
    }

    /// Whether the key signs in this algorithm.
    pub(crate) fn is_of(&self, algorithm: &str) -> bool {
        KeyType::from_column(algorithm.as_bytes()) == Some(self.scan.key().key_type())
    }

    /// Makes the search look at all lines, whatever the policy needs.
    pub(crate) fn search_all(mut self) -> Self {
        self.scan.only_revoked = false;
        self
    }

    /// Compares at most `lines` lines. Once all are compared, returns the verdict of the files, and
    /// the `@cert-authority` line that matches an unknown host.
    pub(super) fn verdict(&mut self, lines: usize) -> Option<(Verdict, Option<Location>)> {
        if !self.scan.advance(&self.loaded.contents.known, lines) {
            return None;
        }
        if let Some(revoked) = self.loaded.contents.revoking(self.scan.key()) {
            return Some((Verdict::Revoked { location: Location::new(revoked.path.clone(), None) }, None));
        }
        let verdict = self.scan.verdict()?.clone();
        let recorder = self.loaded.recorder.as_ref().filter(|_| verdict == Verdict::Unknown);
        match recorder.and_then(|recorder| recorder.recorded_at(self.scan.names(), self.scan.key())) {
            Some(location) => Some((Verdict::Known { location }, None)),
            None => Some((verdict, self.scan.authority().cloned())),
        }
    }

    /// Returns the request to a disk that the verification needs now. Later calls return `None`.
    /// Pass the answer to [`answer`](Self::answer).
    pub(crate) fn take_request(&mut self) -> Option<DiskRequest> {
        if self.rereading == Rereading::Needed {
            self.rereading = Rereading::Awaited;
            return Some(DiskRequest::Reread);
        }
        if !matches!(self.recording, Recording::Needed) {
            return None;
        }
        self.recording = Recording::Awaited;
        let (names, key) = (self.scan.names().clone(), self.scan.key().clone());
        Some(DiskRequest::Record(NewKey { names, key }, self.loaded.clone()))
    }

    /// Whether the verification waits for the answer to a request.
    pub(crate) fn awaits_disk(&self) -> bool {
        self.rereading == Rereading::Awaited || matches!(self.recording, Recording::Awaited)
    }

    pub(crate) fn answer(&mut self, answer: DiskAnswer) {
        match answer {
            DiskAnswer::Reread if self.rereading == Rereading::Awaited => {
                self.rereading = Rereading::Answered;
            }
            DiskAnswer::Recorded(recorded) if matches!(self.recording, Recording::Awaited) => {
                self.recording = Recording::Done(recorded);
            }
            DiskAnswer::Reread | DiskAnswer::Recorded(_) => {}
        }
    }

    /// Returns `on_record` if any of these algorithms was not requested from the host.
    pub(super) fn unrequested(&self, on_record: Vec<&'static str>) -> Option<Vec<&'static str>> {
        let requested = self.requested.as_ref()?;
        let is_new = on_record.iter().any(|algorithm| !requested.contains(algorithm));
        is_new.then_some(on_record)
    }
}
