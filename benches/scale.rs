//! The cost of running commands on many hosts, as the tables of `docs/performance.md`: CPU time,
//! memory and turns, ratios to a small client on russh and to libssh alone, system calls and
//! messages.
//!
//! ```text
//! cargo bench --bench scale                  # all tables: ten minutes, and 10,100 descriptors
//! cargo bench --bench scale -- --hosts 1000  # the rows of this size only
//! cargo bench --bench scale -- fresh counts  # these workloads only, and the counts
//! ```
//!
//! Each job runs in a separate process, in turns with the one that it is compared with. A ratio is
//! the median of all pairs, with its quartiles: if those are far apart, the machine is busy. The
//! hosts are simulated by another process, on other CPUs than the client's. Figures are per host,
//! or per command of connected hosts. Rows of 10,000 hosts are left out if descriptors are too few.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails at once")]

#[path = "counted/mod.rs"]
#[allow(dead_code, reason = "tests look at more of it")]
mod counted;
#[path = "scale/mod.rs"]
mod suite;
#[path = "support/mod.rs"]
mod support;

use std::env;
use std::process::{Command, ExitCode, Stdio};

use hostsim::Sim;
use rustix::process::{Resource, getrlimit};
use sshoal::Fleet;
use sshoal::fleet::CryptoProvider;

use counted::{messages, system_calls};
use suite::measure::Measured;
use suite::plan::{CASES, Case, simulator};
use suite::{Client, Job, NO_PROVIDER, Workload, report};

const USAGE: &str = "usage: scale [--hosts N] [WORKLOAD...] [counts]";

/// Tells this program to run one job, and which.
const JOB: &str = "SCALE_JOB";

/// The job whose system calls are counted.
const CALLS: &str = "system_calls";

/// Beside the workloads: system calls and messages.
const COUNTS: &str = "counts";

/// Descriptors of a process that are not connections.
const OTHER_DESCRIPTORS: u64 = 100;

#[derive(Default)]
struct Options {
    hosts: Option<usize>,
    workloads: Vec<Workload>,
    counts: bool,
}

fn main() -> ExitCode {
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    match env::var(JOB).as_deref() {
        Ok(CALLS) => system_calls::work(&hosts()),
        Ok(job) => {
            let job: Job = job.parse().unwrap();
            let provider = Fleet::library().provider;
            assert!(job.client != Client::WithoutProvider || provider == CryptoProvider::TurnedOff);
            // Several threads need several CPUs.
            println!("{}", support::pinned(job.workload != Workload::Threads, || job.run()));
        }
        Err(_) => {
            let Some(options) = options() else {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            };
            options.run();
        }
    }
    ExitCode::SUCCESS
}

fn options() -> Option<Options> {
    let mut options = Options::default();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // Added by cargo.
            "--bench" => {}
            "--hosts" => options.hosts = Some(args.next()?.parse().ok()?),
            COUNTS => options.counts = true,
            name => options.workloads.push(Workload::ALL.into_iter().find(|known| known.name() == name)?),
        }
    }
    Some(options)
}

impl Options {
    fn wants(&self, case: &Case) -> bool {
        let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let is_named = self.workloads.contains(&case.workload);
        self.hosts.is_none_or(|hosts| case.hosts == hosts)
            && case.hosts as u64 + OTHER_DESCRIPTORS <= descriptors
            && (is_named || self.workloads.is_empty() && !self.counts)
    }

    fn run(&self) {
        let sim = |case: &Case| simulator(this_program(), case.workload != Workload::Threads, case);
        eprintln!("{}", Fleet::library());
        let mut rows = Vec::new();
        for case in CASES.iter().filter(|case| self.wants(case)) {
            eprintln!("measuring {case:?}");
            rows.push(case.measure(&sim, &mut work));
        }
        print!("{}", report::tables(&rows));
        if self.counts || self.workloads.is_empty() {
            print!("{}", count());
        }
    }
}

fn this_program() -> Command {
    Command::new(env::current_exe().unwrap())
}

/// Simulated hosts, which may use any CPU.
fn hosts() -> Sim {
    support::simulator(this_program(), false, |sim| sim)
}

/// Runs a job in a separate process.
fn work(job: Job) -> Measured {
    let mut program = this_program();
    program.env(JOB, job.to_string()).stdin(Stdio::null()).stderr(Stdio::inherit());
    match job.client {
        Client::WithoutProvider => program.env(NO_PROVIDER.0, NO_PROVIDER.1),
        _ => program.env_remove(NO_PROVIDER.0),
    };
    let output = program.output().unwrap();
    assert!(output.status.success(), "{job}: {}", output.status);
    String::from_utf8(output.stdout).unwrap().trim_end().parse().unwrap()
}

fn count() -> String {
    let mut program = this_program();
    program.env(JOB, CALLS);
    let calls = [
        system_calls::count(program.env_remove(NO_PROVIDER.0)),
        system_calls::count(program.env(NO_PROVIDER.0, NO_PROVIDER.1)),
    ];
    let sim = hosts();
    let address = format!("{}:{}", sim.host(0), sim.port()).parse().unwrap();
    let messages =
        messages::count(address, |address| support::trusting(Fleet::builder([address.to_string()])));
    report::counts(calls, &messages)
}
