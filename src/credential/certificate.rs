//! OpenSSH user certificates (`PROTOCOL.certkeys` of OpenSSH), as far as a client must understand
//! them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::error::{AuthProblem, CertProblem};
use crate::hostkey::{BlobReader, Fingerprint, HostKey, push_string};
use crate::limits;

/// The certificate types that libssh can sign with, the types of their keys, and the number of
/// fields in such a key.
const TYPES: [(&str, &str, usize); 5] = [
    ("ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", 1),
    ("ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp256", 2),
    ("ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp384", 2),
    ("ecdsa-sha2-nistp521-cert-v01@openssh.com", "ecdsa-sha2-nistp521", 2),
    ("ssh-rsa-cert-v01@openssh.com", "ssh-rsa", 2),
];

/// The certificate types for security keys (FIDO), with which only an agent can sign.
const AGENT_TYPES: [(&str, &str, usize); 2] = [
    ("sk-ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com", 2),
    ("sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", 3),
];

const MARK: &str = "-cert-v01@openssh.com";
const USER: u32 = 1;
const HOST: u32 = 2;

/// The last second of the year 9999. Later times are reduced to it.
const TIME_MAX: u64 = 253_402_300_799;

/// A user certificate. Its content and signature are checked by the server only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The file that the certificate was read from, or `<bytes>`.
    path: PathBuf,
    blob: Vec<u8>,
    body: Body,
}

impl Certificate {
    /// Parses a `-cert.pub` file: the first usable line of type, base64 and comment. Like OpenSSH,
    /// this ignores all other lines, whatever their encoding.
    pub(crate) fn parse(path: PathBuf, text: &[u8]) -> Result<Self, CertProblem> {
        if text.len() > limits::KEY_FILE {
            return Err(CertProblem::TooLarge { max: limits::KEY_FILE });
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut problem = CertProblem::Malformed;
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            match Self::parse_line(&path, line) {
                Ok(certificate) => return Ok(certificate),
                // The first line with a specific problem says more than lines that are merely
                // malformed.
                Err(found) if matches!(problem, CertProblem::Malformed) => problem = found,
                Err(_) => {}
            }
        }
        Err(problem)
    }

    fn parse_line(path: &Path, line: &[u8]) -> Result<Self, CertProblem> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (Some(name), Some(base64)) = (words.next(), words.next()) else {
            return Err(CertProblem::Malformed);
        };
        let name = str::from_utf8(name).map_err(|_| CertProblem::Malformed)?;
        if !name.ends_with(MARK) {
            return Err(if is_public_key(line) { CertProblem::PlainKey } else { CertProblem::Malformed });
        }
        if TYPES.iter().all(|(known, ..)| *known != name) {
            return Err(CertProblem::Unsupported(name.to_owned()));
        }
        let blob = BASE64_STANDARD.decode(base64).map_err(|_| CertProblem::Malformed)?;
        let body = Body::read(&blob)?;
        match body.kind {
            USER if body.type_name == name => Ok(Self { path: path.to_owned(), blob, body }),
            HOST => Err(CertProblem::ForHosts),
            _ => Err(CertProblem::Malformed),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn type_name(&self) -> &'static str {
        self.body.type_name
    }

    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The public key that the certificate is for, as a wire blob.
    pub(crate) fn key(&self) -> &[u8] {
        &self.body.key
    }

    /// Whether the certificate is for this public key, given as a wire blob.
    pub(crate) fn is_for(&self, key: &[u8]) -> bool {
        self.body.key == key
    }

    /// Why a server may have refused the certificate to this user, as far as the client can tell.
    pub(crate) fn problem(&self, user: &str, now: SystemTime) -> Option<AuthProblem> {
        let Body { principals, valid_after, valid_before, .. } = &self.body;
        let path = || self.path.clone();
        if now < *valid_after {
            return Some(AuthProblem::CertificateNotYetValid { path: path(), from: *valid_after });
        }
        if let Some(until) = valid_before.filter(|until| *until <= now) {
            return Some(AuthProblem::CertificateExpired { path: path(), until });
        }
        let others = || AuthProblem::CertificateOfOthers { path: path(), principals: principals.clone() };
        (!principals.iter().any(|principal| principal == user)).then(others)
    }
}

/// Whether these bytes may be passed to libssh as a key listed by an agent: a public key or a
/// certificate, of a known type, complete, and in canonical form.
pub(crate) fn is_well_formed(blob: &[u8]) -> bool {
    is_canonical(blob) || Body::read(blob).is_ok()
}

/// The fingerprint of a public key, or of the key in a certificate, as `ssh-keygen -l` prints it.
pub(crate) fn fingerprint(blob: &[u8]) -> Fingerprint {
    match Body::read(blob) {
        Ok(certificate) => Fingerprint::of(&certificate.key),
        Err(_) => Fingerprint::of(blob),
    }
}

fn is_canonical(key: &[u8]) -> bool {
    HostKey::from_blob(key.to_vec()).is_ok_and(|known| known.blob() == key)
}

/// Whether this is the line of a `.pub` file: the key's type, then the base64 of a blob that starts
/// with a length.
pub(super) fn is_public_key(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (Some(name), Some(base64)) = (words.next(), words.next()) else {
        return false;
    };
    let is_type = [&b"ssh-"[..], b"ecdsa-", b"sk-"].iter().any(|start| name.starts_with(start));
    is_type && base64.starts_with(b"AAAA")
}

/// The content of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Body {
    type_name: &'static str,
    /// The certified public key, as a wire blob (RFC 4253 section 6.6).
    key: Vec<u8>,
    /// [`USER`] or [`HOST`].
    kind: u32,
    principals: Vec<String>,
    valid_after: SystemTime,
    /// `None` if the certificate never expires.
    valid_before: Option<SystemTime>,
}

impl Body {
    fn read(blob: &[u8]) -> Result<Self, CertProblem> {
        let mut reader = BlobReader::new(blob);
        let name = reader.string()?;
        let known = TYPES.into_iter().chain(AGENT_TYPES).find(|(known, ..)| known.as_bytes() == name);
        let (type_name, key_name, fields) = known.ok_or(CertProblem::Malformed)?;
        reader.string()?; // the nonce
        let mut key = Vec::new();
        push_string(&mut key, &[key_name.as_bytes()]);
        for _ in 0..fields {
            push_string(&mut key, &[reader.string()?]);
        }
        // libssh parses the key as well. It could read a form that is not canonical as another key.
        if !is_canonical(&key) {
            return Err(CertProblem::Malformed);
        }
        reader.u64()?; // the serial number
        let kind = reader.u32()?;
        reader.string()?; // the key ID
        let principals = strings(reader.string()?)?;
        let valid_after = time(reader.u64()?);
        let valid_before = Some(reader.u64()?).filter(|seconds| *seconds != u64::MAX).map(time);
        for _ in ["critical options", "extensions", "reserved"] {
            reader.string()?;
        }
        let authority = reader.string()?;
        reader.string()?; // the authority's signature
        if !reader.is_empty() || HostKey::from_blob(authority.to_vec()).is_err() {
            return Err(CertProblem::Malformed);
        }
        Ok(Self { type_name, key, kind, principals, valid_after, valid_before })
    }
}

fn strings(packed: &[u8]) -> Result<Vec<String>, CertProblem> {
    let mut reader = BlobReader::new(packed);
    let mut strings = Vec::new();
    while !reader.is_empty() {
        strings.push(String::from_utf8_lossy(reader.string()?).into_owned());
    }
    Ok(strings)
}

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(TIME_MAX))
}

#[cfg(test)]
mod tests;
