//! The target that reads private key files.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::assert_clean;
use crate::credential::{KeyText, Opener, PlainKey};

/// Few, so that an input takes milliseconds.
const ROUNDS_MAX: u32 = 2;

/// Any bytes as a private key file, opened with the passphrase `x`; and as the content of an
/// armored file of each format, because a fuzzer rarely finds valid base64.
///
/// The oracles: a key that opens is written in a form that reads the same; it does not depend on
/// the text around it; an encrypted key does not open without the passphrase; errors are safe for a
/// terminal.
pub fn key_file(data: &[u8]) {
    check(data);
    let Some((&format, data)) = data.split_first() else { return };
    let labels =
        ["OPENSSH PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
    if let Some(label) = labels.get(usize::from(format)) {
        check(&armored(label, data));
    }
}

fn check(bytes: &[u8]) {
    let key = match open(bytes, Some(b"x")) {
        Ok(key) => key,
        Err(text) => return assert_clean(&text),
    };
    let again = key.reopened().unwrap_or_else(|problem| panic!("the plain form: {problem}"));
    assert_eq!((again.blob(), again.as_c_str()), (key.blob(), key.as_c_str()));
    let surrounded = [b"# caf\xe9\r\n", bytes, b"\n# the end"].concat();
    if let Ok(same) = open(&surrounded, Some(b"x")) {
        assert_eq!(same.blob(), key.blob());
    }
    if let Err(text) = open(bytes, None) {
        assert_eq!(text, "is encrypted and no passphrase was given");
    }
}

fn open(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<PlainKey, String> {
    let opener = Opener { passphrase, rounds_max: ROUNDS_MAX };
    KeyText::find(bytes).and_then(|text| text.open(opener)).map_err(|problem| problem.to_string())
}

fn armored(label: &str, data: &[u8]) -> Vec<u8> {
    let base64 = BASE64_STANDARD.encode(data);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n").into_bytes()
}
