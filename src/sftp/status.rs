//! How a request ended (draft-ietf-secsh-filexfer-02 section 7).

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusCode {
    Ok,
    Eof,
    NoSuchFile,
    PermissionDenied,
    /// The only code that OpenSSH has for a full disk, a directory that is not empty, a file that
    /// exists, and much else.
    Failure,
    BadMessage,
    NoConnection,
    ConnectionLost,
    OpUnsupported,
    /// A code of a later version, which some servers send in this one too.
    Other(u32),
}

impl From<u32> for StatusCode {
    fn from(code: u32) -> Self {
        match code {
            0 => Self::Ok,
            1 => Self::Eof,
            2 => Self::NoSuchFile,
            3 => Self::PermissionDenied,
            4 => Self::Failure,
            5 => Self::BadMessage,
            6 => Self::NoConnection,
            7 => Self::ConnectionLost,
            8 => Self::OpUnsupported,
            other => Self::Other(other),
        }
    }
}

impl StatusCode {
    /// The number on the wire.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Ok => 0,
            Self::Eof => 1,
            Self::NoSuchFile => 2,
            Self::PermissionDenied => 3,
            Self::Failure => 4,
            Self::BadMessage => 5,
            Self::NoConnection => 6,
            Self::ConnectionLost => 7,
            Self::OpUnsupported => 8,
            Self::Other(other) => other,
        }
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "success",
            Self::Eof => "end of file",
            Self::NoSuchFile => "no such file",
            Self::PermissionDenied => "permission denied",
            Self::Failure => "failure",
            Self::BadMessage => "bad message",
            Self::NoConnection => "no connection",
            Self::ConnectionLost => "connection lost",
            Self::OpUnsupported => "operation not supported",
            // draft-ietf-secsh-filexfer-13 section 9.1.
            Self::Other(10) => "no such path",
            Self::Other(11) => "file already exists",
            Self::Other(12) => "write-protected",
            Self::Other(14) => "no space left",
            Self::Other(15) => "quota exceeded",
            Self::Other(18) => "directory not empty",
            Self::Other(19) => "not a directory",
            Self::Other(20) => "invalid file name",
            Self::Other(21) => "too many symbolic links",
            Self::Other(24) => "is a directory",
            Self::Other(other) => return write!(f, "SFTP status {other}"),
        })
    }
}
