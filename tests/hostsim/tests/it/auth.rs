//! Which clients log in, by which method, and what is counted.

use std::time::Duration;

use hostsim::{AuthPolicy, HostKeyKind, Sim};
use russh::client::{self, AuthResult, KeyboardInteractiveAuthResponse as Keyboard};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg};
use russh::{MethodKind, Preferred};
use std::borrow::Cow;
use std::sync::Arc;

use crate::support::*;

fn other_key() -> PrivateKeyWithHashAlg {
    PrivateKeyWithHashAlg::new(Arc::new(hostsim::Keys::from_seed([9; 32]).user().unwrap()), None)
}

async fn keyboard(session: &mut Session, word: &str) -> bool {
    match session.authenticate_keyboard_interactive_start("user", None).await.unwrap() {
        Keyboard::InfoRequest { prompts, .. } => assert_eq!(prompts.len(), 1),
        Keyboard::Success => return true,
        Keyboard::Failure { .. } => return false,
    }
    let answer = session.authenticate_keyboard_interactive_respond(vec![word.to_owned()]).await.unwrap();
    matches!(answer, Keyboard::Success)
}

#[test]
fn each_policy_lets_in_whom_it_should() {
    use AuthPolicy::{Any, Key, Keyboard, None, Password, Refuse};
    // policy: none, key, password, keyboard-interactive
    for (policy, expected) in [
        (Any, [false, true, true, true]),
        (Key, [false, true, false, false]),
        (Password, [false, false, true, false]),
        (Keyboard, [false, false, false, true]),
        (None, [true, false, false, false]),
        (Refuse, [false; 4]),
    ] {
        let sim = spawn(Sim::builder().auth(policy).password("open sesame"));
        run(async {
            let mut results = [false; 4];
            let (mut session, _) = connect(&sim, 0).await;
            results[0] = session.authenticate_none("user").await.unwrap().success();
            let (mut session, _) = connect(&sim, 1).await;
            results[1] = session.authenticate_publickey("user", key(&sim)).await.unwrap().success();
            let (mut session, _) = connect(&sim, 2).await;
            results[2] = session.authenticate_password("user", "open sesame").await.unwrap().success();
            let (mut session, _) = connect(&sim, 3).await;
            results[3] = keyboard(&mut session, "open sesame").await;
            assert_eq!(results, expected, "{policy}");
            let (mut session, _) = connect(&sim, 4).await;
            if policy != None {
                assert!(!session.authenticate_publickey("user", other_key()).await.unwrap().success());
                assert!(!session.authenticate_password("user", "open says me").await.unwrap().success());
                assert!(!keyboard(&mut session, "open says me").await);
            }
        });
        let stats = sim.stats().unwrap();
        assert_eq!(
            stats.auth_successes,
            expected.iter().filter(|success| **success).count() as u64,
            "{policy}"
        );
        assert_eq!(stats.handshakes, if policy == None { 4 } else { 5 });
    }
}

#[test]
fn key_then_password_is_a_partial_success() {
    let sim = spawn(Sim::builder().auth(AuthPolicy::KeyThenPassword));
    run(async {
        let (mut session, _) = connect(&sim, 0).await;
        assert!(!session.authenticate_password("user", sim.password()).await.unwrap().success());
        let result = session.authenticate_publickey("user", key(&sim)).await.unwrap();
        let AuthResult::Failure { remaining_methods, partial_success: true } = result else {
            panic!("{result:?}")
        };
        assert_eq!(remaining_methods[..], [MethodKind::Password]);
        let wrong = session.authenticate_password("user", "wrong").await.unwrap();
        assert!(matches!(wrong, AuthResult::Failure { partial_success: false, .. }), "{wrong:?}");
        assert!(session.authenticate_password("user", sim.password()).await.unwrap().success());
    });
    let stats = sim.stats().unwrap();
    assert_eq!((stats.auth_password, stats.auth_successes), (3, 1));
}

#[test]
fn a_signed_request_is_one_request_and_a_query_is_another() {
    let sim = healthy();
    run(async {
        login(&sim, 0).await;
        let (mut session, _) = connect(&sim, 1).await;
        assert!(!session.authenticate_publickey("user", other_key()).await.unwrap().success());
    });
    let signed = sim.stats_of(sim.host(0)).unwrap();
    assert_eq!((signed.auth_publickey_signed, signed.auth_successes), (1, 1));
    let refused = sim.stats_of(sim.host(1)).unwrap();
    assert_eq!((refused.auth_publickey_query, refused.auth_publickey_signed), (1, 0));
    assert_eq!(sim.stats().unwrap().userauth_messages(), signed.userauth_messages() + 1);
}

#[test]
fn too_many_refusals_end_in_a_disconnect() {
    let sim = spawn(Sim::builder().set("auth-tries-max", "2"));
    run(async {
        let (mut session, log) = connect(&sim, 0).await;
        for _ in 0..2 {
            assert!(!session.authenticate_password("user", "wrong").await.unwrap().success());
        }
        let third = session.authenticate_password("user", sim.password()).await;
        assert!(!third.is_ok_and(|result| result.success()));
        assert_eq!(log.disconnect().await, "Too many authentication attempts");
    });
}

#[test]
fn answers_can_be_slow() {
    let sim = spawn(Sim::builder().set("auth-delay", "200"));
    run(async {
        let (mut session, _) = connect(&sim, 0).await;
        takes(Duration::from_millis(200), session.authenticate_password("user", "wrong")).await.unwrap();
        takes(Duration::from_millis(200), session.authenticate_password("user", sim.password()))
            .await
            .unwrap();
    });
}

#[test]
fn host_keys_are_of_the_types_asked_for() {
    let sim = spawn(Sim::builder().set("host-keys", "ecdsa,rsa,ed25519"));
    let known_hosts = sim.known_hosts().unwrap();
    assert_eq!(known_hosts.lines().count(), 3);
    assert!(sim.host_key_openssh().unwrap().starts_with("ecdsa-sha2-nistp256 "));
    let kinds = [HostKeyKind::EcdsaP256, HostKeyKind::Rsa, HostKeyKind::Ed25519];
    let algorithms =
        [Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP256 }, rsa_sha2_512(), Algorithm::Ed25519];
    for (kind, algorithm) in kinds.into_iter().zip(algorithms) {
        let preferred = Preferred { key: Cow::Owned(vec![algorithm]), ..Preferred::DEFAULT };
        let config = client::Config { preferred, ..client::Config::default() };
        let (session, log) = run(connect_with(&sim, sim.host(0), config));
        session.unwrap();
        let expected = sim.keys().host_public(kind).unwrap();
        let shown = log.host_key().unwrap();
        assert!(shown.starts_with(&expected), "{shown}");
        assert!(known_hosts.contains(&format!("[127.*]:{0},[::1]:{0} {expected}\n", sim.port())));
    }
}

fn rsa_sha2_512() -> Algorithm {
    Algorithm::Rsa { hash: Some(russh::keys::HashAlg::Sha512) }
}

#[test]
fn a_changed_host_key_is_another_one() {
    let sim = spawn(Sim::builder().rule("127.1.0.2 set:other-host-key=true"));
    let announced = sim.host_key_openssh().unwrap();
    run(async {
        let (_, good) = connect(&sim, 0).await;
        let (_, changed) = connect(&sim, 1).await;
        assert!(good.host_key().unwrap().starts_with(&announced));
        assert!(!changed.host_key().unwrap().starts_with(&announced));
        assert!(changed.host_key().unwrap().starts_with("ssh-ed25519 "));
    });
}

#[test]
fn algorithms_can_be_forced_or_made_impossible() {
    let sim = spawn(
        Sim::builder()
            .rule("127.1.0.1 set:ciphers=aes256-ctr")
            .rule("127.1.0.1 set:macs=hmac-sha2-256-etm@openssh.com")
            .rule("127.1.0.1 set:kex=ecdh-sha2-nistp256"),
    );
    let client = |cipher, mac, kex: &[russh::kex::Name]| {
        let preferred = Preferred {
            cipher: Cow::Owned(vec![cipher]),
            mac: Cow::Owned(vec![mac]),
            kex: Cow::Owned(kex.to_vec()),
            ..Preferred::DEFAULT
        };
        client::Config { preferred, ..client::Config::default() }
    };
    use russh::{cipher, kex, mac};
    let kexes = [kex::CURVE25519, kex::ECDH_SHA2_NISTP256];
    run(async {
        for (host, config, common) in [
            (0, client(cipher::AES_256_CTR, mac::HMAC_SHA256_ETM, &kexes), true),
            (0, client(cipher::CHACHA20_POLY1305, mac::HMAC_SHA256_ETM, &kexes), false),
            (0, client(cipher::AES_256_CTR, mac::HMAC_SHA512, &kexes), false),
            (0, client(cipher::AES_256_CTR, mac::HMAC_SHA256_ETM, &kexes[..1]), false),
            (1, client(cipher::CHACHA20_POLY1305, mac::HMAC_SHA512, &kexes), true),
        ] {
            let (session, _) = connect_with(&sim, sim.host(host), config).await;
            assert_eq!(session.is_ok(), common, "{:?}", session.err());
        }
    });
}
