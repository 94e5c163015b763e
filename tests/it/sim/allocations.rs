//! `cargo bench --bench allocations`, with small numbers and a fake counter: the allocator is
//! global to the program.

use std::cell::Cell;
use std::process::Command;

#[path = "../../../benches/allocations/mod.rs"]
#[allow(dead_code, reason = "a test needs no full sizes and no heading")]
mod suite;

use suite::{Counted, Plan, Sizes};

use super::{support, watch};
use crate::support::examples::example;

#[test]
fn all_cases_of_the_benchmark_run() {
    let _dog = watch();
    let sim = support::simulator(Command::new(example("hostsim")), false, |sim| sim);
    let calls = Cell::new(0);
    let count = |work: &mut dyn FnMut()| {
        calls.set(calls.get() + 1);
        work();
        Counted { allocations: 500, bytes: 2_000, held: -1_000 }
    };
    let rows = Plan { sizes: Sizes::QUICK, sim: &sim, count: &count }.run();
    assert_eq!(rows.len(), calls.get(), "each is counted once");
    for row in &rows {
        let units = row.units as f64;
        assert_eq!(row.of_one(), [500.0 / units, 2_000.0 / units, -1_000.0 / units], "{row}");
        assert!(row.to_string().starts_with(row.what), "{row}");
        let json = row.to_json();
        assert!(json.starts_with(&format!(r#"{{"one":"{}","of":{},"#, row.what, row.units)), "{json}");
    }
    let units = |what: &str| rows.iter().find(|row| row.what == what).unwrap().units;
    assert_eq!(units("host that connects and runs a command"), 10);
    assert_eq!(units("later command of a connected host"), 20);
    assert_eq!(units("line of the line iterator"), 1_000);
    assert!((1..100_000).contains(&units("block of output")), "{rows:?}");
}
