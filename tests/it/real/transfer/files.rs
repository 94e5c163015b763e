//! Requests about files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use sshoal::transfer::{FileKind, FileRequest, FileResult};
use sshoal::{Command, Error, HostError, ParallelClient};
use tempfile::tempdir;

use super::sshd;
use crate::real::{build, client_for, guard};
use crate::support::sftp::Chroot;
use crate::support::sshd::Sshd;

const HOSTS: [&str; 2] = ["127.0.2.1", "127.0.2.2"];

/// What all hosts have returned.
#[track_caller]
fn all<T>(results: Result<Vec<Result<T, HostError>>, Error>) -> Vec<T> {
    let results = results.expect("it starts");
    let values: Vec<T> = results.into_iter().map(|result| result.expect("it succeeds")).collect();
    assert_eq!(values.len(), HOSTS.len());
    values
}

/// Why each host has failed.
#[track_caller]
fn errors<T>(results: Result<Vec<Result<T, HostError>>, Error>) -> Vec<String> {
    let results = results.expect("it starts");
    assert_eq!(results.len(), HOSTS.len());
    results.into_iter().map(|result| result.err().expect("it fails").to_string()).collect()
}

/// Uses each request below `root`, which the hosts see as `there`.
fn uses_each(client: &ParallelClient, root: &Path, there: &str) {
    let path = |name: &str| format!("{there}/{name}");
    assert_eq!(all(client.write_file(path("file"), *b"contents")).len(), 2);
    assert_eq!(fs::read(root.join("file")).expect("written"), b"contents");
    assert_eq!(all(client.read_file(path("file"))), [b"contents", b"contents"]);

    for metadata in all(client.metadata(path("file"))) {
        let here = fs::metadata(root.join("file")).expect("there");
        assert_eq!((metadata.kind, metadata.size), (Some(FileKind::File), Some(8)));
        assert_eq!((metadata.mode, metadata.user_id), (Some(0o644), Some(here.uid())));
        let modified = metadata.modified.expect("known").duration_since(std::time::UNIX_EPOCH);
        assert_eq!(modified.expect("after 1970").as_secs(), here.mtime() as u64);
    }
    fs::create_dir(root.join("z")).expect("created");
    symlink("file", root.join("link")).expect("created");
    for entries in all(client.read_dir(there)) {
        let names = entries.iter().map(|entry| (&*entry.name, entry.metadata.kind));
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                (&b"file"[..], Some(FileKind::File)),
                (b"link", Some(FileKind::Symlink)),
                (b"z", Some(FileKind::Directory))
            ]
        );
    }
    // Two hosts share this disk: what changes it is done on each with its own name.
    let each = |request: FileRequest| client.file_request(Command::from(request).host_args(["1", "2"]));
    all(each(FileRequest::create_dir(path("a%s/b/c")).create_parents(true).mode(0o2700)));
    assert_eq!(fs::metadata(root.join("a1/b/c")).expect("created").mode() & 0o7777, 0o2700);
    let again = errors(each(FileRequest::create_dir(path("a%s/b"))));
    assert!(again[0].contains("is there already"), "{again:?}");
    all(each(FileRequest::rename(path("a%s/b"), path("r%s"))));
    assert!(root.join("r2/c").is_dir() && !root.join("a2/b").exists());
    for number in 1..3 {
        fs::write(root.join(format!("n{number}")), "new").expect("written");
        fs::write(root.join(format!("r{number}/c/old")), "old").expect("written");
        symlink("../../z", root.join(format!("r{number}/c/link"))).expect("created");
    }
    all(each(FileRequest::rename(path("n%s"), path("r%s/c/old"))));
    assert_eq!(fs::read(root.join("r1/c/old")).expect("replaced"), b"new");
    let full = errors(each(FileRequest::remove(path("r%s"))));
    assert!(full[0].contains("cannot remove the directory"), "{full:?}");
    fs::write(root.join("z/kept"), "").expect("written");
    all(each(FileRequest::remove(path("r%s")).recurse(true)));
    assert!(!root.join("r1").exists() && !root.join("r2").exists());
    assert!(root.join("z/kept").exists(), "the link was not followed");
    all(each(FileRequest::remove(path("a%s"))));
    assert_eq!(super::names(root), ["file", "link", "z"], "no temporary file is left");
}

#[test]
fn each_request_does_what_it_says() {
    let _dog = guard("file_requests");
    let sshd = sshd().start();
    let client = build(client_for(&sshd, HOSTS));
    let folder = tempdir().expect("a folder");
    uses_each(&client, folder.path(), folder.path().to_str().expect("UTF-8"));
    assert!(client.last_output().is_empty());

    let command = client.file_request("uname -a");
    assert!(matches!(command, Err(Error::Config { .. })), "{command:?}");
    let sudo = client.file_request(Command::from(FileRequest::read("/etc/shadow")).sudo(true));
    assert!(matches!(sudo, Err(Error::Config { .. })), "{sudo:?}");
}

#[test]
fn each_request_works_in_a_chroot() {
    let _dog = guard("file_requests_chroot");
    let Some(root) = Chroot::create() else { return };
    let files = root.path().join("files");
    fs::create_dir(&files).expect("created");
    let sshd = Sshd::builder().chrooted(&root).start();
    uses_each(&build(client_for(&sshd, HOSTS)), &files, "/files");
}

#[test]
fn large_files_and_directories_are_read_in_full() {
    let _dog = guard("file_requests_large");
    let sshd = sshd().start();
    let client = build(client_for(&sshd, HOSTS));
    let folder = tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let contents: Vec<u8> =
        (0..9_000_001_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(path("large"), &contents).expect("written");
    assert!(all(client.read_file(path("large"))).iter().all(|read| *read == contents));
    let limit = errors(client.file_request(FileRequest::read(path("large")).max_bytes(9_000_000)));
    assert!(limit[1].contains("more than 9000000 bytes; raise FileRequest::max_bytes"), "{limit:?}");

    fs::create_dir(path("many")).expect("created");
    let names: Vec<String> = (0..2500).map(|number| format!("{number:04}")).collect();
    names.iter().for_each(|name| fs::write(path("many").to_owned() + "/" + name, "").expect("written"));
    for entries in all(client.read_dir(path("many"))) {
        let listed: Vec<_> = entries.iter().map(|entry| String::from_utf8_lossy(&entry.name)).collect();
        assert_eq!(listed, names);
    }
    // Below /proc and /sys, sizes are wrong.
    let version = fs::read("/proc/version").expect("readable");
    assert!(all(client.read_file("/proc/version")).iter().all(|read| *read == version));
    let sys = "/sys/kernel/mm/transparent_hugepage/enabled";
    if let Ok(value) = fs::read(sys) {
        assert!(all(client.read_file(sys)).iter().all(|read| *read == value));
    }
}

#[test]
fn what_fails_names_the_path_and_the_cause() {
    let _dog = guard("file_requests_errors");
    let sshd = sshd().start();
    let client = build(client_for(&sshd, HOSTS));
    let folder = tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let missing = path("missing");
    let said = |results: Vec<String>, expected: &str| {
        assert!(results.iter().all(|text| text.contains(expected)), "{results:?}");
    };
    said(errors(client.read_file(&*missing)), &format!("cannot look at {missing}: no such file"));
    said(errors(client.read_dir(&*missing)), &format!("cannot list the directory {missing}: no such file"));
    said(errors(client.metadata(&*missing)), &format!("cannot look at {missing}: no such file"));
    said(errors(client.remove(&*missing)), &format!("cannot remove {missing}: no such file"));
    said(errors(client.rename(&*missing, path("x"))), &format!("cannot rename {missing}: no such file"));
    said(errors(client.create_dir(path("missing/x"))), "no such file");
    said(errors(client.write_file("/dev/null/x", *b"x")), "cannot create /dev/null/");
    said(errors(client.read_file(folder.path().to_str().expect("UTF-8"))), "is a directory, not a file");
    said(errors(client.read_file("/dev/zero")), "is a device, a socket or a fifo, not a file");
    // A fifo would block the server until somebody writes to it.
    let made = std::process::Command::new("mkfifo").arg(path("fifo")).status().expect("mkfifo runs");
    assert!(made.success());
    said(errors(client.read_file(path("fifo"))), "not a file");

    let no_sftp = Sshd::builder().option("Subsystem other /bin/false").start();
    let client = build(client_for(&no_sftp, HOSTS));
    let request = Command::from(FileRequest::metadata("/")).time_limit(Duration::from_secs(30));
    let results = errors(client.file_request(request));
    assert!(results[0].contains("sftp"), "{results:?}");
}

#[test]
fn a_file_is_read_only_as_far_as_permissions_allow() {
    let _dog = guard("file_requests_permissions");
    let read_only = Sshd::builder().sftp_server("-R").start();
    let client = build(client_for(&read_only, HOSTS));
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("f").to_str().expect("UTF-8").to_owned();
    fs::write(&path, "x").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    for results in [errors(client.remove(&*path)), errors(client.rename(&*path, "y"))] {
        assert!(results.iter().all(|text| text.contains("permission denied")), "{results:?}");
    }
    let results = errors(client.write_file(&*path, *b"y"));
    assert!(results.iter().all(|text| text.contains("permission denied")), "{results:?}");
    assert_eq!(all(client.read_file(&*path)), [b"x", b"x"]);
    let outcome =
        super::transfer(&mut build(client_for(&read_only, ["127.0.2.1"])), FileRequest::read(&*path));
    match &outcome[..] {
        [sshoal::Outcome::File(result)] => assert!(matches!(**result, FileResult::Contents(_)), "{result}"),
        other => panic!("{other:?}"),
    }
}
