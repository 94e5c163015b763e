//! 50 hosts print short lines without end, which the loop takes as bytes, and then as lines: how
//! late its own 1 kHz timer fires, and how much it gets at a time.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use sshoal::Run;
use sshoal::output::Deliver;

use super::connect::timer_rows;
use super::foreign::Loop;
use super::idle::connect_all;
use super::report::Row;
use super::support::{raise_descriptor_limit, rank};
use super::{Plan, fleet};

/// Number of hosts.
const HOSTS: usize = 50;

pub fn run(plan: &Plan<'_>) -> Vec<Row> {
    raise_descriptor_limit();
    let sim = plan.simulator();
    let hosts = HOSTS.min(plan.sizes.hosts);
    let mut rows = Vec::new();
    let mut all_delays = Vec::new();
    for (what, deliver) in [("bytes", Deliver::Bytes), ("lines", Deliver::Lines)] {
        let case = format!("{hosts} hosts print, {what}");
        plan.pinned(|| {
            let mut fleet = fleet(sim.hosts(hosts)).build().unwrap();
            connect_all(&mut fleet);
            fleet.start(Run::new("yes").deliver(deliver)).unwrap();
            let mut foreign = Loop::with_timer(plan.sizes.flood);
            let begun = Instant::now();
            foreign.run(&mut fleet, begun + plan.sizes.flood, |_| ControlFlow::Continue(()));
            let received = fleet.metrics().bytes_received as f64 / begun.elapsed().as_secs_f64();
            let most = foreign.most;
            rows.extend(foreign.turns.rows(&case).into_iter().take(1));
            let (mut delays, between) = foreign.delays();
            delays.sort_unstable();
            rows.extend(timer_rows(&case, (delays.clone(), between)));
            rows.push(Row::value(&case, "most lines between two turns", "", most.lines as f64));
            rows.push(Row::value(&case, "most bytes between two turns", "KiB", most.bytes as f64 / 1024.0));
            rows.push(Row::value(&case, "output", "MB/s", received / 1e6));
            all_delays.push(delays);
        });
    }
    let case = format!("{hosts} hosts print");
    let above = |share| at(&all_delays[1], share) - at(&all_delays[0], share);
    rows.push(Row::value(&case, "p50 of the timer: lines - bytes", "us", above(0.5)));
    rows.push(Row::value(&case, "p99 of the timer: lines - bytes", "us", above(0.99)));
    rows
}

fn at(sorted: &[Duration], share: f64) -> f64 {
    rank(sorted, share).as_secs_f64() * 1e6
}
