//! `sshoal hosts`, and sets of hosts that need files and other programs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::support::{Done, Program, Site, eventually};

/// A home with a configuration of groups.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(TempDir::new().unwrap());
        home.write(
            "groups.conf",
            "[Main]\ndefault: local\n[local]\n\
             map: sed -n 's/^$GROUP:\\(.*\\)/\\1/p' $CFGDIR/groups\n\
             all: sed -n 's/^all:\\(.*\\)/\\1/p' $CFGDIR/groups\n\
             list: sed -n 's/^\\([0-9a-z]*\\):.*/\\1/p' $CFGDIR/groups\n\
             [state]\nmapall: printf 'idle: n[1-4] n7\\nidle: n8\\ndown: n[5-6]\\n'\n",
        );
        home.write(
            "groups",
            "all: n[1-9],login\nodd: n[1-9/2]\neven: n[2-8/2]\nrack1: n[1-4]\nrack2: n[5-8]\nmixed: @odd!@rack1\n",
        );
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn program(&self) -> Program {
        let home = self.0.path().to_str().unwrap();
        Program::new(self.0.path())
            .env("HOME", home)
            .env("CLUSTERSHELL_CFGDIR", home)
            .env("XDG_CONFIG_HOME", home)
    }

    fn hosts(&self, args: &[&str], input: &str) -> Done {
        self.program().args(["hosts"]).args(args.iter().copied()).run_with(input.as_bytes())
    }
}

/// The folder with ClusterShell; `None` without a network.
fn clustershell() -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clustershell");
    let output = Command::new(script).output().unwrap();
    match output.status.code() {
        Some(0) => Some(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
        Some(75) => None,
        _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn it_prints_what_nodeset_prints() {
    let home = Home::new();
    let cases: [(&[&str], &str); 26] = [
        (&["-f", "n3", "n[1-2]", "x"], "n[1-3],x"),
        (&["-c", "r[1-2]n[01-10]"], "20"),
        (&["-e", "n[9-11]"], "n9 n10 n11"),
        (&["-e", "-S", "\\n", "n[9-11]"], "n9\nn10\nn11"),
        (&["-e", "-S", ",", "r[1-2]n[1-2]"], "r1n1,r1n2,r2n1,r2n2"),
        (&["-f", "@odd"], "n[1,3,5,7,9]"),
        (&["-f", "@odd!@rack1,@even&@*"], "n[2,4-9]"),
        (&["-f", "@mixed"], "n[5,7,9]"),
        (&["-f", "-a"], "login,n[1-9]"),
        (&["-c", "-a"], "10"),
        (&["-f", "n*"], "n[1-9]"),
        (&["-f", "-a", "-x", "@rack[1-2]"], "login,n9"),
        (&["-f", "-s", "state", "@idle"], "n[1-4,7-8]"),
        (&["-f", "@state:idle!n8"], "n[1-4,7]"),
        (&["-r", "n[1-9]"], "@even,@odd"),
        (&["-r", "n[1-8]"], "@even,n[1,3,5,7]"),
        (&["-r", "n[5-8],n1"], "@rack2,n1"),
        (&["-r", "x[1-3]"], "x[1-3]"),
        (&["-r", "-s", "state", "n[1-8]"], "@state:down,@state:idle"),
        (&["-f", "-I", "0-3", "-a"], "login,n[1-3]"),
        (&["-f", "-I", "1-9/4,0", "n[1-100]"], "n[1-2,6,10]"),
        (&["-e", "--slice", "90-200", "n[1-93]"], "n91 n92 n93"),
        (&["-f", "--split", "3", "n[1-10]"], "n[1-4]\nn[5-7]\nn[8-10]"),
        (&["-c", "--split", "20", "n[1-3]"], "1\n1\n1"),
        (&["-f", "--split", "2", "r14c[11-13],r02c[03-04]"], "r14c[11-13]\nr02c[03-04]"),
        (&["-c", "n1!n1"], "0"),
    ];
    let clustershell = clustershell();
    for (args, expected) in cases {
        let done = home.hosts(args, "");
        assert_eq!((done.out.trim_end(), done.code), (expected, Some(0)), "{args:?}: {done:?}");
        let Some(folder) = &clustershell else { continue };
        let nodeset = Command::new("python3")
            .args(["-m", "ClusterShell.CLI.Nodeset"])
            .args(args)
            .env("PYTHONPATH", folder)
            .env("HOME", home.0.path())
            .env("CLUSTERSHELL_CFGDIR", home.0.path())
            .output()
            .unwrap();
        let theirs = String::from_utf8_lossy(&nodeset.stdout);
        assert_eq!(theirs.trim_end(), expected, "nodeset {args:?}: {nodeset:?}");
    }
    if clustershell.is_none() {
        eprintln!("not compared with nodeset: PyPI cannot be reached");
    }
}

#[test]
fn groups_are_listed() {
    let home = Home::new();
    assert_eq!(home.hosts(&["-l"], "").out, "@all\n@odd\n@even\n@rack1\n@rack2\n@mixed\n");
    assert_eq!(home.hosts(&["-l", "-s", "state"], "").out, "@idle\n@down\n");
    let all = home.hosts(&["-L"], "");
    assert!(all.out.starts_with("@local:all\n") && all.out.contains("\n@state:down\n"), "{all:?}");
    // A source that cannot tell does not hide the others.
    home.write("groups.conf", "[Main]\ndefault: x\n[mute]\nmap: true\n[x]\nmap: true\nlist: echo a\n");
    let done = home.hosts(&["-L"], "");
    assert_eq!((done.out.as_str(), done.code), ("@x:a\n", Some(2)), "{done:?}");
    assert!(done.err.contains("source mute cannot list its groups: it has no \"list\""), "{done:?}");
}

#[test]
fn standard_input_is_a_list_of_hosts() {
    let home = Home::new();
    let input = "n1 n2 # comment\n\nn3,n5\n@rack2!n6\n";
    assert_eq!(home.hosts(&[], input).out, "n[1-3,5,7-8]\n");
    assert_eq!(home.hosts(&["-c", "-"], input).out, "6\n");
    assert_eq!(home.hosts(&["-", "-x", "n[1-2]"], input).out, "n[3,5,7-8]\n");
    assert_eq!(home.hosts(&["-f", "n9,-"], "n1\n").out, "n[1,9]\n");
    let done = home.hosts(&["-"], "n1\nn[2\n");
    assert_eq!((done.out.as_str(), done.code), ("", Some(2)));
    assert!(
        done.err.starts_with("sshoal: -w: standard input: \"[\" without \"]\", at line 2, column 2 of"),
        "{done:?}"
    );
}

#[test]
fn faults_are_usage_errors_without_output() {
    let home = Home::new();
    for (args, text) in [
        (&["@nope[1-2]"][..], "no group nope1 in source local"),
        (&["a[0-9999999999]"], "more than 1,000,000 names"),
        (&["-c", "-e", "a"], "cannot be used with"),
        (&["--split", "0", "a"], "--split"),
        (&["-I", "x", "a"], "-I: not a number, at column 1"),
        (&["-w", "a\u{1b}[2J"], "without"),
    ] {
        let done = home.hosts(args, "");
        assert_eq!((done.out.as_str(), done.code), ("", Some(2)), "{done:?}");
        assert!(done.err.contains(text) && !done.err.contains('\u{1b}'), "{done:?}");
    }
}

#[test]
fn ansible_is_asked_for_its_inventory() {
    let home = Home::new();
    home.write("inventory", "");
    home.write(
        "ansible-inventory",
        "#!/bin/sh\n[ \"$1 $2\" = '--list -i' ] && [ -e \"$3\" ] && $ANSIBLE_INVENTORY_UNPARSED_FAILED || exit 3\n\
         echo '{\"_meta\":{\"hostvars\":{\"t\":{\"ansible_host\":\"{{x}}\"}}},\"web\":{\"hosts\":[\"web2\",\"web1\"]},\
         \"all\":{\"children\":[\"web\",\"odd\"]},\"odd\":{\"hosts\":[\"t\"]}}'\n",
    );
    fs::set_permissions(home.path("ansible-inventory"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", home.0.path().display(), std::env::var("PATH").unwrap());
    let inventory = home.path("inventory").display().to_string();
    let hosts = |inventory: &str, set: &str, path: &str| {
        home.program().env("PATH", path).args(["hosts", "--inventory", inventory, set]).run()
    };
    assert_eq!(hosts(&inventory, "@web", &path).out, "web[1-2]\n");
    assert_eq!(hosts(&inventory, "web*,@local:rack1", &path).out, "n[1-4],web[1-2]\n");
    let done = hosts(&inventory, "t", &path);
    assert!(done.err.contains("--inventory: t: ansible_host is a template"), "{done:?}");
    let done = hosts("/none", "@web", &path);
    assert!(done.err.contains("--inventory /none: No such file or directory"), "{done:?}");
    let done = hosts(&inventory, "@web", "/nowhere");
    assert!(done.err.contains("ansible-inventory --list: cannot run a command (No such file"), "{done:?}");
}

/// Writes a program with the name `ansible-inventory`, and returns a `PATH` with it.
fn write_ansible(home: &Home, script: &str) -> String {
    home.write("ansible-inventory", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(home.path("ansible-inventory"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", home.0.path().display(), std::env::var("PATH").unwrap())
}

#[test]
fn what_is_wrong_with_an_inventory_is_told() {
    let home = Home::new();
    home.write("inventory", "");
    let inventory = home.path("inventory").display().to_string();
    for (script, text) in [
        ("echo 'no such plugin' >&2; exit 4", "ansible-inventory --list: a command failed (exit status: 4)"),
        (
            "echo garbage",
            "ansible-inventory --list printed no object of JSON (expected value at line 1 column 1)",
        ),
        ("echo '[]'", "ansible-inventory --list printed no object of JSON"),
        ("true", "ansible-inventory --list printed no object of JSON (EOF"),
        ("printf '\\377'", "something that is not UTF-8"),
        ("kill -9 $$", "ansible-inventory --list: a command failed (signal: 9"),
    ] {
        let path = write_ansible(&home, script);
        let done = home.program().env("PATH", &path).args(["hosts", "--inventory", &inventory, "@web"]).run();
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{script}: {done:?}");
        assert!(done.err.contains(&format!("--inventory {inventory}: ")), "{script}: {done:?}");
        assert!(done.err.contains(text), "{script}: {done:?}");
    }
    // What the program says itself is shown.
    let path = write_ansible(&home, "echo 'no such plugin' >&2; exit 4");
    let done = home.program().env("PATH", &path).args(["hosts", "--inventory", &inventory, "@web"]).run();
    assert!(done.err.contains("no such plugin"), "{done:?}");
    let done = home.program().env("PATH", "/nowhere").args(["hosts", "--inventory", &inventory, "a"]).run();
    assert!(done.err.contains("is ansible-inventory installed?"), "{done:?}");
}

#[test]
fn an_interrupt_ends_commands_that_know_groups_with_all_that_they_have_started() {
    let home = Home::new();
    let path = write_ansible(&home, "(sleep 61.75; echo) | cat");
    home.write("inventory", "");
    home.write("groups.conf", "[slow]\nmap: (sleep 61.75; echo) | cat\n");
    let is_asleep = || {
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
        let mut lines = processes.filter_map(|path| fs::read(path.join("cmdline")).ok());
        lines.any(|line| line == b"sleep\x0061.75\0")
    };
    let inventory = home.path("inventory").display().to_string();
    for words in
        [&["hosts", "@slow:x"][..], &["hosts", "--inventory", &inventory, "a"], &["-w", "@slow:x", "true"]]
    {
        let mut program = home.program().env("PATH", &path).args(words.iter().copied()).command();
        let mut child = program.stderr(Stdio::null()).spawn().unwrap();
        eventually(Duration::from_secs(20), "the command", || is_asleep().then_some(()));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::INT.as_raw()), "{words:?}");
        eventually(Duration::from_secs(20), "its end", || (!is_asleep()).then_some(()));
    }
}

#[test]
fn an_inventory_says_how_hosts_are_reached() {
    let site = Site::start();
    let home = Home::new();
    home.write("inventory", "");
    let (port, user) = (site.sshd.port(), site.sshd.user());
    let path = write_ansible(
        &home,
        &format!(
            "echo '{{\"_meta\":{{\"hostvars\":{{\"front\":{{\"ansible_host\":\"127.0.2.2\",\"ansible_port\":{port},\
             \"ansible_user\":\"{user}\"}}}}}},\"web\":{{\"hosts\":[\"front\"]}}}}'"
        ),
    );
    // ssh_config alone would lead nowhere.
    let config = fs::read_to_string(site.config()).unwrap();
    let config =
        config.replace(&format!("Port {port}"), "Port 1").replace(&format!("User {user}"), "User nobody");
    let config = site.file("elsewhere", config);
    let inventory = home.path("inventory").display().to_string();
    let command = "echo $USER $SSH_CONNECTION";
    let args = ["-F", &config, "--inventory", &inventory, "-w", "@web", command];
    let done = home.program().env("PATH", &path).args(args).run();
    assert_eq!(done.code, Some(0), "{done:?}");
    let ends = format!(" 127.0.2.2 {port}\n");
    assert!(done.out.starts_with(&format!("front: {user} ")) && done.out.ends_with(&ends), "{done:?}");
}
