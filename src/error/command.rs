//! Why a command cannot be sent.

use crate::text::sanitise;

/// Why a command cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandProblem {
    /// The command is empty, or only white space. A server would start a login shell, for which
    /// there is [`Command::login_shell`](crate::Command::login_shell).
    #[error("it is empty")]
    Empty,
    /// The command contains a NUL byte, which would end it early. The offset is counted in the text
    /// to be sent.
    #[error("it contains a NUL byte at offset {0}")]
    Nul(usize),
    /// The command is not UTF-8, so it cannot be converted to another
    /// [`encoding`](crate::Command::encoding).
    #[error("byte {offset} is not UTF-8, so the text cannot be encoded in {encoding}")]
    NotUtf8 {
        /// The offset of the first byte that is not UTF-8.
        offset: usize,
        /// The encoding's name.
        encoding: &'static str,
    },
    /// The command contains a character that the [`encoding`](crate::Command::encoding) cannot
    /// represent (parallel-ssh: `UnicodeEncodeError`). Offsets count bytes of UTF-8.
    #[error("the character at offset {offset} cannot be encoded in {encoding}")]
    Unencodable {
        /// The offset at which the character begins.
        offset: usize,
        /// The encoding's name.
        encoding: &'static str,
    },
    /// The command is longer than an SSH packet can carry.
    #[error("it has {len} bytes, but at most {max} can be sent")]
    TooLong {
        /// How many bytes the command has.
        len: usize,
        /// How many bytes are allowed.
        max: usize,
    },
}

/// Why the placeholders in a command's text cannot be filled with the values for one host. Offsets
/// count bytes of the text from 0.
///
/// No message repeats a value, because a value may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateProblem {
    /// There are more placeholders (`%s`, `%d`) than values, or the values have names, which only
    /// `%(name)s` and `%(name)d` can refer to.
    #[error("not enough values for the placeholders")]
    MissingPositional,
    /// There are more values than placeholders (`%s`, `%d`). Unused named values are allowed.
    #[error("more values than placeholders")]
    TooManyPositional,
    /// There is no value for the name of a `%(name)s` or `%(name)d`.
    #[error("no value is named \"{}\"", sanitise(.0))]
    MissingKey(String),
    /// The value of a `%d` or `%(name)d` at this offset is a string.
    #[error("the value for the placeholder at offset {0} is not an integer")]
    NotAnInteger(usize),
    /// A `%` is not followed by `%`, `s`, `d`, `(name)s` or `(name)d`.
    #[error("unsupported placeholder at offset {offset} (write %% for a percent sign)")]
    BadFormat {
        /// The offset of the `%`.
        offset: usize,
    },
    /// The text cannot be sent once the values are filled in.
    #[error("refused: {0}")]
    Refused(CommandProblem),
}
