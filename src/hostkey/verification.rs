//! One host's key on its way through the verifier.

use std::io;
use std::sync::Arc;

use super::error::HostKeyError;
use super::key::HostKey;
use super::names::HostNames;
use super::scan::HostScan;
use super::verdict::Verdict;
use super::verifier::HostVerified;

/// A host's key that is being verified: begun by [`Verifier::begin`](super::Verifier::begin), and taken on by
/// [`Verifier::advance`](super::Verifier::advance).
#[derive(Debug)]
pub(crate) struct Verification {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) scan: HostScan,
    /// The host key algorithms that the host was asked for before others; `None` if it can be asked for no
    /// others.
    pub(super) asked_for: Option<Vec<&'static str>>,
    pub(super) recording: Recording,
}

/// Whether the key has to be recorded before it is accepted.
#[derive(Debug)]
pub(super) enum Recording {
    NotNeeded,
    /// It has, and nobody was told yet.
    Needed,
    Awaited,
    /// This came of it.
    Over(Recorded),
}

/// What has become of a verification.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Nothing yet: the search goes on with the next call, or the key is being recorded.
    Pending,
    /// The host is trusted.
    Accepted(HostVerified),
    /// Other keys of the host are on record. It has to be connected anew, and asked for these algorithms
    /// first.
    Instead(Vec<&'static str>),
    /// The host is not trusted.
    Refused(HostKeyError),
}

/// A new key of a host, to be recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NewKey {
    pub(super) names: HostNames,
    pub(super) key: HostKey,
}

/// What came of a [`NewKey`].
pub(crate) type Recorded = io::Result<OnRecord>;

/// What is on record about a host once its key was to be recorded.
#[derive(Debug)]
pub(crate) struct OnRecord {
    /// `Known` unless somebody else has recorded a key meanwhile, or revoked this one.
    pub(super) verdict: Verdict,
    /// Those of the keys that are on record instead.
    pub(super) algorithms: Vec<&'static str>,
}

impl Verification {
    /// Whether another call of [`Verifier::advance`](super::Verifier::advance) will do more.
    pub(crate) fn is_searching(&self) -> bool {
        !self.scan.is_done()
    }

    /// The key to be recorded, once. [`answer`](Self::answer) tells what came of it.
    pub(crate) fn take_request(&mut self) -> Option<NewKey> {
        if !matches!(self.recording, Recording::Needed) {
            return None;
        }
        self.recording = Recording::Awaited;
        Some(NewKey { names: self.scan.names().clone(), key: self.scan.key().clone() })
    }

    /// Whether it waits for its key to be recorded.
    pub(crate) fn awaits_record(&self) -> bool {
        matches!(self.recording, Recording::Awaited)
    }

    pub(crate) fn answer(&mut self, recorded: Recorded) {
        if self.awaits_record() {
            self.recording = Recording::Over(recorded);
        }
    }

    /// Those of these algorithms that the host is to be asked for, if it was not asked for all of them.
    pub(super) fn instead(&self, on_record: Vec<&'static str>) -> Option<Vec<&'static str>> {
        let asked_for = self.asked_for.as_ref()?;
        let is_new = on_record.iter().any(|algorithm| !asked_for.contains(algorithm));
        is_new.then_some(on_record)
    }
}
