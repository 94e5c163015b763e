//! How much a server may send in one piece over SFTP.

/// Longest SFTP packet that is accepted from a server, without its length field. OpenSSH sends and
/// accepts packets of up to 256 KiB (`SFTP_MAX_MSG_LENGTH`). Its data replies carry up to 255 KiB,
/// but a server that counts 256 KiB without the fields around the data is no enemy, so there is
/// another KiB for those fields.
pub const SFTP_PACKET: usize = 256 * 1024 + 1024;

/// Longest SFTP handle that is accepted from a server (draft-ietf-secsh-filexfer-02 section 6.3).
/// OpenSSH's handles have 4 bytes. Each open file and directory keeps one.
pub const SFTP_HANDLE: usize = 256;
