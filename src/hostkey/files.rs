//! The files that decide about host keys, as they were read last.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key::HostKey;
use super::known_hosts::KnownHosts;
use super::load::LoadError;
use super::revoked::RevokedKeys;
use super::verdict::LineProblem;

/// The names of files that decide about host keys.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct FileNames {
    pub known_hosts: Vec<PathBuf>,
    /// Whether known_hosts files that cannot be read are left out, as in OpenSSH: default ones, and
    /// those that its configuration names.
    pub is_optional: bool,
    pub revoked: Option<PathBuf>,
}

/// Files that verifiers share. When they are read again, the content changes for all of them.
#[derive(Debug)]
pub(crate) struct HostKeyFiles {
    pub names: FileNames,
    contents: Mutex<Arc<Contents>>,
}

/// What was read from the files.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(super) known: KnownHosts,
    pub(super) revoked: Option<RevokedKeys>,
}

impl HostKeyFiles {
    /// Reads these files.
    pub(crate) fn load(names: FileNames) -> Result<Self, LoadError> {
        let known = match names.is_optional {
            true => KnownHosts::load_readable(&names.known_hosts),
            false => KnownHosts::load(&names.known_hosts)?,
        };
        let revoked = names.revoked.as_deref().map(RevokedKeys::load).transpose()?;
        let contents = Contents { known, revoked };
        contents.known.log_problems();
        Ok(Self::with(names, contents))
    }

    fn with(names: FileNames, contents: Contents) -> Self {
        Self { names, contents: Mutex::new(Arc::new(contents)) }
    }

    pub(crate) fn contents(&self) -> Arc<Contents> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Contents>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again if they have changed since they were read. Returns `None` if they have
    /// not. Blocks on the disk.
    pub(crate) fn read_again(&self) -> Result<Option<Arc<Contents>>, LoadError> {
        let Contents { known, revoked } = &*self.contents();
        if !known.has_changed() && !revoked.as_ref().is_some_and(RevokedKeys::has_changed) {
            return Ok(None);
        }
        let revoked = revoked.as_ref().map(|keys| RevokedKeys::load(&keys.path)).transpose()?;
        let contents = Contents { known: known.load_again()?, revoked };
        contents.known.log_problems();
        Ok(Some(Arc::new(contents)))
    }

    /// Uses these contents from now on.
    pub(crate) fn replace(&self, contents: Arc<Contents>) {
        log::debug!("the known_hosts files have changed: {} keys are on record now", contents.known.len());
        *self.lock() = contents;
    }

    /// Reads the files again if they have changed, and uses them from now on.
    pub(super) fn refresh(&self) {
        match self.read_again() {
            Ok(contents) => contents.into_iter().for_each(|contents| self.replace(contents)),
            Err(error) => log::warn!("{error}; what was read before stays in use"),
        }
    }

    /// The lines that were skipped.
    pub(crate) fn problems(&self) -> Vec<LineProblem> {
        self.contents().known.problems().to_vec()
    }
}

#[cfg(any(test, fuzzing))]
impl From<KnownHosts> for Arc<HostKeyFiles> {
    fn from(known: KnownHosts) -> Self {
        HostKeyFiles::with(FileNames::default(), Contents { known, revoked: None }).into()
    }
}

impl Contents {
    /// The file of revoked keys, if this key is in it.
    pub(super) fn revoking(&self, key: &HostKey) -> Option<&RevokedKeys> {
        self.revoked.as_ref().filter(|revoked| revoked.contains(key))
    }

    /// Whether the keys come from files, which may change.
    pub(super) fn has_files(&self) -> bool {
        self.known.has_files() || self.revoked.is_some()
    }
}
