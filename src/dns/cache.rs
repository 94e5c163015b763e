//! A cache that keeps responses for as long as their TTLs allow.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use hickory_proto::rr::Name;

use super::wire::{Kind, Response};

type Key = (Name, Kind);

/// A table of fixed size: when it is full, the oldest response is dropped.
///
/// The table is allocated at its full size when the first response is stored, because growing it
/// would copy everything within one turn. If all hosts are literal addresses, it is never
/// allocated.
pub(super) struct Cache {
    entries: HashMap<Key, CachedResponse>,
    /// Keys in insertion order. The entry of a key may have been removed or inserted again since.
    order: VecDeque<(Key, u64)>,
    capacity: usize,
    insertions: u64,
}

struct CachedResponse {
    expiry: Instant,
    insertion: u64,
    response: Response,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), capacity, insertions: 0 }
    }

    /// The cached response to this query, unless it has expired.
    pub(super) fn find(&self, name: &Name, kind: Kind, now: Instant) -> Option<&Response> {
        // The map needs an owned key, but cloning a name of usual length does not allocate.
        let entry = self.entries.get(&(name.clone(), kind))?;
        (entry.expiry > now).then_some(&entry.response)
    }

    /// Stores a response, if it may be cached.
    pub(super) fn insert(&mut self, name: &Name, kind: Kind, response: &Response, now: Instant) {
        let Some(expiry) = ttl(response).and_then(|ttl| now.checked_add(ttl)).filter(|&expiry| expiry > now)
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
            self.drop_oldest();
        }
        self.insertions += 1;
        let key = (name.to_lowercase(), kind);
        self.order.push_back((key.clone(), self.insertions));
        self.entries
            .insert(key, CachedResponse { expiry, insertion: self.insertions, response: response.clone() });
    }

    fn drop_oldest(&mut self) {
        let Some((key, insertion)) = self.order.pop_front() else { return };
        if self.entries.get(&key).is_some_and(|entry| entry.insertion == insertion) {
            self.entries.remove(&key);
        }
    }
}

fn ttl(response: &Response) -> Option<Duration> {
    match response {
        Response::Addresses { ttl, .. } | Response::Alias { ttl, .. } => Some(*ttl),
        Response::NoData { ttl } | Response::NoSuchName { ttl } => *ttl,
        Response::FormatError | Response::Failure(_) | Response::Truncated => None,
    }
}

impl Response {
    /// Whether the response says that no such name or address exists.
    pub(super) fn is_negative(&self) -> bool {
        matches!(self, Self::NoData { .. } | Self::NoSuchName { .. })
    }
}
