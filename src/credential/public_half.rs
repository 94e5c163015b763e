//! The public half of a key, as far as its file shows it without a passphrase.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::certificate::is_well_formed;
use super::private_key::KeyText;
use crate::hostkey::BlobReader;

/// Finds the public key, or the certificate, in the content of a file: of a `.pub` file, or of a
/// private key in OpenSSH's format, whose public half is never encrypted. Returns the wire blob
/// (RFC 4253 section 6.6).
pub(crate) fn public_half(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
    let blob = lines.find_map(public_line).or_else(|| KeyText::find(text).ok()?.public().map(<[u8]>::to_vec));
    blob.filter(|blob| is_well_formed(blob))
}

/// Parses a line of type, base64 and comment.
fn public_line(line: &[u8]) -> Option<Vec<u8>> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (name, base64) = (words.next()?, words.next()?);
    let blob = BASE64_STANDARD.decode(base64).ok()?;
    (BlobReader::new(&blob).string().ok()? == name).then_some(blob)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz6i5vlxJsU/kJC+T/kwhIF7aP0Ami7UASJU/u5FsD5 me@here\n";

    #[test]
    fn a_public_key_is_found_among_other_lines() {
        let blob = public_half(LINE.as_bytes()).unwrap();
        assert_eq!(blob.len(), 51);
        assert_eq!(public_half(format!("# mine\n\r\n{LINE}").as_bytes()), Some(blob));
    }

    #[test]
    fn other_texts_have_no_public_half() {
        let other_type = LINE.replace("ssh-ed25519 ", "ssh-rsa ");
        let cut = LINE.replace("FsD5", "");
        for text in ["", "# nothing", &other_type, &cut, "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n"] {
            assert_eq!(public_half(text.as_bytes()), None, "{text:?}");
        }
    }
}
