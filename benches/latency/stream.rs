//! One host streams while others run short commands: do those finish as quickly as without it?
//!
//! Rounds without and with the stream alternate, so that other load on the machine affects both
//! equally.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use sshoal::fleet::{HostId, RunId};
use sshoal::{Event, Fleet, Run};

use super::foreign::Loop;
use super::report::Row;
use super::support::raise_descriptor_limit;
use super::support::rank;
use super::{Plan, fleet};

/// Time limit of a round, or a stream.
const PATIENCE: Duration = Duration::from_secs(120);

/// Durations of rounds of short commands.
#[derive(Debug, Default)]
struct Rounds {
    /// From the start to the end of the last command.
    whole: Vec<Duration>,
    /// From the start to the end of each command.
    commands: Vec<Duration>,
    failed: usize,
}

impl Rounds {
    fn rows(&mut self, case: &str) -> [Row; 2] {
        let Self { whole, commands, .. } = self;
        [Row::spread(case, "round of all commands", whole), Row::spread(case, "command", commands)]
    }
}

/// The current stream.
#[derive(Debug)]
struct Stream {
    run: RunId,
    begun: Instant,
    bytes: u64,
    took: Option<Duration>,
}

struct Race {
    fleet: Fleet,
    foreign: Loop,
    /// The hosts that run short commands.
    others: Vec<HostId>,
    stream: Option<Stream>,
}

impl Race {
    /// Starts a command on all others, and waits for the end of the last of them, or of the stream.
    fn round(&mut self, rounds: &mut Rounds) {
        let Self { fleet, foreign, others, stream } = self;
        let begun = Instant::now();
        let run = fleet.start(Run::new("hostname").hosts(others.iter().copied())).unwrap().run;
        let mut commands = Vec::with_capacity(others.len());
        let is_beside = stream.is_some();
        let mut failed = 0;
        let is_over = foreign.run(fleet, begun + PATIENCE, |event| match event {
            Event::Output { host, bytes, .. } if !others.contains(&host) => {
                if let Some(stream) = stream {
                    stream.bytes += bytes.len() as u64;
                }
                ControlFlow::Continue(())
            }
            Event::Finished { host, .. } if others.contains(&host) => {
                commands.push(begun.elapsed());
                ControlFlow::Continue(())
            }
            Event::RunDone { run: done, tally, .. } if done == run => {
                failed = tally.failed;
                ControlFlow::Break(())
            }
            Event::RunDone { run: done, .. } => {
                if let Some(stream) = stream.as_mut().filter(|stream| stream.run == done) {
                    stream.took = Some(stream.begun.elapsed());
                }
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        });
        assert!(is_over, "a round did not end within {PATIENCE:?}");
        // The last round next to a stream ran partly alone.
        let is_whole = !is_beside || stream.as_ref().is_some_and(|stream| stream.took.is_none());
        rounds.failed += failed;
        if is_whole {
            rounds.whole.push(begun.elapsed());
            rounds.commands.append(&mut commands);
        }
    }
}

pub fn run(plan: &Plan<'_>) -> Vec<Row> {
    raise_descriptor_limit();
    let sizes = &plan.sizes;
    // Two processes, so that the hosts do not share a thread on the server side.
    let (streaming, answering) = (plan.simulator(), plan.simulator());
    let hosts = [streaming.hosts(1), answering.hosts(sizes.beside)].concat();
    let fleet = fleet(hosts).build().unwrap();
    let (streamer, others) = fleet.hosts().split_first().unwrap();
    let (streamer, others) = (*streamer, others.to_vec());
    let mut race = Race { fleet, foreign: Loop::default(), others, stream: None };

    let (mut alone, mut beside, mut warming) = (Rounds::default(), Rounds::default(), Rounds::default());
    let (mut bytes, mut took) = (0, Duration::ZERO);
    plan.pinned(|| {
        // The first one connects.
        race.round(&mut warming);
        for _ in 0..sizes.streams {
            (0..sizes.rounds_alone).for_each(|_| race.round(&mut alone));
            let command = format!("bytes {}", sizes.stream);
            let begun = Instant::now();
            let run = race.fleet.start(Run::new(command).hosts([streamer])).unwrap().run;
            race.stream = Some(Stream { run, begun, bytes: 0, took: None });
            while race.stream.as_ref().is_some_and(|stream| stream.took.is_none()) {
                race.round(&mut beside);
            }
            let stream = race.stream.take().unwrap();
            bytes += stream.bytes;
            took += stream.took.unwrap();
        }
    });
    let [with, without] = ["beside a stream", "alone"].map(|how| format!("{} hosts {how}", sizes.beside));
    let mut rows = alone.rows(&without).to_vec();
    rows.extend(beside.rows(&with));
    let ratio = |with: &[Duration], without: &[Duration], share| {
        rank(with, share).as_secs_f64() / rank(without, share).as_secs_f64()
    };
    let promised = sizes.stream * sizes.streams as u64;
    for (what, unit, value) in [
        ("round: median beside / median alone", "ratio", ratio(&beside.whole, &alone.whole, 0.5)),
        ("command: median beside / alone", "ratio", ratio(&beside.commands, &alone.commands, 0.5)),
        ("command: p99 beside / alone", "ratio", ratio(&beside.commands, &alone.commands, 0.99)),
        ("commands that failed", "", (alone.failed + beside.failed + warming.failed) as f64),
        ("streams", "MB/s", bytes as f64 / 1e6 / took.as_secs_f64()),
        ("bytes of streams that are missing", "", promised as f64 - bytes as f64),
    ] {
        rows.push(Row::value(&with, what, unit, value));
    }
    rows
}
