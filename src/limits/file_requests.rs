//! Limits of requests about the files of a host.

/// Bytes of a file that a request reads by default. They stay in memory until the outcome is
/// dropped, and ten thousand hosts with files of this size would take 640 GB, so callers that read
/// many hosts set a limit that fits.
pub const READ_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Entries of a directory that a request lists, or below a directory that it removes, by default.
/// Each takes about 120 bytes of memory.
pub const LISTED_ENTRIES: u64 = 1_000_000;

/// Bytes of the names that a listing returns, and of those that wait to be removed, by default.
/// Names of 64 bytes each for [`LISTED_ENTRIES`].
pub const LISTED_BYTES: u64 = 64 * 1024 * 1024;

/// Longest name in a directory of a host, in bytes. Windows has names of 255 UTF-16 units, which
/// are up to 765 bytes; Linux has 255 bytes.
pub const REMOTE_NAME_BYTES: usize = 1024;

/// Requests for names of a directory without an answer. With OpenSSH's hundred names per answer,
/// they hide most of the round trip.
pub const READDIRS_IN_FLIGHT: usize = 4;
