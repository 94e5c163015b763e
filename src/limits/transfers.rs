//! Limits of file transfers.

use std::time::Duration;

use super::WRITE_CHUNK;

/// Requests without an answer on one channel (OpenSSH: `sftp -R 64`). Reads of [`SFTP_READ`] fill
/// an SSH window.
pub const SFTP_IN_FLIGHT: usize = 64;

/// Bytes of a read that is requested: what every SFTP server returns
/// (draft-ietf-secsh-filexfer-02, section 3: packets of 34,000 bytes).
pub const SFTP_READ: usize = 32 * 1024;

/// Largest write that is requested of servers that accept as much, in bytes: eight chunks. OpenSSH
/// accepts 255 KiB, which is more. Each write costs an answer, and with writes of one chunk the
/// answers take a quarter of the CPU time of a put.
pub const SFTP_WRITE: usize = 8 * CHUNK;

/// Bytes of requests that wait to be sent before a task makes no more. The next visit needs no more
/// than a few, and a host that does not read must not hold many.
pub const SFTP_UNSENT: usize = 32 * 1024;

/// From how many transfers at once on a fleet reads the answers of each host in batches. With an
/// open window each, that many hosts use up a line of 10 Gbit/s with a round trip of 100 ms. With
/// fewer, the rate of each host is worth more than the CPU time.
pub const BATCHING_TRANSFERS: usize = 64;

/// Fewest requests in flight whose answers are read in batches. A batch is half of them, so that
/// the server always has something to do.
pub const BATCHING_IN_FLIGHT: usize = 4;

/// Most answers in a batch. More would save little.
pub const BATCH_ANSWERS: usize = 8;

/// Bytes of the shortest SSH packet with an SFTP answer: a status without a text, encrypted by
/// chacha20-poly1305. Answers that share a packet take less.
pub const ANSWER_BYTES: usize = 60;

/// How long an answer may wait for the rest of its batch. Progress is reported later by as much.
pub const BATCH_TIME: Duration = Duration::from_secs(1);

/// Files of a directory that one host copies at the same time. Small files take four round trips
/// each, which overlap.
pub const FILES_AT_ONCE: usize = 8;

/// Bytes of a host's files that may wait for the disk of this machine before its connection is not
/// read.
pub const FILE_UNWRITTEN: usize = 4 * 1024 * 1024;

/// Threads that read and write files, so that one slow disk does not delay files on another.
pub const FILE_THREADS: usize = 2;

/// How long dropping a fleet waits for jobs with files that are under way, so that no part file of
/// a get is left. A job takes milliseconds unless the disk is stuck.
pub const FILES_END: Duration = Duration::from_secs(2);

/// Names that a put tries for its temporary file. A name is taken while another put to the same
/// target is under way, or was interrupted.
pub const TEMPORARY_NAMES: u32 = 8;

/// A temporary file that has not grown for this long, in seconds, is left over from a put that was
/// interrupted.
pub const TEMPORARY_AGE: u32 = 60 * 60;

/// Pairs of names that a put tries to find out in which order the server reads the paths of a link.
/// One is taken only if an earlier put was interrupted in the milliseconds in which it is there.
pub const LINK_PROBES: u32 = 3;

/// Bytes of the paths on a host that a put with `delete` deletes. They are kept until all
/// directories are listed, so that nothing is deleted before it is known that it can be. Enough for
/// a hundred thousand files.
pub const PRUNE_BYTES: usize = 8 * 1024 * 1024;

/// Names in the directories of a host that a put with `delete` compares with those of the source. A
/// server could send them for ever.
pub const PRUNE_NAMES: usize = 4 * SOURCE_ENTRIES;

/// Longest SFTP packet that is accepted from a server, without its length field. OpenSSH sends and
/// accepts packets of up to 256 KiB (`SFTP_MAX_MSG_LENGTH`). Its data replies carry up to 255 KiB,
/// but a server that counts 256 KiB without the fields around the data is no enemy, so there is
/// another KiB for those fields.
pub const SFTP_PACKET: usize = 256 * 1024 + 1024;

/// Longest SFTP handle that is accepted from a server (draft-ietf-secsh-filexfer-02 section 6.3).
/// OpenSSH's handles have 4 bytes. Each open file and directory keeps one.
pub const SFTP_HANDLE: usize = 256;

/// Bytes of a chunk: what is read of a local file at a time, and shared by all hosts that need it.
///
/// A chunk is what one write to libssh takes ([`WRITE_CHUNK`]), or two in a fleet of many hosts,
/// less the request before it. So most chunks become SSH packets without being copied together with
/// others first. Every SFTP server accepts as much (draft-ietf-secsh-filexfer-02, section 3:
/// packets of 34,000 bytes).
pub const CHUNK: usize = WRITE_CHUNK - 64;

/// Bytes of a local file or directory that are kept in memory for the hosts that it is copied to.
/// Hosts whose places in the file are further apart than this make the file be read again, usually
/// from the system's cache.
pub const CHUNK_CACHE: usize = 16 * 1024 * 1024;

/// Bytes that a chunk costs in memory in addition to its contents. Without it, a million files of
/// one byte would fill memory before they fill [`CHUNK_CACHE`].
pub const CHUNK_OVERHEAD: usize = 256;

/// Most chunks that one read of a local file brings in. 256 KiB cost one switch of threads.
pub const CHUNK_RUN: u64 = 8;

/// Descriptors that stay open for the files of one local directory that is copied. Hosts that are
/// near each other need one or two files at a time.
pub const SOURCE_FILES: usize = 8;

/// Files, directories and links of a local directory that can be copied. Each takes about 200 bytes
/// of memory until the copies have ended. What cannot be copied counts too, because links can lead
/// to the same thousand sockets in a million ways.
pub const SOURCE_ENTRIES: usize = 1_000_000;

/// Levels of directories that can be copied, in either direction. Trees of build tools reach 30.
pub const TRANSFER_DEPTH: usize = 64;

/// Longest name of a file, in bytes, without a terminating zero. All file systems in use have this
/// limit or a lower one.
pub const FILE_NAME_BYTES: usize = 255;

/// Descriptors that stay open for part files, over all hosts of a run. Others are opened again for
/// each write, which takes some microseconds, so that ten thousand hosts can send a file each.
pub const OPEN_PARTS: usize = 128;

/// How far the end of a part file may be ahead of the first byte that is missing in it, in bytes.
/// At most this much of a file may be requested beyond what has been written without a gap, and a
/// resumed copy begins this much before the end of what it finds.
pub const RESUME_GAP: u64 = 16 * 1024 * 1024;

/// Bytes of the output of a command that a transfer runs on its host, of which the end is kept: a
/// checksum, or the text of an error.
pub const ERRAND_OUTPUT: usize = 4 * 1024;

/// Files, directories and links of a host's directory that are fetched by default. While a
/// directory is read, each takes up to 400 bytes of memory.
pub const GET_ENTRIES: u64 = 100_000;

/// Names in one reply of an SFTP server that are accepted. OpenSSH's server sends up to 100, and a
/// packet has room for 4,000 names with the usual fields.
pub const NAMES_PER_REPLY: usize = 8192;

/// Largest file that is fetched without knowing its size, in bytes. Files below `/proc` and `/sys`
/// say that they are empty; they have up to some megabytes.
pub const UNSIZED_FILE: u64 = 64 * 1024 * 1024;

/// Smallest size of a read that is requested, in bytes. If a server returns less than is requested,
/// the next requests are for that much (OpenSSH: `MIN_READ_SIZE`).
pub const READ_MIN: u32 = 512;

/// How many reads of a file may return less than was requested, in addition to one for each
/// [`READ_MIN`] bytes that have arrived. Requests that are on their way already may all be too
/// large.
pub const SHORT_READS: u64 = 64;

/// Bytes of files that a host may request when its turn comes, under a limit on the rate of
/// transfers: enough for a read, or for a chunk. Smaller turns would cost more requests.
pub const TRANSFER_SHARE: usize = SFTP_READ;
const _: () = assert!(TRANSFER_SHARE >= CHUNK && TRANSFER_SHARE >= SFTP_READ);

/// How much of a limit on the rate of transfers may be used up at once, as a time, in addition to
/// one [`TRANSFER_SHARE`]. A turn that is late by less than this loses nothing of the rate.
pub const TRANSFER_BURST: Duration = Duration::from_millis(250);

/// Longest line that the `scp` of a host may send, in bytes. It ends with the name of the file,
/// which has up to 255 bytes, or with the text of an error.
pub const SCP_LINE: usize = 4 * 1024;

/// Writes of one file from `scp` that are on their way at a time: one for the thread, and one that
/// follows. What arrives meanwhile becomes a single write, so the memory for them does not depend
/// on how the host cuts the contents.
pub const SCP_WRITES: usize = 2;
