//! One flipped bit anywhere in the encrypted stream must never lead to altered output or to a
//! success (OpenSSH: `regress/integrity.sh`).

use std::net::SocketAddr;
use std::time::Duration;

use sshoal::error::TimeoutKind;
use sshoal::{Command, HostErrorKind, HostOutput, JoinOptions, Outcome, ParallelClient};

use super::{build, client_at, guard, join, rest};
use crate::sim::counted::tape::{Recorder, Tape, encrypted_from};
use crate::support::proxy::{Action, Direction, Proxy};
use crate::support::sshd::Sshd;

const CHACHA: &str = "chacha20-poly1305@openssh.com";
const MASKS: [u8; 2] = [0x01, 0x80];
/// How long a side may wait for more bytes because of a flipped length.
const STALL: Duration = Duration::from_secs(3);
/// The bytes after the output or the command: exit status, ends of channel and connection. At a
/// flip there, the command's outcome was already received and verified.
const TAIL: usize = 400;

/// Long in both directions: most flips hit the command or its output.
fn command() -> String {
    format!(": {}; seq -w 1 20000", "x".repeat(1500))
}

fn expected() -> Vec<Vec<u8>> {
    (1..=20_000).map(|number| format!("{number:05}").into_bytes()).collect()
}

/// `count` offsets over the encrypted part of a stream; the first is its first byte.
fn offsets(stream: &[u8], count: usize) -> Vec<u64> {
    let first = encrypted_from(stream);
    let span = stream.len() - TAIL - first;
    // An odd distance that is not a multiple of any packet size.
    (0..count).map(|index| (first + span * index / count + index % 7) as u64).collect()
}

fn record(sshd: &Sshd) -> Tape {
    let recorder = Recorder::start(sshd.address());
    let mut client = build(client_at(sshd, [recorder.address()]));
    let outputs = client.run_command(command()).expect("starts");
    join(&client, &outputs);
    assert!(rest(&outputs[0]).0 == expected());
    assert_eq!(outputs[0].exit_code(), Some(0));
    drop((client, outputs));
    recorder.finish()
}

/// The result of one flip.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Integrity,
    /// The client or the server waits for bytes that never arrive.
    Stalled,
    /// The server ended the connection.
    Refused,
}

#[track_caller]
fn end_of(output: &HostOutput, what: &str) -> End {
    let (stdout, stderr) = rest(output);
    let expected = expected();
    if let Some((last, whole)) = stdout.split_last() {
        assert!(whole == &expected[..whole.len()], "{what}: altered output");
        assert!(expected[whole.len()].starts_with(last), "{what}: altered output {last:?}");
    }
    assert_eq!(stderr, [b""; 0], "{what}: altered output");
    match output.outcome() {
        None => End::Stalled,
        Some(Outcome::Failed(error)) => match error.kind() {
            HostErrorKind::Integrity(_) => End::Integrity,
            HostErrorKind::Timeout { kind: TimeoutKind::Auth | TimeoutKind::Exec, .. } => End::Stalled,
            HostErrorKind::Disconnected { .. } | HostErrorKind::ConnectionLost(_) => End::Refused,
            _ => panic!("{what}: {error}"),
        },
        Some(outcome) => panic!("{what}: {outcome}"),
    }
}

/// Flips these bytes, each in a separate connection, all at once.
fn flip(sshd: &Sshd, direction: Direction, offsets: &[u64]) -> Vec<(String, End)> {
    let flips: Vec<(u64, u8)> = offsets.iter().flat_map(|&at| MASKS.map(|mask| (at, mask))).collect();
    let start = |&(at, mask): &(u64, u8)| {
        Proxy::builder(sshd.address()).fault(direction, at, Action::Xor(mask)).start()
    };
    let proxies: Vec<Proxy> = flips.iter().map(start).collect();
    let addresses: Vec<SocketAddr> = proxies.iter().map(Proxy::address).collect();
    let mut client = build(client_at(sshd, addresses).timeout(STALL).pool_size(16));
    let command = Command::new(command());
    let outputs = client
        .start_command_with(
            command,
            sshoal::ReadOptions::default().stop_on_errors(false).read_timeout(Duration::from_millis(1)),
        )
        .expect("valid");
    // Connections that stall while the command runs stay so afterwards.
    let _ = client.join(&outputs, JoinOptions::default().timeout(STALL * 3));
    let name = |(at, mask): (u64, u8)| format!("{direction:?} byte {at} mask {mask:#04x}");
    let ends = flips.into_iter().zip(&outputs).map(|(flip, output)| {
        let what = name(flip);
        let end = end_of(output, &what);
        (what, end)
    });
    ends.collect()
}

/// `Ciphers` and `MACs` of the server decide what is used.
fn survey(cipher: &str, mac: Option<&str>, count: usize) {
    let mut server = Sshd::builder().option(&format!("Ciphers {cipher}"));
    if let Some(mac) = mac {
        server = server.option(&format!("MACs {mac}"));
    }
    let sshd = server.start();
    let tape = record(&sshd);
    let ends = flip(&sshd, Direction::ToClient, &offsets(&tape.to_client, count));
    let stalled = ends.iter().filter(|(_, end)| *end == End::Stalled).count();
    eprintln!("{cipher} {mac:?}: {} flips to the client, {stalled} stalled", ends.len());
    for (what, end) in &ends {
        assert_ne!(*end, End::Refused, "{cipher} {mac:?}: {what}");
    }
    // Only a flip in a length field, 4 bytes of each packet, can make the client wait.
    assert!(stalled * 4 <= ends.len(), "{cipher} {mac:?}: {ends:?}");
    let ends = flip(&sshd, Direction::ToServer, &offsets(&tape.to_server, count));
    for (what, end) in &ends {
        assert_ne!(*end, End::Integrity, "{cipher} {mac:?}: {what}");
    }
}

#[test]
fn chacha20_poly1305() {
    let _dog = guard("chacha20_poly1305");
    survey(CHACHA, None, 16);
}

#[test]
fn aes256_ctr_with_every_mac() {
    let _dog = guard("aes256_ctr");
    for mac in MACS {
        survey("aes256-ctr", Some(mac), 6);
    }
}

#[test]
fn aes128_ctr_with_every_mac() {
    let _dog = guard("aes128_ctr");
    for mac in MACS {
        survey("aes128-ctr", Some(mac), 6);
    }
}

#[test]
fn aes192_ctr() {
    let _dog = guard("aes192_ctr");
    survey("aes192-ctr", Some(MACS[0]), 6);
}

/// A libssh that does not check the tags of AES-GCM is not used with it.
#[test]
fn aes_gcm_where_its_tags_are_checked() {
    let _dog = guard("aes_gcm");
    for cipher in ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"] {
        let sshd = Sshd::builder().option(&format!("Ciphers {cipher}")).start();
        match client_at(&sshd, [sshd.address()]).ciphers(cipher).build() {
            Ok(_) => survey(cipher, None, 12),
            Err(error) => {
                assert!(ParallelClient::library().bundled, "{error}");
                assert!(error.to_string().contains("CVE-2026-59847"), "{error}");
                let error = super::start_error(client_at(&sshd, [sshd.address()]));
                assert!(matches!(error.kind(), HostErrorKind::Handshake(_)), "{error}");
            }
        }
    }
}

const MACS: [&str; 6] = [
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1",
];
