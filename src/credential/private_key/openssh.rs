//! OpenSSH's own format (`PROTOCOL.key`).

use bcrypt_pbkdf::bcrypt_pbkdf;
use ssh_cipher::{Cipher, Error as CipherError, Tag};
use zeroize::Zeroizing;

use super::parts::{Curve, ECDSA, Parts, RsaParts};
use super::{Opener, PlainKey};
use crate::error::KeyProblem;
use crate::hostkey::{BlobReader, KeyError};

pub(super) const MAGIC: &[u8] = b"openssh-key-v1\0";

/// All ciphers of `ssh-keygen -Z`.
const CIPHERS: [Cipher; 11] = [
    Cipher::None,
    Cipher::TdesCbc,
    Cipher::Aes128Cbc,
    Cipher::Aes192Cbc,
    Cipher::Aes256Cbc,
    Cipher::Aes128Ctr,
    Cipher::Aes192Ctr,
    Cipher::Aes256Ctr,
    Cipher::Aes128Gcm,
    Cipher::Aes256Gcm,
    Cipher::ChaCha20Poly1305,
];

/// Reads the container, decrypts its private part, and checks it.
pub(super) fn open(blob: &[u8], opener: Opener<'_>) -> Result<PlainKey, KeyProblem> {
    let container = Container::read(blob)?;
    check_type(container.key_type()?)?;
    let opened = container.unseal(opener)?;
    let mut reader = BlobReader::new(&opened);
    let checks = (reader.u32()?, reader.u32()?);
    if checks.0 != checks.1 {
        return Err(match container.cipher {
            Cipher::None => KeyProblem::Damaged("its check bytes differ"),
            _ => KeyProblem::PassphraseWrong,
        });
    }
    let parts = read_parts(&mut reader)?;
    reader.string()?; // the comment
    let padding = reader.rest();
    if padding.len() > 255 || !padding.iter().zip(1..).all(|(byte, count)| *byte == count) {
        return Err(KeyProblem::Damaged("its padding is wrong"));
    }
    let key = PlainKey::new(&parts)?;
    if key.blob() != container.public {
        return Err(KeyProblem::Damaged("its two public keys differ"));
    }
    Ok(key)
}

/// The public half, which is not encrypted.
pub(super) fn public(blob: &[u8]) -> Option<&[u8]> {
    Container::read(blob).ok().map(|container| container.public)
}

impl From<KeyError> for KeyProblem {
    fn from(_: KeyError) -> Self {
        Self::Damaged("it ends early")
    }
}

/// The fields of the container, of which only `sealed` may be encrypted.
struct Container<'a> {
    cipher: Cipher,
    kdf: &'a [u8],
    kdf_options: &'a [u8],
    /// The public key, as a wire blob.
    public: &'a [u8],
    sealed: &'a [u8],
    tag: Option<Tag>,
}

impl<'a> Container<'a> {
    fn read(blob: &'a [u8]) -> Result<Self, KeyProblem> {
        let fields = blob.strip_prefix(MAGIC).ok_or(KeyProblem::Damaged("it is not an OpenSSH container"))?;
        let mut reader = BlobReader::new(fields);
        let name = reader.string()?;
        let unsupported = || KeyProblem::UnsupportedCipher(String::from_utf8_lossy(name).into_owned());
        let cipher = CIPHERS.into_iter().find(|cipher| cipher.as_str().as_bytes() == name);
        let cipher = cipher.ok_or_else(unsupported)?;
        let (kdf, kdf_options) = (reader.string()?, reader.string()?);
        if reader.u32()? != 1 {
            return Err(KeyProblem::Damaged("it does not hold exactly one key"));
        }
        let (public, sealed) = (reader.string()?, reader.string()?);
        if sealed.is_empty() || !sealed.len().is_multiple_of(cipher.block_size()) {
            return Err(KeyProblem::Damaged("its private part is not a whole number of blocks"));
        }
        let tag = match (cipher.has_tag(), reader.rest()) {
            (false, []) => None,
            (true, rest) => Some(
                Tag::try_from(rest)
                    .map_err(|_| KeyProblem::Damaged("its authentication tag has a wrong length"))?,
            ),
            (false, _) => return Err(KeyProblem::Damaged("it has trailing bytes")),
        };
        Ok(Self { cipher, kdf, kdf_options, public, sealed, tag })
    }

    fn key_type(&self) -> Result<&'a [u8], KeyProblem> {
        Ok(BlobReader::new(self.public).string()?)
    }

    /// Decrypts the private part.
    fn unseal(&self, opener: Opener<'_>) -> Result<Zeroizing<Vec<u8>>, KeyProblem> {
        let mut buffer = Zeroizing::new(self.sealed.to_vec());
        let Some((key_size, iv_size)) = self.cipher.key_and_iv_size() else {
            return match (self.kdf, self.kdf_options) {
                (b"none", []) => Ok(buffer),
                _ => Err(KeyProblem::Damaged("it names a key derivation but is not encrypted")),
            };
        };
        let (salt, rounds) = self.bcrypt()?;
        if rounds > opener.rounds_max {
            let max = opener.rounds_max;
            return Err(KeyProblem::TooManyRounds { kdf: "bcrypt", found: rounds, max });
        }
        let passphrase = opener.passphrase()?;
        let mut derived = Zeroizing::new(vec![0; key_size + iv_size]);
        bcrypt_pbkdf(passphrase, salt, rounds, &mut derived)
            .map_err(|_| KeyProblem::Damaged("its bcrypt parameters are invalid"))?;
        let (key, iv) = derived.split_at_mut(key_size);
        if self.cipher == Cipher::ChaCha20Poly1305 {
            iv.fill(0); // OpenSSH derives no IV for this cipher, as each key is used once.
        }
        self.cipher.decrypt(key, iv, &mut buffer, self.tag).map_err(|error| match error {
            CipherError::Crypto => KeyProblem::PassphraseWrong,
            _ => KeyProblem::UnsupportedCipher(self.cipher.to_string()),
        })?;
        Ok(buffer)
    }

    /// The salt and the number of rounds of the key derivation.
    fn bcrypt(&self) -> Result<(&'a [u8], u32), KeyProblem> {
        if self.kdf != b"bcrypt" {
            let name = String::from_utf8_lossy(self.kdf);
            return Err(KeyProblem::UnsupportedCipher(format!("key derivation {name}")));
        }
        let mut reader = BlobReader::new(self.kdf_options);
        let (salt, rounds) = (reader.string()?, reader.u32()?);
        if !reader.is_empty() || salt.is_empty() || rounds == 0 {
            return Err(KeyProblem::Damaged("its bcrypt parameters are invalid"));
        }
        Ok((salt, rounds))
    }
}

/// Rejects unsupported types before a passphrase is needed.
fn check_type(name: &[u8]) -> Result<(), KeyProblem> {
    match name {
        b"ssh-ed25519" | b"ssh-rsa" => Ok(()),
        b"ssh-dss" => Err(KeyProblem::Dsa),
        _ if name.starts_with(b"sk-") => Err(KeyProblem::SecurityKey),
        _ if curve_of(name).is_some() => Ok(()),
        _ => Err(KeyProblem::UnsupportedType(String::from_utf8_lossy(name).into_owned())),
    }
}

fn curve_of(name: &[u8]) -> Option<Curve> {
    let name = name.strip_prefix(ECDSA)?;
    Curve::ALL.into_iter().find(|curve| curve.name.as_bytes() == name)
}

fn read_parts<'a>(reader: &mut BlobReader<'a>) -> Result<Parts<'a>, KeyProblem> {
    let name = reader.string()?;
    check_type(name)?;
    if let Some(curve) = curve_of(name) {
        if reader.string()? != curve.name.as_bytes() {
            return Err(KeyProblem::Damaged("it names two different curves"));
        }
        let point = reader.string()?;
        return Ok(Parts::Ecdsa { curve, point: Some(point), scalar: reader.bignum()? });
    }
    if name == b"ssh-rsa" {
        let mut number = || reader.bignum();
        let (n, e, d, q_inv, p, q) = (number()?, number()?, number()?, number()?, number()?, number()?);
        return Ok(Parts::Rsa(RsaParts { n, e, d, p, q, q_inv }));
    }
    let wrong = KeyProblem::Damaged("its Ed25519 key is of a wrong length");
    let public = reader.string()?;
    // The seed, and the public key again.
    let both: Option<&[u8; 64]> = reader.string()?.try_into().ok();
    let Some((seed, second)) = both.and_then(|both| both.split_first_chunk::<32>()) else {
        return Err(wrong);
    };
    if public != second {
        return Err(KeyProblem::Damaged("its two public keys differ"));
    }
    Ok(Parts::Ed25519 { seed, public: Some(public.try_into().map_err(|_| wrong)?) })
}
