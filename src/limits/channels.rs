//! Limits of what passes through a channel.

/// Most bytes that are passed to libssh in one write, which are one packet for most servers. With
/// all that libssh adds, they fit into 32 KiB: it rounds the sizes of its buffers up to a power of
/// two, and keeps two such buffers for each host that was written to.
pub const WRITE_CHUNK: usize = 2 * WRITE_CHUNK_OF_MANY;

/// The same in a fleet of [`MANY_HOSTS`] or more, where libssh's buffers count: with all that it
/// adds, 16 KiB. Servers need a fifth more time for packets of this size.
pub const WRITE_CHUNK_OF_MANY: usize = 16 * 1024 - 128;

/// From how many hosts on memory is worth more than the rate of a single host. With one host less,
/// libssh keeps 16 MiB for all of them.
pub const MANY_HOSTS: usize = 256;

/// Packets that one write may be split into when the peer accepts only tiny ones.
pub const WRITE_PACKETS: usize = 8;

/// Bytes that libssh 0.10 subtracts from a peer's maximum packet size for headers. If that size is
/// exactly 10, nothing remains and libssh loops forever. If it is smaller, the difference wraps
/// around and libssh sends more than the peer allows.
pub const PACKET_HEADERS: u32 = 10;

/// Bytes that a server may send on a channel ahead of what this end has read: the window that
/// libssh has since 0.11, and that OpenSSH has.
pub const WINDOW: usize = 2 * 1024 * 1024;

/// Bytes that arrive on a channel before its window is grown to [`WINDOW`] again. Each growth
/// costs a message. With fewer bytes, more of the window is open when the server is distant.
pub const WINDOW_STEP: usize = WINDOW / 8;

/// How many requests for channels, whose commands have ended, may be unanswered on a connection
/// before commands take them over instead of making new ones. Each takes 0.7 KiB, and a session of
/// the server once it is answered. More than one, because a server may have lost a request.
pub const UNANSWERED_CHANNELS: usize = 8;
