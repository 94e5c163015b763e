//! A server's public host key: the wire blob, its type and its fingerprint.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::blob::canonical;

/// The type of a public key. The types are in the order in which OpenSSH prefers host keys.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum KeyType {
    /// `ssh-ed25519` (RFC 8709).
    Ed25519,
    /// `ecdsa-sha2-nistp256` (RFC 5656).
    EcdsaP256,
    /// `ecdsa-sha2-nistp384` (RFC 5656).
    EcdsaP384,
    /// `ecdsa-sha2-nistp521` (RFC 5656).
    EcdsaP521,
    /// `sk-ssh-ed25519@openssh.com`: Ed25519 in a security key (OpenSSH `PROTOCOL.u2f`).
    SkEd25519,
    /// `sk-ecdsa-sha2-nistp256@openssh.com`: ECDSA in a security key (OpenSSH `PROTOCOL.u2f`).
    SkEcdsaP256,
    /// `ssh-rsa` (RFC 4253 §6.6), whatever hash its signatures use.
    Rsa,
    /// `ssh-dss` (RFC 4253 §6.6): obsolete, but still present in old files.
    Dsa,
}

impl KeyType {
    const ALL: [Self; 8] = [
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::SkEd25519,
        Self::SkEcdsaP256,
        Self::Rsa,
        Self::Dsa,
    ];

    /// The type's name, as in the key blob and in the second column of a `known_hosts` line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "ssh-rsa",
            other => other.signature_algorithms()[0],
        }
    }

    /// The host key algorithms (RFC 4253 §7.1) that use a key of this type, best first.
    ///
    /// An algorithm has the same name as the key type, except for RSA. The algorithms of RSA also
    /// name the hash of the signature (RFC 8332). The algorithm `ssh-rsa`, whose signatures use
    /// SHA-1, is not among them.
    #[must_use]
    pub fn signature_algorithms(self) -> &'static [&'static str] {
        match self {
            Self::Ed25519 => &["ssh-ed25519"],
            Self::EcdsaP256 => &["ecdsa-sha2-nistp256"],
            Self::EcdsaP384 => &["ecdsa-sha2-nistp384"],
            Self::EcdsaP521 => &["ecdsa-sha2-nistp521"],
            Self::SkEd25519 => &["sk-ssh-ed25519@openssh.com"],
            Self::SkEcdsaP256 => &["sk-ecdsa-sha2-nistp256@openssh.com"],
            Self::Rsa => &["rsa-sha2-512", "rsa-sha2-256"],
            Self::Dsa => &["ssh-dss"],
        }
    }

    /// The algorithms that use a key of one of these types, best first.
    pub(super) fn algorithms_of(mut types: Vec<Self>) -> Vec<&'static str> {
        types.sort_unstable();
        types.dedup();
        types.iter().flat_map(|key_type| key_type.signature_algorithms()).copied().collect()
    }

    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|key_type| key_type.name().as_bytes() == name)
    }

    /// Parses the second column of a `known_hosts` line. Like OpenSSH, this also accepts the names
    /// of the RSA signature algorithms.
    pub(super) fn from_column(name: &[u8]) -> Option<Self> {
        match name {
            b"rsa-sha2-256" | b"rsa-sha2-512" => Some(Self::Rsa),
            _ => Self::from_name(name),
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes are not a valid public key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not of the form `type base64`.
    #[error("not of the form \"type base64\"")]
    Form,
    /// The base64 text cannot be decoded.
    #[error("invalid base64")]
    Base64,
    /// The blob is a certificate, or a key of an unsupported type.
    #[error("unsupported key type")]
    UnsupportedType,
    /// The type before the blob differs from the type inside it.
    #[error("the key's type differs from the type that the line names")]
    TypeMismatch,
    /// The blob ends early, has trailing bytes, or contains values that no such key can have.
    #[error("malformed key")]
    Damaged,
    /// The key is an RSA key of less than 1024 bits.
    #[error("RSA key of less than 1024 bits")]
    RsaTooShort,
}

/// The error for a text that is not a fingerprint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a fingerprint of the form \"SHA256:\" and 43 base64 characters")]
pub struct FingerprintError;

/// The SHA-256 digest of a key blob, displayed as in OpenSSH: `SHA256:` and unpadded base64.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a public key, as a wire blob.
    pub(crate) fn of(blob: &[u8]) -> Self {
        Self(Sha256::digest(blob).into())
    }

    /// The raw digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Parses a fingerprint as `ssh-keygen -l` prints it, for example
    /// `SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU`. Padding at the end is allowed.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let encoded = text.trim().strip_prefix("SHA256:").ok_or(FingerprintError)?;
        let encoded = encoded.strip_suffix('=').unwrap_or(encoded);
        let digest = STANDARD_NO_PAD.decode(encoded).map_err(|_| FingerprintError)?;
        digest.try_into().map(Self).map_err(|_| FingerprintError)
    }
}

/// A server's public key.
///
/// Only well-formed keys can be built: the blob is complete, is of a known type, and has no
/// trailing bytes, and its big numbers have their shortest encoding. Each key therefore has exactly
/// one blob, so that keys can be compared by their blobs. A peer cannot evade a `@revoked` line by
/// encoding the same RSA key differently.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct HostKey {
    key_type: KeyType,
    blob: Box<[u8]>,
}

impl HostKey {
    /// Parses the public key blob that a server sends (RFC 4253 §6.6).
    ///
    /// # Errors
    /// [`KeyError`] if the blob is not a well-formed key of a supported type.
    pub fn from_blob(blob: Vec<u8>) -> Result<Self, KeyError> {
        let (key_type, canonical) = canonical(&blob)?;
        let blob = match canonical {
            Cow::Borrowed(_) => blob,
            Cow::Owned(rewritten) => rewritten,
        };
        Ok(Self { key_type, blob: blob.into_boxed_slice() })
    }

    /// Parses the text of a public key file or of a `known_hosts` line without its names:
    /// `ssh-ed25519 AAAA…`, with or without a comment.
    ///
    /// # Errors
    /// [`KeyError`] if the text is not a well-formed key of a supported type.
    pub fn from_openssh(text: &str) -> Result<Self, KeyError> {
        let mut fields = text.split_ascii_whitespace();
        let (Some(column), Some(encoded)) = (fields.next(), fields.next()) else {
            return Err(KeyError::Form);
        };
        Self::from_fields(column.as_bytes(), encoded.as_bytes())
    }

    /// Parses the type column and the base64 column of a `known_hosts` line.
    pub(super) fn from_fields(column: &[u8], encoded: &[u8]) -> Result<Self, KeyError> {
        let key_type = KeyType::from_column(column).ok_or(KeyError::UnsupportedType)?;
        // If the line ends with CRLF and has no comment, the CR is part of the base64 column.
        let blob = STANDARD.decode(encoded.trim_ascii_end());
        let blob = blob.or_else(|_| STANDARD.decode(without_space(encoded))).map_err(|_| KeyError::Base64)?;
        let key = Self::from_blob(blob)?;
        if key.key_type != key_type {
            return Err(KeyError::TypeMismatch);
        }
        Ok(key)
    }

    /// The type of the key.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The name of the key's type, for example `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.key_type.name()
    }

    /// The key in wire form (RFC 4253 §6.6).
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The fingerprint as OpenSSH shows it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(&self.blob).into())
    }

    /// The text form `ssh-ed25519 AAAA…`, without a comment.
    #[must_use]
    pub fn to_openssh(&self) -> String {
        format!("{} {}", self.key_type, STANDARD.encode(&self.blob))
    }

    pub(super) fn into_blob(self) -> Box<[u8]> {
        self.blob
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({} {})", self.key_type, self.fingerprint())
    }
}

/// Removes white space, which OpenSSH ignores inside base64.
fn without_space(encoded: &[u8]) -> Vec<u8> {
    encoded.iter().copied().filter(|byte| !matches!(byte, b' ' | b'\t'..=b'\r')).collect()
}
