//! The server's side of the protocol, for tests and fuzz targets: requests are read, and replies
//! are encoded.

use super::fields::{Fields, length, put_string, put_u32};
use super::{
    Attrs, HEAD, Name, OpenFlags, ProtocolError, Reply, Request, StatusCode, extension, packet_type,
};

/// Encodes a reply with its length. The names of [`Reply::Names`] must be right.
pub(crate) fn encode(reply: &Reply<'_>) -> Vec<u8> {
    match reply {
        Reply::Version { version, extensions } => {
            let known = [
                (extension::POSIX_RENAME, extensions.posix_rename),
                (extension::FSYNC, extensions.fsync),
                (extension::LIMITS, extensions.limits),
            ];
            let mut fields = Vec::new();
            for (name, _) in known.iter().filter(|(_, has)| *has) {
                put_string(&mut fields, name);
                put_string(&mut fields, extension::VERSION);
            }
            packet(packet_type::VERSION, *version, &fields)
        }
        Reply::Status { id, code, text } => status(*id, *code, text),
        Reply::Handle { id, handle } => with(packet_type::HANDLE, *id, |fields| put_string(fields, handle)),
        Reply::Data { id, bytes } => with(packet_type::DATA, *id, |fields| put_string(fields, bytes)),
        Reply::Names { id, names } => {
            let all: Vec<Name<'_>> = names.clone().map_while(Result::ok).collect();
            self::names(*id, &all)
        }
        Reply::Attrs { id, attrs } => with(packet_type::ATTRS, *id, |fields| attrs.encode(fields)),
        Reply::Extended { id, bytes } => packet(packet_type::EXTENDED_REPLY, *id, bytes),
    }
}

/// Encodes the reply with these names.
pub(crate) fn names(id: u32, names: &[Name<'_>]) -> Vec<u8> {
    with(packet_type::NAME, id, |fields| {
        put_u32(fields, length(names.len()));
        for Name { name, long, attrs } in names {
            put_string(fields, name);
            put_string(fields, long);
            attrs.encode(fields);
        }
    })
}

/// Encodes a status, in the form that OpenSSH's server has: the language is empty.
pub(crate) fn status(id: u32, code: StatusCode, text: &[u8]) -> Vec<u8> {
    with(packet_type::STATUS, id, |fields| {
        put_u32(fields, code.code());
        put_string(fields, text);
        put_string(fields, b"");
    })
}

fn with(packet_type: u8, id: u32, put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut fields = Vec::new();
    put(&mut fields);
    packet(packet_type, id, &fields)
}

/// A packet of any type, with its length.
pub(crate) fn packet(packet_type: u8, id: u32, fields: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    put_u32(&mut packet, length(5 + fields.len()));
    packet.push(packet_type);
    put_u32(&mut packet, id);
    packet.extend_from_slice(fields);
    packet
}

/// A request that a server has read, and the bytes behind it.
pub(crate) struct Received<'a> {
    /// The version in the place of a number, for [`Request::Init`].
    pub(crate) id: u32,
    pub(crate) request: Request<'a>,
    /// The data of a [`Request::Write`].
    pub(crate) data: &'a [u8],
    pub(crate) rest: &'a [u8],
}

/// Reads the first request of a stream. `None` until it is complete.
pub(crate) fn receive(stream: &[u8]) -> Result<Option<Received<'_>>, ProtocolError> {
    let Some((head, stream)) = stream.split_first_chunk::<HEAD>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    let Some((packet, rest)) = stream.split_at_checked(length) else { return Ok(None) };
    let (&packet_type, body) = packet.split_first().ok_or(ProtocolError::Empty)?;
    let mut fields = Fields::new("of a client", body);
    let id = fields.u32()?;
    let (request, data) = if packet_type == packet_type::WRITE {
        let (handle, offset, data) = (fields.string()?, fields.u64()?, fields.string()?);
        (Request::Write { handle, offset, data_len: self::length(data.len()) }, data)
    } else {
        (read(packet_type, &mut fields)?, &[][..])
    };
    fields.end()?;
    Ok(Some(Received { id, request, data, rest }))
}

fn read<'a>(packet_type: u8, fields: &mut Fields<'a>) -> Result<Request<'a>, ProtocolError> {
    Ok(match packet_type {
        packet_type::INIT => Request::Init,
        packet_type::OPEN => {
            let (path, flags) = (fields.string()?, OpenFlags(fields.u32()?));
            Request::Open { path, flags, attrs: Attrs::parse(fields)? }
        }
        packet_type::CLOSE => Request::Close { handle: fields.string()? },
        packet_type::READ => {
            Request::Read { handle: fields.string()?, offset: fields.u64()?, len: fields.u32()? }
        }
        packet_type::LSTAT => Request::Lstat { path: fields.string()? },
        packet_type::STAT => Request::Stat { path: fields.string()? },
        packet_type::FSTAT => Request::Fstat { handle: fields.string()? },
        packet_type::SETSTAT => Request::Setstat { path: fields.string()?, attrs: Attrs::parse(fields)? },
        packet_type::FSETSTAT => Request::Fsetstat { handle: fields.string()?, attrs: Attrs::parse(fields)? },
        packet_type::OPENDIR => Request::Opendir { path: fields.string()? },
        packet_type::READDIR => Request::Readdir { handle: fields.string()? },
        packet_type::REMOVE => Request::Remove { path: fields.string()? },
        packet_type::MKDIR => Request::Mkdir { path: fields.string()?, attrs: Attrs::parse(fields)? },
        packet_type::RMDIR => Request::Rmdir { path: fields.string()? },
        packet_type::REALPATH => Request::Realpath { path: fields.string()? },
        packet_type::RENAME => Request::Rename { from: fields.string()?, to: fields.string()? },
        packet_type::READLINK => Request::Readlink { path: fields.string()? },
        packet_type::SYMLINK => Request::Symlink { target: fields.string()?, link: fields.string()? },
        packet_type::EXTENDED => match fields.string()? {
            extension::POSIX_RENAME => Request::PosixRename { from: fields.string()?, to: fields.string()? },
            extension::FSYNC => Request::Fsync { handle: fields.string()? },
            extension::LIMITS => Request::Limits,
            _ => return Err(ProtocolError::Type(packet_type)),
        },
        other => return Err(ProtocolError::Type(other)),
    })
}
