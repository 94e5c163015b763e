//! Private keys as files hold them: recognised, opened, checked, and written in the one form that libssh is
//! given.
//!
//! libssh's own reader of key files trusts them: it has called a null pointer for some ciphers. So a file
//! never gets that far. What it holds is found ([`armor`]), decrypted and taken apart by format ([`openssh`],
//! [`pkcs8`], [`asn1`], [`legacy`]), checked to be one key whose halves belong together ([`check`]), and
//! written anew ([`plain`]). Nothing here depends on libssh, and a file can make it neither panic nor use
//! more time or memory than `limits.rs` says.
//!
//! Secrets are kept in buffers that are overwritten when dropped.

mod armor;
mod asn1;
mod check;
mod legacy;
mod openssh;
mod parts;
mod pkcs8;
mod plain;

use std::fmt;

use zeroize::Zeroizing;

use crate::error::KeyProblem;
use armor::{Armored, Format};
use parts::Parts;
pub(crate) use plain::PlainKey;

/// What opens a key that is encrypted, and how much work that may be.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Opener<'a> {
    /// Empty counts as none.
    pub passphrase: Option<&'a [u8]>,
    /// Most rounds of bcrypt.
    pub rounds_max: u32,
}

impl<'a> Opener<'a> {
    fn passphrase(&self) -> Result<&'a [u8], KeyProblem> {
        self.passphrase.filter(|given| !given.is_empty()).ok_or(KeyProblem::PassphraseMissing)
    }
}

/// Shows no secret.
impl fmt::Debug for Opener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("rounds_max", &self.rounds_max).finish_non_exhaustive()
    }
}

/// A private key in a file, found and not opened yet.
pub(crate) struct KeyText(Armored);

impl KeyText {
    /// Finds the first private key among whatever else the bytes are.
    ///
    /// # Errors
    /// Where there is none, what there is instead.
    pub(crate) fn find(bytes: &[u8]) -> Result<Self, KeyProblem> {
        armor::find(bytes).map(Self)
    }

    /// Decrypts the key if necessary, and checks it. Slow (100 ms and more) if it is encrypted.
    pub(crate) fn open(&self, opener: Opener<'_>) -> Result<PlainKey, KeyProblem> {
        let Armored { format, headers, data } = &self.0;
        match format {
            Format::OpenSsh => openssh::open(data, opener),
            Format::Pkcs8 => pkcs8::open(data),
            Format::Pkcs8Encrypted => pkcs8::open_encrypted(data, opener),
            Format::Rsa => open_traditional(headers, data, opener, asn1::rsa),
            Format::Ec => open_traditional(headers, data, opener, asn1::ec),
        }
    }
}

/// PEM as OpenSSL has always written it: the bare structure, encrypted as its headers say.
fn open_traditional(
    headers: &armor::Headers,
    data: &[u8],
    opener: Opener<'_>,
    parse: fn(&[u8]) -> Result<Parts<'_>, KeyProblem>,
) -> Result<PlainKey, KeyProblem> {
    if !headers.is_encrypted() {
        return PlainKey::new(&parse(data)?);
    }
    let opened: Zeroizing<Vec<u8>> = legacy::decrypt(headers, data, opener)?;
    // A wrong passphrase passes for a right one every 256th time, and then leaves noise.
    let parts = parse(&opened).map_err(|problem| match problem {
        KeyProblem::Damaged(_) => KeyProblem::PassphraseWrong,
        other => other,
    })?;
    PlainKey::new(&parts)
}

#[cfg(any(test, fuzzing))]
impl PlainKey {
    /// Reads it back.
    pub(crate) fn reopened(&self) -> Result<Self, KeyProblem> {
        KeyText::find(self.as_c_str().to_bytes())?.open(Opener { passphrase: None, rounds_max: 0 })
    }
}

#[cfg(test)]
mod tests;
