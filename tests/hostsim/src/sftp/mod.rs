//! The SFTP server of a simulated host: version 3 with three of OpenSSH's extensions. It answers
//! one request after the other, as OpenSSH's server does.

mod config;
mod content;
mod disk;
mod files;
mod packet;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub use self::config::{SftpConfig, SftpExtension, SftpLimits};
pub use self::content::digest;
pub(crate) use self::disk::Disk;
use self::disk::{Body, DIRECTORY, KIND, LINK, Node, OWNER_READ, OWNER_WRITE};
pub use self::files::{FileKind, RemoteFile};
pub(crate) use self::files::{from_line, to_line};
use self::packet::{
    ATTRS, Attributes, BAD, DATA, END, EXTENDED, EXTENDED_REPLY, FAILURE, Fields, HANDLE, MISSING, Malformed,
    NAME, OK, Refusal, UNSUPPORTED, VERSION, put_attributes, put_packet, put_status, put_string,
};
use crate::fleet::{Gauge, Host, lock};
use crate::stats::{add, count};

/// The flags of an open request.
const READ: u32 = 1;
const WRITE: u32 = 2;
const APPEND: u32 = 4;
const CREATE: u32 = 8;
const TRUNCATE: u32 = 16;
const EXCLUSIVE: u32 = 32;

/// Entries per answer to READDIR, as in OpenSSH's server.
const NAMES_MAX: usize = 100;

enum Open {
    File { node: Node, flags: u32 },
    Directory { node: Node, rest: VecDeque<(Vec<u8>, Attributes)> },
}

impl Open {
    fn node(&self) -> &Node {
        match self {
            Self::File { node, .. } | Self::Directory { node, .. } => node,
        }
    }
}

/// One session of the subsystem `sftp`.
pub(crate) struct Server {
    host: Arc<Host>,
    greeted: bool,
    handles: HashMap<u32, (Open, Gauge)>,
    /// No number is used twice, so that a handle used after its end is noticed.
    next_handle: u32,
}

/// Without an error, the answer is what was appended, or the status OK.
type Answered = Result<(), Refusal>;

impl Server {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        count(&host.counters.sftp_sessions);
        Self { host, greeted: false, handles: HashMap::new(), next_handle: 0 }
    }

    fn config(&self) -> &SftpConfig {
        &self.host.profile.sftp
    }

    /// Takes the next whole packet from the front of `unread`.
    pub(crate) fn next_packet(&self, unread: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        let Some(head) = unread.first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head);
        if length == 0 || length > self.config().limits.packet {
            return Err(Malformed);
        }
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        if unread.len() < 4 + length {
            return Ok(None);
        }
        unread.advance(4);
        Ok(Some(unread.split_to(length).freeze()))
    }

    /// Appends the answer to one request. An error ends the session.
    pub(crate) fn answer(&mut self, packet: &[u8], out: &mut BytesMut) -> Result<(), Malformed> {
        let mut fields = Fields(packet);
        let kind = fields.u8()?;
        if !std::mem::replace(&mut self.greeted, true) {
            return if kind == packet::INIT { self.greet(&mut fields, out) } else { Err(Malformed) };
        }
        count(&self.host.counters.sftp_requests);
        let id = fields.u32()?;
        let before = out.len();
        let done = match kind {
            packet::OPEN | packet::OPENDIR => self.open(kind, id, &mut fields, out)?,
            packet::CLOSE => self.close(&mut fields)?,
            packet::READ => self.read(id, &mut fields, out)?,
            packet::WRITE => self.write(&mut fields)?,
            packet::READDIR => self.read_directory(id, &mut fields, out)?,
            packet::FSTAT | packet::FSETSTAT => self.of_handle(kind, id, &mut fields, out)?,
            EXTENDED => self.extended(id, &mut fields, out)?,
            _ => self.of_path(kind, id, &mut fields, out)?,
        };
        match done {
            Err(refusal) => put_status(out, id, refusal),
            Ok(()) if out.len() == before => put_status(out, id, OK),
            Ok(()) => (),
        }
        Ok(())
    }

    fn greet(&self, fields: &mut Fields<'_>, out: &mut BytesMut) -> Result<(), Malformed> {
        fields.u32()?;
        put_packet(out, VERSION, |out| {
            out.put_u32(3);
            for extension in &self.config().extensions {
                put_string(out, extension.wire_name().as_bytes());
                put_string(out, b"1");
            }
        });
        Ok(())
    }

    fn open(
        &mut self,
        kind: u8,
        id: u32,
        fields: &mut Fields<'_>,
        out: &mut BytesMut,
    ) -> Result<Answered, Malformed> {
        let path = fields.string()?;
        let most = self.config().limits.handles;
        if self.handles.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            return Ok(Err(FAILURE));
        }
        let opened = if kind == packet::OPENDIR {
            self.open_directory(path)
        } else {
            let (flags, attributes) = (fields.u32()?, fields.attributes()?);
            self.open_file(path, flags, attributes.mode.unwrap_or(0o666))
        };
        Ok(opened.map(|open| {
            let handle = self.next_handle;
            self.next_handle = handle.wrapping_add(1);
            let gauge = Gauge::new(&self.host, |counters| &counters.sftp_handles_now);
            self.handles.insert(handle, (open, gauge));
            put_packet(out, HANDLE, |out| {
                out.put_u32(id);
                put_string(out, &handle.to_be_bytes());
            });
        }))
    }

    fn open_directory(&self, path: &[u8]) -> Result<Open, Refusal> {
        let disk = lock(self.host.disk());
        Ok(Open::Directory { rest: disk.list(path)?, node: disk.find(path, true)? })
    }

    fn open_file(&self, path: &[u8], flags: u32, permissions: u32) -> Result<Open, Refusal> {
        let mut disk = lock(self.host.disk());
        let there = disk.find(path, true).is_ok();
        let node = match flags & CREATE {
            0 => disk.find(path, true)?,
            _ => disk.create(path, permissions, flags & EXCLUSIVE != 0)?,
        };
        {
            let inode = lock(&node);
            if !matches!(inode.body, Body::File(_)) {
                return Err(FAILURE);
            }
            // Permissions are those for later opens, not for the one that creates the file.
            if there && flags & READ != 0 {
                inode.permits(OWNER_READ)?;
            }
            if there && flags & (WRITE | APPEND) != 0 {
                inode.permits(OWNER_WRITE)?;
            }
        }
        if flags & TRUNCATE != 0 {
            disk.set(&node, &Attributes { size: Some(0), ..Attributes::default() })?;
        }
        Ok(Open::File { node, flags })
    }

    /// The open file of the handle that a request begins with.
    fn handle(&mut self, fields: &mut Fields<'_>) -> Result<Result<&mut Open, Refusal>, Malformed> {
        let number = fields.string()?.try_into().map(u32::from_be_bytes);
        let open = number.ok().and_then(|number| self.handles.get_mut(&number));
        Ok(open.map(|(open, _)| open).ok_or(FAILURE))
    }

    fn close(&mut self, fields: &mut Fields<'_>) -> Result<Answered, Malformed> {
        let number = fields.string()?.try_into().map(u32::from_be_bytes);
        let open = number.ok().and_then(|number| self.handles.remove(&number));
        Ok(open.map(drop).ok_or(MISSING))
    }

    fn read(&mut self, id: u32, fields: &mut Fields<'_>, out: &mut BytesMut) -> Result<Answered, Malformed> {
        let most = self.config().limits.read;
        let host = self.host.clone();
        let open = self.handle(fields)?;
        let (offset, length) = (fields.u64()?, fields.u32()?.min(most));
        let node = match open {
            Ok(Open::File { node, flags }) if *flags & READ != 0 => node,
            Ok(Open::File { .. }) => return Ok(Err(MISSING)),
            Ok(Open::Directory { .. }) => return Ok(Err(FAILURE)),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let inode = lock(node);
        let Body::File(content) = &inode.body else {
            return Ok(Err(FAILURE));
        };
        if offset >= content.size() {
            return Ok(Err(END));
        }
        let length = u64::from(length).min(content.size() - offset);
        let before = out.len();
        let mut known = false;
        put_packet(out, DATA, |out| {
            out.put_u32(id);
            out.put_u32(u32::try_from(length).unwrap_or(0));
            known = content.read(offset, length, out);
        });
        if !known {
            out.truncate(before);
            return Ok(Err(Refusal(FAILURE.0, "hostsim did not keep the content: see sftp-keep")));
        }
        add(&host.counters.sftp_read, length);
        Ok(Ok(()))
    }

    fn write(&mut self, fields: &mut Fields<'_>) -> Result<Answered, Malformed> {
        let most = self.config().limits.write;
        let host = self.host.clone();
        let open = self.handle(fields)?;
        let (offset, bytes) = (fields.u64()?, fields.string()?);
        let (node, flags) = match open {
            Ok(Open::File { node, flags }) if *flags & (WRITE | APPEND) != 0 => (node, *flags),
            Ok(Open::File { .. }) => return Ok(Err(MISSING)),
            Ok(Open::Directory { .. }) => return Ok(Err(FAILURE)),
            Err(refusal) => return Ok(Err(refusal)),
        };
        if bytes.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            return Ok(Err(FAILURE));
        }
        let offset = (flags & APPEND == 0).then_some(offset);
        let written = lock(host.disk()).write(node, offset, bytes);
        if written.is_ok() {
            add(&host.counters.sftp_written, bytes.len() as u64);
        }
        Ok(written)
    }

    fn read_directory(
        &mut self,
        id: u32,
        fields: &mut Fields<'_>,
        out: &mut BytesMut,
    ) -> Result<Answered, Malformed> {
        let rest = match self.handle(fields)? {
            Ok(Open::Directory { rest, .. }) => rest,
            Ok(Open::File { .. }) => return Ok(Err(FAILURE)),
            Err(refusal) => return Ok(Err(refusal)),
        };
        if rest.is_empty() {
            return Ok(Err(END));
        }
        let names: Vec<_> = rest.drain(..rest.len().min(NAMES_MAX)).collect();
        put_names(out, id, &names);
        Ok(Ok(()))
    }

    fn of_handle(
        &mut self,
        kind: u8,
        id: u32,
        fields: &mut Fields<'_>,
        out: &mut BytesMut,
    ) -> Result<Answered, Malformed> {
        let host = self.host.clone();
        let open = self.handle(fields)?;
        let new = if kind == packet::FSETSTAT { Some(fields.attributes()?) } else { None };
        let node = match open {
            Ok(open) => open.node(),
            Err(refusal) => return Ok(Err(refusal)),
        };
        match new {
            Some(new) => return Ok(lock(host.disk()).set(node, &new)),
            None => put_stat(out, id, &lock(node).attributes()),
        }
        Ok(Ok(()))
    }

    fn of_path(
        &self,
        kind: u8,
        id: u32,
        fields: &mut Fields<'_>,
        out: &mut BytesMut,
    ) -> Result<Answered, Malformed> {
        let mut disk = lock(self.host.disk());
        Ok(match kind {
            packet::STAT | packet::LSTAT => disk
                .find(fields.string()?, kind == packet::STAT)
                .map(|node| put_stat(out, id, &lock(&node).attributes())),
            packet::SETSTAT => {
                let (path, new) = (fields.string()?, fields.attributes()?);
                disk.find(path, true).and_then(|node| disk.set(&node, &new))
            }
            packet::REMOVE => disk.remove(fields.string()?, false),
            packet::RMDIR => disk.remove(fields.string()?, true),
            packet::MKDIR => {
                let (path, new) = (fields.string()?, fields.attributes()?);
                disk.make_directory(path, new.mode.unwrap_or(0o777))
            }
            packet::REALPATH => disk
                .real_path(fields.string()?)
                .map(|path| put_names(out, id, &[(path, Attributes::default())])),
            packet::RENAME => disk.rename(fields.string()?, fields.string()?, false),
            // OpenSSH's order; the draft has the link first.
            packet::SYMLINK => disk.make_link(fields.string()?, fields.string()?),
            packet::READLINK => disk.find(fields.string()?, false).and_then(|node| {
                let Body::Link(target) = &lock(&node).body else {
                    return Err(BAD);
                };
                put_names(out, id, &[(target.clone(), Attributes::default())]);
                Ok(())
            }),
            _ => Err(UNSUPPORTED),
        })
    }

    fn extended(
        &mut self,
        id: u32,
        fields: &mut Fields<'_>,
        out: &mut BytesMut,
    ) -> Result<Answered, Malformed> {
        let name = fields.string()?;
        let known = self.config().extensions.iter().find(|known| known.wire_name().as_bytes() == name);
        Ok(match known {
            None => Err(UNSUPPORTED),
            Some(SftpExtension::PosixRename) => {
                let (from, to) = (fields.string()?, fields.string()?);
                lock(self.host.disk()).rename(from, to, true)
            }
            Some(SftpExtension::Fsync) => {
                count(&self.host.counters.sftp_fsyncs);
                match self.handle(fields)? {
                    Ok(Open::File { .. }) => Ok(()),
                    _ => Err(MISSING),
                }
            }
            Some(SftpExtension::Limits) => {
                let SftpLimits { packet, read, write, handles } = self.config().limits;
                put_packet(out, EXTENDED_REPLY, |out| {
                    out.put_u32(id);
                    [packet, read, write, handles].into_iter().for_each(|most| out.put_u64(most.into()));
                });
                Ok(())
            }
        })
    }
}

fn put_stat(out: &mut BytesMut, id: u32, attributes: &Attributes) {
    put_packet(out, ATTRS, |out| {
        out.put_u32(id);
        put_attributes(out, attributes);
    });
}

fn put_names(out: &mut BytesMut, id: u32, names: &[(Vec<u8>, Attributes)]) {
    put_packet(out, NAME, |out| {
        out.put_u32(id);
        out.put_u32(u32::try_from(names.len()).unwrap_or(u32::MAX));
        for (name, attributes) in names {
            put_string(out, name);
            put_string(out, &long_name(name, attributes));
            put_attributes(out, attributes);
        }
    });
}

/// A line as by `ls -l`.
fn long_name(name: &[u8], attributes: &Attributes) -> Vec<u8> {
    let mode = attributes.mode.unwrap_or(0);
    let kind = match mode & KIND {
        DIRECTORY => 'd',
        LINK => 'l',
        _ => '-',
    };
    let bit = |(at, letter): (usize, char)| if mode >> (8 - at) & 1 == 1 { letter } else { '-' };
    let bits: String = "rwxrwxrwx".chars().enumerate().map(bit).collect();
    let size = attributes.size.unwrap_or(0);
    let mut line = format!("{kind}{bits}    1 0        0        {size:>8} Sep  9  2001 ").into_bytes();
    line.extend_from_slice(name);
    line
}
