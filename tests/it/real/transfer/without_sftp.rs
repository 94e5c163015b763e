//! Servers without SFTP: a file is received by `scp -t`, and sent by `scp -f`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use sshoal::config::ClientBuilder;
use sshoal::error::CancelCause;
use sshoal::transfer::{FileRequest, Get, Put};
use sshoal::{Command, Fleet, HostErrorKind, Outcome, ParallelClient};
use tempfile::tempdir;

use super::{contents, done, error, names};
use crate::real::{SLOW, build, client_for, guard, with_key};
use crate::support::dropbear::Dropbear;
use crate::support::fleet::Driven;
use crate::support::keys::ClientKey;
use crate::support::sshd::Sshd;

const HOST: [&str; 1] = ["127.0.2.1"];

fn without_sftp() -> Sshd {
    Sshd::builder().option("Subsystem other /bin/false").start()
}

fn dropbear(server: &Dropbear) -> ClientBuilder {
    let builder = ParallelClient::builder([server.address().to_string()]).user(server.user().name());
    let builder = builder.identity_auth(false).allow_agent(false).known_hosts([server.known_hosts()]);
    builder.num_retries(1).timeout(SLOW).key_file(server.key(ClientKey::Ed25519))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What any server without SFTP does, in a directory that its user may write to.
fn check(client: &mut ParallelClient, folder: &Path) {
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
    let sshd = without_sftp();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    check(&mut client, folder.path());
}

/// What any server without SFTP sends, of a directory that its user may read.
fn check_get(client: &mut ParallelClient, folder: &Path) {
    let here = tempdir().expect("a folder");
    let local = here.path().join("local");
    for (at, len) in [0, 1, 4_096, 32_768, 100_001, 9_000_000].into_iter().enumerate() {
        let names = ["plain", "it's new", "-rf", "\"a\" $(reboot) `x`", "*", "a\nb"];
        let remote = folder.join(names[at]);
        fs::write(&remote, contents(len)).expect("written");
        fs::set_permissions(&remote, fs::Permissions::from_mode(0o666)).expect("set");
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000 + at as u64);
        fs::File::open(&remote).expect("opened").set_modified(old).expect("set");
        let fetched = done(client, Get::new(text(&remote), &local).preserve(at % 2 == 0));
        let counts = (fetched.files, fetched.bytes, fetched.total);
        assert_eq!(counts, (1, len as u64, len as u64), "{}", names[at]);
        assert!(fs::read(&local).expect("it is there") == contents(len), "{len} bytes");
        let found = fs::metadata(&local).expect("there");
        let (mode, mtime) = (found.mode() & 0o7777, found.mtime());
        assert_eq!((mode == 0o666, mtime == 1_500_000_000 + at as i64), (at % 2 == 0, at % 2 == 0));
        assert_eq!(super::names(here.path()), ["local"], "no part file is left");
    }
    let remote = folder.join("plain");
    done(client, Get::new(text(&remote), &local).skip_same(true));
    let again = done(client, Get::new(text(&remote), &local).skip_same(true));
    assert_eq!((again.files, again.skipped, again.bytes), (0, 1, 0));

    fs::create_dir(folder.join("directory")).expect("created");
    for (name, expected) in [
        ("missing", "missing: No such file or directory"),
        ("-rf/-none", "-none: Not a directory"),
        ("directory", "directory: not a regular file"),
    ] {
        let text = error(client, Get::new(text(&folder.join(name)), here.path().join(name))).to_string();
        assert!(text.contains(expected), "{text}");
    }
    let (path, copy) = (text(&remote), here.path().join("copy"));
    let no_clobber = error(client, Get::new(path, &local).overwrite(false)).to_string();
    assert!(no_clobber.contains("exists"), "{no_clobber}");
    for work in [
        Command::from(Get::new(path, &copy).recurse(true)),
        Get::new(path, &copy).resume(true).into(),
        FileRequest::read(path).into(),
        FileRequest::list(text(folder)).into(),
    ] {
        let text = error(client, work).to_string();
        assert!(text.contains("sftp") || text.contains("SFTP"), "{text}");
    }
    assert_eq!(names(here.path()), ["local"]);
}

#[test]
fn openssh_without_its_subsystem_sends_by_scp() {
    let _dog = guard("get_scp");
    let sshd = without_sftp();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    check_get(&mut client, folder.path());
    // All of that took one connection.
    assert_eq!(sshd.count("Accepted publickey"), 1);
}

#[test]
fn dropbear_sends_by_scp() {
    let _dog = guard("get_dropbear");
    let Some(server) = Dropbear::start_without_sftp() else { return };
    let mut client = build(dropbear(&server));
    let folder = tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
    check_get(&mut client, folder.path());
    // A path that is relative, and begins with a dash.
    let local = folder.path().join("local");
    fs::write(server.user().home().join("-rf"), "at home").expect("written");
    done(&mut client, Get::new("-rf", &local));
    assert_eq!(fs::read(&local).expect("there"), b"at home");
    let (secret, copy) = (folder.path().join("secret"), folder.path().join("copy"));
    fs::write(&secret, "text").expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("set");
    let text = error(&mut client, Get::new(text(&secret), &copy)).to_string();
    assert!(text.contains("secret: Permission denied") && !copy.exists(), "{text}");
}

#[test]
fn a_get_by_scp_that_is_cancelled_leaves_nothing() {
    const SIZE: u64 = 2_000_000_000;
    let _dog = guard("get_scp_cancel");
    let (sshd, folder) = (without_sftp(), tempdir().expect("a folder"));
    let builder = with_key(Fleet::builder(HOST).port(sshd.port()).user(sshd.user()), &sshd);
    let mut driven = Driven::new(builder.known_hosts([sshd.known_hosts(HOST)]).build().expect("a fleet"));
    let (remote, here) = (folder.path().join("remote"), folder.path().join("here"));
    // It has no blocks on the disk.
    fs::File::create(&remote).and_then(|file| file.set_len(SIZE)).expect("enough room");
    let get = Command::from(Get::new(text(&remote), here.join("copy")));
    for is_cancelled in [true, false] {
        let work =
            if is_cancelled { get.clone() } else { get.clone().time_limit(Duration::from_millis(700)) };
        let started = driven.fleet.start(work).expect("it starts");
        let id = started.commands[0];
        let moves = |driven: &Driven| {
            driven.progress.get(&id).is_some_and(|all| all.iter().any(|done| done.bytes > 0))
        };
        driven.until(SLOW, "progress", moves);
        if is_cancelled {
            driven.fleet.cancel_run(started.run);
        }
        driven.until(SLOW, "the end", |driven| driven.ends.contains_key(&id));
        let Outcome::Failed(error) = &driven.ends[&id] else { panic!("{}", driven.ends[&id]) };
        match error.kind() {
            HostErrorKind::Cancelled(CancelCause::RunCancelled) if is_cancelled => {}
            HostErrorKind::Timeout { .. } if !is_cancelled => {}
            _ => panic!("{error}"),
        }
        assert_eq!(names(&here), [""; 0], "{error}");
        let last = driven.progress[&id].last().expect("progress");
        assert!(last.bytes < SIZE && last.total == SIZE && last.files == 0, "{last:?}");
    }
    // The connection was used all the time, and no `scp` goes on with the file.
    let count = format!("ps -eo args | grep -c '[s]cp -f .*{}'", text(folder.path()));
    let id = driven.fleet.start(Command::new(count)).expect("it starts").commands[0];
    driven.until(SLOW, "a command", |driven| driven.ends.contains_key(&id));
    assert_eq!(driven.output[&id], b"0\n");
    assert_eq!(sshd.count("Accepted publickey"), 1);
}

#[test]
fn what_prints_or_does_in_place_of_scp_is_said() {
    let _dog = guard("get_scp_text");
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "text").expect("written");
    for (command, expected) in [
        // As a shell whose start files print something.
        (
            "echo Welcome to web1; exec sh -c \"$SSH_ORIGINAL_COMMAND\"",
            "it sent the text \"Welcome to web1\"",
        ),
        ("exit 127", "scp failed on the host: exit status 127 before it sent the file"),
        ("yes", "it sent the text \"y\""),
        ("while printf '\\001no\\n'; do :; done", "scp failed on the host: no"),
        ("printf 'C0644 9 file\\nhello'; sleep 0.1; exit 1", "scp failed on the host: "),
        (
            "head -c 1 >/dev/null; printf 'C0644 99 file\\n'; head -c 1 >/dev/null; printf hello; exit 1",
            "exit status 1 after 5 of 99 bytes",
        ),
        (
            "head -c 1 >/dev/null; printf 'C0644 5 file\\n'; head -c 1 >/dev/null; printf hello; cat /dev/zero",
            "it sent more than the 5 bytes",
        ),
        (
            "head -c 1 >/dev/null; printf 'C0644 0 file\\n'; head -c 1 >/dev/null; printf '\\0'; exit 3",
            "scp failed on the host: exit status 3",
        ),
    ] {
        let command = format!("ForceCommand {command}");
        let sshd = Sshd::builder().option("Subsystem other /bin/false").option(&command).start();
        let mut client = build(client_for(&sshd, HOST));
        let text = error(&mut client, Get::new(text(&file), folder.path().join("copy"))).to_string();
        assert!(text.contains(expected), "{text}, not {expected}");
        assert_eq!(names(folder.path()), ["file"]);
    }
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
    let folder = tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("set");
    check(&mut build(dropbear(&server)), folder.path());
}
