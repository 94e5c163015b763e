//! Which of an agent's keys are offered first, which only, and by which files they are selected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sshoal::config::ClientBuilder;
use sshoal::error::AuthProblem;
use sshoal::{Error, HostErrorKind, ParallelClient};

use super::super::{build, guard, run_one, start_error};
use super::{HOST, authorized, outcomes, stranger, with_agent};
use crate::support::agent::Agent;
use crate::support::keys::{ClientKey, KeyPair};
use crate::support::openssh_client::Login;
use crate::support::sshd::Sshd;

/// An agent with twelve keys that no server accepts, and then this one.
fn thirteen(last: &KeyPair) -> Agent {
    let strangers: Vec<KeyPair> = (0..12).map(|_| stranger()).collect();
    Agent::with_keys(strangers.iter().chain([last]))
}

/// The key's file, encrypted with a passphrase that the client does not know.
fn encrypted(key: &KeyPair, dir: &Path, name: &str) -> PathBuf {
    let path = key.write(dir, name);
    fs::remove_file(path.with_extension("pub")).expect("public half");
    let change =
        Command::new("ssh-keygen").args(["-q", "-p", "-a", "1", "-N", "a secret", "-f"]).arg(&path).output();
    assert!(change.expect("ssh-keygen").status.success());
    path
}

#[track_caller]
fn assert_only_the_right_key_was_offered(sshd: &Sshd, builder: ClientBuilder, what: &str) {
    let before = outcomes(sshd).len();
    assert_eq!(run_one(&mut build(builder), "echo in"), ["in"], "{what}");
    assert_eq!(outcomes(sshd)[before..], ["Postponed", "Postponed", "Accepted"], "{what}: {}", sshd.log());
}

/// `MaxAuthTries` is 6, so the agent's own order would end the connection before the right key.
#[test]
fn the_key_of_an_identity_file_comes_before_twelve_others() {
    let _dog = guard("agent_thirteen");
    let sshd = Sshd::start();
    let right = authorized(&sshd, ClientKey::Ed25519);
    let agent = thirteen(right);
    let with = || with_agent(&sshd, [HOST], &agent.socket());
    let public = sshd.key(ClientKey::Ed25519).with_extension("pub");
    let locked = encrypted(right, sshd.dir(), "locked");
    let only_public = sshd.dir().join("only_public");
    fs::copy(&public, only_public.with_extension("pub")).expect("copy");
    for file in [sshd.key(ClientKey::Ed25519), public.clone(), locked.clone(), only_public] {
        let builder = with().identity_auth(true).identity_files([&file]);
        assert_only_the_right_key_was_offered(&sshd, builder, &format!("identity file {}", file.display()));
    }
    let text = fs::read(&public).expect("public key");
    for (what, builder) in [
        ("named", with().key_file(&public)),
        ("as text", with().key_bytes(text)),
        ("encrypted", with().key_file(&locked)),
    ] {
        assert_only_the_right_key_was_offered(&sshd, builder, what);
    }
}

#[test]
fn identities_only_keeps_the_other_keys_of_the_agent_back() {
    let _dog = guard("identities_only");
    let sshd = Sshd::start();
    let right = authorized(&sshd, ClientKey::Ed25519);
    let agent = Agent::with_keys([&stranger(), right]);
    let only = || with_agent(&sshd, [HOST], &agent.socket()).identities_only(true);
    let error = start_error(only());
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");
    assert_eq!(outcomes(&sshd), [""; 0], "{}", sshd.log());

    let other = stranger().write(sshd.dir(), "other");
    let error = start_error(only().identity_auth(true).identity_files([&other]));
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");
    assert_eq!(outcomes(&sshd), ["Failed"], "{}", sshd.log());
    let public = sshd.key(ClientKey::Ed25519).with_extension("pub");
    assert_only_the_right_key_was_offered(&sshd, only().key_file(&public), "named");
    let own = [sshoal::HostConfig::default().identities_only(false)];
    assert_eq!(run_one(&mut build(only().host_config(own)), "echo in"), ["in"]);
}

#[test]
fn a_selected_key_that_the_agent_does_not_hold_is_named() {
    let _dog = guard("agent_lacks");
    let sshd = Sshd::start();
    let absent = stranger();
    let public = absent.write(sshd.dir(), "absent").with_extension("pub");
    let locked = encrypted(&absent, sshd.dir(), "locked");
    let agent = Agent::with_keys([&stranger()]);
    for (file, what) in [
        (&public, "holds a public key, and the ssh-agent does not hold its key"),
        (&locked, "is encrypted and no passphrase was given, and the ssh-agent does not hold its key"),
    ] {
        let error = start_error(with_agent(&sshd, [HOST], &agent.socket()).key_file(file));
        let HostErrorKind::Auth { problems, .. } = error.kind() else { panic!("{error}") };
        let [AuthProblem::KeySkipped { path, reason, .. }] = problems.as_slice() else { panic!("{error}") };
        assert_eq!((path, &**reason), (file, what));
        // Other credentials are tried all the same.
        let builder = with_agent(&sshd, [HOST], &agent.socket()).key_file(file);
        let builder = builder.identity_auth(true).identity_files([sshd.key(ClientKey::Ed25519)]);
        assert_eq!(run_one(&mut build(builder), "echo in"), ["in"]);
    }
    // Without an agent, neither file can work.
    for file in [public, locked] {
        let builder = ParallelClient::builder([HOST]).no_known_hosts().identity_auth(false);
        let refused = builder.allow_agent(false).key_file(file).build();
        assert!(matches!(refused, Err(Error::KeyFile { .. })), "{refused:?}");
    }
}

/// The fingerprints of the keys that the server has refused, in order.
fn refused(sshd: &Sshd, from: usize) -> Vec<String> {
    let log = sshd.log();
    let failed = log.lines().filter(|line| line.starts_with("Failed publickey"));
    let fingerprints = failed.filter_map(|line| Some(line.rsplit_once("SHA256:")?.1.to_owned()));
    fingerprints.skip(from).collect()
}

/// The same agent and the same files, with OpenSSH's client and with this library.
#[test]
fn keys_are_offered_in_the_order_of_openssh() {
    let _dog = guard("agent_openssh_order");
    let sshd = Sshd::builder().option("MaxAuthTries 20").start();
    let keys: Vec<KeyPair> = (0..7).map(|_| stranger()).collect();
    let agent = Agent::with_keys(&keys[..5]);
    let file = |index: usize| keys[index].write(sshd.dir(), &format!("key{index}"));
    // In the agent: the fourth and the second key; only in files: the sixth and the seventh.
    let files = [file(5), encrypted(&keys[3], sshd.dir(), "locked"), file(1).with_extension("pub"), file(6)];
    for only in [false, true] {
        let known_hosts = sshd.known_hosts([HOST]);
        let login =
            Login { known_hosts: &known_hosts, user: sshd.user(), key: Some(files[0].clone()), secret: None };
        let before = refused(&sshd, 0).len();
        let mut ssh = login.command(HOST, sshd.port(), sshd.dir());
        // The first value of an option counts, so `IdentitiesOnly` must come first.
        let options: Vec<_> = ssh.get_args().map(ToOwned::to_owned).collect();
        ssh = Command::new("ssh");
        ssh.args(["-o", if only { "IdentitiesOnly=yes" } else { "IdentitiesOnly=no" }])
            .args(&options[..options.len() - 1]);
        for file in &files[1..] {
            ssh.arg("-i").arg(file);
        }
        ssh.arg(HOST).arg("true").env("SSH_AUTH_SOCK", agent.socket());
        assert!(!ssh.output().expect("ssh").status.success());
        let theirs = refused(&sshd, before);
        let builder = with_agent(&sshd, [HOST], &agent.socket()).identities_only(only);
        start_error(builder.identity_auth(true).identity_files(&files));
        assert_eq!(refused(&sshd, before + theirs.len()), theirs, "only: {only}");
        assert_eq!(theirs.len(), if only { 4 } else { 7 }, "{}", sshd.log());
    }
}
