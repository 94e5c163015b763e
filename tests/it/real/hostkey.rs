//! Host keys: which are accepted, and that no credential is sent to a host whose key is not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::time::Duration;

use sshoal::config::ClientBuilder;
use sshoal::fleet::HostState;
use sshoal::hostkey::HostKeyPolicy;
use sshoal::hostkey::{
    Fingerprint, HostKey, HostKeyDecision, HostKeyPins, HostKeyProblem, KeyType as RecordedType, Verdict,
};
use sshoal::{Command, Fleet, HostErrorKind, Outcome, ParallelClient, Run, Stage};

use super::{SLOW, build, client_for, guard, run_one, start_error};
use crate::support::fleet::Driven;
use crate::support::keys::{ClientKey, KeyPair, KeyType, write_private};
use crate::support::sshd::Sshd;
use crate::support::system::{is_rerun, rerun};
use crate::support::user::TestUser;

const HOST: &str = "127.0.0.1";

fn file(sshd: &Sshd, name: &str, text: &str) -> PathBuf {
    let path = sshd.dir().join(name);
    fs::write(&path, text).expect("write");
    path
}

/// A client that offers every kind of credential to trusted hosts.
fn eager(sshd: &Sshd, known_hosts: PathBuf) -> ClientBuilder {
    client_for(sshd, [HOST]).known_hosts([known_hosts]).password("a secret").num_retries(3)
}

/// Checks that the host is refused, and that the server received no authentication message.
#[track_caller]
fn assert_refused(sshd: &Sshd, builder: ClientBuilder, expected: fn(&HostKeyProblem) -> bool) -> String {
    let error = start_error(builder);
    assert_eq!((error.stage(), error.attempt()), (Stage::Handshaking, 1), "{error}");
    let HostErrorKind::HostKey(cause) = error.kind() else { panic!("{error}") };
    assert!(expected(cause.problem()), "{error}");
    assert_eq!((cause.host(), cause.port()), (HOST, sshd.port()));
    // The server has noticed the end of the connection, so its log is complete.
    sshd.await_log("Disconnected from", sshd.count("Connection from"));
    assert_eq!(sshd.userauth_requests(), 0, "{}", sshd.log());
    error.to_string()
}

fn fingerprint(pair: &KeyPair) -> Fingerprint {
    use base64::Engine as _;
    let (_, text) = pair.public().split_once(' ').expect("type and key");
    let blob = base64::prelude::BASE64_STANDARD.decode(text).expect("base64");
    HostKey::from_blob(blob).expect("a key").fingerprint()
}

#[test]
fn an_unknown_host_is_refused_unless_new_ones_are_accepted() {
    let _dog = guard("unknown_host");
    let sshd = Sshd::builder().log_level("DEBUG1").start();
    let empty = file(&sshd, "empty", "");
    let text = assert_refused(&sshd, eager(&sshd, empty), |p| matches!(p, HostKeyProblem::Unknown));
    assert!(text.contains(&fingerprint(&sshd.host_keys()[0]).to_string()), "{text}");

    let recorded = sshd.dir().join("new").join("known_hosts");
    for round in 0..2 {
        let builder = client_for(&sshd, [HOST]).known_hosts([&recorded]);
        let mut client = build(builder.host_keys(HostKeyPolicy::accept_new(&recorded)));
        assert_eq!(run_one(&mut client, "echo in"), ["in"]);
        let expected = sshd.known_hosts_lines(HOST);
        assert_eq!(fs::read_to_string(&recorded).expect("written"), expected, "round {round}");
    }
    // The recorded key is enough for the strict policy.
    assert_eq!(run_one(&mut build(client_for(&sshd, [HOST]).known_hosts([recorded])), "echo in"), ["in"]);
}

#[test]
fn a_changed_key_is_refused_before_any_credential() {
    let _dog = guard("changed_key");
    let old = Sshd::start();
    let recorded = old.dir().join("known_hosts");
    let builder = client_for(&old, [HOST]).known_hosts([&recorded]);
    run_one(&mut build(builder.host_keys(HostKeyPolicy::accept_new(&recorded))), "true");

    let new = Sshd::builder().own_host_key(KeyPair::generate(KeyType::Ed25519)).log_level("DEBUG1").start();
    let text = fs::read_to_string(&recorded).expect("recorded");
    let known =
        file(&new, "known", &text.replace(&format!("]:{} ", old.port()), &format!("]:{} ", new.port())));
    let before = fs::read(&known).expect("a file");
    let changed = |p: &HostKeyProblem| matches!(p, HostKeyProblem::Changed);
    for policy in [HostKeyPolicy::strict(), HostKeyPolicy::accept_new(&known)] {
        let eager = eager(&new, known.clone()).host_keys(policy.clone());
        assert_refused(&new, eager, changed);
        let password_only = ParallelClient::builder([HOST]).port(new.port()).user(new.user());
        let password_only =
            password_only.identity_auth(false).allow_agent(false).password("a secret").known_hosts([&known]);
        assert_refused(&new, password_only.host_keys(policy).timeout(SLOW), changed);
    }
    assert_eq!(fs::read(&known).expect("a file"), before);
}

#[test]
fn a_revoked_key_is_refused_before_any_credential() {
    let _dog = guard("revoked_key");
    let sshd = Sshd::builder().log_level("DEBUG1").start();
    let revoked = format!("@revoked * {}\n", sshd.host_keys()[0].public());
    let known = file(&sshd, "known", &(sshd.known_hosts_lines(HOST) + &revoked));
    let pins = HostKeyPins::new().for_any_host(fingerprint(&sshd.host_keys()[0]));
    let policies = [
        HostKeyPolicy::strict(),
        HostKeyPolicy::accept_new(&known),
        HostKeyPolicy::pinned(pins),
        HostKeyPolicy::ask(|_| HostKeyDecision::Accept),
    ];
    for policy in policies {
        let builder = eager(&sshd, known.clone()).host_keys(policy);
        let text = assert_refused(&sshd, builder, |p| matches!(p, HostKeyProblem::Revoked));
        assert!(text.contains("revoked"), "{text}");
    }
}

#[test]
fn pins_and_the_callback_decide() {
    let _dog = guard("pins_and_callback");
    let sshd = Sshd::builder().log_level("DEBUG1").start();
    let empty = file(&sshd, "empty", "");
    let own = fingerprint(&sshd.host_keys()[0]);
    let other = fingerprint(&KeyPair::generate(KeyType::Ed25519));
    let with = |policy| eager(&sshd, empty.clone()).host_keys(policy);

    let pinned = HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(other).for_host("127.0.0.2", own));
    assert_refused(&sshd, with(pinned), |p| matches!(p, HostKeyProblem::NotPinned));
    let refuse = HostKeyPolicy::ask(|_| HostKeyDecision::Refuse);
    assert_refused(&sshd, with(refuse), |p| matches!(p, HostKeyProblem::Refused));

    let port = sshd.port();
    let accept = HostKeyPolicy::ask(move |question| {
        let asked = (question.host, question.port, question.key.fingerprint()) == (HOST, port, own);
        let unknown = matches!(question.verdict, Verdict::Unknown);
        if asked && unknown { HostKeyDecision::Accept } else { HostKeyDecision::Refuse }
    });
    let pinned = HostKeyPolicy::pinned(HostKeyPins::new().for_port(HOST, port, own));
    for policy in [accept, pinned, HostKeyPolicy::danger_accept_any_host_key()] {
        assert_eq!(run_one(&mut build(with(policy)), "echo in"), ["in"]);
    }
    assert_eq!(fs::read(&empty).expect("a file"), b"");
}

/// One of two hosts makes the callback panic.
#[test]
fn a_callback_that_panics_fails_its_host_and_no_other() {
    let _dog = guard("panicking_callback");
    let sshd = Sshd::builder().log_level("DEBUG1").start();
    let hosts: Vec<String> = sshd.hosts(2).collect();
    let bad = hosts[0].clone();
    let policy = HostKeyPolicy::ask(move |question| {
        assert_ne!(question.host, bad, "on purpose");
        HostKeyDecision::Accept
    });
    let empty = file(&sshd, "empty", "");
    let mut client = build(client_for(&sshd, &hosts).known_hosts([empty]).host_keys(policy));
    let outputs = client
        .run_command_with(Command::new("echo in"), sshoal::ReadOptions::default().stop_on_errors(false))
        .expect("it starts");
    super::join(&client, &outputs);
    let Some(Outcome::Failed(error)) = outputs[0].outcome() else { panic!("{:?}", outputs[0].outcome()) };
    let HostErrorKind::HostKey(cause) = error.kind() else { panic!("{error}") };
    assert!(matches!(cause.problem(), HostKeyProblem::Panicked), "{error}");
    assert_eq!(super::stdout(&outputs[1]), ["in"]);
    assert_eq!(sshd.count("Accepted publickey"), 1);
}

/// One host matches none of 100,000 hashed lines. Its search takes two hundred visits, with visits
/// to others in between.
#[test]
fn a_search_through_a_large_file_holds_up_nobody() {
    let _dog = guard("large_file");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(6).collect();
    let other = KeyPair::generate(KeyType::Ed25519);
    let line = format!("|1|{0}|{0} {1}\n", "A".repeat(27) + "=", other.public());
    let known = hosts[1..].iter().map(|host| sshd.known_hosts_lines(host)).collect::<String>();
    let known = file(&sshd, "known", &(line.repeat(100_000) + &known));
    let builder = Fleet::builder(hosts.clone()).port(sshd.port()).user(sshd.user());
    let builder = super::with_key(builder, &sshd).known_hosts([known]).timeout(Duration::from_secs(100));
    let mut driven = Driven::new(builder.build().expect("a fleet"));
    let ids = driven.fleet.hosts().to_vec();
    let run = driven.fleet.start("echo in").expect("it starts");
    let searching = |driven: &Driven| {
        driven.fleet.metrics().key_exchanges == ids.len() as u64
            && driven.fleet.host(ids[0]).expect("a host").state() == HostState::Handshaking
    };
    driven.until(SLOW, "the search goes on", searching);
    let mut served = 0;
    while searching(&driven) {
        // Meanwhile the others run their commands.
        let run = driven.fleet.start(Run::new("echo in").hosts(ids[1..].to_vec())).expect("it starts").run;
        driven.until(SLOW, "the others are served", |driven| driven.done(run).is_some());
        assert_eq!(driven.tally(run).succeeded, 5);
        served += usize::from(searching(&driven));
    }
    assert!(served > 0, "the search was over before anybody else was served");
    driven.until(SLOW, "the search ends", |driven| driven.done(run.run).is_some());
    let Outcome::Failed(error) = &driven.ends[&run.commands[0]] else { panic!("it is known") };
    let HostErrorKind::HostKey(cause) = error.kind() else { panic!("{error}") };
    assert!(matches!(cause.problem(), HostKeyProblem::Unknown), "{error}");
}

/// A server sends one of its keys; the client's order decides which.
#[test]
fn the_recorded_type_is_asked_for() {
    let _dog = guard("recorded_type");
    let sshd = Sshd::builder().host_keys(KeyType::ALL).start();
    let known = |index: usize| {
        let line = format!("[{HOST}]:{} {}\n", sshd.port(), sshd.host_keys()[index].public());
        file(&sshd, &format!("known{index}"), &line)
    };
    for index in 0..3 {
        let mut client = build(client_for(&sshd, [HOST]).known_hosts([known(index)]));
        assert_eq!(run_one(&mut client, "echo in"), ["in"], "key {index}");
    }
    // If the server has lost the recorded type, another one is not accepted instead.
    let sshd = Sshd::builder().log_level("DEBUG1").start();
    let rsa = KeyPair::generate(KeyType::Rsa);
    let known = file(&sshd, "known", &format!("[{HOST}]:{} {}\n", sshd.port(), rsa.public()));
    for policy in [HostKeyPolicy::strict(), HostKeyPolicy::accept_new(&known)] {
        assert_refused(&sshd, eager(&sshd, known.clone()).host_keys(policy), |problem| {
            let HostKeyProblem::OtherType { recorded } = problem else { return false };
            *recorded == [RecordedType::Rsa]
        });
    }
}

/// `127.1` is dialled, looked up and pinned as 127.0.0.1, as `ssh 127.1` does.
#[test]
fn every_form_of_an_address_is_one_host() {
    let _dog = guard("forms_of_an_address");
    let sshd = Sshd::start();
    let forms = ["127.1", "0x7f000001", "2130706433", "127.0.0.01"];
    let client = |host| client_for(&sshd, [host]);
    for host in forms {
        let mut client = build(client(host).known_hosts([sshd.known_hosts([HOST])]));
        assert_eq!(run_one(&mut client, "echo in"), ["in"], "{host}");
    }
    let own = fingerprint(&sshd.host_keys()[0]);
    for (pinned, host) in [("127.1", HOST), (HOST, "127.1"), ("0x7f.1", "2130706433")] {
        let policy = HostKeyPolicy::pinned(HostKeyPins::new().for_port(pinned, sshd.port(), own));
        let mut client = build(client(host).no_known_hosts().host_keys(policy));
        assert_eq!(run_one(&mut client, "echo in"), ["in"], "{host}");
    }
    // A new key is recorded under the usual form, for OpenSSH too.
    let recorded = sshd.dir().join("recorded");
    let builder = client("127.1").known_hosts([&recorded]).host_keys(HostKeyPolicy::accept_new(&recorded));
    assert_eq!(run_one(&mut build(builder), "echo in"), ["in"]);
    assert_eq!(fs::read_to_string(&recorded).expect("recorded"), sshd.known_hosts_lines(HOST));
}

/// Prints what the library logs.
struct Printer;

impl log::Log for Printer {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}: {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

/// The default files of a user who may not read them: one belongs to root, or the home is hidden.
#[test]
fn unreadable_default_files_are_left_out_with_a_warning() {
    const TEST: &str = "unreadable_default_files_are_left_out_with_a_warning";
    let seen = |name: &str| std::env::var(name).expect("set by the parent");
    if is_rerun() {
        let uid: u32 = seen("SSHOAL_TEST_UID").parse().expect("a number");
        nix::unistd::seteuid(uid.into()).expect("root");
        log::set_logger(&Printer).expect("the first");
        log::set_max_level(log::LevelFilter::Warn);
        let port: u16 = seen("SSHOAL_TEST_PORT").parse().expect("a number");
        let pin = seen("SSHOAL_TEST_PIN").parse().expect("a fingerprint");
        let pinned = HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(pin));
        let builder = ParallelClient::builder([HOST]).port(port).host_keys(pinned).timeout(SLOW);
        let builder = builder.identity_auth(false).key_file(seen("SSHOAL_TEST_KEY"));
        assert_eq!(run_one(&mut build(builder.allow_agent(false)), "id -u"), [uid.to_string()]);
        return;
    }
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("unreadable_defaults");
    let sshd = Sshd::start();
    sshd.key(ClientKey::Ed25519);
    let key = sshd.dir().join("users_key");
    write_private(&key, ClientKey::Ed25519.pair().private());
    chown(&key, Some(user.uid()), None).expect("chown");
    let file = user.home().join(".ssh/known_hosts");
    fs::write(&file, "").expect("write");
    let mut again = rerun(module_path!(), TEST);
    again.env("SSHOAL_TEST_UID", user.uid().to_string()).env("SSHOAL_TEST_PORT", sshd.port().to_string());
    again.env("SSHOAL_TEST_PIN", fingerprint(&sshd.host_keys()[0]).to_string()).env("SSHOAL_TEST_KEY", &key);
    for hidden in [&*file, user.home()] {
        let before = fs::metadata(hidden).expect("it exists").permissions();
        chown(hidden, Some(0), None).expect("chown");
        fs::set_permissions(hidden, fs::Permissions::from_mode(0o600)).expect("chmod");
        let output = again.output().expect("run this test's program");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let warning = format!("WARN: cannot read known hosts file {}: Permission denied", file.display());
        assert!(told.contains(&warning) && told.contains("a key that it revokes may be accepted"), "{told}");
        fs::set_permissions(hidden, before).expect("chmod");
        chown(hidden, Some(user.uid()), None).expect("chown");
        fs::remove_file(&file).unwrap_or_default();
    }
}
