//! What hosts share, found again by its value.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Weak};

/// Values that are found by their hash. They belong to the hosts that use them: those that no host
/// uses any more are forgotten before they are more than the others.
#[derive(Debug, Clone)]
pub(super) struct Known<V> {
    hasher: RandomState,
    by_hash: HashMap<u64, Vec<V>>,
    /// How many values may be added before the unused ones are forgotten.
    room: usize,
}

/// Whether a host uses the value.
pub(super) trait InUse {
    fn is_in_use(&self) -> bool;
}

impl<T> InUse for Weak<T> {
    fn is_in_use(&self) -> bool {
        self.strong_count() > 0
    }
}

impl<V> Default for Known<V> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), by_hash: HashMap::new(), room: 0 }
    }
}

impl<V: InUse> Known<V> {
    /// The first result for a value with the hash of this key.
    pub fn find<T>(&self, key: &impl Hash, result: impl Fn(&V) -> Option<T>) -> Option<T> {
        self.by_hash.get(&self.hasher.hash_one(key))?.iter().find_map(result)
    }

    pub fn insert(&mut self, key: &impl Hash, value: V) {
        if self.room == 0 {
            self.by_hash.retain(|_, values| {
                values.retain(V::is_in_use);
                !values.is_empty()
            });
            self.room = self.len() + 1;
        }
        self.room -= 1;
        self.by_hash.entry(self.hasher.hash_one(key)).or_default().push(value);
    }

    pub fn len(&self) -> usize {
        self.by_hash.values().map(Vec::len).sum()
    }
}

impl<T: Hash + Eq> Known<Weak<T>> {
    /// Returns the equal value that a host uses, if there is one, in place of this one.
    pub fn share(&mut self, value: Arc<T>) -> Arc<T> {
        let equal = |known: &Weak<T>| known.upgrade().filter(|known| *known == value);
        if let Some(known) = self.find(&value, equal) {
            return known;
        }
        self.insert(&*value, Arc::downgrade(&value));
        value
    }
}
