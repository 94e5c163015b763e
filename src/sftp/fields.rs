//! The fields of packets: numbers, and strings that follow their length (RFC 4251 section 5).

use super::ProtocolError;

/// What is left to read of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// The name of the packet's type, for errors.
    packet: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(packet: &'static str, rest: &'a [u8]) -> Self {
        Self { rest, packet }
    }

    pub(super) fn u32(&mut self) -> Result<u32, ProtocolError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ProtocolError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Reads a string's length, and the string.
    pub(super) fn string(&mut self) -> Result<&'a [u8], ProtocolError> {
        let length = self.u32()?;
        let split = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (string, rest) = split.ok_or(ProtocolError::Truncated(self.packet))?;
        self.rest = rest;
        Ok(string)
    }

    /// Takes all that is left.
    pub(super) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Checks that the packet has been read to its end.
    pub(super) fn end(&self) -> Result<(), ProtocolError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(ProtocolError::Trailing(self.packet, extra)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(ProtocolError::Truncated(self.packet))?;
        self.rest = rest;
        Ok(*array)
    }
}

pub(super) fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

pub(super) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    put_u32(out, length(string.len()));
    out.extend_from_slice(string);
}

/// Encodes a length. No request comes near the largest one that fits.
pub(super) fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
