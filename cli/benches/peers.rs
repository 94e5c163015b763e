//! `sshoal` beside clush, pdsh, parallel-ssh and bssh, on the same simulated hosts: the table of
//! `docs/performance.md`.
//!
//! ```text
//! cargo bench --package sshoal-cli --features demo --bench peers                # 1,000 hosts
//! cargo bench --package sshoal-cli --features demo --bench peers -- --hosts 100
//! ```
//!
//! Programs that are not installed are left out: `apt-get install clustershell pdsh pssh`, and
//! `cargo install bssh`. Each program takes its turn in every round; the figures are medians of all
//! rounds. CPU time includes the processes that a program starts: `ssh` for all but sshoal and bssh.
//! The simulated hosts are another process, whose time does not count.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails at once")]

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use hostsim::Sim;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};

const ROUNDS: usize = 3;
const STARTS: usize = 50;

/// How many hosts each program connects to at once.
const FANOUT: &str = "100";

/// One kind of work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Echo,
    Lines,
    Folded,
}

impl Work {
    const ALL: [Self; 3] = [Self::Echo, Self::Lines, Self::Folded];

    fn title(self) -> &'static str {
        match self {
            Self::Echo => "`echo`",
            Self::Lines => "1,000 lines of each host",
            Self::Folded => "`echo`, folded (`-b`)",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Echo | Self::Folded => "echo hello",
            Self::Lines => "lines 1000",
        }
    }

    /// How many lines of the commands' output are shown.
    fn expected(self, hosts: usize) -> usize {
        match self {
            Self::Echo => hosts,
            Self::Lines => hosts * 1000,
            Self::Folded => 1,
        }
    }

    /// Whether a line shows output, rather than the command.
    fn is_output(self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        if self == Self::Lines {
            line.contains("line ")
        } else {
            line.ends_with("hello") && !line.contains("echo")
        }
    }
}

/// Simulated hosts, and the files that say how to reach them.
struct Site {
    _sim: Sim,
    dir: tempfile::TempDir,
    hosts: usize,
}

impl Site {
    fn new(hosts: usize) -> Self {
        let sim = Sim::builder().spawn(Command::new(env::current_exe().unwrap())).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("known_hosts"), sim.known_hosts_of(hosts, false).unwrap()).unwrap();
        write_private(&path("key"), &sim.user_key_openssh().unwrap());
        // The port is in the configuration: not all programs take one for each host.
        let names: String = (0..hosts).map(|index| format!("{}\n", sim.host(index))).collect();
        fs::write(path("hosts"), names).unwrap();
        let config = format!(
            "Host *\n User demo\n Port {}\n IdentityFile {}\n IdentitiesOnly yes\n IdentityAgent none\n \
             UserKnownHostsFile {}\n GlobalKnownHostsFile none\n StrictHostKeyChecking yes\n LogLevel ERROR\n",
            sim.port(),
            path("key").display(),
            path("known_hosts").display(),
        );
        fs::write(path("config"), config).unwrap();
        Self { _sim: sim, dir, hosts }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    /// The command line of a program for this work, or `None` where it has no such mode.
    fn command(&self, program: &str, work: Work) -> Option<Command> {
        let (config, hosts) = (self.path("config"), self.path("hosts"));
        let list = || fs::read_to_string(&hosts).unwrap().trim_end().replace('\n', ",");
        let folds = work == Work::Folded;
        let own = env!("CARGO_BIN_EXE_sshoal");
        let mut command = Command::new(if program == "sshoal" { own } else { program });
        match program {
            "sshoal" => {
                command.args(["-q", "-F", &config, "-f", FANOUT, "-w", &format!("^{hosts}")]);
                command.args(folds.then_some("-b")).arg(work.command());
            }
            "clush" => {
                command.args(["-q", "-f", FANOUT, "--hostfile", &hosts, "-o", &format!("-F {config}")]);
                command.args(folds.then_some("-b")).arg(work.command());
            }
            "pdsh" => {
                let line = format!("pdsh -R ssh -f {FANOUT} -w {} '{}'", list(), work.command());
                command = Command::new("/bin/sh");
                command.arg("-c").arg(if folds { format!("{line} | dshbak -c") } else { line });
                command.env("PDSH_SSH_ARGS_APPEND", format!("-F {config}"));
            }
            "parallel-ssh" if !folds => {
                command.args(["-P", "-p", FANOUT, "-h", &hosts, "-x", &format!("-F {config}")]);
                command.arg(work.command());
            }
            "bssh" if !folds => {
                // It reads no other known_hosts file than the user's.
                command.args(["-H", &list(), "-F", &config, "-i", &self.path("key"), "--stream"]);
                command.args(["--strict-host-key-checking", "no", "--parallel", FANOUT, work.command()]);
            }
            _ => return None,
        }
        Some(command)
    }

    fn measure(&self, mut command: Command, work: Work) -> Cost {
        let (began, before) = (Instant::now(), children_cpu());
        command.env_remove("SSH_AUTH_SOCK").stdin(Stdio::null()).stderr(Stdio::piped());
        let output = command.output().unwrap();
        let cost = Cost { wall: began.elapsed(), cpu: children_cpu() - before };
        let lines = output.stdout.split(|&byte| byte == b'\n').filter(|line| work.is_output(line)).count();
        let said = String::from_utf8_lossy(&output.stderr);
        // parallel-ssh prints pieces of lines where hosts print at the same time.
        let expected = work.expected(self.hosts);
        assert!(lines.abs_diff(expected) <= expected / 100, "{command:?}: {lines} lines\n{said:.2000}");
        cost
    }
}

#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

impl Cost {
    fn median(costs: &[Self]) -> Self {
        let middle = |figure: fn(&Self) -> Duration| {
            let mut all: Vec<Duration> = costs.iter().map(figure).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        Self { wall: middle(|cost| cost.wall), cpu: middle(|cost| cost.cpu) }
    }
}

fn main() -> ExitCode {
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let hosts = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 1_000,
        ["--hosts", number] => number.parse().unwrap(),
        _ => {
            eprintln!("usage: peers [--hosts N]");
            return ExitCode::from(2);
        }
    };
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let site = Site::new(hosts);
    let mut programs = vec!["sshoal", "clush", "pdsh", "parallel-ssh", "bssh"];
    programs.retain(|program| *program == "sshoal" || is_installed(program));

    println!("| {hosts} hosts | program | wall s | CPU s | CPU / sshoal |\n|---|---|---|---|---|");
    for work in Work::ALL {
        let mut costs = vec![Vec::new(); programs.len()];
        for _ in 0..ROUNDS {
            for (program, costs) in programs.iter().zip(&mut costs) {
                costs.extend(site.command(program, work).map(|command| site.measure(command, work)));
            }
        }
        let own = Cost::median(&costs[0]).cpu;
        for (program, costs) in programs.iter().zip(&costs).filter(|(_, costs)| !costs.is_empty()) {
            let Cost { wall, cpu } = Cost::median(costs);
            let (title, ratio) = (work.title(), cpu.div_duration_f64(own));
            let [wall, cpu] = [wall, cpu].map(|time| time.as_secs_f64());
            println!("| {title} | {program} | {wall:.2} | {cpu:.2} | {ratio:.1} |");
        }
    }

    let starts: Vec<Cost> = (0..STARTS).map(|_| start()).collect();
    println!("\nstart-up of sshoal (`--version`): {:.1} ms", Cost::median(&starts).wall.as_secs_f64() * 1e3);
    let hundred = Site::new(100);
    let echo = || hundred.measure(hundred.command("sshoal", Work::Echo).unwrap(), Work::Echo);
    let runs: Vec<Cost> = (0..STARTS / 5).map(|_| echo()).collect();
    println!("100 hosts answered: {:.0} ms", Cost::median(&runs).wall.as_secs_f64() * 1e3);
    ExitCode::SUCCESS
}

fn start() -> Cost {
    let (began, before) = (Instant::now(), children_cpu());
    let output = Command::new(env!("CARGO_BIN_EXE_sshoal")).arg("--version").output().unwrap();
    assert!(output.status.success());
    Cost { wall: began.elapsed(), cpu: children_cpu() - before }
}

fn is_installed(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&paths).any(|path| path.join(program).is_file());
    if !is_there {
        println!("not installed: {program}");
    }
    is_there
}

/// The CPU time of all processes that this one has started and that have ended, and of those that
/// they waited for.
fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = |time: nix::sys::time::TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()) as u64;
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

fn write_private(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}
