//! Files and names that want to do harm.

use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

fn load(path: &Path) -> Result<SshConfig, SshConfigError> {
    let mut context = LocalContext::current().unwrap();
    let home = path.parent().unwrap().to_owned();
    context.variables.insert("HOME".to_owned(), home.to_str().unwrap().to_owned());
    context.home = home;
    SshConfig::load_file(path, context)
}

#[test]
fn files_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (main, part) = (folder.path().join("config"), folder.path().join("part"));
    write(&main, format!("Include {}\n", part.display()));
    write(&part, "User a\n");
    assert!(load(&main).is_ok());
    for path in [&main, &part] {
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let error = load(&main).unwrap_err();
            assert!(
                matches!(&error, SshConfigError::Permissions { path: named, .. } if named == path),
                "{error}"
            );
            let text = format!("has the mode {mode:04o}, so others can write to it; ");
            assert!(error.to_string().contains(&text), "{error}");
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    if nix::unistd::geteuid().is_root() {
        chown(&part, Some(4711), None).unwrap();
        let error = load(&main).unwrap_err().to_string();
        assert!(error.contains("belongs to user 4711"), "{error}");
        // A link to it is no way around.
        symlink(&part, folder.path().join("link")).unwrap();
        write(&main, format!("Include {}\n", folder.path().join("link").display()));
        assert!(load(&main).is_err());
    }
}

#[test]
fn files_that_are_no_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    mkfifo(&pipe, Mode::from_bits_truncate(0o600)).unwrap();
    assert!(matches!(load(&pipe), Err(SshConfigError::Read { .. })));
    assert!(matches!(load(Path::new("/dev/zero")), Err(SshConfigError::Read { .. })));
    assert!(matches!(load(&folder.path().join("missing")), Err(SshConfigError::Read { .. })));
    // A folder among included files is skipped, as by ssh.
    let main = folder.path().join("config");
    write(&main, format!("Include {}/*\nUser a\n", folder.path().join("tree").display()));
    write(&folder.path().join("tree/sub/x"), "nonsense");
    assert!(load(&main).is_ok());
}

#[test]
fn files_that_include_each_other_end() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    // Twice each: without an end at the first overrun, this would read 131,072 files.
    write(&a, format!("Include {0} {0}\n", b.display()));
    write(&b, format!("Host *\n  Include {0} {0}\n", a.display()));
    let error = load(&a).unwrap_err();
    assert!(matches!(error, SshConfigError::TooMuch { .. }), "{error}");
    assert!(error.to_string().contains("do they include each other?"), "{error}");
    // Seventeen files in a row are as deep as in ssh.
    let name = |number: usize| folder.path().join(format!("c{number}"));
    for number in 0..17 {
        write(
            &name(number),
            if number < 16 { format!("Include {}\n", name(number + 1).display()) } else { String::new() },
        );
    }
    assert!(load(&name(0)).is_ok());
    write(&name(16), format!("Include {}\n", name(17).display()));
    write(&name(17), "User a\n");
    assert!(load(&name(0)).is_err());
}

#[test]
fn files_and_lines_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    write(&path, "# comment\n".repeat(1 << 20));
    let error = load(&path).unwrap_err().to_string();
    assert!(error.ends_with("brings all files to more than 8388608 bytes"), "{error}");
    let line = format!("User a\nUser {}\n", "x".repeat(1 << 20));
    let text = parse(&line).unwrap_err().to_string();
    assert_eq!(text, "config:2: the line has more than 65536 bytes");
    // A tree of copies is as large as its files together.
    write(&path, "# comment\n".repeat(70_000));
    let main = folder.path().join("main");
    write(&main, format!("Include {0}\n", path.display()).repeat(20));
    assert!(matches!(load(&main), Err(SshConfigError::TooMuch { .. })));
    let keys: String = (0..101).map(|number| format!("IdentityFile k{number}\n")).collect();
    assert_eq!(error_of(&keys), "config:101: is one of more than 100 files of keys for this host");
}

fn error_of(text: &str) -> String {
    super::error(text)
}

/// Patterns backtrack to one `*` only.
#[test]
fn patterns_cannot_take_exponential_time() {
    let begun = Instant::now();
    let pattern = "*a".repeat(300);
    let alias = "a".repeat(299) + "b";
    let text = format!("Host {pattern}\n  User a\nMatch host {pattern}\n  User b\n");
    assert_eq!(resolve(&text, &alias).unwrap().user, None);
    let name = "a".repeat(200);
    assert!(!glob::matches(b"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", name.as_bytes()));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn names_cannot_be_shell_syntax() {
    let config = parse("ProxyCommand connect %h %r\nMatch exec \"test %n\"\n  User a\n").unwrap();
    let mut resolver = config.resolver_with(|command: &str| panic!("{command} was run"));
    for alias in [
        "$(reboot)",
        "a;b",
        "a b",
        "-oX",
        "`x`",
        "a\nb",
        "a|b",
        "a&b",
        "a'b",
        "a\"b",
        "a\\b",
        "{a,b}",
        "a>b",
        "",
    ] {
        let error = resolver.resolve(&SshDestination::new(alias)).unwrap_err();
        assert!(
            matches!(error, SshConfigError::UnsafeName { what: "the host name", .. }),
            "{alias}: {error}"
        );
        assert!(!error.to_string().contains('\n'));
    }
    for user in ["-l", "a;b", "a`", "$(x)", "a -b", "a\\", "a\u{7}", ""] {
        let error = resolver.resolve(&SshDestination::new("web1").user(user)).unwrap_err();
        assert!(matches!(error, SshConfigError::UnsafeName { what: "the user", .. }), "{user}: {error}");
    }
    let mut quiet = config.resolver_with(|_: &str| Ok(false));
    for alias in ["web1", "10.0.0.1", "fe80::1%eth0", "[::1]", "a_b-c.d", "bücher"] {
        assert!(quiet.resolve(&SshDestination::new(alias).user("DOM\\user")).is_ok(), "{alias}");
    }
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let config =
        parse(&format!("Match exec \"sleep 1000 & echo $! >{}; wait\"\n  User a\n", pid.display())).unwrap();
    let mut resolver = config.resolver_with(ShellExec::new("/bin/sh", Duration::from_secs(1)));
    let error = resolver.resolve(&SshDestination::new("web1")).unwrap_err().to_string();
    assert!(error.ends_with("still runs after 1s"), "{error}");
    let pid = fs::read_to_string(&pid).unwrap();
    let state = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !state().is_empty() && !state().contains(") Z ") {
        assert!(Instant::now() < deadline, "the child lives on: {}", state());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn commands_have_no_input_and_their_end_counts() {
    let mut shell = ShellExec::new("/bin/sh", Duration::from_secs(60));
    assert!(shell.succeeds("true").unwrap());
    assert!(!shell.succeeds("exit 3").unwrap());
    assert!(!shell.succeeds("read line").unwrap());
    let error = shell.succeeds("kill -TERM $$").unwrap_err();
    assert_eq!(error.to_string(), "ended by signal 15");
    assert!(ShellExec::new("/no/such/shell", Duration::from_secs(60)).succeeds("true").is_err());
}

/// Files that ssh refuses for their permissions are refused here too, and the other way round.
#[test]
fn included_files_are_refused_as_by_ssh() {
    let folder = tempfile::tempdir().unwrap();
    let (main, part) = (folder.path().join("config"), folder.path().join("part"));
    write(&main, format!("Include {}\n", part.display()));
    write(&part, "User a\n");
    for mode in [0o600, 0o644, 0o755, 0o666, 0o602] {
        fs::set_permissions(&part, fs::Permissions::from_mode(mode)).unwrap();
        let ssh = Command::new("ssh").arg("-F").arg(&main).args(["-G", "web1"]).output().unwrap();
        assert_eq!(load(&main).is_ok(), ssh.status.success(), "{mode:o}");
    }
}
