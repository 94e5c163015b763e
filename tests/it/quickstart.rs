//! The README's first command, run like a new user would.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails at once")]

use std::process::{Command, Output};
use std::time::Duration;

use super::support::alarm::{Watchdog, watchdog};
use super::support::examples::example;
use super::support::keys::ClientKey;
use super::support::peers::Refused;
use super::support::sshd::Sshd;

fn watch(name: &str) -> Watchdog {
    example("quickstart");
    watchdog(Duration::from_secs(120), name)
}

fn quickstart(args: &[&str]) -> (Output, String, String) {
    let output = Command::new(example("quickstart")).args(args).output().expect("the example runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[test]
fn without_arguments_a_thousand_simulated_hosts_answer() {
    let _dog = watch("quickstart");
    let (output, stdout, stderr) = quickstart(&[]);
    assert_eq!(stdout.lines().last(), Some("1000 hosts: 1000 ok, 0 failed"), "{stdout}{stderr}");
    assert!(output.status.success());
}

#[test]
fn real_hosts_answer_line_by_line() {
    let _dog = watch("quickstart on real hosts");
    let sshd = Sshd::start();
    let names: Vec<String> = sshd.hosts(2).collect();
    let known_hosts = sshd.known_hosts(&names).display().to_string();
    let key = sshd.key(ClientKey::Ed25519).display().to_string();
    let hosts = format!("{0}:{2},{1}:{2}", names[0], names[1], sshd.port());
    let login = ["--user", sshd.user(), "--key", &key, "--known-hosts", &known_hosts];

    let args = [&["--hosts", &hosts], &login[..], &["--", "echo", "hello;", "echo", "oops", ">&2"]].concat();
    let (output, stdout, stderr) = quickstart(&args);
    assert!(output.status.success(), "{stdout}{stderr}");
    for name in &names {
        assert!(stdout.contains(&format!("[{name}] hello\n")), "{stdout}");
        assert!(stderr.contains(&format!("[{name}] oops\n")), "{stderr}");
    }
    assert!(stdout.ends_with("2 hosts: 2 ok, 0 failed\n"), "{stdout}");

    // One host refuses, another is unknown, and on the third the command fails.
    let refused = Refused::new();
    let hosts = format!("{},localhost:{},{}:{1}", refused.address(), sshd.port(), names[0]);
    let (output, stdout, stderr) =
        quickstart(&[&["--hosts", &hosts], &login[..], &["--", "exit", "3"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout.ends_with("3 hosts: 0 ok, 3 failed\n"), "{stdout}");
    assert!(stderr.contains("Connection refused"), "{stderr}");
    assert!(stderr.contains("is not known") && stderr.contains("ssh-keyscan"), "{stderr}");
    assert!(stderr.contains(&format!("{}: exit status 3", names[0])), "{stderr}");
}

#[test]
fn a_wrong_call_says_what_a_right_one_is() {
    for args in [&["--hosts"][..], &["--hosts", "web1"], &["--what", "ever"], &["--", "uname"]] {
        let (output, _, stderr) = quickstart(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr.contains("usage: quickstart"), "{stderr}");
    }
    let (output, _, stderr) = quickstart(&["--hosts", "web1", "--key", "/nonexistent", "--", "uname"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("private key /nonexistent"), "{stderr}");
}
