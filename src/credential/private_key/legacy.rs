//! PEM's own encryption (RFC 1421, as OpenSSL writes it with `-traditional`).

use openssl::hash::MessageDigest;
use openssl::pkcs5::bytes_to_key;
use openssl::symm::{self, Cipher};
use zeroize::Zeroizing;

use super::Opener;
use super::armor::KeyText;
use crate::error::KeyProblem;

/// The length of the salt for the key derivation. The salt is the first bytes of the IV.
const SALT: usize = 8;

/// Decrypts the data as the headers say. About one in 256 wrong passphrases is not detected.
pub(super) fn decrypt(text: &KeyText, opener: Opener<'_>) -> Result<Zeroizing<Vec<u8>>, KeyProblem> {
    let KeyText { proc_type, dek_info, data, .. } = text;
    let (Some("4,ENCRYPTED"), Some(info)) = (proc_type.as_deref(), dek_info.as_deref()) else {
        return Err(KeyProblem::Damaged("its Proc-Type and DEK-Info headers contradict each other"));
    };
    let (name, iv) = info.split_once(',').unwrap_or((info, ""));
    let cipher = match name.trim() {
        "AES-128-CBC" => Cipher::aes_128_cbc(),
        "AES-192-CBC" => Cipher::aes_192_cbc(),
        "AES-256-CBC" => Cipher::aes_256_cbc(),
        "DES-EDE3-CBC" => Cipher::des_ede3_cbc(),
        other => return Err(KeyProblem::UnsupportedCipher(other.to_owned())),
    };
    let iv = from_hex(iv.trim()).filter(|iv| cipher.iv_len() == Some(iv.len()));
    let iv = iv.ok_or(KeyProblem::Damaged("its DEK-Info header has no valid initialization vector"))?;
    if data.is_empty() || !data.len().is_multiple_of(cipher.block_size()) {
        return Err(KeyProblem::Damaged("its encrypted data is not a whole number of blocks"));
    }
    let passphrase = opener.passphrase()?;
    let derived = bytes_to_key(cipher, MessageDigest::md5(), passphrase, iv.get(..SALT), 1)?;
    let key = Zeroizing::new(derived.key);
    symm::decrypt(cipher, &key, Some(&iv), data).map(Zeroizing::new).map_err(|_| KeyProblem::PassphraseWrong)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::try_from(digit(pair[0])? << 4 | digit(*pair.get(1)?)?).ok()).collect()
}
