//! Back-pressure: while too much output is unread, some hosts are held back, which means that their
//! connections are not read from.
//!
//! A host that is held back by one full stream resumes when that stream is read. A host that is
//! held back by the fleet's output budget resumes when any output is read. [`HeldBack`] queues the
//! hosts of this second kind. They are tried one after the other until the freed part of the budget
//! is used up again.

use crate::output::Bound;
use crate::reactor::IndexQueue;

#[derive(Debug)]
pub(super) struct HeldBack {
    /// The hosts that wait for the budget, and possibly some that no longer do.
    queue: IndexQueue,
    /// A new pass over the queue begins once the share of the budget per stream has reached this.
    at: usize,
    look: Look,
}

/// One pass over the queue.
#[derive(Debug, Default)]
struct Look {
    /// How many hosts this pass has yet to try.
    left: usize,
    /// The share of the budget per stream when the pass began.
    share: usize,
}

impl Default for HeldBack {
    fn default() -> Self {
        Self { queue: IndexQueue::default(), at: usize::MAX, look: Look::default() }
    }
}

impl HeldBack {
    /// Called after a visit to a host. Queues the host if it waits for the budget. `share` is the
    /// current share of the budget per stream.
    pub(super) fn update(&mut self, index: usize, held: Option<Bound>, share: usize) {
        if held == Some(Bound::Budget) {
            self.queue.push(index);
            self.at = self.at.min(more(share));
        }
    }

    /// Whether there is a host to try at this share.
    pub(super) fn has_next(&self, share: usize) -> bool {
        !self.queue.is_empty() && (self.look.left > 0 || share >= self.at)
    }

    /// The next host to try. If the host cannot resume, the visit to it queues it again.
    pub(super) fn next(&mut self, share: usize) -> Option<usize> {
        if self.look.left == 0 && share >= self.at {
            self.look = Look { left: self.queue.len(), share };
            self.at = more(share);
        } else if self.look.left > 0 && share < self.look.share {
            // The hosts that have resumed have used up the free part of the budget.
            self.look.left = 0;
            self.at = more(share);
        }
        self.look.left = self.look.left.checked_sub(1)?;
        self.queue.pop()
    }
}

/// The share at which the next pass begins: a quarter above this share. The next pass waits until
/// enough output was read for the share to grow that far, which limits how often hosts are tried in
/// vain.
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
