//! How far the copies of a run are: bytes, share, rate.

use std::collections::VecDeque;
use std::time::Duration;

use sshoal::transfer::Transferred;

use super::HostIndex;
use super::copied::bytes;

/// What all hosts together have copied.
pub struct Flow {
    /// The bytes of each host, and the share of its work that is done.
    hosts: Vec<(u64, f64)>,
    bytes: u64,
    /// The sum of the shares.
    done: f64,
    /// Both at times within the window of the rate.
    samples: VecDeque<(Duration, u64, f64)>,
}

impl Flow {
    pub fn new(hosts: usize) -> Self {
        Self {
            hosts: vec![(0, 0.0); hosts],
            bytes: 0,
            done: 0.0,
            samples: VecDeque::from([(Duration::ZERO, 0, 0.0)]),
        }
    }

    /// A host has made progress.
    pub fn progress(&mut self, host: HostIndex, done: &Transferred) {
        let share = if done.total == 0 { 0.0 } else { done.bytes as f64 / done.total as f64 };
        self.set(host, done.bytes, share);
    }

    /// A host has ended, and has nothing left to do.
    pub fn end(&mut self, host: HostIndex, done: Option<&Transferred>) {
        let known = self.hosts.get(host).map_or(0, |(bytes, _)| *bytes);
        self.set(host, done.map_or(known, |done| done.bytes), 1.0);
    }

    fn set(&mut self, host: HostIndex, bytes: u64, share: f64) {
        let Some(known) = self.hosts.get_mut(host) else { return };
        let share = share.clamp(0.0, 1.0);
        self.bytes = self.bytes + bytes - known.0;
        self.done += share - known.1;
        *known = (bytes, share);
    }

    /// Notes how far it is, and forgets what is older than the window.
    pub fn sample(&mut self, at: Duration, window: Duration) {
        self.samples.push_back((at, self.bytes, self.done));
        while self.samples.get(1).is_some_and(|(time, ..)| *time + window <= at) {
            self.samples.pop_front();
        }
    }

    /// The parts of the progress line: bytes and percent, rate, and the time that is left.
    pub fn parts(&self, at: Duration) -> (String, Option<(String, f64)>) {
        let hosts = self.hosts.len().max(1) as f64;
        let percent = (100.0 * self.done / hosts).floor();
        let amount = format!("{} {percent:.0} %", bytes(self.bytes as f64));
        let rate = self.samples.front().and_then(|(time, bytes_then, done_then)| {
            let seconds = at.saturating_sub(*time).as_secs_f64();
            let (bytes_since, done_since) = (self.bytes.saturating_sub(*bytes_then), self.done - done_then);
            let is_known = seconds >= 0.5 && done_since > 0.0;
            let left = (hosts - self.done).max(0.0) * seconds / done_since;
            is_known.then(|| (format!("{}/s", bytes(bytes_since as f64 / seconds)), left))
        });
        (amount, rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transferred(bytes: u64, total: u64) -> Transferred {
        let mut done = Transferred::default();
        (done.bytes, done.total) = (bytes, total);
        done
    }

    #[test]
    fn the_share_is_that_of_all_hosts_and_the_rate_that_of_late() {
        let at = Duration::from_secs;
        let mut flow = Flow::new(4);
        assert_eq!(flow.parts(at(1)), ("0 B 0 %".into(), None));
        flow.progress(0, &transferred(500_000, 1_000_000));
        flow.progress(0, &transferred(1_000_000, 1_000_000));
        flow.progress(1, &transferred(500_000, 1_000_000));
        // A host that fails has nothing left to do.
        flow.end(2, None);
        let (amount, rate) = flow.parts(at(5));
        assert_eq!((amount.as_str(), rate), ("1.5 MB 62 %", Some(("300.0 kB/s".into(), 3.0))));
        flow.end(0, Some(&transferred(1_000_000, 1_000_000)));
        flow.sample(at(10), at(5));
        flow.sample(at(20), at(5));
        assert_eq!(flow.parts(at(21)).1, None, "nothing has moved of late");
    }
}
