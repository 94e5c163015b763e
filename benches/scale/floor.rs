//! The cost of the cryptography of one login, with the libcrypto that libssh uses.

use std::hint::black_box;
use std::time::Duration;

use openssl::derive::Deriver;
use openssl::pkey::{Id, PKey};
use openssl::sign::{Signer, Verifier};
use rustix::time::ClockId;

use super::support::clock;

/// About the length of the signed data of a login: a session identifier and an authentication
/// request.
const SIGNED: [u8; 150] = [7; 150];

/// Which cryptography is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// The minimum: one X25519 key generation and derivation, one Ed25519 verification and one
    /// signature.
    Needed,
    /// That of libssh up to 0.11: it stores only the bytes of its two private keys, and computes
    /// the public half again for each use.
    Libssh,
}

/// The CPU time of one login's cryptography, as the mean over `logins`.
pub fn measure(steps: Steps, logins: u32) -> Duration {
    let peer = PKey::generate_x25519().unwrap().raw_public_key().unwrap();
    let user = PKey::generate_ed25519().unwrap();
    let user_bytes = user.raw_private_key().unwrap();
    let host = user.raw_public_key().unwrap();
    let mut signature = [0; 64];
    let begun = clock(ClockId::ThreadCPUTime);
    for _ in 0..logins {
        let mut own = PKey::generate_x25519().unwrap();
        if steps == Steps::Libssh {
            own = PKey::private_key_from_raw_bytes(&own.raw_private_key().unwrap(), Id::X25519).unwrap();
        }
        let peer = PKey::public_key_from_raw_bytes(black_box(&peer), Id::X25519).unwrap();
        let mut deriver = Deriver::new(&own).unwrap();
        deriver.set_peer(&peer).unwrap();
        black_box(deriver.derive_to_vec().unwrap());

        let made_anew = match steps {
            Steps::Needed => None,
            Steps::Libssh => Some(PKey::private_key_from_raw_bytes(&user_bytes, Id::ED25519).unwrap()),
        };
        let mut signer = Signer::new_without_digest(made_anew.as_ref().unwrap_or(&user)).unwrap();
        signer.sign_oneshot(&mut signature, black_box(&SIGNED)).unwrap();

        let host = PKey::public_key_from_raw_bytes(black_box(&host), Id::ED25519).unwrap();
        let mut verifier = Verifier::new_without_digest(&host).unwrap();
        assert!(verifier.verify_oneshot(&signature, black_box(&SIGNED)).unwrap());
    }
    (clock(ClockId::ThreadCPUTime) - begun) / logins
}
