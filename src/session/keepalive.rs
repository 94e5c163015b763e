//! Detects a dead peer on a quiet connection (OpenSSH: `ServerAliveInterval`,
//! `ServerAliveCountMax`).

use std::time::{Duration, Instant};

use super::{Cx, Failure};
use crate::error::HostErrorKind;

/// When to send keepalives, and how many may go unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Keepalive {
    /// How long the connection is quiet before a keepalive is sent. Not zero.
    pub interval: Duration,
    /// How many keepalives may go unanswered before the peer counts as dead; at least 1.
    pub missed_max: u32,
}

/// When the peer was last heard, and how many keepalives have been sent since then.
#[derive(Debug)]
pub(super) struct KeepaliveTimer {
    keepalive: Keepalive,
    /// How many bytes had been received when the peer was last heard. Any byte shows that the peer
    /// is alive: on a slow line, a packet may take longer than all keepalives.
    bytes: u64,
    heard: Instant,
    unanswered: u32,
    /// When to check the peer. Bytes do not change this time, but if any have arrived by then,
    /// the check is postponed. `None` if reading is suspended, or if the time is beyond the clock's
    /// range.
    pub due: Option<Instant>,
}

impl KeepaliveTimer {
    pub(super) fn new(keepalive: Keepalive, bytes: u64, now: Instant) -> Self {
        let due = now.checked_add(keepalive.interval);
        Self { keepalive, bytes, heard: now, unanswered: 0, due }
    }

    /// Whether a keepalive was sent and nothing has been received since.
    pub(super) fn is_unanswered(&self) -> bool {
        self.unanswered > 0
    }

    /// Restarts the timer as if the peer had been heard at `now`. `None` stops the timer.
    pub(super) fn restart(&mut self, now: Option<Instant>) {
        self.unanswered = 0;
        self.heard = now.unwrap_or(self.heard);
        self.due = now.and_then(|now| now.checked_add(self.keepalive.interval));
    }

    /// Sends a keepalive if the peer is quiet, and returns whether it did. Fails if the peer is
    /// dead.
    ///
    /// Call this only after everything that has arrived was read. A blocking client reads nothing
    /// between two of its calls, and that pause is not the peer's fault.
    pub(super) fn step(&mut self, cx: &mut Cx<'_>) -> Result<bool, Failure> {
        let (bytes, now) = (cx.link.bytes_read(), cx.now);
        if bytes != self.bytes {
            (self.bytes, self.heard, self.unanswered) = (bytes, now, 0);
        }
        if self.due.is_none_or(|due| now < due) {
            return Ok(false);
        }
        let Keepalive { interval, missed_max } = self.keepalive;
        let put_off = self.heard.checked_add(interval);
        if self.unanswered == 0 && put_off.is_none_or(|at| now < at) {
            self.due = put_off;
            return Ok(false);
        }
        if self.unanswered >= missed_max {
            let after = now.saturating_duration_since(self.heard);
            return Err(HostErrorKind::PeerDead { after, unanswered: self.unanswered }.into());
        }
        cx.link.send_keepalive()?;
        self.unanswered += 1;
        self.due = now.checked_add(interval);
        Ok(true)
    }
}
