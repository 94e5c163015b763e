//! Whether the peer of a quiet connection still lives (OpenSSH: `ServerAliveInterval`, `ServerAliveCountMax`).

use std::time::{Duration, Instant};

use super::{Cx, Failure};
use crate::error::HostErrorKind;

/// When a quiet peer is asked for a sign of life, and how often in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Keepalive {
    /// Not zero.
    pub interval: Duration,
    /// Questions without an answer before the peer counts as dead; at least 1.
    pub missed_max: u32,
}

/// When the peer was heard last, and how often it was asked since.
#[derive(Debug)]
pub(super) struct KeepaliveTimer {
    keepalive: Keepalive,
    /// Packets received when it was heard last: any packet is a sign of life.
    packets: u64,
    heard: Instant,
    unanswered: u32,
    /// Packets do not move it: where one came since, it is put off when it is reached. `None`: beyond the clock.
    due: Option<Instant>,
}

/// What the timer says.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Alive,
    /// Quiet for an interval.
    Ask,
    Dead {
        after: Duration,
        unanswered: u32,
    },
}

impl KeepaliveTimer {
    pub(super) fn new(keepalive: Keepalive, packets: u64, now: Instant) -> Self {
        let due = now.checked_add(keepalive.interval);
        Self { keepalive, packets, heard: now, unanswered: 0, due }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Begins to listen at this time as to a peer that was just heard, or listens no more.
    pub(super) fn restart(&mut self, now: Option<Instant>) {
        self.unanswered = 0;
        self.heard = now.unwrap_or(self.heard);
        self.due = now.and_then(|now| now.checked_add(self.keepalive.interval));
    }

    /// Asks a quiet peer for a sign of life. Whether it did; an error if the peer is dead.
    pub(super) fn step(&mut self, cx: &mut Cx<'_>) -> Result<bool, Failure> {
        match self.look(cx.link.packets_read(), cx.now) {
            Finding::Alive => Ok(false),
            Finding::Ask => {
                cx.link.send_keepalive()?;
                Ok(true)
            }
            Finding::Dead { after, unanswered } => Err(HostErrorKind::PeerDead { after, unanswered }.into()),
        }
    }

    /// To be asked once everything that has arrived was taken in: between two calls of a client nobody listens, and a
    /// long pause is not the peer's.
    fn look(&mut self, packets: u64, now: Instant) -> Finding {
        if packets != self.packets {
            (self.packets, self.heard, self.unanswered) = (packets, now, 0);
        }
        if self.due.is_none_or(|due| now < due) {
            return Finding::Alive;
        }
        let Keepalive { interval, missed_max } = self.keepalive;
        let put_off = self.heard.checked_add(interval);
        if self.unanswered == 0 && put_off.is_none_or(|at| now < at) {
            self.due = put_off;
            return Finding::Alive;
        }
        if self.unanswered >= missed_max {
            let after = now.saturating_duration_since(self.heard);
            return Finding::Dead { after, unanswered: self.unanswered };
        }
        self.unanswered += 1;
        self.due = now.checked_add(interval);
        Finding::Ask
    }
}
