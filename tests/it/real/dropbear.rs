//! Dropbear, an SSH server that shares no code with OpenSSH.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use sshoal::config::ClientBuilder;
use sshoal::error::AuthMethod;
use sshoal::{HostErrorKind, ParallelClient, Stage};

use super::{SLOW, build, guard, join, rest, run_one, start_error, stdout};
use crate::support::dropbear::Dropbear;
use crate::support::keys::{ClientKey, KeyPair, KeyType, PASSPHRASE};
use crate::support::proxy::Proxy;

fn client(server: &Dropbear) -> ClientBuilder {
    let builder = ParallelClient::builder([server.address().to_string()]).user(server.user().name());
    builder
        .identity_auth(false)
        .allow_agent(false)
        .known_hosts([server.known_hosts()])
        .num_retries(1)
        .timeout(SLOW)
}

#[test]
fn commands_run_on_channels_that_were_opened_ahead() {
    let _dog = guard("dropbear_spare");
    let Some(server) = Dropbear::start() else { return };
    let mut client = build(client(&server).key_file(server.key(ClientKey::Ed25519)).spare_channel(true));
    client.connect().expect("it connects");
    for number in 0..5 {
        assert_eq!(run_one(&mut client, &format!("echo {number}")), [number.to_string()]);
    }
    assert_eq!(server.log().matches("Child connection from").count(), 1, "{}", server.log());
}

#[test]
fn commands_run_as_on_openssh() {
    let _dog = guard("dropbear_commands");
    let Some(server) = Dropbear::start() else { return };
    let mut client = build(client(&server).key_file(server.key(ClientKey::Ed25519)));
    let outputs = client.run_command("echo out; echo err >&2; exit 7").expect("starts");
    join(&client, &outputs);
    assert_eq!(rest(&outputs[0]), (vec![b"out".to_vec()], vec![b"err".to_vec()]));
    assert_eq!(outputs[0].exit_code(), Some(7));

    for name in ["TERM", "KILL"] {
        let outputs = client.run_command(format!("kill -{name} $$; sleep 9")).expect("starts");
        join(&client, &outputs);
        assert_eq!(outputs[0].exit_signal().map(|signal| signal.name), Some(name.to_owned()));
    }

    let outputs = client.run_command("seq 1 200000").expect("starts");
    let lines = stdout(&outputs[0]);
    let text: usize = lines.iter().map(|line| line.len() + 1).sum();
    assert!(text > 1_000_000 && (1..=200_000_u32).map(|number| number.to_string()).eq(lines));

    let outputs = client.run_command("cat; echo end").expect("starts");
    let line = "0123456789abcdef".repeat(1_000);
    for _ in 0..50 {
        writeln!(outputs[0].stdin(), "{line}").expect("taken");
    }
    outputs[0].stdin().close();
    let lines = stdout(&outputs[0]);
    assert_eq!((lines.len(), lines[50].as_str()), (51, "end"));
    assert!(lines[..50].iter().all(|received| *received == line));

    assert_eq!(run_one(&mut client, "id -un"), [server.user().name()]);
    assert_eq!(server.log().matches("Child connection from").count(), 1, "{}", server.log());
}

#[test]
fn compression_and_keepalives() {
    let _dog = guard("dropbear_compression");
    let Some(server) = Dropbear::start() else { return };
    let proxy = Proxy::builder(server.address()).start();
    let known_hosts = server.known_hosts();
    let key = fs::read_to_string(&known_hosts).expect("written");
    let (_, key) = key.split_once(' ').expect("a host and its key");
    fs::write(&known_hosts, format!("[127.0.0.1]:{} {key}", proxy.address().port()))
        .expect("write known_hosts");
    let builder = ParallelClient::builder([proxy.address().to_string()]).user(server.user().name());
    let builder = builder.identity_auth(false).allow_agent(false).known_hosts([known_hosts]).num_retries(1);
    let builder = builder.key_file(server.key(ClientKey::Ed25519)).timeout(SLOW).compress(true);
    let mut client = build(builder.keepalive(Duration::from_millis(150)).keepalive_max_missed(2));
    let lines = run_one(&mut client, "yes 0123456789 | head -c 1100000; sleep 2");
    assert_eq!((lines.len(), lines.last().map(String::as_str)), (100_000, Some("0123456789")));
    assert!(proxy.counts().from_server < 100_000, "{:?}", proxy.counts());
}

#[test]
fn every_credential_opens_it_and_wrong_ones_do_not() {
    let _dog = guard("dropbear_credentials");
    let Some(server) = Dropbear::start() else { return };
    let name = server.user().name();
    let good = [
        client(&server).key_file(server.key(ClientKey::Ed25519)),
        client(&server).key_file(server.key(ClientKey::Encrypted)).passphrase(PASSPHRASE),
        client(&server).key_file(server.key(ClientKey::Ecdsa)),
        client(&server).key_file(server.key(ClientKey::Rsa)),
        client(&server).password(server.user().password()),
    ];
    for builder in good {
        assert_eq!(run_one(&mut build(builder), "id -un"), [name]);
    }
    let stranger = KeyPair::generate(KeyType::Ed25519);
    let wrong = [
        (client(&server).key_bytes(stranger.private()), AuthMethod::PublicKey),
        (client(&server).password("wrong"), AuthMethod::Password),
    ];
    for (builder, method) in wrong {
        let error = start_error(builder);
        let HostErrorKind::Auth { user, tried, offered, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(
            (error.stage(), user.as_str(), tried.as_slice()),
            (Stage::Authenticating, name, &[method][..])
        );
        assert!(offered.contains(&AuthMethod::PublicKey), "{error}");
    }
}

#[test]
fn its_host_keys_are_verified() {
    let _dog = guard("dropbear_host_keys");
    for key_type in KeyType::ALL {
        let Some(server) = Dropbear::start_with([127, 0, 0, 1].into(), key_type, &[]) else { return };
        let key = server.key(ClientKey::Ed25519);
        assert_eq!(run_one(&mut build(client(&server).key_file(&key)), "echo in"), ["in"], "{key_type:?}");
        let empty = server.user().home().join("empty");
        std::fs::write(&empty, "").expect("write");
        let error = start_error(client(&server).key_file(&key).known_hosts([empty]));
        assert!(matches!(error.kind(), HostErrorKind::HostKey(_)), "{error}");
    }
}
