//! Commands that print nothing for too long (`--idle`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::output::HostIndex;

/// When each command was last heard.
///
/// All commands have the same limit, so the queue is in the order of its times. A command that was
/// heard stays where it is in the queue, and moves to the end when its old time has come.
#[derive(Debug)]
pub struct Silence {
    limit: Duration,
    queue: VecDeque<(Instant, HostIndex)>,
    heard: Vec<Instant>,
}

impl Silence {
    pub fn new(limit: Duration, hosts: usize, now: Instant) -> Self {
        Self { limit, queue: VecDeque::new(), heard: vec![now; hosts] }
    }

    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The host's command has started.
    pub fn begin(&mut self, host: HostIndex, now: Instant) {
        self.heard[host] = now;
        self.queue.push_back((now + self.limit, host));
    }

    /// The command has printed something, or has taken input.
    pub fn hear(&mut self, host: HostIndex, now: Instant) {
        self.heard[host] = now;
    }

    /// When the next command may have been silent for too long.
    pub fn next(&self) -> Option<Instant> {
        self.queue.front().map(|(at, _)| *at)
    }

    /// The next command that has been silent for too long, if it is still `running`. It is not
    /// returned again.
    pub fn expired(&mut self, now: Instant, running: impl Fn(HostIndex) -> bool) -> Option<HostIndex> {
        while let Some((_, host)) = self.queue.front().copied().filter(|(at, _)| *at <= now) {
            self.queue.pop_front();
            let due = self.heard[host] + self.limit;
            match running(host) {
                true if due > now => self.queue.push_back((due, host)),
                true => return Some(host),
                false => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_command_that_stays_silent_expires() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut silence = Silence::new(Duration::from_secs(10), 3, start);
        (0..3).for_each(|host| silence.begin(host, at(0)));
        silence.hear(1, at(4));
        assert_eq!(silence.next(), Some(at(10)));
        assert_eq!(silence.expired(at(9), |_| true), None);
        // Host 2 has ended.
        assert_eq!(silence.expired(at(10), |host| host != 2), Some(0));
        assert_eq!(silence.expired(at(10), |host| host != 2), None);
        assert_eq!(silence.next(), Some(at(14)));
        assert_eq!(silence.expired(at(14), |_| true), Some(1));
        assert_eq!(silence.next(), None);
    }
}
