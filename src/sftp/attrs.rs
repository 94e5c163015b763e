//! The attributes of a file (draft-ietf-secsh-filexfer-02 section 5).

use super::ProtocolError;
use super::fields::{Fields, put_u32, put_u64};

const SIZE: u32 = 1;
const IDS: u32 = 2;
const MODE: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 1 << 31;

/// The bits of a mode that say what kind of file it is of, and their values. They are part of the
/// protocol, and not those of this machine.
const KIND: u32 = 0o170_000;
const KIND_DIRECTORY: u32 = 0o040_000;
const KIND_FILE: u32 = 0o100_000;
const KIND_SYMLINK: u32 = 0o120_000;

/// The bits of a mode that can be set: permissions, set-user-ID, set-group-ID and sticky.
const PERMISSIONS: u32 = 0o7777;

/// The attributes of a file. In a request, those that are `None` are left as they are, or to the
/// server. In a reply, the server does not know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attrs {
    pub(crate) size: Option<u64>,
    /// The numbers of the owner and of the group.
    pub(crate) ids: Option<(u32, u32)>,
    /// In a reply of most servers, including the bits for the kind of the file.
    pub(crate) mode: Option<u32>,
    pub(crate) times: Option<Times>,
}

/// The times of a file, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Times {
    pub(crate) access: u32,
    pub(crate) modified: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Directory,
    Symlink,
    /// A device, a socket or a fifo.
    Other,
}

impl Attrs {
    /// The kind of the file. `None` if the server sent no mode, or one of permissions only.
    pub(crate) fn kind(&self) -> Option<FileKind> {
        match self.mode? & KIND {
            0 => None,
            KIND_FILE => Some(FileKind::File),
            KIND_DIRECTORY => Some(FileKind::Directory),
            KIND_SYMLINK => Some(FileKind::Symlink),
            _ => Some(FileKind::Other),
        }
    }

    /// The mode without the bits for the kind of the file.
    pub(crate) fn permissions(&self) -> Option<u32> {
        self.mode.map(|mode| mode & PERMISSIONS)
    }

    /// Reads attributes, and skips extended ones. Ignores flags that version 3 does not have, like
    /// OpenSSH's client.
    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self, ProtocolError> {
        let flags = fields.u32()?;
        let has = |flag| flags & flag != 0;
        let mut attrs = Self::default();
        if has(SIZE) {
            attrs.size = Some(fields.u64()?);
        }
        if has(IDS) {
            attrs.ids = Some((fields.u32()?, fields.u32()?));
        }
        if has(MODE) {
            attrs.mode = Some(fields.u32()?);
        }
        if has(TIMES) {
            attrs.times = Some(Times { access: fields.u32()?, modified: fields.u32()? });
        }
        if has(EXTENDED) {
            // Whatever the count, the loop ends with the packet, as each pair takes eight bytes.
            for _ in 0..fields.u32()? {
                fields.string()?;
                fields.string()?;
            }
        }
        Ok(attrs)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        let known = flag(self.size.is_some(), SIZE) | flag(self.ids.is_some(), IDS);
        put_u32(out, known | flag(self.mode.is_some(), MODE) | flag(self.times.is_some(), TIMES));
        if let Some(size) = self.size {
            put_u64(out, size);
        }
        if let Some((user, group)) = self.ids {
            put_u32(out, user);
            put_u32(out, group);
        }
        if let Some(mode) = self.mode {
            put_u32(out, mode);
        }
        if let Some(Times { access, modified }) = self.times {
            put_u32(out, access);
            put_u32(out, modified);
        }
    }
}
