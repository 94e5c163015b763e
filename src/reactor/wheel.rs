//! Hierarchical timer wheel: many deadlines, O(1) to arm, re-arm and disarm, without a clock.
//!
//! # Contract
//! - Time is an argument. The wheel counts ticks of 1 ms from the `origin` given at construction.
//!   Its own time is the latest `now` passed to [`Wheel::advance`]; an earlier `now` counts as the
//!   latest one.
//! - A deadline is rounded up to a tick, so a timer never expires early, and is due less than one
//!   tick late.
//! - [`Wheel::advance`] collects all timers that are due, and the caller acts on them only
//!   afterwards. They are in order of ticks; timers on the same tick are in order of arming.
//!   Re-arming counts as arming.
//! - A timer whose deadline has already passed when it is armed gets the wheel's current tick. It
//!   expires at the next `advance`, whatever `now` is, before timers on later ticks and after the
//!   timers already on its tick.
//! - [`Wheel::next_deadline`] is exact. It causes no wake-ups merely to move timers within the
//!   wheel.
//! - The [`TimerId`] of a timer that expired or was disarmed has no effect, even if the timer's
//!   storage is reused.
//!
//! # Design
//! The idea is from Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme
//! 7. A tick is written as a number in base 64 and compared with the wheel's time. The position of
//! the highest digit in which they differ is the timer's level, and the value of that digit in the
//! tick is the timer's slot. So everything on a level is due before anything on the level above,
//! and within a level, lower slots are due before higher ones. A `u64` per level says which slots
//! are occupied, so `trailing_zeros` finds the earliest. When time reaches a slot above level 0,
//! its list is distributed to the levels below.
//!
//! Since a timer's place depends only on its tick and the wheel's time, equal ticks always share a
//! list. Distributing and appending keep the order of a list, so timers with equal ticks stay
//! first-in first-out without sorting.
//!
//! A tick is 1 ms because that is the resolution of `epoll_wait`, which could not wait for finer
//! ticks. Six levels span 2^36 ms (2.2 years) and take 6 KiB; later timers wait in one list, which
//! is distributed when time enters a later span. A timer moves at most once per level and span, so
//! the cost of `advance` is that of the expired timers plus those moves, however much time has
//! passed.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};
use std::{fmt, iter, mem};

use slab::Slab;

use earliest::Earliest;

mod earliest;
#[cfg(test)]
mod tests;

/// The end of a list. A slab never contains this index, so a walk along a list ends when this index
/// is looked up.
const NIL: usize = usize::MAX;

/// The tick of deadlines too far away to represent. The wheel's time stops one tick before `NEVER`,
/// so such a timer never expires.
const NEVER: u64 = u64::MAX;

/// The longest duration that is shorter than a tick. Adding it rounds up to a tick.
const ALMOST_A_TICK: Duration = Duration::from_nanos(999_999);

/// Identifies one armed timer of the wheel that returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: usize,
    generation: NonZeroU64,
}

/// A timer wheel whose timers carry a `K`. See the [module documentation](self) for the contract.
///
/// The geometry is a parameter only so that tests can check a tiny wheel exhaustively. Other code
/// uses `Wheel<K>`.
#[cfg_attr(test, derive(Clone))]
pub struct Wheel<K, const LEVELS: usize = 6, const SLOTS: usize = 64> {
    origin: Instant,
    /// The wheel's time, in ticks. Only timers armed after their deadline may be due at or before
    /// this time.
    elapsed: u64,
    slots: [[List; SLOTS]; LEVELS],
    /// Bit `s` of `occupied[l]` is set exactly when `slots[l][s]` is not empty.
    occupied: [u64; LEVELS],
    /// Timers whose tick lies in a later span than `elapsed`, in order of arming.
    far: List,
    timers: Slab<Timer<K>>,
    /// The number of the next arming on this wheel. At 10^9 armings a second it wraps in 584 years,
    /// so no id is reused.
    generation: NonZeroU64,
    earliest: Earliest,
}

#[derive(Clone, Copy)]
struct List {
    head: usize,
    tail: usize,
}

impl List {
    const EMPTY: Self = Self { head: NIL, tail: NIL };
}

#[cfg_attr(test, derive(Clone))]
struct Timer<K> {
    tick: u64,
    generation: NonZeroU64,
    prev: usize,
    next: usize,
    key: K,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Slot { level: usize, slot: usize },
    Far,
}

impl<K> Wheel<K> {
    /// An empty wheel whose tick 0 is `origin`.
    pub fn new(origin: Instant) -> Self {
        Self::with_geometry(origin)
    }
}

impl<K, const LEVELS: usize, const SLOTS: usize> Wheel<K, LEVELS, SLOTS> {
    const DIGIT_BITS: u32 = {
        assert!(SLOTS.is_power_of_two() && SLOTS >= 2 && SLOTS <= u64::BITS as usize);
        SLOTS.trailing_zeros()
    };
    const SPAN_BITS: u32 = {
        assert!(LEVELS >= 1 && LEVELS * (Self::DIGIT_BITS as usize) < u64::BITS as usize);
        LEVELS as u32 * Self::DIGIT_BITS
    };

    fn with_geometry(origin: Instant) -> Self {
        Self {
            origin,
            elapsed: 0,
            slots: [[List::EMPTY; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            far: List::EMPTY,
            timers: Slab::new(),
            generation: NonZeroU64::MIN,
            earliest: Earliest::default(),
        }
    }

    /// The number of armed timers.
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Arms a timer: the first [`advance`](Self::advance) at or after `deadline`, rounded up to a
    /// tick, returns `key`. A deadline of 2^64 ticks or more from the origin is never reached.
    pub fn arm(&mut self, deadline: Instant, key: K) -> TimerId {
        let tick = self.tick_of_deadline(deadline);
        let generation = self.generation;
        self.generation = generation.checked_add(1).unwrap_or(NonZeroU64::MIN);
        let index = self.timers.insert(Timer { tick, generation, prev: NIL, next: NIL, key });
        self.append(index, tick);
        self.earliest.armed(tick, self.timers.len() == 1);
        TimerId { index, generation }
    }

    /// Disarms a timer and returns its key, or `None` if it has expired or was disarmed before.
    pub fn disarm(&mut self, id: TimerId) -> Option<K> {
        self.live(id)?;
        self.detach(id.index);
        self.timers.try_remove(id.index).map(|timer| timer.key)
    }

    /// Moves an armed timer to another deadline. Its id stays valid, and the timer queues after
    /// those already on that tick.
    ///
    /// Returns `false`, and does nothing, if the timer has expired or was disarmed before.
    pub fn rearm(&mut self, id: TimerId, deadline: Instant) -> bool {
        if self.live(id).is_none() {
            return false;
        }
        let tick = self.tick_of_deadline(deadline);
        self.detach(id.index);
        if let Some(timer) = self.timers.get_mut(id.index) {
            timer.tick = tick;
        }
        self.append(id.index, tick);
        self.earliest.armed(tick, self.timers.len() == 1);
        true
    }

    /// Moves the wheel's time to `now` and appends the keys of all timers due to `expired`, in
    /// order.
    ///
    /// If `now` is no later than the wheel's time, only timers armed after their deadline are due.
    pub fn advance(&mut self, now: Instant, expired: &mut Vec<K>) {
        let target = self.tick_of_now(now).max(self.elapsed);
        while let Some(place) = self.first_place() {
            let start = self.start(place);
            if start > target {
                break;
            }
            debug_assert!(start >= self.elapsed);
            self.elapsed = start;
            match place {
                Place::Slot { level: 0, .. } => self.expire(place, expired),
                _ => self.deal_out(place),
            }
        }
        // No timer before `target` is left, so no timer's place changes.
        self.elapsed = target;
    }

    /// The instant at which the earliest timer is due and `advance` must be called next. It is in
    /// the past if the timer is overdue.
    ///
    /// `None` if no timer is armed or the earliest deadline exceeds what an [`Instant`] can
    /// represent. O(levels), except after the earliest timer was removed: then it may walk the list
    /// that holds the next one.
    pub fn next_deadline(&self) -> Option<Instant> {
        let tick = self.earliest_tick().filter(|&tick| tick < NEVER)?;
        self.origin.checked_add(Duration::from_millis(tick))
    }

    fn tick_of_deadline(&self, deadline: Instant) -> u64 {
        let since = deadline.saturating_duration_since(self.origin);
        ticks(since.saturating_add(ALMOST_A_TICK)).max(self.elapsed)
    }

    fn tick_of_now(&self, now: Instant) -> u64 {
        ticks(now.saturating_duration_since(self.origin)).min(NEVER - 1)
    }

    fn live(&self, id: TimerId) -> Option<&Timer<K>> {
        self.timers.get(id.index).filter(|timer| timer.generation == id.generation)
    }

    fn place(&self, tick: u64) -> Place {
        debug_assert!(tick >= self.elapsed);
        let differing = tick ^ self.elapsed;
        if differing >> Self::SPAN_BITS != 0 {
            return Place::Far;
        }
        let level = differing.checked_ilog2().unwrap_or(0) / Self::DIGIT_BITS;
        let slot = (tick >> (level * Self::DIGIT_BITS)) as usize % SLOTS;
        Place::Slot { level: level as usize, slot }
    }

    /// The place of the earliest timer.
    fn first_place(&self) -> Option<Place> {
        for (level, &occupied) in self.occupied.iter().enumerate() {
            if occupied != 0 {
                return Some(Place::Slot { level, slot: occupied.trailing_zeros() as usize });
            }
        }
        (self.far.head != NIL).then_some(Place::Far)
    }

    /// The tick at which the timers in `place` must expire or be distributed. `place` must be the
    /// first place.
    fn start(&self, place: Place) -> u64 {
        match place {
            Place::Slot { level, slot } => {
                let shift = level as u32 * Self::DIGIT_BITS;
                let digit_and_below = (1 << (shift + Self::DIGIT_BITS)) - 1;
                (self.elapsed & !digit_and_below) | ((slot as u64) << shift)
            }
            // The next spans may be empty. Going straight to the first span that has a timer keeps
            // a jump O(1).
            Place::Far => self.earliest_tick().unwrap_or(NEVER) >> Self::SPAN_BITS << Self::SPAN_BITS,
        }
    }

    fn list_mut(&mut self, place: Place) -> &mut List {
        match place {
            Place::Slot { level, slot } => &mut self.slots[level][slot],
            Place::Far => &mut self.far,
        }
    }

    /// Links a timer to the end of the list where `tick` belongs.
    fn append(&mut self, index: usize, tick: u64) {
        let place = self.place(tick);
        if let Place::Slot { level, slot } = place {
            self.occupied[level] |= 1 << slot;
        }
        let list = self.list_mut(place);
        let prev = mem::replace(&mut list.tail, index);
        if prev == NIL {
            list.head = index;
        }
        if let Some(before) = self.timers.get_mut(prev) {
            before.next = index;
        }
        if let Some(timer) = self.timers.get_mut(index) {
            (timer.prev, timer.next) = (prev, NIL);
        }
    }

    /// Unlinks a timer from its list.
    fn detach(&mut self, index: usize) {
        let Some(&Timer { tick, prev, next, .. }) = self.timers.get(index) else {
            debug_assert!(false, "only armed timers are detached");
            return;
        };
        let place = self.place(tick);
        if let Some(before) = self.timers.get_mut(prev) {
            debug_assert_eq!(before.next, index);
            before.next = next;
        } else {
            let head = &mut self.list_mut(place).head;
            debug_assert_eq!(*head, index);
            *head = next;
            if let (NIL, Place::Slot { level, slot }) = (next, place) {
                self.occupied[level] &= !(1 << slot);
            }
        }
        if let Some(after) = self.timers.get_mut(next) {
            debug_assert_eq!(after.prev, index);
            after.prev = prev;
        } else {
            let tail = &mut self.list_mut(place).tail;
            debug_assert_eq!(*tail, index);
            *tail = prev;
        }
        self.earliest.detached(tick);
    }

    /// Empties a list and returns its head.
    fn take(&mut self, place: Place) -> usize {
        if let Place::Slot { level, slot } = place {
            debug_assert!(self.occupied[level] & (1 << slot) != 0);
            self.occupied[level] &= !(1 << slot);
        }
        mem::replace(self.list_mut(place), List::EMPTY).head
    }

    fn expire(&mut self, place: Place, expired: &mut Vec<K>) {
        let mut index = self.take(place);
        while let Some(timer) = self.timers.try_remove(index) {
            debug_assert_eq!(timer.tick, self.elapsed);
            expired.push(timer.key);
            index = timer.next;
        }
        // The list held all timers at the earliest tick.
        self.earliest.expired();
    }

    fn deal_out(&mut self, place: Place) {
        let mut index = self.take(place);
        while let Some(&Timer { tick, next, .. }) = self.timers.get(index) {
            self.append(index, tick);
            index = next;
        }
    }

    fn earliest_tick(&self) -> Option<u64> {
        if let Some(tick) = self.earliest.tick() {
            return Some(tick);
        }
        let list = match self.first_place()? {
            place @ Place::Slot { level: 0, .. } => return Some(self.start(place)),
            Place::Slot { level, slot } => self.slots[level][slot],
            Place::Far => self.far,
        };
        let first = self.timers.get(list.head);
        let timers = iter::successors(first, |timer| self.timers.get(timer.next));
        self.earliest.find(timers.map(|timer| timer.tick))
    }
}

/// How many whole ticks fit into this duration.
fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}

impl<K, const LEVELS: usize, const SLOTS: usize> fmt::Debug for Wheel<K, LEVELS, SLOTS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("elapsed", &self.elapsed)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
