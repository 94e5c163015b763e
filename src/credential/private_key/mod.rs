//! Reads private keys from files, decrypts and checks them, and writes them in the one format that
//! is passed to libssh.
//!
//! libssh's own parser trusts key files too much: with some ciphers it has called a null pointer.
//! So no file is passed to it. This module finds the key ([`armor`]), decrypts and parses it by
//! format ([`openssh`], [`pkcs8`], [`asn1`], [`legacy`]), checks that both halves belong together
//! ([`check`]), and writes the key again ([`plain`]). Nothing here depends on libssh. A file cannot
//! cause a panic, and cannot take more time or memory than `limits.rs` allows.
//!
//! Buffers with secrets are overwritten when dropped.

mod armor;
mod asn1;
mod check;
mod legacy;
mod openssh;
mod parts;
mod pkcs8;
mod plain;

use std::fmt;

use crate::error::KeyProblem;
use armor::Format;
pub(crate) use armor::KeyText;
use parts::Parts;
pub(crate) use plain::PlainKey;

/// The passphrase of an encrypted key, and how much work decryption may take.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Opener<'a> {
    /// The passphrase. An empty one counts as none.
    pub passphrase: Option<&'a [u8]>,
    /// The most rounds of bcrypt that decryption may take.
    pub rounds_max: u32,
}

impl<'a> Opener<'a> {
    fn passphrase(&self) -> Result<&'a [u8], KeyProblem> {
        self.passphrase.filter(|given| !given.is_empty()).ok_or(KeyProblem::PassphraseMissing)
    }
}

/// Does not show the passphrase.
impl fmt::Debug for Opener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("rounds_max", &self.rounds_max).finish_non_exhaustive()
    }
}

impl KeyText {
    /// The public half as a wire blob, if the format shows it without a passphrase.
    pub(crate) fn public(&self) -> Option<&[u8]> {
        match self.format {
            Format::OpenSsh => openssh::public(&self.data),
            _ => None,
        }
    }

    /// Decrypts the key if necessary, and checks it. Takes 100 ms or more for an encrypted key.
    pub(crate) fn open(&self, opener: Opener<'_>) -> Result<PlainKey, KeyProblem> {
        match self.format {
            Format::OpenSsh => openssh::open(&self.data, opener),
            Format::Pkcs8 => pkcs8::open(&self.data),
            Format::Pkcs8Encrypted => pkcs8::open_encrypted(&self.data, opener),
            Format::Rsa => self.open_traditional(opener, asn1::rsa),
            Format::Ec => self.open_traditional(opener, asn1::ec),
        }
    }

    /// Opens OpenSSL's traditional PEM: the bare structure, which is encrypted if the headers say
    /// so.
    fn open_traditional(&self, opener: Opener<'_>, parse: Parse) -> Result<PlainKey, KeyProblem> {
        if self.proc_type.is_none() && self.dek_info.is_none() {
            return PlainKey::new(&parse(&self.data)?);
        }
        let opened = legacy::decrypt(self, opener)?;
        // One in 256 wrong passphrases is not detected above, and yields random bytes here.
        PlainKey::new(&parse(&opened).map_err(damage_by_passphrase)?)
    }
}

type Parse = fn(&[u8]) -> Result<Parts<'_>, KeyProblem>;

/// Interprets damage found in decrypted data: the passphrase is wrong.
fn damage_by_passphrase(problem: KeyProblem) -> KeyProblem {
    match problem {
        KeyProblem::Damaged(_) => KeyProblem::PassphraseWrong,
        other => other,
    }
}

#[cfg(any(test, fuzzing))]
impl PlainKey {
    /// Parses the written key again.
    pub(crate) fn reopened(&self) -> Result<Self, KeyProblem> {
        KeyText::find(self.as_c_str().to_bytes())?.open(Opener { passphrase: None, rounds_max: 0 })
    }
}

#[cfg(test)]
mod tests;
