//! Finds a private key among the lines of a file, and recognises other content.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::credential::certificate::is_public_key;
use crate::error::KeyProblem;
use crate::limits;

/// The formats that a `BEGIN` line can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `openssh-key-v1` (OpenSSH: `PROTOCOL.key`).
    OpenSsh,
    /// PKCS#8 (RFC 5958).
    Pkcs8,
    /// PKCS#8, encrypted (RFC 8018).
    Pkcs8Encrypted,
    /// PKCS#1 (RFC 8017 appendix A.1.2), possibly with PEM's own encryption.
    Rsa,
    /// SEC 1 (RFC 5915), possibly with PEM's own encryption.
    Ec,
}

/// A private key found in a file: its decoded lines, not decrypted yet.
pub(crate) struct KeyText {
    pub(super) format: Format,
    /// The header `Proc-Type` before the base64 of a PEM file. Like `DEK-Info`, it describes the
    /// encryption (RFC 1421).
    pub(super) proc_type: Option<String>,
    /// The header `DEK-Info`.
    pub(super) dek_info: Option<String>,
    pub(super) data: Zeroizing<Vec<u8>>,
}

/// What a line reveals about its file.
enum Mark {
    Begin(Format),
    Problem(fn() -> KeyProblem),
}

impl KeyText {
    /// Finds the first private key. Like OpenSSH, this accepts other lines before and after PEM, in
    /// any encoding, and the line ends of any system. If there is no key, the first line that can
    /// be recognised determines the error.
    pub(crate) fn find(bytes: &[u8]) -> Result<Self, KeyProblem> {
        if bytes.len() > limits::KEY_FILE {
            return Err(KeyProblem::TooLarge { max: limits::KEY_FILE });
        }
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(KeyProblem::Utf16);
        }
        if is_der(bytes) {
            return Err(KeyProblem::Der);
        }
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
        let mut other = None;
        while let Some(line) = lines.next() {
            match mark(line) {
                Some(Mark::Begin(format)) => return read(format, line.trim_ascii_end(), lines, text.len()),
                Some(Mark::Problem(problem)) => {
                    other.get_or_insert(problem);
                }
                None => {}
            }
        }
        Err(other.map_or(KeyProblem::Malformed, |problem| problem()))
    }
}

fn mark(line: &[u8]) -> Option<Mark> {
    if let Some(label) = label(line, b"-----BEGIN ") {
        return Some(match label {
            b"OPENSSH PRIVATE KEY" => Mark::Begin(Format::OpenSsh),
            b"PRIVATE KEY" => Mark::Begin(Format::Pkcs8),
            b"ENCRYPTED PRIVATE KEY" => Mark::Begin(Format::Pkcs8Encrypted),
            b"RSA PRIVATE KEY" => Mark::Begin(Format::Rsa),
            b"EC PRIVATE KEY" => Mark::Begin(Format::Ec),
            b"DSA PRIVATE KEY" => Mark::Problem(|| KeyProblem::Dsa),
            b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Mark::Problem(|| KeyProblem::PublicKey),
            _ => return None,
        });
    }
    if line.starts_with(b"PuTTY-User-Key-File-") {
        Some(Mark::Problem(|| KeyProblem::Putty))
    } else if line.starts_with(b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----") {
        Some(Mark::Problem(|| KeyProblem::SshCom))
    } else if line.starts_with(b"---- BEGIN SSH2 PUBLIC KEY ----") || is_public_key(line) {
        Some(Mark::Problem(|| KeyProblem::PublicKey))
    } else {
        None
    }
}

/// The `LABEL` of `-----BEGIN LABEL-----`.
fn label<'a>(line: &'a [u8], begin: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(begin)?.trim_ascii_end().strip_suffix(b"-----")
}

/// Whether this is exactly one DER sequence.
fn is_der(bytes: &[u8]) -> bool {
    let (header, length) = match bytes {
        [0x30, 0x81, length, ..] => (3, usize::from(*length)),
        [0x30, 0x82, high, low, ..] => (4, usize::from(*high) << 8 | usize::from(*low)),
        [0x30, length @ 0..=0x7f, ..] => (2, usize::from(*length)),
        _ => return false,
    };
    length > 0 && bytes.len() == header + length
}

/// Reads the lines after `BEGIN`: headers, an empty line, base64, `END`. Together they have at most
/// `longest` bytes.
fn read<'a>(
    format: Format,
    begin: &[u8],
    lines: impl Iterator<Item = &'a [u8]>,
    longest: usize,
) -> Result<KeyText, KeyProblem> {
    let wanted = label(begin, b"-----BEGIN ");
    let (mut proc_type, mut dek_info) = (None, None);
    // Reserved at full size, because growing would leave copies of the secret behind.
    let mut base64 = Zeroizing::new(Vec::with_capacity(longest));
    for line in lines {
        if let Some(end) = label(line, b"-----END ") {
            if Some(end) != wanted {
                return Err(KeyProblem::Damaged("its END line belongs to another format"));
            }
            return Ok(KeyText { format, proc_type, dek_info, data: decode(&base64)? });
        }
        if line.starts_with(b"-----BEGIN ") {
            break;
        }
        match line.iter().position(|byte| *byte == b':') {
            Some(colon) if base64.is_empty() => {
                let value = || Some(String::from_utf8_lossy(line[colon + 1..].trim_ascii()).into_owned());
                match &line[..colon] {
                    b"Proc-Type" => proc_type = value(),
                    b"DEK-Info" => dek_info = value(),
                    _ => {}
                }
            }
            _ => base64.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace())),
        }
    }
    Err(KeyProblem::Damaged("its END line is missing"))
}

fn decode(base64: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyProblem> {
    let mut data = Zeroizing::new(vec![0; base64.len() / 4 * 3 + 3]);
    let length = BASE64_STANDARD
        .decode_slice(base64, &mut data)
        .map_err(|_| KeyProblem::Damaged("its base64 cannot be decoded"))?;
    data.truncate(length);
    Ok(data)
}
