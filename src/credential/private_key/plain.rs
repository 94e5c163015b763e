//! The one format in which libssh receives keys: an unencrypted OpenSSH container.

use std::ffi::CStr;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::check;
use super::openssh::MAGIC;
use super::parts::{ECDSA, Parts, RsaParts};
use crate::error::KeyProblem;
use crate::hostkey::{minimal, push_string, sign_byte};
use crate::limits;

const BEGIN: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----\n";
const END: &[u8] = b"\n-----END OPENSSH PRIVATE KEY-----\n\0";

/// Block size of an unencrypted container.
const BLOCK: usize = 8;

/// Upper bound, in bytes, for all names, lengths, public halves of a fixed size and padding of a
/// container together.
const FRAMING: usize = 512;

/// A key of a supported type whose parts belong together, as text for libssh. The text is
/// overwritten when dropped.
pub(crate) struct PlainKey {
    /// The public half as a wire blob (RFC 4253 section 6.6).
    blob: Vec<u8>,
    /// The whole key as text. It ends with its only NUL byte.
    text: Zeroizing<Vec<u8>>,
    /// The private half of an Ed25519 key.
    ed25519: Option<Zeroizing<[u8; 32]>>,
}

impl PlainKey {
    /// Checks the parts and writes them as text. This is the only constructor.
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, KeyProblem> {
        let mut public = Blob::default();
        let mut private = Blob::secret(parts.bytes());
        private.0.extend_from_slice(&[0; 8]); // the check bytes, twice the same
        match parts {
            Parts::Ed25519 { seed, public: given } => {
                let key = check::ed25519_public(seed, *given)?;
                public.string(b"ssh-ed25519").string(&key);
                private.0.extend_from_slice(&public.0);
                private.parts(&[*seed, &key]);
            }
            Parts::Ecdsa { curve, scalar, point } => {
                let point = check::ecdsa_public(*curve, scalar, *point)?;
                let name = curve.name.as_bytes();
                public.parts(&[ECDSA, name]).string(name).string(&point);
                private.0.extend_from_slice(&public.0);
                private.number(scalar);
            }
            Parts::Rsa(parts) => {
                check::rsa(*parts)?;
                let RsaParts { n, e, d, p, q, q_inv } = *parts;
                public.string(b"ssh-rsa").number(e).number(n);
                // In this format, the modulus comes first.
                private.string(b"ssh-rsa").number(n).number(e);
                private.number(d).number(q_inv).number(p).number(q);
            }
        }
        private.string(b""); // the comment
        let padding = private.0.len().next_multiple_of(BLOCK) - private.0.len();
        private.0.extend((1u8..).take(padding));

        let mut container = Blob::secret(public.0.len() + private.0.len());
        container.0.extend_from_slice(MAGIC);
        container.string(b"none").string(b"none").string(b"");
        container.0.extend_from_slice(&1u32.to_be_bytes());
        container.string(&public.0).string(&private.0);
        debug_assert!(private.0.len() <= parts.bytes() + FRAMING, "a secret was copied");
        let ed25519 = match parts {
            Parts::Ed25519 { seed, .. } => Some(Zeroizing::new(**seed)),
            _ => None,
        };
        Ok(Self { text: armored(&container.0)?, blob: public.0.to_vec(), ed25519 })
    }

    /// The public half as a wire blob (RFC 4253 section 6.6).
    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The private half, if this is an Ed25519 key.
    pub(crate) fn ed25519(&self) -> Option<&[u8; 32]> {
        self.ed25519.as_deref()
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.text).unwrap_or_default()
    }
}

/// Does not show the key.
impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainKey(..)")
    }
}

fn armored(container: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyProblem> {
    let too_large = || KeyProblem::TooLarge { max: limits::KEY_FILE };
    let base64 = base64::encoded_len(container.len(), true).ok_or_else(too_large)?;
    let mut text = Zeroizing::new(vec![0; BEGIN.len() + base64 + END.len()]);
    let (begin, rest) = text.split_at_mut(BEGIN.len());
    let (middle, end) = rest.split_at_mut(base64);
    begin.copy_from_slice(BEGIN);
    BASE64_STANDARD.encode_slice(container, middle).map_err(|_| too_large())?;
    end.copy_from_slice(END);
    Ok(text)
}

/// Writes fields of the data types in RFC 4251 section 5.
#[derive(Default)]
struct Blob(Zeroizing<Vec<u8>>);

impl Blob {
    /// Reserves enough space for `bytes` bytes in a few fields, because growing would leave copies
    /// of the secret behind.
    fn secret(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes + FRAMING)))
    }

    fn string(&mut self, field: &[u8]) -> &mut Self {
        self.parts(&[field])
    }

    /// Writes a string made of several parts.
    fn parts(&mut self, parts: &[&[u8]]) -> &mut Self {
        push_string(&mut self.0, parts);
        self
    }

    /// Writes a non-negative number in its shortest form.
    fn number(&mut self, number: &[u8]) -> &mut Self {
        let number = minimal(number);
        self.parts(&[sign_byte(number), number])
    }
}
