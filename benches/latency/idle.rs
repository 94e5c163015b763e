//! 10,000 hosts are connected, and nothing happens; then one of them at a time runs a command, and
//! then each prints a thousand lines.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rustix::time::ClockId;
use sshoal::{Event, Fleet, Run};

use super::foreign::Loop;
use super::report::Row;
use super::support::{clock, raise_descriptor_limit, status_kib};
use super::{Plan, fleet};

/// Hosts that connect at the same time.
const CONNECTING: usize = 500;

/// Time limit for connecting the hosts.
const PATIENCE: Duration = Duration::from_secs(600);

/// Hosts count as quiet after this time without any event.
const SILENCE: Duration = Duration::from_millis(500);

pub fn run(plan: &Plan<'_>) -> Vec<Row> {
    raise_descriptor_limit();
    let sizes = &plan.sizes;
    let case = format!("{} idle hosts", sizes.idle);
    let sim = plan.simulator();
    plan.pinned(|| {
        let before = memory();
        let mut fleet = fleet(sim.hosts(sizes.idle)).max_connecting(CONNECTING).build().unwrap();
        let begun = Instant::now();
        connect_all(&mut fleet);
        let took = begun.elapsed();
        quieten(&mut fleet);

        let mut foreign = Loop::default();
        let (cpu, thread) = (clock(ClockId::ProcessCPUTime), clock(ClockId::ThreadCPUTime));
        foreign.run(&mut fleet, Instant::now() + sizes.idle_for, |_| ControlFlow::Continue(()));
        let cpu = clock(ClockId::ProcessCPUTime) - cpu;
        let thread = clock(ClockId::ThreadCPUTime) - thread;
        let metrics = fleet.metrics();
        let mut rows = [
            ("hosts that are connected", "", metrics.connections as f64),
            ("time to connect them", "s", took.as_secs_f64()),
            ("memory of each", "KiB", (memory() - before) / sizes.idle as f64),
            ("timers", "", metrics.timers as f64),
            ("time without work", "s", sizes.idle_for.as_secs_f64()),
            ("wake-ups in that time", "", foreign.wakeups as f64),
            ("turns in that time", "", foreign.turns.len() as f64),
            ("CPU time of the thread", "us", thread.as_secs_f64() * 1e6),
            ("CPU time of the process", "us", cpu.as_secs_f64() * 1e6),
        ]
        .map(|(what, unit, value)| Row::value(&case, what, unit, value))
        .to_vec();
        rows.extend(single_commands(&mut fleet, &case, sizes.single));
        print(&mut fleet);
        let each = (memory() - before) / sizes.idle as f64;
        rows.push(Row::value(&case, "memory of each that has printed", "KiB", each));
        rows
    })
}

/// The cost of one command next to many idle hosts.
fn single_commands(fleet: &mut Fleet, case: &str, count: usize) -> Vec<Row> {
    let (mut starts, mut commands) = (Vec::new(), Vec::new());
    let hosts = fleet.hosts().to_vec();
    for host in hosts.into_iter().cycle().take(count) {
        let begun = Instant::now();
        let run = fleet.start(Run::new("hostname").hosts([host])).unwrap().run;
        starts.push(begun.elapsed());
        Loop::default().run(fleet, begun + PATIENCE, |event| match event {
            Event::RunDone { run: done, .. } if done == run => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        commands.push(begun.elapsed());
    }
    vec![
        Row::spread(case, "call that starts one command", &mut starts),
        Row::spread(case, "one command, start to end", &mut commands),
    ]
}

/// Has each host print a thousand lines, which are read as they arrive.
fn print(fleet: &mut Fleet) {
    fleet.start(Run::new("lines 1000")).unwrap();
    let is_over = Loop::default().run(fleet, Instant::now() + PATIENCE, |event| match event {
        Event::RunDone { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(is_over, "hosts still print: {:?}", fleet.metrics());
    quieten(fleet);
}

pub fn connect_all(fleet: &mut Fleet) {
    let hosts = fleet.hosts().to_vec();
    let mut missing = hosts.len();
    fleet.connect(hosts);
    let mut foreign = Loop::default();
    foreign.run(fleet, Instant::now() + PATIENCE, |event| {
        if let Event::Connected { .. } | Event::Disconnected { retrying: false, .. } = event {
            missing -= 1;
        }
        if missing == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
}

/// Waits for events still in progress. Hosts that are not quiet by then are part of the
/// measurement.
fn quieten(fleet: &mut Fleet) {
    for _ in 0..10 {
        let mut foreign = Loop::default();
        foreign.run(fleet, Instant::now() + SILENCE, |_| ControlFlow::Continue(()));
        if foreign.turns.len() == 0 {
            return;
        }
    }
}

/// Memory in use by this process, in KiB.
pub fn memory() -> f64 {
    status_kib("VmRSS:")
}
