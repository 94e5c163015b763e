//! Configuration per host: what a host's own settings override, and what they inherit from the
//! client.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sshoal::config::ClientBuilder;
use sshoal::error::{AuthMethod, KeyProblem, Origin, TimeoutKind};
use sshoal::{Command, Error, HostConfig, HostErrorKind, HostOutput, ParallelClient};

use super::{SLOW, build, client_at, client_for, guard, run_all, stdout};
use crate::support::keys::{ClientKey, PASSPHRASE};
use crate::support::peers::{Refused, Scripted};
use crate::support::sshd::Sshd;
use crate::support::user::TestUser;

const HOST: &str = "127.0.2.1";

fn config() -> HostConfig {
    HostConfig::default()
}

/// A client for this host on all these servers, without a port and a credential.
fn bare<const N: usize>(entries: [&str; N], servers: &[&Sshd]) -> ClientBuilder {
    let known_hosts = servers.iter().map(|sshd| sshd.known_hosts([HOST]));
    let builder = ParallelClient::builder(entries).known_hosts(known_hosts);
    builder.identity_auth(false).allow_agent(false).num_retries(1).timeout(SLOW)
}

/// Runs the command everywhere, to its end.
fn run(builder: ClientBuilder, command: &str) -> Vec<HostOutput> {
    run_all(&mut build(builder), command)
}

/// One host, listed five times: each entry has its own user and key.
#[test]
fn users_keys_and_aliases_of_one_host() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("users_and_keys");
    let sshd = Sshd::start();
    let own_entry = format!("{}@{HOST}", user.name());
    let builder = bare([HOST, HOST, HOST, HOST, &own_entry], &[&sshd]).port(sshd.port());
    let rsa = fs::read(sshd.key(ClientKey::Rsa)).expect("a key");
    let builder = builder.user(sshd.user()).key_file(sshd.key(ClientKey::Ed25519)).host_config([
        config(),
        config().user(user.name()).alias("the other user"),
        config().key_bytes(rsa).alias("RSA"),
        config().key_file(sshd.key(ClientKey::Encrypted)).passphrase(PASSPHRASE).user(user.name()),
        config().user("sshoal-nobody").key_file(sshd.key(ClientKey::Ecdsa)).alias(""),
    ]);
    let outputs = run(builder, "id -un");
    let users: Vec<_> = outputs.iter().map(|output| stdout(output).concat()).collect();
    assert_eq!(users, [sshd.user(), user.name(), sshd.user(), user.name(), user.name()]);
    let aliases: Vec<_> = outputs.iter().map(HostOutput::alias).collect();
    assert_eq!(aliases, [None, Some("the other user"), Some("RSA"), None, Some("")]);
    assert!(outputs.iter().all(|output| output.host() == HOST));
    let signed = |key| {
        sshd.log().lines().filter(|line| line.starts_with("Accepted publickey") && line.contains(key)).count()
    };
    assert_eq!((signed("ED25519"), signed("RSA"), signed("ECDSA")), (3, 1, 1));
}

#[test]
fn a_password_for_one_of_two_hosts() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("host_password");
    let sshd = Sshd::start();
    let builder = bare([HOST, HOST], &[&sshd]).port(sshd.port()).user(user.name());
    let configs = [config().password("wrong"), config().password(user.password()).alias("right")];
    let outputs = run(builder.host_config(configs.clone()), "id -un");
    let error = outputs[0].error().expect("refused");
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");
    assert_eq!(stdout(&outputs[1]), [user.name()]);
    let shown = format!("{configs:?}{outputs:?}{error:?}");
    assert!(!shown.contains("wrong") && !shown.contains(user.password()), "{shown}");
}

#[test]
fn ports_of_two_servers() {
    let _dog = guard("host_ports");
    let [a, b] = [Sshd::start(), Sshd::start()];
    let entry = format!("{HOST}:{}", a.port());
    let builder = bare([HOST, HOST, &entry], &[&a, &b]).user(a.user()).port(a.port()).host_config([
        config().key_file(a.key(ClientKey::Ed25519)),
        config().key_file(b.key(ClientKey::Rsa)).port(b.port()),
        config().key_file(a.key(ClientKey::Ecdsa)).port(b.port()),
    ]);
    let outputs = run(builder, "set -- $SSH_CONNECTION; echo $4");
    for (output, port) in outputs.iter().zip([a.port(), b.port(), a.port()]) {
        assert_eq!((stdout(output), output.port()), (vec![port.to_string()], port));
    }
}

#[track_caller]
fn assert_not_tried(output: &HostOutput) {
    let error = output.error().expect("no credential, no login");
    let HostErrorKind::Auth { tried, offered, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(tried.as_slice(), [], "{error}");
    assert!(offered.contains(&AuthMethod::PublicKey), "{error}");
}

/// parallel-ssh ignores a host's `False`.
#[test]
fn identity_files_are_off_for_one_host() {
    let _dog = guard("host_identities");
    let sshd = Sshd::start();
    let with = |on, configs: [HostConfig; 2]| {
        let builder = bare([HOST, HOST], &[&sshd]).port(sshd.port()).user(sshd.user()).identity_auth(on);
        run(builder.identity_files([sshd.key(ClientKey::Ed25519)]).host_config(configs), "echo in")
    };
    let outputs = with(true, [config(), config().identity_auth(false).allow_agent(false).alias("cellar")]);
    assert_eq!(stdout(&outputs[0]), ["in"]);
    assert_not_tried(&outputs[1]);
    let text = outputs[1].error().expect("as above").to_string();
    assert!(text.contains(HOST) && !text.contains("cellar"), "{text}");
    let outputs = with(false, [config().identity_auth(true), config()]);
    assert_eq!(stdout(&outputs[0]), ["in"]);
    assert_not_tried(&outputs[1]);
    let outcomes: Vec<_> = sshd.auth_messages().into_iter().map(|message| message.outcome).collect();
    assert_eq!(outcomes, ["Accepted"; 2], "the key was offered by one host each time");
}

#[test]
fn each_host_has_its_own_time_limit() {
    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_millis(1_500);
    let _dog = guard("host_timeout");
    let sshd = Sshd::start();
    let silent = [Scripted::silent(), Scripted::silent()];
    let good: SocketAddr = ([127, 0, 2, 1], sshd.port()).into();
    let builder = client_at(&sshd, [silent[0].address(), good, silent[1].address()]);
    let begun = Instant::now();
    let outputs = run(
        builder.host_config([config().timeout(SHORT), config().timeout(None), config().timeout(LONG)]),
        "echo in",
    );
    assert!(begun.elapsed() >= LONG && begun.elapsed() < SLOW, "{:?}", begun.elapsed());
    assert_eq!(stdout(&outputs[1]), ["in"]);
    for (output, limit) in [(&outputs[0], SHORT), (&outputs[2], LONG)] {
        let error = output.error().expect("nobody answers");
        let HostErrorKind::Timeout { kind: TimeoutKind::Handshake, after, .. } = error.kind() else {
            panic!("{error}")
        };
        assert_eq!(*after, limit);
        assert!(error.elapsed() >= limit && error.elapsed() < limit + Duration::from_secs(1), "{error}");
    }
}

/// Zero counts as set: one attempt, and no pause between attempts.
#[test]
fn each_host_has_its_own_retries() {
    let _dog = guard("host_retries");
    let refused = Refused::new();
    let entry = refused.address().to_string();
    let builder = ParallelClient::builder([&entry, &entry, &entry])
        .user("nobody")
        .identity_auth(false)
        .allow_agent(false);
    let builder = builder.no_known_hosts().num_retries(4).retry_delay(Duration::ZERO);
    let outputs = run(
        builder.host_config([
            config().num_retries(0).retry_delay(2 * SLOW),
            config().num_retries(2),
            config(),
        ]),
        "true",
    );
    let attempts: Vec<_> = outputs.iter().map(|output| output.error().expect("refused").attempt()).collect();
    assert_eq!(attempts, [1, 2, 4]);
    let builder = ParallelClient::builder([&entry])
        .user("nobody")
        .identity_auth(false)
        .allow_agent(false)
        .no_known_hosts();
    let now = config().num_retries(3).retry_delay(Duration::ZERO);
    let outputs = run(builder.retry_delay(2 * SLOW).host_config([now]), "true");
    assert_eq!(outputs[0].error().expect("refused").attempt(), 3);
}

#[test]
fn each_host_has_its_own_read_timeout() {
    const SHORT: Duration = Duration::from_millis(200);
    let _dog = guard("host_read_timeout");
    let sshd = Sshd::start();
    let configs = [config().read_timeout(SHORT), config().read_timeout(None), config()];
    let builder = client_for(&sshd, [HOST; 3]).read_timeout(2 * SHORT).host_config(configs);
    let mut client = build(builder);
    let command = || Command::new("read -r word; sleep 1; echo $word");
    let timed_out = |output: &HostOutput| {
        let error = output.stdout().next().expect("a result").expect_err("no line yet");
        match error.kind() {
            HostErrorKind::Timeout { kind: TimeoutKind::Read, after, .. } => *after,
            _ => panic!("{error}"),
        }
    };
    let outputs = client.run_command(command()).expect("starts");
    assert_eq!([timed_out(&outputs[0]), timed_out(&outputs[2])], [SHORT, 2 * SHORT]);
    outputs[1].stdin().write_all(b"late\n").expect("queued");
    assert_eq!(stdout(&outputs[1]), ["late"], "without a limit");

    let outputs = client
        .run_command_with(command(), sshoal::ReadOptions::default().read_timeout(SHORT / 2))
        .expect("starts");
    for output in &outputs {
        assert_eq!(timed_out(output), SHORT / 2, "the command's own limit goes first");
    }
}

/// Which secret decrypts which key.
#[test]
fn the_key_of_the_third_host_is_checked_by_build() {
    let _dog = guard("host_key_checked");
    let dir = tempfile::tempdir().expect("temporary directory");
    let locked = ClientKey::Encrypted.pair().write(dir.path(), "locked");
    let open = ClientKey::Ed25519.pair().write(dir.path(), "open");
    let client =
        || ParallelClient::builder(["a", "b", "c"]).identity_auth(false).allow_agent(false).no_known_hosts();
    let third = |own: HostConfig| [config(), config().key_file(&open), own];
    let refusal = |builder: ClientBuilder| builder.build().expect_err("a locked key");

    let opened = [
        client().host_config(third(config().key_file(&locked).passphrase(PASSPHRASE))),
        client().host_config(third(config().key_file(&locked).password(PASSPHRASE))),
        client().passphrase(PASSPHRASE).host_config(third(config().key_file(&locked).password("other"))),
        client().password(PASSPHRASE).host_config(third(config().key_file(&locked))),
        client().password(PASSPHRASE).key_file(&locked).host_config(third(config().password("other"))),
        client().key_file(&locked).host_config([(); 3].map(|()| config().passphrase(PASSPHRASE))),
    ];
    for builder in opened {
        build(builder);
    }
    let closed = [
        (client(), config().key_file(&locked), "is encrypted and no passphrase was given"),
        (
            client(),
            config().key_file(&locked).passphrase("x"),
            "is encrypted and the passphrase does not open it",
        ),
        (client().passphrase(PASSPHRASE), config().key_file(&locked).passphrase(""), "is encrypted and"),
        (client(), config().key_file(dir.path().join("missing")), "cannot be read: No such file"),
    ];
    for (builder, own, expected) in closed {
        let error = refusal(builder.host_config(third(own)));
        assert!(
            matches!(error, Error::KeyFile { origin: Origin::Host { position: 2, .. }, .. }),
            "{error:?}"
        );
        let text = error.to_string();
        let named = format!("host 3 of the list (c): private key {}", dir.path().display());
        assert!(text.starts_with(&named) && text.contains(expected), "{text}");
    }
    let error = refusal(client().key_file(&locked).host_config(third(config().password(PASSPHRASE))));
    assert!(
        matches!(
            error,
            Error::KeyFile { origin: Origin::Client, problem: KeyProblem::PassphraseMissing, .. }
        ),
        "{error:?}"
    );
}
