//! Key revocation lists in the binary format of `ssh-keygen -k` (OpenSSH `PROTOCOL.krl`).

use super::blob::BlobReader;
use super::key::{HostKey, KeyError};
use super::revoked::Digests;

/// The first bytes of every KRL.
pub(super) const MAGIC: &[u8] = b"SSHKRL\n\0";

const FORMAT_VERSION: u32 = 1;

/// The types of sections.
const CERTIFICATES: u8 = 1;
const EXPLICIT_KEYS: u8 = 2;
const SHA1_FINGERPRINTS: u8 = 3;
const SIGNATURE: u8 = 4;
const SHA256_FINGERPRINTS: u8 = 5;
const EXTENSION: u8 = 255;

/// Why a KRL cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum KrlFault {
    #[error("a field ends too early")]
    Truncated,
    #[error("a fingerprint has a wrong length")]
    Fingerprint,
    #[error("its format version is {0}, not 1")]
    Version(u32),
    #[error("a section of the unknown type {0}")]
    Section(u8),
    #[error("a critical extension, which is not supported")]
    Extension,
    #[error("a section after the signature")]
    AfterSignature,
}

impl From<KeyError> for KrlFault {
    fn from(_: KeyError) -> Self {
        Self::Truncated
    }
}

/// Reads what follows the [`MAGIC`].
///
/// Sections about certificates are skipped, because hosts cannot send any. Signatures are skipped
/// too, as by OpenSSH since 9.4: the file is trusted because the caller named it.
pub(super) fn parse(krl: &[u8]) -> Result<Digests, KrlFault> {
    let mut reader = BlobReader::new(krl);
    match reader.u32()? {
        FORMAT_VERSION => {}
        version => return Err(KrlFault::Version(version)),
    }
    // The version of the list, the date, and flags, of which none is defined.
    for _ in 0..3 {
        reader.u64()?;
    }
    let (_reserved, _comment) = (reader.string()?, reader.string()?);
    let mut digests = Digests::default();
    let mut is_signed = false;
    while !reader.is_empty() {
        let section = reader.byte()?;
        if is_signed && section != SIGNATURE {
            return Err(KrlFault::AfterSignature);
        }
        let content = reader.string()?;
        match section {
            CERTIFICATES => {}
            EXPLICIT_KEYS => {
                each_string(content, |blob| {
                    // A blob that is not a valid key is not the key of any host.
                    HostKey::from_blob(blob.to_vec()).iter().for_each(|key| digests.add(key));
                    Ok(())
                })?;
            }
            SHA1_FINGERPRINTS => fingerprints(content, &mut digests.sha1)?,
            SHA256_FINGERPRINTS => fingerprints(content, &mut digests.sha256)?,
            SIGNATURE => {
                is_signed = true;
                // The section has the key, and the signature follows.
                reader.string()?;
            }
            EXTENSION => check_extension(content)?,
            other => return Err(KrlFault::Section(other)),
        }
    }
    Ok(digests)
}

fn fingerprints<const N: usize>(content: &[u8], digests: &mut Vec<[u8; N]>) -> Result<(), KrlFault> {
    each_string(content, |digest| {
        digests.push(digest.try_into().map_err(|_| KrlFault::Fingerprint)?);
        Ok(())
    })
}

fn each_string(content: &[u8], mut take: impl FnMut(&[u8]) -> Result<(), KrlFault>) -> Result<(), KrlFault> {
    let mut reader = BlobReader::new(content);
    while !reader.is_empty() {
        take(reader.string()?)?;
    }
    Ok(())
}

/// Rejects an extension that must be understood (OpenSSH 9.4 and later).
fn check_extension(content: &[u8]) -> Result<(), KrlFault> {
    let mut reader = BlobReader::new(content);
    let (_name, is_critical, _value) = (reader.string()?, reader.byte()? != 0, reader.string()?);
    if is_critical { Err(KrlFault::Extension) } else { Ok(()) }
}
