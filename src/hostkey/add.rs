//! Adding the keys of many hosts to a `known_hosts` file, all in one write.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::{fmt, io, ptr};

use super::key::{Fingerprint, KeyType};
use super::open::Locked;
use super::printable::PrintablePath;
use super::recorder::{RecordFile, line};
use super::scanned::{ScannedKey, ScannedKeys};
use super::verdict::Verdict;
use super::verification::NewKey;
use crate::limits;

/// How [`KeyReport::add_to`](crate::fleet::KeyReport::add_to) adds keys to a file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct AddOptions {
    hashed: bool,
    other_types: bool,
}

impl AddOptions {
    /// Whether the names of hosts are hashed (OpenSSH: `HashKnownHosts`). Default: `false`.
    pub fn hashed(mut self, on: bool) -> Self {
        self.hashed = on;
        self
    }

    /// Whether keys are added to hosts for which only keys of other types are on record. Default:
    /// `false`, because an attacker on the network can show a key of another type in place of the
    /// recorded one. Such a host is accepted by its recorded key anyway.
    pub fn other_types(mut self, on: bool) -> Self {
        self.other_types = on;
        self
    }
}

/// What [`KeyReport::add_to`](crate::fleet::KeyReport::add_to) did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct AddedKeys {
    /// How many lines were added, one for each key.
    pub added: usize,
    /// How many keys were on record already.
    pub present: usize,
    /// The keys that were not added although they are not on record.
    pub left_out: Vec<LeftOut>,
}

/// A key that was not added to a file.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The name under which known_hosts files list the host.
    pub name: String,
    /// The type of the key.
    pub key_type: KeyType,
    /// The fingerprint of the key.
    pub fingerprint: Fingerprint,
    /// Why the key was left out.
    pub reason: WhyLeftOut,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, key_type, fingerprint, reason } = self;
        write!(f, "{name} {key_type} {fingerprint}: {reason}")
    }
}

/// Why a key was not added to a file.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WhyLeftOut {
    /// Another key of the same type is on record for the host.
    #[error("another key of this type is on record")]
    Changed,
    /// The key is revoked.
    #[error("the key is revoked")]
    Revoked,
    /// The host has also shown a changed or a revoked key, so none of its keys is trusted.
    #[error("the host has also shown a changed or revoked key")]
    Suspect,
    /// Only keys of other types are on record for the host ([`AddOptions::other_types`]).
    #[error("only keys of other types are on record")]
    OtherType,
    /// Hosts with this name have shown different keys of this type.
    #[error("hosts with this name have shown different keys of this type")]
    Ambiguous,
    /// The name has characters with a special meaning in known_hosts files.
    #[error("the name has characters with a special meaning in known_hosts files")]
    Name,
}

/// The file could not be written. Its content is what it was before.
#[derive(Debug, thiserror::Error)]
#[error("cannot add host keys to {}: {error}", PrintablePath(path))]
pub struct AddError {
    /// The file.
    pub path: PathBuf,
    /// Why it could not be written.
    pub error: io::Error,
}

/// A key that may be added.
struct Candidate<'a> {
    host: &'a ScannedKeys,
    key: &'a ScannedKey,
}

/// Adds the new keys of these hosts to the file with one write. Blocks on the disk, and on other
/// writers of the file.
pub(crate) fn add(file: &Path, hosts: &[&ScannedKeys], options: AddOptions) -> Result<AddedKeys, AddError> {
    let mut result = AddedKeys::default();
    let candidates = select(hosts, options, &mut result);
    if !candidates.is_empty() {
        let written = write(file, &candidates, options, &mut result);
        result.added = written.map_err(|error| AddError { path: file.to_owned(), error })?;
    }
    Ok(result)
}

/// Returns the keys that may be added, each once. The others go into `result`.
fn select<'a>(hosts: &[&'a ScannedKeys], options: AddOptions, result: &mut AddedKeys) -> Vec<Candidate<'a>> {
    let mut suspects = HashSet::new();
    let mut shown: HashMap<(&str, KeyType), HashSet<&[u8]>> = HashMap::new();
    for host in hosts {
        for ScannedKey { key, verdict } in &host.keys {
            if matches!(verdict, Verdict::Changed { .. } | Verdict::Revoked { .. }) {
                suspects.insert(host.name());
            }
            shown.entry((host.name(), key.key_type())).or_default().insert(key.blob());
        }
    }
    let mut candidates = Vec::new();
    let mut seen = HashSet::new();
    for &host in hosts {
        for key in &host.keys {
            let (name, key_type) = (host.name(), key.key.key_type());
            if !seen.insert((name, key.key.blob())) {
                continue;
            }
            let is_suspect = suspects.contains(name);
            let is_ambiguous = shown.get(&(name, key_type)).is_some_and(|keys| keys.len() > 1);
            match why_not(&key.verdict, options) {
                Ok(true) => result.present += 1,
                Err(reason @ (WhyLeftOut::Changed | WhyLeftOut::Revoked)) => {
                    result.leave_out(host, key, reason)
                }
                _ if is_suspect => result.leave_out(host, key, WhyLeftOut::Suspect),
                Err(reason) => result.leave_out(host, key, reason),
                _ if is_ambiguous => result.leave_out(host, key, WhyLeftOut::Ambiguous),
                _ if !host.names.recordable() => result.leave_out(host, key, WhyLeftOut::Name),
                Ok(false) => candidates.push(Candidate { host, key }),
            }
        }
    }
    candidates
}

/// Whether the key is on record, or why it must not be.
fn why_not(verdict: &Verdict, options: AddOptions) -> Result<bool, WhyLeftOut> {
    match verdict {
        Verdict::Known { .. } => Ok(true),
        Verdict::Unknown => Ok(false),
        Verdict::OtherType { .. } if options.other_types => Ok(false),
        Verdict::OtherType { .. } => Err(WhyLeftOut::OtherType),
        Verdict::Changed { .. } => Err(WhyLeftOut::Changed),
        Verdict::Revoked { .. } => Err(WhyLeftOut::Revoked),
    }
}

/// Adds the candidates that are not on record in the file by now. Returns their number.
fn write(
    file: &Path,
    candidates: &[Candidate<'_>],
    options: AddOptions,
    result: &mut AddedKeys,
) -> io::Result<usize> {
    let mut locked = Locked::open(file, limits::RECORD_LOCK_WAIT)?;
    let mut added = 0;
    let mut text = String::new();
    // What has been added to the file since each set of files was read.
    let mut since: HashMap<_, RecordFile> = HashMap::new();
    for Candidate { host, key } in candidates {
        let loaded = host.loaded.as_deref();
        let record = match since.entry(loaded.map(ptr::from_ref)) {
            Entry::Occupied(record) => record.into_mut(),
            Entry::Vacant(place) => {
                let mut record =
                    RecordFile::new(file, options.hashed, loaded.map(|loaded| &loaded.contents.known));
                record.catch_up(&mut locked)?;
                place.insert(record)
            }
        };
        let new = NewKey { names: host.names.clone(), key: key.key.clone() };
        let found = new.find_in(&record.learned);
        match found.map_or(Ok(false), |found| why_not(&found.verdict, options)) {
            Ok(true) => result.present += 1,
            Err(reason) => result.leave_out(host, key, reason),
            Ok(false) => {
                text.push_str(&line(&new, options.hashed)?);
                added += 1;
            }
        }
    }
    locked.append_all(&text)?;
    Ok(added)
}

impl AddedKeys {
    fn leave_out(&mut self, host: &ScannedKeys, key: &ScannedKey, reason: WhyLeftOut) {
        let ScannedKey { key, .. } = key;
        let (key_type, fingerprint) = (key.key_type(), key.fingerprint());
        self.left_out.push(LeftOut { name: host.name().to_owned(), key_type, fingerprint, reason });
    }
}
