//! Copies under the names of parallel-ssh.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sshoal::client::{CopyOptions, JoinError};
use sshoal::config::HostArgs;
use sshoal::error::{LocalProblem, TransferProblem};
use sshoal::{Error, HostError, HostErrorKind, JoinOptions, Outcome};
use tempfile::tempdir;

use super::{names, sshd};
use crate::real::{build, client_for, guard};

const HOSTS: [&str; 2] = ["127.0.2.1", "127.0.2.2"];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn problem(error: &HostError) -> &TransferProblem {
    match error.kind() {
        HostErrorKind::Transfer(problem) => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn a_file_goes_to_all_hosts_and_comes_back_from_each() {
    let _dog = guard("copies");
    let sshd = sshd().start();
    let client = build(client_for(&sshd, HOSTS));
    let folder = tempdir().expect("a folder");
    let (local, remote) = (folder.path().join("local"), folder.path().join("new/remote"));
    fs::write(&local, [7; 100_000]).expect("written");
    fs::set_permissions(&local, fs::Permissions::from_mode(0o750)).expect("set");

    for sent in client.copy_file(&local, text(&remote)).expect("it starts") {
        assert_eq!(sent.expect("copied").bytes, 100_000);
    }
    assert_eq!(fs::read(&remote).expect("there").len(), 100_000);
    assert_eq!(fs::metadata(&remote).expect("there").permissions().mode() & 0o7777, 0o750);

    let back = folder.path().join("back/copy");
    for fetched in client.copy_remote_file(text(&remote), &back).expect("it starts") {
        assert_eq!(fetched.expect("copied").bytes, 100_000);
    }
    assert_eq!(names(&folder.path().join("back")), ["copy_127.0.2.1", "copy_127.0.2.2"]);
    assert_eq!(fs::read(folder.path().join("back/copy_127.0.2.2")).expect("there"), [7; 100_000]);

    let sent = client.scp_send(&local, text(&folder.path().join("scp")), CopyOptions::default());
    assert!(sent.expect("it starts").iter().all(Result::is_ok));
    let other = CopyOptions::default().suffix_separator("-of-");
    let fetched = client.scp_recv(text(&folder.path().join("scp")), folder.path().join("back/scp"), other);
    assert!(fetched.expect("it starts").iter().all(Result::is_ok));
    assert_eq!(names(&folder.path().join("back"))[2..], ["scp-of-127.0.2.1", "scp-of-127.0.2.2"]);
    assert!(client.last_output().is_empty());
}

#[test]
fn a_directory_is_copied_on_request_only() {
    let _dog = guard("copies_recurse");
    let sshd = sshd().start();
    let client = build(client_for(&sshd, HOSTS));
    let folder = tempdir().expect("a folder");
    let (local, back) = (folder.path().join("tree"), folder.path().join("back"));
    let remote = text(&folder.path().join("copy")).to_owned();
    fs::create_dir_all(local.join("a/empty")).expect("created");
    fs::write(local.join("a/file"), "contents").expect("written");
    let recurse = || CopyOptions::default().recurse(true);

    for result in client.copy_file(&local, &*remote).expect("it starts") {
        let error = result.expect_err("a directory").to_string();
        assert!(error.contains("is a directory"), "{error}");
    }
    assert!(!Path::new(&remote).exists());
    for result in client.copy_file_with(&local, &*remote, recurse()).expect("it starts") {
        result.expect("copied");
    }
    for result in client.copy_remote_file(&*remote, &back).expect("it starts") {
        let error = result.expect_err("a directory");
        assert!(matches!(problem(&error), TransferProblem::IsDirectory { .. }), "{error}");
    }
    for result in client.copy_remote_file_with(&*remote, &back, recurse()).expect("it starts") {
        assert_eq!(result.expect("copied").files, 1);
    }
    for host in HOSTS {
        let copy = folder.path().join(format!("back_{host}"));
        assert_eq!(fs::read(copy.join("a/file")).expect("there"), b"contents");
        assert!(copy.join("a/empty").is_dir());
    }
}

#[test]
fn copy_args_are_for_both_paths_and_replace_the_suffix() {
    let _dog = guard("copies_args");
    let sshd = sshd().start();
    let client = build(client_for(&sshd, HOSTS));
    let folder = tempdir().expect("a folder");
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    let args = || {
        let of = |local, remote| HostArgs::named([("local_file", local), ("remote_file", remote)]);
        CopyOptions::default().copy_args([of(path("l1"), path("r1")), of(path("l2"), path("r2"))])
    };
    fs::write(path("l1"), "one").expect("written");
    fs::write(path("l2"), "two").expect("written");
    for result in client.copy_file_with("%(local_file)s", "%(remote_file)s", args()).expect("it starts") {
        result.expect("copied");
    }
    assert_eq!(fs::read(path("r2")).expect("there"), b"two");
    for result in
        client.copy_remote_file_with("%(remote_file)s", "%(local_file)s", args()).expect("it starts")
    {
        result.expect("copied");
    }
    assert_eq!(names(folder.path()), ["l1", "l2", "r1", "r2"], "no name has a suffix");

    let one = CopyOptions::default().copy_args(["1"]);
    let few = client.copy_file_with(path("l%s"), path("r%s"), one);
    assert!(matches!(few, Err(Error::HostArgs { hosts: 2, args: 1, .. })), "{few:?}");
    for wrong in [
        client.copy_remote_file_with("r", "l", args().suffix_separator("-")),
        client.copy_file_with("l", "r", CopyOptions::default().suffix_separator("-")),
        client.transfer("uname -a"),
    ] {
        assert!(matches!(wrong, Err(Error::Config { .. })), "{wrong:?}");
    }
}

#[test]
fn the_second_copy_of_a_host_overwrites_nothing() {
    let _dog = guard("copies_duplicates");
    let sshd = sshd().start();
    let client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.1"]));
    let folder = tempdir().expect("a folder");
    let remote = folder.path().join("remote");
    fs::write(&remote, "contents").expect("written");
    let results = client.copy_remote_file(text(&remote), folder.path().join("copy")).expect("it starts");
    let failed: Vec<&HostError> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    let [error] = &failed[..] else { panic!("{results:?}") };
    assert!(matches!(problem(error), TransferProblem::Local(LocalProblem::Claimed { .. })), "{error}");
    assert_eq!(names(folder.path()), ["copy_127.0.2.1", "remote"]);
    assert_eq!(fs::read(folder.path().join("copy_127.0.2.1")).expect("there"), b"contents");
}

#[test]
fn a_copy_that_fails_is_an_error_of_a_strict_join() {
    let _dog = guard("copies_join");
    let sshd = sshd().start();
    let mut client = build(client_for(&sshd, HOSTS));
    let folder = tempdir().expect("a folder");
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    fs::write(path("local"), "contents").expect("written");
    let strict = JoinOptions::default().strict(true).timeout(crate::real::SLOW);

    let copies = client.start_copy_file(path("local"), path("remote"), CopyOptions::default());
    let copies = copies.expect("it starts");
    client.join(&copies, strict).expect("all are copied");
    assert!(copies.iter().all(|copy| matches!(copy.outcome(), Some(Outcome::Transferred(_)))));
    assert_eq!(client.last_output().len(), 2);

    let missing = client.start_copy_remote_file(path("missing"), path("m"), CopyOptions::default());
    let missing = missing.expect("it starts");
    let joined = client.join(&missing, strict);
    let Err(JoinError::Failed(failures)) = joined else { panic!("{joined:?}") };
    assert_eq!(failures.outputs().len(), 2);
    assert!(failures.to_string().contains("no such file"), "{failures}");
    assert_eq!(names(folder.path()), ["local", "remote"]);
}
