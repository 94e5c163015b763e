//! The servers, seen by OpenSSH's `sftp`.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::super::keys::ClientKey;
use super::super::openssh_client::Login;
use super::super::sshd::Sshd;
use super::*;

const HOST: &str = "127.0.0.1";

#[track_caller]
fn succeeds(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `commands` with a file `here` of three bytes.
fn sftp(sshd: &Sshd, commands: &str) -> Output {
    let known_hosts = sshd.known_hosts([HOST]);
    let folder = tempfile::tempdir().expect("temporary directory");
    fs::write(folder.path().join("here"), "one").expect("write");
    let key = Some(sshd.key(ClientKey::Ed25519));
    let login = Login { known_hosts: &known_hosts, user: sshd.user(), key, secret: None };
    let output = login.sftp(HOST, sshd.port(), folder.path(), commands);
    if output.status.success() && commands.contains("get") {
        assert_eq!(fs::read(folder.path().join("back")).expect("read"), b"one");
    }
    output
}

fn round_trip(there: &Path) -> String {
    let there = there.display();
    format!("put here {there}/a\nrename {there}/a {there}/b\nget {there}/b back\npwd\n")
}

#[test]
fn the_separate_server_serves_files() {
    let sshd = Sshd::builder().sftp_server("-l VERBOSE -e").log_level("DEBUG1").start();
    let commands = round_trip(sshd.dir());
    succeeds(&sftp(&sshd, &commands));
    assert_eq!(fs::read(sshd.dir().join("b")).expect("read"), b"one");
    // What the program itself writes to standard error reaches the client, not this log.
    sshd.await_log(&format!("subsystem: exec() {SFTP_SERVER} -l VERBOSE -e"), 1);

    let read_only = Sshd::builder().sftp_server("-R").start();
    let output = sftp(&read_only, &round_trip(read_only.dir()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
}

#[test]
fn a_chroot_is_the_whole_disk() {
    let Some(root) = Chroot::create() else {
        return;
    };
    let sshd = Sshd::builder().chrooted(&root).start();
    fs::create_dir(root.path().join("files")).expect("create");
    let printed = succeeds(&sftp(&sshd, &round_trip(Path::new("/files"))));
    assert!(printed.ends_with("Remote working directory: /\n"), "{printed}");
    assert_eq!(fs::read(root.path().join("files/b")).expect("read"), b"one");
    assert!(!sftp(&sshd, "ls /etc\n").status.success());

    let known_hosts = sshd.known_hosts([HOST]);
    let key = Some(sshd.key(ClientKey::Ed25519));
    let login = Login { known_hosts: &known_hosts, user: sshd.user(), key, secret: None };
    let output = login.run(HOST, sshd.port(), "echo asked");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "This service allows sftp connections only.\n");

    let path = root.path().to_owned();
    drop(root);
    assert!(!path.exists());
}
