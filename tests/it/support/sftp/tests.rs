//! The servers, seen by OpenSSH's `sftp`.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use super::delay::Delay;
use super::dropbear::Dropbear;
use super::keys::ClientKey;
use super::openssh_client::Login;
use super::peers::Asyncssh;
use super::ports;
use super::sftp::*;
use super::sshd::Sshd;

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

/// A login at one of the other servers.
fn login<'a>(known_hosts: &'a Path, user: &'a str, key: PathBuf) -> Login<'a> {
    Login { known_hosts, user, key: Some(key), secret: None }
}

#[test]
fn dropbear_has_sftp_where_openssh_s_server_is_installed() {
    let Some(dropbear) = Dropbear::start() else {
        return;
    };
    let known_hosts = dropbear.known_hosts();
    let user = dropbear.user();
    let login = login(&known_hosts, user.name(), dropbear.key(ClientKey::Ed25519));
    let folder = tempfile::tempdir().expect("temporary directory");
    fs::write(folder.path().join("here"), "one").expect("write");
    let port = dropbear.address().port();
    let printed = succeeds(&login.sftp(HOST, port, folder.path(), &round_trip(user.home())));
    assert!(printed.ends_with(&format!("{}\n", user.home().display())), "{printed}");
    assert_eq!(fs::read(folder.path().join("back")).expect("read"), b"one");
}

#[test]
fn dropbear_can_be_without_sftp_and_has_commands() {
    let Some(dropbear) = Dropbear::start_without_sftp() else {
        return;
    };
    let known_hosts = dropbear.known_hosts();
    let login = login(&known_hosts, dropbear.user().name(), dropbear.key(ClientKey::Ed25519));
    let port = dropbear.address().port();
    let output = login.sftp(HOST, port, Path::new("/"), "pwd\n");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("/usr/lib/sftp-server: not found"), "{stderr}");
    assert_eq!(succeeds(&login.run(HOST, port, "echo hello")), "hello\n");
    // The machine still has it.
    assert!(Path::new(SFTP_SERVER).exists());
}

#[test]
fn asyncssh_serves_files_and_no_commands() {
    let Some(server) = Asyncssh::start() else {
        return;
    };
    let known_hosts = server.known_hosts();
    let login = login(&known_hosts, "somebody", server.key());
    let folder = tempfile::tempdir().expect("temporary directory");
    fs::write(folder.path().join("here"), "one").expect("write");
    let port = server.address().port();
    let printed = succeeds(&login.sftp(HOST, port, folder.path(), &round_trip(Path::new(""))));
    assert!(printed.ends_with("Remote working directory: /\n"), "{printed}");
    assert_eq!(fs::read(server.root().join("b")).expect("read"), b"one");

    let mut scp = login.program("scp", port, folder.path());
    let output = scp.args(["-O", "here", &format!("{HOST}:/by_scp")]).current_dir(folder.path()).output();
    succeeds(&output.expect("scp"));
    assert_eq!(fs::read(server.root().join("by_scp")).expect("read"), b"one");
    assert!(!login.run(HOST, port, "echo hello").status.success());
}

#[test]
fn sftp_through_a_long_line_takes_round_trips() {
    const ROUND_TRIP: Duration = Duration::from_millis(200);
    let sshd = Sshd::start();
    let (listener, address) = ports::listen(Ipv4Addr::LOCALHOST.into()).expect("listen");
    let _delay = Delay::start(listener, sshd.address(), ROUND_TRIP).expect("a proxy");
    let known_hosts = sshd.dir().join("known_hosts_of_the_proxy");
    let key = sshd.host_keys()[0].public();
    fs::write(&known_hosts, format!("[{HOST}]:{} {key}\n", address.port())).expect("write");
    let login = login(&known_hosts, sshd.user(), sshd.key(ClientKey::Ed25519));
    // A login takes at least six round trips: version, key exchange, service, three requests.
    let start = Instant::now();
    succeeds(&login.sftp(HOST, address.port(), Path::new("/"), "pwd\n"));
    assert!(start.elapsed() > ROUND_TRIP * 6, "{:?}", start.elapsed());
}
