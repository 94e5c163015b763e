//! Read timeouts: how long nothing has arrived for a reader.

use std::time::{Duration, Instant};

use crate::fleet::{CommandId, PartialPacket};
use crate::{Fleet, clock};

/// The time since something last arrived for a reader.
///
/// On a slow line, a packet of 32 KiB may take longer than a read timeout, and its output is known
/// only once it is complete. So while a packet grows that has begun within the limit, its reader
/// waits on. A packet that begins later does not count: it may be the answer to a keepalive, and
/// those never end. Nor does a packet count that is complete and has brought nothing to the reader.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    since: Instant,
    packet: PartialPacket,
    /// When `packet` was last seen to grow.
    grew: Option<Instant>,
}

impl Silence {
    pub(super) fn new() -> Self {
        Self { since: clock::now(), packet: PartialPacket::default(), grew: None }
    }

    /// When the silence exceeds the limit, as far as is known.
    pub(super) fn until(&self, limit: Option<Duration>) -> Option<Instant> {
        self.grew.unwrap_or(self.since).checked_add(limit?)
    }

    /// Looks at the packet that the command's host is sending.
    pub(super) fn observe(&mut self, fleet: &Fleet, id: CommandId, limit: Option<Duration>) {
        let host = fleet.command(id).and_then(|command| fleet.host(command.host()));
        if let (Some(host), Some(limit)) = (host, limit)
            && host.partial_packet() != self.packet
        {
            self.observe_at(clock::now(), host.partial_packet(), limit);
        }
    }

    fn observe_at(&mut self, now: Instant, packet: PartialPacket, limit: Duration) {
        let is_same = packet.number == self.packet.number;
        let may_begin = now.saturating_duration_since(self.since) < limit;
        let before = if is_same { self.packet.bytes } else { 0 };
        if !is_same {
            self.grew = None;
        }
        if packet.bytes > before && (is_same || may_begin) {
            self.grew = Some(now);
        }
        self.packet = packet;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A silence, and the packets (number, bytes) seen in it after so many seconds. Returns after
    /// how many seconds it exceeds the limit.
    fn until(seen: &[(u64, (u64, u64))]) -> u64 {
        let mut silence = Silence::new();
        for (at, (number, bytes)) in seen {
            let packet = PartialPacket { number: *number, bytes: *bytes };
            silence.observe_at(silence.since + Duration::from_secs(*at), packet, LIMIT);
        }
        silence.until(Some(LIMIT)).unwrap().duration_since(silence.since).as_secs()
    }

    #[test]
    fn a_packet_that_grows_is_waited_for() {
        assert_eq!(until(&[]), 10);
        assert_eq!(until(&[(2, (7, 0))]), 10, "it has not begun");
        assert_eq!(until(&[(2, (7, 1))]), 12);
        assert_eq!(until(&[(2, (7, 1)), (9, (7, 2)), (18, (7, 3))]), 28);
        assert_eq!(Silence::new().until(None), None);
    }

    #[test]
    fn a_packet_that_brings_nothing_does_not_count() {
        assert_eq!(until(&[(2, (7, 1)), (9, (7, 2)), (18, (8, 0))]), 10);
        assert_eq!(until(&[(2, (7, 1)), (5, (8, 0))]), 10);
        assert_eq!(until(&[(2, (7, 1)), (9, (7, 2)), (18, (8, 500))]), 10, "the next one is too late");
        assert_eq!(until(&[(2, (7, 1)), (9, (7, 2)), (18, (8, 500)), (19, (9, 20))]), 10);
    }

    #[test]
    fn answers_to_keepalives_do_not_count() {
        let answers: Vec<_> = (0..100).flat_map(|n| [(n, (n, 0)), (n, (n, 20)), (n, (n + 1, 0))]).collect();
        assert_eq!(until(&answers), 10);
    }
}
