//! How much fits into a packet to the peer.

use crate::limits;

/// The largest payload of data that a packet to the peer can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MaxPacket {
    /// The peer has announced this maximum packet size. 0 until it has confirmed the channel.
    Announced(u32),
    /// For a channel that the server opens, libssh does not reveal the maximum packet size. So this
    /// is the largest payload that a packet has carried so far. 0 until the first write.
    Seen(usize),
    /// Nothing is written on this channel, so the log is not asked for the maximum packet size.
    Unasked,
}

impl MaxPacket {
    /// How many bytes of data certainly fit into a packet.
    pub(super) fn payload(self) -> usize {
        match self {
            // [`limits::PACKET_HEADERS`] explains the subtraction.
            Self::Announced(size) => size.saturating_sub(limits::PACKET_HEADERS) as usize,
            Self::Seen(bytes) => bytes,
            Self::Unasked => 0,
        }
    }

    /// How many bytes one write may pass to libssh: whole packets, because a rest of ten bytes
    /// costs a packet of its own.
    pub(super) fn chunk(self) -> usize {
        let packets = (limits::WRITE_CHUNK / self.payload().max(1)).clamp(1, limits::WRITE_PACKETS);
        limits::WRITE_CHUNK.min(self.payload().saturating_mul(packets))
    }

    /// Whether so little fits into a packet that [`limits::WRITE_PACKETS`] bounds a write.
    pub(super) fn is_tiny(self) -> bool {
        self.payload().saturating_mul(limits::WRITE_PACKETS) < limits::WRITE_CHUNK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_of_whole_packets() {
        for (announced, chunk) in [
            (0, 0),
            (10, 0),
            (11, 8),
            (1_034, 8 * 1_024),
            (20_010, 20_000),
            (32_768, limits::WRITE_CHUNK),
            (262_144, limits::WRITE_CHUNK),
        ] {
            assert_eq!(MaxPacket::Announced(announced).chunk(), chunk, "{announced}");
        }
        assert_eq!(MaxPacket::Unasked.chunk(), 0);
        assert!(MaxPacket::Seen(4_063).is_tiny() && !MaxPacket::Seen(4_064).is_tiny());
    }
}
