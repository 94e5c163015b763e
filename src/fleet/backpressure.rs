//! Hosts that are held back: not read from, because nobody reads what they have sent.
//!
//! One that waits for the reader of its own stream goes on with that reader. Those that wait for the fleet's budget go on
//! when others were read: they are looked at one after the other, as far as what has become free goes.

use crate::output::Bound;
use crate::reactor::IndexQueue;

#[derive(Debug)]
pub(super) struct HeldBack {
    /// Those that wait for the budget, and some that did.
    queue: IndexQueue,
    /// The share of the budget at which it is worth looking at them again.
    at: usize,
    look: Look,
}

/// A look at those in the queue.
#[derive(Debug, Default)]
struct Look {
    /// How many were not looked at.
    left: usize,
    /// The share when it began.
    share: usize,
}

impl Default for HeldBack {
    fn default() -> Self {
        Self { queue: IndexQueue::default(), at: usize::MAX, look: Look::default() }
    }
}

impl HeldBack {
    /// A host was visited. `share` is that of a stream now.
    pub(super) fn update(&mut self, index: usize, held: Option<Bound>, share: usize) {
        if held == Some(Bound::Budget) {
            self.queue.push(index);
            self.at = self.at.min(more(share));
        }
    }

    /// Whether some may go on, with this share.
    pub(super) fn has_next(&self, share: usize) -> bool {
        !self.queue.is_empty() && (self.look.left > 0 || share >= self.at)
    }

    /// The next one that may go on. It is queued again if it cannot.
    pub(super) fn next(&mut self, share: usize) -> Option<usize> {
        if self.look.left == 0 && share >= self.at {
            self.look = Look { left: self.queue.len(), share };
            self.at = more(share);
        } else if self.look.left > 0 && share < self.look.share {
            // Those that went on have used it up.
            self.look.left = 0;
            self.at = more(share);
        }
        self.look.left = self.look.left.checked_sub(1)?;
        self.queue.pop()
    }
}

/// By a quarter: how many are looked at in vain is then bounded by what is read in between.
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
    fn hosts_that_wait_for_the_budget_go_on_in_turn_until_it_is_used_up() {
        let mut held = held(3, 100);
        assert!(!held.has_next(124) && held.has_next(125));
        assert_eq!(held.next(usize::MAX), Some(0));
        held.update(0, None, usize::MAX);
        assert_eq!(held.next(usize::MAX), Some(1));
        held.update(1, BUDGET, 80);
        assert_eq!(held.next(80), None, "it is used up");
        assert!(!held.has_next(99) && held.has_next(100));
        assert_eq!([held.next(100), held.next(100)], [Some(2), Some(1)], "those that waited longest first");
    }

    #[test]
    fn those_that_cannot_go_on_are_looked_at_once() {
        let mut held = held(3, 100);
        for index in 0..3 {
            assert_eq!(held.next(130), Some(index));
            held.update(index, BUDGET, 130);
        }
        assert_eq!((held.next(130), held.has_next(130)), (None, false));
        assert!(held.has_next(163));
    }

    #[test]
    fn one_that_waits_for_its_own_reader_is_not_queued() {
        let mut held = HeldBack::default();
        held.update(7, Some(Bound::Stream), usize::MAX);
        assert_eq!((held.has_next(usize::MAX), held.next(usize::MAX)), (false, None));
    }
}
