//! Recording of new keys (`StrictHostKeyChecking accept-new`).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::key::HostKey;
use super::known_hosts::KnownHosts;
use super::line::hashed_column;
use super::load::{Source, read_limited};
use super::names::HostNames;
use super::scan::HostScan;
use super::verdict::Verdict;

/// Between the look at what others have written and the write, nobody else in this process may write.
static APPEND: Mutex<()> = Mutex::new(());

/// Appends new keys to a file and remembers them, along with what other processes append.
#[derive(Debug)]
pub(super) struct Recorder {
    hashed: bool,
    source: Source,
    /// What came into the file since it was loaded.
    learned: KnownHosts,
}

impl Recorder {
    /// Goes on where `known` has read the file, or at its start if it is not one of the loaded files.
    pub(super) fn new(file: &Path, hashed: bool, known: &KnownHosts) -> Self {
        let source = known.source(file).cloned().unwrap_or_else(|| Source::new(file));
        Self { hashed, source, learned: KnownHosts::empty() }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.source.path
    }

    /// The algorithms of the keys recorded for a host since the files were loaded.
    pub(super) fn recorded_algorithms(&self, names: &HostNames) -> Vec<&'static str> {
        let mut scan = HostScan::new(names.clone());
        while !scan.advance(&self.learned, usize::MAX) {}
        self.learned.algorithms_from(&scan)
    }

    /// Makes the key of an unknown host known, unless another process has recorded one in the meantime.
    ///
    /// The verdict is `Known` if the key is on record afterwards; any other is the reason to refuse it.
    ///
    /// # Errors
    /// The file cannot be created, read or written, or the name cannot stand in a `known_hosts` line.
    pub(super) fn record(&mut self, names: &HostNames, key: &HostKey) -> io::Result<Verdict> {
        let verdict = self.learned.verdict_for(names, key);
        if verdict != Verdict::Unknown {
            return Ok(verdict);
        }
        if !names.recordable() {
            let message = "the name of the host has characters with a special meaning there";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let _guard = APPEND.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = open(&self.source.path)?;
        let read_to = self.catch_up(&mut file)?;
        let verdict = self.learned.verdict_for(names, key);
        if verdict != Verdict::Unknown {
            return Ok(verdict);
        }
        let line = self.append(&mut file, read_to, names, key)?;
        self.learned.insert(names.exact(), key.clone(), &self.source.path, line);
        Ok(self.learned.verdict_for(names, key))
    }

    /// Reads what has been added to the file since it was read last and returns the length of the file.
    fn catch_up(&mut self, file: &mut File) -> io::Result<u64> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(0);
        }
        let id = Some((metadata.dev(), metadata.ino()));
        if self.source.id != id || metadata.len() < self.source.bytes {
            self.source = Source { path: self.source.path.clone(), id, bytes: 0, lines: 0 };
        }
        if metadata.len() > self.source.bytes {
            file.seek(SeekFrom::Start(self.source.bytes))?;
            let text = read_limited(file.take(metadata.len() - self.source.bytes))?;
            self.learned.parse_more(&text, &mut self.source);
        }
        Ok(metadata.len())
    }

    /// Appends a line and returns its number, unless others wrote since the file was read up to `read_to`.
    ///
    /// The line goes out in one write to a file opened for appending, so lines of several processes do not
    /// mix. If it is cut short (full disk), the rest of it is no valid key and the next writer starts a new
    /// line.
    fn append(
        &mut self,
        file: &mut File,
        read_to: u64,
        names: &HostNames,
        key: &HostKey,
    ) -> io::Result<Option<usize>> {
        let name = if self.hashed {
            let mut salt = [0; 20];
            getrandom::fill(&mut salt)?;
            hashed_column(&salt, names.exact())
        } else {
            names.exact().to_owned()
        };
        let line_feed = if ends_with_line(file)? { "" } else { "\n" };
        let text = format!("{line_feed}{name} {}\n", key.to_openssh());
        file.write_all(text.as_bytes())?;
        let end = file.stream_position()?;
        if end.checked_sub(text.len() as u64) != Some(read_to) {
            return Ok(None);
        }
        self.source.bytes = end;
        self.source.lines += 1 + line_feed.len();
        Ok(Some(self.source.lines))
    }
}

/// Opens the file for appending; creates it, and its directory, for the user alone.
fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// Whether the next byte written starts a line.
fn ends_with_line(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.read_exact_at(&mut last, length - 1)?;
    Ok(last == *b"\n")
}
