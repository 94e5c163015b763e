//! Runs of a fleet: in batches, with a gate, up to a failure limit, paused, and cancelled.

use std::time::{Duration, Instant};

use sshoal::error::{CancelCause, CommandProblem, TemplateProblem};
use sshoal::fleet::{Batch, CommandState};
use sshoal::{Command, Error, Run};

use super::{PATIENCE, engine, fleet, settled, stats_of, watch};
use crate::support::fleet::{BatchDone, Driven};

/// Connections that the simulated hosts at these positions have received.
#[track_caller]
fn assert_connections(sim: &hostsim::Sim, hosts: impl Iterator<Item = usize>, wanted: u64) {
    for index in hosts {
        assert_eq!(stats_of(sim, index).connections, wanted, "host {index}");
    }
}

#[test]
fn a_run_of_one_host_a_tenth_and_the_rest_waits_at_each_gate() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut driven = Driven::new(engine(&sim, 100).build().unwrap());
    let run = Run::new("hostname").batches([Batch::Hosts(1), Batch::Percent(10), Batch::Rest]).gated();
    let started = driven.fleet.start(run).unwrap();
    let run = started.run;
    assert!(!driven.fleet.proceed(run), "the first batch is not over");
    for (batch, begun) in [1, 11, 100].into_iter().enumerate() {
        driven.until(PATIENCE, "a batch", |driven| driven.batches.len() > batch);
        let BatchDone { batch: number, tally, left, .. } = driven.batches[batch];
        assert_eq!((number, tally.succeeded, tally.finished(), left), (batch, begun, begun, 100 - begun));
        // Without a call of the program nothing follows.
        driven.go_on_for(Duration::from_millis(100));
        assert_eq!((driven.ends.len(), driven.connected.len()), (begun, begun));
        assert_eq!(sim.stats().unwrap().connections, begun as u64);
        assert_eq!(driven.fleet.proceed(run), left > 0);
    }
    assert_eq!(driven.tally(run).succeeded, 100);
    for (index, command) in started.commands.iter().enumerate() {
        assert_eq!(driven.output[command], format!("{}\n", sim.host(index)).into_bytes());
    }
    assert_eq!(driven.fleet.metrics().runs, 0);
}

#[test]
fn a_budget_that_the_first_batch_exceeds_saves_all_other_hosts() {
    let _dog = watch();
    let sim = fleet(&["i:0..3 set:auth=refuse"]);
    let mut driven = Driven::new(engine(&sim, 50).build().unwrap());
    let run = Run::new("hostname").batches([Batch::Hosts(10), Batch::Rest]).max_failure_percent(4);
    let started = driven.fleet.start(run).unwrap();
    driven.until(PATIENCE, "the run", |driven| driven.done(started.run).is_some());
    let tally = driven.tally(started.run);
    assert_eq!(tally.failed, 3);
    assert_eq!(tally.finished(), 50);
    // Some of the first batch may have been on their way; none of the others was.
    assert!(tally.not_started >= 40 && driven.batches.len() == 1, "{tally:?}");
    for command in &started.commands[10..] {
        assert_eq!(driven.not_started(*command), Some(CancelCause::TooManyFailures));
    }
    let text = driven.ends[&started.commands[49]].to_string();
    assert!(text.ends_with(": not started: too many other commands have failed"), "{text}");
    assert_connections(&sim, 10..50, 0);
}

/// A plain run is one batch: hosts that wait for a place when the failure budget is exceeded are
/// not started either.
#[test]
fn a_budget_holds_within_a_batch() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut driven = Driven::new(engine(&sim, 50).max_connecting(5).build().unwrap());
    let started = driven.fleet.start(Run::new("false").max_failures(9)).unwrap();
    driven.until(PATIENCE, "the run", |driven| driven.done(started.run).is_some());
    let tally = driven.tally(started.run);
    assert!((10..30).contains(&tally.failed), "{tally:?}");
    assert_eq!(tally.failed + tally.not_started, 50);
    assert_eq!(driven.started.len(), tally.failed);
    // Hosts that were not started leave no connection behind that was made for them.
    assert!(driven.fleet.metrics().connections < 30);
}

#[test]
fn a_run_that_is_cancelled_ends_what_runs_and_what_waits() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut driven = Driven::new(engine(&sim, 20).build().unwrap());
    let started = driven.fleet.start(Run::new("hang").batches([Batch::Hosts(4)])).unwrap();
    let other = driven.fleet.start(Run::new("sleep 0.2").hosts(driven.fleet.hosts()[..2].to_vec())).unwrap();
    driven.until(PATIENCE, "the first batch", |driven| driven.started.len() == 6);
    let begun = Instant::now();
    driven.fleet.cancel_run(started.run);
    driven.until(PATIENCE, "both runs", |driven| driven.runs.len() == 2);
    assert!(begun.elapsed() < Duration::from_secs(30));
    let (run, waiting) = started.commands.split_at(4);
    for command in run {
        assert_eq!(driven.cancelled(*command), Some(CancelCause::RunCancelled));
    }
    for command in waiting {
        assert_eq!(driven.not_started(*command), Some(CancelCause::RunCancelled));
    }
    assert_eq!(driven.tally(other.run).succeeded, 2, "another run is not concerned");
    assert_connections(&sim, 4..20, 0);
    settled(&sim, |stats| stats.channels_now == 0);
}

#[test]
fn commands_of_later_batches_can_be_cancelled_released_and_looked_at() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut driven = Driven::new(engine(&sim, 6).build().unwrap());
    let hosts = driven.fleet.hosts().to_vec();
    let run = Run::new("hostname").batches([Batch::Hosts(1)]).gated();
    let started = driven.fleet.start(run).unwrap();
    driven.until(PATIENCE, "the first batch", |driven| driven.batches.len() == 1);
    let last = driven.fleet.command(started.commands[5]).unwrap();
    assert!(last.state() == CommandState::Waiting && last.outcome().is_none());
    assert_eq!(last.host(), hosts[5]);
    driven.fleet.cancel(started.commands[1]);
    driven.fleet.cancel_host(hosts[2]);
    driven.fleet.release(started.commands[3]);
    assert!(driven.fleet.remove_host(hosts[4]));
    driven.until(PATIENCE, "three ends", |driven| driven.ends.len() == 4);
    for (ended, cause) in [(1, CancelCause::Caller), (2, CancelCause::Caller), (4, CancelCause::HostRemoved)]
    {
        assert_eq!(driven.cancelled(started.commands[ended]), Some(cause));
    }
    // What remains: the one that is no longer needed, and the last.
    while driven.done(started.run).is_none() {
        assert!(driven.fleet.proceed(started.run));
        let before = driven.batches.len();
        driven.until(PATIENCE, "a batch", |driven| driven.batches.len() > before);
    }
    let tally = driven.tally(started.run);
    assert_eq!((tally.succeeded, tally.failed, tally.not_started), (3, 3, 0));
    assert!(!driven.ends.contains_key(&started.commands[3]));
    assert_eq!(stats_of(&sim, 3).execs, 1, "a released command runs all the same");
    assert_connections(&sim, [1, 2, 4].into_iter(), 0);
}

#[test]
fn everything_that_waits_ends_with_cancel_all() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut driven = Driven::new(engine(&sim, 30).build().unwrap());
    let started = driven.fleet.start(Run::new("hang").batches([Batch::Percent(10)])).unwrap();
    driven.until(PATIENCE, "the first batch", |driven| driven.started.len() == 3);
    driven.fleet.cancel_all();
    driven.until(PATIENCE, "the run", |driven| driven.done(started.run).is_some());
    for command in started.commands {
        assert_eq!(driven.cancelled(command), Some(CancelCause::Caller));
    }
    assert_connections(&sim, 3..30, 0);
}

#[test]
fn each_host_runs_its_own_command() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut driven = Driven::new(engine(&sim, 10).build().unwrap());
    let hosts = driven.fleet.hosts().to_vec();
    let commands = hosts.iter().rev().enumerate().map(|(nth, host)| (*host, format!("echo {nth}")));
    let twice = [(hosts[0], "hostname".to_owned())];
    let started = driven.fleet.start(Run::each(commands.chain(twice))).unwrap();
    driven.until(PATIENCE, "the run", |driven| driven.done(started.run).is_some());
    assert_eq!(driven.tally(started.run).succeeded, 11);
    for (nth, command) in started.commands.iter().take(10).enumerate() {
        assert_eq!(driven.output[command], format!("{nth}\n").into_bytes());
    }
    assert_eq!(driven.output[&started.commands[10]], format!("{}\n", sim.host(0)).into_bytes());
}

#[test]
fn what_cannot_be_is_refused_before_anything_begins() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut fleet = engine(&sim, 3).build().unwrap();
    let hosts = fleet.hosts().to_vec();
    let each = |last: Command| Run::each([(hosts[0], Command::new("true")), (hosts[2], last)]);
    let refused = [
        Run::new("true").batches([Batch::Hosts(0)]),
        Run::new("true").batches([Batch::Percent(0)]),
        Run::new("true").batches([Batch::Percent(101)]),
        Run::new("true").batches([Batch::Rest, Batch::Hosts(1)]),
        Run::new("true").max_failure_percent(101),
        each("true".into()).hosts(hosts.clone()),
        each(Command::new("true").encoding("utf-32")),
    ];
    for run in refused {
        assert!(matches!(fleet.start(run), Err(Error::Config { .. })));
    }
    let blank = TemplateProblem::Refused(CommandProblem::Empty);
    match fleet.start(each(" ".into())) {
        Err(Error::Template { position: 1, problem, .. }) => assert_eq!(problem, blank),
        other => panic!("{other:?}"),
    }
    let args = fleet.start(each(Command::new("echo %s").host_args(["a", "b"])));
    assert!(matches!(args, Err(Error::HostArgs { hosts: 1, args: 2, .. })));
    fleet.remove_host(hosts[2]);
    assert!(matches!(fleet.start(each("true".into())), Err(Error::Config { .. })), "a host that has left");
    assert_eq!((fleet.metrics().commands, fleet.metrics().runs), (0, 0));
}

#[test]
fn while_it_is_paused_nothing_begins_and_what_runs_goes_on() {
    let _dog = watch();
    let sim = fleet(&["i:0..5 set:auth-delay=300"]);
    let mut driven = Driven::new(engine(&sim, 10).max_connecting(5).build().unwrap());
    let started = driven.fleet.start("hostname").unwrap();
    driven.until(PATIENCE, "five on their way", |_| sim.stats().unwrap().connections == 5);
    driven.fleet.pause();
    assert!(driven.fleet.is_paused());
    driven.until(PATIENCE, "five connections", |driven| driven.connected.len() == 5);
    let second = driven.fleet.start("hostname").unwrap();
    driven.go_on_for(Duration::from_millis(300));
    assert_eq!((driven.started.len(), driven.ends.len()), (0, 0));
    assert_eq!(sim.stats().unwrap().connections, 5, "no other host has begun");
    // Queued: nothing of it waits for a time.
    assert_eq!(driven.fleet.metrics().timers, 0);
    driven.fleet.resume();
    driven.until(PATIENCE, "both runs", |driven| driven.runs.len() == 2);
    assert_eq!((driven.tally(started.run).succeeded, driven.tally(second.run).succeeded), (10, 10));
}
