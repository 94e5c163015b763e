//! How often sshoal allocates memory, and how much: for a host in the list, for one that connects
//! and runs a command, for later commands, for output by lines and by blocks, and for a turn
//! without work.
//!
//! ```text
//! cargo bench --bench allocations             # a table
//! cargo bench --bench allocations -- --json   # one JSON object per row
//! cargo bench --bench allocations -- --quick  # small numbers: does it work?
//! ```
//!
//! Counts the allocations of Rust code, on the one thread that everything runs on. Each growth of a
//! buffer counts again. Allocations by libssh and its libcrypto are not counted, although they are
//! most of those for a connecting host.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails at once")]

#[path = "allocations/mod.rs"]
mod suite;
#[path = "support/mod.rs"]
#[allow(dead_code, reason = "no times are measured")]
mod support;

use std::env;
use std::process::{Command, ExitCode};

use suite::{Counted, Plan, Sizes};

const USAGE: &str = "usage: allocations [--json] [--quick]";

fn main() -> ExitCode {
    // The simulated hosts are this program again, as a separate process.
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    let (mut json, mut sizes) = (false, Sizes::FULL);
    for arg in env::args().skip(1) {
        match arg.as_str() {
            // Added by cargo.
            "--bench" => {}
            "--json" => json = true,
            "--quick" => sizes = Sizes::QUICK,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let sim = support::simulator(Command::new(env::current_exe().unwrap()), false, |sim| sim);
    let plan = Plan { sizes, sim: &sim, count: &count };
    if !json {
        println!("{}", suite::HEADER);
    }
    for row in plan.run() {
        println!("{}", if json { row.to_json() } else { row.to_string() });
    }
    ExitCode::SUCCESS
}

fn count(work: &mut dyn FnMut()) -> Counted {
    let counted = allocation_counter::measure(work);
    Counted { allocations: counted.count_total, bytes: counted.bytes_total, held: counted.bytes_current }
}
