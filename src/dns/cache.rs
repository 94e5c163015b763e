//! Answers kept for as long as their servers say.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::Name;

use super::wire::{Answer, Kind};

type Key = (Name, Kind);

/// A table of fixed size: when it is full, the answer that came first gives way.
///
/// With its first answer it gets its full size, as growing would copy everything in one turn. Hosts that are addresses
/// bring none.
pub(super) struct Cache {
    entries: HashMap<Key, Entry>,
    /// In the order of arrival; a key may be gone, or have come again.
    order: VecDeque<(Key, u64)>,
    capacity: usize,
    arrivals: u64,
}

struct Entry {
    expiry: Instant,
    arrival: u64,
    answer: Answer,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), capacity, arrivals: 0 }
    }

    /// The answer to this question, if it is known and still holds.
    pub(super) fn find(&self, name: &Name, kind: Kind, now: Instant) -> Option<&Answer> {
        // The key is a pair of owned values; a name of usual length is cloned without allocating.
        let entry = self.entries.get(&(name.clone(), kind))?;
        (entry.expiry > now).then_some(&entry.answer)
    }

    /// Keeps an answer, if it may be kept.
    pub(super) fn insert(&mut self, name: &Name, kind: Kind, answer: &Answer, now: Instant) {
        let Some(expiry) = ttl(answer).and_then(|ttl| now.checked_add(ttl)).filter(|&expiry| expiry > now)
        else {
            return;
        };
        if self.capacity == 0 {
            return;
        }
        if self.entries.capacity() == 0 {
            self.entries.reserve(self.capacity);
            self.order.reserve_exact(self.capacity);
        }
        if self.order.len() == self.capacity {
            self.drop_first();
        }
        self.arrivals += 1;
        let key = (name.to_lowercase(), kind);
        self.order.push_back((key.clone(), self.arrivals));
        self.entries.insert(key, Entry { expiry, arrival: self.arrivals, answer: answer.clone() });
    }

    fn drop_first(&mut self) {
        let Some((key, arrival)) = self.order.pop_front() else { return };
        if self.entries.get(&key).is_some_and(|entry| entry.arrival == arrival) {
            self.entries.remove(&key);
        }
    }
}

fn ttl(answer: &Answer) -> Option<Duration> {
    match answer {
        Answer::Addresses { ttl, .. } | Answer::Alias { ttl, .. } => Some(*ttl),
        Answer::NoData { ttl } | Answer::NoSuchName { ttl } => *ttl,
        Answer::FormatError | Answer::Failure(_) | Answer::Truncated => None,
    }
}

impl Answer {
    /// Whether it says that there is nothing.
    pub(super) fn is_negative(&self) -> bool {
        matches!(self, Self::NoData { .. } | Self::NoSuchName { .. })
    }
}
