//! Keys of X25519 (RFC 7748) and Ed25519 (RFC 8032), and what is computed with them.
//!
//! Nothing is computed before it is asked for. libssh imports private keys several times per login
//! and seldom needs their public halves.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::agreement::{self, X25519};
use aws_lc_rs::signature::{self, ED25519, Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::ready;

/// The length of a private or public key in bytes, and of a shared secret.
pub(super) const LENGTH: usize = 32;

/// The length of a signature in bytes.
pub(super) const SIGNATURE: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    X25519,
    Ed25519,
}

/// A key, or the public half of one. The private half is overwritten when dropped.
#[derive(Clone)]
pub(super) struct Key {
    curve: Curve,
    private: Option<Zeroizing<[u8; LENGTH]>>,
    public: OnceLock<[u8; LENGTH]>,
}

impl Key {
    pub(super) fn empty(curve: Curve) -> Self {
        Self { curve, private: None, public: OnceLock::new() }
    }

    /// Generates a key from the kernel's random numbers. `None` if the kernel has none.
    pub(super) fn generate(curve: Curve) -> Option<Self> {
        let mut private = Zeroizing::new([0; LENGTH]);
        getrandom::fill(&mut private[..]).ok()?;
        Some(Self { private: Some(private), ..Self::empty(curve) })
    }

    /// A key with these halves. `None` if there is none, or one has another length.
    pub(super) fn import(curve: Curve, private: Option<&[u8]>, public: Option<&[u8]>) -> Option<Self> {
        let mut key = Self::empty(curve);
        if let Some(private) = private {
            key.private = Some(Zeroizing::new(private.try_into().ok()?));
        }
        if let Some(public) = public {
            key.public = OnceLock::from(<[u8; LENGTH]>::try_from(public).ok()?);
        }
        (private.is_some() || public.is_some()).then_some(key)
    }

    pub(super) fn without_private(&self) -> Self {
        Self {
            curve: self.curve,
            private: None,
            public: self.public().copied().map(OnceLock::from).unwrap_or_default(),
        }
    }

    pub(super) fn curve(&self) -> Curve {
        self.curve
    }

    pub(super) fn private(&self) -> Option<&[u8; LENGTH]> {
        self.private.as_deref()
    }

    /// The public half, which is computed if it was not imported. `None` if the key is empty.
    pub(super) fn public(&self) -> Option<&[u8; LENGTH]> {
        if let Some(public) = self.public.get() {
            return Some(public);
        }
        let public = self.computed_public()?;
        Some(self.public.get_or_init(|| public))
    }

    /// Whether there is a public half, computed or not.
    pub(super) fn has_public(&self) -> bool {
        self.private.is_some() || self.public.get().is_some()
    }

    /// Whether the halves belong together. That is so if one is missing.
    pub(super) fn is_consistent(&self) -> bool {
        self.private.is_none() || self.computed_public().as_ref() == self.public()
    }

    fn computed_public(&self) -> Option<[u8; LENGTH]> {
        match self.curve {
            Curve::X25519 => self.exchange_key()?.compute_public_key().ok()?.as_ref().try_into().ok(),
            Curve::Ed25519 => self.signer()?.public_key().as_ref().try_into().ok(),
        }
    }

    fn exchange_key(&self) -> Option<agreement::PrivateKey> {
        agreement::PrivateKey::from_private_key(&X25519, self.private()?).ok()
    }

    fn signer(&self) -> Option<Arc<Ed25519KeyPair>> {
        ready::signer(self.private()?)
    }

    /// Writes the secret that is shared with a peer to `secret`. Returns `false` if a half is
    /// missing or the secret would be zero (RFC 7748 section 6.1).
    pub(super) fn agree(&self, peer: &Self, secret: &mut [u8; LENGTH]) -> bool {
        let (Some(own), Some(peer)) = (self.exchange_key(), peer.public()) else { return false };
        let peer = agreement::UnparsedPublicKey::new(&X25519, peer);
        agreement::agree(&own, peer, (), |shared| {
            *secret = shared.try_into().map_err(drop)?;
            Ok(())
        })
        .is_ok()
    }

    /// Signs a message. `None` if there is no private half.
    pub(super) fn sign(&self, message: &[u8]) -> Option<[u8; SIGNATURE]> {
        self.signer()?.sign(message).as_ref().try_into().ok()
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some(public) = self.public() else { return false };
        signature::UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
    }
}
