//! Files to hosts and from them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::support::screen::Terminal;
use super::support::sftp::SFTP_SERVER;
use super::support::sshd::Sshd;
use super::support::sudoers::Sudoers;
use super::support::user::TestUser;
use super::support::{Done, Program, Site};

/// Hosts with SFTP.
pub(super) fn site() -> Site {
    Site::with(Sshd::builder().option(&format!("Subsystem sftp {SFTP_SERVER}")), 4)
}

/// A command line of `put` or the like.
pub(super) fn program(site: &Site, word: &str, args: &[&str]) -> Program {
    site.bare().args([word, "-F", site.config()]).args(args.iter().copied())
}

pub(super) fn run(site: &Site, word: &str, args: &[&str]) -> Done {
    program(site, word, args).run()
}

/// A new folder of the site.
pub(super) fn folder(site: &Site, name: &str) -> PathBuf {
    let path = site.sshd.dir().join(name);
    fs::create_dir(&path).expect("a folder");
    path
}

/// The names in a folder.
pub(super) fn names(path: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_arrives_on_each_host_and_the_same_one_is_left_alone() {
    let site = site();
    let there = folder(&site, "there");
    let file = site.file("app.conf", "port = 80\n");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("chmod");
    let dest = format!("{}/%{{name}}/etc/app.conf", there.display());
    let done = run(&site, "put", &["--template", "--preserve", "-w", "web[1-3]", &file, &dest]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.sorted(), ["web1: 1 file, 10 B", "web2: 1 file, 10 B", "web3: 1 file, 10 B"]);
    assert!(done.err.contains("sshoal: 3 files, 30 B; ") && done.err.contains("3 hosts: 3 ok, 0 failed"));
    for host in ["web1", "web2", "web3"] {
        let copy = there.join(host).join("etc/app.conf");
        assert_eq!(fs::read_to_string(&copy).expect("a copy"), "port = 80\n");
        let (copy, file) = (fs::metadata(copy).expect("a copy"), fs::metadata(&file).expect("a file"));
        assert_eq!((copy.mode() & 0o7777, copy.mtime()), (0o640, file.mtime()));
    }
    // Equal outcomes are one.
    let args = ["--template", "--skip-same", "-b", "-w", "web[1-3]", &file, &dest];
    let done = run(&site, "put", &args);
    let rule = "---------------";
    assert_eq!(done.out, format!("{rule}\nweb[1-3] (3)\n{rule}\n0 files, 0 B; 1 the same\n"), "{done:?}");
    // Only failures, if that is wanted.
    let done = run(&site, "put", &["-q", "--template", "--mode", "600", "-w", "web1", &file, &dest]);
    assert_eq!((done.out.as_str(), done.err.contains("file"), done.code), ("", false, Some(0)), "{done:?}");
    assert_eq!(fs::metadata(there.join("web1/etc/app.conf")).expect("a copy").mode() & 0o7777, 0o600);
}

#[test]
fn several_files_go_into_a_directory_and_each_host_is_one_line() {
    let site = site();
    let there = folder(&site, "there");
    let files = [site.file("a", "one"), site.file("b", "three"), site.file("c", "")];
    let dest = format!("{}/%{{n}}", there.display());
    let log = site.sshd.dir().join("joblog").display().to_string();
    let mut args = vec!["--template", "--batch", "1", "--joblog", &log, "-w", "web[1-3]"];
    args.extend(files.iter().map(String::as_str));
    args.push(&dest);
    let done = run(&site, "put", &args);
    assert_eq!(done.sorted(), ["web1: 3 files, 8 B", "web2: 3 files, 8 B", "web3: 3 files, 8 B"], "{done:?}");
    for number in ["0", "1", "2"] {
        assert_eq!(names(&there.join(number)), ["a", "b", "c"]);
    }
    let log = fs::read_to_string(log).expect("the log");
    let fields: Vec<Vec<&str>> = log.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let sent: Vec<_> = fields.iter().map(|fields| (fields[1], fields[4], fields[5], fields[6])).collect();
    let line = |host| (host, "8", "0", "0");
    assert_eq!(sent, [line("web1"), line("web2"), line("web3")], "in batches of one host");
    // A directory that is there is one without a slash at its end, too.
    let there = there.join("0").display().to_string();
    let done = run(&site, "put", &["-w", "web1", &site.file("d", "x"), &there]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(names(there.as_ref()), ["a", "b", "c", "d"]);
    let done = run(&site, "put", &["-T", "-w", "web1", &files[0], &there]);
    assert_eq!(done.code, Some(1), "{done:?}");
}

#[test]
fn directories_are_copied_on_request_with_their_links() {
    let site = site();
    let there = folder(&site, "there");
    let tree = folder(&site, "tree");
    fs::create_dir_all(tree.join("sub/empty")).expect("folders");
    fs::write(tree.join("sub/file"), "text").expect("a file");
    std::os::unix::fs::symlink("file", tree.join("sub/link")).expect("a link");
    let (tree, dest) = (tree.display().to_string(), format!("{}/", there.display()));
    let done = run(&site, "put", &["-w", "web1", &tree, &dest]);
    assert!(done.code == Some(2) && done.err.contains("is a directory: -r copies it"), "{done:?}");
    let done = run(&site, "put", &["-r", "--links", "copy", "-w", "web1", &tree, &dest]);
    assert_eq!(done.out, "web1: 1 file, 4 B; 3 new directories; 1 link\n", "{done:?}");
    assert_eq!(names(&there.join("tree/sub")), ["empty", "file", "link"]);
    assert!(there.join("tree/sub/link").is_symlink());
}

#[test]
fn failures_are_folded_with_what_to_do() {
    let site = site();
    let file = site.file("file", "text");
    let done = run(&site, "put", &["-w", "web[1-3],gone1", &file, "/proc/no/such/file"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.err.contains("sshoal: web[1-3] (3): cannot create"), "{done:?}");
    assert!(done.err.contains("gone1: connecting failed: Connection refused"), "{done:?}");
    assert!(done.err.contains("4 hosts: 0 ok, 4 failed"), "{done:?}");
    // A copy that fails is like a command that does.
    let done = run(&site, "put", &["-w", "web[1-3]", &file, "/proc/no/such/file"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let done = run(&site, "put", &["--last=unreachable", &file, "/tmp/"]);
    assert!(done.err.contains("no host of the last run ended like that"), "{done:?}");
    // What cannot be sent to any host is said once, before anything is done.
    for (args, text) in [
        (&["-w", "web1", "/no/such", "/tmp/x"][..], "cannot copy /no/such: No such file"),
        (&["-w", "web1", "--owner", "root", &file, "/tmp/x"], "--owner needs --sudo"),
        (&["-w", "web1", &file, &format!("{}/../file", site.sshd.dir().display()), "/tmp/x"], "two files"),
    ] {
        let done = run(&site, "put", args);
        assert!(done.code == Some(2) && done.err.contains(text), "{done:?}");
    }
    assert_eq!(site.sshd.count("Accepted publickey"), 6);
}

#[test]
fn a_dry_run_shows_the_paths_and_uses_no_network() {
    let site = site();
    let file = site.file("file", "text");
    let args = ["--dry-run", "--template", "-w", "web[1-2]", &file, "/srv/%{name}"];
    let done = run(&site, "put", &args);
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(
        lines.len() == 2 && lines[1].ends_with(&format!("key on record  put {file} /srv/web2")),
        "{done:?}"
    );
    assert_eq!(site.sshd.count("Connection from"), 0);
}

#[test]
fn all_hosts_together_keep_to_the_limit_of_bandwidth() {
    let site = site();
    let (there, file) = (folder(&site, "there"), site.file("file", vec![7; 300_000]));
    let dest = format!("{}/%{{name}}", there.display());
    let least = |bytes: f64, rate: f64| Duration::from_secs_f64((bytes - rate / 4.0 - 32_768.0) / rate);
    let begun = Instant::now();
    let args = ["--bwlimit", "500k", "--template", "-w", "web[1-2]", &file, &dest];
    let done = run(&site, "put", &args);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(begun.elapsed() >= least(600_000.0, 500_000.0), "{:?}", begun.elapsed());
    // A chunk takes a host longer than --idle allows, and no copy makes progress in between.
    let begun = Instant::now();
    let dest = folder(&site, "here").display().to_string();
    let copy = format!("{}/web1", there.display());
    let args = ["--bwlimit", "32k", "--idle", "1", "-w", "web[1-4]", "--name", "{host}/copy", &copy, &dest];
    let small = site.file("small", vec![7; 40_000]);
    fs::copy(&small, &copy).expect("a copy");
    let done = run(&site, "get", &args);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(begun.elapsed() >= least(160_000.0, 32_000.0), "{:?}", begun.elapsed());
    let done = run(&site, "sync", &["--bwlimit", "1000", "-w", "web1", &dest, "there"]);
    assert!(done.code == Some(2) && done.err.contains("such as 500k, 10M"), "{done:?}");
}

#[test]
fn json_has_what_was_copied() {
    let site = site();
    let (there, file) = (folder(&site, "there").display().to_string(), site.file("file", vec![7; 100_000]));
    let done = run(&site, "put", &["--json", "-w", "web1", &file, &there]);
    let lines: Vec<serde_json::Value> =
        done.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ends: Vec<_> = lines.iter().filter(|line| line["t"] == "end").collect();
    assert_eq!(ends.len(), 1, "{done:?}");
    let copied = &ends[0]["outcome"]["copied"];
    assert_eq!((copied["files"].as_u64(), copied["bytes"].as_u64()), (Some(1), Some(100_000)), "{done:?}");
    assert!(lines.iter().all(|line| line["t"] != "line"), "{done:?}");
}

#[test]
fn sudo_installs_files_where_the_user_may_not_write() {
    let Some(user) = TestUser::create() else { return };
    let Some(_sudoers) = Sudoers::add(&user, "{user} ALL=(ALL) NOPASSWD: ALL") else { return };
    let site = Site::of_user_with(Sshd::builder().option(&format!("Subsystem sftp {SFTP_SERVER}")), &user);
    let there = folder(&site, "root_only");
    fs::set_permissions(&there, PermissionsExt::from_mode(0o700)).expect("chmod");
    let (file, dest) = (site.file("file", "text"), format!("{}/file", there.display()));
    let done = run(&site, "put", &["-T", "-w", "web1", &file, &dest]);
    assert!(done.code == Some(1) && done.err.contains("--sudo"), "{done:?}");
    let args = ["-T", "--sudo", "--owner", "root:root", "--mode", "400", "-w", "web1", &file, &dest];
    let done = run(&site, "put", &args);
    assert_eq!(done.code, Some(0), "{done:?}");
    let copy = fs::metadata(dest).expect("a copy");
    assert_eq!((copy.uid(), copy.gid(), copy.mode() & 0o7777), (0, 0, 0o400));
}

#[test]
fn each_host_has_copies_of_its_own() {
    let site = site();
    let here = folder(&site, "here");
    let log = site.file("syslog", "lines\n");
    let dest = here.display().to_string();
    let done = run(&site, "get", &["-w", "web[1-3]", &log, &dest]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.sorted(), ["web1: 1 file, 6 B", "web2: 1 file, 6 B", "web3: 1 file, 6 B"]);
    for host in ["web1", "web2", "web3"] {
        assert_eq!(fs::read_to_string(here.join(host).join("syslog")).expect("a copy"), "lines\n");
    }
    let done = run(&site, "get", &["--name", "{name}.{host}", "-w", "web[1-2]", &log, &dest]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(names(&here), ["syslog.web1", "syslog.web2", "web1", "web2", "web3"]);
    // The copies of hosts never replace each other.
    let done = run(&site, "get", &["--name", "{name}", "-w", "web[1-2]", &log, &dest]);
    assert!(done.code == Some(2) && done.err.contains("--name needs {host}"), "{done:?}");
    let done = run(&site, "get", &["--template", "--name", "{name}", "-w", "web[1-2]", &log, &dest]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("2 hosts: 1 ok, 1 failed"), "{done:?}");
    // One host has the copy where it was asked for, and files that are there stay on request.
    let copy = here.join("one").display().to_string();
    let done = run(&site, "get", &["-q", "-w", "web1", &log, &copy]);
    assert_eq!((done.code, fs::read_to_string(&copy).expect("a copy").as_str()), (Some(0), "lines\n"));
    let done = run(&site, "get", &["-q", "--no-clobber", "-w", "web1", &log, &copy]);
    assert!(done.code == Some(1) && done.err.contains("Without --no-clobber"), "{done:?}");
}

#[test]
fn directories_are_fetched_on_request_within_limits() {
    let site = site();
    let (tree, here) = (folder(&site, "tree"), folder(&site, "here"));
    fs::create_dir_all(tree.join("sub")).expect("a folder");
    fs::write(tree.join("sub/a"), "text").expect("a file");
    fs::write(tree.join("b"), "more").expect("a file");
    let (tree, dest) = (tree.display().to_string(), here.display().to_string());
    let done = run(&site, "get", &["-w", "web1", &tree, &dest]);
    assert!(done.code == Some(1) && done.err.contains("-r copies directories."), "{done:?}");
    let done = run(&site, "get", &["-r", "-w", "web[1-2]", &tree, &dest]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(names(&here.join("web2/tree")), ["b", "sub"]);
    let done = run(&site, "get", &["-r", "--max-files", "2", "-w", "web1", &tree, &format!("{dest}/x")]);
    assert_eq!(done.code, Some(1), "{done:?}");
}

/// A directory to sync, and one on the hosts that has more and other files.
pub(super) fn trees(site: &Site) -> (String, PathBuf, String) {
    let (from, to) = (folder(site, "from"), folder(site, "to"));
    fs::create_dir(from.join("sub")).expect("a folder");
    for (file, text) in [("same", "same"), ("changed", "new"), ("sub/added", "added")] {
        fs::write(from.join(file), text).expect("a file");
    }
    for host in ["web1", "web2"] {
        let to = to.join(host);
        fs::create_dir_all(to.join("old/deep")).expect("a folder");
        for (file, text) in [("changed", "older"), ("old/deep/file", "x"), ("stale", "x")] {
            fs::write(to.join(file), text).expect("a file");
        }
        let status = std::process::Command::new("cp").arg("-p").arg(from.join("same")).arg(&to).status();
        assert!(status.expect("cp").success());
    }
    let dest = format!("{}/%{{name}}", to.display());
    (from.display().to_string(), to, dest)
}

#[test]
fn a_directory_becomes_like_the_local_one() {
    let site = site();
    let (from, to, dest) = trees(&site);
    let args = ["--template", "-w", "web[1-2]", &from, &dest];
    let with = |more: &[&'static str]| [more, &args.map(|arg| arg)[..]].concat();
    let done = run(&site, "sync", &with(&["--dry-run", "--delete"]));
    let line = "would copy 2 files, 8 B; 1 new directory; 1 the same; 4 to delete";
    assert_eq!(done.sorted(), [format!("web1: {line}"), format!("web2: {line}")], "{done:?}");
    assert_eq!(names(&to.join("web1")), ["changed", "old", "same", "stale"]);
    // Without --delete, what is there stays.
    let done = run(&site, "sync", &with(&[]));
    let line = "2 files, 8 B; 1 new directory; 1 the same";
    assert_eq!(done.sorted(), [format!("web1: {line}"), format!("web2: {line}")], "{done:?}");
    assert_eq!(names(&to.join("web1")), ["changed", "old", "same", "stale", "sub"]);
    // Nobody can be asked, so nothing is deleted.
    let done = run(&site, "sync", &with(&["--delete"]));
    assert!(done.code == Some(2) && done.err.contains("-y does not ask"), "{done:?}");
    assert!(to.join("web1/stale").exists());
    let done = run(&site, "sync", &with(&["--delete", "-y", "-b"]));
    assert!(
        done.out.contains("web[1-2] (2)\n") && done.out.ends_with("; 3 the same; 4 deleted\n"),
        "{done:?}"
    );
    assert_eq!(names(&to.join("web1")), ["changed", "same", "sub"]);
    assert_eq!(fs::read_to_string(to.join("web2/changed")).expect("a copy"), "new");
}

#[test]
fn the_number_of_deletions_is_typed_on_a_terminal() {
    let site = site();
    let (from, to, dest) = trees(&site);
    let args = ["--delete", "--template", "-w", "web[1-2]", &from, &dest];
    for (typed, code) in [("2\r", 5), ("8\r", 0)] {
        let mut terminal = Terminal::start(program(&site, "sync", &args), 100, 24);
        terminal.await_text("deletes 8 files and directories on web[1-2] (2)");
        terminal.await_text("Type their number (8) to go on:");
        terminal.press(typed);
        assert_eq!(terminal.exit_code(), code, "{}", terminal.text());
        assert_eq!(to.join("web1/stale").exists(), code == 5);
    }
}

#[test]
fn an_interrupt_at_the_question_deletes_nothing() {
    let site = site();
    let (from, to, dest) = trees(&site);
    let args = ["--delete", "--template", "-w", "web[1-2]", &from, &dest];
    let mut terminal = Terminal::start(program(&site, "sync", &args), 100, 24);
    terminal.await_text("to go on:");
    terminal.press("\x03");
    assert_eq!(terminal.exit_code(), 130, "{}", terminal.text());
    assert!(to.join("web1/stale").exists());
}

#[test]
fn what_is_in_a_directory_goes_where_cp_puts_it() {
    let site = site();
    let (tree, there) = (folder(&site, "tree"), folder(&site, "there"));
    fs::create_dir(tree.join("sub")).expect("a folder");
    fs::write(tree.join("sub/a"), "text").expect("a file");
    let path = |name: &str| there.join(name).display().to_string();
    let put = |from: &str, to: &str| {
        let mut program = program(&site, "put", &["-q", "-r", "-w", "web1", from, to]).command();
        program.current_dir(&tree).stdout(Stdio::piped()).stderr(Stdio::piped());
        Done::of(program.spawn().expect("the program runs"))
    };
    let sub = tree.join("sub").display().to_string();
    for (from, to, copy) in [
        (sub.as_str(), "new", "new/a"),
        (&sub, "new", "new/sub/a"),
        (&format!("{sub}/"), "slash/", "slash/sub/a"),
        (".", "dot/", "dot/sub/a"),
        (&format!("{sub}/."), "contents/", "contents/a"),
        // A second time, too.
        (&format!("{sub}/."), "contents", "contents/a"),
    ] {
        let slash = if to.ends_with('/') { "/" } else { "" };
        let done = put(from, &format!("{}{slash}", path(to.trim_end_matches('/'))));
        assert_eq!(done.code, Some(0), "{from} {to}: {done:?}");
        assert!(there.join(copy).is_file(), "{from} {to}: {:?}", names(&there));
    }
    assert_eq!(
        (names(&there.join("contents")), names(&there.join("dot"))),
        (vec!["a".into()], vec!["sub".into()])
    );
    let done = put(".", &sub);
    assert_eq!(done.code, Some(0), "{done:?}");
    // From hosts, too: each has what is in the directory.
    let here = there.join("here").display().to_string();
    for (set, copies) in [("web1", &["a"][..]), ("web[1-2]", &["a", "web1", "web2"])] {
        let done = run(&site, "get", &["-q", "-r", "-w", set, &format!("{}/.", path("contents")), &here]);
        assert_eq!(
            (done.code, names(here.as_ref())),
            (Some(0), copies.iter().map(|name| (*name).to_owned()).collect()),
            "{done:?}"
        );
    }
    assert_eq!(names(&there.join("here/web2")), ["a"]);
}

#[test]
fn paths_of_scp_are_taken_or_told() {
    let home = tempfile::tempdir().expect("a folder");
    let site = Site::named_as(&["web*"], home.path());
    let file = site.file("file", "text");
    let done = run(&site, "put", &["-q", "-w", "web1", &file, "~/dir/"]);
    assert_eq!((done.code, names(home.path())), (Some(0), vec!["dir".to_owned()]), "{done:?}");
    let here = site.sshd.dir().join("here").display().to_string();
    let done = run(&site, "get", &["-q", "-w", "web1", "~/dir/file", &here]);
    assert_eq!((done.code, fs::read(&here).expect("a copy")), (Some(0), b"text".to_vec()), "{done:?}");
    let fifo = site.sshd.dir().join("fifo").display().to_string();
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().is_ok_and(|status| status.success()));
    for (word, args, text) in [
        ("put", &[&*file, "web1:/srv/"][..], "web1:/srv/: hosts are named by -w: write -w web1 and /srv/"),
        ("put", &[&file, "~root/"], "~root/: hosts do not say where the home of another user is"),
        ("put", &["*.conf", "/srv"], "cannot copy *.conf: no file here has that name, or matches it"),
        ("put", &[&fifo, "/srv/x"], "fifo is neither a file nor a directory"),
        ("put", &["-r", ".", &file, "/srv/"], ". stands for what is in it"),
        ("sync", &["/tmp", "web1:/srv"], "hosts are named by -w"),
        ("get", &["web1:/etc/motd", "x"], "hosts are named by -w: write -w web1 and /etc/motd"),
        ("get", &["/etc/motd", &file], "file is no directory, which these copies need"),
    ] {
        let done = run(&site, word, &[&["-w", "web[1-2]"], args].concat());
        assert!(done.code == Some(2) && done.err.contains(text), "{word} {args:?}: {done:?}");
    }
    // Hosts are not asked what a pattern matches.
    let done = run(&site, "get", &["-q", "-w", "web[1-3]", "dir/f*", &format!("{here}s")]);
    let text =
        "sshoal: web[1-3] (3): cannot look at dir/f*: no such file\n    Wildcards are not expanded on hosts";
    assert!(done.code == Some(1) && done.err.contains(text), "{done:?}");
    // A file in the place of a directory.
    let done = run(&site, "put", &["-q", "-w", "web[1-3]", &file, "dir/file/"]);
    let text = "(3): cannot create dir/file/.file.sshoal-1: no such file\n    Something above it is a file";
    assert!(done.code == Some(1) && done.err.contains(text), "{done:?}");
}
