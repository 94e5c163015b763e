//! How much libssh keeps for a socket that takes no more.
//!
//! libssh itself answers unknown messages and requests that want a reply. It does so even if the
//! peer does not read, keeps what the socket does not take, and only logs how much that is. Its
//! counters cost nothing, and give an upper limit.

/// Bytes of a packet on the wire besides the payload, at most: length, padding, and MAC (RFC 4253
/// section 6).
const PACKET_OVERHEAD: u64 = 5 + 20 + 64;

/// libssh's counters of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Packets read.
    pub packets_read: u64,
    /// Packets written, sent or not.
    pub packets_written: u64,
    /// Bytes of their payloads.
    pub payload_written: u64,
    /// Bytes read from the socket.
    pub read: u64,
    /// Bytes that the socket has taken.
    pub sent: u64,
}

impl Counts {
    /// Bytes on the wire of the packets written since, at most.
    pub(super) fn packed_since(self, earlier: Self) -> u64 {
        let packets = self.packets_written.saturating_sub(earlier.packets_written);
        self.payload_written.saturating_sub(earlier.payload_written) + packets * PACKET_OVERHEAD
    }
}

/// Bytes that wait for the socket: an upper limit.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Bytes that waited at these counts.
    waiting: u64,
    counts: Counts,
}

impl Backlog {
    /// Sets a number of bytes that is known to be right at these counts.
    pub(super) fn is(&mut self, waiting: u64, counts: Counts) {
        *self = Self { waiting, counts };
    }

    /// Bytes that wait now, at most.
    pub(super) fn at_most(&self, now: Counts) -> u64 {
        (self.waiting + now.packed_since(self.counts)).saturating_sub(now.sent - self.counts.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(packets: u64, sent: u64) -> Counts {
        Counts { packets_written: packets, payload_written: packets * 5, sent, ..Counts::default() }
    }

    #[test]
    fn what_was_packed_and_not_sent_waits() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.at_most(written(0, 0)), 0);
        let most = 10_000 * (5 + PACKET_OVERHEAD);
        assert_eq!(backlog.at_most(written(10_000, 0)), most);
        assert_eq!(backlog.at_most(written(10_000, 1000)), most - 1000);
        backlog.is(360_000, written(10_000, 1000));
        assert_eq!(backlog.at_most(written(10_000, 1000)), 360_000);
        assert_eq!(backlog.at_most(written(10_001, 361_000)), 5 + PACKET_OVERHEAD);
        backlog.is(0, written(10_001, 361_036));
        assert_eq!(backlog.at_most(written(10_001, 361_036)), 0);
    }

    #[test]
    fn a_burst_that_is_answered_late_is_within_the_limit_by_any_reckoning() {
        let answers = written(10_000, 0);
        assert!(answers.packed_since(Counts::default()) < crate::limits::ANSWERS_UNREAD);
    }
}
