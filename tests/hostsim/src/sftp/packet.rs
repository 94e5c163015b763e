//! Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02), from the server's side.

use bytes::{BufMut, BytesMut};

pub(crate) const INIT: u8 = 1;
pub(crate) const VERSION: u8 = 2;
pub(crate) const OPEN: u8 = 3;
pub(crate) const CLOSE: u8 = 4;
pub(crate) const READ: u8 = 5;
pub(crate) const WRITE: u8 = 6;
pub(crate) const LSTAT: u8 = 7;
pub(crate) const FSTAT: u8 = 8;
pub(crate) const SETSTAT: u8 = 9;
pub(crate) const FSETSTAT: u8 = 10;
pub(crate) const OPENDIR: u8 = 11;
pub(crate) const READDIR: u8 = 12;
pub(crate) const REMOVE: u8 = 13;
pub(crate) const MKDIR: u8 = 14;
pub(crate) const RMDIR: u8 = 15;
pub(crate) const REALPATH: u8 = 16;
pub(crate) const STAT: u8 = 17;
pub(crate) const RENAME: u8 = 18;
pub(crate) const READLINK: u8 = 19;
pub(crate) const SYMLINK: u8 = 20;
pub(crate) const STATUS: u8 = 101;
pub(crate) const HANDLE: u8 = 102;
pub(crate) const DATA: u8 = 103;
pub(crate) const NAME: u8 = 104;
pub(crate) const ATTRS: u8 = 105;
pub(crate) const EXTENDED: u8 = 200;
pub(crate) const EXTENDED_REPLY: u8 = 201;

const SIZE: u32 = 1;
const IDS: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const MORE: u32 = 1 << 31;

/// Why a request fails: a status code and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) u32, pub(crate) &'static str);

pub(crate) const OK: Refusal = Refusal(0, "Success");
pub(crate) const END: Refusal = Refusal(1, "End of file");
pub(crate) const MISSING: Refusal = Refusal(2, "No such file");
pub(crate) const DENIED: Refusal = Refusal(3, "Permission denied");
pub(crate) const FAILURE: Refusal = Refusal(4, "Failure");
pub(crate) const BAD: Refusal = Refusal(5, "Bad message");
pub(crate) const UNSUPPORTED: Refusal = Refusal(8, "Operation unsupported");

/// A packet that ends before its fields do. OpenSSH's server ends the session then.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The attributes that a packet sets or has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) size: Option<u64>,
    pub(crate) ids: Option<(u32, u32)>,
    pub(crate) mode: Option<u32>,
    /// Of the last access and the last change, in seconds since 1970.
    pub(crate) times: Option<(u32, u32)>,
}

/// The fields of a packet that were not read yet.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| Malformed)?)
    }

    pub(crate) fn attributes(&mut self) -> Result<Attributes, Malformed> {
        let flags = self.u32()?;
        let mut attributes = Attributes::default();
        if flags & SIZE != 0 {
            attributes.size = Some(self.u64()?);
        }
        if flags & IDS != 0 {
            attributes.ids = Some((self.u32()?, self.u32()?));
        }
        if flags & PERMISSIONS != 0 {
            attributes.mode = Some(self.u32()?);
        }
        if flags & TIMES != 0 {
            attributes.times = Some((self.u32()?, self.u32()?));
        }
        if flags & MORE != 0 {
            for _ in 0..self.u32()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(attributes)
    }
}

pub(crate) fn put_string(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

pub(crate) fn put_attributes(out: &mut BytesMut, attributes: &Attributes) {
    let flag = |there: bool, flag| if there { flag } else { 0 };
    let Attributes { size, ids, mode, times } = attributes;
    let flags = flag(size.is_some(), SIZE)
        | flag(ids.is_some(), IDS)
        | flag(mode.is_some(), PERMISSIONS)
        | flag(times.is_some(), TIMES);
    out.put_u32(flags);
    if let Some(size) = size {
        out.put_u64(*size);
    }
    if let Some((user, group)) = ids {
        out.put_u32(*user);
        out.put_u32(*group);
    }
    if let Some(mode) = mode {
        out.put_u32(*mode);
    }
    if let Some((access, change)) = times {
        out.put_u32(*access);
        out.put_u32(*change);
    }
}

/// Appends a packet whose fields are written by `fields`.
pub(crate) fn put_packet(out: &mut BytesMut, kind: u8, fields: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_u8(kind);
    fields(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

pub(crate) fn put_status(out: &mut BytesMut, id: u32, Refusal(code, text): Refusal) {
    put_packet(out, STATUS, |out| {
        out.put_u32(id);
        out.put_u32(code);
        put_string(out, text.as_bytes());
        put_string(out, b"");
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_survive_and_short_packets_are_noticed() {
        let all = Attributes {
            size: Some(1 << 40),
            ids: Some((1, 2)),
            mode: Some(0o100_644),
            times: Some((3, u32::MAX)),
        };
        let some = Attributes { mode: Some(0o755), ..Attributes::default() };
        for attributes in [all, some, Attributes::default()] {
            let mut out = BytesMut::new();
            put_attributes(&mut out, &attributes);
            let mut fields = Fields(&out);
            assert_eq!(fields.attributes(), Ok(attributes));
            assert!(fields.0.is_empty());
            assert_eq!(Fields(&out[..out.len() - 1]).attributes(), Err(Malformed));
        }
        assert_eq!(Fields(b"\0\0\0\x05abcd").string(), Err(Malformed));
        assert_eq!(Fields(b"\xff\xff\xff\xff").string(), Err(Malformed));
        let extended = b"\x80\0\0\0\0\0\0\x01\0\0\0\x01a\0\0\0\0rest";
        let mut fields = Fields(extended);
        assert_eq!((fields.attributes(), fields.0), (Ok(Attributes::default()), &b"rest"[..]));
    }
}
