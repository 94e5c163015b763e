//! Random operation sequences, on the wheel and on an ordered map that is simple enough to be
//! right.

use std::collections::BTreeMap;
use std::thread;

use proptest::prelude::*;

use super::*;

const SEQUENCES: u64 = if cfg!(miri) { 20 } else { 200_000 };
const OPS_MAX: u64 = 200;

/// An instant, relative to the model's state.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    After(Duration),
    Before(Duration),
    /// The deadline last set for the n-th timer, modulo their number.
    SameAs(usize),
    EndOfTime,
}

/// Timers are picked among all ever armed, modulo their number, so that many are stale.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Arm(When),
    Disarm(usize),
    Rearm(usize, When),
    Advance(Duration),
    /// Advances to this distance before the deadline that the wheel itself asks for.
    AdvanceToNext(Duration),
    AdvanceBackwards(Duration),
    NextDeadline,
}

#[derive(Clone)]
struct Armed {
    id: TimerId,
    deadline: Instant,
    /// The timer's place in the queue, until the timer expires or is disarmed.
    queued: Option<(u64, u64)>,
}

/// A wheel, the oracle beside it, and the checks that both agree.
#[derive(Clone)]
pub(super) struct Model<const LEVELS: usize, const SLOTS: usize> {
    pub(super) wheel: Wheel<usize, LEVELS, SLOTS>,
    origin: Instant,
    end: Instant,
    now: Instant,
    timers: Vec<Armed>,
    queue: BTreeMap<(u64, u64), usize>,
    armings: u64,
}

impl<const LEVELS: usize, const SLOTS: usize> Model<LEVELS, SLOTS> {
    pub(super) fn new(origin: Instant, end: Instant) -> Self {
        let wheel = Wheel::with_geometry(origin);
        Self { wheel, origin, end, now: origin, timers: Vec::new(), queue: BTreeMap::new(), armings: 0 }
    }

    pub(super) fn apply(&mut self, op: Op) {
        match op {
            Op::Arm(when) => {
                let deadline = self.resolve(when);
                let key = self.timers.len();
                let id = self.wheel.arm(deadline, key);
                let queued = Some(self.enqueue(deadline, key));
                self.timers.push(Armed { id, deadline, queued });
            }
            Op::Disarm(nth) => {
                let Some(key) = self.pick(nth) else { return };
                let expected =
                    self.timers[key].queued.take().map(|queued| self.queue.remove(&queued).unwrap());
                assert_eq!(self.wheel.disarm(self.timers[key].id), expected);
            }
            Op::Rearm(nth, when) => {
                let Some(key) = self.pick(nth) else { return };
                let deadline = self.resolve(when);
                let live = self.timers[key].queued;
                assert_eq!(self.wheel.rearm(self.timers[key].id, deadline), live.is_some());
                if let Some(queued) = live {
                    self.queue.remove(&queued);
                    self.timers[key].deadline = deadline;
                    self.timers[key].queued = Some(self.enqueue(deadline, key));
                }
            }
            Op::Advance(by) => self.advance(self.resolve(When::After(by))),
            Op::AdvanceToNext(before) => {
                if let Some(deadline) = self.wheel.next_deadline() {
                    self.advance(deadline - before);
                }
            }
            Op::AdvanceBackwards(by) => self.advance(self.resolve(When::Before(by))),
            Op::NextDeadline => self.check_next_deadline(),
        }
        assert_eq!(self.wheel.len(), self.queue.len());
        assert_eq!(self.wheel.len() == 0, self.queue.is_empty());
    }

    fn resolve(&self, when: When) -> Instant {
        match when {
            When::After(by) => self.now.checked_add(by).unwrap_or(self.end),
            When::Before(by) => self.now.checked_sub(by).unwrap_or(self.origin),
            When::SameAs(nth) => self.pick(nth).map_or(self.now, |key| self.timers[key].deadline),
            When::EndOfTime => self.end,
        }
    }

    fn pick(&self, nth: usize) -> Option<usize> {
        nth.checked_rem(self.timers.len())
    }

    fn now_tick(&self) -> u64 {
        u64::try_from(self.now.duration_since(self.origin).as_millis()).unwrap()
    }

    fn enqueue(&mut self, deadline: Instant, key: usize) -> (u64, u64) {
        let nanos = deadline.saturating_duration_since(self.origin).as_nanos();
        let tick = u64::try_from(nanos.div_ceil(TICK.as_nanos())).unwrap_or(NEVER).max(self.now_tick());
        self.armings += 1;
        self.queue.insert((tick, self.armings), key);
        (tick, self.armings)
    }

    fn advance(&mut self, now: Instant) {
        let expired = self.wheel.expired_at(now);
        self.now = self.now.max(now);
        let later = self.queue.split_off(&(self.now_tick() + 1, 0));
        let due = std::mem::replace(&mut self.queue, later);
        assert!(expired.iter().eq(due.values()), "expired {expired:?}, due {due:?}");
        for key in expired {
            assert!(self.timers[key].deadline <= self.now, "timer {key} is early");
            self.timers[key].queued = None;
        }
        if let Some((_, &key)) = self.queue.first_key_value() {
            let deadline = self.timers[key].deadline;
            assert!(self.now.duration_since(deadline) < TICK, "timer {key} is late");
        }
    }

    pub(super) fn check_next_deadline(&self) {
        let tick = self.queue.first_key_value().map(|(&(tick, _), _)| tick);
        let expected =
            tick.filter(|&tick| tick < NEVER).map(|tick| self.origin + Duration::from_millis(tick));
        assert_eq!(self.wheel.next_deadline(), expected);
    }
}

/// SplitMix64: small, seeded by any number, and the same on every platform.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn nth(&mut self) -> usize {
        self.below(1 << 16) as usize
    }

    /// Whole ticks in most cases, within the tiny wheel, within minutes, or up to 2^40 ms (34
    /// years).
    fn distance(&mut self) -> Duration {
        let ticks = match self.below(8) {
            0..=3 => self.below(24),
            4..=5 => self.below(200_000),
            _ => self.next() >> (24 + self.below(40)),
        };
        let nanos = if self.below(4) == 0 { self.below(1_000_000) } else { 0 };
        ms(ticks) + Duration::from_nanos(nanos)
    }

    fn when(&mut self) -> When {
        match self.below(16) {
            0..=8 => When::After(self.distance()),
            9..=13 => When::SameAs(self.nth()),
            14 => When::Before(self.distance()),
            _ => When::EndOfTime,
        }
    }

    fn op(&mut self) -> Op {
        match self.below(16) {
            0..=5 => Op::Arm(self.when()),
            6..=7 => Op::Disarm(self.nth()),
            8..=9 => Op::Rearm(self.nth(), self.when()),
            10..=11 => Op::Advance(self.distance()),
            12..=13 => Op::AdvanceToNext(Duration::from_nanos(self.below(2))),
            14 => Op::AdvanceBackwards(self.distance()),
            _ => Op::NextDeadline,
        }
    }
}

/// Names the failing seed: `run_seed::<2, 4>(seed, origin, end)` replays it.
struct SeedOnPanic(u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("failing seed: {}", self.0);
        }
    }
}

fn run_seed<const LEVELS: usize, const SLOTS: usize>(seed: u64, origin: Instant, end: Instant) {
    let _print = SeedOnPanic(seed);
    let mut random = Random(seed);
    let mut model = Model::<LEVELS, SLOTS>::new(origin, end);
    for _ in 0..=random.below(OPS_MAX) {
        model.apply(random.op());
    }
    model.wheel.assert_consistent();
    model.check_next_deadline();
}

/// `WHEEL_SEQUENCES` sets the number of sequences, over all geometries, for a longer run.
fn run_seeds<const LEVELS: usize, const SLOTS: usize>(share: u64) {
    let total = std::env::var("WHEEL_SEQUENCES").map_or(SEQUENCES, |n| n.parse().expect("a number"));
    let origin = origin();
    let end = end_of_time(origin);
    for seed in 0..total.div_ceil(share) {
        run_seed::<LEVELS, SLOTS>(seed, origin, end);
    }
}

#[test]
fn agrees_with_the_oracle_on_the_real_geometry() {
    run_seeds::<6, 64>(2);
}

#[test]
fn agrees_with_the_oracle_on_a_tiny_geometry() {
    run_seeds::<2, 4>(4);
}

#[test]
fn agrees_with_the_oracle_on_a_binary_geometry() {
    run_seeds::<5, 2>(4);
}

fn any_distance() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0u64..24).prop_map(ms),
        (0u64..1 << 40).prop_map(ms),
        (0u64..1 << 40).prop_map(Duration::from_nanos)
    ]
}

fn any_when() -> impl Strategy<Value = When> {
    prop_oneof![
        8 => any_distance().prop_map(When::After),
        4 => (0..200usize).prop_map(When::SameAs),
        2 => any_distance().prop_map(When::Before),
        1 => Just(When::EndOfTime),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any_when().prop_map(Op::Arm),
        2 => (0..200usize).prop_map(Op::Disarm),
        2 => (0..200usize, any_when()).prop_map(|(nth, when)| Op::Rearm(nth, when)),
        2 => any_distance().prop_map(Op::Advance),
        2 => (0u64..2).prop_map(Duration::from_nanos).prop_map(Op::AdvanceToNext),
        1 => any_distance().prop_map(Op::AdvanceBackwards),
        1 => Just(Op::NextDeadline),
    ]
}

proptest! {
    // Fewer cases than above, checked after every operation, and shrunk when they fail.
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 500 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn stays_consistent_after_every_operation(ops in prop::collection::vec(any_op(), 1..OPS_MAX as usize)) {
        let origin = origin();
        let end = end_of_time(origin);
        let mut real = Model::<6, 64>::new(origin, end);
        let mut tiny = Model::<2, 4>::new(origin, end);
        for op in ops {
            real.apply(op);
            real.wheel.assert_consistent();
            tiny.apply(op);
            tiny.wheel.assert_consistent();
        }
    }
}
