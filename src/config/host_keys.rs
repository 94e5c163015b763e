//! How the keys of hosts are verified: the settings, and the files and verifiers that hosts share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use super::known::Known;
use super::layers::{Given, Layers};
use super::owner::Owner;
use crate::error::{Error, Origin};
use crate::hostkey::{Contents, FileNames, HostKeyFiles, HostKeyPolicy, LoadError, Verifier, default_files};

/// The settings of one layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostKeySettings {
    pub policy: Option<HostKeyPolicy>,
    pub known_hosts: Option<Vec<PathBuf>>,
    pub revoked: Option<PathBuf>,
    pub hash_names: Option<bool>,
}

/// The settings that apply to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct HostKeyChoice<'a> {
    /// `None` means the strict policy.
    policy: Option<&'a HostKeyPolicy>,
    /// `None` means the default files.
    known_hosts: Option<Given<'a, &'a [PathBuf]>>,
    /// Whether known_hosts files that cannot be read are left out.
    is_optional: bool,
    revoked: Option<Given<'a, &'a Path>>,
    hash_names: bool,
}

impl<'a> Layers<'a> {
    pub fn host_keys(&self) -> HostKeyChoice<'a> {
        let known_hosts = self.first(|config| config.verification.as_ref()?.known_hosts.as_deref());
        HostKeyChoice {
            policy: self.value(|config| config.verification.as_ref()?.policy.as_ref()),
            known_hosts,
            is_optional: known_hosts.is_none_or(|given| given.from_ssh_config),
            revoked: self.first(|config| config.verification.as_ref()?.revoked.as_deref()),
            hash_names: self.value(|config| config.verification.as_ref()?.hash_names).unwrap_or(false),
        }
    }
}

/// The files and verifiers that hosts use.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownVerifiers {
    files: Known<Weak<HostKeyFiles>>,
    verifiers: Known<Weak<Verifier>>,
}

/// Files that were read again, with what was read.
pub(super) type Renewals = Vec<(Arc<HostKeyFiles>, Option<Arc<Contents>>)>;

/// Makes the verifiers of one call.
#[derive(Debug)]
pub(super) struct Verifiers<'a> {
    owner: &'a Owner,
    known: &'a mut KnownVerifiers,
    /// `None` if files that hosts use are used as they were read.
    renewals: Option<&'a mut Renewals>,
    /// The verifiers made so far.
    made: HashMap<HostKeyChoice<'a>, Arc<Verifier>>,
}

impl<'a> Verifiers<'a> {
    pub fn new(owner: &'a Owner, known: &'a mut KnownVerifiers, renewals: Option<&'a mut Renewals>) -> Self {
        Self { owner, known, renewals, made: HashMap::new() }
    }

    /// Returns the verifier with these settings.
    pub fn get(&mut self, choice: HostKeyChoice<'a>) -> Result<Arc<Verifier>, Error> {
        if let Some(made) = self.made.get(&choice) {
            return Ok(made.clone());
        }
        let files = self.files(choice)?;
        let policy = choice.policy.cloned().unwrap_or_default();
        let policy = if choice.hash_names { policy.hashing() } else { policy };
        let verifier = self.known.verifiers.share(Arc::new(Verifier::new(files, policy)));
        self.made.insert(choice, verifier.clone());
        Ok(verifier)
    }

    /// Returns the files with these settings, which are read unless a host uses them.
    fn files(&mut self, choice: HostKeyChoice<'_>) -> Result<Arc<HostKeyFiles>, Error> {
        let HostKeyChoice { known_hosts, is_optional, revoked, .. } = choice;
        let expand = |path: &Path, origin: &Origin| {
            self.owner.expand(path).map_err(|problem| problem.of(origin.clone()))
        };
        let names = FileNames {
            known_hosts: match known_hosts {
                Some(Given { value: files, origin, .. }) => {
                    files.iter().map(|file| expand(file, origin)).collect::<Result<_, _>>()?
                }
                None => default_files(self.owner.home.as_deref()),
            },
            is_optional,
            revoked: revoked.map(|file| expand(file.value, file.origin)).transpose()?,
        };
        let revoked_file = names.revoked.clone();
        let failed = |error: LoadError| {
            let is_revoked = revoked_file.as_ref() == Some(&error.path);
            let origin = if is_revoked { revoked.map(|file| file.origin) } else { None };
            let origin = origin.or(known_hosts.map(|files| files.origin)).unwrap_or(&Origin::Default);
            Error::KnownHosts { origin: origin.clone(), error }
        };
        let equal = |known: &Weak<HostKeyFiles>| known.upgrade().filter(|files| files.names == names);
        if let Some(files) = self.known.files.find(&names, equal) {
            if let Some(renewals) = &mut self.renewals
                && !renewals.iter().any(|(known, _)| Arc::ptr_eq(known, &files))
            {
                let contents = files.read_again().map_err(failed)?;
                renewals.push((files.clone(), contents));
            }
            return Ok(files);
        }
        let files = Arc::new(HostKeyFiles::load(names).map_err(failed)?);
        self.known.files.insert(&files.names, Arc::downgrade(&files));
        Ok(files)
    }
}

#[cfg(test)]
mod tests;
