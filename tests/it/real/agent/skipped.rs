//! What the error of a failed login says about credentials that were skipped, and about keys that
//! were refused.

use std::fs;
use std::path::Path;
use std::process::Command;

use sshoal::error::{AuthMethod, AuthProblem};
use sshoal::{HostError, HostErrorKind};

use super::super::{guard, start_error};
use super::{HOST, stranger, with_agent};
use crate::support::agent::Agent;
use crate::support::examples::example;
use crate::support::keys::{KeyPair, KeyType};
use crate::support::sshd::Sshd;

fn locked_in(dir: &Path) -> std::path::PathBuf {
    KeyPair::generate_encrypted(KeyType::Ed25519, "secret").write(dir, "id_locked")
}

/// The second half of the error's text, which follows what the server offers.
#[track_caller]
fn after_the_offer(error: &HostError) -> String {
    let text = error.to_string();
    let (_, rest) = text.split_once("; the server offers ").unwrap_or_else(|| panic!("{text}"));
    rest.split_once("; ").map_or_else(String::new, |(_, rest)| rest.to_owned())
}

#[test]
fn an_encrypted_identity_beside_an_empty_agent_is_named() {
    let _dog = guard("skipped_encrypted");
    let sshd = Sshd::start();
    let (agent, locked) = (Agent::start(), locked_in(sshd.dir()));
    let error =
        start_error(with_agent(&sshd, [HOST], &agent.socket()).identity_auth(true).identity_files([&locked]));
    let text = error.to_string();
    assert!(text.contains(": tried nothing; the server offers publickey"), "{text}");
    let expected = format!(
        "the ssh-agent holds no key; skipped {}, which is encrypted and no passphrase was given, and the \
         ssh-agent does not hold its key",
        locked.display()
    );
    assert_eq!(after_the_offer(&error), expected);
    let HostErrorKind::Auth { problems, .. } = error.kind() else { panic!("{error}") };
    let [AuthProblem::AgentSkipped(_), AuthProblem::KeySkipped { path, .. }] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert_eq!(*path, locked);
}

#[test]
fn files_that_cannot_be_used_are_named_without_an_agent() {
    let _dog = guard("skipped_files");
    let sshd = Sshd::start();
    let (locked, folder) = (locked_in(sshd.dir()), sshd.dir().join("folder"));
    fs::create_dir(&folder).expect("a directory");
    let files = [&locked, &sshd.dir().join("missing"), &folder];
    let builder = with_agent(&sshd, [HOST], Path::new("/unused")).allow_agent(false).identity_auth(true);
    let error = start_error(builder.identity_files(files));
    let (locked, folder) = (locked.display(), folder.display());
    let expected = format!(
        "skipped {locked}, which is encrypted and no passphrase was given; skipped {folder}, which cannot be \
         read: "
    );
    let told = after_the_offer(&error);
    assert!(told.starts_with(&expected) && !told.contains("missing"), "{told}");
}

#[test]
fn a_dead_agent_is_named_with_its_socket() {
    let _dog = guard("skipped_agent");
    let sshd = Sshd::start();
    let locked = locked_in(sshd.dir());
    let agent = Agent::start();
    let socket = agent.socket();
    drop(agent);
    let error = start_error(with_agent(&sshd, [HOST], &socket).identity_auth(true).identity_files([&locked]));
    let expected = format!(
        "the ssh-agent at {} cannot be reached: No such file or directory (os error 2); skipped {}, which is \
         encrypted and no passphrase was given",
        socket.display(),
        locked.display()
    );
    assert_eq!(after_the_offer(&error), expected);
}

/// Also the one that `SSH_AUTH_SOCK` names.
#[test]
fn a_dead_agent_of_the_environment_is_named() {
    let program = example("quickstart");
    let _dog = guard("skipped_env");
    let sshd = Sshd::start();
    let socket = sshd.dir().join("gone");
    let hosts = format!("{HOST}:{}", sshd.port());
    let known_hosts = sshd.known_hosts([HOST]);
    let output = Command::new(program)
        .args(["--hosts", &hosts, "--user", sshd.user(), "--known-hosts"])
        .arg(known_hosts)
        .args(["--", "true"])
        .env("SSH_AUTH_SOCK", &socket)
        .output()
        .expect("the example runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected = format!("the ssh-agent at {} cannot be reached: No such file", socket.display());
    assert!(stderr.contains(&expected), "{stderr}");
    assert!(!stderr.contains("no credential is configured"), "{stderr}");
}

#[test]
fn a_damaged_certificate_beside_a_key_is_named() {
    let _dog = guard("skipped_certificate");
    let sshd = Sshd::start();
    let key = stranger().write(sshd.dir(), "key");
    let certificate = sshd.dir().join("key-cert.pub");
    fs::write(&certificate, "ssh-ed25519-cert-v01@openssh.com AAAA").expect("written");
    let builder = with_agent(&sshd, [HOST], Path::new("/unused")).allow_agent(false);
    for builder in [builder.clone().key_file(&key), builder.identity_auth(true).identity_files([&key])] {
        let error = start_error(builder);
        let expected = format!("skipped {}, which holds no OpenSSH certificate", certificate.display());
        assert_eq!(after_the_offer(&error), expected);
    }
}

/// What `ssh-keygen -l` prints for the public key beside this file.
fn fingerprint(key: &Path) -> String {
    let output = Command::new("ssh-keygen").arg("-lf").arg(key).output().expect("ssh-keygen");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split(' ').nth(1).expect("a fingerprint").to_owned()
}

#[test]
fn the_keys_that_were_offered_are_named_by_their_fingerprints() {
    let _dog = guard("offered_keys");
    let sshd = Sshd::start();
    let [of_agent, certified, file] = [stranger(), stranger(), stranger()];
    let paths = [(&of_agent, "agent"), (&certified, "certified"), (&file, "file")]
        .map(|(key, name)| key.write(sshd.dir(), name));
    let certificate = stranger().certify(&certified, sshd.user(), "+1h");
    fs::write(sshd.dir().join("certified-cert.pub"), certificate).expect("written");
    let agent = Agent::with_keys([&of_agent]);
    let builder = || with_agent(&sshd, [HOST], &agent.socket()).identity_auth(true);
    let error = start_error(builder().identity_files([&paths[1], &paths[2]]));
    let HostErrorKind::Auth { keys, .. } = error.kind() else { panic!("{error}") };
    let expected: Vec<String> = paths.iter().map(|path| fingerprint(path)).collect();
    assert_eq!(keys.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    let text = error.to_string();
    assert!(text.contains(&format!(": tried publickey ({}); the server", expected.join(", "))), "{text}");
    assert!(error.cause().contains(&expected[0]), "{}", error.cause());
}

/// sshd disconnects instead of refusing the last key.
#[test]
fn the_key_that_exhausts_the_server_is_named_too() {
    let _dog = guard("offered_last");
    let sshd = Sshd::builder().option("MaxAuthTries 2").start();
    let keys = [stranger(), stranger(), stranger()];
    let agent = Agent::with_keys(&keys);
    let error = start_error(with_agent(&sshd, [HOST], &agent.socket()));
    let HostErrorKind::Auth { keys: told, tried, problems, .. } = error.kind() else { panic!("{error}") };
    let paths = [0, 1].map(|at: usize| keys[at].write(sshd.dir(), &at.to_string()));
    assert_eq!(
        told.iter().map(ToString::to_string).collect::<Vec<_>>(),
        paths.map(|path| fingerprint(&path))
    );
    assert_eq!(*tried, [AuthMethod::PublicKey]);
    assert!(matches!(problems[..], [AuthProblem::Disconnected { .. }]), "{error}");
    assert!(error.to_string().ends_with("; identities_only would offer fewer keys"), "{error}");
}
