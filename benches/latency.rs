//! What a fleet costs its embedding loop: how late the loop's own 1 kHz timer fires while 1,000
//! hosts connect, whether 99 hosts next to a streaming one finish as quickly as alone, the cost of
//! 10,000 idle hosts and of 1,000 that print endlessly, and how long 20 hosts take next to five
//! hostile ones.
//!
//! ```text
//! cargo bench --bench latency                   # a table
//! cargo bench --bench latency -- --json         # one JSON object per row
//! cargo bench --bench latency -- idle --no-pin  # one case, without pinning processes
//! cargo bench --bench latency -- --quick        # small numbers: does it work?
//! cargo bench --bench latency -- daemon --seconds 600
//! ```
//!
//! The cases are connect, stream, idle, unread, lines, hostile and daemon. The memory of the last
//! one depends on the allocator. With jemalloc, it stays the same from the first minute on:
//!
//! ```text
//! export LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2
//! export MALLOC_CONF=dirty_decay_ms:0
//! cargo bench --bench latency -- daemon --seconds 600
//! ```
//!
//! The hosts are simulated by separate processes. They need CPU time too, so this thread gets a CPU
//! for itself, and they share the others, unless there is only one.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails at once")]

#[path = "latency/mod.rs"]
mod suite;
#[path = "support/mod.rs"]
#[allow(dead_code, reason = "numbers are not grouped")]
mod support;

use std::env;
use std::process::{Command, ExitCode};
use std::time::Duration;

use suite::{Case, Plan, Sizes};

const USAGE: &str = "usage: latency [--json] [--quick] [--no-pin] [--seconds N] [connect] [stream] [idle] [unread] [lines] [hostile] [daemon]";

fn main() -> ExitCode {
    // The simulated fleets are this program again, as separate processes.
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    let (mut json, mut sizes, mut pin, mut cases) = (false, Sizes::FULL, true, Vec::new());
    let (mut args, mut seconds) = (env::args().skip(1), None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // Added by cargo.
            "--bench" => {}
            "--json" => json = true,
            "--quick" => sizes = Sizes::QUICK,
            "--no-pin" => pin = false,
            "--seconds" => seconds = args.next().and_then(|seconds| seconds.parse().ok()),
            name => match Case::ALL.into_iter().find(|case| case.name() == name) {
                Some(case) => cases.push(case),
                None => {
                    eprintln!("{USAGE}");
                    return ExitCode::from(2);
                }
            },
        }
    }
    if cases.is_empty() {
        cases = Case::ALL.to_vec();
    }
    if let Some(seconds) = seconds {
        sizes.daemon = Duration::from_secs(seconds);
    }
    let program = env::current_exe().unwrap();
    let plan = Plan { sizes, pin, simulator: &|| Command::new(&program) };
    if !json {
        println!("{}", suite::report::HEADER);
    }
    for case in cases {
        for row in plan.run(case) {
            println!("{}", if json { row.to_json() } else { row.to_string() });
        }
    }
    ExitCode::SUCCESS
}
