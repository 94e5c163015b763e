//! The rate limit on new connections. It spreads them evenly over time, however long and irregular
//! the turns are.

use std::time::{Duration, Instant};

use crate::limits;

/// Limits the rate of connections with the generic cell rate algorithm (ITU-T I.371). Each
/// connection moves the time at which the next one is due by one interval. A connection may start
/// up to [`limits::CONNECT_BURST`] before it is due. So in any period of one second, at most as
/// many connections start as the rate allows in one second plus [`limits::CONNECT_BURST`].
#[derive(Debug, Clone, Copy)]
pub(super) struct RateLimit {
    interval: Duration,
    /// When the next connection is due; `None` before the first one.
    due: Option<Instant>,
}

impl RateLimit {
    /// Allows this many connections per second.
    pub(super) fn new(per_second: u32) -> Self {
        Self { interval: interval(per_second), due: None }
    }

    /// Changes the rate from now on. The number of connections that were started ahead of time
    /// carries over to the new rate, so frequent changes do not allow more connections.
    pub(super) fn change(&mut self, per_second: u32, now: Instant) {
        let (before, after) = (self.interval.as_nanos(), interval(per_second).as_nanos());
        let ahead = self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        let ahead = ahead.as_nanos().saturating_mul(after).checked_div(before).unwrap_or(0);
        self.interval = interval(per_second);
        self.due = now.checked_add(Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX)));
    }

    /// Whether a connection may start.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.next_at().is_none_or(|at| at <= now)
    }

    /// When the next connection may start; `None` before the first one.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.due?.checked_sub(limits::CONNECT_BURST)
    }

    /// Counts a connection that starts.
    pub(super) fn take(&mut self, now: Instant) {
        self.due = self.due.unwrap_or(now).max(now).checked_add(self.interval);
    }
}

/// The time between two connections at this rate. It is rounded up, so that the rate is never
/// exceeded.
fn interval(per_second: u32) -> Duration {
    const SECOND: u64 = 1_000_000_000;
    Duration::from_nanos(SECOND.div_ceil(u64::from(per_second.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MILLI: Duration = Duration::from_millis(1);

    /// When connections start, if all that are allowed start in each of these turns.
    fn begun(limit: &mut RateLimit, turns: impl IntoIterator<Item = Duration>) -> Vec<Duration> {
        let origin = crate::clock::now();
        let mut begun = Vec::new();
        for turn in turns {
            while limit.allows(origin + turn) {
                limit.take(origin + turn);
                begun.push(turn);
            }
        }
        begun
    }

    fn every(length: Duration) -> impl Iterator<Item = Duration> {
        (0..).map(move |turn| length * turn).take_while(|at| *at <= 10 * SECOND)
    }

    #[test]
    fn the_rate_is_kept_whatever_the_length_of_turns() {
        for rate in [1, 3, 10, 100, 333, 1_000, 5_000] {
            for turn in [MILLI, 3 * MILLI, 5 * MILLI] {
                let begun = begun(&mut RateLimit::new(rate), every(turn));
                let burst = rate as usize / 100 + 1;
                let expected = 10 * rate as usize;
                // Some connections of the last turn may be missing.
                let missing = rate as usize * 5 / 1_000 + 1;
                let range = expected - missing..=expected + burst;
                assert!(range.contains(&begun.len()), "{rate}/s, {turn:?}: {}", begun.len());
                for window in begun.windows(rate as usize + burst + 1) {
                    let took = window[window.len() - 1] - window[0];
                    assert!(took >= SECOND - turn, "{rate}/s, {turn:?}: {took:?}");
                }
            }
        }
    }

    #[test]
    fn missed_connections_are_not_caught_up() {
        let mut limit = RateLimit::new(100);
        assert_eq!(begun(&mut limit, [Duration::ZERO, 60 * SECOND]).len(), 4, "two each time");
    }

    #[test]
    fn the_time_of_the_next_connection_is_exact() {
        let origin = crate::clock::now();
        let mut limit = RateLimit::new(2);
        assert_eq!(limit.next_at(), None);
        limit.take(origin);
        let at = limit.next_at().unwrap();
        assert_eq!(at, origin + SECOND / 2 - limits::CONNECT_BURST);
        assert!(!limit.allows(at - Duration::from_nanos(1)) && limit.allows(at));
    }

    #[test]
    fn connections_started_ahead_of_time_carry_over_to_a_new_rate() {
        let origin = crate::clock::now();
        let mut limit = RateLimit::new(1);
        limit.take(origin);
        limit.change(1_000, origin);
        assert!(limit.allows(origin), "one connection ahead of time is now worth a millisecond");
        limit.change(1, origin);
        assert_eq!(limit.next_at(), Some(origin + SECOND - limits::CONNECT_BURST));
        for _ in 0..50 {
            limit.change(1_000, origin);
            limit.change(1, origin);
        }
        assert!(!limit.allows(origin + SECOND / 2), "frequent changes allow nothing more");
        limit.change(1, origin + 60 * SECOND);
        assert!(limit.allows(origin + 60 * SECOND));
    }

    #[test]
    fn the_highest_rate_is_limited_only_by_the_clock_s_resolution() {
        assert_eq!(
            begun(&mut RateLimit::new(u32::MAX), [Duration::ZERO]).len() as u128,
            limits::CONNECT_BURST.as_nanos() + 1
        );
    }
}
