//! Limits how often a server may ask for new keys.
//!
//! A key exchange costs 0.3 ms of CPU time or more, and a server may request one at any time (RFC
//! 4253 section 9). An exchange after enough data, or after a pause, is legitimate. All others are
//! suspicious and are counted, because a few of them are normal but many are an attack.

use std::collections::VecDeque;
use std::time::Instant;

use crate::limits;
use crate::link::{KeyExchanges, RekeyLimit};

/// The key exchanges of a connection after the first.
#[derive(Debug)]
pub(super) struct Rekeys {
    /// When this end asks for new keys itself.
    own: RekeyLimit,
    /// The link's counters at the last exchange.
    seen: KeyExchanges,
    /// When the last exchange completed.
    last: Option<Instant>,
    /// How many suspicious exchanges there were since the last legitimate one.
    in_a_row: u32,
    /// The times of recent suspicious exchanges, oldest first.
    others: VecDeque<Instant>,
}

impl Rekeys {
    /// Starts to count after the first exchange, with which every connection begins.
    pub(super) fn new(own: RekeyLimit) -> Self {
        let seen = KeyExchanges { done: 1, ..KeyExchanges::default() };
        Self { own, seen, last: None, in_a_row: 0, others: VecDeque::new() }
    }

    /// Counts the exchanges so far. Returns a description of the problem if there were too many.
    pub(super) fn count(&mut self, now_seen: KeyExchanges, now: Instant) -> Option<String> {
        let new = now_seen.done.saturating_sub(self.seen.done);
        if new == 0 {
            return None;
        }
        let traffic = now_seen.traffic.saturating_sub(self.seen.traffic);
        let pause = self.last.map(|last| now.saturating_duration_since(last));
        let enough = self.own.time.map_or(limits::REKEY_PAUSE, |time| time.min(limits::REKEY_PAUSE));
        let paused = pause.is_some_and(|pause| pause >= enough);
        let carried = now_seen.carried.saturating_sub(self.seen.carried);
        // libssh asks before the packet that would exceed the limit.
        let is_own = self.own.bytes.is_some_and(|bytes| carried >= bytes / 2);
        (self.seen, self.last) = (now_seen, Some(now));
        // If several exchanges completed at once, only the first can follow data or a pause.
        let is_due = traffic >= limits::REKEY_TRAFFIC || paused || is_own;
        if is_due {
            self.in_a_row = 0;
        }
        for _ in u64::from(is_due)..new {
            self.in_a_row += 1;
            self.others.push_back(now);
            if self.others.len() > limits::REKEYS_PER_WINDOW {
                let window = limits::REKEY_WINDOW;
                let first = self.others.pop_front();
                if first.is_some_and(|first| now.saturating_duration_since(first) <= window) {
                    let others = limits::REKEYS_PER_WINDOW + 1;
                    return Some(format!(
                        "the host asked for new keys {others} times in {window:?}, for no data"
                    ));
                }
            }
            if self.in_a_row > limits::REKEYS_IN_A_ROW {
                return Some(format!(
                    "the host asked for new keys {} times in a row, for no data",
                    self.in_a_row
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LITTLE: u64 = limits::REKEY_TRAFFIC - 1;
    const ENOUGH: u64 = limits::REKEY_TRAFFIC;

    struct Bench {
        rekeys: Rekeys,
        seen: KeyExchanges,
        now: Instant,
    }

    impl Bench {
        pub(super) fn new() -> Self {
            Self::limited(RekeyLimit::default())
        }

        /// This end asks for new keys, too.
        fn limited(own: RekeyLimit) -> Self {
            let seen = KeyExchanges { done: 1, ..KeyExchanges::default() };
            Self { rekeys: Rekeys::new(own), seen, now: Instant::now() }
        }

        /// Adds one exchange after this much time and traffic.
        fn next(&mut self, after: Duration, traffic: u64) -> Option<String> {
            self.now += after;
            self.seen.done += 1;
            self.seen.traffic += traffic;
            self.rekeys.count(self.seen, self.now)
        }
    }

    #[test]
    fn any_number_with_data_in_between_is_fine() {
        let mut bench = Bench::new();
        assert!((0..1000).all(|_| bench.next(Duration::ZERO, ENOUGH).is_none()));
    }

    #[test]
    fn any_number_with_pauses_in_between_is_fine() {
        let mut bench = Bench::new();
        assert!((0..1000).all(|_| bench.next(limits::REKEY_PAUSE, 0).is_none()));
        assert!(bench.rekeys.others.len() <= 1);
    }

    #[test]
    fn ten_in_a_row_without_data_are_fine_and_eleven_are_not() {
        let mut bench = Bench::new();
        let pause = Duration::from_secs(10);
        assert!((0..10).all(|_| bench.next(pause, LITTLE).is_none()));
        assert!(bench.next(pause, ENOUGH).is_none());
        assert!((0..10).all(|_| bench.next(pause, LITTLE).is_none()));
        assert!(bench.next(pause, LITTLE).unwrap().contains("11 times in a row"));
    }

    #[test]
    fn thirty_in_thirty_seconds_are_fine_and_more_are_not() {
        let mut bench = Bench::new();
        let mut rounds = |after: Duration, n: usize| {
            (0..n).find_map(|n| bench.next(after, if n % 2 == 0 { ENOUGH } else { 0 }))
        };
        // One suspicious exchange a second, for two minutes.
        assert_eq!(rounds(Duration::from_millis(501), 240), None);
        assert!(rounds(Duration::from_millis(400), 240).unwrap().contains("31 times in 30s"));
    }

    #[test]
    fn what_this_end_asks_for_is_fine() {
        let mut bench = Bench::limited(RekeyLimit { bytes: None, time: Some(Duration::from_secs(2)) });
        assert!((0..1000).all(|_| bench.next(Duration::from_secs(2), 0).is_none()));
        assert!((0..100).any(|_| bench.next(Duration::from_secs(1), 0).is_some()));
        // Bytes of any kind: requests and answers are not traffic.
        let mut bench = Bench::limited(RekeyLimit { bytes: Some(1 << 20), time: None });
        let mut after = |bytes: u64| {
            bench.seen.carried += bytes;
            bench.next(Duration::ZERO, 0)
        };
        assert!((0..1000).all(|_| after(1 << 19).is_none()));
        assert!((0..100).any(|_| after((1 << 19) - 1).is_some()));
    }

    #[test]
    fn of_several_at_once_only_the_first_can_be_due() {
        let mut bench = Bench::new();
        bench.seen.done += 11;
        bench.seen.traffic += ENOUGH;
        assert_eq!(bench.rekeys.count(bench.seen, bench.now), None);
        bench.seen.done += 2;
        assert!(bench.rekeys.count(bench.seen, bench.now).is_some());
    }

    #[test]
    fn no_new_exchange_counts_nothing() {
        let mut bench = Bench::new();
        assert_eq!(bench.rekeys.count(bench.seen, bench.now), None);
        assert!(bench.rekeys.others.is_empty());
    }
}
