//! The engine with 10,000 connected hosts, as `criterion` measures it: connecting them all at once,
//! a command on all of them, turns, and calls.
//!
//! ```text
//! cargo bench --bench fleet                           # takes minutes, and 10,100 descriptors
//! cargo bench --bench fleet -- turn                   # the cases with this in their name
//! cargo bench --bench fleet -- --save-baseline before # keeps the results under this name
//! cargo bench --bench fleet -- --baseline before      # compares with them
//! cargo bench --bench fleet -- --test                 # each case once, with few hosts
//! ```
//!
//! The hosts are simulated by another process, on other CPUs than this thread. Times are CPU times
//! of this thread, in the process and in the kernel: waiting for the hosts does not count. They are
//! given per host, turn or call, as the names say.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails at once")]

#[path = "fleet/mod.rs"]
mod suite;
#[path = "support/mod.rs"]
#[allow(dead_code, reason = "neither memory nor ranks are measured")]
mod support;

use std::env;
use std::process::{Command, ExitCode};

use criterion::{Criterion, SamplingMode};

use suite::{Bed, CASES, HOSTS, HOSTS_QUICK};

/// Smaller changes are not reported: they come and go without a change of the program.
const NOISE: f64 = 0.05;

fn main() -> ExitCode {
    // The simulated hosts are this program again, as a separate process.
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    let has = |flag: &str| env::args().any(|arg| arg == flag);
    // As criterion decides it: `cargo test --benches` passes neither of the two.
    let is_test = has("--test") || !has("--bench");
    let sim = support::simulator(Command::new(env::current_exe().unwrap()), !is_test, |sim| sim);
    let mut bed = Bed::new(sim, if is_test { HOSTS_QUICK } else { HOSTS });
    let mut criterion = Criterion::default().noise_threshold(NOISE).configure_from_args();
    support::pinned(!is_test, || run(&mut criterion, &mut bed));
    criterion.final_summary();
    ExitCode::SUCCESS
}

fn run(criterion: &mut Criterion, bed: &mut Bed) {
    let mut group = criterion.benchmark_group(format!("fleet, {} hosts", bed.hosts()));
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for case in CASES {
        group.bench_function(case.name, |bencher| {
            // Outside the time from which criterion plans the number of rounds.
            bed.connected();
            bencher.iter_custom(|rounds| case.measure(bed, rounds));
        });
    }
    group.finish();
}
