//! What the cryptography of one login costs at least, with the libcrypto that libssh uses as well: one X25519 key
//! generation and derivation, one Ed25519 verification and one signature.

use std::hint::black_box;
use std::time::Duration;

use openssl::derive::Deriver;
use openssl::pkey::{Id, PKey};
use openssl::sign::{Signer, Verifier};
use rustix::time::ClockId;

use super::support::clock;

/// About the length of what is signed at a login: a session identifier and an authentication request.
const SIGNED: [u8; 150] = [7; 150];

/// The CPU time of one login's cryptography, as the mean of so many.
pub fn measure(logins: u32) -> Duration {
    let peer = PKey::generate_x25519().unwrap().raw_public_key().unwrap();
    let user = PKey::generate_ed25519().unwrap();
    let host = user.raw_public_key().unwrap();
    let mut signature = [0; 64];
    let begun = clock(ClockId::ThreadCPUTime);
    for _ in 0..logins {
        let mut signer = Signer::new_without_digest(&user).unwrap();
        signer.sign_oneshot(&mut signature, black_box(&SIGNED)).unwrap();

        let own = PKey::generate_x25519().unwrap();
        let peer = PKey::public_key_from_raw_bytes(black_box(&peer), Id::X25519).unwrap();
        let mut deriver = Deriver::new(&own).unwrap();
        deriver.set_peer(&peer).unwrap();
        black_box(deriver.derive_to_vec().unwrap());

        let host = PKey::public_key_from_raw_bytes(black_box(&host), Id::ED25519).unwrap();
        let mut verifier = Verifier::new_without_digest(&host).unwrap();
        assert!(verifier.verify_oneshot(&signature, black_box(&SIGNED)).unwrap());
    }
    (clock(ClockId::ThreadCPUTime) - begun) / logins
}
