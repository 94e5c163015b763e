//! Faults of the encrypted stream itself.

use std::borrow::Cow;

use russh::{Preferred, cipher, client, mac};

use crate::support::*;

/// Where the encrypted stream starts and how it continues depends on the cipher: all must detect a
/// flipped bit.
#[test]
fn a_flipped_bit_is_noticed_whatever_the_cipher() {
    let suites = [
        (cipher::CHACHA20_POLY1305, mac::HMAC_SHA256_ETM),
        (cipher::AES_256_GCM, mac::HMAC_SHA256_ETM),
        (cipher::AES_256_CTR, mac::HMAC_SHA256_ETM),
        (cipher::AES_128_CTR, mac::HMAC_SHA512),
    ];
    run(async {
        for (cipher, mac) in suites {
            for offset in [0_u64, 5, 100, 2000, 20_000] {
                let sim = faulty(&format!("* wire@{offset}:flip=80"));
                let preferred = Preferred {
                    cipher: Cow::Owned(vec![cipher]),
                    mac: Cow::Owned(vec![mac]),
                    ..Preferred::DEFAULT
                };
                let config = client::Config { preferred, ..client::Config::default() };
                let (session, _) = connect_with(&sim, sim.host(0), config).await;
                let stdout = output(session, &sim).await;
                assert!(stdout.len() < 30_000, "{cipher:?} {offset}");
                assert!(stdout == pattern(stdout.len()), "{cipher:?} {offset}: altered output was accepted");
            }
        }
    });
}

async fn output(session: Result<Session, russh::Error>, sim: &hostsim::Sim) -> Vec<u8> {
    let Ok(mut session) = session else {
        return Vec::new();
    };
    let Ok(auth) = session.authenticate_password("user", sim.password()).await else {
        return Vec::new();
    };
    if !auth.success() {
        return Vec::new();
    }
    let Ok(mut channel) = session.channel_open_session().await else {
        return Vec::new();
    };
    if channel.exec(true, "bytes 30000").await.is_err() {
        return Vec::new();
    }
    // A flipped length field makes the client wait for more bytes than ever arrive.
    until_quiet(&mut channel).await.stdout
}

#[test]
fn the_stream_is_cut_at_the_exact_byte() {
    run(async {
        let healthy = healthy();
        let (session, log) = login(&healthy, 0).await;
        let clear = log.received();
        exec(&session, "bytes 100000").await;
        let whole = log.received();
        let mut received = Vec::new();
        for (after, action) in [(10_000, "fin"), (10_001, "fin"), (50_000, "silence")] {
            let sim = faulty(&format!("* wire@{after}:{action}"));
            let (session, log) = login(&sim, 0).await;
            let mut channel = start(&session, "bytes 100000").await;
            let outcome = until_quiet(&mut channel).await;
            assert_eq!(log.tcp(), if action == "fin" { TcpEnd::Fin } else { TcpEnd::Open });
            assert!(outcome.stdout == pattern(outcome.stdout.len()) && outcome.status.is_none());
            assert!(log.received() < whole && log.received() > clear, "{}", log.received());
            received.push(log.received());
        }
        // Key exchange has a constant size except for padding and signature, and neither varies
        // with ed25519.
        assert_eq!([received[1] - received[0], received[2] - received[0]], [1, 40_000]);
    });
}
