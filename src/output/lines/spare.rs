//! Large buffers that no stream uses at the moment.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::LineBuffer;

/// The spare buffers of a fleet. Clones share them. The default keeps none.
///
/// Without them, each host that prints much would get new memory, and leave a hole in the heap when
/// it ends. Small allocations settle in such holes, so the next large one does not fit, and the
/// heap of a fleet that runs for months grows.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpareBuffers(Option<Arc<Mutex<Vec<Vec<u8>>>>>);

impl SpareBuffers {
    /// The capacities of the buffers that are kept. One packet takes at least the smallest.
    const CAPACITIES: [usize; 4] =
        [LineBuffer::SMALL / 4, LineBuffer::SMALL / 2, LineBuffer::SMALL, LineBuffer::BLOCK];

    /// How many buffers of each capacity are kept. All together take 1.1 MiB. With more, a fleet
    /// whose hosts have printed would keep memory that it may never need again.
    const KEPT: usize = 2;

    pub(crate) fn new() -> Self {
        Self(Some(Arc::default()))
    }

    fn spare(&self) -> Option<MutexGuard<'_, Vec<Vec<u8>>>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the capacity of a buffer, which must have room for its bytes.
    pub(super) fn resize(&self, buffer: &mut Vec<u8>, capacity: usize) {
        let is_kept = |capacity| Self::CAPACITIES.contains(&capacity);
        if is_kept(capacity) || is_kept(buffer.capacity()) {
            let mut resized = self.take(capacity);
            resized.extend_from_slice(buffer);
            self.give(mem::replace(buffer, resized));
        } else if capacity > buffer.capacity() {
            buffer.reserve_exact(capacity - buffer.len());
        } else {
            buffer.shrink_to(capacity);
        }
    }

    /// An empty buffer of this capacity.
    fn take(&self, capacity: usize) -> Vec<u8> {
        let kept = self.spare().and_then(|mut spare| {
            let index = spare.iter().position(|buffer| buffer.capacity() == capacity)?;
            Some(spare.swap_remove(index))
        });
        kept.unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// Keeps a buffer for the next stream that needs one of its capacity, or frees it.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        if Self::CAPACITIES.contains(&buffer.capacity())
            && let Some(mut spare) = self.spare()
        {
            buffer.clear();
            let alike = spare.iter().filter(|kept| kept.capacity() == buffer.capacity()).count();
            if alike < Self::KEPT {
                spare.push(buffer);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn capacities(&self) -> Vec<usize> {
        self.spare().iter().flat_map(|spare| spare.iter().map(Vec::capacity)).collect()
    }
}
