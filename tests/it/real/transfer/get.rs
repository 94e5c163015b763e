//! Fetching files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use sshoal::transfer::{Get, Links};
use sshoal::{Command, Outcome};
use tempfile::tempdir;

use super::{contents, done, error, names, sshd, transfer};
use crate::real::{build, client_for, guard};

const HOST: [&str; 1] = ["127.0.2.1"];

/// A path on the host, which is this machine.
fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_file_arrives_whole_with_its_mode_and_times() {
    let _dog = guard("get_file");
    let sshd = sshd().start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    let (remote, local) = (folder.path().join("remote"), folder.path().join("copies"));
    for len in [0, 1, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 5_000_000] {
        fs::write(&remote, contents(len)).expect("written");
        fs::set_permissions(&remote, fs::Permissions::from_mode(0o604)).expect("set");
        let get = Get::new(text(&remote), local.join("{host}/")).preserve(true);
        let transferred = done(&mut client, get);
        assert_eq!((transferred.files, transferred.bytes, transferred.total), (1, len as u64, len as u64));
        let copy = local.join("127.0.2.1/remote");
        assert!(fs::read(&copy).expect("it is there") == contents(len), "{len} bytes");
        let (there, here) = (fs::metadata(&remote).expect("there"), fs::metadata(&copy).expect("there"));
        assert_eq!((here.mode() & 0o7777, here.mtime()), (0o604, there.mtime()));
        assert_eq!(names(&local.join("127.0.2.1")), ["remote"], "no part file is left");
    }
    let missing = error(&mut client, Get::new("/no/such/file", local.join("x")));
    assert!(missing.to_string().contains("cannot look at /no/such/file: no such file"), "{missing}");
    assert_eq!(names(&local), ["127.0.2.1"]);
}

/// A tree with many files, an empty directory, and links.
fn tree(root: &Path) {
    for directory in ["empty", "a/b/c"] {
        fs::create_dir_all(root.join(directory)).expect("made");
    }
    for number in 0..150 {
        fs::write(root.join(format!("a/file{number}")), contents(number * 500)).expect("written");
    }
    fs::write(root.join("a/b/c/deep"), contents(100_000)).expect("written");
    symlink("a/file1", root.join("link")).expect("made");
    symlink("..", root.join("a/up")).expect("made");
    symlink("b", root.join("a/to-b")).expect("made");
}

#[test]
fn a_directory_arrives_with_everything_in_it() {
    let _dog = guard("get_directory");
    let sshd = sshd().start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    let remote = folder.path().join("site");
    tree(&remote);
    let get = |to: &str| Get::new(text(&remote), folder.path().join(to)).recurse(true);

    let refused = error(&mut client, get("refused").recurse(false));
    assert!(refused.to_string().contains("is a directory; set recurse to copy it"), "{refused}");

    let copied = done(&mut client, get("copy").links(Links::Copy).skip_same(true));
    assert_eq!((copied.files, copied.directories, copied.links), (151, 5, 3), "{copied}");
    for number in 0..150 {
        let copy = fs::read(folder.path().join(format!("copy/a/file{number}"))).expect("there");
        assert!(copy == contents(number * 500), "file{number}");
    }
    assert_eq!(names(&folder.path().join("copy")), ["a", "empty", "link"]);
    assert_eq!(fs::read_link(folder.path().join("copy/a/up")).expect("a link"), Path::new(".."));
    let again = done(&mut client, get("copy").links(Links::Skip).skip_same(true));
    assert_eq!((again.files, again.skipped, again.bytes), (0, 151, 0), "{again}");

    // What leads back to where it is, is left out.
    let followed = error(&mut client, get("followed")).to_string();
    assert!(followed.contains("1 of the files was not copied"), "{followed}");
    assert!(followed.contains("/a/up: the link leads back to a directory that contains it"), "{followed}");
    assert!(fs::read(folder.path().join("followed/a/to-b/c/deep")).expect("there") == contents(100_000));
    assert!(fs::read(folder.path().join("followed/link")).expect("there") == contents(500));
}

#[test]
fn a_file_below_proc_arrives_although_it_says_that_it_is_empty() {
    let _dog = guard("get_proc");
    let sshd = sshd().start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    done(&mut client, Get::new("/proc/version", &copy));
    assert_eq!(fs::read(&copy).expect("there"), fs::read("/proc/version").expect("there"));
}

#[test]
fn hosts_have_copies_of_their_own() {
    let _dog = guard("get_hosts");
    let sshd = sshd().start();
    let hosts = ["127.0.2.1", "127.0.2.2", "127.0.2.3"];
    let mut client = build(client_for(&sshd, hosts));
    let folder = tempdir().expect("a folder");
    for name in ["one", "two", "three"] {
        fs::write(folder.path().join(name), name).expect("written");
    }
    let remote = text(folder.path()).to_owned() + "/%s";
    let get = Command::from(Get::new(remote, folder.path().join("{host}_{name}")));
    let outcomes = transfer(&mut client, get.host_args(["one", "two", "three"]));
    assert!(outcomes.iter().all(Outcome::is_success), "{outcomes:?}");
    for (host, name) in hosts.iter().zip(["one", "two", "three"]) {
        let copy = folder.path().join(format!("{host}_{name}"));
        assert_eq!(fs::read(copy).expect("there"), name.as_bytes());
    }
    let get = Get::new(text(&folder.path().join("one")), folder.path().join("shared"));
    let outcomes = transfer(&mut client, get);
    let written = outcomes.iter().filter(|outcome| outcome.is_success()).count();
    assert_eq!(written, 1, "{outcomes:?}");
    let refused = outcomes.iter().find(|outcome| !outcome.is_success()).expect("one is refused");
    assert!(refused.to_string().contains("is already written by this run"), "{refused}");
}
