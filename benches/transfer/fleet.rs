//! The same file for many hosts, put by SFTP, and written to the standard input of a command.
//!
//! Simulated hosts have an address each. With OpenSSH, all of them are one server, which has a
//! process for each connection.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use hostsim::Sim;
use sshoal::config::Input;
use sshoal::transfer::Put;
use sshoal::{Budget, Event, Fleet, Outcome, Run};
use tempfile::TempDir;

use super::fixtures::keys::ClientKey;
use super::fixtures::sshd::Sshd;
use super::lone::Login;
use super::measure::{Measured, Meter, Spread};
use super::site::{contents, memory_folder};
use super::support::{confine, grouped, pinned, raise_descriptor_limit, simulator, trusting};
use super::{FLEET_BYTES, in_process};

/// The first word of a job.
pub const FLEET: &str = "fleet";

const PUT: &str = "put";
const STDIN: &str = "stdin";

/// Highest CPU time of a put, as a multiple of that for the same bytes by standard input.
const RATIO_GOAL: f64 = 1.1;

/// Most memory above that of the connected hosts, in MiB.
const MEMORY_GOAL: f64 = 64.0;

/// What the hosts are.
#[derive(Debug, Clone, Copy)]
pub enum Hosts {
    Simulated,
    OpenSsh,
}

/// The hosts of one run. Each run has new ones, so that none finds the files of another.
enum Site {
    Simulated(Sim),
    OpenSsh { sshd: Sshd, copies: TempDir },
}

impl Hosts {
    fn start(self, program: Command) -> Site {
        match self {
            Self::Simulated => Site::Simulated(simulator(program, true, |sim| sim)),
            Self::OpenSsh => {
                // `internal-sftp` would be the server's own process, which `cat` is not.
                let sshd = Sshd::builder().sftp_server("").start();
                confine(sshd.daemon().pid().as_raw_nonzero().get().cast_unsigned(), true);
                Site::OpenSsh { sshd, copies: memory_folder() }
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Simulated => "simulated hosts",
            Self::OpenSsh => "connections to OpenSSH",
        }
    }
}

impl Site {
    /// The words of a job, from the port on.
    fn words(&self, hosts: usize) -> Vec<String> {
        match self {
            Self::Simulated(sim) => vec![sim.port().to_string()],
            Self::OpenSsh { sshd, copies } => {
                let known_hosts = sshd.known_hosts(sshd.hosts(hosts as u32));
                let paths = [sshd.key(ClientKey::Ed25519), known_hosts, copies.path().to_owned()];
                let paths = paths.map(|path| path.to_string_lossy().into_owned());
                [sshd.port().to_string()].into_iter().chain(paths).collect()
            }
        }
    }

    /// Whether all hosts have the whole file, as far as this process can see them.
    fn is_complete(&self, hosts: usize) -> bool {
        let Self::OpenSsh { copies, .. } = self else { return true };
        let sizes: Vec<u64> =
            fs::read_dir(copies).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        sizes == vec![FLEET_BYTES; hosts]
    }
}

/// Measures both, and returns their table.
pub fn measure(kind: Hosts, hosts: usize, rounds: usize, program: &dyn Fn() -> Command) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, contents(FLEET_BYTES)).unwrap();
    let run = |way: &str| {
        let site = kind.start(program());
        let words = [FLEET, way, &hosts.to_string(), file.to_str().unwrap()].map(str::to_owned);
        let words: Vec<String> = words.into_iter().chain(site.words(hosts)).collect();
        let output = in_process(program(), &words).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{way}: {}", output.status);
        let measured: Measured = String::from_utf8(output.stdout).unwrap().parse().unwrap();
        assert!(measured.failed == 0.0 && measured.ok == hosts as f64);
        assert!(site.is_complete(hosts), "{way} has not copied everything");
        measured
    };
    let (mut puts, mut stdins) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        eprintln!("{kind:?}, round {}", round + 1);
        if round % 2 == 0 {
            puts.push(run(PUT));
        }
        stdins.push(run(STDIN));
        if round % 2 == 1 {
            puts.push(run(PUT));
        }
    }
    let ratios = puts.iter().zip(&stdins).map(|(put, stdin)| put.cpu_ms / stdin.cpu_ms);
    let title = format!("{} {}, {} MB each", grouped(hosts), kind.name(), FLEET_BYTES / 1_000_000);
    table(&title, hosts, [&puts, &stdins], Spread::of(ratios))
}

fn table(title: &str, hosts: usize, runs: [&[Measured]; 2], ratio: Spread) -> String {
    let bytes = hosts as f64 * FLEET_BYTES as f64;
    let mut text = format!(
        "\n### {title}\n\n| by | CPU s | CPU ns per byte | wall s | MiB above the connected hosts |\n\
         |---|---|---|---|---|\n",
    );
    let memory = |measured: &Measured| measured.peak_kib / 1024.0;
    for (by, runs) in ["put", "standard input"].iter().zip(runs) {
        let median = Measured::median(runs);
        let (cpu, wall, memory) = (median.cpu_ms / 1e3, median.wall_s, memory(&median));
        let per_byte = cpu * 1e9 / bytes;
        writeln!(text, "| {by} | {cpu:.2} | {per_byte:.2} | {wall:.2} | {memory:.0} |").unwrap();
    }
    let Spread { low, median, high } = ratio;
    let most = runs[0].iter().map(memory).fold(0.0, f64::max);
    text += "\n| | goal | measured | quartiles |\n|---|---|---|---|\n";
    let mark = |missed: bool| if missed { "**" } else { "" };
    let missed = mark(median > RATIO_GOAL);
    writeln!(
        text,
        "| CPU time of put / of standard input | {RATIO_GOAL} | {missed}{median:.2}{missed} | {low:.2} to {high:.2} |"
    )
    .unwrap();
    let missed = mark(most > MEMORY_GOAL);
    writeln!(text, "| MiB of put, the most of all runs | {MEMORY_GOAL} | {missed}{most:.0}{missed} | |")
        .unwrap();
    text
}

/// Connects all hosts, then copies or writes the file. `words` are those of the hosts.
pub fn work(way: &str, hosts: usize, file: &Path, words: &[&str]) -> Measured {
    raise_descriptor_limit();
    match *words {
        [port] => {
            let names = (0..hosts).map(|index| format!("{}:{port}", hostsim::host_address(index)));
            copy(way, trusting(Fleet::builder(names)).build().unwrap(), file, "file".as_ref())
        }
        [port, key, known_hosts, copies] => {
            let names: Vec<String> =
                Sshd::host_names(hosts as u32).map(|address| format!("{address}:{port}")).collect();
            let login = Login { key: key.as_ref(), known_hosts: known_hosts.as_ref() };
            copy(way, login.builder(&names).build().unwrap(), file, &Path::new(copies).join("%s"))
        }
        _ => panic!("{words:?} name no hosts"),
    }
}

/// Copies the file to all hosts. A `%s` in the path becomes the number of the host.
fn copy(way: &str, mut fleet: Fleet, file: &Path, to: &Path) -> Measured {
    let (hosts, to) = (fleet.hosts().len(), to.to_str().unwrap());
    let command: sshoal::Command = match way {
        STDIN => {
            let bytes: Arc<[u8]> = fs::read(file).unwrap().into();
            sshoal::Command::new(format!("cat > {to}")).stdin(Input::Bytes(bytes))
        }
        _ => Put::new(file, to).into(),
    };
    let numbers = (0..hosts).filter(|_| to.contains('%'));
    let command = command.host_args(numbers.map(|number| number.to_string()));
    pinned(true, || {
        assert_eq!(run(&mut fleet, "true"), (hosts, 0));
        // The peak of the memory from here on.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let meter = Meter::start();
        let (ok, failed) = run(&mut fleet, command);
        meter.end(ok, failed)
    })
}

/// Runs something on all hosts to its end. Returns the numbers of hosts on which it succeeded and
/// failed.
pub fn run(fleet: &mut Fleet, run: impl Into<Run>) -> (usize, usize) {
    fleet.start(run).unwrap();
    let (mut ok, mut failed) = (0, 0);
    loop {
        fleet.wait(None).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        while let Some(event) = fleet.next_event() {
            match event {
                Event::Finished { outcome: Outcome::Exited(0) | Outcome::Transferred(_), .. } => ok += 1,
                Event::Finished { outcome, .. } => {
                    eprintln!("{outcome}");
                    failed += 1;
                }
                Event::RunDone { .. } => return (ok, failed),
                _ => {}
            }
        }
    }
}
