//! OpenSSH user certificates (`PROTOCOL.certkeys` of OpenSSH), as far as a client must understand
//! them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::error::{AuthProblem, CertProblem};
use crate::hostkey::{BlobReader, HostKey};
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
    type_name: &'static str,
    blob: Vec<u8>,
    /// The certified public key, as a wire blob (RFC 4253 section 6.6).
    key: Vec<u8>,
    principals: Vec<String>,
    valid_after: SystemTime,
    /// `None` if the certificate never expires.
    valid_before: Option<SystemTime>,
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
            let is_type = ["ssh-", "ecdsa-", "sk-"].iter().any(|start| name.starts_with(start));
            let is_key = is_type && base64.starts_with(b"AAAA");
            return Err(if is_key { CertProblem::PlainKey } else { CertProblem::Malformed });
        }
        if TYPES.iter().all(|(known, ..)| *known != name) {
            return Err(CertProblem::Unsupported(name.to_owned()));
        }
        let blob = BASE64_STANDARD.decode(base64).map_err(|_| CertProblem::Malformed)?;
        let Body { type_name, key, kind, principals, valid } = Body::read(&blob)?;
        match kind {
            USER if type_name == name => {}
            HOST => return Err(CertProblem::ForHosts),
            _ => return Err(CertProblem::Malformed),
        }
        Ok(Self {
            path: path.to_owned(),
            type_name,
            key,
            principals,
            valid_after: time(valid.0),
            valid_before: (valid.1 != u64::MAX).then(|| time(valid.1)),
            blob,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn type_name(&self) -> &'static str {
        self.type_name
    }

    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Whether the certificate is for this public key, given as a wire blob.
    pub(crate) fn is_for(&self, key: &[u8]) -> bool {
        self.key == key
    }

    /// Why a server may have refused the certificate to this user, as far as the client can tell.
    pub(crate) fn problem(&self, user: &str, now: SystemTime) -> Option<AuthProblem> {
        let path = || self.path.clone();
        if now < self.valid_after {
            return Some(AuthProblem::CertificateNotYetValid { path: path(), from: self.valid_after });
        }
        if let Some(until) = self.valid_before.filter(|until| *until <= now) {
            return Some(AuthProblem::CertificateExpired { path: path(), until });
        }
        let names_user = self.principals.iter().any(|principal| principal == user);
        let principals = || self.principals.clone();
        (!names_user).then(|| AuthProblem::CertificateOfOthers { path: path(), principals: principals() })
    }
}

/// Whether these bytes may be passed to libssh as a key listed by an agent: a public key or a
/// certificate, of a known type, complete, and in canonical form.
pub(crate) fn is_well_formed(blob: &[u8]) -> bool {
    is_canonical(blob) || Body::read(blob).is_ok()
}

fn is_canonical(key: &[u8]) -> bool {
    HostKey::from_blob(key.to_vec()).is_ok_and(|known| known.blob() == key)
}

/// The content of a certificate.
struct Body {
    type_name: &'static str,
    key: Vec<u8>,
    /// [`USER`] or [`HOST`].
    kind: u32,
    principals: Vec<String>,
    /// Start and end of validity, in seconds since 1970.
    valid: (u64, u64),
}

impl Body {
    fn read(blob: &[u8]) -> Result<Self, CertProblem> {
        let mut reader = BlobReader::new(blob);
        let name = reader.string()?;
        let known = TYPES.into_iter().chain(AGENT_TYPES).find(|(known, ..)| known.as_bytes() == name);
        let (type_name, key_name, fields) = known.ok_or(CertProblem::Malformed)?;
        reader.string()?; // the nonce
        let mut key = Vec::new();
        push(&mut key, key_name.as_bytes());
        for _ in 0..fields {
            push(&mut key, reader.string()?);
        }
        // libssh parses the key as well. It could read a form that is not canonical as another key.
        if !is_canonical(&key) {
            return Err(CertProblem::Malformed);
        }
        reader.u64()?; // the serial number
        let kind = reader.u32()?;
        reader.string()?; // the key ID
        let principals = strings(reader.string()?)?;
        let valid = (reader.u64()?, reader.u64()?);
        for _ in ["critical options", "extensions", "reserved"] {
            reader.string()?;
        }
        let authority = reader.string()?;
        reader.string()?; // the authority's signature
        if !reader.is_empty() || HostKey::from_blob(authority.to_vec()).is_err() {
            return Err(CertProblem::Malformed);
        }
        Ok(Self { type_name, key, kind, principals, valid })
    }
}

fn push(blob: &mut Vec<u8>, field: &[u8]) {
    // The length fits, because the field was read from a blob, which stores the length in 32 bits.
    blob.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    blob.extend_from_slice(field);
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
