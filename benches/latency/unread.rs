//! 1,000 hosts print endlessly, and nobody reads: the memory that they take, and how quickly they
//! are cancelled.

use sshoal::error::CancelCause;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use sshoal::output::Deliver;
use sshoal::{Event, Fleet, HostErrorKind, Outcome, Run};

use super::foreign::Loop;
use super::idle::{connect_all, memory};
use super::report::Row;
use super::support::raise_descriptor_limit;
use super::{Plan, fleet};

/// How often the amount received is checked.
const LOOK: Duration = Duration::from_millis(50);

/// Number of checks after which hosts that still print are given up.
const LOOKS: usize = 1200;

/// The default output budget, in MiB.
const BUDGET: f64 = 256.0;

pub fn run(plan: &Plan<'_>) -> Vec<Row> {
    raise_descriptor_limit();
    let hosts = plan.sizes.hosts;
    let case = format!("{hosts} hosts run `yes`");
    let sim = plan.simulator();
    plan.pinned(|| {
        let mut fleet = fleet(sim.hosts(hosts)).max_connecting(hosts).build().unwrap();
        connect_all(&mut fleet);
        let before = memory();
        let yes = Run::new("yes").deliver(Deliver::Nothing);
        fleet.start(yes).unwrap();
        let mut most = before;
        for _ in 0..LOOKS {
            listen(&mut fleet, LOOK, &mut |_| ControlFlow::Continue(()));
            most = most.max(memory());
            if fleet.metrics().held_back == hosts {
                break;
            }
        }
        let metrics = fleet.metrics();
        let (begun, mut cancelled) = (Instant::now(), 0);
        fleet.cancel_all();
        let over = listen(&mut fleet, LOOK * LOOKS as u32, &mut |event| match event {
            Event::RunDone { .. } => ControlFlow::Break(()),
            Event::Finished { outcome: Outcome::Failed(error), .. } => {
                cancelled +=
                    usize::from(matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        });
        let took = over.saturating_duration_since(begun);
        most = most.max(memory());
        vec![
            Row::value(&case, "hosts that wait for a reader", "", metrics.held_back as f64),
            Row::value(&case, "unread output", "MiB", metrics.unread as f64 / 1024.0 / 1024.0),
            Row::value(&case, "memory beyond that of connections", "MiB", (most - before) / 1024.0),
            Row::value(&case, "of that, beyond the output budget", "MiB", (most - before) / 1024.0 - BUDGET),
            Row::value(&case, "commands that were cancelled", "", cancelled as f64),
            Row::value(&case, "from cancel_all to the last end", "s", took.as_secs_f64()),
        ]
    })
}

/// Runs turns for this long, or until stopped. Returns when that was.
fn listen(
    fleet: &mut Fleet,
    time: Duration,
    on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Instant {
    Loop::default().run(fleet, Instant::now() + time, on_event);
    Instant::now()
}
