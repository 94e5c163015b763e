//! Back-pressure: hosts that are not read from, because too much of their output is unread.
//!
//! A host that waits for the reader of one stream resumes when that stream is read. Hosts that
//! wait for the fleet's output budget resume when other output is read: they are tried one after
//! the other, as far as the freed budget goes.

use crate::output::Bound;
use crate::reactor::IndexQueue;

#[derive(Debug)]
pub(super) struct HeldBack {
    /// Hosts that wait for the budget, and some that no longer do.
    queue: IndexQueue,
    /// The share of a stream from which it is worth trying the queue again.
    at: usize,
    look: Look,
}

/// One pass over the queue.
#[derive(Debug, Default)]
struct Look {
    /// How many hosts are left to try.
    left: usize,
    /// The share when the pass began.
    share: usize,
}

impl Default for HeldBack {
    fn default() -> Self {
        Self { queue: IndexQueue::default(), at: usize::MAX, look: Look::default() }
    }
}

impl HeldBack {
    /// Queues a host after its visit if it waits for the budget. `share` is the current share of a
    /// stream.
    pub(super) fn update(&mut self, index: usize, held: Option<Bound>, share: usize) {
        if held == Some(Bound::Budget) {
            self.queue.push(index);
            self.at = self.at.min(more(share));
        }
    }

    /// Whether hosts may resume with this share.
    pub(super) fn has_next(&self, share: usize) -> bool {
        !self.queue.is_empty() && (self.look.left > 0 || share >= self.at)
    }

    /// The next host to try. Its visit queues it again if it cannot resume.
    pub(super) fn next(&mut self, share: usize) -> Option<usize> {
        if self.look.left == 0 && share >= self.at {
            self.look = Look { left: self.queue.len(), share };
            self.at = more(share);
        } else if self.look.left > 0 && share < self.look.share {
            // Hosts that resumed have used up what was free.
            self.look.left = 0;
            self.at = more(share);
        }
        self.look.left = self.look.left.checked_sub(1)?;
        self.queue.pop()
    }
}

/// The next threshold, a quarter higher: this bounds futile tries by what is read in between.
fn more(share: usize) -> usize {
    share.saturating_add(share.div_ceil(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Option<Bound> = Some(Bound::Budget);

    fn held(hosts: usize, share: usize) -> HeldBack {
        let mut held = HeldBack::default();
        (0..hosts).for_each(|index| held.update(index, BUDGET, share));
        held
    }

    #[test]
    fn hosts_that_wait_for_the_budget_resume_in_order_until_it_is_used_up() {
        let mut held = held(3, 100);
        assert!(!held.has_next(124) && held.has_next(125));
        assert_eq!(held.next(usize::MAX), Some(0));
        held.update(0, None, usize::MAX);
        assert_eq!(held.next(usize::MAX), Some(1));
        held.update(1, BUDGET, 80);
        assert_eq!(held.next(80), None, "the budget is used up");
        assert!(!held.has_next(99) && held.has_next(100));
        assert_eq!([held.next(100), held.next(100)], [Some(2), Some(1)], "the longest wait first");
    }

    #[test]
    fn hosts_that_cannot_resume_are_tried_once_per_pass() {
        let mut held = held(3, 100);
        for index in 0..3 {
            assert_eq!(held.next(130), Some(index));
            held.update(index, BUDGET, 130);
        }
        assert_eq!((held.next(130), held.has_next(130)), (None, false));
        assert!(held.has_next(163));
    }

    #[test]
    fn a_host_that_waits_for_its_own_reader_is_not_queued() {
        let mut held = HeldBack::default();
        held.update(7, Some(Bound::Stream), usize::MAX);
        assert_eq!((held.has_next(usize::MAX), held.next(usize::MAX)), (false, None));
    }
}
