//! Recording of new keys (`StrictHostKeyChecking accept-new`).
//!
//! Recording a key may block on the disk, on the lock of the file, and on other threads that record
//! keys. A turn must not block, so it calls only [`Recorder::recorded_at`] and
//! [`Recorder::indexed_algorithms`]. The lock that these take is never held across a blocking call.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key::{Fingerprint, HostKey, KeyType};
use super::known_hosts::KnownHosts;
use super::line::hashed_column;
use super::load::{Source, read_limited};
use super::names::HostNames;
use super::open::Locked;
use super::verdict::{Location, Verdict};
use super::verification::{NewKey, OnRecord, Recorded};
use crate::limits;

/// Appends new keys to a file and remembers them, together with lines that other processes append.
#[derive(Debug)]
pub(super) struct Recorder {
    path: Arc<Path>,
    /// Locked while the file is read or written.
    file: Mutex<RecordFile>,
    index: Mutex<RecordedKeys>,
}

/// What is known about the file.
#[derive(Debug)]
pub(super) struct RecordFile {
    hashed: bool,
    source: Source,
    /// The file's length when it was last read.
    length: u64,
    /// The lines added to the file since it was loaded.
    pub(super) learned: KnownHosts,
}

/// The keys recorded since the files were loaded, by the exact name of their host.
type RecordedKeys = HashMap<String, Vec<RecordedKey>>;

#[derive(Debug)]
struct RecordedKey {
    key_type: KeyType,
    fingerprint: Fingerprint,
    location: Location,
}

impl Recorder {
    /// Creates a recorder that continues where `known` stopped reading the file. If the file is not
    /// one of the loaded files, the recorder starts at the beginning of the file.
    pub(super) fn new(file: &Path, hashed: bool, known: &KnownHosts) -> Self {
        let record = RecordFile::new(file, hashed, Some(known));
        Self { path: file.into(), file: Mutex::new(record), index: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a key was recorded for a host, according to the index. Does not block.
    pub(super) fn recorded_at(&self, names: &HostNames, key: &HostKey) -> Option<Location> {
        let fingerprint = key.fingerprint();
        let recorded = lock(&self.index);
        let key = recorded.get(names.exact())?.iter().find(|key| key.fingerprint == fingerprint)?;
        Some(key.location.clone())
    }

    /// The algorithms of the keys recorded for a host, according to the index. Does not block.
    pub(super) fn indexed_algorithms(&self, names: &HostNames) -> Vec<&'static str> {
        let recorded = lock(&self.index);
        let recorded = recorded.get(names.exact()).map_or(&[][..], Vec::as_slice);
        KeyType::algorithms_of(recorded.iter().map(|key| key.key_type).collect())
    }

    /// The algorithms of the keys recorded for a host since the files were loaded. Blocks while
    /// another thread records.
    #[cfg(test)]
    pub(super) fn recorded_algorithms(&self, host: &str, port: u16) -> Vec<&'static str> {
        lock(&self.file).learned.recorded_algorithms(host, port)
    }

    /// Records the keys of unknown hosts. Does not record the key of a host for which another
    /// process has recorded a key meanwhile. Any number of keys takes one write and one sync.
    ///
    /// If the verdict on a key is `Known`, the key is on the disk. Any other verdict, and any
    /// error, is a reason to refuse the key. An error means that the file cannot be opened, read or
    /// written, or that another process holds its lock.
    pub(super) fn record(&self, new: &[NewKey]) -> Vec<Recorded> {
        let mut record = lock(&self.file);
        let mut found = vec![None; new.len()];
        let result = record.record(new, &mut found, || lock(&self.index).clear());
        // After a partial write, some of the keys are on record although there is an error.
        record.look_up(new, &mut found);
        self.update_index(new, &found);
        let results = found.into_iter().map(|found| match (found, &result) {
            (Some(found), _) => Ok(found),
            (None, Err(e)) => Err(copy_error(e)),
            (None, Ok(())) => Ok(OnRecord { verdict: Verdict::Unknown, algorithms: Vec::new() }),
        });
        results.collect()
    }

    fn update_index(&self, new: &[NewKey], found: &[Option<OnRecord>]) {
        let mut recorded = lock(&self.index);
        for (NewKey { names, key }, found) in new.iter().zip(found) {
            let Some(OnRecord { verdict: Verdict::Known { location }, .. }) = found else { continue };
            let (key_type, fingerprint, location) = (key.key_type(), key.fingerprint(), location.clone());
            let recorded = recorded.entry(names.exact().to_owned()).or_default();
            recorded.retain(|key| key.fingerprint != fingerprint);
            recorded.push(RecordedKey { key_type, fingerprint, location });
        }
    }
}

impl RecordFile {
    /// Continues where `known` stopped reading the file, if it did read it.
    pub(super) fn new(file: &Path, hashed: bool, known: Option<&KnownHosts>) -> Self {
        let source = known.and_then(|known| known.source(file)).cloned();
        let source = source.unwrap_or_else(|| Source::new(file));
        Self { hashed, length: source.bytes, source, learned: KnownHosts::empty() }
    }

    /// Records the keys that are unknown, and sets `found` to what is on record for each key's
    /// host. Calls `changed` if other processes have written to the file.
    fn record(
        &mut self,
        new: &[NewKey],
        found: &mut [Option<OnRecord>],
        changed: impl FnOnce(),
    ) -> io::Result<()> {
        self.look_up(new, found);
        if found.iter().all(Option::is_some) {
            return Ok(());
        }
        let mut locked = Locked::open(&self.source.path, limits::RECORD_LOCK_WAIT)?;
        if self.catch_up(&mut locked)? {
            changed();
        }
        loop {
            self.look_up(new, found);
            // A second key of the same host waits until the first is on record.
            let mut seen = HashSet::new();
            let unknown = new.iter().zip(&*found).filter(|(_, found)| found.is_none()).map(|(new, _)| new);
            let batch = unknown.filter(|new| seen.insert(new.names.exact())).collect::<Vec<_>>();
            if batch.is_empty() {
                return Ok(());
            }
            self.append(&mut locked, &batch)?;
        }
    }

    fn look_up(&self, new: &[NewKey], found: &mut [Option<OnRecord>]) {
        for (new, found) in new.iter().zip(found) {
            if found.is_none() {
                *found = new.find_in(&self.learned);
            }
        }
    }

    /// Reads the lines that were added to the file since it was last read. Returns whether there
    /// were any.
    pub(super) fn catch_up(&mut self, locked: &mut Locked) -> io::Result<bool> {
        if !locked.metadata.is_file() {
            return Ok(false);
        }
        let (id, length) = (Some((locked.metadata.dev(), locked.metadata.ino())), locked.metadata.len());
        if self.source.id != id || length < self.source.bytes {
            self.source = Source { path: self.source.path.clone(), id, bytes: 0, lines: 0 };
            self.length = 0;
        }
        // If the file has not grown, do not read an unfinished last line again.
        if length <= self.length {
            return Ok(false);
        }
        locked.file.seek(SeekFrom::Start(self.source.bytes))?;
        let text = read_limited((&locked.file).take(length - self.source.bytes))?;
        self.learned.parse_more(&text, &mut self.source);
        self.length = length;
        Ok(true)
    }

    /// Appends a line for each key. Then adds to `learned` each key whose line is on the disk.
    ///
    /// All lines are written with one call to a file that is open for appending. The lines of
    /// several processes therefore do not mix, even if some of the processes do not use the lock.
    /// After a partial write (on a full disk), the unfinished last line is not a valid key, and the
    /// next writer starts a new line.
    fn append(&mut self, locked: &mut Locked, new: &[&NewKey]) -> io::Result<()> {
        let line_feed = if locked.ends_with_line()? { "" } else { "\n" };
        let mut text = line_feed.to_owned();
        let mut ends = Vec::with_capacity(new.len());
        for new in new {
            text.push_str(&line(new, self.hashed)?);
            ends.push(text.len());
        }
        let (written, result) = locked.write(text.as_bytes());
        locked.sync()?;
        let end = locked.file.stream_position()?;
        // The line numbers are known only if no other process has written since the file was read.
        let is_sole_writer = result.is_ok() && end.checked_sub(written as u64) == Some(self.length);
        for (index, (NewKey { names, key }, end)) in new.iter().zip(ends).enumerate() {
            if end > written {
                break;
            }
            let line = is_sole_writer.then_some(self.source.lines + line_feed.len() + index + 1);
            self.learned.insert(names.exact(), key.clone(), &self.source.path, line);
        }
        if is_sole_writer {
            self.source.bytes = end;
            self.source.lines += line_feed.len() + new.len();
            self.length = end;
        }
        result
    }
}

/// The line that records a key, with its line feed.
pub(super) fn line(NewKey { names, key }: &NewKey, hashed: bool) -> io::Result<String> {
    let key = key.to_openssh();
    if !hashed {
        return Ok(format!("{} {key}\n", names.exact()));
    }
    let mut salt = [0; 20];
    getrandom::fill(&mut salt)?;
    Ok(format!("{} {key}\n", hashed_column(&salt, names.exact())))
}

/// Copies an error, because one failed write is reported to each host that waited for it.
fn copy_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
