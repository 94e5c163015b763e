//! Upper bounds for each line and each block of output, counted by the cases of
//! `cargo bench --bench allocations` with smaller numbers.

#[path = "../it/support/examples.rs"]
mod examples;
#[path = "../../benches/allocations/mod.rs"]
#[allow(dead_code, reason = "a test needs no full sizes and no heading")]
mod suite;
#[path = "../../benches/support/mod.rs"]
#[allow(dead_code, reason = "no times are measured")]
mod support;

use std::process::Command;

use suite::{Counted, Plan, Sizes};

/// Most allocations per line. Each reader, and each visit to a host, has a few.
const LENT: f64 = 0.02;

/// Most bytes allocated per block of output. A few large buffers are allocated once.
const BLOCK: f64 = 8.0 * 1024.0;

#[test]
fn lent_lines_and_blocks_allocate_nothing() {
    let sim = support::simulator(Command::new(examples::example("hostsim")), false, |sim| sim);
    let count = |work: &mut dyn FnMut()| {
        let counted = allocation_counter::measure(work);
        Counted { allocations: counted.count_total, bytes: counted.bytes_total, held: counted.bytes_current }
    };
    let sizes = Sizes { lines: 5_000, bytes: 10_000_000, ..Sizes::QUICK };
    let rows = Plan { sizes, sim: &sim, count: &count }.run();
    let found = |what: &str| rows.iter().find(|row| row.what == what).unwrap().of_one();
    let of_one = |what: &str| found(what)[0];
    for what in [
        "line in an event",
        "line that the line iterator lends",
        "the same in another encoding",
        "lent line of all outputs in one loop",
    ] {
        assert!(of_one(what) < LENT, "{what}: {}", of_one(what));
    }
    let [_, bytes, _] = found("block of output");
    assert!(bytes < BLOCK, "{bytes} bytes for each block");
    assert!(of_one("line of the line iterator") > 1.0, "the allocator does not count");
}
