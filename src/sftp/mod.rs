//! The client's side of SFTP version 3: requests become bytes, and bytes become replies.
//!
//! Sources: draft-ietf-secsh-filexfer-02, and section 4 of OpenSSH's `PROTOCOL` for the extensions
//! and for the order of the fields of SYMLINK. Some servers have the draft's order; `transfer::put`
//! finds out which.
//!
//! This module does no I/O and knows nothing of files. It trusts a server in nothing: each length
//! is compared with the bytes of its packet, and nothing is allocated because a length or a count
//! asks for it. Paths are bytes, because a server may have names in any encoding.
//!
//! | module | |
//! |---|---|
//! | `request` | what a client asks, and its encoding |
//! | `decoder` | cuts a stream into packets |
//! | `reply`, `names`, `attrs`, `status` | what a packet says |
//! | `fields` | the fields that packets are made of |
//! | `peer` | the server's side, for tests and fuzz targets |

mod attrs;
mod decoder;
mod error;
mod fields;
mod names;
#[cfg(any(test, fuzzing))]
pub(crate) mod peer;
mod reply;
mod request;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use attrs::{Attrs, FileKind, Times};
pub(crate) use decoder::Decoder;
pub(crate) use error::ProtocolError;
#[cfg(any(test, fuzzing))]
pub(crate) use names::Name;
pub(crate) use names::Names;
pub(crate) use reply::{Extensions, Limits, Reply};
pub(crate) use request::{OpenFlags, Request};
pub(crate) use status::StatusCode;

/// The version of SFTP that a client asks for, and the only one that this module speaks. A server
/// may answer with an older one.
pub(crate) const VERSION: u32 = 3;

/// The size in bytes of the length field that precedes each packet.
const HEAD: usize = 4;

/// The types of packets (draft-ietf-secsh-filexfer-02 section 3).
mod packet_type {
    pub(super) const INIT: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const CLOSE: u8 = 4;
    pub(super) const READ: u8 = 5;
    pub(super) const WRITE: u8 = 6;
    pub(super) const LSTAT: u8 = 7;
    pub(super) const FSTAT: u8 = 8;
    pub(super) const SETSTAT: u8 = 9;
    pub(super) const FSETSTAT: u8 = 10;
    pub(super) const OPENDIR: u8 = 11;
    pub(super) const READDIR: u8 = 12;
    pub(super) const REMOVE: u8 = 13;
    pub(super) const MKDIR: u8 = 14;
    pub(super) const RMDIR: u8 = 15;
    pub(super) const REALPATH: u8 = 16;
    pub(super) const STAT: u8 = 17;
    pub(super) const RENAME: u8 = 18;
    pub(super) const READLINK: u8 = 19;
    pub(super) const SYMLINK: u8 = 20;
    pub(super) const STATUS: u8 = 101;
    pub(super) const HANDLE: u8 = 102;
    pub(super) const DATA: u8 = 103;
    pub(super) const NAME: u8 = 104;
    pub(super) const ATTRS: u8 = 105;
    pub(super) const EXTENDED: u8 = 200;
    pub(super) const EXTENDED_REPLY: u8 = 201;
}

/// The names of OpenSSH's extensions, and the version of each that this module speaks (OpenSSH
/// `PROTOCOL` sections 4.3, 4.6 and 4.8).
mod extension {
    pub(super) const POSIX_RENAME: &[u8] = b"posix-rename@openssh.com";
    pub(super) const FSYNC: &[u8] = b"fsync@openssh.com";
    pub(super) const LIMITS: &[u8] = b"limits@openssh.com";
    pub(super) const VERSION: &[u8] = b"1";
}
