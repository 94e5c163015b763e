//! What a server answers.

use super::fields::Fields;
use super::{Attrs, Names, ProtocolError, StatusCode, extension, packet_type};
use crate::limits;

/// A server's packet. All but the first one have the `id` of the request that they answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// The answer to INIT. Before it a server sends nothing.
    Version {
        version: u32,
        extensions: Extensions,
    },
    /// How a request ended. The text is the server's, in any bytes, and may be empty.
    Status {
        id: u32,
        code: StatusCode,
        text: &'a [u8],
    },
    /// A handle of at most [`limits::SFTP_HANDLE`] bytes.
    Handle {
        id: u32,
        handle: &'a [u8],
    },
    /// Data of a file. Nothing here compares its length with the one that was asked for.
    Data {
        id: u32,
        bytes: &'a [u8],
    },
    /// There may be no names at all.
    Names {
        id: u32,
        names: Names<'a>,
    },
    Attrs {
        id: u32,
        attrs: Attrs,
    },
    /// The answer to an extension, for example [`Limits`].
    Extended {
        id: u32,
        bytes: &'a [u8],
    },
}

/// OpenSSH's extensions that a server has, in the version that this module speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extensions {
    pub(crate) posix_rename: bool,
    pub(crate) fsync: bool,
    pub(crate) limits: bool,
}

/// What a server can do at once, as it answers `limits@openssh.com`. 0 stands for a limit that it
/// does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The longest packet.
    pub(crate) packet: u64,
    /// The most bytes that one READ returns.
    pub(crate) read: u64,
    /// The most bytes that one WRITE takes.
    pub(crate) write: u64,
    /// The most handles that are open at once.
    pub(crate) handles: u64,
}

impl<'a> Reply<'a> {
    /// Reads a packet, without its length.
    pub(crate) fn parse(packet: &'a [u8]) -> Result<Self, ProtocolError> {
        let (&packet_type, body) = packet.split_first().ok_or(ProtocolError::Empty)?;
        let name = type_name(packet_type).ok_or(ProtocolError::Type(packet_type))?;
        let mut fields = Fields::new(name, body);
        if packet_type == packet_type::VERSION {
            return Self::version(fields);
        }
        let id = fields.u32()?;
        let reply = match packet_type {
            packet_type::STATUS => {
                let (code, text) = status(&mut fields)?;
                Self::Status { id, code, text }
            }
            packet_type::HANDLE => Self::Handle { id, handle: handle(&mut fields)? },
            packet_type::DATA => Self::Data { id, bytes: fields.string()? },
            // The names end with their packet, which their iterator checks.
            packet_type::NAME => return Ok(Self::Names { id, names: Names::parse(fields)? }),
            packet_type::ATTRS => Self::Attrs { id, attrs: Attrs::parse(&mut fields)? },
            packet_type::EXTENDED_REPLY => Self::Extended { id, bytes: fields.take_rest() },
            other => return Err(ProtocolError::Type(other)),
        };
        fields.end()?;
        Ok(reply)
    }

    fn version(mut fields: Fields<'_>) -> Result<Self, ProtocolError> {
        let version = fields.u32()?;
        let mut extensions = Extensions::default();
        while !fields.is_empty() {
            let (name, data) = (fields.string()?, fields.string()?);
            let is_known = data == extension::VERSION;
            match name {
                extension::POSIX_RENAME => extensions.posix_rename = is_known,
                extension::FSYNC => extensions.fsync = is_known,
                extension::LIMITS => extensions.limits = is_known,
                _ => {}
            }
        }
        Ok(Self::Version { version, extensions })
    }

    /// The number of the request that this answers. `None` for [`Version`](Self::Version).
    pub(crate) fn id(&self) -> Option<u32> {
        match *self {
            Self::Version { .. } => None,
            Self::Status { id, .. }
            | Self::Handle { id, .. }
            | Self::Data { id, .. }
            | Self::Names { id, .. }
            | Self::Attrs { id, .. }
            | Self::Extended { id, .. } => Some(id),
        }
    }

    /// The name of the packet's type in the protocol, for errors.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Version { .. } => "VERSION",
            Self::Status { .. } => "STATUS",
            Self::Handle { .. } => "HANDLE",
            Self::Data { .. } => "DATA",
            Self::Names { .. } => "NAME",
            Self::Attrs { .. } => "ATTRS",
            Self::Extended { .. } => "EXTENDED_REPLY",
        }
    }
}

fn type_name(packet_type: u8) -> Option<&'static str> {
    Some(match packet_type {
        packet_type::VERSION => "VERSION",
        packet_type::STATUS => "STATUS",
        packet_type::HANDLE => "HANDLE",
        packet_type::DATA => "DATA",
        packet_type::NAME => "NAME",
        packet_type::ATTRS => "ATTRS",
        packet_type::EXTENDED_REPLY => "EXTENDED_REPLY",
        _ => return None,
    })
}

/// Reads a code, a text and the text's language. Old servers leave out the language, or both;
/// OpenSSH's client reads none of them.
fn status<'a>(fields: &mut Fields<'a>) -> Result<(StatusCode, &'a [u8]), ProtocolError> {
    let code = StatusCode::from(fields.u32()?);
    let text = if fields.is_empty() { &[] } else { fields.string()? };
    if !fields.is_empty() {
        fields.string()?;
    }
    Ok((code, text))
}

fn handle<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], ProtocolError> {
    match fields.string()? {
        handle if handle.len() <= limits::SFTP_HANDLE => Ok(handle),
        handle => Err(ProtocolError::LongHandle(handle.len())),
    }
}

impl Limits {
    /// Reads the body of an extended reply. Ignores what a later version may add, like OpenSSH's
    /// client.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let mut fields = Fields::new("EXTENDED_REPLY", bytes);
        let mut next = || fields.u64();
        Ok(Self { packet: next()?, read: next()?, write: next()?, handles: next()? })
    }
}
