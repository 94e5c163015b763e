//! Recording of new keys (`StrictHostKeyChecking accept-new`).
//!
//! Whoever records waits: for the disk, for the lock of the file, for others who record. A turn does not. It
//! asks [`Recorder::noted`] and [`Recorder::algorithms_at_hand`], whose lock nobody holds while waiting for
//! anything.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
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

/// Appends new keys to a file and remembers them, along with what other processes append.
#[derive(Debug)]
pub(super) struct Recorder {
    path: Arc<Path>,
    /// Held while the file is read or written.
    file: Mutex<Record>,
    noted: Mutex<Notes>,
}

/// What is known of the file.
#[derive(Debug)]
struct Record {
    hashed: bool,
    source: Source,
    /// How long the file was when it was read last.
    length: u64,
    /// What came into the file since it was loaded.
    learned: KnownHosts,
}

/// Keys that are on record since the files were loaded, by the exact name of their host.
type Notes = HashMap<String, Vec<Note>>;

#[derive(Debug)]
struct Note {
    key_type: KeyType,
    fingerprint: Fingerprint,
    location: Location,
}

impl Recorder {
    /// Goes on where `known` has read the file, or at its start if it is not one of the loaded files.
    pub(super) fn new(file: &Path, hashed: bool, known: &KnownHosts) -> Self {
        let source = known.source(file).cloned().unwrap_or_else(|| Source::new(file));
        let record = Record { hashed, length: source.bytes, source, learned: KnownHosts::empty() };
        Self { path: file.into(), file: Mutex::new(record), noted: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a key was recorded for a host, as far as that can be told at once.
    pub(super) fn noted(&self, names: &HostNames, key: &HostKey) -> Option<Location> {
        let fingerprint = key.fingerprint();
        let notes = lock(&self.noted);
        let note = notes.get(names.exact())?.iter().find(|note| note.fingerprint == fingerprint)?;
        Some(note.location.clone())
    }

    /// The algorithms of the keys recorded for a host, as far as that can be told at once.
    pub(super) fn algorithms_at_hand(&self, names: &HostNames) -> Vec<&'static str> {
        let notes = lock(&self.noted);
        let notes = notes.get(names.exact()).map_or(&[][..], Vec::as_slice);
        KeyType::algorithms_of(notes.iter().map(|note| note.key_type).collect())
    }

    /// The algorithms of the keys recorded for a host since the files were loaded. Waits for those who
    /// record.
    #[cfg(test)]
    pub(super) fn recorded_algorithms(&self, names: &HostNames) -> Vec<&'static str> {
        lock(&self.file).learned.recorded_algorithms_of(names)
    }

    /// Makes the keys of unknown hosts known, each unless somebody else has recorded one in the meantime.
    /// However many they are, they cost one write and one wait for the disk.
    ///
    /// A key for which the answer is `Known` is on the disk then. Any other verdict is the reason to refuse
    /// it, and so is an error: the file cannot be opened, read or written, or is locked.
    pub(super) fn record(&self, new: &[NewKey]) -> Vec<Recorded> {
        let mut record = lock(&self.file);
        let mut found = vec![None; new.len()];
        let result = record.record(new, &mut found, || lock(&self.noted).clear());
        // A write that was cut short has recorded some.
        record.look_up(new, &mut found);
        self.note(new, &found);
        let answers = found.into_iter().zip(new).map(|(verdict, new)| match (verdict, &result) {
            (Some(verdict @ Verdict::Known { .. }), _) => Ok(OnRecord { verdict, algorithms: Vec::new() }),
            (Some(verdict), _) => {
                let algorithms = match verdict {
                    Verdict::OtherType { .. } => record.learned.recorded_algorithms_of(&new.names),
                    _ => Vec::new(),
                };
                Ok(OnRecord { verdict, algorithms })
            }
            (None, Err(e)) => Err(same(e)),
            (None, Ok(())) => Ok(OnRecord { verdict: Verdict::Unknown, algorithms: Vec::new() }),
        });
        answers.collect()
    }

    fn note(&self, new: &[NewKey], found: &[Option<Verdict>]) {
        let mut notes = lock(&self.noted);
        for (NewKey { names, key }, verdict) in new.iter().zip(found) {
            let Some(Verdict::Known { location }) = verdict else { continue };
            let (key_type, fingerprint, location) = (key.key_type(), key.fingerprint(), location.clone());
            let notes = notes.entry(names.exact().to_owned()).or_default();
            notes.retain(|note| note.fingerprint != fingerprint);
            notes.push(Note { key_type, fingerprint, location });
        }
    }
}

impl Record {
    /// Fills in what is found for keys that were learned before or can be recorded. `changed` is called if
    /// others have written to the file.
    fn record(
        &mut self,
        new: &[NewKey],
        found: &mut [Option<Verdict>],
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
            // The second key of a host is looked at once the first is on record.
            let mut seen = HashSet::new();
            let unknown = new.iter().zip(&*found).filter(|(_, found)| found.is_none()).map(|(new, _)| new);
            let batch = unknown.filter(|new| seen.insert(new.names.exact())).collect::<Vec<_>>();
            if batch.is_empty() {
                return Ok(());
            }
            self.append(&mut locked, &batch)?;
        }
    }

    fn look_up(&self, new: &[NewKey], found: &mut [Option<Verdict>]) {
        for (NewKey { names, key }, found) in new.iter().zip(found) {
            if found.is_none() {
                let verdict = self.learned.verdict_for(names, key);
                *found = Some(verdict).filter(|verdict| *verdict != Verdict::Unknown);
            }
        }
    }

    /// Reads what has been added to the file since it was read last. Whether there was any.
    fn catch_up(&mut self, locked: &mut Locked) -> io::Result<bool> {
        if !locked.metadata.is_file() {
            return Ok(false);
        }
        let (id, length) = (Some((locked.metadata.dev(), locked.metadata.ino())), locked.metadata.len());
        if self.source.id != id || length < self.source.bytes {
            self.source = Source { path: self.source.path.clone(), id, bytes: 0, lines: 0 };
            self.length = 0;
        }
        // An unfinished last line is not read twice.
        if length <= self.length {
            return Ok(false);
        }
        locked.file.seek(SeekFrom::Start(self.source.bytes))?;
        let text = read_limited((&locked.file).take(length - self.source.bytes))?;
        self.learned.parse_more(&text, &mut self.source);
        self.length = length;
        Ok(true)
    }

    /// Appends a line for each key, and learns those that are on the disk afterwards.
    ///
    /// The lines go out in one write to a file opened for appending, so those of several processes do not
    /// mix, whether they ask for the lock or not. Where a write is cut short (full disk), the rest of the
    /// last line is no valid key, and the next writer starts a new line.
    fn append(&mut self, locked: &mut Locked, new: &[&NewKey]) -> io::Result<()> {
        let line_feed = if ends_with_line(locked)? { "" } else { "\n" };
        let mut text = line_feed.to_owned();
        let mut ends = Vec::with_capacity(new.len());
        for NewKey { names, key } in new {
            let name = if self.hashed {
                let mut salt = [0; 20];
                getrandom::fill(&mut salt)?;
                hashed_column(&salt, names.exact())
            } else {
                names.exact().to_owned()
            };
            text.extend([&name, " ", &key.to_openssh(), "\n"]);
            ends.push(text.len());
        }
        let (written, result) = write(locked, text.as_bytes());
        locked.sync()?;
        let end = locked.file.stream_position()?;
        // Only if nobody else has written since the file was read are the numbers of the lines known.
        let is_alone = result.is_ok() && end.checked_sub(written as u64) == Some(self.length);
        for (index, (NewKey { names, key }, end)) in new.iter().zip(ends).enumerate() {
            if end > written {
                break;
            }
            let line = is_alone.then_some(self.source.lines + line_feed.len() + index + 1);
            self.learned.insert(names.exact(), key.clone(), &self.source.path, line);
        }
        if is_alone {
            self.source.bytes = end;
            self.source.lines += line_feed.len() + new.len();
            self.length = end;
        }
        result
    }
}

/// Writes as much of it as can be written, and says how much.
fn write(locked: &mut Locked, text: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
        match locked.file.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return (written, Err(e)),
        }
    }
    (written, Ok(()))
}

/// Whether the next byte written starts a line.
fn ends_with_line(locked: &Locked) -> io::Result<bool> {
    let length = locked.file.metadata()?.len();
    if length == 0 {
        return Ok(true);
    }
    let mut last = [0];
    locked.file.read_exact_at(&mut last, length - 1)?;
    Ok(last == *b"\n")
}

/// The same error once more: each host has its own.
fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
