//! `cargo bench --bench latency`, with small numbers.

use std::process::Command;

#[path = "../../../benches/latency/mod.rs"]
#[allow(dead_code, reason = "a test needs no full sizes and no heading")]
mod suite;

use suite::report::{Figures, Row};
use suite::{Case, Plan, Sizes};

use super::{support, watch};
use crate::support::examples::example;

/// Where tests run, other processes use the CPUs too: nothing is pinned, and times are not checked.
fn measure(case: Case) -> Vec<Row> {
    let plan = Plan { sizes: Sizes::QUICK, pin: false, simulator: &|| Command::new(example("hostsim")) };
    let rows = plan.run(case);
    for row in &rows {
        let what = format!(r#"{{"case":"{}","what":"{}","unit":""#, row.case, row.what);
        assert!(row.to_json().starts_with(&what) && row.to_json().ends_with('}'), "{}", row.to_json());
        assert!(row.to_string().starts_with(&row.case), "{row}");
    }
    rows
}

/// The values with this name, from all runs.
#[track_caller]
fn values(rows: &[Row], what: &str) -> Vec<f64> {
    let rows = rows.iter().filter(|row| row.what == what);
    let values = rows.map(|row| match row.figures {
        Figures::Value(value) => value,
        Figures::Spread { .. } => panic!("{row}"),
    });
    values.collect()
}

#[test]
fn all_hosts_of_the_benchmark_connect() {
    let _dog = watch();
    let rows = measure(Case::Connect);
    assert_eq!(values(&rows, "hosts that failed"), [0.0, 0.0]);
    assert_eq!(values(&rows, "key exchanges"), [20.0, 20.0]);
    let spread =
        |row: &&Row| matches!(row.figures, Figures::Spread { count: 1.., p50, max, .. } if p50 <= max);
    // Two of the timer without a fleet, and with each of two fleets; of turns: their CPU times,
    // steps, and the rest.
    assert_eq!(rows.iter().filter(spread).count(), 2 + 2 * (2 + 4), "{rows:?}");
}

#[test]
fn the_benchmark_s_streams_arrive_whole() {
    let _dog = watch();
    let rows = measure(Case::Stream);
    assert_eq!(values(&rows, "bytes of streams that are missing"), [0.0]);
    assert_eq!(values(&rows, "commands that failed"), [0.0]);
}

#[test]
fn hosts_of_the_benchmark_that_nobody_reads_are_cancelled() {
    let _dog = watch();
    let rows = measure(Case::Unread);
    assert_eq!(values(&rows, "commands that were cancelled"), [20.0]);
    assert!(values(&rows, "unread output")[0] < 256.0, "{rows:?}");
}

#[test]
fn idle_hosts_of_the_benchmark_are_idle() {
    let _dog = watch();
    let rows = measure(Case::Idle);
    assert_eq!(values(&rows, "hosts that are connected"), [50.0]);
    assert_eq!(values(&rows, "wake-ups in that time"), [0.0]);
    assert_eq!(values(&rows, "turns in that time"), [0.0]);
}

#[test]
fn hosts_of_the_benchmark_finish_beside_hostile_ones() {
    let _dog = watch();
    let rows = measure(Case::Hostile);
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(values(&rows, "of the time alone, median of pairs")[0] > 0.0);
}

#[test]
fn hosts_of_the_benchmark_that_print_without_end_give_a_bounded_amount_at_a_time() {
    let _dog = watch();
    let rows = measure(Case::Lines);
    let [bytes, lines] = values(&rows, "most lines between two turns")[..] else { panic!("{rows:?}") };
    assert!(bytes == 0.0 && (1.0..=256.0).contains(&lines), "{rows:?}");
    let most = values(&rows, "most bytes between two turns");
    // One event may exceed the budget of 256 KiB.
    assert!(most.iter().all(|kib| (0.0..=256.0 + 64.0).contains(kib)), "{most:?}");
    assert!(values(&rows, "output").iter().all(|rate| *rate > 0.0));
}

#[test]
fn the_daemon_of_the_benchmark_ends_each_command_once() {
    let _dog = watch();
    let rows = measure(Case::Daemon);
    let value = |what| values(&rows, what)[0];
    assert!(value("healthy commands") > 0.0 && value("lines") > 0.0, "{rows:?}");
    assert_eq!(value("commands that ended once"), value("commands that were started"));
    assert_eq!((value("commands that ended twice"), value("commands that did not end")), (0.0, 0.0));
}
