//! The distribution of the CPU time of turns.

use std::fmt;
use std::time::Duration;

/// How long turns took in CPU time of their thread, as a histogram. Unlike a duration by the clock,
/// CPU time does not grow when other threads and processes compete for the processor.
///
/// A [`Fleet`](crate::Fleet) counts every turn whose [budget](crate::Budget) has a time limit.
/// [`Fleet::turn_times`](crate::Fleet::turn_times) returns the histogram, and
/// [`Fleet::reset_turn_times`](crate::Fleet::reset_turn_times) empties it.
///
/// ```
/// use std::time::{Duration, Instant};
/// use sshoal::{Budget, Fleet};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut fleet = Fleet::builder(["web1"])
/// #   .no_known_hosts().identity_auth(false)
///     .build()?;
/// fleet.turn(Instant::now(), Budget::default())?;
/// let times = fleet.reset_turn_times();
/// assert_eq!(times.turns(), 1);
/// println!("p50 {:?}, p99 {:?}", times.quantile(0.5), times.quantile(0.99));
/// // As Prometheus wants it:
/// for (limit, turns) in times.buckets() {
///     println!("sshoal_turn_seconds_bucket{{le=\"{}\"}} {turns}", limit.as_secs_f64());
/// }
/// println!("sshoal_turn_seconds_sum {}", times.total().as_secs_f64());
/// println!("sshoal_turn_seconds_count {}", times.turns());
/// assert_eq!(fleet.turn_times().turns(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TurnTimes {
    /// Each power of two is cut into [`STEPS`] steps of equal width.
    counts: [u64; STEPS * POWERS],
    total: Duration,
    longest: Duration,
}

/// The steps between two powers of two.
const STEPS: usize = 4;

/// The powers of two, from 1 µs to 16.8 s.
const POWERS: usize = 25;

/// The width of the first steps, in nanoseconds.
const FINEST: u128 = 1_000 / STEPS as u128;

impl Default for TurnTimes {
    fn default() -> Self {
        Self { counts: [0; STEPS * POWERS], total: Duration::ZERO, longest: Duration::ZERO }
    }
}

impl TurnTimes {
    pub(super) fn count(&mut self, took: Duration) {
        self.counts[step_of(took)] += 1;
        self.total += took;
        self.longest = self.longest.max(took);
    }

    /// How many turns were counted.
    pub fn turns(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The CPU time of all turns together.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// The CPU time of the longest turn; zero if no turn was counted.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// The CPU time that this share of the turns did not exceed; 0.5 stands for the median. It is
    /// rounded up by less than a quarter. A share above 1 counts as 1, and the result is zero if no
    /// turn was counted.
    pub fn quantile(&self, share: f64) -> Duration {
        let turns = self.turns();
        // Both casts saturate.
        let rank = ((turns as f64 * share).ceil() as u64).clamp(1, turns.max(1));
        let mut below = 0;
        for (step, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return limit_of(step).min(self.longest);
            }
        }
        self.longest
    }

    /// For each power of two from 1 µs to 16.8 s: how many turns did not exceed it. Longer turns
    /// count as turns of 16.8 s.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut below = 0;
        self.counts.chunks(STEPS).enumerate().map(move |(power, counts)| {
            below += counts.iter().sum::<u64>();
            (limit_of(power * STEPS + STEPS - 1), below)
        })
    }
}

impl fmt::Debug for TurnTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnTimes")
            .field("turns", &self.turns())
            .field("total", &self.total)
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

/// The step that a time belongs to. A time on the limit of a step belongs to that step.
fn step_of(time: Duration) -> usize {
    let finest = time.as_nanos().saturating_sub(1) / FINEST;
    let power = (finest.max(1).ilog2() as usize).saturating_sub(1);
    let step = (finest >> power.saturating_sub(1)) as usize % STEPS;
    (power * STEPS + step).min(STEPS * POWERS - 1)
}

/// The longest time that belongs to a step.
fn limit_of(step: usize) -> Duration {
    let (power, step) = (step / STEPS, step % STEPS);
    let below = if power == 0 { 0 } else { STEPS };
    let finest = ((below + step + 1) << power.saturating_sub(1)) as u64;
    Duration::from_nanos(finest * FINEST as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_at_most_the_limit_of_its_step_and_above_that_of_the_step_before() {
        for nanos in (0..64).map(|bits| 1_u64 << bits).take_while(|nanos| *nanos < 16_000_000_000) {
            for nanos in [nanos.saturating_sub(1), nanos, nanos + 1, nanos + nanos / 3] {
                let time = Duration::from_nanos(nanos);
                let step = step_of(time);
                assert!(time <= limit_of(step), "{time:?}: {step}");
                if let Some(before) = step.checked_sub(1) {
                    assert!(time > limit_of(before), "{time:?}: {step}");
                }
            }
        }
        assert_eq!(step_of(Duration::from_secs(3600)), STEPS * POWERS - 1);
    }

    #[test]
    fn limits_grow_by_at_most_a_quarter_and_powers_of_two_are_among_them() {
        let mut times = TurnTimes::default();
        for (power, (limit, turns)) in times.buckets().enumerate() {
            assert_eq!((limit, turns), (Duration::from_micros(1 << power), 0));
        }
        for step in STEPS..STEPS * POWERS {
            assert!(limit_of(step).as_nanos() * 4 <= limit_of(step - 1).as_nanos() * 5, "{step}");
        }
        times.count(Duration::from_micros(2));
        times.count(Duration::from_micros(3));
        let [one, two, four] = [0, 1, 2].map(|power| times.buckets().nth(power).unwrap().1);
        assert_eq!([one, two, four], [0, 1, 2]);
    }

    #[test]
    fn quantiles_are_those_of_the_turns() {
        let mut times = TurnTimes::default();
        assert_eq!(times.quantile(0.5), Duration::ZERO);
        (1..=100).for_each(|micros| times.count(Duration::from_micros(micros)));
        assert_eq!((times.turns(), times.total()), (100, Duration::from_micros(5050)));
        assert_eq!(times.longest(), Duration::from_micros(100));
        for (share, exact) in [(0.0, 1.0), (0.01, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (7.0, 100.0)]
        {
            let found = times.quantile(share).as_secs_f64() * 1e6;
            assert!((exact..exact * 1.25).contains(&found), "{share}: {found} instead of {exact}");
        }
    }
}
