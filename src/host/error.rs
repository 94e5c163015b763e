//! Why a text is not a host specification.

use std::convert::Infallible;
use std::fmt;

use super::HostSpec;
use super::uri::after_scheme;
use crate::limits;
use crate::text::{sanitise, sanitise_bounded};

/// A text that is not a valid [`HostSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\": {problem}", sanitise_bounded(&**text, limits::PEER_TEXT))]
#[non_exhaustive]
pub struct HostSpecError {
    /// The text. If it has the form `user:password@host`, `***` stands in the place of the
    /// password.
    pub text: Box<str>,
    /// What is wrong with the text.
    pub problem: HostSpecProblem,
}

impl HostSpecError {
    pub(super) fn new(text: &str, problem: HostSpecProblem) -> Self {
        Self { text: without_password(text).into(), problem }
    }
}

/// Replaces the password of `user:password@host`. A password may contain `@`.
fn without_password(text: &str) -> String {
    let user = after_scheme(text).map_or(0, |address| text.len() - address.len());
    let Some(end) = text.rfind('@').filter(|end| *end >= user) else { return text.to_owned() };
    // In an `ssh://` address, `%3a` is a colon.
    let colons = [":", "%3a", "%3A"].into_iter().filter_map(|colon| text[user..end].find(colon));
    match colons.min() {
        Some(colon) => format!("{}:***{}", &text[..user + colon], &text[end..]),
        None => text.to_owned(),
    }
}

/// Why a text is not a valid [`HostSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostSpecProblem {
    /// A `[` without `]` or the reverse, or something other than `:port` after the `]`.
    #[error("unbalanced or misplaced brackets")]
    Brackets,
    /// The user or the host contains a forbidden character.
    #[error("the {part} contains the character '{}'", sanitise(.character.encode_utf8(&mut [0; 4])))]
    Character {
        /// The part that contains the character.
        part: HostSpecPart,
        /// The character, not escaped.
        character: char,
    },
    /// The host is empty, or there is an `@` with no user before it.
    #[error("the {0} is empty")]
    Empty(HostSpecPart),
    /// The host contains colons but is neither `host:port` nor an IPv6 address.
    #[error("not an IPv6 address (write an IPv6 address with a port as [address]:port)")]
    Ipv6,
    /// The user or the host starts with `-`, which other programs would take for an option.
    #[error("the {0} starts with '-'")]
    LeadingDash(HostSpecPart),
    /// An `ssh://` address has a path.
    #[error("an ssh:// address must end after the host or the port")]
    Path,
    /// The port is not a decimal number between 1 and 65535.
    #[error("the port is not a number between 1 and 65535")]
    Port,
    /// The user or the host is longer than [`HostSpec::PART_LEN_MAX`].
    #[error("the {part} is {len} bytes long, more than {}", HostSpec::PART_LEN_MAX)]
    TooLong {
        /// The part that is too long.
        part: HostSpecPart,
        /// Its length in bytes.
        len: usize,
    },
}

/// The part of a [`HostSpec`] that an error is about. Errors about the only other part, the port,
/// are [`HostSpecProblem::Port`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostSpecPart {
    /// The name or address.
    Host,
    /// The user.
    User,
}

impl fmt::Display for HostSpecPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::User => "user",
        })
    }
}

/// Lets a call take either a [`HostSpec`] or a text. The conversion of a [`HostSpec`] to itself
/// cannot fail, so its error type is [`Infallible`].
impl From<Infallible> for HostSpecError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_is_not_shown() {
        for (text, shown) in [
            ("web 1", "web 1"),
            ("web1:0", "web1:0"),
            ("deploy@web1:0", "deploy@web1:0"),
            ("deploy:hunter2@web1", "deploy:***@web1"),
            ("deploy:hunter2@web1:22", "deploy:***@web1:22"),
            ("deploy:p@ss:w@rd@web1", "deploy:***@web1"),
            (":hunter2@web1", ":***@web1"),
            ("deploy:@web1", "deploy:***@web1"),
            ("deploy://hunter2@web1", "deploy:***@web1"),
            ("ssh://deploy@web1:0", "ssh://deploy@web1:0"),
            ("ssh://deploy:hunter2@web1", "ssh://deploy:***@web1"),
            ("SSH://deploy%3ahun:ter2@web1", "SSH://deploy:***@web1"),
            ("ssh://deploy%3Ahunter2/@web1", "ssh://deploy:***@web1"),
            ("http://deploy:hunter2@web1", "http:***@web1"),
            ("ssh:/@", "ssh:***@"),
            ("@@", "@@"),
            ("dé:é@é", "dé:***@é"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
