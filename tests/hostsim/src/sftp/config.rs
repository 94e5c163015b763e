//! How a simulated host serves files.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::setting::number;

/// An extension of SFTP version 3 (OpenSSH's PROTOCOL, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SftpExtension {
    /// `posix-rename`: a rename that replaces its target.
    PosixRename,
    /// `fsync`.
    Fsync,
    /// `limits`: the client can ask for [`SftpLimits`].
    Limits,
}

impl SftpExtension {
    /// The name on the wire. Its version is `1`.
    #[must_use]
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::PosixRename => "posix-rename@openssh.com",
            Self::Fsync => "fsync@openssh.com",
            Self::Limits => "limits@openssh.com",
        }
    }
}

impl FromStr for SftpExtension {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::PosixRename, Self::Fsync, Self::Limits];
        let found = all.into_iter().find(|name| name.wire_name().strip_suffix("@openssh.com") == Some(text));
        found.ok_or_else(|| format!("not an extension: {text:?}"))
    }
}

/// What a host accepts, whether or not it announces it. Text form `PACKET,READ,WRITE,HANDLES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SftpLimits {
    /// Largest packet, in bytes; a longer one ends the session.
    pub packet: u32,
    /// Most bytes in an answer to a read; a longer read gets fewer bytes than it asks for.
    pub read: u32,
    /// Most bytes in a write; a longer one fails.
    pub write: u32,
    /// Most open handles per session; opening more fails.
    pub handles: u32,
}

impl Default for SftpLimits {
    /// Those of OpenSSH 9.2, with 1024 descriptors.
    fn default() -> Self {
        Self { packet: 256 << 10, read: 255 << 10, write: 255 << 10, handles: 1019 }
    }
}

impl fmt::Display for SftpLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.packet, self.read, self.write, self.handles)
    }
}

impl FromStr for SftpLimits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split(',').map(number).collect::<Result<Vec<u32>, String>>()?;
        match numbers[..] {
            [packet, read, write, handles] => Ok(Self { packet, read, write, handles }),
            _ => Err(format!("not PACKET,READ,WRITE,HANDLES: {text:?}")),
        }
    }
}

/// The SFTP server of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SftpConfig {
    /// `sftp`: accept the subsystem `sftp`. Default: yes.
    pub enabled: bool,
    /// `sftp-extensions`: what the server announces and has. Default: all of them.
    pub extensions: Vec<SftpExtension>,
    /// `sftp-limits`.
    pub limits: SftpLimits,
    /// `sftp-delay`: time before each request is answered; the next one waits, as with OpenSSH.
    /// Default: 0.
    pub delay: Duration,
    /// `sftp-files`: files that exist from the beginning, as `PATH=SIZE`, with their folders. Byte
    /// number i is [`crate::pattern_byte`]`(i)`; they take no memory, and cannot be written to, but
    /// truncated to nothing, renamed and removed. Relative paths begin in `/home`. Default: none.
    pub files: Vec<(String, u64)>,
    /// `sftp-keep`: files of at most this many bytes keep their content. Of longer ones only the
    /// size and [`crate::digest`] are kept, and reading them fails. Default: 1 MiB.
    pub keep: u64,
    /// `sftp-space`: the size of the disk, in bytes; writing more fails. Default: unlimited.
    pub space: u64,
}

impl Default for SftpConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            extensions: vec![SftpExtension::PosixRename, SftpExtension::Fsync, SftpExtension::Limits],
            limits: SftpLimits::default(),
            delay: Duration::ZERO,
            files: Vec::new(),
            keep: 1 << 20,
            space: u64::MAX,
        }
    }
}

impl SftpConfig {
    /// Changes the value of one setting.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let list = || value.split(',').filter(|item| !item.is_empty());
        match name {
            "sftp" => self.enabled = number(value)?,
            "sftp-extensions" => self.extensions = list().map(str::parse).collect::<Result<_, _>>()?,
            "sftp-limits" => self.limits = value.parse()?,
            "sftp-delay" => self.delay = Duration::from_millis(number(value)?),
            "sftp-files" => self.files = list().map(file).collect::<Result<_, _>>()?,
            "sftp-keep" => self.keep = number(value)?,
            "sftp-space" => self.space = number(value)?,
            _ => return Err(format!("not a setting: {name:?}")),
        }
        Ok(())
    }
}

fn file(text: &str) -> Result<(String, u64), String> {
    let (path, size) = text.rsplit_once('=').ok_or_else(|| format!("not PATH=SIZE: {text:?}"))?;
    Ok((path.to_owned(), number(size)?))
}
