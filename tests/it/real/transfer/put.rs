//! Sending files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

use sshoal::Command;
use sshoal::transfer::{Links, Placement, Put};
use tempfile::tempdir;

use super::{contents, done, error, names, sshd, transfer};
use crate::real::{build, client_for, guard};
use crate::support::keys::ClientKey;
use crate::support::sudoers::Sudoers;
use crate::support::user::TestUser;

const HOST: [&str; 1] = ["127.0.2.1"];

#[test]
fn a_file_arrives_whole_with_its_mode_and_times() {
    let _dog = guard("put_file");
    let sshd = sshd().start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    let (local, remote) = (folder.path().join("local"), folder.path().join("remote"));
    // Chunks have 32,448 bytes, and writes to OpenSSH's server eight of them.
    for len in [0, 1, 32_447, 32_448, 32_449, 259_583, 259_584, 259_585, 3_000_000] {
        fs::write(&local, contents(len)).expect("written");
        fs::set_permissions(&local, fs::Permissions::from_mode(0o640)).expect("set");
        let put = Put::new(&local, remote.to_str().expect("UTF-8")).keep_times(true);
        let transferred = done(&mut client, put);
        assert_eq!((transferred.files, transferred.bytes, transferred.total), (1, len as u64, len as u64));
        assert!(fs::read(&remote).expect("it is there") == contents(len), "{len} bytes");
        let (here, there) = (fs::metadata(&local).expect("there"), fs::metadata(&remote).expect("there"));
        assert_eq!(there.mode() & 0o7777, 0o640);
        assert_eq!(there.mtime(), here.mtime());
        assert_eq!(names(folder.path()), ["local", "remote"], "no temporary file is left");
    }
    let missing = error(&mut client, Put::new(folder.path().join("none"), "none"));
    assert!(missing.to_string().contains("none"), "{missing}");
}

/// Everything below a directory, with its kind and mode; the contents of files and links.
fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root).expect("below").display().to_string();
            let metadata = fs::symlink_metadata(&path).expect("there");
            let mode = metadata.mode() & 0o7777;
            if metadata.is_symlink() {
                found.push(format!("{name} -> {}", fs::read_link(&path).expect("a link").display()));
            } else if metadata.is_dir() {
                found.push(format!("{name}/ {mode:o}"));
                folders.push(path);
            } else {
                let bytes = fs::read(&path).expect("a file");
                found.push(format!("{name} {mode:o} {} {}", bytes.len(), bytes == contents(bytes.len())));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_directory_arrives_with_everything_in_it() {
    let _dog = guard("put_directory");
    let sshd = sshd().start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    let local = folder.path().join("site");
    for directory in ["empty", "a/b/c", "a/private"] {
        fs::create_dir_all(local.join(directory)).expect("made");
    }
    for number in 0..40 {
        fs::write(local.join(format!("a/file{number}")), contents(number * 1000)).expect("written");
    }
    fs::write(local.join("a/private/key"), contents(50)).expect("written");
    fs::set_permissions(local.join("a/private/key"), fs::Permissions::from_mode(0o400)).expect("set");
    fs::set_permissions(local.join("a/private"), fs::Permissions::from_mode(0o500)).expect("set");
    std::os::unix::fs::symlink("a/file1", local.join("link")).expect("made");
    let put = |to: &str| Put::new(&local, folder.path().join(to).to_str().expect("UTF-8"));

    let refused = error(&mut client, put("refused"));
    assert!(refused.to_string().contains("is a directory"), "{refused}");

    let copied = done(&mut client, put("deep/er/copy").recurse(true).links(Links::Copy).keep_times(true));
    assert_eq!((copied.files, copied.directories, copied.links), (41, 6, 1), "{copied}");
    assert_eq!(tree(&folder.path().join("deep/er/copy")), tree(&local));
    let again = put("deep/er/copy").recurse(true).links(Links::Skip).skip_same(true);
    let again = done(&mut client, again);
    assert_eq!((again.files, again.skipped, again.bytes), (0, 41, 0), "{again}");
    let followed = done(&mut client, put("followed").recurse(true));
    assert_eq!((followed.files, followed.links), (42, 0), "{followed}");

    let auto = done(&mut client, put("").recurse(true).placement(Placement::Into).links(Links::Skip));
    assert_eq!(auto.directories, 0, "it goes to itself");
}

#[test]
fn a_directory_loses_what_the_local_one_does_not_have() {
    let _dog = guard("put_delete");
    let sshd = sshd().start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    let (local, there) = (folder.path().join("local"), folder.path().join("there"));
    let precious = folder.path().join("precious");
    for directory in [local.join("sub"), there.join("old/deep"), there.join("sub"), precious.clone()] {
        fs::create_dir_all(directory).expect("made");
    }
    for number in 0..300 {
        fs::write(there.join(format!("old/{number}")), "x").expect("written");
    }
    for file in [local.join("sub/kept"), there.join("sub/kept"), there.join("stale"), precious.join("file")] {
        fs::write(file, contents(10)).expect("written");
    }
    std::os::unix::fs::symlink(&precious, there.join("sub/link")).expect("made");
    let put = || Put::new(&local, there.to_str().expect("UTF-8")).recurse(true).delete(true);
    let looked = done(&mut client, put().dry_run(true));
    assert_eq!((looked.files, looked.deleted), (1, 304), "{looked}");
    assert_eq!(names(&there), ["old", "stale", "sub"]);
    let deleted = done(&mut client, put());
    assert_eq!((deleted.files, deleted.deleted), (1, 304), "{deleted}");
    assert_eq!(tree(&there), tree(&local));
    assert_eq!(names(&precious), ["file"], "no link is followed");
    let refused = Put::new(&local, "there").delete(true);
    assert!(client.start_command(Command::from(refused)).is_err());
}

#[test]
fn what_cannot_be_copied_of_a_directory_is_named_and_the_rest_is_copied() {
    let _dog = guard("put_missing");
    let sshd = sshd().start();
    let hosts = ["127.0.2.1", "127.0.2.2", "127.0.2.3"];
    let mut client = build(client_for(&sshd, hosts));
    let folder = tempdir().expect("a folder");
    let (local, there) = (folder.path().join("local"), folder.path().join("there"));
    fs::create_dir_all(local.join("sub")).expect("made");
    for file in ["a", "sub/b", "z"] {
        fs::write(local.join(file), contents(100_000)).expect("written");
    }
    let _socket = UnixListener::bind(local.join("socket")).expect("bound");
    for (target, link) in
        [("nowhere", "dangling"), ("..", "sub/up"), ("/dev/null", "device"), ("/proc/self/status", "status")]
    {
        std::os::unix::fs::symlink(target, local.join(link)).expect("made");
    }
    for host in hosts {
        fs::create_dir_all(there.join(host)).expect("made");
        fs::write(there.join(host).join("stale"), "x").expect("written");
    }
    for (delete, kept) in [(false, ""), (true, ", so nothing was deleted")] {
        let put = Put::new(&local, format!("{}/%s", there.display())).recurse(true).delete(delete);
        let outcomes = transfer(&mut client, Command::from(put).host_args(hosts));
        for (host, outcome) in hosts.iter().zip(outcomes) {
            let expected = format!(
                "5 of the files were not copied{kept}; the first: cannot follow the link {}: No such file or \
                 directory (os error 2)",
                local.join("dangling").display()
            );
            assert!(outcome.to_string().contains(&expected), "{outcome}");
            let copy = there.join(host);
            assert_eq!(
                (names(&copy), names(&copy.join("sub"))),
                (["a", "stale", "sub", "z"].map(str::to_owned).to_vec(), vec!["b".to_owned()])
            );
            assert!(fs::read(copy.join("sub/b")).expect("copied") == contents(100_000));
        }
    }
    // As links, only the socket is no file.
    let put = Put::new(&local, format!("{}/%s", there.display())).recurse(true).links(Links::Copy);
    for outcome in transfer(&mut client, Command::from(put).host_args(hosts)) {
        let expected = "1 of the files was not copied: ";
        assert!(
            outcome.to_string().contains(expected) && outcome.to_string().contains("/socket is a socket"),
            "{outcome}"
        );
    }
    // Nothing is copied of a source that is none.
    let socket =
        error(&mut build(client_for(&sshd, HOST)), Put::new(local.join("socket"), "x").recurse(true));
    assert!(socket.to_string().contains("/socket is a socket; only files"), "{socket}");
}

#[test]
fn a_copy_is_verified_by_its_checksum() {
    let _dog = guard("put_checksum");
    let sshd = sshd().start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    let (local, remote) = (folder.path().join("it's local"), folder.path().join("it's remote $(touch x)"));
    fs::write(&local, contents(100_000)).expect("written");
    let put = || Put::new(&local, remote.to_str().expect("UTF-8")).checksum(true);
    let first = done(&mut client, put());
    assert_eq!((first.files, first.verified), (1, 1), "{first}");
    let second = done(&mut client, put().skip_same(true));
    assert_eq!((second.files, second.skipped), (0, 1), "{second}");
    let mut other = contents(100_000);
    other[70_000] ^= 1;
    fs::write(&remote, other).expect("written");
    let third = done(&mut client, put().skip_same(true));
    assert_eq!((third.files, third.verified), (1, 1), "{third}");
    assert_eq!(names(folder.path()), ["it's local", "it's remote $(touch x)"]);
}

#[test]
fn an_interrupted_copy_is_resumed() {
    let _dog = guard("put_resume");
    let sshd = sshd().start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    let (local, remote) = (folder.path().join("local"), folder.path().join("remote"));
    let whole = contents(10_000_000);
    fs::write(&local, &whole).expect("written");
    let part = folder.path().join(".remote.sshoal-1");
    let put = || Put::new(&local, remote.to_str().expect("UTF-8")).resume(true);
    fs::write(&part, &whole[..8_000_000]).expect("written");
    let resumed = done(&mut client, put());
    assert!(resumed.bytes < 5_000_000 && resumed.verified == 1, "{resumed}");
    assert!(fs::read(&remote).expect("there") == whole);
    // The first part is of another file.
    fs::write(&part, vec![0; 8_000_000]).expect("written");
    let refused = error(&mut client, put());
    assert!(refused.to_string().contains("checksum"), "{refused}");
    assert_eq!(names(folder.path()), ["local", "remote"]);
}

#[test]
fn a_file_is_installed_by_sudo() {
    let _dog = guard("put_sudo");
    let Some(user) = TestUser::create() else { return };
    let lines = "Defaults:{user} lecture=never\n{user} ALL=(ALL) ALL";
    let Some(_sudoers) = Sudoers::add(&user, lines) else { return };
    let sshd = sshd().start();
    let key = sshd.key(ClientKey::Ed25519);
    let mut client = build(client_for(&sshd, HOST).user(user.name()).key_file(key));
    let folder = tempdir().expect("a folder");
    let (local, remote) = (folder.path().join("local"), folder.path().join("etc/it's installed"));
    fs::write(&local, contents(100_000)).expect("written");
    let put = || Put::new(&local, remote.to_str().expect("UTF-8")).mode(0o640);

    let refused = error(&mut client, put());
    assert!(refused.to_string().contains("permission denied"), "{refused}");
    let sudo = |put: Put| Command::from(put).sudo_password(user.password());
    let installed = done(&mut client, sudo(put().owner("root:daemon").checksum(true)));
    assert_eq!((installed.files, installed.verified), (1, 1), "{installed}");
    assert!(fs::read(&remote).expect("there") == contents(100_000));
    let metadata = fs::metadata(&remote).expect("there");
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o640, 0, 1));
    assert_eq!(names(&folder.path().join("etc")), ["it's installed"]);
    assert!(names(user.home()).iter().all(|name| !name.contains("sshoal")), "{:?}", names(user.home()));
    let wrong = Command::from(put()).sudo_password("not it");
    let refused = error(&mut client, wrong);
    assert!(refused.to_string().contains("install failed on the host"), "{refused}");
    assert!(names(user.home()).iter().all(|name| !name.contains("sshoal")), "{:?}", names(user.home()));
}
