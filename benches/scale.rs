//! The cost of running commands on many hosts: CPU time, memory, system calls and turns, compared
//! with a small client on russh, with libssh alone and with the cryptography alone.
//!
//! ```text
//! cargo bench --bench scale                  # a table up to 1,000 hosts, and the goals
//! cargo bench --bench scale -- --hosts 10000 # this size only; needs 10,100 descriptors
//! cargo bench --bench scale -- --json        # one JSON object per row
//! cargo bench --bench scale -- fresh lines   # these workloads alone
//! cargo bench --bench scale -- --no-pin      # without pinning processes to CPUs
//! ```
//!
//! Each job runs in a separate process, alternating with those that it is compared with; the
//! medians are shown. The hosts are simulated by another process, on other CPUs than the client's.
//! Figures are per host, or per command of connected hosts.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails at once")]

#[path = "scale/mod.rs"]
mod suite;
#[path = "support/mod.rs"]
mod support;

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use hostsim::Sim;

use suite::measure::Measured;
use suite::plan::{CASES, Case, simulator};
use suite::report::HEADER;
use suite::{Client, Job, Workload};

const USAGE: &str = "usage: scale [--json] [--hosts N] [--no-pin] [WORKLOAD...]";

/// Tells this program to run one job, and which.
const JOB: &str = "SCALE_JOB";
/// If set: use any CPU.
const NO_PIN: &str = "SCALE_NO_PIN";

/// Rows of more hosts run on request.
const HOSTS_MAX: usize = 1_000;

struct Options {
    json: bool,
    pin: bool,
    hosts: Option<usize>,
    workloads: Vec<Workload>,
}

fn main() -> ExitCode {
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    if let Ok(job) = env::var(JOB) {
        let job: Job = job.parse().unwrap();
        // Several threads need several CPUs.
        let pin = env::var_os(NO_PIN).is_none() && job.workload != Workload::Threads;
        println!("{}", support::pinned(pin, || job.run()));
        return ExitCode::SUCCESS;
    }
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if !options.json {
        println!("{HEADER}");
    }
    let mut goals = Vec::new();
    for case in CASES.iter().copied().filter(|case| options.wants(case)) {
        let row = options.measure(case);
        println!("{}", if options.json { row.to_json() } else { row.to_string() });
        std::io::stdout().flush().unwrap();
        goals.extend(row.goals());
    }
    if !options.json && !goals.is_empty() {
        println!("\ngoals\n{}", goals.join("\n"));
    }
    ExitCode::SUCCESS
}

fn options() -> Option<Options> {
    let mut options = Options { json: false, pin: true, hosts: None, workloads: Vec::new() };
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // Added by cargo.
            "--bench" => {}
            "--json" => options.json = true,
            "--no-pin" => options.pin = false,
            "--hosts" => options.hosts = Some(args.next()?.parse().ok()?),
            name => options.workloads.push(Workload::ALL.into_iter().find(|known| known.name() == name)?),
        }
    }
    Some(options)
}

impl Options {
    fn wants(&self, case: &Case) -> bool {
        let size = self.hosts.map_or(case.hosts <= HOSTS_MAX, |hosts| case.hosts == hosts);
        size && (self.workloads.is_empty() || self.workloads.contains(&case.workload))
    }

    fn measure(&self, case: Case) -> suite::report::Row {
        let program = env::current_exe().unwrap();
        let pin = self.pin && case.workload != Workload::Threads;
        let sim = |case: &Case| simulator(Command::new(&program), pin, case);
        let mut row = case.measure(&sim, &mut |job| self.work(Command::new(&program), job).unwrap());
        if matches!(case.workload, Workload::Fresh | Workload::Later | Workload::Open | Workload::Sequence) {
            row.system_calls = self.system_calls(&case, &sim(&case));
        }
        row
    }

    /// Per host or command, if strace is installed: it prints each thread's calls at the end.
    fn system_calls(&self, case: &Case, sim: &Sim) -> Option<f64> {
        let job = case.job(Client::Sshoal, sim.port());
        let calls = |job: Job| {
            let counted = tempfile::NamedTempFile::new().ok()?;
            let mut strace = Command::new("strace");
            // The clock is read to measure turns.
            strace.args(["-f", "-c", "-e", "trace=!clock_gettime", "-o"]).arg(counted.path());
            strace.arg(env::current_exe().ok()?);
            self.work(strace, job)?;
            let counted = fs::read_to_string(counted.path()).ok()?;
            let total = counted.lines().find(|line| line.ends_with("total"))?;
            total.split_whitespace().nth(3)?.parse::<f64>().ok()
        };
        let connecting = match case.workload {
            Workload::Fresh => 0.0,
            _ => calls(Job { amount: 0, ..job })?,
        };
        Some((calls(job)? - connecting) / case.units())
    }

    /// Runs a job in this command. `None` if there is no such command.
    fn work(&self, mut command: Command, job: Job) -> Option<Measured> {
        command.env(JOB, job.to_string()).stdin(Stdio::null()).stderr(Stdio::inherit());
        if !self.pin {
            command.env(NO_PIN, "1");
        }
        let output = command.output().ok()?;
        assert!(output.status.success(), "{job}: {}", output.status);
        Some(String::from_utf8(output.stdout).unwrap().trim_end().parse().unwrap())
    }
}
