//! Why a command cannot be sent.

use crate::text::sanitise;

/// Why a command cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandProblem {
    /// Nothing but white space: a login shell would start and wait for input.
    #[error("it is empty")]
    Empty,
    /// A NUL byte ends a C string, so the host would run something else. With the offset in what
    /// would be sent.
    #[error("it contains a NUL byte at offset {0}")]
    Nul(usize),
    /// Not UTF-8 at this offset, so it cannot be put into another
    /// [`encoding`](crate::Command::encoding).
    #[error("it is not UTF-8 at offset {offset}, so it cannot be put into {encoding}")]
    NotUtf8 {
        /// Where the first byte is that is not.
        offset: usize,
        /// The encoding's name.
        encoding: &'static str,
    },
    /// A character at this offset, counted in bytes of UTF-8, that the
    /// [`encoding`](crate::Command::encoding) has not (parallel-ssh: `UnicodeEncodeError`).
    #[error("{encoding} has not the character at offset {offset}")]
    Unencodable {
        /// Where the character begins.
        offset: usize,
        /// The encoding's name.
        encoding: &'static str,
    },
    /// Longer than an SSH packet may carry.
    #[error("it has {len} bytes, at most {max} can be sent")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
}

/// Why a command's text and the values for one host do not fit together. Offsets count bytes of the
/// text from 0.
///
/// No message repeats a value: it may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateProblem {
    /// More places (`%s`, `%d`) than values, or the values have names.
    #[error("fewer values than places for them")]
    MissingPositional,
    /// More values than places (`%s`, `%d`). Names without a place are no problem.
    #[error("more values than places for them")]
    TooManyPositional,
    /// A `%(name)s` or `%(name)d` whose name has no value.
    #[error("no value is named \"{}\"", sanitise(.0))]
    MissingKey(String),
    /// A `%d` or `%(name)d` at this offset whose value is a text.
    #[error("the value for the place at offset {0} is not an integer")]
    NotAnInteger(usize),
    /// A `%` that neither `%`, `s`, `d`, `(name)s` nor `(name)d` follows.
    #[error("no place for a value that is understood at offset {offset} (write %% for %)")]
    BadFormat {
        /// Where the `%` is.
        offset: usize,
    },
    /// The text with the values in it cannot be sent.
    #[error("refused: {0}")]
    Refused(CommandProblem),
}
