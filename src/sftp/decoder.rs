//! Cuts a stream into packets.

use std::mem;

use super::{HEAD, ProtocolError, Reply};
use crate::limits;

/// Reads the replies of one server from its bytes, however these are cut into pieces.
///
/// Packets that arrive whole are read where they are. Only a packet that has arrived in part is
/// copied, so the memory grows with what has arrived, up to [`limits::SFTP_PACKET`]; between two
/// packets there is none.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The start of a packet, with its length, or empty.
    partial: Vec<u8>,
}

impl Decoder {
    /// Takes the next bytes of the stream, and passes on each reply that they complete. Ends with
    /// the first error, be it of the stream or of `each`, and must not be used after one: the place
    /// in the stream is lost.
    pub(crate) fn feed<E: From<ProtocolError>>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Reply<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.partial.is_empty() {
            if !self.complete(&mut bytes)? {
                return Ok(());
            }
            let mut packet = mem::take(&mut self.partial);
            each(Reply::parse(&packet[HEAD..])?)?;
            packet.clear();
            self.partial = packet;
        }
        while let Some(end) = packet_end(bytes)? {
            let Some((packet, rest)) = bytes.split_at_checked(end) else { break };
            each(Reply::parse(&packet[HEAD..])?)?;
            bytes = rest;
        }
        if bytes.is_empty() {
            self.partial = Vec::new();
        } else {
            self.complete(&mut bytes)?;
        }
        Ok(())
    }

    /// The start of a packet that has not arrived completely.
    pub(crate) fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Whether the stream ends within a packet.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// How many bytes of memory the decoder holds.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn held(&self) -> usize {
        self.partial.capacity()
    }

    /// Moves bytes into the partial packet, and returns whether it is complete now.
    fn complete(&mut self, bytes: &mut &[u8]) -> Result<bool, ProtocolError> {
        self.extend(HEAD, bytes);
        let Some(end) = packet_end(&self.partial)? else { return Ok(false) };
        self.extend(end, bytes);
        Ok(self.partial.len() == end)
    }

    /// Moves bytes into the partial packet until it has this length or no bytes are left.
    fn extend(&mut self, end: usize, bytes: &mut &[u8]) {
        let missing = end.saturating_sub(self.partial.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at(missing);
        let length = self.partial.len() + taken.len();
        if length > self.partial.capacity() {
            // Doubled, so that many small pieces are cheap, but not beyond the packet.
            let capacity = end.min(length.saturating_mul(2));
            self.partial.reserve_exact(capacity - self.partial.len());
        }
        self.partial.extend_from_slice(taken);
        *bytes = rest;
    }
}

/// The position at which the first packet ends, once its length has arrived.
fn packet_end(bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let Some(head) = bytes.first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(*head);
    match usize::try_from(length) {
        Ok(body) if body <= limits::SFTP_PACKET => Ok(Some(HEAD + body)),
        _ => Err(ProtocolError::TooLong(length)),
    }
}
