//! The chunks of a source that are in memory, and who waits for others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::ids::CommandId;
use crate::limits;

/// A chunk's file, by its position in the listing, and its number in the file.
type Key = (usize, u64);

/// Chunks in memory, at most [`limits::CHUNK_CACHE`] bytes, and those that are being read.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    cached: HashMap<Key, Cached>,
    /// The chunks by their last use.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
    reading: HashMap<Key, BTreeSet<CommandId>>,
}

#[derive(Debug)]
struct Cached {
    bytes: Arc<[u8]>,
    last_use: u64,
}

/// Chunks to read from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub first: u64,
    pub count: u64,
}

impl Chunks {
    /// Returns a chunk, or registers that `asker` waits for it. Also returns what has to be read
    /// now: for `asker`, or ahead. `end` is the number of chunks in the file, and `longest` that of
    /// the longest run.
    pub(super) fn take(
        &mut self,
        (file, number): Key,
        end: u64,
        longest: u64,
        asker: CommandId,
    ) -> (Option<Arc<[u8]>>, Option<Run>) {
        if let Some(bytes) = self.touch((file, number)) {
            // Each reader has a run that it takes from and a run that is on its way.
            let ahead = (number + 1)..end.min(number + 1 + longest);
            let missing = ahead.into_iter().find(|next| longest > 1 && !self.is_known((file, *next)));
            return (Some(bytes), missing.map(|first| self.start(file, first, end, longest)));
        }
        let is_read = self.reading.contains_key(&(file, number));
        let run = (!is_read).then(|| self.start(file, number, end, longest));
        self.reading.entry((file, number)).or_default().insert(asker);
        (None, run)
    }

    /// Ends the reading of a chunk, and returns who waits for it.
    pub(super) fn finish(&mut self, key: Key, bytes: Option<&Arc<[u8]>>) -> BTreeSet<CommandId> {
        if let Some(bytes) = bytes {
            self.keep(key, bytes.clone());
        }
        self.reading.remove(&key).unwrap_or_default()
    }

    fn is_known(&self, key: Key) -> bool {
        self.cached.contains_key(&key) || self.reading.contains_key(&key)
    }

    fn start(&mut self, file: usize, first: u64, end: u64, longest: u64) -> Run {
        let count = (first..end.min(first + longest))
            .take_while(|number| *number == first || !self.is_known((file, *number)))
            .count() as u64;
        for number in first..first + count {
            self.reading.entry((file, number)).or_default();
        }
        Run { first, count }
    }

    fn touch(&mut self, key: Key) -> Option<Arc<[u8]>> {
        let cached = self.cached.get_mut(&key)?;
        self.uses += 1;
        self.by_use.remove(&cached.last_use);
        self.by_use.insert(self.uses, key);
        cached.last_use = self.uses;
        Some(cached.bytes.clone())
    }

    /// Returns a chunk, after making it if it is not in memory.
    pub(super) fn get_or_keep(&mut self, key: Key, make: impl FnOnce() -> Arc<[u8]>) -> Arc<[u8]> {
        self.touch(key).unwrap_or_else(|| {
            let made = make();
            self.keep(key, made.clone());
            made
        })
    }

    fn keep(&mut self, key: Key, bytes: Arc<[u8]>) {
        self.uses += 1;
        self.bytes += cost(&bytes);
        self.by_use.insert(self.uses, key);
        if let Some(old) = self.cached.insert(key, Cached { bytes, last_use: self.uses }) {
            self.by_use.remove(&old.last_use);
            self.bytes -= cost(&old.bytes);
        }
        while self.bytes > limits::CHUNK_CACHE
            && let Some((_, oldest)) = self.by_use.pop_first()
            && let Some(dropped) = self.cached.remove(&oldest)
        {
            self.bytes -= cost(&dropped.bytes);
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize, usize) {
        assert_eq!(self.cached.len(), self.by_use.len());
        assert_eq!(self.cached.values().map(|chunk| cost(&chunk.bytes)).sum::<usize>(), self.bytes);
        (self.cached.len(), self.bytes, self.reading.len())
    }
}

fn cost(bytes: &[u8]) -> usize {
    bytes.len() + limits::CHUNK_OVERHEAD
}
