//! `cargo bench --bench scale`, with small numbers.

use std::process::Command;

#[path = "../../../benches/scale/mod.rs"]
#[allow(dead_code, reason = "a test needs neither all rows nor the heading")]
mod suite;

use suite::measure::{Measured, Spread};
use suite::plan::{CASES, Case, simulator};
use suite::report::{self, Row};
use suite::{Job, Workload};

use super::{counted, support, watch};
use crate::support::examples::example;

/// The row of this workload with the most rivals, made small. All jobs run in this process, and
/// times are not checked.
fn measure(workload: Workload, hosts: usize, amount: u64) -> Row {
    let _dog = watch();
    let cases = CASES.iter().filter(|case| case.workload == workload);
    let case = *cases.max_by_key(|case| case.rivals.len()).unwrap();
    let case = Case { hosts, pool: 5, amount, rounds: 1, ..case };
    let sim = |case: &Case| simulator(Command::new(example("hostsim")), false, case);
    let row = case.measure(&sim, &mut |job: Job| {
        assert_eq!(job.to_string().parse(), Ok(job));
        let measured = job.run();
        assert_eq!(measured.to_string().parse(), Ok(measured));
        measured
    });
    let tables = report::tables(std::slice::from_ref(&row));
    for (rival, Spread { low, median, high }) in &row.ratios {
        assert!(low.is_finite() && *low > 0.0 && low == median && median == high, "{rival:?}: {row:?}");
        assert!(tables.contains(&format!("| {median:.2} | {low:.2} to {high:.2} |")), "{tables}");
    }
    assert!(tables.contains(&format!("| `{}`: ", workload.name())), "{tables}");
    assert_eq!(row.goals().len(), case.goals.len());
    row
}

/// How many ended as expected, and how many did not.
fn ended(row: &Row) -> [usize; 2] {
    [row.measured.ok, row.measured.failed].map(|count| count as usize)
}

#[test]
fn fresh_hosts_run_a_command() {
    let row = measure(Workload::Fresh, 20, 0);
    assert_eq!(ended(&row), [20, 0]);
    assert!(row.measured.turn_ms > 0.0, "{row:?}");
}

#[test]
fn connected_hosts_run_further_commands() {
    assert_eq!(ended(&measure(Workload::Later, 10, 3)), [30, 0]);
    assert_eq!(ended(&measure(Workload::Open, 10, 3)), [30, 0]);
}

#[test]
fn a_sequence_has_a_latency() {
    let row = measure(Workload::Sequence, 1, 20);
    assert_eq!(ended(&row), [20, 0]);
    assert!(row.measured.median_us > 0.0, "{row:?}");
}

#[test]
fn a_queue_of_commands_on_one_host_is_worked_off() {
    assert_eq!(ended(&measure(Workload::Queue, 1, 8_000)), [8_000, 0]);
}

#[test]
fn bulk_output_arrives_whole() {
    assert_eq!(ended(&measure(Workload::Bulk, 2, 300_000)), [2, 0]);
}

#[test]
fn lines_and_their_bytes_arrive_whole() {
    for workload in [Workload::Lines, Workload::Lent] {
        assert_eq!(ended(&measure(workload, 10, 100)), [10, 0]);
    }
}

#[test]
fn a_fifth_of_a_faulty_fleet_fails() {
    assert_eq!(ended(&measure(Workload::Faulty, 40, 0)), [32, 8]);
}

#[test]
fn hosts_are_dealt_among_threads() {
    assert_eq!(ended(&measure(Workload::Threads, 20, 2)), [20, 0]);
}

/// Each ratio is that of a pair: a machine that is slow for a while hits both.
#[test]
fn ratios_are_those_of_pairs() {
    let case =
        Case { hosts: 1, rounds: 4, ..CASES.iter().find(|case| case.rivals.len() == 2).copied().unwrap() };
    let sim = |case: &Case| simulator(Command::new(example("hostsim")), false, case);
    let mut jobs = Vec::new();
    let row = case.measure(&sim, &mut |job| {
        jobs.push(job.client);
        // Each pair takes twice as long as the one before.
        let busy = f64::from(1 << ((jobs.len() - 1) / 2));
        let cpu_ms = if job.client == case.client { busy } else { 4.0 * busy };
        Measured { cpu_ms, ..Measured::default() }
    });
    assert_eq!(jobs.len(), 2 * 2 * case.rounds);
    assert!(jobs.chunks(2).all(|pair| pair.contains(&case.client) && pair[0] != pair[1]), "{jobs:?}");
    assert_ne!(jobs[..2], jobs[2..4], "each is first in every other pair");
    for (_, Spread { low, median, high }) in row.ratios {
        assert_eq!([low, median, high], [0.25; 3]);
    }
    let Spread { low, median, high } = Spread::of([7.0, 1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
    assert_eq!([low, median, high], [2.0, 4.0, 6.0]);
}
