//! What is wrong with a server's packet.

use crate::limits;

/// Why a packet of a server is no reply. Says what the server did; the caller says which server,
/// and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("its SFTP packet is {0} bytes long, more than {max}", max = limits::SFTP_PACKET)]
    TooLong(u32),
    #[error("its SFTP packet is empty")]
    Empty,
    #[error("it sent an SFTP packet of type {0}, which is no reply")]
    Type(u8),
    /// The name is that of the packet's type, as in [`Reply::name`](super::Reply::name).
    #[error("its SFTP packet of type {0} ends early")]
    Truncated(&'static str),
    #[error("its SFTP packet of type {0} has {1} extra bytes at the end")]
    Trailing(&'static str, usize),
    #[error("its SFTP handle is {0} bytes long, more than {max}", max = limits::SFTP_HANDLE)]
    LongHandle(usize),
    #[error("its SFTP packet is too short for the {0} names that it announces")]
    TooManyNames(u32),
}
