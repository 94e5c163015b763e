//! Runs the table against `ssh` itself, which connects through pipes to an `sshd` with the key of
//! each case.

use std::path::Path;
use std::process::{Command, Stdio};

use super::super::HostKey;
use super::cases::{CASES, Case, Keys};

const SSHD: &str = "/usr/sbin/sshd";

fn generate(path: &Path, arguments: &[&str]) -> HostKey {
    let status = Command::new("ssh-keygen").args(["-q", "-N", "", "-f"]).arg(path).args(arguments).status();
    assert!(status.unwrap().success());
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    HostKey::from_openssh(&public).unwrap()
}

/// The verdict of `ssh` in the terms of the table, without line numbers.
fn verdict_of_ssh(case: &Case, directory: &Path, keys: &Keys) -> String {
    let file = directory.join("known_hosts");
    std::fs::write(&file, case.text(keys)).unwrap();
    let private = directory.join(match case.shown {
        'A' => "a",
        'B' => "b",
        _ => "r",
    });
    let (host, port) = case.host_and_port();
    let proxy = format!("ProxyCommand={SSHD} -i -f /dev/null -h {}", private.display());
    let output = Command::new("ssh")
        .args(["-v", "-F", "none", "-p", &port.to_string(), "-o", &proxy, "-o"])
        .arg(format!("UserKnownHostsFile={}", file.display()))
        .args(["-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes"])
        .args(["-o", "BatchMode=yes", "-o", "PreferredAuthentications=none", host, "true"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    let contains = |text: &str| messages.contains(text);
    if contains("is known and matches the") {
        "known".to_owned()
    } else if contains("host key is known for") {
        "unknown".to_owned()
    } else if contains("REVOKED HOST KEY") {
        "revoked".to_owned()
    } else if contains("HOST IDENTIFICATION HAS CHANGED") {
        "changed".to_owned()
    } else {
        panic!("{}: no verdict in {messages}", case.name)
    }
}

#[test]
fn openssh_follows_the_table() {
    if !Path::new(SSHD).exists() || Command::new("ssh").arg("-V").output().is_err() {
        eprintln!("skipped: OpenSSH is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let keys = Keys {
        a: generate(&at("a"), &["-t", "ed25519"]),
        b: generate(&at("b"), &["-t", "ed25519"]),
        r: generate(&at("r"), &["-t", "rsa", "-b", "2048"]),
    };
    let mut wrong = Vec::new();
    for case in CASES {
        let expected = case.ssh.unwrap_or(case.verdict).split(' ').next().unwrap();
        // OpenSSH uses one term for both verdicts.
        let expected = if expected == "other" { "changed" } else { expected };
        let verdict = verdict_of_ssh(case, directory.path(), &keys);
        if verdict != expected {
            wrong.push(format!("{}: ssh says {verdict}, the table {expected}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
