//! One line of a `known_hosts` file, as defined by `sshd(8)` and OpenSSH's `hostfile.c`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use memchr::{memchr, memchr2};
use sha1::Sha1;

use super::key::{HostKey, KeyError};
use super::pattern;

const HASH_MAGIC: &[u8] = b"|1|";
const SHA1_BYTES: usize = 20;

/// The marker of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Marker {
    /// There is no marker: the key belongs to the hosts of the line.
    None,
    /// `@cert-authority`: the key signs host certificates and is not a host key.
    CertAuthority,
    /// `@revoked`: the key must never be accepted from the hosts of the line.
    Revoked,
}

/// The first column of a line, which names the hosts of the line.
#[derive(Debug)]
pub(super) enum LineNames {
    /// `|1|salt|digest`: one name, hashed with HMAC-SHA1.
    Hashed { salt: [u8; SHA1_BYTES], digest: [u8; SHA1_BYTES] },
    /// A comma-separated list of names and patterns in lower case.
    List(Box<[u8]>),
}

/// Comparing a host with this many bytes of a plain list takes about as long as comparing the host
/// with one hashed name.
const LIST_BYTES: usize = 128;

impl LineNames {
    /// The cost of a comparison, in units of the cost of comparing one hashed name.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Hashed { .. } => 1,
            Self::List(list) => 1 + list.len() / LIST_BYTES,
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        #[cfg(test)]
        super::tests::count_comparison();
        match self {
            Self::Hashed { salt, digest } => hash_name(salt, name) == *digest,
            Self::List(list) => pattern::list_matches(list, name.as_bytes()),
        }
    }

    /// The names of a list, for the index. `None` if the names cannot be indexed, because they are
    /// hashed or because one of them is negated or contains a wildcard.
    pub(super) fn literals(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let Self::List(list) = self else { return None };
        let literal = pattern::names(list).all(|(negated, name)| !negated && pattern::is_literal(name));
        literal.then(|| pattern::names(list).map(|(_, name)| name).filter(|name| !name.is_empty()))
    }

    fn parse(field: &[u8]) -> Result<Self, LineFault> {
        if field.first() == Some(&b'|') {
            return Self::parse_hash(field).ok_or(LineFault::HashedName);
        }
        if pattern::names(field).any(|(_, name)| name.len() > pattern::NAME_BYTES_MAX) {
            return Err(LineFault::NameTooLong);
        }
        Ok(Self::List(field.to_ascii_lowercase().into_boxed_slice()))
    }

    fn parse_hash(field: &[u8]) -> Option<Self> {
        let rest = field.strip_prefix(HASH_MAGIC)?;
        let delimiter = rest.iter().position(|byte| *byte == b'|')?;
        let (salt, digest) = (rest.get(..delimiter)?, rest.get(delimiter + 1..)?);
        Some(Self::Hashed { salt: decode_sha1(salt)?, digest: decode_sha1(digest)? })
    }
}

fn decode_sha1(encoded: &[u8]) -> Option<[u8; SHA1_BYTES]> {
    // In base64, 20 bytes take 28 characters. To decode that many characters, the decoder requires
    // a buffer that is one byte longer than its output.
    let mut decoded = [0; SHA1_BYTES + 1];
    let length = STANDARD.decode_slice(encoded, &mut decoded).ok()?;
    decoded.get(..length)?.try_into().ok()
}

fn hash_name(salt: &[u8; SHA1_BYTES], name: &str) -> [u8; SHA1_BYTES] {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(salt) else {
        debug_assert!(false, "HMAC takes keys of any length");
        return [0; SHA1_BYTES];
    };
    mac.update(name.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The first column of a line whose name is hashed. `salt` must come from a secure random source.
pub(super) fn hashed_column(salt: &[u8; SHA1_BYTES], name: &str) -> String {
    format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash_name(salt, name)))
}

/// Why a line was skipped.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// The line has a marker that is neither `@cert-authority` nor `@revoked`, or more than one
    /// marker.
    #[error("unknown or repeated marker")]
    Marker,
    /// The line ends before its key.
    #[error("the line has no key")]
    Truncated,
    /// A hashed name is not of the form `|1|salt|hash`.
    #[error("malformed hashed name")]
    HashedName,
    /// A name or pattern is longer than 1022 bytes.
    #[error("a name is longer than 1022 bytes")]
    NameTooLong,
    /// The key cannot be read.
    #[error("{0}")]
    Key(KeyError),
}

impl From<KeyError> for LineFault {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

/// The content of a line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) marker: Marker,
    pub(super) names: LineNames,
    pub(super) key: HostKey,
}

impl Line {
    /// Parses a line, which must not include its line feed. Returns `None` for an empty line or a
    /// comment.
    ///
    /// Like OpenSSH, which uses C strings, this ignores everything after a NUL byte.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Self>, LineFault> {
        let end = memchr(0, line).unwrap_or(line.len());
        let line = skip_blanks(line.get(..end).unwrap_or_default());
        if line.first().is_none_or(|first| *first == b'#') || line == b"\r" {
            return Ok(None);
        }
        let (marker, rest) = split_marker(line)?;
        let (names, rest) = split_field(rest);
        let (column, rest) = split_field(rest);
        let (encoded, _comment) = split_field(rest);
        if names.is_empty() || encoded.is_empty() {
            return Err(LineFault::Truncated);
        }
        let names = LineNames::parse(names)?;
        let key = HostKey::from_fields(column, encoded)?;
        Ok(Some(Self { marker, names, key }))
    }
}

/// Splits off the marker. OpenSSH ignores a line if a tab follows its marker. Here a tab counts as
/// a space, so that a `@revoked` line never loses its effect.
fn split_marker(line: &[u8]) -> Result<(Marker, &[u8]), LineFault> {
    if line.first() != Some(&b'@') {
        return Ok((Marker::None, line));
    }
    let (word, rest) = split_field(line);
    let marker = match word {
        b"@cert-authority" => Marker::CertAuthority,
        b"@revoked" => Marker::Revoked,
        _ => return Err(LineFault::Marker),
    };
    if rest.first() == Some(&b'@') {
        return Err(LineFault::Marker);
    }
    Ok((marker, rest))
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// Splits off the first field and the blanks after it.
pub(super) fn split_field(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr2(b' ', b'\t', text).unwrap_or(text.len());
    let (field, rest) = text.split_at(end);
    (field, skip_blanks(rest))
}
