//! Logging in with an agent's keys: order, counts, certificates, switches.

use std::fs;
use std::path::PathBuf;

use sshoal::{Error, HostConfig, HostErrorKind, Stage};

use super::super::{build, guard, join, run_one, start_error, stdout};
use super::{HOST, authorized, outcomes, stranger, with_agent};
use crate::support::agent::{Agent, FakeAgent, REQUEST_IDENTITIES, SIGN_REQUEST};
use crate::support::fds::FdBaseline;
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::sshd::Sshd;
use crate::support::system::{is_rerun, rerun};

/// A signature may require a touch or a click by the agent's user: none is requested for a key that
/// the host does not accept.
#[test]
fn of_three_keys_only_the_one_that_the_host_wants_signs() {
    let _dog = guard("agent_three_keys");
    let sshd = Sshd::start();
    let (first, second) = (stranger(), stranger());
    let agent = Agent::with_keys([&first, &second, authorized(&sshd, ClientKey::Ed25519)]);
    let counting = FakeAgent::counting(&agent);
    let mut client = build(with_agent(&sshd, [HOST], &counting.socket()));
    assert_eq!(run_one(&mut client, "echo in"), ["in"]);
    assert_eq!((counting.requests(REQUEST_IDENTITIES), counting.requests(SIGN_REQUEST)), (1, 1));
    sshd.await_log("Accepted publickey", 1);
    // The key is queried again before the signature is sent.
    assert_eq!(outcomes(&sshd), ["Failed", "Failed", "Postponed", "Postponed", "Accepted"]);
}

#[test]
fn fifty_hosts_share_one_connection_to_the_agent() {
    let _dog = guard("agent_fifty_hosts");
    let sshd = Sshd::start();
    let agent = Agent::with_keys([&stranger(), authorized(&sshd, ClientKey::Ed25519)]);
    let counting = FakeAgent::counting(&agent);
    let hosts: Vec<String> = sshd.hosts(50).collect();
    let mut client = build(with_agent(&sshd, hosts.iter().map(String::as_str), &counting.socket()));
    for _ in 0..2 {
        let outputs = client.run_command("echo in").expect("all start");
        outputs.iter().for_each(|output| assert_eq!(stdout(output), ["in"], "{}", output.host()));
    }
    assert_eq!(counting.connections(), 1);
    assert_eq!((counting.requests(REQUEST_IDENTITIES), counting.requests(SIGN_REQUEST)), (1, 50));
}

#[test]
fn every_kind_of_key_signs() {
    let _dog = guard("agent_kinds");
    let sshd = Sshd::start();
    let agent = Agent::start();
    for key in [ClientKey::Ed25519, ClientKey::Ecdsa, ClientKey::Rsa] {
        agent.clear();
        agent.add(authorized(&sshd, key));
        let mut client = build(with_agent(&sshd, [HOST], &agent.socket()));
        assert_eq!(run_one(&mut client, "echo in"), ["in"], "{key:?}");
    }
}

#[test]
fn a_certificate_in_the_agent_opens_the_host() {
    let _dog = guard("agent_certificate");
    let authority = KeyPair::generate(KeyType::Ed25519);
    for key_type in [KeyType::Ed25519, KeyType::Ecdsa, KeyType::Rsa] {
        let line = format!("cert-authority {}", authority.public());
        let sshd = Sshd::builder().authorized_key(&line).start();
        let key = KeyPair::generate(key_type);
        let agent = Agent::start();
        agent.add_certificate(&key, &authority.certify(&key, sshd.user(), "+1h"));
        let mut client = build(with_agent(&sshd, [HOST], &agent.socket()));
        assert_eq!(run_one(&mut client, "echo in"), ["in"], "{key_type:?}");
    }
}

/// A refused key is not offered again when it appears a second time.
#[test]
fn the_agent_comes_after_the_named_key_and_before_the_identity_files() {
    let _dog = guard("agent_order");
    let sshd = Sshd::start();
    let (named, kept, filed) =
        (stranger(), KeyPair::generate(KeyType::Ecdsa), KeyPair::generate(KeyType::Rsa));
    let agent = Agent::with_keys([&named, &kept]);
    let file = |key: &KeyPair, name| key.write(sshd.dir(), name);
    let files: [PathBuf; 3] = [file(&kept, "kept"), file(&filed, "filed"), sshd.key(ClientKey::Ed25519)];
    let builder = with_agent(&sshd, [HOST], &agent.socket()).key_file(file(&named, "named"));
    assert_eq!(run_one(&mut build(builder.identity_auth(true).identity_files(files)), "echo in"), ["in"]);
    sshd.await_log("Accepted publickey", 1);
    let log = sshd.log();
    let refused = log.lines().filter(|line| line.starts_with("Failed publickey"));
    let kinds: Vec<&str> =
        refused.filter_map(|line| line.split_once("ssh2: ")?.1.split(' ').next()).collect();
    assert_eq!(kinds, ["ED25519", "ECDSA", "RSA"], "{log}");
    assert_eq!(outcomes(&sshd), ["Failed", "Failed", "Failed", "Postponed", "Accepted"], "{log}");
}

#[test]
fn keys_added_after_a_command_are_found_by_the_next() {
    let _dog = guard("agent_added");
    let sshd = Sshd::start();
    let agent = Agent::start();
    let mut client = build(with_agent(&sshd, [HOST], &agent.socket()));
    let Err(Error::Host(error)) = client.run_command("true") else { panic!("no key, and yet in") };
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");
    agent.add(authorized(&sshd, ClientKey::Ed25519));
    assert_eq!(run_one(&mut client, "echo in"), ["in"]);
}

/// `allow_agent` of parallel-ssh; its `HostConfig` cannot switch the agent off.
#[test]
fn a_host_can_have_the_agent_switched_off() {
    let _dog = guard("agent_off");
    let sshd = Sshd::start();
    let agent = Agent::with_keys([authorized(&sshd, ClientKey::Ed25519)]);
    let counting = FakeAgent::counting(&agent);
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let all = || with_agent(&sshd, hosts.iter().map(String::as_str), &counting.socket());
    let off = HostConfig::default().allow_agent(false);
    let mut client = build(all().host_config([HostConfig::default(), off.clone(), HostConfig::default()]));
    let outputs = client.start_command("echo in").expect("a command");
    join(&client, &outputs);
    let opened: Vec<bool> = outputs.iter().map(|output| output.error().is_none()).collect();
    assert_eq!(opened, [true, false, true]);
    assert_eq!(counting.requests(SIGN_REQUEST), 2);

    let on = HostConfig::default().allow_agent(true);
    let mut client = build(all().allow_agent(false).host_config([on, HostConfig::default(), off]));
    let outputs = client.start_command("echo in").expect("a command");
    join(&client, &outputs);
    let opened: Vec<bool> = outputs.iter().map(|output| output.error().is_none()).collect();
    assert_eq!(opened, [true, false, false]);
    assert_eq!(counting.requests(SIGN_REQUEST), 3);
}

#[test]
fn hosts_can_have_agents_of_their_own() {
    let _dog = guard("agent_per_host");
    let sshd = Sshd::start();
    let right = Agent::with_keys([authorized(&sshd, ClientKey::Ed25519)]);
    let wrong = Agent::with_keys([&stranger()]);
    let hosts: Vec<String> = sshd.hosts(2).collect();
    let own = HostConfig::default().agent_socket(right.socket());
    let builder = with_agent(&sshd, hosts.iter().map(String::as_str), &wrong.socket());
    let client = &mut build(builder.host_config([own, HostConfig::default()]));
    let outputs = client.start_command("echo in").expect("a command");
    join(client, &outputs);
    let opened: Vec<bool> = outputs.iter().map(|output| output.error().is_none()).collect();
    assert_eq!(opened, [true, false]);
}

#[test]
fn more_keys_than_the_host_hears_are_a_failed_login() {
    let _dog = guard("agent_max_tries");
    let sshd = Sshd::builder().option("MaxAuthTries 3").start();
    let keys: Vec<KeyPair> = (0..5).map(|_| stranger()).collect();
    let agent = Agent::with_keys(&keys);
    let counting = FakeAgent::counting(&agent);
    let error = start_error(with_agent(&sshd, [HOST], &counting.socket()).num_retries(3));
    assert_eq!((error.stage(), error.attempt()), (Stage::Authenticating, 1), "{error}");
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error:?}");
    assert!(error.to_string().contains("Too many authentication failures"), "{error}");
    assert_eq!((sshd.count("Connection from"), counting.requests(SIGN_REQUEST)), (1, 0));
}

#[test]
fn two_keys_of_the_agent_open_a_host_that_wants_two() {
    let _dog = guard("agent_two_keys");
    let sshd = Sshd::builder().option("AuthenticationMethods publickey,publickey").start();
    let keys = [ClientKey::Ed25519, ClientKey::Ecdsa].map(|key| authorized(&sshd, key));
    let agent = Agent::with_keys(keys);
    let counting = FakeAgent::counting(&agent);
    let mut client = build(with_agent(&sshd, [HOST], &counting.socket()));
    assert_eq!(run_one(&mut client, "echo in"), ["in"]);
    assert_eq!((counting.requests(REQUEST_IDENTITIES), counting.requests(SIGN_REQUEST)), (1, 2));
}

/// A login needs no extra descriptor for the agent: the pool can be as large as without one.
#[test]
fn a_login_by_the_agent_leaves_one_descriptor_for_all() {
    if !is_rerun() {
        let status = rerun(module_path!(), "a_login_by_the_agent_leaves_one_descriptor_for_all").status();
        assert!(status.expect("run this test's program").success());
        return;
    }
    let sshd = Sshd::start();
    let agent = Agent::with_keys([authorized(&sshd, ClientKey::Ed25519)]);
    let hosts: Vec<String> = sshd.hosts(5).collect();
    let with = || with_agent(&sshd, hosts.iter().map(String::as_str), &agent.socket());
    let open = |builder| {
        let mut client = build(builder);
        let before = FdBaseline::now().count();
        let outputs = client.run_command("true").expect("all start");
        join(&client, &outputs);
        FdBaseline::now().count() - before
    };
    assert_eq!(open(with().allow_agent(false).key_file(sshd.key(ClientKey::Ed25519))), 5);
    assert_eq!(open(with()), 6);
    let baseline = FdBaseline::now();
    drop(build(with()).run_command("true"));
    baseline.assert_same();
}

#[test]
fn the_environment_names_the_agent() {
    const TEST: &str = "the_environment_names_the_agent";
    let sshd_port = std::env::var("SSHOAL_TEST_PORT");
    if is_rerun() {
        let port: u16 = sshd_port.expect("a port").parse().expect("a number");
        let known_hosts = std::env::var_os("SSHOAL_TEST_KNOWN_HOSTS").expect("a file");
        let builder = sshoal::ParallelClient::builder([HOST]).port(port).known_hosts([known_hosts]);
        let mut client = build(builder.identity_auth(false).num_retries(1).timeout(super::SLOW));
        assert_eq!(run_one(&mut client, "echo in"), ["in"]);
        return;
    }
    let _dog = guard("agent_environment");
    let sshd = Sshd::start();
    let agent = Agent::with_keys([authorized(&sshd, ClientKey::Ed25519)]);
    let with = |socket: Option<PathBuf>| {
        let mut again = rerun(module_path!(), TEST);
        again.env("SSHOAL_TEST_PORT", sshd.port().to_string());
        again.env("SSHOAL_TEST_KNOWN_HOSTS", sshd.known_hosts([HOST])).env_remove("SSH_AUTH_SOCK");
        again.stderr(std::process::Stdio::null());
        again.envs(socket.map(|socket| ("SSH_AUTH_SOCK", socket)));
        again.status().expect("run this test's program").success()
    };
    assert!(with(Some(agent.socket())));
    assert!(!with(None) && !with(Some(PathBuf::new())), "without an agent there is no credential");
}

#[test]
fn a_path_that_no_socket_can_have_is_an_error_of_build() {
    let long = PathBuf::from("/").join("x".repeat(120));
    let builder = || sshoal::ParallelClient::builder([HOST]).no_known_hosts().identity_auth(false);
    let problem = builder().agent_socket(&long).build().expect_err("too long").to_string();
    assert!(problem.starts_with("agent_socket \"/xxx"), "{problem}");
    let own = [HostConfig::default().agent_socket(&long)];
    let problem = builder().host_config(own).build().expect_err("too long").to_string();
    let start = format!("host 1 of the list ({HOST}): agent_socket");
    assert!(problem.starts_with(&start), "{problem}");
    assert!(!fs::exists(long).unwrap_or(true));
}
