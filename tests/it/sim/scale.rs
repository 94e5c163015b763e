//! `cargo bench --bench scale`, with small numbers.

use std::process::Command;

#[path = "../../../benches/scale/mod.rs"]
#[allow(dead_code, reason = "a test needs neither all rows nor the heading")]
mod suite;

use suite::plan::{CASES, Case, simulator};
use suite::report::Row;
use suite::{Job, Workload};

use super::{support, watch};
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
    for (rival, ratio) in &row.ratios {
        assert!(ratio.is_finite() && *ratio > 0.0, "{rival:?}: {ratio}");
    }
    let json = row.to_json();
    assert!(
        json.starts_with(&format!(r#"{{"workload":"{}","hosts":{hosts},"pool":5,"#, workload.name())),
        "{json}"
    );
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
    assert!(
        row.measured.turn_max_ms > 0.0 && row.measured.turn_p999_ms <= row.measured.turn_max_ms,
        "{row:?}"
    );
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
    assert_eq!(ended(&measure(Workload::Lines, 10, 100)), [10, 0]);
}

#[test]
fn a_fifth_of_a_faulty_fleet_fails() {
    assert_eq!(ended(&measure(Workload::Faulty, 40, 0)), [32, 8]);
}

#[test]
fn hosts_are_dealt_among_threads() {
    assert_eq!(ended(&measure(Workload::Threads, 20, 2)), [20, 0]);
}
