//! 1,000 hosts connect and run a command while the loop's own timer fires a thousand times a
//! second.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use sshoal::Event;

use super::foreign::Loop;
use super::report::Row;
use super::support::raise_descriptor_limit;
use super::{Plan, fleet};

/// Time limit of the hosts.
const PATIENCE: Duration = Duration::from_secs(300);

pub fn run(plan: &Plan<'_>) -> Vec<Row> {
    raise_descriptor_limit();
    let sim = plan.simulator();
    let sizes = &plan.sizes;
    let hosts = sizes.hosts;
    let mut without = (Vec::new(), Vec::new());
    let mut rows = Vec::new();
    for (case, pool) in [
        (format!("{hosts} hosts at once"), hosts),
        (format!("{hosts} hosts, pool of {}", sizes.pool), sizes.pool),
    ] {
        plan.pinned(|| {
            let mut alone = Loop::with_timer(sizes.without);
            alone.run_alone(sizes.without);
            let (delays, between) = alone.delays();
            without.0.extend(delays);
            without.1.extend(between);

            let mut fleet = fleet(sim.hosts(hosts)).max_connecting(pool).build().unwrap();
            let mut foreign = Loop::with_timer(PATIENCE);
            let begun = Instant::now();
            let run = fleet.start("hostname").unwrap().run;
            let mut failed = hosts;
            foreign.run(&mut fleet, begun + PATIENCE, |event| match event {
                Event::RunDone { run: done, tally, .. } if done == run => {
                    failed = hosts - tally.succeeded;
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            });
            let took = begun.elapsed();
            let turns = &mut foreign.turns;
            let mut found = turns.rows(&case);
            for (what, unit, value) in [
                ("p99.9 of a turn / (budget + a step)", "ratio", turns.goal()),
                ("turns", "", turns.len() as f64),
                ("visits", "", turns.visits as f64),
                ("key exchanges", "", turns.key_exchanges as f64),
                ("hosts that failed", "", failed as f64),
                ("time for all", "s", took.as_secs_f64()),
            ] {
                found.push(Row::value(&case, what, unit, value));
            }
            rows.extend(timer_rows(&case, foreign.delays()));
            rows.extend(found);
        });
    }
    rows.splice(..0, timer_rows("loop without a fleet", without));
    rows
}

pub fn timer_rows(case: &str, (mut delays, mut between): (Vec<Duration>, Vec<Duration>)) -> [Row; 2] {
    [
        Row::spread(case, "delay of the loop's 1 kHz timer", &mut delays),
        Row::spread(case, "CPU time between looks at it", &mut between),
    ]
}
