//! Estimates how much libssh has buffered for a socket that accepts no more.
//!
//! libssh itself answers unknown messages and requests that want a reply. It does so even if the
//! peer does not read. It buffers what the socket does not accept, and reveals the size of that
//! buffer only in its log. Its counters, however, cost nothing to read and give an upper limit for
//! the size.

/// The most bytes that a packet has on the wire besides its payload: length, padding, and MAC (RFC
/// 4253 section 6).
const PACKET_OVERHEAD: u64 = 5 + 20 + 64;

/// The counters that libssh keeps for a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// How many packets were read.
    pub packets_read: u64,
    /// How many packets were written, including those that are still buffered.
    pub packets_written: u64,
    /// The total length of the written packets' payloads, in bytes.
    pub payload_written: u64,
    /// How many bytes were read from the socket.
    pub read: u64,
    /// How many bytes the socket has accepted.
    pub sent: u64,
}

impl Counts {
    /// The most bytes that the packets written since `earlier` can have on the wire.
    pub(super) fn packed_since(self, earlier: Self) -> u64 {
        let packets = self.packets_written.saturating_sub(earlier.packets_written);
        self.payload_written.saturating_sub(earlier.payload_written) + packets * PACKET_OVERHEAD
    }
}

/// An upper limit for the number of bytes that wait for the socket.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// How many bytes waited when libssh's counters were at `counts`.
    waiting: u64,
    counts: Counts,
}

impl Backlog {
    /// Records the exact number of bytes that waited when libssh's counters were at `counts`.
    pub(super) fn is(&mut self, waiting: u64, counts: Counts) {
        *self = Self { waiting, counts };
    }

    /// The most bytes that can be waiting now.
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
