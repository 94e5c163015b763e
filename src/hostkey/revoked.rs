//! Files of revoked host keys (OpenSSH: `RevokedHostKeys`).

use std::io;
use std::path::Path;
use std::sync::Arc;

use memchr::memchr;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::key::{HostKey, KeyError};
use super::krl;
use super::line::split_field;
use super::stamp::Stamp;

/// The keys in a file of revoked keys. Each is stored as a digest, so they take less memory than
/// the file.
#[derive(Debug)]
pub(crate) struct RevokedKeys {
    pub(super) path: Arc<Path>,
    /// `None` if the keys come from no file.
    pub(super) stamp: Option<Stamp>,
    pub(super) digests: Digests,
}

/// Sorted digests of key blobs.
#[derive(Debug, Default)]
pub(super) struct Digests {
    pub(super) sha1: Vec<[u8; 20]>,
    pub(super) sha256: Vec<[u8; 32]>,
}

impl Digests {
    pub(super) fn add(&mut self, key: &HostKey) {
        self.sha256.push(Sha256::digest(key.blob()).into());
    }

    fn sorted(mut self) -> Self {
        self.sha1.sort_unstable();
        self.sha1.dedup();
        self.sha256.sort_unstable();
        self.sha256.dedup();
        self
    }
}

impl RevokedKeys {
    /// Reads the content of a file: a KRL (OpenSSH `PROTOCOL.krl`), or else text with a public key
    /// per line.
    ///
    /// Unlike in `known_hosts` files, no damaged line is skipped, because the key that it revokes
    /// would then be accepted.
    pub(crate) fn parse(content: &[u8], path: &Path) -> io::Result<Self> {
        let damaged = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let digests = match content.strip_prefix(krl::MAGIC) {
            Some(rest) => krl::parse(rest).map_err(|fault| damaged(format!("damaged KRL: {fault}")))?,
            None => parse_lines(content).map_err(|(line, fault)| damaged(format!("line {line}: {fault}")))?,
        };
        Ok(Self { path: path.into(), stamp: None, digests: digests.sorted() })
    }

    pub(crate) fn contains(&self, key: &HostKey) -> bool {
        let Digests { sha1, sha256 } = &self.digests;
        sha256.binary_search(&Sha256::digest(key.blob()).into()).is_ok()
            || !sha1.is_empty() && sha1.binary_search(&Sha1::digest(key.blob()).into()).is_ok()
    }
}

/// Reads the lines as OpenSSH does (`sshkey_in_file`). The error has the number of the line.
fn parse_lines(text: &[u8]) -> Result<Digests, (usize, KeyError)> {
    let mut digests = Digests::default();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        // OpenSSH uses C strings.
        let line = line.get(..memchr(0, line).unwrap_or(line.len())).unwrap_or_default();
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let (column, rest) = split_field(line);
        let (encoded, _comment) = split_field(rest);
        if encoded.is_empty() {
            return Err((index + 1, KeyError::Form));
        }
        match HostKey::from_fields(column, encoded) {
            Ok(key) => digests.add(&key),
            // No host can use these: a short key is refused anyway, and hosts cannot send
            // certificates.
            Err(KeyError::RsaTooShort) => {}
            Err(KeyError::UnsupportedType) if column.ends_with(b"-cert-v01@openssh.com") => {}
            Err(fault) => return Err((index + 1, fault)),
        }
    }
    Ok(digests)
}
