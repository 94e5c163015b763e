//! The contract of the wheel, clause by clause. `model` compares the wheel with an oracle, and
//! `exhaustive` enumerates all short sequences of operations.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing test panics")]

mod exhaustive;
mod model;

use super::*;

const TICK: Duration = Duration::from_millis(1);
const NANO: Duration = Duration::from_nanos(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Tick 0 of every test. It is in the future, so that instants before it exist on every platform.
fn origin() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The last instant that the platform can represent, to the second.
fn end_of_time(origin: Instant) -> Instant {
    let mut end = origin;
    for shift in (0..u64::BITS).rev() {
        end = end.checked_add(Duration::from_secs(1 << shift)).unwrap_or(end);
    }
    end
}

impl<K, const LEVELS: usize, const SLOTS: usize> Wheel<K, LEVELS, SLOTS> {
    fn expired_at(&mut self, now: Instant) -> Vec<K> {
        let mut expired = Vec::new();
        self.advance(now, &mut expired);
        expired
    }

    /// Panics unless links, bitmaps, places and the cached earliest tick match the timers.
    fn assert_consistent(&self) {
        let mut linked = 0;
        for level in 0..LEVELS {
            for slot in 0..SLOTS {
                let list = self.slots[level][slot];
                let place = Place::Slot { level, slot };
                assert_eq!(self.occupied[level] >> slot & 1 == 1, list.head != NIL, "bit of {place:?}");
                linked += self.assert_list_consistent(list, place);
            }
        }
        linked += self.assert_list_consistent(self.far, Place::Far);
        assert_eq!(linked, self.len(), "every timer is in a list");
        if let Some(known) = self.earliest.known.get() {
            let tick = self.timers.iter().map(|(_, timer)| timer.tick).min();
            assert_eq!(tick, Some(known.tick), "earliest tick");
            let count = self.timers.iter().filter(|(_, timer)| timer.tick == known.tick).count();
            assert_eq!(count, known.count, "timers at the earliest tick");
        }
    }

    fn assert_list_consistent(&self, list: List, place: Place) -> usize {
        let (mut prev, mut index, mut count) = (NIL, list.head, 0);
        while let Some(timer) = self.timers.get(index) {
            assert_eq!(self.place(timer.tick), place, "tick {} at time {}", timer.tick, self.elapsed);
            assert_eq!(timer.prev, prev, "back link in {place:?}");
            (prev, index, count) = (index, timer.next, count + 1);
        }
        assert_eq!((index, list.tail), (NIL, prev), "end of {place:?}");
        count
    }
}

#[test]
fn never_early_and_at_most_one_tick_late() {
    for sub_tick in [0, 1, 499_999, 999_999] {
        let origin = origin();
        let deadline = origin + ms(10) + Duration::from_nanos(sub_tick);
        let mut wheel = Wheel::new(origin);
        wheel.arm(deadline, 'a');
        let due = wheel.next_deadline().unwrap();
        assert!(deadline <= due && due < deadline + TICK);
        assert!(wheel.expired_at(deadline - NANO).is_empty());
        assert!(wheel.expired_at(due - NANO).is_empty());
        assert_eq!(wheel.expired_at(due), ['a']);
    }
}

#[test]
fn expires_in_order_of_ticks() {
    let origin = origin();
    let mut wheel = Wheel::new(origin);
    let ticks = [70, 3, 5_000, 64, 63, 1, 300_000, 4_096, 4_095, 65];
    for tick in ticks {
        wheel.arm(origin + ms(tick), tick);
    }
    let mut sorted = ticks;
    sorted.sort_unstable();
    assert_eq!(wheel.expired_at(origin + ms(300_000)), sorted);
    assert_eq!(wheel.len(), 0);
}

#[test]
fn ties_expire_in_order_of_arming() {
    let origin = origin();
    let mut wheel = Wheel::new(origin);
    for key in 0..100 {
        // Different instants of one tick are a tie: they expire in the order of arming, not of the
        // instants.
        wheel.arm(origin + ms(7) - Duration::from_nanos(key), key);
    }
    assert!(wheel.expired_at(origin + ms(7)).into_iter().eq(0..100));
}

#[test]
fn ties_stay_in_order_when_armed_at_different_levels() {
    let origin = origin();
    let mut wheel = Wheel::new(origin);
    let deadline = origin + ms(64 * 64 * 5 + 64 * 5 + 5);
    wheel.arm(deadline, 0);
    wheel.arm(deadline, 1);
    for (key, before) in [(2, 64 * 64), (3, 64 * 5), (4, 64), (5, 5), (6, 1)] {
        assert!(wheel.expired_at(deadline - ms(before)).is_empty());
        wheel.arm(deadline, key);
        wheel.assert_consistent();
    }
    assert_eq!(wheel.expired_at(deadline), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn rearming_moves_the_deadline_and_queues_behind_ties() {
    let origin = origin();
    let mut wheel = Wheel::new(origin);
    let a = wheel.arm(origin + ms(5), 'a');
    let b = wheel.arm(origin + ms(9_000), 'b');
    wheel.arm(origin + ms(5), 'c');
    assert!(wheel.rearm(a, origin + ms(5)), "to the same tick");
    assert!(wheel.rearm(b, origin + ms(5)), "earlier");
    assert_eq!(wheel.len(), 3);
    assert_eq!(wheel.expired_at(origin + ms(5)), ['c', 'a', 'b']);

    let d = wheel.arm(origin + ms(6), 'd');
    assert!(wheel.rearm(d, origin + ms(8_000)), "later");
    assert_eq!(wheel.next_deadline(), Some(origin + ms(8_000)));
    assert!(wheel.expired_at(origin + ms(7_999)).is_empty());
    assert_eq!(wheel.disarm(d), Some('d'), "the id stays valid");
}

#[test]
fn a_stale_id_does_nothing() {
    let origin = origin();
    let mut wheel = Wheel::new(origin);
    let expired = wheel.arm(origin + ms(1), 'a');
    let disarmed = wheel.arm(origin + ms(2), 'b');
    assert_eq!(wheel.disarm(disarmed), Some('b'));
    assert_eq!(wheel.expired_at(origin + ms(1)), ['a']);

    let live = [wheel.arm(origin + ms(3), 'c'), wheel.arm(origin + ms(3), 'd')];
    assert!(live.iter().any(|id| id.index == expired.index), "storage is in use again");
    assert!(live.iter().any(|id| id.index == disarmed.index), "storage is in use again");
    for stale in [expired, disarmed] {
        assert_eq!(wheel.disarm(stale), None);
        assert!(!wheel.rearm(stale, origin));
    }
    assert_eq!(wheel.len(), 2);
    assert_eq!(wheel.expired_at(origin + ms(3)), ['c', 'd']);
}

#[test]
fn generations_exceed_32_bits_and_survive_wrapping() {
    let origin = origin();
    let mut wheel = Wheel::new(origin);
    let first = wheel.arm(origin + ms(1), 'a');
    assert_eq!(wheel.disarm(first), Some('a'));
    // With 32 bits, one of these generations would be that of `first`.
    wheel.generation = NonZeroU64::new(1 << 32).unwrap();
    for _ in 0..2 {
        let id = wheel.arm(origin + ms(1), 'b');
        assert_eq!(id.index, first.index);
        assert_eq!(wheel.disarm(first), None);
        assert_eq!(wheel.disarm(id), Some('b'));
    }
    wheel.generation = NonZeroU64::MAX;
    let last = wheel.arm(origin + ms(1), 'c');
    assert_eq!(wheel.disarm(last), Some('c'));
    let wrapped = wheel.arm(origin + ms(1), 'd');
    assert_eq!(wheel.disarm(last), None);
    assert_eq!(wheel.disarm(wrapped), Some('d'));
}

#[test]
fn jumps_of_thirty_seconds_and_fifty_days() {
    // 50 days exceed 2^32 ms, where a 32-bit tick would wrap.
    for jump in [Duration::from_secs(30), 50 * DAY] {
        let origin = origin();
        let mut wheel = Wheel::new(origin);
        for start in [origin, origin + jump, origin + 2 * jump] {
            let keep = wheel.arm(start + jump + ms(1), 'x');
            wheel.arm(start + jump, 'b');
            wheel.arm(start + ms(1), 'a');
            wheel.arm(start + jump, 'c');
            assert_eq!(wheel.expired_at(start + jump), ['a', 'b', 'c']);
            assert_eq!(wheel.next_deadline(), Some(start + jump + ms(1)));
            assert_eq!(wheel.disarm(keep), Some('x'));
        }
    }
}

#[test]
fn deadlines_beyond_the_span_of_the_levels() {
    let origin = origin();
    let span = ms(1 << 36);
    let mut wheel = Wheel::new(origin);
    let deadlines = [span - TICK, span, span + ms(1), 3 * span, 3 * span + ms(5), 1_000 * span];
    for (key, &after) in deadlines.iter().enumerate().rev() {
        wheel.arm(origin + after, key);
    }
    for (key, &after) in deadlines.iter().enumerate() {
        wheel.assert_consistent();
        assert_eq!(wheel.next_deadline(), Some(origin + after));
        assert!(wheel.expired_at(origin + after - NANO).is_empty());
        assert_eq!(wheel.expired_at(origin + after), [key]);
    }
}

#[test]
fn ties_stay_in_order_across_spans() {
    let origin = origin();
    let mut wheel: Wheel<_, 2, 4> = Wheel::with_geometry(origin);
    wheel.arm(origin + ms(37), 0);
    wheel.arm(origin + ms(20), 1);
    wheel.arm(origin + ms(37), 2);
    assert_eq!(wheel.expired_at(origin + ms(21)), [1]);
    wheel.arm(origin + ms(37), 3);
    assert!(wheel.expired_at(origin + ms(33)).is_empty());
    wheel.arm(origin + ms(37), 4);
    assert_eq!(wheel.expired_at(origin + ms(1_000_000)), [0, 2, 3, 4]);
}

#[test]
fn a_deadline_too_far_to_represent_never_expires_and_never_panics() {
    let origin = origin();
    let end = end_of_time(origin);
    let mut wheel = Wheel::new(origin);
    let id = wheel.arm(end, 'a');
    wheel.arm(origin + ms(1), 'b');
    assert_eq!(wheel.next_deadline(), Some(origin + ms(1)));
    assert_eq!(wheel.expired_at(origin + ms(1)), ['b']);
    let in_ticks = end.duration_since(origin).as_millis();
    if in_ticks >= u128::from(NEVER) {
        assert_eq!(wheel.next_deadline(), None);
        assert!(wheel.expired_at(end).is_empty());
        wheel.assert_consistent();
        assert!(wheel.rearm(id, end));
        wheel.arm(origin, 'c');
        assert_eq!(wheel.expired_at(end), ['c']);
        assert_eq!(wheel.disarm(id), Some('a'));
    }
}

#[test]
fn time_that_goes_backwards_or_stands_still_is_harmless() {
    let origin = origin();
    let mut wheel = Wheel::new(origin);
    assert!(wheel.expired_at(origin + ms(100)).is_empty());
    wheel.arm(origin + ms(150), 'a');
    for earlier in [origin + ms(100), origin + ms(99), origin, origin - ms(1_000)] {
        assert!(wheel.expired_at(earlier).is_empty());
        assert_eq!(wheel.next_deadline(), Some(origin + ms(150)));
        wheel.assert_consistent();
    }
    assert_eq!(wheel.expired_at(origin + ms(150)), ['a']);
}

#[test]
fn a_deadline_in_the_past_expires_at_the_next_advance() {
    let origin = origin();
    let mut wheel = Wheel::new(origin);
    wheel.arm(origin - ms(5), 'a');
    assert_eq!(wheel.expired_at(origin - ms(9)), ['a'], "before the origin");
    wheel.advance(origin + ms(100), &mut Vec::new());
    wheel.arm(origin + ms(101), 'd');
    wheel.arm(origin + ms(90), 'b');
    wheel.arm(origin + ms(40), 'c');
    assert_eq!(wheel.next_deadline(), Some(origin + ms(100)));
    let mut expired = vec!['-'];
    wheel.advance(origin + ms(101), &mut expired);
    assert_eq!(expired, ['-', 'b', 'c', 'd'], "among themselves in order of arming, before later ticks");
    wheel.arm(origin + ms(40), 'e');
    assert_eq!(wheel.expired_at(origin + ms(50)), ['e'], "also when time went backwards");
}

#[test]
fn next_deadline_is_exact() {
    let origin = origin();
    let mut wheel = Wheel::new(origin);
    assert_eq!(wheel.next_deadline(), None);
    let ids: Vec<_> =
        [9_999, 9_001, 9_000, 9_000, 100_000, 5].map(|at| wheel.arm(origin + ms(at), at)).into();
    assert_eq!(wheel.next_deadline(), Some(origin + ms(5)));
    wheel.disarm(ids[5]);
    assert_eq!(wheel.next_deadline(), Some(origin + ms(9_000)));
    wheel.disarm(ids[2]);
    assert_eq!(wheel.next_deadline(), Some(origin + ms(9_000)), "a tie remains");
    wheel.rearm(ids[3], origin + ms(200_000));
    assert_eq!(wheel.next_deadline(), Some(origin + ms(9_001)));
    wheel.advance(origin + ms(8_999), &mut Vec::new());
    assert_eq!(wheel.next_deadline(), Some(origin + ms(9_001)), "distributing a list is not a deadline");
    wheel.disarm(ids[1]);
    wheel.disarm(ids[0]);
    assert_eq!(wheel.next_deadline(), Some(origin + ms(100_000)));
    assert_eq!(wheel.expired_at(origin + ms(200_000)), [100_000, 9_000]);
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn an_idle_loop_wakes_once_per_tick_that_expires() {
    let origin = origin();
    let mut wheel = Wheel::new(origin);
    let ticks = [1, 63, 64, 4_097, 500_000, 500_000, 1 << 30, 1 << 37];
    for tick in ticks {
        wheel.arm(origin + ms(tick), tick);
    }
    let mut wake_ups = 0;
    while let Some(deadline) = wheel.next_deadline() {
        assert!(!wheel.expired_at(deadline).is_empty(), "spurious wake-up");
        wake_ups += 1;
    }
    assert_eq!((wake_ups, wheel.len()), (ticks.len() - 1, 0));
}

#[test]
fn moves_to_another_thread() {
    fn assert_send<T: Send>(_: &T) {}
    assert_send(&Wheel::<u64>::new(origin()));
}
