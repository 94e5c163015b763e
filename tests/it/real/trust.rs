//! What the settings of a host, or of a proxy, say about its host key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sshoal::config::ClientBuilder;
use sshoal::error::AuthProblem;
use sshoal::hostkey::{HostKeyPolicy, HostKeyProblem};
use sshoal::{HostConfig, HostErrorKind, HostOutput, Outcome, ParallelClient, Proxy};

use super::{SLOW, build, client_for, guard, run_all, run_one, start_error, stdout, with_key};
use crate::support::agent::Agent;
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::openssh_client::Login;
use crate::support::sshd::Sshd;
use crate::support::system::{is_rerun, rerun};
use crate::support::user::TestUser;

const HOST: &str = "127.0.0.1";

/// A server whose host key no other server has.
fn own_key() -> Sshd {
    Sshd::builder().own_host_key(KeyPair::generate(KeyType::Ed25519)).log_level("DEBUG1").start()
}

fn write(sshd: &Sshd, name: &str, text: &str) -> PathBuf {
    let path = sshd.dir().join(name);
    fs::write(&path, text).expect("write");
    path
}

/// A file with the key that a server has lost, under the name of the host.
fn changed(sshd: &Sshd) -> PathBuf {
    let old = KeyPair::generate(KeyType::Ed25519);
    write(sshd, "changed", &format!("[{HOST}]:{} {}\n", sshd.port(), old.public()))
}

/// What is wrong with the host's key.
#[track_caller]
fn problem(output: &HostOutput) -> String {
    match output.outcome() {
        Some(Outcome::Failed(error)) => match error.kind() {
            HostErrorKind::HostKey(error) => format!("{:?}", error.problem()),
            _ => panic!("{error}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_hosts_of_a_fleet_have_their_own_files_and_policies() {
    let _dog = guard("own_files_and_policies");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let known = write(
        &sshd,
        "known",
        &hosts[..2].iter().map(|host| sshd.known_hosts_lines(host)).collect::<String>(),
    );
    let new = sshd.dir().join("new/known_hosts");
    let of_new = HostConfig::default().known_hosts([&new]);
    let configs = [
        HostConfig::default().known_hosts([&known]),
        // The first host's file knows this host, but this file does not.
        of_new.clone(),
        of_new.host_keys(HostKeyPolicy::accept_new(&new)),
    ];
    let builder = client_for(&sshd, &hosts).no_known_hosts().host_config(configs);
    let mut client = build(builder);
    let outputs = run_all(&mut client, "echo in");
    assert_eq!(problem(&outputs[1]), "Unknown");
    assert_eq!([0, 2].map(|index| stdout(&outputs[index])), [["in"], ["in"]]);
    assert_eq!(fs::read_to_string(&new).expect("written"), sshd.known_hosts_lines(&hosts[2]));
    assert_eq!(sshd.count("Accepted publickey"), 2);
    // A reload reads the files of all hosts, and a refusal those of its host.
    fs::write(&known, "").expect("write");
    fs::write(&new, sshd.known_hosts_lines(&hosts[1])).expect("write");
    client.disconnect().expect("a poll");
    assert_eq!(stdout(&run_all(&mut client, "echo in")[1]), ["in"]);
    client.reload().expect("the files are there");
    client.disconnect().expect("a poll");
    let outputs = run_all(&mut client, "echo in");
    assert_eq!(problem(&outputs[0]), "Unknown");
    assert_eq!([1, 2].map(|index| stdout(&outputs[index])), [["in"], ["in"]]);
}

/// `ProxyJump` over two hops, each with its own user, key, and known_hosts file. Nobody has two of
/// the three keys on record.
#[test]
fn each_hop_has_its_own_user_key_and_files() {
    let Some(outer_user) = TestUser::create() else { return };
    let Some(inner_user) = TestUser::create() else { return };
    let _dog = guard("own_hops");
    let [outer, inner, target] = [own_key(), own_key(), own_key()];
    let [outer_known, inner_known, target_known] =
        [&outer, &inner, &target].map(|sshd| sshd.known_hosts([HOST]));
    let hop = |sshd: &Sshd, user: &TestUser, key, known: &Path| {
        let proxy = Proxy::new(format!("{HOST}:{}", sshd.port())).user(user.name()).key_file(sshd.key(key));
        proxy.identity_auth(false).allow_agent(false).known_hosts([known])
    };
    let way = |outer_known, inner_known, target_known: &Path| {
        let hops = [
            hop(&outer, &outer_user, ClientKey::Ed25519, outer_known),
            hop(&inner, &inner_user, ClientKey::Ecdsa, inner_known),
        ];
        let builder = ParallelClient::builder([HOST]).port(target.port()).user(target.user());
        let builder = builder.key_file(target.key(ClientKey::Rsa)).identity_auth(false).allow_agent(false);
        let own = HostConfig::default().known_hosts([target_known]).proxies(hops);
        builder.no_known_hosts().host_config([own]).max_attempts(1).timeout(SLOW)
    };
    let mut client = build(way(&outer_known, &inner_known, &target_known));
    assert_eq!(run_one(&mut client, "id -un"), [target.user()]);
    for (sshd, user, key) in [
        (&outer, outer_user.name(), "ED25519"),
        (&inner, inner_user.name(), "ECDSA"),
        (&target, target.user(), "RSA"),
    ] {
        let accepted = format!("Accepted publickey for {user} from");
        sshd.await_log(&accepted, 1);
        let log = sshd.log();
        let line = log.lines().find(|line| line.starts_with(&accepted)).expect("a login");
        assert!(line.contains(key), "{line}");
    }
    drop(client);
    // A jump host with a name of its own in the files, dialled at its address.
    let aliased = write(&outer, "aliased", &format!("bastion {}\n", outer.host_keys()[0].public()));
    let named = Proxy::new(format!("gate:{}", outer.port())).hostname(HOST).host_key_alias("bastion");
    let named = named.user(outer_user.name()).key_file(outer.key(ClientKey::Ed25519)).known_hosts([&aliased]);
    let named = named.identity_auth(false).allow_agent(false);
    let own = HostConfig::default().known_hosts([&target_known]).proxy(named);
    let mut client = build(way(&outer_known, &inner_known, &target_known).host_config([own]));
    assert_eq!(run_one(&mut client, "echo in"), ["in"]);
    drop(client);
    // Each is verified by its own file: not by that of the next hop, nor by that of the host.
    for (files, failed) in [
        ([&inner_known, &inner_known, &target_known], Some(&outer)),
        ([&outer_known, &target_known, &target_known], Some(&inner)),
        ([&outer_known, &inner_known, &inner_known], None),
    ] {
        let [outer_file, inner_file, target_file] = files;
        let error = start_error(way(outer_file, inner_file, target_file));
        let (mut kind, mut port) = (error.kind(), error.port());
        while let HostErrorKind::Proxy(inner) = kind {
            (kind, port) = (inner.kind(), inner.port());
        }
        assert!(matches!(kind, HostErrorKind::HostKey(key) if key.port() == port), "{error}");
        assert_eq!(port, failed.map_or(target.port(), Sshd::port), "{error}");
    }
}

/// Many hosts behind the ports of one address, as with port forwarding: each has a name of its own
/// in the files, without a port (`HostKeyAlias`).
#[test]
fn each_port_of_an_address_has_its_own_alias() {
    const COUNT: usize = 5;
    let _dog = guard("host_key_alias");
    let sshds: Vec<Sshd> = (0..COUNT).map(|_| own_key()).collect();
    let alias = |index: usize| format!("node{}.example", index % COUNT);
    let line = |index: usize| format!("{} {}\n", alias(index), sshds[index].host_keys()[0].public());
    let known = write(&sshds[0], "known", &(0..COUNT).map(line).collect::<String>());
    let new = sshds[0].dir().join("new");
    let builder = |shift: usize| {
        let hosts = sshds.iter().map(|sshd| format!("{HOST}:{}", sshd.port()));
        let builder = with_key(ParallelClient::builder(hosts).user(sshds[0].user()), &sshds[0]);
        sshds.iter().skip(1).for_each(|sshd| drop(sshd.key(ClientKey::Ed25519)));
        let config = |index| HostConfig::default().host_key_alias(alias(index + shift));
        builder.known_hosts([&known]).host_config((0..COUNT).map(config))
    };
    for output in run_all(&mut build(builder(0)), "echo in") {
        assert_eq!(stdout(&output), ["in"], "{:?}", output.outcome());
    }
    // Without the aliases, no line names the hosts; with those of others, the keys are wrong.
    for output in run_all(&mut build(builder(0).host_config(vec![HostConfig::default(); COUNT])), "true") {
        assert_eq!(problem(&output), "Unknown");
    }
    for output in run_all(&mut build(builder(1)), "true") {
        assert_eq!(problem(&output), "Changed");
    }
    // New keys are recorded under the aliases.
    let accepts = builder(0).known_hosts([&new]).host_keys(HostKeyPolicy::accept_new(&new));
    run_all(&mut build(accepts), "true").iter().for_each(|output| assert_eq!(output.exit_code(), Some(0)));
    let mut recorded: Vec<String> =
        fs::read_to_string(&new).expect("written").lines().map(|line| format!("{line}\n")).collect();
    recorded.sort();
    assert_eq!(recorded, (0..COUNT).map(line).collect::<Vec<_>>());
}

/// Makes a file with `ssh-keygen`.
fn keygen(arguments: &[&str], path: &Path) {
    let status = Process::new("ssh-keygen").args(["-q", "-k", "-f"]).arg(path).args(arguments).status();
    assert!(status.expect("ssh-keygen").success());
}

#[test]
fn a_key_in_a_file_of_revoked_keys_is_refused_before_any_credential() {
    let _dog = guard("revoked_by_file");
    let [sshd, other] = [own_key(), own_key()];
    let public = write(&sshd, "host.pub", &format!("{}\n", sshd.host_keys()[0].public()));
    let public = public.to_str().expect("UTF-8");
    let text = write(&sshd, "revoked", &format!("# stolen\n{}\n", sshd.host_keys()[0].public()));
    let krl = sshd.dir().join("krl");
    keygen(&[public], &krl);
    let by_hash = sshd.dir().join("krl_by_hash");
    let spec = write(&sshd, "spec", &format!("sha256: {}\n", sshd.host_keys()[0].public()));
    keygen(&[spec.to_str().expect("UTF-8")], &by_hash);
    for file in [&text, &krl, &by_hash] {
        for policy in [HostKeyPolicy::strict(), HostKeyPolicy::danger_accept_any_host_key()] {
            let builder = client_for(&sshd, [HOST]).password("a secret").revoked_host_keys(file);
            let error = start_error(builder.host_keys(policy));
            let HostErrorKind::HostKey(key) = error.kind() else { panic!("{error}") };
            assert!(
                matches!(key.problem(), HostKeyProblem::RevokedByFile { path } if path == file),
                "{error}"
            );
            assert!(error.to_string().contains(&format!("is revoked by {}", file.display())), "{error}");
        }
        // The key of another host is not in the file.
        let mut client = build(client_for(&other, [HOST]).revoked_host_keys(file));
        assert_eq!(run_one(&mut client, "echo in"), ["in"]);
    }
    sshd.await_log("Disconnected from", 6);
    assert_eq!(sshd.userauth_requests(), 0, "{}", sshd.log());
    // A running client revokes what a reload finds, unless the file is damaged.
    let later = write(&other, "later", "");
    let mut client = build(client_for(&other, [HOST]).revoked_host_keys(&later));
    run_one(&mut client, "true");
    fs::write(&later, format!("{}\n", other.host_keys()[0].public())).expect("write");
    client.reload().expect("a file");
    client.disconnect().expect("a poll");
    assert!(problem(&run_all(&mut client, "true")[0]).starts_with("RevokedByFile"));
    fs::write(&later, "damaged").expect("write");
    let error = client.reload().expect_err("it is damaged").to_string();
    assert!(error.contains("line 1: not of the form"), "{error}");
    assert!(problem(&run_all(&mut client, "true")[0]).starts_with("RevokedByFile"));
}

#[test]
fn names_are_recorded_hashed_for_openssh_to_find() {
    let _dog = guard("hash_known_hosts");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(2).collect();
    let file = sshd.dir().join("hashed");
    let builder = client_for(&sshd, &hosts).known_hosts([&file]).hash_known_hosts(true);
    // The first host takes the client's setting, the second has its own.
    let configs = [HostConfig::default(), HostConfig::default().hash_known_hosts(false)];
    let mut client = build(builder.host_config(configs).host_keys(HostKeyPolicy::accept_new(&file)));
    run_all(&mut client, "true").iter().for_each(|output| assert_eq!(output.exit_code(), Some(0)));
    let text = fs::read_to_string(&file).expect("written");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert!(lines[0].starts_with(&format!("[{}]:{} ", hosts[1], sshd.port())), "{text}");
    assert!(lines[1].starts_with("|1|") && !text.contains(&hosts[0]), "{text}");
    for host in &hosts {
        let name = format!("[{host}]:{}", sshd.port());
        let found = Process::new("ssh-keygen").args(["-F", &name, "-f"]).arg(&file).output().expect("runs");
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        assert!(found.contains("found: line") && found.contains(sshd.host_keys()[0].public()), "{found}");
    }
    let mut strict = build(client_for(&sshd, &hosts).known_hosts([&file]));
    run_all(&mut strict, "true").iter().for_each(|output| assert_eq!(output.exit_code(), Some(0)));
}

/// A client that accepts changed keys, with every credential that a test adds.
fn accepting(sshd: &Sshd, user: &str, known: &Path) -> ClientBuilder {
    let builder = ParallelClient::builder([HOST]).port(sshd.port()).user(user).identity_auth(false);
    let builder = builder.allow_agent(false).max_attempts(1).timeout(SLOW).known_hosts([known]);
    builder.host_keys(HostKeyPolicy::danger_accept_changed(known))
}

/// `StrictHostKeyChecking no` and a changed key: the password is not sent, as by `ssh`.
#[test]
fn a_host_with_a_changed_key_gets_no_password_but_a_signature() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("changed_key_restricts");
    let builder = Sshd::builder().own_host_key(KeyPair::generate(KeyType::Ed25519)).log_level("DEBUG1");
    let sshd = builder.option("UsePAM yes").option("KbdInteractiveAuthentication yes").start();
    let known = changed(&sshd);
    let before = fs::read_to_string(&known).expect("a file");
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = asked.clone();
    let answer = move |challenge: &sshoal::config::Challenge<'_>| {
        counts.fetch_add(1, Ordering::Relaxed);
        Some(challenge.prompts.iter().map(|_| "an answer".into()).collect())
    };
    let with_secrets =
        || accepting(&sshd, user.name(), &known).password(user.password()).responder(answer.clone());
    let error = start_error(with_secrets());
    let HostErrorKind::Auth { problems, .. } = error.kind() else { panic!("{error}") };
    assert!(problems.contains(&AuthProblem::HostKeyChanged), "{error}");
    assert!(error.to_string().contains("because the host's key has changed"), "{error}");
    sshd.await_log("Disconnected from", 1);
    assert_eq!((sshd.userauth_requests(), asked.load(Ordering::Relaxed)), (0, 0), "{}", sshd.log());

    // A key login works. The agent is not forwarded.
    let agent = Agent::with_keys([ClientKey::Ed25519.pair()]);
    let builder = with_secrets().key_file(sshd.key(ClientKey::Ed25519)).agent_socket(agent.socket());
    let mut client = build(builder.forward_ssh_agent(true));
    assert_eq!(run_one(&mut client, "echo ${SSH_AUTH_SOCK:-none}"), ["none"]);
    let methods = || sshd.auth_messages().into_iter().map(|message| message.method).collect::<Vec<_>>();
    assert!(methods().iter().all(|method| method == "publickey"), "{:?}", methods());
    // The old key stays on record, so the next connection is restricted too.
    assert_eq!(fs::read_to_string(&known).expect("a file"), before);
    // With the right key on record, nothing is restricted, not even for the same client.
    fs::write(&known, sshd.known_hosts_lines(HOST)).expect("write");
    client.reload().expect("a file");
    client.disconnect().expect("a poll");
    assert_ne!(run_one(&mut client, "echo ${SSH_AUTH_SOCK:-none}"), ["none"]);
    assert_eq!(
        run_one(&mut build(accepting(&sshd, user.name(), &known).password(user.password())), "true"),
        [""; 0]
    );
}

/// A new key is recorded. If it cannot be, it is accepted, and is not a changed one.
#[test]
fn a_new_key_is_accepted_recorded_or_not() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("danger_new_key");
    let sshd = Sshd::start();
    let new = sshd.dir().join("new");
    for file in [&*new, Path::new("/dev/full")] {
        let builder = accepting(&sshd, user.name(), file).password(user.password()).no_known_hosts();
        assert_eq!(run_one(&mut build(builder), "echo in"), ["in"], "{}", file.display());
        assert_eq!(fs::read_to_string(&new).expect("written"), sshd.known_hosts_lines(HOST));
    }
}

pub(super) static LOG: Mutex<String> = Mutex::new(String::new());

/// Collects warnings in [`LOG`].
pub(super) struct Collector;

impl log::Log for Collector {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        *LOG.lock().expect("no panic") += &format!("{} {}\n", record.level(), record.args());
    }

    fn flush(&self) {}
}

/// In a separate process, because each process has one logger.
#[test]
fn the_log_names_a_changed_key_that_was_accepted() {
    if !is_rerun() {
        let status = rerun(module_path!(), "the_log_names_a_changed_key_that_was_accepted").status();
        assert!(status.expect("a process").success());
        return;
    }
    let _dog = guard("changed_key_is_logged");
    log::set_logger(&Collector).expect("the only logger");
    log::set_max_level(log::LevelFilter::Warn);
    let sshd = own_key();
    let known = changed(&sshd);
    let builder = accepting(&sshd, sshd.user(), &known).key_file(sshd.key(ClientKey::Ed25519));
    run_one(&mut build(builder), "true");
    let log = LOG.lock().expect("no panic");
    let changed = format!("WARN host key of {HOST}:{} (ssh-ed25519 SHA256:", sshd.port());
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with(&changed)).collect();
    let [line] = lines[..] else { panic!("{log}") };
    assert!(line.contains(&format!("another key is on record in {}:1", known.display())), "{line}");
    assert!(line.ends_with("without passwords, keyboard-interactive and agent forwarding"), "{line}");
}

/// `ssh` accepts the host by its certificate. What the error advises makes it known here.
#[test]
fn a_host_that_only_an_authority_vouches_for_is_explained() {
    let _dog = guard("authority_only");
    let (host, authority) = (KeyPair::generate(KeyType::Ed25519), KeyPair::generate(KeyType::Ed25519));
    let dir = tempfile::tempdir().expect("a directory");
    let (key, ca) = (dir.path().join("host"), dir.path().join("ca"));
    fs::write(dir.path().join("host.pub"), format!("{}\n", host.public())).expect("write");
    crate::support::keys::write_private(&ca, authority.private());
    let sign = ["-q", "-h", "-I", "host", "-n", HOST, "-s"];
    let signed = Process::new("ssh-keygen").args(sign).arg(&ca).arg(key.with_extension("pub")).status();
    assert!(signed.expect("ssh-keygen").success());
    let certificate = format!("HostCertificate {}", dir.path().join("host-cert.pub").display());
    let sshd = Sshd::builder().own_host_key(host).option(&certificate).start();

    let line = format!("@cert-authority [{HOST}]:{} {}\n", sshd.port(), authority.public());
    let known = write(&sshd, "known", &line);
    let login = Login {
        known_hosts: &known,
        user: sshd.user(),
        key: Some(sshd.key(ClientKey::Ed25519)),
        secret: None,
    };
    let by_ssh = login.run(HOST, sshd.port(), "echo in");
    assert_eq!(by_ssh.stdout, b"in\n", "{}", String::from_utf8_lossy(&by_ssh.stderr));

    let builder = || client_for(&sshd, [HOST]).known_hosts([&known]);
    let error = start_error(builder());
    let HostErrorKind::HostKey(cause) = error.kind() else { panic!("{error}") };
    let HostKeyProblem::AuthorityOnly { authority } = cause.problem() else { panic!("{error}") };
    assert_eq!(authority.to_string(), format!("{}:1", known.display()));
    let text = error.to_string();
    assert!(text.contains("host certificates") && text.contains("HostKeyPolicy::accept_new"), "{text}");
    let advice = text.split('`').nth(1).expect("a command");
    assert!(Process::new("sh").args(["-c", advice]).status().expect("sh").success(), "{advice}");
    assert_eq!(run_one(&mut build(builder()), "echo in"), ["in"]);
    // accept_new records the plain key, too.
    fs::write(&known, line).expect("write");
    run_one(&mut build(builder().host_keys(HostKeyPolicy::accept_new(&known))), "true");
    assert_eq!(run_one(&mut build(builder()), "echo in"), ["in"]);
}
