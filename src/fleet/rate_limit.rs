//! How fast connections may be begun: evenly spread, whatever the turns are like.

use std::time::{Duration, Instant};

use crate::limits;

/// A bound on the rate of connections, by the generic cell rate algorithm (ITU-T I.371): each one moves the time at which
/// the next is due by the interval between two, and may come ahead of that time by [`limits::CONNECT_BURST`]. So no
/// second begins more of them than the rate, and what the rate makes of that.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateLimit {
    interval: Duration,
    /// When the next one is due, if that was not long ago.
    due: Option<Instant>,
}

impl RateLimit {
    /// So many a second.
    pub(super) fn new(per_second: u32) -> Self {
        Self { interval: interval(per_second), due: None }
    }

    /// So many a second from now on. What was begun too early by the old rate is by the new one as many connections too
    /// early, so changing it often begins no more of them.
    pub(super) fn change(&mut self, per_second: u32, now: Instant) {
        let (before, after) = (self.interval.as_nanos(), interval(per_second).as_nanos());
        let ahead = self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        let ahead = ahead.as_nanos().saturating_mul(after).checked_div(before).unwrap_or(0);
        self.interval = interval(per_second);
        self.due = now.checked_add(Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX)));
    }

    /// Whether one may begin.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.next_at().is_none_or(|at| at <= now)
    }

    /// When the next one may begin; `None` if one might have for long.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.due?.checked_sub(limits::CONNECT_BURST)
    }

    /// One begins.
    pub(super) fn take(&mut self, now: Instant) {
        self.due = self.due.unwrap_or(now).max(now).checked_add(self.interval);
    }
}

/// Rounded up: rather one too few than one too many.
fn interval(per_second: u32) -> Duration {
    const SECOND: u64 = 1_000_000_000;
    Duration::from_nanos(SECOND.div_ceil(u64::from(per_second.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MILLI: Duration = Duration::from_millis(1);

    /// When connections begin if all that may do, at each of these times after the first.
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
                // Of the last turn some may be missing.
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
    fn what_was_not_begun_in_time_is_not_made_up_for() {
        let mut limit = RateLimit::new(100);
        assert_eq!(begun(&mut limit, [Duration::ZERO, 60 * SECOND]).len(), 4, "two each time");
    }

    #[test]
    fn the_next_one_is_told_exactly() {
        let origin = crate::clock::now();
        let mut limit = RateLimit::new(2);
        assert_eq!(limit.next_at(), None);
        limit.take(origin);
        let at = limit.next_at().unwrap();
        assert_eq!(at, origin + SECOND / 2 - limits::CONNECT_BURST);
        assert!(!limit.allows(at - Duration::from_nanos(1)) && limit.allows(at));
    }

    #[test]
    fn a_new_rate_takes_over_what_was_begun_too_early() {
        let origin = crate::clock::now();
        let mut limit = RateLimit::new(1);
        limit.take(origin);
        limit.change(1_000, origin);
        assert!(limit.allows(origin), "one connection is a millisecond now");
        limit.change(1, origin);
        assert_eq!(limit.next_at(), Some(origin + SECOND - limits::CONNECT_BURST));
        for _ in 0..50 {
            limit.change(1_000, origin);
            limit.change(1, origin);
        }
        assert!(!limit.allows(origin + SECOND / 2), "to change it often begins nothing");
        limit.change(1, origin + 60 * SECOND);
        assert!(limit.allows(origin + 60 * SECOND));
    }

    #[test]
    fn the_highest_rate_is_hardly_one() {
        assert_eq!(
            begun(&mut RateLimit::new(u32::MAX), [Duration::ZERO]).len() as u128,
            limits::CONNECT_BURST.as_nanos() + 1
        );
    }
}
