//! Tracks what a server sends until its encryption starts: RFC 4253 sections 4.2 (identification)
//! and 6 (packets).

use crate::faults::Stage;

const SSH_MSG_KEXINIT: u8 = 20;
const SSH_MSG_NEWKEYS: u8 = 21;

/// packet_length, padding_length and the message number: the start of every unencrypted packet.
const HEADER: usize = 6;

#[derive(Debug, Default)]
pub(crate) struct Tracker {
    phase: Phase,
}

#[derive(Debug, Default)]
enum Phase {
    /// The identification string, up to its line feed.
    #[default]
    Identification,
    /// An unencrypted packet: its first bytes, and how many of its bytes were sent.
    Packet { header: [u8; HEADER], sent: usize },
    /// After NEWKEYS: the number of bytes sent since.
    Sealed(u64),
}

impl Tracker {
    /// Bytes sent since NEWKEYS; `None` before it.
    pub(crate) fn sealed(&self) -> Option<u64> {
        match self.phase {
            Phase::Sealed(sent) => Some(sent),
            Phase::Identification | Phase::Packet { .. } => None,
        }
    }

    /// How much of `buf` belongs to the current line or packet, or to its header.
    pub(crate) fn unit(&self, buf: &[u8]) -> usize {
        match &self.phase {
            Phase::Identification => {
                buf.iter().position(|byte| *byte == b'\n').map_or(buf.len(), |at| at + 1)
            }
            Phase::Packet { sent, .. } if *sent < HEADER => HEADER - sent,
            Phase::Packet { header, sent } => packet_size(header).saturating_sub(*sent).max(1),
            Phase::Sealed(_) => buf.len(),
        }
    }

    /// Records that `bytes`, at most one [`unit`](Self::unit), were sent; returns the stage that
    /// this completes.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Option<Stage> {
        const START: Phase = Phase::Packet { header: [0; HEADER], sent: 0 };
        match &mut self.phase {
            Phase::Identification => {
                if bytes.last() != Some(&b'\n') {
                    return None;
                }
                self.phase = START;
                Some(Stage::Banner)
            }
            Phase::Packet { header, sent } => {
                header.iter_mut().skip(*sent).zip(bytes).for_each(|(to, from)| *to = *from);
                *sent += bytes.len();
                if *sent < HEADER || *sent < packet_size(header) {
                    return None;
                }
                let message = header[5];
                self.phase = if message == SSH_MSG_NEWKEYS { Phase::Sealed(0) } else { START };
                (message == SSH_MSG_KEXINIT).then_some(Stage::Kex)
            }
            Phase::Sealed(sent) => {
                *sent += bytes.len() as u64;
                None
            }
        }
    }
}

fn packet_size(header: &[u8; HEADER]) -> usize {
    let [a, b, c, d, ..] = *header;
    usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX).saturating_add(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(message: u8) -> Vec<u8> {
        let mut packet = vec![0, 0, 0, 12, 10, message];
        packet.resize(16, 0);
        packet
    }

    #[test]
    fn stages_are_found_whatever_the_chunks() {
        let clear = [b"SSH-2.0-x\r\n".to_vec(), packet(20), packet(31), packet(21)].concat();
        let all = [clear.clone(), vec![7; 100]].concat();
        for chunk in [1, 2, 3, 5, 7, 11, 16, 200] {
            let mut tracker = Tracker::default();
            let mut stages = Vec::new();
            let mut at = 0;
            while at < all.len() {
                let rest = &all[at..];
                let length = tracker.unit(rest).min(chunk).min(rest.len());
                let stage = tracker.advance(&rest[..length]);
                at += length;
                stages.extend(stage.map(|stage| (stage, at)));
                assert_eq!(tracker.sealed(), at.checked_sub(clear.len()).map(|sent| sent as u64));
            }
            assert_eq!(stages, [(Stage::Banner, 11), (Stage::Kex, 27)], "chunks of {chunk}");
        }
    }
}
