//! The structure of public key blobs (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4, OpenSSH
//! `PROTOCOL.u2f`).

use std::borrow::Cow;

use super::key::{KeyError, KeyType};

/// The minimum size of an RSA modulus in bits, as in OpenSSH (`SSH_RSA_MINIMUM_MODULUS_SIZE`).
const RSA_BITS_MIN: usize = 1024;
/// The maximum size of a big number in bytes, as in OpenSSH (`SSHBUF_MAX_BIGNUM`).
const BIGNUM_BYTES_MAX: usize = 16_384 / 8;

/// Checks the structure of a blob. Returns its key type and its canonical encoding, which is the
/// one that OpenSSH writes.
pub(super) fn canonical(blob: &[u8]) -> Result<(KeyType, Cow<'_, [u8]>), KeyError> {
    let mut reader = BlobReader(blob);
    let name = reader.string()?;
    let key_type = KeyType::from_name(name).ok_or(KeyError::UnsupportedType)?;
    let mut rewritten = None;
    match key_type {
        KeyType::Ed25519 => reader.bytes_of(32)?,
        KeyType::SkEd25519 => {
            reader.bytes_of(32)?;
            reader.string()?;
        }
        KeyType::EcdsaP256 => reader.point(b"nistp256", 32)?,
        KeyType::EcdsaP384 => reader.point(b"nistp384", 48)?,
        KeyType::EcdsaP521 => reader.point(b"nistp521", 66)?,
        KeyType::SkEcdsaP256 => {
            reader.point(b"nistp256", 32)?;
            reader.string()?;
        }
        KeyType::Rsa => {
            let numbers = [reader.bignum()?, reader.bignum()?];
            let [_, modulus] = numbers;
            if bits(modulus) < RSA_BITS_MIN {
                return Err(KeyError::RsaTooShort);
            }
            rewritten = rewrite(name, &numbers, blob.len());
        }
        KeyType::Dsa => {
            let numbers = [reader.bignum()?, reader.bignum()?, reader.bignum()?, reader.bignum()?];
            rewritten = rewrite(name, &numbers, blob.len());
        }
    }
    if !reader.is_empty() {
        return Err(KeyError::Damaged);
    }
    Ok((key_type, rewritten.map_or(Cow::Borrowed(blob), Cow::Owned)))
}

/// The number of bits of an RSA key in its canonical encoding. `None` for keys of other types.
pub(super) fn rsa_bits(blob: &[u8]) -> Option<usize> {
    let mut reader = BlobReader(blob);
    let name = reader.string().ok()?;
    if KeyType::from_name(name) != Some(KeyType::Rsa) {
        return None;
    }
    reader.string().ok()?;
    reader.bignum().ok().map(bits)
}

/// A number without leading zero bytes.
pub(crate) fn minimal(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The number of significant bits.
pub(crate) fn bits(number: &[u8]) -> usize {
    let number = minimal(number);
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

/// What an `mpint` with this minimal, non-negative number starts with: a zero byte if the number's
/// first bit would be taken for a sign.
pub(crate) fn sign_byte(number: &[u8]) -> &'static [u8] {
    if number.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] }
}

/// Appends a `string` (RFC 4251 §5) made of these parts, which are far shorter than the 4 GiB that
/// its length field allows.
pub(crate) fn push_string(blob: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    blob.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    parts.iter().for_each(|part| blob.extend_from_slice(part));
}

/// Builds a blob from its name and its numbers, each number in its shortest encoding. Returns
/// `None` if the original blob, of `length` bytes, already has that form.
fn rewrite(name: &[u8], numbers: &[&[u8]], length: usize) -> Option<Vec<u8>> {
    let minimal = numbers.iter().map(|number| 4 + sign_byte(number).len() + number.len()).sum::<usize>();
    let minimal = minimal + 4 + name.len();
    if minimal == length {
        return None;
    }
    let mut blob = Vec::with_capacity(minimal);
    push_string(&mut blob, &[name]);
    numbers.iter().for_each(|number| push_string(&mut blob, &[sign_byte(number), number]));
    Some(blob)
}

/// Reads the fields of RFC 4251 §5 from the front of a blob.
pub(crate) struct BlobReader<'a>(&'a [u8]);

impl<'a> BlobReader<'a> {
    pub(crate) fn new(blob: &'a [u8]) -> Self {
        Self(blob)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes that have not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn byte(&mut self) -> Result<u8, KeyError> {
        let (byte, rest) = self.0.split_first().ok_or(KeyError::Damaged)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, KeyError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(KeyError::Damaged)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, KeyError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(KeyError::Damaged)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*number))
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], KeyError> {
        let length = usize::try_from(self.u32()?).map_err(|_| KeyError::Damaged)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(KeyError::Damaged)?;
        self.0 = rest;
        Ok(string)
    }

    fn bytes_of(&mut self, length: usize) -> Result<(), KeyError> {
        let string = self.string()?;
        if string.len() == length { Ok(()) } else { Err(KeyError::Damaged) }
    }

    /// Reads a curve name and an uncompressed point, the only form that OpenSSH accepts.
    fn point(&mut self, curve: &[u8], coordinate: usize) -> Result<(), KeyError> {
        if self.string()? != curve {
            return Err(KeyError::Damaged);
        }
        let point = self.string()?;
        let uncompressed = point.len() == 1 + 2 * coordinate && point.first() == Some(&4);
        if uncompressed { Ok(()) } else { Err(KeyError::Damaged) }
    }

    /// Reads a non-negative `mpint`, and returns it without its leading zero bytes.
    pub(crate) fn bignum(&mut self) -> Result<&'a [u8], KeyError> {
        let number = self.string()?;
        let negative = number.first().is_some_and(|first| first & 0x80 != 0);
        if negative || number.len() > BIGNUM_BYTES_MAX + 1 {
            return Err(KeyError::Damaged);
        }
        Ok(minimal(number))
    }
}
