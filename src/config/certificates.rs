//! Certificates, and the keys that they belong to.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::agent_key::{AgentKey, with_suffix};
use super::credentials::{BYTES, KeySource};
use super::file_lists::FileLists;
use super::key_file::KeyFile;
use super::layers::Given;
use super::owner::Owner;
use crate::credential::Certificate;
use crate::error::{AuthProblem, CertProblem, Error, Origin};
use crate::link::PrivateKey;

/// A private key, and the file that it was read from.
#[derive(Debug, Clone)]
pub(super) struct FoundKey {
    pub key: Arc<PrivateKey>,
    pub path: Option<PathBuf>,
}

/// The certificates that the settings name.
#[derive(Clone, Copy)]
pub(super) struct GivenCertificates<'a> {
    /// The one that has to fit, with the origin of its setting.
    pub named: Option<&'a (Arc<Certificate>, &'a Origin)>,
    /// Those that are used for the keys that they fit.
    pub others: &'a [Arc<Certificate>],
}

impl GivenCertificates<'_> {
    fn other(&self, key: &[u8]) -> Option<&Arc<Certificate>> {
        self.others.iter().find(|certificate| certificate.is_for(key))
    }
}

/// Reads each certificate once, and combines it with the same key only once.
#[derive(Default)]
pub(super) struct Certificates<'a> {
    given: HashMap<&'a KeySource, Arc<Certificate>>,
    /// By the path of a key: the certificate in `<key>-cert.pub`, if there is that file, or why it
    /// is skipped.
    beside: HashMap<PathBuf, Result<Option<Arc<Certificate>>, AuthProblem>>,
    /// By path: the certificates that need not fit.
    others: HashMap<PathBuf, Result<Arc<Certificate>, AuthProblem>>,
    certified: HashMap<(*const PrivateKey, *const Certificate), Arc<PrivateKey>>,
}

impl<'a> Certificates<'a> {
    /// Returns the certificate that the settings name. It must belong to one of `keys`, which are
    /// wire blobs.
    pub fn given(
        &mut self,
        given: Given<'a, &'a KeySource>,
        owner: &Owner,
        keys: &[&[u8]],
    ) -> Result<Arc<Certificate>, Error> {
        let source = given.value;
        let path = match source {
            KeySource::File(path) => owner.expand(path).map_err(|problem| problem.of(given.origin()))?,
            KeySource::Bytes(_) => PathBuf::from(BYTES),
        };
        let certificate = match self.given.get(source) {
            Some(known) => Ok(known.clone()),
            None => read(source, &path).map(Arc::new),
        };
        let certificate = certificate.and_then(|certificate| {
            self.given.insert(source, certificate.clone());
            let fits = keys.iter().any(|key| certificate.is_for(key));
            if fits { Ok(certificate) } else { Err(CertProblem::OtherKey) }
        });
        certificate.map_err(|problem| Error::CertFile { origin: given.origin(), path, problem })
    }

    /// Returns the certificates in these files. Those that cannot be used are added to `skipped`.
    pub fn others(
        &mut self,
        files: FileLists<'_>,
        owner: &Owner,
        skipped: &mut Vec<AuthProblem>,
    ) -> Vec<Arc<Certificate>> {
        let mut usable = Vec::new();
        for (path, _) in files.all() {
            let path = owner.expand(path).unwrap_or_else(|_| path.to_owned());
            let read = |path: &Path| parse(path).map(Arc::new).map_err(|problem| skip(path, &problem));
            match self.others.entry(path.clone()).or_insert_with(|| read(&path)) {
                Ok(certificate) => usable.push(certificate.clone()),
                Err(problem) => skipped.push(problem.clone()),
            }
        }
        usable
    }

    /// Returns the forms in which the key is offered to a server: first with its certificate, if
    /// there is one, then without.
    ///
    /// If none of the given certificates is for this key, `<key>-cert.pub` is used, as in OpenSSH.
    /// If that file cannot be used, it is added to `skipped`.
    pub fn forms(
        &mut self,
        found: &FoundKey,
        given: GivenCertificates<'_>,
        skipped: &mut Vec<AuthProblem>,
    ) -> Result<Vec<Arc<PrivateKey>>, Error> {
        let other = |this: &mut Self| match given.other(found.key.blob()) {
            Some(certificate) => {
                let certified = this.certified(&found.key, certificate);
                certified.map(Some).map_err(|problem| skip(certificate.path(), &problem))
            }
            None => this.beside(found),
        };
        let certified = match given.named.filter(|(certificate, _)| certificate.is_for(found.key.blob())) {
            Some((given, origin)) => Some(self.certified(&found.key, given).map_err(|problem| {
                let (origin, path) = ((*origin).clone(), given.path().to_owned());
                Error::CertFile { origin, path, problem }
            })?),
            None => other(self).unwrap_or_else(|problem| {
                if !skipped.contains(&problem) {
                    skipped.push(problem);
                }
                None
            }),
        };
        Ok(certified.into_iter().chain([found.key.clone()]).collect())
    }

    /// Returns the forms in which the agent may hold the key, as wire blobs: with the certificate
    /// that [`forms`](Self::forms) would use, and without.
    pub fn agent_forms(&self, key: &AgentKey, given: GivenCertificates<'_>) -> Vec<Vec<u8>> {
        self.fitting(&key.blob, key.path.as_deref(), given)
            .map(|certificate| certificate.blob().to_vec())
            .into_iter()
            .chain([key.blob.clone()])
            .collect()
    }

    /// Returns the certificates for keys that the agent may hold, each with its key, as wire blobs:
    /// those that [`forms`](Self::forms) uses for these keys, and those that the settings name for
    /// other keys.
    pub fn of_agent<'k>(
        &self,
        in_agent: impl Iterator<Item = &'k AgentKey>,
        in_files: impl Iterator<Item = &'k FoundKey>,
        given: GivenCertificates<'_>,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let in_files = in_files.map(|found| (found.key.blob(), found.path.as_deref()));
        let keys = in_agent.map(|key| (&*key.blob, key.path.as_deref())).chain(in_files);
        let of_keys = keys.filter_map(|(blob, path)| self.fitting(blob, path, given));
        let named = given.named.map(|(certificate, _)| certificate);
        let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for certificate in of_keys.chain(named.into_iter().chain(given.others).cloned()) {
            if !all.iter().any(|(_, key)| certificate.is_for(key)) {
                all.push((certificate.blob().to_vec(), certificate.key().to_vec()));
            }
        }
        all
    }

    /// The certificate that [`forms`](Self::forms) would use for this key.
    fn fitting(
        &self,
        key: &[u8],
        path: Option<&Path>,
        given: GivenCertificates<'_>,
    ) -> Option<Arc<Certificate>> {
        let named = given.named.map(|(certificate, _)| certificate);
        let named = named.filter(|certificate| certificate.is_for(key));
        let beside = || match self.beside.get(path?) {
            Some(known) => known.clone().ok()?,
            None => read_beside(path?, key).ok()?.map(Arc::new),
        };
        named.or_else(|| given.other(key)).cloned().or_else(beside)
    }

    /// Returns the key with the certificate in `<key>-cert.pub`. An unusable certificate is
    /// skipped, as unusable identity files are.
    fn beside(&mut self, found: &FoundKey) -> Result<Option<Arc<PrivateKey>>, AuthProblem> {
        let Some(key_path) = &found.path else { return Ok(None) };
        let known = match self.beside.get(key_path) {
            Some(known) => known.clone(),
            None => {
                let certificate = read_beside(key_path, found.key.blob()).map(|it| it.map(Arc::new));
                self.beside.insert(key_path.clone(), certificate.clone());
                certificate
            }
        };
        let Some(certificate) = known? else { return Ok(None) };
        let certified = self.certified(&found.key, &certificate);
        certified.map(Some).map_err(|problem| skip(certificate.path(), &problem))
    }

    fn certified(
        &mut self,
        key: &Arc<PrivateKey>,
        certificate: &Arc<Certificate>,
    ) -> Result<Arc<PrivateKey>, CertProblem> {
        // Addresses can identify the two: the maps keep both alive, so no address is reused.
        let pair = (Arc::as_ptr(key), Arc::as_ptr(certificate));
        if let Some(known) = self.certified.get(&pair) {
            return Ok(known.clone());
        }
        let certified = Arc::new(key.certified(certificate.clone())?);
        self.certified.insert(pair, certified.clone());
        Ok(certified)
    }
}

fn read_beside(key_path: &Path, key: &[u8]) -> Result<Option<Certificate>, AuthProblem> {
    let path = with_suffix(key_path, "-cert.pub");
    match parse(&path) {
        Ok(certificate) if certificate.is_for(key) => Ok(Some(certificate)),
        Ok(_) => Err(skip(&path, &format_args!("does not belong to {}", key_path.display()))),
        Err(CertProblem::Unreadable(e)) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(problem) => Err(skip(&path, &problem)),
    }
}

fn skip(path: &Path, problem: &dyn fmt::Display) -> AuthProblem {
    log::warn!("certificate {} {problem}", path.display());
    AuthProblem::KeySkipped { path: path.to_owned(), reason: problem.to_string() }
}

fn read(source: &KeySource, path: &Path) -> Result<Certificate, CertProblem> {
    match source {
        KeySource::File(_) => parse(path),
        KeySource::Bytes(text) => Certificate::parse(path.to_owned(), text.as_bytes()),
    }
}

fn parse(path: &Path) -> Result<Certificate, CertProblem> {
    Certificate::parse(path.to_owned(), &KeyFile::read(path)?.bytes)
}
