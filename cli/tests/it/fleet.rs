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
        let program = Program::new(&self.folder.path().join("state")).args(login);
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
