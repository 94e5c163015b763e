//! Users' keys that are ready to sign.
//!
//! libssh keeps the private half of an Ed25519 key as bytes and imports it for each signature. To
//! sign, the public half is needed too, which takes as long to compute as the signature. So it is
//! computed once for each [`PrivateKey`](crate::link::PrivateKey), and kept for as long as that
//! lives.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use aws_lc_rs::signature::Ed25519KeyPair;
use sha2::{Digest, Sha256};

use super::keys::LENGTH;

/// Identifies a private key without showing it.
type Fingerprint = [u8; 32];

static READY: LazyLock<Mutex<HashMap<Fingerprint, Weak<Ed25519KeyPair>>>> = LazyLock::new(Mutex::default);

fn ready() -> MutexGuard<'static, HashMap<Fingerprint, Weak<Ed25519KeyPair>>> {
    READY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a key ready to sign. The key is overwritten when the last value for it is dropped.
pub(crate) struct ReadyKey {
    fingerprint: Fingerprint,
    signer: Option<Arc<Ed25519KeyPair>>,
}

impl ReadyKey {
    pub(crate) fn new(private: &[u8; LENGTH]) -> Self {
        let fingerprint = fingerprint(private);
        let signer = signer_for(fingerprint, private);
        if let Some(signer) = &signer {
            ready().insert(fingerprint, Arc::downgrade(signer));
        }
        Self { fingerprint, signer }
    }
}

impl Drop for ReadyKey {
    fn drop(&mut self) {
        // Under the lock, so that no other value for the same key comes in between.
        let mut ready = ready();
        self.signer = None;
        if ready.get(&self.fingerprint).is_some_and(|signer| signer.strong_count() == 0) {
            ready.remove(&self.fingerprint);
        }
    }
}

fn fingerprint(private: &[u8; LENGTH]) -> Fingerprint {
    Sha256::digest(private).into()
}

/// The signer for a private key: one that is ready, or a new one.
pub(super) fn signer(private: &[u8; LENGTH]) -> Option<Arc<Ed25519KeyPair>> {
    signer_for(fingerprint(private), private)
}

fn signer_for(fingerprint: Fingerprint, private: &[u8; LENGTH]) -> Option<Arc<Ed25519KeyPair>> {
    let found = ready().get(&fingerprint).and_then(Weak::upgrade);
    found.or_else(|| Ed25519KeyPair::from_seed_unchecked(private).ok().map(Arc::new))
}

#[cfg(test)]
pub(super) fn is_ready(private: &[u8; LENGTH]) -> bool {
    ready().contains_key(&fingerprint(private))
}
