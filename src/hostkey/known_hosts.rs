//! The content of `known_hosts` files, read once and indexed for a whole fleet.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use memchr::memchr;

use super::key::{HostKey, KeyType};
use super::line::{Line, LineFault, LineNames, Marker};
use super::load::Source;
use super::names::HostNames;
use super::scan::HostScan;
use super::verdict::{LineProblem, Location, Verdict};

/// How many skipped lines are described; [`KnownHosts::problem_count`] counts on.
pub const PROBLEMS_MAX: usize = 1_000;

#[derive(Debug)]
struct Entry {
    names: LineNames,
    marker: Marker,
    key_type: KeyType,
    /// Position in `KnownHosts::keys`.
    key: usize,
    /// Position in `KnownHosts::paths`.
    path: usize,
    line: Option<usize>,
}

impl Entry {
    fn revokes(&self, names: &HostNames) -> bool {
        self.marker == Marker::Revoked && names.all().any(|name| self.names.matches(name))
    }
}

/// The lines of one or more `known_hosts` files, in the format of `sshd(8)`, "SSH_KNOWN_HOSTS FILE FORMAT".
///
/// Lines are indexed by key and by plain name. So whether a host may show a key that is on record takes
/// constant time; only an unknown or changed key needs a look at each hashed name and pattern, as hashes are
/// made to allow nothing better ([`HostScan`] cuts that work into slices).
#[derive(Debug, Default)]
pub struct KnownHosts {
    paths: Vec<Arc<Path>>,
    sources: Vec<Source>,
    entries: Vec<Entry>,
    key_ids: HashMap<Box<[u8]>, usize>,
    /// For each key the entries that carry it, in the order of the lines.
    keys: Vec<Vec<usize>>,
    /// Entries without a marker, by the plain names of their line.
    by_name: HashMap<Box<[u8]>, Vec<usize>>,
    /// Entries without a marker whose names are hashed or patterns.
    unindexed: Vec<usize>,
    authorities: Vec<usize>,
    problems: Vec<LineProblem>,
    problem_count: usize,
}

impl KnownHosts {
    /// Knows no host.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds the lines of `text`; `source` is the name that messages give them.
    pub fn parse(&mut self, text: &[u8], source: &Path) {
        self.parse_more(text, &mut Source::new(source));
    }

    /// Adds the lines of `text`, which follows what was read from the source before, and moves the source on
    /// to the last line feed.
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
        match self.keys.get_mut(key) {
            Some(entries) => entries.push(id),
            None => self.keys.push(vec![id]),
        }
        match line.marker {
            Marker::None => match line.names.literals() {
                Some(names) => {
                    for name in names {
                        let ids = self.by_name.entry(name.into()).or_default();
                        // A list may repeat a name.
                        if ids.last() != Some(&id) {
                            ids.push(id);
                        }
                    }
                }
                None => self.unindexed.push(id),
            },
            Marker::CertAuthority => self.authorities.push(id),
            Marker::Revoked => {}
        }
        self.entries.push(Entry {
            names: line.names,
            marker: line.marker,
            key_type,
            key,
            path,
            line: number,
        });
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

    /// The lines that were skipped, the first [`PROBLEMS_MAX`] of them.
    #[must_use]
    pub fn problems(&self) -> &[LineProblem] {
        &self.problems
    }

    /// How many lines were skipped.
    #[must_use]
    pub fn problem_count(&self) -> usize {
        self.problem_count
    }

    /// How many keys of hosts, authorities and revocations were read, one per line.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no line carries a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the files say about `key` shown by `host` on `port`.
    ///
    /// This is the verdict of `ssh` (OpenSSH `check_key_in_hostkeys`, `check_host_key`): for any port but 22
    /// the lines of `[host]:port` decide, and where there are none, a line for `host` without a port may make
    /// the key known, but never changed. In one case the verdict is stricter: a `@revoked` line for `host`
    /// holds on all its ports.
    #[must_use]
    pub fn verdict(&self, host: &str, port: u16, key: &HostKey) -> Verdict {
        self.verdict_for(&HostNames::new(host, port), key)
    }

    pub(super) fn verdict_for(&self, names: &HostNames, key: &HostKey) -> Verdict {
        if let Some(verdict) = self.verdict_by_key(names, key) {
            return verdict;
        }
        let lines = self.lines_of(names.exact());
        self.verdict_by_lines(names, key, &lines)
    }

    /// The verdict from a scan that has seen all lines.
    pub(super) fn verdict_from(&self, scan: &HostScan, key: &HostKey) -> Verdict {
        let names = scan.names();
        self.verdict_by_key(names, key)
            .unwrap_or_else(|| self.verdict_by_lines(names, key, scan.exact_lines()))
    }

    /// Settles all that the lines of this very key can settle.
    fn verdict_by_key(&self, names: &HostNames, key: &HostKey) -> Option<Verdict> {
        if let Some(revoked) = self.revoked(names, key) {
            return Some(revoked);
        }
        let location = self.line_with(names.exact(), key)?;
        Some(Verdict::Known { location })
    }

    fn verdict_by_lines(&self, names: &HostNames, key: &HostKey, lines: &[usize]) -> Verdict {
        let entries = || lines.iter().filter_map(|id| self.entries.get(*id));
        let same_type = entries().filter(|entry| entry.key_type == key.key_type());
        let locations = same_type.map(|entry| self.location(entry)).collect::<Vec<_>>();
        if !locations.is_empty() {
            return Verdict::Changed { locations };
        }
        let recorded = entries().map(|entry| (entry.key_type, self.location(entry))).collect::<Vec<_>>();
        if !recorded.is_empty() {
            return Verdict::OtherType { recorded };
        }
        match names.fallback().and_then(|name| self.line_with(name, key)) {
            Some(location) => Verdict::Known { location },
            None => Verdict::Unknown,
        }
    }

    fn entries_with(&self, blob: &[u8]) -> impl Iterator<Item = &Entry> {
        let ids = self.key_ids.get(blob).and_then(|key| self.keys.get(*key));
        ids.into_iter().flatten().filter_map(|id| self.entries.get(*id))
    }

    /// The verdict `Revoked`, if a line says so.
    pub(super) fn revoked(&self, names: &HostNames, key: &HostKey) -> Option<Verdict> {
        let entry = self.entries_with(key.blob()).find(|entry| entry.revokes(names))?;
        Some(Verdict::Revoked { location: self.location(entry) })
    }

    /// The first line that gives `key` to `name`.
    fn line_with(&self, name: &str, key: &HostKey) -> Option<Location> {
        self.entries_with(key.blob())
            .find(|entry| entry.marker == Marker::None && entry.names.matches(name))
            .map(|entry| self.location(entry))
    }

    /// The `@cert-authority` line that covers a host. Host certificates are not supported; the line explains
    /// to a user why `ssh` knows a host that is unknown here.
    pub(super) fn authority(&self, names: &HostNames) -> Option<Location> {
        let mut entries = self.authorities.iter().filter_map(|id| self.entries.get(*id));
        let entry = entries.find(|entry| names.all().any(|name| entry.names.matches(name)))?;
        Some(self.location(entry))
    }

    /// The host key algorithms for which a key of the host is on record, best first: those to offer first in
    /// the handshake, so that the server shows a key that can be verified (OpenSSH `order_hostkeyalgs`).
    ///
    /// An `ssh-rsa` key gives `rsa-sha2-512` and `rsa-sha2-256`. Where `[host]:port` has no lines, those of
    /// `host` count, as for the verdict. Revoked keys do not count.
    #[must_use]
    pub fn recorded_algorithms(&self, host: &str, port: u16) -> Vec<&'static str> {
        let mut scan = self.scan(host, port);
        while !scan.advance(self, usize::MAX) {}
        self.algorithms_from(&scan)
    }

    /// As [`recorded_algorithms`](Self::recorded_algorithms), from those lines that show the host's name: in constant time,
    /// whatever the number of hashed lines and patterns, which are not looked at.
    #[must_use]
    pub fn named_algorithms(&self, host: &str, port: u16) -> Vec<&'static str> {
        let names = HostNames::new(host, port);
        let exact = self.named(names.exact());
        let lines =
            if exact.is_empty() { names.fallback().map_or(&[][..], |name| self.named(name)) } else { exact };
        self.algorithms_of(lines, &names)
    }

    /// Starts a search for the lines of a host that can be done in slices.
    #[must_use]
    pub fn scan(&self, host: &str, port: u16) -> HostScan {
        HostScan::new(HostNames::new(host, port))
    }

    /// The host key algorithms on record, from a scan that has seen all lines.
    #[must_use]
    pub fn algorithms_from(&self, scan: &HostScan) -> Vec<&'static str> {
        self.algorithms_of(scan.lines(), scan.names())
    }

    fn algorithms_of(&self, lines: &[usize], names: &HostNames) -> Vec<&'static str> {
        let entries = lines.iter().filter_map(|id| self.entries.get(*id));
        let trusted = entries.filter(|entry| !self.is_revoked(entry.key, names));
        let mut types: Vec<KeyType> = trusted.map(|entry| entry.key_type).collect();
        types.sort_unstable();
        types.dedup();
        types.iter().flat_map(|key_type| key_type.signature_algorithms()).copied().collect()
    }

    fn is_revoked(&self, key: usize, names: &HostNames) -> bool {
        let mut entries = self.keys.get(key).into_iter().flatten().filter_map(|id| self.entries.get(*id));
        entries.any(|entry| entry.revokes(names))
    }

    /// Entries without a marker that match `name`, in the order of the lines.
    fn lines_of(&self, name: &str) -> Vec<usize> {
        let mut lines = self.named(name).to_vec();
        lines.extend(self.unindexed_matches(name, 0, self.unindexed.len()));
        lines.sort_unstable();
        lines
    }

    /// Entries that carry `name` as a plain name.
    pub(super) fn named(&self, name: &str) -> &[usize] {
        self.by_name.get(name.as_bytes()).map_or(&[], Vec::as_slice)
    }

    /// How many entries only a comparison with each of them can find.
    pub(super) fn unindexed_len(&self) -> usize {
        self.unindexed.len()
    }

    /// Those of the unindexed entries from `start` to `end` that match `name`.
    pub(super) fn unindexed_matches(
        &self,
        name: &str,
        start: usize,
        end: usize,
    ) -> impl Iterator<Item = usize> {
        let ids = self.unindexed.get(start..end).unwrap_or_default().iter().copied();
        ids.filter(move |id| self.entries.get(*id).is_some_and(|entry| entry.names.matches(name)))
    }

    pub(super) fn add_source(&mut self, source: Source) {
        self.sources.push(source);
    }

    /// How far a file has been read, if it is one of those that were loaded.
    pub(super) fn source(&self, path: &Path) -> Option<&Source> {
        self.sources.iter().find(|source| &*source.path == path)
    }

    fn location(&self, entry: &Entry) -> Location {
        let path = self.paths.get(entry.path).map_or_else(|| Path::new("").into(), Arc::clone);
        Location::new(path, entry.line)
    }
}
