//! Hosts that are held back: not read from, because nobody reads what they have sent.
//!
//! One that waits for the reader of its own stream goes on with that reader. Those that wait for the fleet's budget go on
//! when others were read: they are looked at one after the other, as far as what has become free goes.

use std::time::Instant;

use super::Fleet;
use crate::ids::HostId;
use crate::output::Bound;
use crate::reactor::IndexQueue;
use crate::session::Input;

#[derive(Debug)]
pub(super) struct HeldBack {
    /// All of them.
    count: usize,
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
        Self { count: 0, queue: IndexQueue::default(), at: usize::MAX, look: Look::default() }
    }
}

impl HeldBack {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A host was visited. `share` is that of a stream now.
    pub(super) fn note(&mut self, index: usize, before: Option<Bound>, now: Option<Bound>, share: usize) {
        self.count -= usize::from(before.is_some());
        self.count += usize::from(now.is_some());
        if now == Some(Bound::Budget) {
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

impl Fleet {
    /// Lets hosts go on that wait for the budget, as far as it and the turn's time allow.
    pub(super) fn resume_held(&mut self, now: Instant) {
        while let Some(index) = self.held.next(self.execs.share()) {
            self.visit(index, Input::Readiness, now);
            if self.is_over() {
                return;
            }
        }
    }

    /// Output of a host was read: has it go on if it has waited for that, or others.
    pub(super) fn made_room(&mut self, id: HostId) {
        if self.slot(id).is_some_and(|slot| slot.session.may_go_on(&self.execs)) {
            self.visit_soon(id.index());
        } else if self.held.has_next(self.execs.share()) {
            self.alarm();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Option<Bound> = Some(Bound::Budget);

    fn held(hosts: usize, share: usize) -> HeldBack {
        let mut held = HeldBack::default();
        (0..hosts).for_each(|index| held.note(index, None, BUDGET, share));
        held
    }

    #[test]
    fn hosts_that_wait_for_the_budget_go_on_in_turn_until_it_is_used_up() {
        let mut held = held(3, 100);
        assert!(!held.has_next(124) && held.has_next(125));
        assert_eq!(held.next(usize::MAX), Some(0));
        held.note(0, BUDGET, None, usize::MAX);
        assert_eq!(held.next(usize::MAX), Some(1));
        held.note(1, BUDGET, BUDGET, 80);
        assert_eq!(held.next(80), None, "it is used up");
        assert!(!held.has_next(99) && held.has_next(100));
        assert_eq!([held.next(100), held.next(100)], [Some(2), Some(1)], "those that waited longest first");
    }

    #[test]
    fn those_that_cannot_go_on_are_looked_at_once() {
        let mut held = held(3, 100);
        for index in 0..3 {
            assert_eq!(held.next(130), Some(index));
            held.note(index, BUDGET, BUDGET, 130);
        }
        assert_eq!((held.next(130), held.has_next(130), held.count()), (None, false, 3));
        assert!(held.has_next(163));
    }

    #[test]
    fn one_that_waits_for_its_own_reader_is_counted_alone() {
        let mut held = HeldBack::default();
        held.note(7, None, Some(Bound::Stream), usize::MAX);
        assert_eq!((held.count(), held.has_next(usize::MAX), held.next(usize::MAX)), (1, false, None));
        held.note(7, Some(Bound::Stream), None, usize::MAX);
        assert_eq!(held.count(), 0);
    }
}
