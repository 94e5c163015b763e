//! A cache of the wheel's earliest tick, so that a turn need not walk a list to find it.

use std::cell::Cell;

/// The earliest tick of all timers, if known. Moving timers within the wheel does not change it.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Earliest {
    pub(super) known: Cell<Option<Tie>>,
}

/// The earliest tick and how many timers it has. Once the last of them is removed, the earliest
/// tick is unknown.
#[derive(Clone, Copy)]
pub(super) struct Tie {
    pub(super) tick: u64,
    pub(super) count: usize,
}

impl Earliest {
    pub(super) fn tick(&self) -> Option<u64> {
        self.known.get().map(|tie| tie.tick)
    }

    /// Finds the earliest of `ticks`, which must include all timers at the earliest tick.
    pub(super) fn find(&self, ticks: impl Iterator<Item = u64>) -> Option<u64> {
        let tie = ticks.fold(None, |tie, tick| match tie {
            Some(Tie { tick: least, .. }) if tick > least => tie,
            Some(Tie { tick: least, count }) if tick == least => Some(Tie { tick, count: count + 1 }),
            _ => Some(Tie { tick, count: 1 }),
        });
        self.known.set(tie);
        self.tick()
    }

    /// Records that a timer was armed for `tick`; `alone` says whether it is the only timer.
    pub(super) fn armed(&self, tick: u64, alone: bool) {
        let tie = match self.known.get() {
            None if !alone => return,
            Some(known) if known.tick < tick => return,
            Some(known) if known.tick == tick => Tie { tick, count: known.count + 1 },
            _ => Tie { tick, count: 1 },
        };
        self.known.set(Some(tie));
    }

    /// Records that a timer of `tick` was removed.
    pub(super) fn detached(&self, tick: u64) {
        if let Some(known) = self.known.get().filter(|known| known.tick == tick) {
            debug_assert!(known.count > 0);
            let left = known.count.saturating_sub(1);
            self.known.set((left > 0).then_some(Tie { tick, count: left }));
        }
    }

    /// Records that all timers at the earliest tick were removed.
    pub(super) fn expired(&self) {
        self.known.set(None);
    }
}
