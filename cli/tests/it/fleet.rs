//! Many hosts: the simulated fleet.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use hostsim::Sim;
use nix::sys::resource::{UsageWho, getrusage};

use super::support::program::PROGRAM;
use super::support::screen::Terminal;
use super::support::{Done, Program, eventually};

const HOSTS: usize = 1000;

/// The simulated fleet, and the ssh_config of its user.
struct Fleet {
    sim: Sim,
    folder: tempfile::TempDir,
}

impl Fleet {
    fn start(rules: &[&str]) -> Self {
        let sim = rules.iter().fold(Sim::builder(), |sim, rule| sim.rule(rule));
        let sim = sim.spawn(Command::new(PROGRAM)).expect("the simulated fleet starts");
        let fleet = Self { sim, folder: tempfile::tempdir().expect("a folder") };
        let key = fleet.file("key", &fleet.sim.user_key_openssh().expect("a key"));
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
        fleet.file("known_hosts", &fleet.sim.known_hosts().expect("known_hosts"));
        let hosts: String = (0..HOSTS).map(|index| format!("{}\n", fleet.sim.host(index))).collect();
        fleet.file("hosts", &hosts);
        fleet
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("write a file");
        path
    }

    /// A run on all hosts.
    fn run(&self, args: &[&str]) -> Done {
        self.program(args).run()
    }

    fn program(&self, args: &[&str]) -> Program {
        self.named(&[], args)
    }

    /// A command line with this as its first word.
    fn named(&self, word: &[&str], args: &[&str]) -> Program {
        let known = format!("UserKnownHostsFile={}", self.path("known_hosts"));
        let login = [
            "-F",
            "none",
            "-l",
            "demo",
            "-o",
            &known,
            "-o",
            "IdentityAgent=none",
            "-o",
            "IdentitiesOnly=yes",
        ];
        let (key, port) = (self.path("key"), self.sim.port().to_string());
        let program = Program::new(&self.folder.path().join("state")).args(word.iter().copied()).args(login);
        program.args(["-i", &key, "-p", &port]).args(args.iter().copied())
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

#[test]
fn every_failed_host_is_named_with_its_reason_and_can_be_run_again() {
    // A host that refuses connections: no one listens on its port.
    let fleet = Fleet::start(&["i%10==3 kex:silence", "i%20==5 auth:refuse"]);
    let refusing = |index: usize| index % 20 == 7;
    let hosts: String = (0..HOSTS)
        .map(|index| format!("{}{}\n", fleet.sim.host(index), if refusing(index) { ":1" } else { "" }))
        .collect();
    fleet.file("hosts", &hosts);
    let done = fleet.run(&["--hostfile", &fleet.path("hosts"), "-t", "4", "-q", "hostname"]);
    assert_eq!(done.code, Some(4), "{}", done.err);
    assert_eq!(done.out.lines().count(), 800, "{}", done.err);
    for cause in [
        "100 hosts: SSH handshake failed: time limit of all attempts",
        "50 hosts: authentication failed: no credential accepted for user demo",
        "50 hosts: connecting failed: Connection refused",
    ] {
        assert_eq!(done.err.matches(cause).count(), 1, "{cause}: {}", done.err);
    }
    let again = fleet.run(&["--last=failed", "-t", "1", "--json", "hostname"]);
    let mut named: Vec<String> = again
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter(|line| line["t"] == "end")
        .map(|line| line["host"].as_str().expect("a name").to_owned())
        .collect();
    named.sort();
    let has_failed = |index: &usize| index % 10 == 3 || index % 20 == 5 || refusing(*index);
    let mut expected: Vec<String> = (0..HOSTS)
        .filter(has_failed)
        .map(|index| format!("{}{}", fleet.sim.host(index), if refusing(index) { ":1" } else { "" }))
        .collect();
    expected.sort();
    assert_eq!(named, expected);
}

#[test]
fn hosts_whose_work_is_done_take_no_memory() {
    let fleet = Fleet::start(&[]);
    let done = fleet.run(&["--hostfile", &fleet.path("hosts"), "lines 1000"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(done.out.lines().count(), 1000 * HOSTS);
    // The fleet still runs, so this is the program alone.
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage");
    let peak = usage.max_rss() / 1024;
    assert!(peak < 40, "{peak} MiB");
}

#[test]
fn many_hosts_get_the_descriptors_that_they_need() {
    let fleet = Fleet::start(&[]);
    let program = fleet.program(&["--hostfile", &fleet.path("hosts"), "-q", "sleep 1"]).command();
    let mut bash = Command::new("bash");
    bash.args(["-c", "ulimit -Sn 256; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args());
    let mut child =
        bash.env_remove("SSH_AUTH_SOCK").stdin(std::process::Stdio::null()).spawn().expect("bash");
    let limits = format!("/proc/{}/limits", child.id());
    eventually(Duration::from_secs(20), "a higher limit", || {
        let limits = fs::read_to_string(&limits).unwrap_or_default();
        let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
        let soft: u64 = line.split_ascii_whitespace().nth(3)?.parse().ok()?;
        (soft >= 1024).then_some(())
    });
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_thousand_new_hosts_are_one_message_and_one_scan() {
    let fleet = Fleet::start(&[]);
    fleet.file("known_hosts", "");
    let hosts = fleet.path("hosts");
    let done = fleet.run(&["--hostfile", &hosts, "-q", "hostname"]);
    let told: Vec<&str> =
        done.err.lines().filter(|line| line.contains("the host key is not known")).collect();
    assert_eq!((told.len(), done.code), (1, Some(4)), "{}", done.err);
    assert!(told[0].contains("(1000)") && done.err.contains("sshoal keyscan"), "{}", done.err);

    let done = fleet.run(&["--accept-new", "--hostfile", &hosts, "-q", "hostname"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let lines = || fs::read_to_string(fleet.path("known_hosts")).expect("known_hosts").lines().count();
    assert_eq!(lines(), HOSTS);

    fleet.file("known_hosts", "");
    let known = format!("UserKnownHostsFile={}", fleet.path("known_hosts"));
    let port = fleet.sim.port().to_string();
    let args = ["keyscan", "-F", "none", "-l", "demo", "-o", &known, "-p", &port, "--hostfile", &hosts];
    let begun = std::time::Instant::now();
    let done = Program::new(&fleet.folder.path().join("state")).args(args).run();
    assert!(done.err.contains("1000 hosts: 1000 new keys are now in"), "{}", done.err);
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    assert_eq!(lines(), HOSTS);
}

#[test]
fn a_thousand_connected_hosts_answer_the_next_command_at_once() {
    let fleet = Fleet::start(&[]);
    let program = fleet.program(&["--hostfile", &fleet.path("hosts"), "-b"]);
    let mut terminal = Terminal::start(program, 100, 40);
    terminal.await_end("1000 hosts>");
    terminal.press("echo cold\r");
    terminal.await_text("1000 hosts: 1000 ok, 0 failed");
    terminal.await_end("1000 hosts>");
    let begun = std::time::Instant::now();
    terminal.press("echo warm\r");
    terminal.await_text("\nwarm");
    eprintln!("1,000 connected hosts have answered after {:?}", begun.elapsed());
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    assert_eq!(fleet.sim.stats().expect("stats").connections, HOSTS as u64);
}

#[test]
fn a_thousand_hosts_get_a_file_and_full_disks_are_one_message() {
    let fleet = Fleet::start(&["i%10==3 set:sftp-space=50000", "i%20==5 auth:refuse"]);
    let file = fleet.file("app.conf", &"x".repeat(100_000)).display().to_string();
    let args = ["--hostfile", &fleet.path("hosts"), "-b", &file, "/etc/app/app.conf"];
    let done = fleet.named(&["put"], &args).run();
    assert_eq!(done.code, Some(4), "{}", done.err);
    assert!(done.out.contains("(850)\n") && done.out.ends_with("1 file, 100.0 kB\n"), "{}", done.out);
    assert_eq!(done.err.matches("100 hosts: cannot write to").count(), 1, "{}", done.err);
    assert!(done.err.contains("sshoal: 850 files, 85.0 MB; "), "{}", done.err);
    assert!(done.err.contains("1000 hosts: 850 ok, 150 failed"), "{}", done.err);
    let files = |index: usize| {
        let mut paths: Vec<String> = Vec::new();
        for file in fleet.sim.files_of(fleet.sim.host(index)).expect("the files") {
            paths.push(String::from_utf8_lossy(&file.path).into_owned());
        }
        paths
    };
    assert!(files(0).iter().any(|path| path.ends_with("etc/app/app.conf")), "{:?}", files(0));
    // Nothing is half done.
    assert!(files(3).iter().all(|path| !path.contains("app.conf")), "{:?}", files(3));
    let args = ["--last=failed", "-q", "-t", "2", &file, "/etc/app/app.conf"];
    let done = fleet.named(&["put"], &args).run();
    assert!(done.err.contains("50 hosts: authentication failed"), "{}", done.err);
}

#[test]
fn the_progress_of_copies_is_in_bytes() {
    let fleet = Fleet::start(&["* set:sftp-delay=20"]);
    let file = fleet.file("big", &"x".repeat(4_000_000)).display().to_string();
    let hosts: String = (0..3).map(|index| format!("{}\n", fleet.sim.host(index))).collect();
    fleet.file("few", &hosts);
    let args = ["--hostfile", &fleet.path("few"), &file, "/big"];
    let terminal = Terminal::start(fleet.named(&["put"], &args), 110, 20);
    terminal.await_screen("bytes, share, rate and time", |screen| {
        let line = screen.lines().find(|line| line.contains("0/3 ok 0 failed 0 | "));
        line.is_some_and(|line| {
            [" MB ", " % | ", "B/s | eta ", "| running 3"].iter().all(|part| line.contains(part))
        })
    });
    terminal.await_text("3 hosts: 3 ok, 0 failed");
    assert!(terminal.text().contains("3 files, 12.0 MB; "), "{}", terminal.text());
    // After an interrupt nothing is half done, and what could not be removed in time is named.
    let args = ["--hostfile", &fleet.path("few"), &file, "/other"];
    let mut terminal = Terminal::start(fleet.named(&["put"], &args), 110, 20);
    terminal.await_text("| running 3");
    terminal.press("\x03");
    terminal.await_text("^C again within 2 s: cancel");
    terminal.press("\x03");
    assert_eq!(terminal.exit_code(), 130, "{}", terminal.text());
    for index in 0..3 {
        let files = fleet.sim.files_of(fleet.sim.host(index)).expect("the files");
        let paths: Vec<_> = files.iter().map(|file| String::from_utf8_lossy(&file.path)).collect();
        assert!(paths.iter().all(|path| path != "/other"), "{paths:?}");
        let is_named = terminal.text().replace('\n', "").contains("may be left on the host");
        assert!(is_named || paths.iter().all(|path| !path.contains("other")), "{paths:?}");
    }
}
