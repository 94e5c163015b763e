//! A FIFO queue of indices without duplicates: an index that is queued already keeps its earlier
//! place.

use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(crate) struct IndexQueue {
    order: VecDeque<usize>,
    queued: Vec<bool>,
}

impl IndexQueue {
    pub(crate) fn push(&mut self, index: usize) {
        if self.mark(index) {
            self.order.push_back(index);
        }
    }

    /// Puts an index that was popped but not served back to the front of the queue.
    pub(crate) fn push_front(&mut self, index: usize) {
        if self.mark(index) {
            self.order.push_front(index);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<usize> {
        let index = self.order.pop_front()?;
        if let Some(queued) = self.queued.get_mut(index) {
            *queued = false;
        }
        Some(index)
    }

    /// The index that [`pop`](Self::pop) would return.
    pub(crate) fn first(&self) -> Option<usize> {
        self.order.front().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, index: usize) -> bool {
        self.queued.get(index) == Some(&true)
    }

    /// Marks an index as queued. Returns whether it was not queued before.
    fn mark(&mut self, index: usize) -> bool {
        if self.queued.len() <= index {
            self.queued.resize(index + 1, false);
        }
        !std::mem::replace(&mut self.queued[index], true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_keep_their_first_place() {
        let mut queue = IndexQueue::default();
        for index in [3, 1, 3, 2, 1] {
            queue.push(index);
        }
        let order: Vec<usize> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [3, 1, 2]);
        queue.push(3);
        assert_eq!(queue.pop(), Some(3));
    }
}
