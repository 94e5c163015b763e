//! Copies that fail, that are stopped, and that go on later.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::copies::{folder, program, run, site};
use super::support::program::PROGRAM;
use super::support::sftp::SFTP_SERVER;
use super::support::sshd::Sshd;
use super::support::sudoers::Sudoers;
use super::support::system::is_root;
use super::support::user::TestUser;
use super::support::{Done, Site, eventually};

/// Longer than what a server that is cut off takes, and than what is copied again because it may
/// have gaps.
const SIZE: usize = 40_000_008;

/// Hosts whose server of SFTP is run by a script, in which `$1` is the server, and the current
/// folder is that of the script.
fn scripted(script: &str) -> (Site, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("server");
    let text = format!("#!/bin/bash\ncd {}\nset -- {SFTP_SERVER}\n{script}\n", folder.path().display());
    fs::write(&path, text).expect("write a script");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("chmod");
    (Site::with(Sshd::builder().option(&format!("Subsystem sftp {}", path.display())), 4), folder)
}

/// All names below a folder.
fn names(path: &Path) -> Vec<String> {
    let output = Command::new("find").args([".", "-mindepth", "1"]).current_dir(path).output().expect("find");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut names: Vec<String> = text.lines().map(|line| line.trim_start_matches("./").to_owned()).collect();
    names.sort();
    names
}

/// A file that is nowhere like another part of itself.
fn numbers() -> Vec<u8> {
    (0..SIZE as u64 / 8).flat_map(u64::to_le_bytes).collect()
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).expect("it runs");
}

/// Copies to a folder of each host, of which `web2` has a file in the place of its folder.
fn with_a_fault(site: &Site) -> (PathBuf, String, String) {
    let there = folder(site, "there");
    fs::write(there.join("web2"), "").expect("a file");
    let dest = format!("{}/%{{name}}/file", there.display());
    (there, site.file("file", "text"), dest)
}

#[test]
fn failures_are_counted_and_the_rest_is_not_started() {
    let site = site();
    let (there, file, dest) = with_a_fault(&site);
    for (word, budget) in
        [("put", &["-k"][..]), ("put", &["--max-fail", "0"]), ("put", &["--max-fail", "20%"])]
    {
        let mut args = vec!["--template", "--batch", "1", "-w", "web[1-4]"];
        args.extend(budget);
        args.extend([&*file, &dest]);
        let done = run(&site, word, &args);
        assert_eq!(done.code, Some(5), "{budget:?}: {done:?}");
        assert_eq!(done.out, "web1: 1 file, 4 B\n", "{budget:?}: {done:?}");
        assert!(done.err.contains("sshoal: web[3-4] (2): not started: "), "{done:?}");
        assert!(done.err.contains("4 hosts: 1 ok, 1 failed, 2 not started"), "{done:?}");
        assert_eq!(names(&there), ["web1", "web1/file", "web2"]);
        fs::remove_dir_all(there.join("web1")).expect("remove the copies");
    }
    // One failure of four is allowed.
    let args = ["--template", "--batch", "1", "--max-fail", "1", "-w", "web[1-4]", &file, &dest];
    let done = run(&site, "put", &args);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(names(&there), ["web1", "web1/file", "web2", "web3", "web3/file", "web4", "web4/file"]);
    // The hosts that failed are those of the next copy.
    fs::remove_file(there.join("web2")).expect("remove the file");
    let done = run(&site, "put", &["--last=failed", "--template", &file, &dest]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "web2: 1 file, 4 B\n"), "{done:?}");
    assert_eq!(fs::read(there.join("web2/file")).expect("a copy"), b"text");
}

#[test]
fn gets_and_syncs_have_the_same_budgets() {
    let site = site();
    let there = folder(&site, "there");
    let here = site.sshd.dir().join("here").display().to_string();
    for host in ["web1", "web3"] {
        fs::create_dir(there.join(host)).expect("a folder");
        fs::write(there.join(host).join("file"), host).expect("a file");
    }
    let source = format!("{}/%{{name}}/file", there.display());
    let args = ["-k", "--batch", "1", "--template", "-w", "web[1-3]", &source, &here];
    let done = run(&site, "get", &args);
    assert_eq!((done.code, done.out.as_str()), (Some(5), "web1: 1 file, 4 B\n"), "{done:?}");
    assert!(done.err.contains("sshoal: web2: cannot look at ") && done.err.contains("web3: not started"));
    assert_eq!(names(here.as_ref()), ["web1", "web1/file"]);
    let done = run(&site, "get", &["--last=not-started", "--template", &source, &here]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let from = folder(&site, "from");
    fs::write(from.join("new"), "text").expect("a file");
    fs::write(there.join("web2"), "").expect("a file");
    let dest = format!("{}/%{{name}}", there.display());
    let args = ["-k", "--batch", "1", "--template", "-w", "web[1-3]", from.to_str().expect("UTF-8"), &dest];
    let done = run(&site, "sync", &args);
    assert_eq!(done.code, Some(5), "{done:?}");
    assert!(done.err.contains("3 hosts: 1 ok, 1 failed, 1 not started"), "{done:?}");
    assert_eq!(names(&there), ["web1", "web1/file", "web1/new", "web2", "web3", "web3/file"]);
}

#[test]
fn gates_count_hosts_with_several_files() {
    let site = site();
    let (there, file, _) = with_a_fault(&site);
    let other = site.file("other", "more");
    let log = site.sshd.dir().join("gates").display().to_string();
    let gate = format!(
        "echo $SSHOAL_BATCH $SSHOAL_OK $SSHOAL_FAILED $SSHOAL_LEFT >> {log}; test $SSHOAL_FAILED -eq 0"
    );
    let dest = format!("{}/%{{name}}/", there.display());
    let args = ["--template", "--batch", "1", "--gate", &gate, "-w", "web[1-4]", &file, &other, &dest];
    let done = run(&site, "put", &args);
    assert_eq!(done.code, Some(5), "{done:?}");
    assert_eq!(fs::read_to_string(log).expect("the log"), "1 1 0 3\n2 1 1 2\n", "{done:?}");
    assert!(done.err.contains("web[3-4] (2): not started: stopped between two batches"), "{done:?}");
    assert_eq!(names(&there), ["web1", "web1/file", "web1/other", "web2"]);
}

#[test]
fn a_retry_is_for_connections_and_not_for_copies() {
    let site = site();
    let (there, file, dest) = with_a_fault(&site);
    let done = run(&site, "put", &["--retry", "2", "--template", "-w", "web[1-2],gone1", &file, &dest]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.err.contains("3 hosts: 1 ok, 2 failed"), "{done:?}");
    // Two hosts have logged in once.
    assert_eq!(site.sshd.count("Accepted publickey"), 2);
    assert_eq!(names(&there), ["web1", "web1/file", "web2"]);
}

#[test]
fn copies_that_were_cut_off_are_continued() {
    // The first server ends after a part of the file; what others say is counted.
    let script = "if mkdir was_here 2>/dev/null; then CUT; else tee input | $1 | tee output; fi";
    let first = "dd bs=8192 count=30000000 iflag=count_bytes status=none";
    let bytes = numbers();
    for (words, cut, counted) in [
        ("put", format!("{first} | $1"), "input"),
        ("put -r -T", format!("{first} | $1"), "input"),
        ("get", format!("$1 | {first}"), "output"),
        ("get -r", format!("$1 | {first}"), "output"),
    ] {
        let (site, server) = scripted(&script.replace("CUT", &cut));
        let (source, there) = (folder(&site, "source"), folder(&site, "there"));
        fs::write(source.join("file"), &bytes).expect("a file");
        let (word, flags) = words.split_once(' ').unwrap_or((words, ""));
        // A directory is copied to `copy`, or to `source` in `there`.
        let (from, to, whole) = match words {
            "put -r -T" => (source, "copy", "copy/file"),
            "get -r" => (source, "", "source/file"),
            _ => (source.join("file"), "copy", "copy"),
        };
        let (from, to) = (from.display().to_string(), format!("{}/{to}", there.display()));
        let copy = || {
            let args = ["--continue", "-w", "web1"].into_iter().chain(flags.split_whitespace());
            run(&site, word, &args.chain([&*from, &to]).collect::<Vec<_>>())
        };
        let done = copy();
        assert_eq!(done.code, Some(1), "{words}: {done:?}");
        assert!(done.err.contains("the SFTP server ended before the transfer was complete"), "{done:?}");
        // No part of the file has its name.
        let left = names(&there);
        assert!(left.iter().any(|name| name.contains(".sshoal-")), "{words}: {left:?}");
        assert!(!there.join(whole).exists(), "{words}: {left:?}");
        let done = copy();
        assert_eq!(done.code, Some(0), "{words}: {done:?}");
        assert!(fs::read(there.join(whole)).expect("a copy") == bytes, "{words}");
        assert!(!names(&there).iter().any(|name| name.contains(".sshoal-")), "{words}: {:?}", names(&there));
        let count = fs::metadata(server.path().join(counted)).expect("counted").len();
        assert!(count > 9_900_000 && count < 30_000_000, "{words}: {count} bytes");
    }
}

#[test]
fn a_directory_that_is_copied_again_needs_a_place_that_does_not_depend_on_the_first_time() {
    let site = site();
    let (from, there) = (folder(&site, "from"), folder(&site, "there"));
    fs::write(from.join("file"), "text").expect("a file");
    let (from, to) = (from.display().to_string(), there.join("copy").display().to_string());
    for args in [&["-r", "-w", "web1", &from, &to][..], &["-r", "--last", &from, &to]] {
        let args = if args.contains(&"--last") { args.to_vec() } else { [&["--continue"], args].concat() };
        assert_eq!(run(&site, "put", &["-w", "web1", "-r", "-T", &from, &to]).code, Some(0));
        let done = run(&site, "put", &args);
        assert!(done.code == Some(2) && done.err.contains("-T if it becomes"), "{done:?}");
        assert_eq!(names(&there), ["copy", "copy/file"]);
        for (more, all) in [(&["-T"][..], 2), (&[], 4)] {
            let slash = format!("{to}/");
            let mut args = [&args[..], more].concat();
            if more.is_empty() {
                args.pop();
                args.push(&slash);
            }
            assert_eq!(run(&site, "put", &args).code, Some(0), "{args:?}");
            assert_eq!(names(&there).len(), all, "{:?}", names(&there));
        }
        fs::remove_dir_all(there.join("copy")).expect("remove the copy");
    }
}

/// Waits until a copy has begun to write below this folder, and returns the name of what it writes.
#[track_caller]
fn await_part(path: &Path, file: &str) -> String {
    eventually(Duration::from_secs(20), "a temporary file", || {
        let begun = |name: &String| {
            name.contains(&format!(".{file}.sshoal-"))
                && fs::metadata(path.join(name)).is_ok_and(|part| part.size() > 0)
        };
        names(path).into_iter().find(begun)
    })
}

/// Waits until the program has handled all that the host had done by now: more than what can be on
/// its way has been written to this file since.
#[track_caller]
fn await_growth(part: &Path) {
    let size = || fs::metadata(part).expect("the copy goes on").size();
    let before = size();
    eventually(Duration::from_secs(20), "16 MiB more", || (size() > before + (16 << 20)).then_some(()));
}

/// A file that takes long to copy, and no place here.
fn endless(site: &Site) -> String {
    let path = site.file("large", "");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("just written");
    file.set_len(8 << 30).expect("a file with a hole");
    path
}

#[test]
fn an_interrupted_copy_leaves_no_temporary_file_and_says_what_was_copied() {
    for word in ["put", "get"] {
        let site = site();
        let there = folder(&site, "there");
        let (small, large, to) = (site.file("small", "text"), endless(&site), there.display().to_string());
        let to = if word == "put" { format!("{to}/%{{name}}/") } else { to };
        let child = program(&site, word, &["--template", "-w", "web[1-2]", &small, &large, &to]).start();
        for host in ["web1", "web2"] {
            let folder = there.join(host);
            fs::create_dir_all(&folder).expect("a folder");
            let part = await_part(&folder, "large");
            eventually(Duration::from_secs(20), "the small file", || {
                folder.join("small").exists().then_some(())
            });
            await_growth(&folder.join(part));
        }
        interrupt(&child);
        let done = Done::of(child);
        assert_eq!(done.code, Some(130), "{word}: {done:?}");
        assert!(done.err.contains("sshoal: web[1-2] (2): stopped by ^C\n"), "{word}: {done:?}");
        assert!(done.err.contains("2 hosts: 0 ok, 0 failed, 2 cancelled"), "{word}: {done:?}");
        // The small files are whole, and are counted.
        assert!(done.err.contains("sshoal: 2 files, "), "{word}: {done:?}");
        assert_eq!(names(&there), ["web1", "web1/small", "web2", "web2/small"], "{word}");
    }
}

#[test]
fn what_was_copied_is_counted_also_where_something_failed() {
    let site = site();
    let (from, there) = (folder(&site, "from"), folder(&site, "there"));
    for (name, text) in [("a", "one"), ("b", "three"), ("c", "five5")] {
        fs::write(from.join(name), text).expect("a file");
    }
    // A directory cannot be replaced by a file.
    fs::create_dir_all(there.join("web1/b/sub")).expect("a folder");
    let (from, to) = (from.display().to_string(), format!("{}/%{{name}}", there.display()));
    let done = run(&site, "put", &["-r", "-T", "--template", "-w", "web[1-2]", &from, &to]);
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(1), "web2: 3 files, 13 B; 1 new directory\n"),
        "{done:?}"
    );
    assert!(done.err.contains("sshoal: web1: 1 of the files was not copied: "), "{done:?}");
    assert!(done.err.contains("sshoal: 5 files, 26 B; 1 new directory; "), "{done:?}");
    assert_eq!(names(&there.join("web1")), ["a", "b", "b/sub", "c"]);
}

#[test]
fn copies_are_on_disk_on_request() {
    // The server says what it is asked for.
    let (site, server) = scripted("exec $1 -e -l DEBUG1 2>>log");
    let there = folder(&site, "there").display().to_string();
    let file = site.file("file", "text");
    let asked = || fs::read_to_string(server.path().join("log")).expect("a log").matches("fsync").count();
    let done = run(&site, "put", &["-q", "-w", "web1", &file, &there]);
    assert_eq!((done.code, asked()), (Some(0), 0), "{done:?}");
    let done = run(&site, "put", &["-q", "--fsync", "-w", "web1", &file, &there]);
    assert_eq!((done.code, asked()), (Some(0), 1), "{done:?}");
    let here = site.sshd.dir().join("here/copy");
    let done = run(&site, "get", &["-q", "--fsync", "-w", "web1", &file, here.to_str().expect("UTF-8")]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(fs::read(here).expect("a copy"), b"text");
}

#[test]
fn a_full_disk_is_one_line_and_leaves_no_part_of_a_file() {
    if !is_root() {
        eprintln!("skipped: only root can mount a small disk");
        return;
    }
    let site = site();
    let here = folder(&site, "here");
    let large = site.file("large", vec![7; 4_000_000]);
    // A disk of 1 MiB, which is gone with its processes. What is on it in the end follows.
    let script = "mount -t tmpfs -o size=1m none \"$1\" || exit 99; folder=$1; shift; \"$@\"; code=$?; \
                  cd \"$folder\"; find . -type f -printf 'left %P %s\\n'; exit $code";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&here).arg(PROGRAM);
    command.args(["get", "-F", site.config(), "-w", "web[1-3]", &large]).arg(&here);
    command.env("XDG_STATE_HOME", site.sshd.dir().join("state")).env_remove("SSH_AUTH_SOCK");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = Done::of(command.spawn().expect("unshare (Debian: util-linux)"));
    if done.code == Some(99) {
        eprintln!("skipped: this root cannot mount: {done:?}");
        return;
    }
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.out, "", "{done:?}");
    let line = format!(
        "sshoal: web[1-3] (3): cannot write to {}/{{host}}/large: No space left on device (os error 28)\n    \
         Make room on this machine. The files that are there are whole.\n",
        here.display()
    );
    assert!(done.err.contains(&line), "{done:?}");
}

#[test]
fn ports_of_one_host_have_copies_of_their_own() {
    let (site, other) = (site(), site());
    let file = site.file("file", "text");
    let ports = [site.sshd.port(), other.sshd.port()];
    let set = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
    let here = folder(&site, "here");
    let to = here.display().to_string();
    let done = run(&site, "get", &["-q", "--accept-new", "-w", &set, &file, &to]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let mut all: Vec<String> = ports
        .iter()
        .flat_map(|port| [format!("127.0.0.1:{port}"), format!("127.0.0.1:{port}/file")])
        .collect();
    all.sort();
    assert_eq!(names(&here), all);
    let done = run(&site, "get", &["-q", "--accept-new", "--name", "{name}@{host}", "-w", &set, &file, &to]);
    assert_eq!(done.code, Some(0), "{done:?}");
    all.extend(ports.map(|port| format!("file@127.0.0.1:{port}")));
    all.sort();
    assert_eq!(names(&here), all);
    // %{host} has no port, so both would have the same place.
    let to = format!("{to}/%{{host}}");
    let done = run(&site, "get", &["-q", "--template", "--name", "x", "-w", &set, &file, &to]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("x is already written by this run, by another host"), "{done:?}");
    assert_eq!(fs::read(here.join("127.0.0.1/x")).expect("a copy"), b"text");
}

#[test]
fn files_are_installed_with_a_password_for_sudo() {
    let Some(user) = TestUser::create() else { return };
    let Some(_sudoers) = Sudoers::add(&user, "{user} ALL=(ALL) ALL") else { return };
    let site = Site::of_user_with(Sshd::builder().option(&format!("Subsystem sftp {SFTP_SERVER}")), &user);
    let there = folder(&site, "root_only");
    fs::set_permissions(&there, PermissionsExt::from_mode(0o700)).expect("chmod");
    let file = site.file("file", "text");
    let dest = format!("{}/%{{name}}", there.display());
    let (right, wrong) =
        (site.file("right", format!("{}\n", user.password())), site.file("wrong", "not it\n"));
    let install = |password: &str| {
        let args = [
            "-T",
            "--template",
            "--mode",
            "640",
            "--sudo-password-file",
            password,
            "-w",
            "web[1-3]",
            &file,
            &dest,
        ];
        run(&site, "put", &args)
    };
    let done = install(&wrong);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.err.contains(
            " (2): install failed on the host: running the command failed: sudo did not accept the password\n"
        ),
        "{done:?}"
    );
    assert!(done.err.contains("the password for sudo was not sent: "), "{done:?}");
    assert!(!done.err.contains("guard_passwords") && done.err.contains("sshoal: 0 files, "), "{done:?}");
    // No password, and sudo wants one.
    let done = run(&site, "put", &["-T", "--sudo", "-w", "web1", &file, &format!("{}/x", there.display())]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("sudo: a password is required\n    --sudo-password asks for"), "{done:?}");
    // Nothing is left where root writes, and where the user does.
    let left = || {
        names(&there).into_iter().chain(names(user.home())).filter(|name| name.contains("sshoal-")).count()
    };
    assert_eq!((names(&there).len(), left()), (0, 0));
    let done = install(&right);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!((names(&there), left()), (["web1", "web2", "web3"].map(str::to_owned).to_vec(), 0));
    let copy = fs::metadata(there.join("web3")).expect("a copy");
    assert_eq!((copy.uid(), copy.mode() & 0o7777), (0, 0o640));
}

#[test]
fn hosts_that_deny_a_copy_are_one_line_with_what_to_do() {
    // web3 and web4 may neither write nor look.
    let script = "case $SSH_CONNECTION in *127.0.2.[45]*) exec $1 -R -P lstat,stat,open;; esac; exec $1";
    let (site, _server) = scripted(script);
    let there = folder(&site, "there").display().to_string();
    let files = [site.file("a", "text"), site.file("b", "text")];
    let done = run(&site, "put", &["-w", "web[1-4]", &files[0], &files[1], &there]);
    assert_eq!(
        (done.code, done.sorted()),
        (Some(1), vec!["web1: 2 files, 8 B", "web2: 2 files, 8 B"]),
        "{done:?}"
    );
    let text = format!(
        "sshoal: web[3-4] (2): cannot create {there}/.a.sshoal-1: permission denied; and 1 other copy failed\n    \
         Copy to a place that the user (-l) may write to, or install a file with --sudo.\n"
    );
    assert!(done.err.contains(&text), "{done:?}");
    let here = site.sshd.dir().join("here").display().to_string();
    let done = run(&site, "get", &["-q", "-w", "web[1-4]", &files[0], &here]);
    let text = format!(
        "sshoal: web[3-4] (2): cannot look at {}: permission denied\n    Log in as a user (-l) who may read it.\n",
        files[0]
    );
    assert!(done.code == Some(1) && done.err.contains(&text), "{done:?}");
}

#[test]
fn without_sftp_it_is_said_what_works() {
    let site = Site::with(Sshd::builder().option("Subsystem other /bin/false"), 2);
    let file = site.file("file", "text");
    let there = site.sshd.dir().join("there").display().to_string();
    for args in [&["put"][..], &["put", "-T", "--skip-same"], &["get", "-r"], &["get", "--continue"]] {
        let done = run(&site, args[0], &[&args[1..], &["-w", "web[1-2]", &file, &there]].concat());
        let text = "the server refused the subsystem \"sftp\"";
        let advice = "\n    Without SFTP there, only single files can be copied: by `sshoal put -T`, or by `sshoal get` \
                      without -r and --continue.\n";
        assert!(done.code == Some(4) && done.err.contains(text) && done.err.contains(advice), "{done:?}");
    }
    let done = run(&site, "put", &["-T", "-w", "web[1-2]", &file, &there]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(fs::read(there).expect("a copy"), b"text");
}

#[test]
fn without_sftp_each_host_sends_its_file_by_scp() {
    let site = Site::with(Sshd::builder().option("Subsystem other /bin/false"), 3);
    let (first, second) = (site.file("it's one", "text"), site.file("two", ""));
    let here = folder(&site, "here");
    let dest = here.display().to_string();
    let done = run(&site, "get", &["--preserve", "-bw", "web[1-3]", &first, &second, &dest]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("web[1-3] (3)\n") && done.out.contains("2 files, 4 B\n"), "{done:?}");
    let all = ["web1", "web2", "web3"]
        .map(|host| [host.to_owned(), format!("{host}/it's one"), format!("{host}/two")]);
    assert_eq!(names(&here), all.concat());
    assert_eq!(fs::read(here.join("web3/it's one")).expect("a copy"), b"text");
    let done = run(&site, "get", &["--skip-same", "-qw", "web[1-3]", &first, &dest]);
    assert_eq!(done.code, Some(0), "{done:?}");

    let missing = site.sshd.dir().join("missing").display().to_string();
    let done = run(&site, "get", &["-qw", "web[1-3]", &missing, &dest]);
    let text =
        format!("sshoal: web[1-3] (3): scp failed on the host: {missing}: No such file or directory\n");
    assert!(done.code == Some(1) && done.err.contains(&text), "{done:?}");
    let done = run(&site, "get", &["--no-clobber", "-qw", "web[1-3]", &first, &dest]);
    let text = "Without --no-clobber, files are replaced.\n";
    assert!(done.code == Some(1) && done.err.contains(text), "{done:?}");
    assert_eq!(names(&here), all.concat());
}

#[test]
fn a_host_with_neither_sftp_nor_scp_is_named_as_such() {
    let builder = Sshd::builder().option("Subsystem other /bin/false").option("ForceCommand exec none-such");
    let site = Site::with(builder, 2);
    let file = site.file("file", "text");
    let there = site.sshd.dir().join("there").display().to_string();
    for args in [&["put", "-T"][..], &["get"]] {
        let done = run(&site, args[0], &[&args[1..], &["-w", "web[1-2]", &file, &there]].concat());
        let text = "\n    There is neither SFTP nor scp. Install one of them on the host.\n";
        assert!(done.code == Some(1) && done.err.contains(text), "{done:?}");
    }
}
