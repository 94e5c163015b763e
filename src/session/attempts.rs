//! Attempts to connect: how many were made, when the next one is due, and when all must be over.

use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::retry::{Cause, RetryPolicy};
use super::state::State;

/// The attempts to connect to one host.
#[derive(Debug)]
pub(super) struct Attempts {
    /// The number of the current attempt, starting at 1; 0 before the first attempt.
    pub number: u32,
    /// When the current attempt began.
    pub begun: Option<Instant>,
    /// Whether the host has refused the password during these attempts.
    pub password_refused: bool,
    /// Whether the host has asked for a signature by a security key during these attempts.
    pub needs_touch: bool,
    total: Total,
    jitter: Jitter,
}

/// The time limit of all attempts together.
#[derive(Debug, Clone, Copy)]
pub(super) enum Total {
    /// There is no limit, or no attempt was made yet.
    Unset,
    Running(Deadline),
    /// The host waits for a place in the pool, or for a touch of a security key. That time does not
    /// count.
    Stopped {
        left: Duration,
        limit: Duration,
    },
}

impl Attempts {
    pub(super) fn new(jitter: Jitter) -> Self {
        Self {
            number: 0,
            begun: None,
            password_refused: false,
            needs_touch: false,
            total: Total::Unset,
            jitter,
        }
    }

    /// Grants a full set of attempts.
    pub(super) fn reset(&mut self) {
        self.number = 0;
        self.total = Total::Unset;
        self.password_refused = false;
        self.needs_touch = false;
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.number += 1;
        self.begun = Some(now);
        self.resume_total(now);
    }

    /// Resumes the time limit of all attempts, if it was stopped.
    pub(super) fn resume_total(&mut self, now: Instant) {
        if let Total::Stopped { left, limit } = self.total {
            self.total =
                now.checked_add(left).map_or(Total::Unset, |at| Total::Running(Deadline { at, limit }));
        }
    }

    /// Starts the time limit of all attempts with the first dial.
    pub(super) fn start_total(&mut self, now: Instant, policy: &RetryPolicy) {
        if let (Total::Unset, Some(deadline)) = (self.total, Deadline::new(now, policy.time_limit)) {
            self.total = Total::Running(deadline);
        }
    }

    /// Stops the time limit of all attempts until the next attempt begins, or until it is resumed.
    pub(super) fn stop_total(&mut self, now: Instant) {
        if let Total::Running(Deadline { at, limit }) = self.total {
            self.total = Total::Stopped { left: at.saturating_duration_since(now), limit };
        }
    }

    /// Begins a time limit of all attempts that is running again, and returns what it was.
    pub(super) fn renew_total(&mut self, now: Instant) -> Total {
        let before = self.total;
        if let Total::Running(Deadline { limit, .. }) = before {
            self.total = Deadline::new(now, limit).map_or(Total::Unset, Total::Running);
        }
        before
    }

    /// Takes [`renew_total`](Self::renew_total) back, unless the limit has ended since.
    pub(super) fn restore_total(&mut self, before: Total) {
        if let Total::Running(_) = self.total {
            self.total = before;
        }
    }

    /// Ends the time limit of all attempts, because one has succeeded, or because the host leaves
    /// its place to others.
    pub(super) fn end_total(&mut self) {
        self.total = Total::Unset;
    }

    /// When all attempts must be over.
    pub(super) fn until(&self) -> Option<Deadline> {
        match self.total {
            Total::Running(deadline) => Some(deadline),
            Total::Unset | Total::Stopped { .. } => None,
        }
    }

    /// Removes the current attempt from the count.
    pub(super) fn uncount(&mut self) {
        self.number = self.number.saturating_sub(1);
    }

    /// Returns the state in which to wait for the next attempt. `None` if no further attempt is
    /// made.
    pub(super) fn retry(&mut self, cause: Cause, policy: &RetryPolicy, now: Instant) -> Option<State> {
        let rule = policy.rule(cause).filter(|rule| self.number < rule.attempts)?;
        if self.number == 0 {
            return Some(State::Queued);
        }
        let pause = rule.pause(self.number, &mut self.jitter);
        let is_in_time = |deadline: Deadline| now.checked_add(pause).is_some_and(|at| at < deadline.at);
        self.until().is_none_or(is_in_time).then_some(State::BackingOff(pause))
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
    pub(super) fn up_to(&mut self, max: u128) -> Duration {
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.next()) * (u128::from(max) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
