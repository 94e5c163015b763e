//! Servers without SFTP: a file is received by `scp -t`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use sshoal::transfer::{Get, Put};
use sshoal::{Command, ParallelClient};
use tempfile::tempdir;

use super::{contents, done, error, names};
use crate::real::{SLOW, build, client_for, guard};
use crate::support::dropbear::Dropbear;
use crate::support::keys::ClientKey;
use crate::support::sshd::Sshd;

const HOST: [&str; 1] = ["127.0.2.1"];

/// What any server without SFTP does, in a directory that its user may write to.
fn check(client: &mut ParallelClient, folder: &std::path::Path) {
    let local = tempdir().expect("a folder");
    let local = local.path().join("local");
    let remote = folder.join("it's new/remote");
    for len in [0, 1, 32_448, 3_000_000] {
        fs::write(&local, contents(len)).expect("written");
        fs::set_permissions(&local, fs::Permissions::from_mode(0o640)).expect("set");
        let put = Put::new(&local, remote.to_str().expect("UTF-8")).keep_times(true);
        let transferred = done(client, put);
        assert_eq!((transferred.files, transferred.bytes), (1, len as u64), "{transferred}");
        assert!(fs::read(&remote).expect("it is there") == contents(len), "{len} bytes");
        let (here, there) = (fs::metadata(&local).expect("there"), fs::metadata(&remote).expect("there"));
        assert_eq!((there.mode() & 0o7777, there.mtime()), (0o640, here.mtime()));
        assert_eq!(names(remote.parent().expect("it has one")), ["remote"], "no temporary file is left");
    }
    let target = folder.join("it's new").display().to_string();
    let refused = error(client, Put::new(&local, target).create_parents(false));
    assert!(refused.to_string().contains("scp failed on the host"), "{refused}");
    assert_eq!(names(&folder.join("it's new")), ["remote"], "nothing is moved into a directory");
    let refused = error(client, Put::new(&local, remote.to_str().expect("UTF-8")).checksum(true));
    assert!(refused.to_string().contains("sftp") || refused.to_string().contains("SFTP"), "{refused}");
    let bytes =
        Put::bytes(*b"script", folder.join("bytes").to_str().expect("UTF-8")).in_place(true).mode(0o700);
    assert_eq!(done(client, bytes).bytes, 6);
    assert_eq!(fs::read(folder.join("bytes")).expect("there"), b"script");
}

#[test]
fn openssh_without_its_subsystem_receives_by_scp() {
    let _dog = guard("put_scp");
    let sshd = Sshd::builder().option("Subsystem other /bin/false").start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    check(&mut client, folder.path());
}

#[test]
fn a_shell_that_prints_text_first_is_named_as_the_cause() {
    let _dog = guard("sftp_after_text");
    let command = "ForceCommand echo 'Welcome to web1'; exec /usr/lib/openssh/sftp-server";
    let sshd = super::sshd().option(command).start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    let there = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    fs::write(folder.path().join("file"), "x").expect("written");
    let put = Command::from(Put::bytes(*b"x", there("new")));
    for work in [put, Get::new(there("file"), folder.path().join("copy")).into()] {
        let text = error(&mut client, work).to_string();
        assert!(text.contains("sent the text \"Welcome to web1\" in place of SFTP; its shell"), "{text}");
    }
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn dropbear_receives_by_scp() {
    let _dog = guard("put_dropbear");
    let Some(server) = Dropbear::start_without_sftp() else { return };
    let builder = ParallelClient::builder([server.address().to_string()]).user(server.user().name());
    let builder = builder.identity_auth(false).allow_agent(false).known_hosts([server.known_hosts()]);
    let builder = builder.num_retries(1).timeout(SLOW).key_file(server.key(ClientKey::Ed25519));
    let folder = tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("set");
    check(&mut build(builder), folder.path());
}
