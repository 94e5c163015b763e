//! The content of `known_hosts` files, read once and indexed for a whole fleet.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use memchr::memchr;

use super::key::{HostKey, KeyType};
use super::line::{Line, LineFault, LineNames, Marker};
use super::load::{LoadedFile, Source};
use super::names::HostNames;
use super::scan::HostScan;
use super::verdict::{LineProblem, Location, Verdict};

/// The maximum number of skipped lines that are described. [`KnownHosts::problem_count`] counts all
/// skipped lines.
pub const PROBLEMS_MAX: usize = 1_000;

#[derive(Debug)]
struct Entry {
    names: LineNames,
    key_type: KeyType,
    /// Index into `KnownHosts::keys`.
    key: usize,
    /// Index into `KnownHosts::paths`.
    path: usize,
    line: Option<usize>,
}

/// The lines of one or more `known_hosts` files, in the format of `sshd(8)`, "SSH_KNOWN_HOSTS FILE
/// FORMAT".
///
/// Lines are indexed by key and by plain name, so a key on record is found without a search. Only
/// an unknown or changed key requires a comparison of the host with each hashed name and each
/// pattern, because those cannot be indexed. A fleet makes these comparisons in slices.
#[derive(Debug, Default)]
pub struct KnownHosts {
    paths: Vec<Arc<Path>>,
    /// The first of the files that is a regular file or does not exist yet, so that a user can add
    /// keys to it.
    pub(super) addable: Option<Arc<Path>>,
    sources: Vec<Source>,
    pub(super) files: Vec<LoadedFile>,
    entries: Vec<Entry>,
    key_ids: HashMap<Box<[u8]>, usize>,
    /// For each key, the entries of `unindexed` that have the key.
    keys: Vec<Vec<usize>>,
    /// The entries without a marker, by the plain names of their line.
    by_name: HashMap<Box<[u8]>, Vec<usize>>,
    /// The entries without a marker whose names are hashed or include patterns. They are sorted by
    /// line, like all lists of entries.
    unindexed: Vec<usize>,
    /// The entries with `@revoked`, by key.
    revoked: HashMap<usize, Vec<usize>>,
    authorities: Vec<usize>,
    problems: Vec<LineProblem>,
    problem_count: usize,
}

impl KnownHosts {
    /// Creates an instance that contains no hosts.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds the lines of `text`. Messages refer to the text by the name `source`.
    pub fn parse(&mut self, text: &[u8], source: &Path) {
        self.parse_more(text, &mut Source::new(source));
    }

    /// Adds the lines of `text`, which continues `source`, and moves `source` past the last line
    /// feed in `text`.
    pub(super) fn parse_more(&mut self, text: &[u8], source: &mut Source) {
        let path = self.path_id(&source.path);
        let mut rest = text;
        while !rest.is_empty() {
            let number = source.lines + 1;
            let (content, after) = match memchr(b'\n', rest) {
                Some(end) => {
                    source.lines += 1;
                    source.bytes += end as u64 + 1;
                    (rest.get(..end), rest.get(end + 1..))
                }
                None => (Some(rest), None),
            };
            rest = after.unwrap_or_default();
            let content = content.unwrap_or_default();
            match Line::parse(content) {
                Ok(Some(line)) => self.add(line, path, Some(number)),
                Ok(None) => {}
                Err(fault) => self.report(path, number, fault),
            }
        }
    }

    /// Adds a key that was recorded for a host.
    pub(super) fn insert(&mut self, name: &str, key: HostKey, path: &Arc<Path>, line: Option<usize>) {
        let path = self.path_id(path);
        let names = LineNames::List(name.as_bytes().into());
        self.add(Line { marker: Marker::None, names, key }, path, line);
    }

    fn add(&mut self, line: Line, path: usize, number: Option<usize>) {
        let id = self.entries.len();
        let key_type = line.key.key_type();
        let key = *self.key_ids.entry(line.key.into_blob()).or_insert(self.keys.len());
        if key == self.keys.len() {
            self.keys.push(Vec::new());
        }
        match line.marker {
            Marker::None => match line.names.literals() {
                Some(names) => {
                    for name in names {
                        let ids = self.by_name.entry(name.into()).or_default();
                        // A line may repeat a name.
                        if ids.last() != Some(&id) {
                            ids.push(id);
                        }
                    }
                }
                None => {
                    self.unindexed.push(id);
                    self.keys[key].push(id);
                }
            },
            Marker::CertAuthority => self.authorities.push(id),
            Marker::Revoked => self.revoked.entry(key).or_default().push(id),
        }
        self.entries.push(Entry { names: line.names, key_type, key, path, line: number });
    }

    fn path_id(&mut self, path: &Arc<Path>) -> usize {
        if let Some(id) = self.paths.iter().rposition(|known| known == path) {
            return id;
        }
        self.paths.push(Arc::clone(path));
        self.paths.len() - 1
    }

    fn report(&mut self, path: usize, line: usize, fault: LineFault) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX
            && let Some(path) = self.paths.get(path)
        {
            let location = Location::new(Arc::clone(path), Some(line));
            self.problems.push(LineProblem { location, fault });
        }
    }

    /// The first 1,000 skipped lines.
    #[must_use]
    pub fn problems(&self) -> &[LineProblem] {
        &self.problems
    }

    /// The number of skipped lines.
    #[must_use]
    pub fn problem_count(&self) -> usize {
        self.problem_count
    }

    /// The number of keys read, which is one per line. It includes revoked keys and the keys of
    /// certificate authorities.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no line contains a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The verdict of the files on the `key` that `host` sent on `port`.
    ///
    /// The verdict is that of `ssh` (OpenSSH `check_key_in_hostkeys`, `check_host_key`). For any
    /// port but 22, the lines for `[host]:port` decide. If there are none, a line for `host`
    /// without a port can make the verdict `Known`, but never `Changed`. The verdict differs from
    /// that of `ssh` in one case, in which it is stricter: a `@revoked` line for `host` is valid
    /// for all ports of the host.
    #[must_use]
    pub fn verdict(&self, host: &str, port: u16, key: &HostKey) -> Verdict {
        self.scan(host, port, key).run(self).0
    }

    /// The verdict on a key that matches none of the host's `lines`.
    pub(super) fn verdict_by_lines(&self, key: &HostKey, lines: &[usize]) -> Verdict {
        let entries = || lines.iter().filter_map(|id| self.entries.get(*id));
        let same_type = entries().filter(|entry| entry.key_type == key.key_type());
        let locations = same_type.map(|entry| self.location(entry)).collect::<Vec<_>>();
        if !locations.is_empty() {
            return Verdict::Changed { locations };
        }
        let recorded = entries().map(|entry| (entry.key_type, self.location(entry))).collect::<Vec<_>>();
        if recorded.is_empty() { Verdict::Unknown } else { Verdict::OtherType { recorded } }
    }

    fn names(&self, id: usize, name: &str) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.names.matches(name))
    }

    /// The host key algorithms for which a key of the host is on record, best first. The handshake
    /// offers these algorithms first, so that the server sends a key that can be verified (OpenSSH
    /// `order_hostkeyalgs`).
    ///
    /// An `ssh-rsa` key results in `rsa-sha2-512` and `rsa-sha2-256`. If there are no lines for
    /// `[host]:port`, the lines for `host` count, as they do for the verdict. Revoked keys do not
    /// count.
    #[must_use]
    pub fn recorded_algorithms(&self, host: &str, port: u16) -> Vec<&'static str> {
        let names = HostNames::new(host, port);
        let exact = self.lines_of(names.exact());
        let lines = match names.fallback() {
            Some(name) if exact.is_empty() => self.lines_of(name),
            _ => exact,
        };
        self.algorithms_of(&lines, &names)
    }

    /// Like [`recorded_algorithms`](Self::recorded_algorithms), but only from lines with the host's
    /// plain name. The time that this takes does not depend on the number of hashed lines and
    /// patterns, because they are not searched.
    #[must_use]
    pub fn named_algorithms(&self, host: &str, port: u16) -> Vec<&'static str> {
        let names = HostNames::new(host, port);
        let exact = self.named(names.exact());
        let lines =
            if exact.is_empty() { names.fallback().map_or(&[][..], |name| self.named(name)) } else { exact };
        self.algorithms_of(lines, &names)
    }

    /// Starts a search for the verdict on a key. The caller runs the search in slices.
    #[doc(hidden)]
    #[must_use]
    pub fn scan(&self, host: &str, port: u16, key: &HostKey) -> HostScan {
        HostScan::new(HostNames::new(host, port), key.clone())
    }

    fn algorithms_of(&self, lines: &[usize], names: &HostNames) -> Vec<&'static str> {
        let is_named = |id: &usize| names.all().any(|name| self.names(*id, name));
        let trusted = lines.iter().filter(|id| !self.revocations_of(**id).iter().any(is_named));
        KeyType::algorithms_of(trusted.filter_map(|id| self.key_type_of(*id)).collect())
    }

    /// The entries without a marker that match `name`, sorted by line.
    fn lines_of(&self, name: &str) -> Vec<usize> {
        let mut lines = self.named(name).to_vec();
        lines.extend(self.unindexed.iter().filter(|id| self.names(**id, name)));
        lines.sort_unstable();
        lines
    }

    /// The entries that have `name` as a plain name.
    pub(super) fn named(&self, name: &str) -> &[usize] {
        self.by_name.get(name.as_bytes()).map_or(&[], Vec::as_slice)
    }

    /// The first entry that has `name` as a plain name and contains `key`.
    pub(super) fn named_with(&self, name: &str, key: &HostKey) -> Option<usize> {
        let key = self.key_ids.get(key.blob())?;
        let has_key = |id: &usize| self.entries.get(*id).is_some_and(|entry| entry.key == *key);
        self.named(name).iter().copied().find(has_key)
    }

    /// The entries whose names must be compared one by one.
    pub(super) fn unindexed(&self) -> &[usize] {
        &self.unindexed
    }

    /// The entries of [`unindexed`](Self::unindexed) that contain `key` and come before the entry
    /// `end`.
    pub(super) fn unindexed_with(&self, key: &HostKey, end: Option<usize>) -> &[usize] {
        let ids = self.key_ids.get(key.blob()).and_then(|key| self.keys.get(*key));
        let ids = ids.map_or(&[][..], Vec::as_slice);
        &ids[..end.map_or(ids.len(), |end| ids.partition_point(|id| *id < end))]
    }

    /// The `@revoked` entries for this key.
    pub(super) fn revocations(&self, key: &HostKey) -> &[usize] {
        let ids = self.key_ids.get(key.blob()).and_then(|key| self.revoked.get(key));
        ids.map_or(&[], Vec::as_slice)
    }

    /// The `@revoked` entries for the key of the entry `id`.
    pub(super) fn revocations_of(&self, id: usize) -> &[usize] {
        let ids = self.entries.get(id).and_then(|entry| self.revoked.get(&entry.key));
        ids.map_or(&[], Vec::as_slice)
    }

    /// The `@cert-authority` entries. Host certificates are not supported, so such an entry only
    /// explains why `ssh` may know a host that is unknown here.
    pub(super) fn authorities(&self) -> &[usize] {
        &self.authorities
    }

    /// Finds the next entry in `ids`, from `position` on, that matches one of `names`. Subtracts
    /// the cost of each comparison from `left`, and returns `Pending` once `left` is 0.
    pub(super) fn find(
        &self,
        ids: &[usize],
        position: &mut usize,
        left: &mut usize,
        names: &[&str],
    ) -> Poll<Option<usize>> {
        while let Some(&id) = ids.get(*position) {
            if *left == 0 {
                return Poll::Pending;
            }
            *position += 1;
            let Some(entry) = self.entries.get(id) else { continue };
            *left = left.saturating_sub(entry.names.cost() * names.len());
            if names.iter().any(|name| entry.names.matches(name)) {
                return Poll::Ready(Some(id));
            }
        }
        Poll::Ready(None)
    }

    pub(super) fn key_type_of(&self, id: usize) -> Option<KeyType> {
        self.entries.get(id).map(|entry| entry.key_type)
    }

    pub(super) fn location_of(&self, id: usize) -> Location {
        self.entries.get(id).map_or_else(|| Location::new(Path::new("").into(), None), |at| self.location(at))
    }

    /// Whether the keys come from files.
    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Logs the lines that were skipped.
    pub(crate) fn log_problems(&self) {
        self.problems.iter().for_each(|problem| log::warn!("{problem}"));
    }

    pub(super) fn add_source(&mut self, source: Source) {
        self.sources.push(source);
    }

    /// How far the file at `path` has been read, if it is one of the loaded files.
    pub(super) fn source(&self, path: &Path) -> Option<&Source> {
        self.sources.iter().find(|source| &*source.path == path)
    }

    fn location(&self, entry: &Entry) -> Location {
        let path = self.paths.get(entry.path).map_or_else(|| Path::new("").into(), Arc::clone);
        Location::new(path, entry.line)
    }
}
