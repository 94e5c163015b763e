//! The timer wheel with a million armed timers. The module is private to the crate, so it is
//! compiled in.

#[allow(dead_code, unused_imports, reason = "with its unit tests, for cargo sets cfg(test) on benches too")]
#[path = "../src/reactor"]
mod reactor {
    pub mod wheel;
}

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main};

use reactor::wheel::{TimerId, Wheel};

const ARMED: usize = 1_000_000;
/// Deadlines are spread over a minute, like those of sessions.
const SPREAD_MS: u64 = 60_000;
/// Operations timed together. Reading the clock would cost as much as one operation.
const BATCH: usize = 1_000;

/// xorshift64*: random enough to defeat the caches, cheap enough not to count.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % end
    }

    fn after(&mut self) -> Duration {
        Duration::from_millis(1 + self.below(SPREAD_MS))
    }
}

struct Loaded {
    wheel: Wheel<usize>,
    ids: Vec<TimerId>,
    origin: Instant,
    random: Random,
}

impl Loaded {
    fn new() -> Self {
        let origin = Instant::now();
        let mut random = Random(0x5eed);
        let mut wheel = Wheel::new(origin);
        let ids = (0..ARMED).map(|key| wheel.arm(origin + random.after(), key)).collect();
        Self { wheel, ids, origin, random }
    }

    /// Random timers, each once in most cases, with new deadlines; drawn before the clock runs.
    fn draw(&mut self) -> Vec<Drawn> {
        (0..BATCH)
            .map(|_| {
                let key = self.random.below(ARMED as u64) as usize;
                Drawn { key, id: self.ids[key], deadline: self.origin + self.random.after() }
            })
            .collect()
    }
}

struct Drawn {
    key: usize,
    id: TimerId,
    deadline: Instant,
}

/// Times `op` on random timers, a batch at a time; `undo` must arm as many again as `op` has
/// disarmed.
fn bench_op(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    loaded: &mut Loaded,
    mut op: impl FnMut(&mut Wheel<usize>, &mut Drawn),
    mut undo: impl FnMut(&mut Loaded, Drawn),
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let batches = (iterations as usize).div_ceil(BATCH);
            let mut elapsed = Duration::ZERO;
            for _ in 0..batches {
                let mut drawn = loaded.draw();
                let started = Instant::now();
                for timer in &mut drawn {
                    op(&mut loaded.wheel, timer);
                }
                elapsed += started.elapsed();
                for timer in drawn {
                    undo(loaded, timer);
                }
                assert_eq!(loaded.wheel.len(), ARMED);
            }
            elapsed.mul_f64(iterations as f64 / (batches * BATCH) as f64)
        });
    });
}

fn operations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel, 1M armed");
    let loaded = &mut Loaded::new();
    let origin = loaded.origin;
    let nothing = |_: &mut Loaded, _| ();

    bench_op(
        &mut group,
        "arm",
        loaded,
        |wheel, timer| timer.id = wheel.arm(timer.deadline, timer.key),
        |loaded, timer| {
            loaded.wheel.disarm(timer.id);
        },
    );
    bench_op(
        &mut group,
        "disarm a random one",
        loaded,
        |wheel, timer| _ = black_box(wheel.disarm(timer.id)),
        |loaded, timer| {
            // If drawn twice, it was stale the second time and is armed already.
            if loaded.ids[timer.key] == timer.id {
                loaded.ids[timer.key] = loaded.wheel.arm(timer.deadline, timer.key);
            }
        },
    );
    let arm_and_disarm = |wheel: &mut Wheel<usize>, timer: &mut Drawn| {
        let id = wheel.arm(timer.deadline, timer.key);
        black_box(wheel.disarm(id));
    };
    bench_op(&mut group, "arm and disarm the same", loaded, arm_and_disarm, nothing);
    let rearm = |wheel: &mut Wheel<usize>, timer: &mut Drawn| assert!(wheel.rearm(timer.id, timer.deadline));
    bench_op(&mut group, "rearm a random one", loaded, rearm, nothing);
    let next_deadline = |wheel: &mut Wheel<usize>, _: &mut Drawn| _ = black_box(wheel.next_deadline());
    bench_op(&mut group, "next_deadline", loaded, next_deadline, nothing);
    let next_deadline_after_disarm = |wheel: &mut Wheel<usize>, timer: &mut Drawn| {
        let id = wheel.arm(origin, timer.key);
        wheel.disarm(id);
        black_box(wheel.next_deadline());
    };
    bench_op(&mut group, "next_deadline, the earliest disarmed", loaded, next_deadline_after_disarm, nothing);
    group.finish();
}

fn advance(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel, advance, 1M armed");
    group.sample_size(20);
    let mut loaded = Loaded::new();
    let mut expired = Vec::with_capacity(ARMED);
    let mut now = loaded.origin;

    group.bench_function("nothing expires", |bencher| {
        bencher.iter(|| loaded.wheel.advance(black_box(now), &mut expired));
    });
    for expiring in [1, 100, 10_000] {
        // A minute holds a million, so on average this is how long it takes until that many expire.
        // They are armed again, untimed, for a minute later, so that every start finds a million.
        let step = Duration::from_nanos(60_000 * expiring);
        group.bench_function(format!("{expiring} expire"), |bencher| {
            bencher.iter_custom(|iterations| {
                let (mut elapsed, mut count) = (Duration::ZERO, 0);
                while count < iterations * expiring {
                    now += step;
                    expired.clear();
                    let started = Instant::now();
                    loaded.wheel.advance(now, &mut expired);
                    elapsed += started.elapsed();
                    count += expired.len() as u64;
                    for &key in &expired {
                        loaded.wheel.arm(now + Duration::from_millis(SPREAD_MS), key);
                    }
                }
                elapsed.mul_f64((iterations * expiring) as f64 / count as f64)
            });
        });
    }
    group.bench_function("all expire", |bencher| {
        let far = Duration::from_secs(50 * 24 * 60 * 60);
        bencher.iter_batched(
            || (Loaded::new(), Vec::with_capacity(ARMED)),
            |(mut loaded, mut expired)| {
                loaded.wheel.advance(loaded.origin + far, &mut expired);
                (loaded, expired)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, operations, advance);
criterion_main!(benches);
