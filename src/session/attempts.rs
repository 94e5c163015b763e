//! Attempts to connect: how many were made, and when the next one is due.

use std::time::{Duration, Instant};

use super::Connection;
use super::failure::{Ending, is_retryable};
use super::state::State;
use crate::error::HostErrorKind;
use crate::limits;

/// The pause after a connection that the server dropped.
const AFTER_DROP: RetryDelay =
    RetryDelay { base: limits::DROP_DELAY, backoff_max: Some(limits::DROP_DELAY_MAX) };

/// The attempts to connect to one host.
#[derive(Debug)]
pub(super) struct Attempts {
    /// The number of the current attempt, starting at 1; 0 before the first attempt.
    pub number: u32,
    /// When the current attempt began.
    pub begun: Option<Instant>,
    /// How many dropped connections did not count as attempts.
    drops: u32,
    jitter: Jitter,
}

impl Attempts {
    pub(super) fn new(jitter: Jitter) -> Self {
        Self { number: 0, begun: None, drops: 0, jitter }
    }

    /// Grants a full set of attempts.
    pub(super) fn reset(&mut self) {
        self.number = 0;
        self.drops = 0;
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.number += 1;
        self.begun = Some(now);
    }

    /// Removes the current attempt from the count.
    pub(super) fn uncount(&mut self) {
        self.number = self.number.saturating_sub(1);
    }

    /// Returns the state in which to wait for the next attempt. `None` if no further attempt is
    /// made.
    pub(super) fn retry(
        &mut self,
        ending: Ending,
        kind: &HostErrorKind,
        connection: &Connection,
    ) -> Option<State> {
        let Connection { attempts, retry_delay, .. } = *connection;
        // If the caller allows only one attempt, it wants the result at once, so a drop is not
        // retried.
        if ending == Ending::Dropped && attempts > 1 && self.drops < limits::DROPS {
            let pause = AFTER_DROP.after(self.drops, &mut self.jitter);
            self.drops += 1;
            self.uncount();
            return Some(State::BackingOff(pause));
        }
        if self.number >= attempts || !is_retryable(kind) {
            return None;
        }
        Some(match self.number {
            0 => State::Queued,
            failed => State::BackingOff(retry_delay.after(failed, &mut self.jitter)),
        })
    }
}

/// The pause between two attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RetryDelay {
    /// The fixed pause, or the base of an exponential backoff.
    pub base: Duration,
    /// The longest pause of an exponential backoff. `None` if the pause is fixed.
    pub backoff_max: Option<Duration>,
}

impl RetryDelay {
    /// The pause after `failed` failed attempts.
    ///
    /// Exponential backoff uses full jitter, so that hosts hit by the same outage do not reconnect
    /// at the same moment.
    pub(super) fn after(&self, failed: u32, jitter: &mut Jitter) -> Duration {
        let Some(max) = self.backoff_max else { return self.base };
        let factor = 1_u128.checked_shl(failed).unwrap_or(u128::MAX);
        jitter.up_to(self.base.as_nanos().saturating_mul(factor).min(max.as_nanos()))
    }
}

/// A seeded pseudo-random number generator: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). It is
/// good enough to spread pauses, and takes eight bytes per host.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A pause of 0 to `max` nanoseconds, uniformly distributed. `max` is capped at `u64::MAX`,
    /// which is more than five centuries.
    fn up_to(&mut self, max: u128) -> Duration {
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.next()) * (u128::from(max) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn backoff(base: Duration, max: Duration) -> RetryDelay {
        RetryDelay { base, backoff_max: Some(max) }
    }

    /// The longest of many pauses, and whether any pause was shorter than a tenth of it.
    fn spread(delay: RetryDelay, failed: u32) -> (Duration, bool) {
        let pauses: Vec<_> =
            (0..2_000).map(|seed| delay.after(failed, &mut Jitter::new(seed * 7_919))).collect();
        let longest = *pauses.iter().max().unwrap();
        (longest, pauses.iter().any(|pause| *pause < longest / 10))
    }

    #[test]
    fn without_backoff_every_pause_is_the_delay() {
        let delay = RetryDelay { base: 5 * SECOND, backoff_max: None };
        for failed in [1, 2, 40, u32::MAX] {
            assert_eq!(delay.after(failed, &mut Jitter::new(1)), 5 * SECOND);
        }
    }

    #[test]
    fn the_longest_pause_doubles_up_to_the_maximum_and_the_shortest_stays_near_zero() {
        let delay = backoff(SECOND, 30 * SECOND);
        for (failed, ceiling) in
            [(1, 2), (2, 4), (3, 8), (4, 16), (5, 30), (31, 30), (32, 30), (u32::MAX, 30)]
        {
            let ceiling = ceiling * SECOND;
            let (longest, reaches_down) = spread(delay, failed);
            assert!(longest <= ceiling && longest > ceiling * 9 / 10, "after {failed}: {longest:?}");
            assert!(reaches_down, "after {failed} no pause is short");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        for (base, max, ceiling) in [
            (Duration::ZERO, Duration::MAX, Duration::ZERO),
            (SECOND, Duration::ZERO, Duration::ZERO),
            (Duration::MAX, SECOND, SECOND),
            (Duration::MAX, Duration::MAX, Duration::from_nanos(u64::MAX)),
            (Duration::from_nanos(1), Duration::MAX, Duration::from_nanos(u64::MAX)),
        ] {
            for failed in [1, 31, 32, 64, 127, 128, u32::MAX] {
                assert!(backoff(base, max).after(failed, &mut Jitter::new(3)) <= ceiling, "{base:?} {max:?}");
            }
        }
    }

    #[test]
    fn equal_seeds_give_equal_pauses_and_different_ones_do_not() {
        let pause = |seed| backoff(SECOND, 60 * SECOND).after(4, &mut Jitter::new(seed));
        assert_eq!(pause(7), pause(7));
        assert_ne!(pause(7), pause(8));
    }

    /// Reference values of the published algorithm for seed 1234567.
    #[test]
    fn the_stream_is_splitmix64() {
        let mut jitter = Jitter::new(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| jitter.next()).collect();
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
