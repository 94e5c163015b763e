//! Directories of which something cannot be copied.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use super::copies::{folder, names, program, run, site, trees};
use super::support::program::PROGRAM;
use super::support::screen::Terminal;
use super::support::system::is_root;
use super::support::{Done, Site};

/// Runs the program without root's right to read what nobody may read.
fn run_without_rights(site: &Site, word: &str, args: &[&str]) -> Done {
    let mut command = match is_root() {
        true => Command::new("setpriv"),
        false => Command::new(PROGRAM),
    };
    if is_root() {
        command.args(["--bounding-set", "-dac_override,-dac_read_search", PROGRAM]);
    }
    command.args([word, "-F", site.config()]).args(args);
    command.env("XDG_STATE_HOME", site.sshd.dir().join("state")).env_remove("SSH_AUTH_SOCK");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Done::of(command.spawn().expect("setpriv (Debian: util-linux)"))
}

#[test]
fn the_rest_of_a_directory_is_copied_and_the_problem_is_one_line() {
    let site = site();
    let (from, there) = (folder(&site, "from"), folder(&site, "there"));
    fs::create_dir(from.join("sub")).expect("a folder");
    for file in ["a", "sub/b"] {
        fs::write(from.join(file), "text").expect("a file");
    }
    symlink("nowhere", from.join("dangling")).expect("a link");
    symlink("/proc/self/status", from.join("sub/status")).expect("a link");
    let dest = format!("{}/%{{name}}", there.display());
    let args = ["-r", "-T", "--template", "-w", "web[1-3]", from.to_str().expect("UTF-8"), &dest];
    let done = run(&site, "put", &args);
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    let line = format!(
        "sshoal: web[1-3] (3): 2 of the files were not copied; the first: cannot follow the link {}/dangling: No \
         such file or directory (os error 2)\n    --links=copy or --links=skip does not follow links.\n",
        from.display()
    );
    assert!(done.err.contains(&line), "{done:?}");
    assert!(done.err.contains("sshoal: 6 files, 24 B; 6 new directories; "), "{done:?}");
    assert!(done.err.contains("3 hosts: 0 ok, 3 failed"), "{done:?}");
    for host in ["web1", "web2", "web3"] {
        assert_eq!(names(&there.join(host)), ["a", "sub"]);
        assert_eq!(names(&there.join(host).join("sub")), ["b"]);
    }
    let done = run(&site, "put", &[&["--links", "skip"], &args[..]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn what_nobody_may_read_is_left_out_and_the_rest_is_copied() {
    let site = site();
    let (from, there) = (folder(&site, "from"), folder(&site, "there"));
    for name in ["locked", "open"] {
        fs::create_dir(from.join(name)).expect("a folder");
        fs::write(from.join(name).join("file"), "text").expect("a file");
    }
    fs::set_permissions(from.join("locked"), PermissionsExt::from_mode(0o000)).expect("chmod");
    let dest = format!("{}/%{{name}}", there.display());
    let args = ["-r", "-T", "--template", "-w", "web[1-2]", from.to_str().expect("UTF-8"), &dest];
    let done = run_without_rights(&site, "put", &args);
    let line = format!(
        "sshoal: web[1-2] (2): 1 of the files was not copied: cannot read the directory {}/locked: Permission \
         denied (os error 13)\n",
        from.display()
    );
    assert!(done.code == Some(1) && done.err.contains(&line), "{done:?}");
    assert_eq!(names(&there.join("web2/open")), ["file"]);
    // A file is listed, and fails when it is opened.
    fs::set_permissions(from.join("locked"), PermissionsExt::from_mode(0o755)).expect("chmod");
    fs::set_permissions(from.join("locked/file"), PermissionsExt::from_mode(0o000)).expect("chmod");
    fs::remove_dir_all(there.join("web1")).expect("remove the copy");
    fs::create_dir(there.join("web1")).expect("a folder");
    fs::write(there.join("web1/stale"), "text").expect("a file");
    let args = ["--delete", "-y", "--template", "-w", "web[1-2]", from.to_str().expect("UTF-8"), &dest];
    let done = run_without_rights(&site, "sync", &args);
    let line = format!(
        "sshoal: web[1-2] (2): 1 of the files was not copied, so nothing was deleted: cannot open {}/locked/file: \
         Permission denied (os error 13)\n",
        from.display()
    );
    assert!(done.code == Some(1) && done.err.contains(&line), "{done:?}");
    assert_eq!(names(&there.join("web1")), ["locked", "open", "stale"]);
    assert_eq!(names(&there.join("web1/open")), ["file"]);
}

#[test]
fn nothing_is_deleted_if_the_local_directory_cannot_be_read_wholly() {
    let site = site();
    let (from, to, dest) = trees(&site);
    symlink("nowhere", format!("{from}/dangling")).expect("a link");
    let args = ["--template", "-w", "web[1-2]", &from, &dest];
    let with = |more: &[&'static str]| run(&site, "sync", &[more, &args[..]].concat());
    let before = ["changed", "old", "same", "stale"];
    let done = with(&["--dry-run", "--delete"]);
    let text = "sshoal: web[1-2] (2): 1 of the files would not be copied, so nothing would be deleted: cannot follow";
    assert!(done.code == Some(1) && done.err.contains(text), "{done:?}");
    assert!(
        done.err.contains("sshoal: would copy 4 files, 16 B; 2 new directories; 2 the same\n"),
        "{done:?}"
    );
    assert!(!done.err.contains("--last=failed"), "a dry run is not recorded: {done:?}");
    assert_eq!(names(&to.join("web1")), before);
    // There is nothing to ask about, and what comes until the copy was not asked about.
    let done = with(&["--delete"]);
    let text = "sshoal: nothing will be deleted, because web[1-2] (2) could not be compared completely\n";
    assert!(done.code == Some(1) && done.err.starts_with(text), "{done:?}");
    assert!(done.err.contains("web[1-2] (2): 1 of the files was not copied: cannot follow"), "{done:?}");
    assert!(done.err.contains("sshoal sync --last=failed"), "{done:?}");
    assert_eq!(names(&to.join("web2")), ["changed", "old", "same", "stale", "sub"]);
    fs::remove_dir_all(to.join("web2/sub")).expect("remove a part of the copy");
    let done = with(&["--delete", "-y"]);
    let text = "web[1-2] (2): 1 of the files was not copied, so nothing was deleted: cannot follow the link";
    assert!(done.code == Some(1) && done.err.contains(text), "{done:?}");
    assert_eq!(names(&to.join("web2")), ["changed", "old", "same", "stale", "sub"]);
    fs::remove_file(format!("{from}/dangling")).expect("remove the link");
    let done = with(&["--delete", "-y"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(names(&to.join("web2")), ["changed", "same", "sub"]);
}

#[test]
fn a_host_whose_deletions_are_not_known_is_named_in_the_question() {
    let site = site();
    let (from, to, dest) = trees(&site);
    let args = ["--delete", "--template", "-w", "web[1-2],gone1", &from, &dest];
    let mut terminal = Terminal::start(program(&site, "sync", &args), 120, 24);
    terminal.await_text("deletes 8 files and directories on web[1-2] (2),");
    terminal.await_text("and what it finds on gone1, which could not be compared completely");
    terminal.await_text("Type their number (8) to go on:");
    terminal.press("8\r");
    assert_eq!(terminal.exit_code(), 4, "{}", terminal.text());
    assert_eq!(names(&to.join("web1")), ["changed", "same", "sub"]);
}
