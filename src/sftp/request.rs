//! What a client asks.

use std::ops::BitOr;

use super::fields::{length, put_string, put_u32, put_u64};
use super::{Attrs, HEAD, VERSION, extension, packet_type};

/// A client's packet. Servers refuse packets beyond 256 KiB, and OpenSSH's hangs up on one, so a
/// caller has to bound paths and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// Asks for version 3. It has no number, and comes first.
    Init,
    Open {
        path: &'a [u8],
        flags: OpenFlags,
        attrs: Attrs,
    },
    Close {
        handle: &'a [u8],
    },
    Read {
        handle: &'a [u8],
        offset: u64,
        len: u32,
    },
    /// Only the fields before the data are encoded. The caller appends `data_len` bytes.
    Write {
        handle: &'a [u8],
        offset: u64,
        data_len: u32,
    },
    /// Like [`Stat`](Self::Stat), but of a symbolic link itself.
    Lstat {
        path: &'a [u8],
    },
    Stat {
        path: &'a [u8],
    },
    Fstat {
        handle: &'a [u8],
    },
    Setstat {
        path: &'a [u8],
        attrs: Attrs,
    },
    Fsetstat {
        handle: &'a [u8],
        attrs: Attrs,
    },
    Opendir {
        path: &'a [u8],
    },
    Readdir {
        handle: &'a [u8],
    },
    Remove {
        path: &'a [u8],
    },
    Mkdir {
        path: &'a [u8],
        attrs: Attrs,
    },
    Rmdir {
        path: &'a [u8],
    },
    Realpath {
        path: &'a [u8],
    },
    /// Fails if `to` exists.
    Rename {
        from: &'a [u8],
        to: &'a [u8],
    },
    Readlink {
        path: &'a [u8],
    },
    /// Makes `link`, which points to `target`. The fields are in OpenSSH's order, which most other
    /// servers have followed, and not in that of the draft (OpenSSH `PROTOCOL` section 4.1).
    Symlink {
        target: &'a [u8],
        link: &'a [u8],
    },
    /// Replaces `to` if it exists. Only for servers with [`posix_rename`](super::Extensions).
    PosixRename {
        from: &'a [u8],
        to: &'a [u8],
    },
    /// Only for servers with [`fsync`](super::Extensions).
    Fsync {
        handle: &'a [u8],
    },
    /// Only for servers with [`limits`](super::Extensions).
    Limits,
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFlags(pub(super) u32);

impl OpenFlags {
    pub(crate) const READ: Self = Self(1);
    pub(crate) const WRITE: Self = Self(2);
    #[cfg(any(test, fuzzing))]
    pub(crate) const APPEND: Self = Self(4);
    /// Makes the file if there is none.
    pub(crate) const CREATE: Self = Self(8);
    /// Empties the file. Needs [`CREATE`](Self::CREATE).
    pub(crate) const TRUNCATE: Self = Self(16);
    /// Fails if there is a file. Needs [`CREATE`](Self::CREATE).
    pub(crate) const EXCLUSIVE: Self = Self(32);
}

impl BitOr for OpenFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Request<'_> {
    /// Appends the request with its length. That of a [`Write`](Self::Write) includes its data,
    /// which the caller has to append. [`Init`](Self::Init) ignores `id`.
    pub(crate) fn encode(&self, id: u32, out: &mut Vec<u8>) {
        let start = out.len();
        put_u32(out, 0);
        out.push(self.packet_type());
        put_u32(out, if *self == Self::Init { VERSION } else { id });
        self.encode_fields(out);
        let data_len = match *self {
            Self::Write { data_len, .. } => data_len,
            _ => 0,
        };
        let length = length(out.len() - start - HEAD).saturating_add(data_len);
        out[start..start + HEAD].copy_from_slice(&length.to_be_bytes());
    }

    fn encode_fields(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Init => {}
            Self::Open { path, flags, attrs } => {
                put_string(out, path);
                put_u32(out, flags.0);
                attrs.encode(out);
            }
            Self::Read { handle, offset, len: length } | Self::Write { handle, offset, data_len: length } => {
                put_string(out, handle);
                put_u64(out, offset);
                put_u32(out, length);
            }
            Self::Close { handle: string }
            | Self::Fstat { handle: string }
            | Self::Readdir { handle: string }
            | Self::Lstat { path: string }
            | Self::Stat { path: string }
            | Self::Opendir { path: string }
            | Self::Remove { path: string }
            | Self::Rmdir { path: string }
            | Self::Realpath { path: string }
            | Self::Readlink { path: string } => put_string(out, string),
            Self::Setstat { path: string, attrs }
            | Self::Mkdir { path: string, attrs }
            | Self::Fsetstat { handle: string, attrs } => {
                put_string(out, string);
                attrs.encode(out);
            }
            Self::Rename { from: first, to: second } | Self::Symlink { target: first, link: second } => {
                put_string(out, first);
                put_string(out, second);
            }
            Self::PosixRename { from, to } => {
                put_string(out, extension::POSIX_RENAME);
                put_string(out, from);
                put_string(out, to);
            }
            Self::Fsync { handle } => {
                put_string(out, extension::FSYNC);
                put_string(out, handle);
            }
            Self::Limits => put_string(out, extension::LIMITS),
        }
    }

    fn packet_type(&self) -> u8 {
        match self {
            Self::Init => packet_type::INIT,
            Self::Open { .. } => packet_type::OPEN,
            Self::Close { .. } => packet_type::CLOSE,
            Self::Read { .. } => packet_type::READ,
            Self::Write { .. } => packet_type::WRITE,
            Self::Lstat { .. } => packet_type::LSTAT,
            Self::Stat { .. } => packet_type::STAT,
            Self::Fstat { .. } => packet_type::FSTAT,
            Self::Setstat { .. } => packet_type::SETSTAT,
            Self::Fsetstat { .. } => packet_type::FSETSTAT,
            Self::Opendir { .. } => packet_type::OPENDIR,
            Self::Readdir { .. } => packet_type::READDIR,
            Self::Remove { .. } => packet_type::REMOVE,
            Self::Mkdir { .. } => packet_type::MKDIR,
            Self::Rmdir { .. } => packet_type::RMDIR,
            Self::Realpath { .. } => packet_type::REALPATH,
            Self::Rename { .. } => packet_type::RENAME,
            Self::Readlink { .. } => packet_type::READLINK,
            Self::Symlink { .. } => packet_type::SYMLINK,
            Self::PosixRename { .. } | Self::Fsync { .. } | Self::Limits => packet_type::EXTENDED,
        }
    }
}
