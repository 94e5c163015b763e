//! The private keys that hosts use.

use std::sync::{Arc, Weak};

use sha2::{Digest, Sha256};

use super::known::{InUse, Known};
use crate::credential::{KeyText, Opener};
use crate::error::KeyProblem;
use crate::link::PrivateKey;

/// The private keys that hosts use, by their texts. A text that is read again is not decrypted
/// again, which may take a tenth of a second.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownKeys(Known<KnownKey>);

#[derive(Debug, Clone)]
struct KnownKey {
    /// Of the text, and of how it is decrypted.
    digest: [u8; 32],
    key: Weak<PrivateKey>,
}

impl InUse for KnownKey {
    fn is_in_use(&self) -> bool {
        self.key.is_in_use()
    }
}

impl KnownKeys {
    /// The key with this text, which was found in `file`.
    pub fn open(
        &mut self,
        file: &[u8],
        text: &KeyText,
        opener: Opener<'_>,
    ) -> Result<Arc<PrivateKey>, KeyProblem> {
        let digest = digest(file, opener);
        let equal = |known: &KnownKey| known.key.upgrade().filter(|_| known.digest == digest);
        if let Some(key) = self.0.find(&digest, equal) {
            return Ok(key);
        }
        let key = Arc::new(PrivateKey::import(&text.open(opener)?)?);
        self.0.insert(&digest, KnownKey { digest, key: Arc::downgrade(&key) });
        Ok(key)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn digest(file: &[u8], opener: Opener<'_>) -> [u8; 32] {
    let Opener { passphrase, rounds_max } = opener;
    let mut digest = Sha256::new();
    digest.update(rounds_max.to_be_bytes());
    digest.update(file.len().to_be_bytes());
    digest.update(file);
    // An empty passphrase counts as none.
    digest.update(passphrase.unwrap_or_default());
    digest.finalize().into()
}
