//! The same file for many simulated hosts, put by SFTP, and written to the standard input of a
//! command.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use sshoal::config::Input;
use sshoal::transfer::Put;
use sshoal::{Budget, Event, Fleet, Outcome, Run};

use super::measure::{Measured, Meter, Spread};
use super::support::{pinned, raise_descriptor_limit, simulator, trusting};
use super::{FLEET_BYTES, in_process, report};

const PUT: &str = "put";
const STDIN: &str = "stdin";

/// Highest CPU time of a put, as a multiple of that for the same bytes by standard input.
const RATIO_GOAL: f64 = 1.1;

/// Most memory above that of the connected hosts, in MiB.
const MEMORY_GOAL: f64 = 64.0;

/// Measures both, and returns their table.
pub fn measure(hosts: usize, rounds: usize, program: &dyn Fn() -> Command) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, super::site::contents(FLEET_BYTES)).unwrap();
    let run = |kind: &str| {
        // New hosts each time, so that neither finds the files of the other.
        let sim = simulator(program(), true, |sim| sim);
        let (hosts, port) = (hosts.to_string(), sim.port().to_string());
        let words = ["fleet", kind, &hosts, &port, file.to_str().unwrap()];
        let output = in_process(program(), &words).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{kind}: {}", output.status);
        let measured: Measured = String::from_utf8(output.stdout).unwrap().parse().unwrap();
        assert!(measured.failed == 0.0 && measured.ok == f64::from(hosts.parse::<u32>().unwrap()));
        measured
    };
    let (mut puts, mut stdins) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        eprintln!("fleet, round {}", round + 1);
        if round % 2 == 0 {
            puts.push(run(PUT));
        }
        stdins.push(run(STDIN));
        if round % 2 == 1 {
            puts.push(run(PUT));
        }
    }
    let ratios = puts.iter().zip(&stdins).map(|(put, stdin)| put.cpu_ms / stdin.cpu_ms);
    table(hosts, [&puts, &stdins], Spread::of(ratios))
}

fn table(hosts: usize, runs: [&[Measured]; 2], ratio: Spread) -> String {
    let bytes = hosts as f64 * FLEET_BYTES as f64;
    let mut text = format!(
        "\n### {} hosts, {} MB each\n\n| by | CPU s | CPU ns per byte | wall s | MiB above the connected hosts |\n\
         |---|---|---|---|---|\n",
        report::grouped(hosts),
        FLEET_BYTES / 1_000_000
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

/// Connects all hosts, then copies or writes the file.
pub fn work(kind: &str, hosts: usize, port: u16, file: &Path) -> Measured {
    raise_descriptor_limit();
    let bytes: Arc<[u8]> = if kind == STDIN { fs::read(file).unwrap().into() } else { Arc::default() };
    let addresses = (0..hosts).map(|index| format!("{}:{port}", hostsim::host_address(index)));
    pinned(true, || {
        let mut fleet = trusting(Fleet::builder(addresses)).build().unwrap();
        assert_eq!(run(&mut fleet, "true"), (hosts, 0));
        // The peak of the memory from here on.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let meter = Meter::start();
        let (ok, failed) = match kind {
            STDIN => run(&mut fleet, sshoal::Command::new("cat > file").stdin(Input::Bytes(bytes))),
            _ => run(&mut fleet, Put::new(file, "file")),
        };
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
