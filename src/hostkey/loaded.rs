//! The keys on record that a verifier uses, until the files are read again.

use std::io;
use std::sync::Arc;

use super::files::Contents;
use super::policy::HostKeyPolicy;
use super::recorder::Recorder;
use super::verification::{NewKey, OnRecord, Recorded};

/// The keys on record, and those that were recorded since the files were read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(super) contents: Arc<Contents>,
    /// Where new keys are recorded. `None` unless the policy records keys.
    pub(super) recorder: Option<Recorder>,
}

impl Loaded {
    pub(super) fn new(contents: Arc<Contents>, policy: &HostKeyPolicy) -> Arc<Self> {
        let recorder = policy.record().map(|(file, hashed)| Recorder::new(file, hashed, &contents.known));
        Arc::new(Self { contents, recorder })
    }

    /// What is on record for the host of a new key. `None` if nothing is, or if these are the keys
    /// that were `searched` before.
    pub(super) fn find_unless(&self, searched: &Arc<Self>, new: &NewKey) -> Option<OnRecord> {
        if std::ptr::eq(self, &**searched) { None } else { new.find_in(&self.contents.known) }
    }

    /// Records new keys with one write for all of them. Blocks on the disk, and on other writers of
    /// the file.
    pub(super) fn record(&self, new: &[NewKey]) -> Vec<Recorded> {
        match &self.recorder {
            Some(recorder) => recorder.record(new),
            None => new.iter().map(|_| Err(io::ErrorKind::Unsupported.into())).collect(),
        }
    }
}
