//! The end of a fleet: drained, with and without a deadline, or dropped in the middle of
//! everything.

use std::time::{Duration, Instant};

use hostsim::Sim;
use sshoal::error::CancelCause;
use sshoal::fleet::{Batch, CommandId, HostState};
use sshoal::{Error, HostConfig, Outcome, Run, Stage};

use super::proxy::gate;
use super::{PATIENCE, engine, fleet, settled, watch};
use crate::support::fds::FdBaseline;
use crate::support::fleet::Driven;

/// How long stopping a command may take: its grace period, and the time to confirm its end.
const STOP: Duration = Duration::from_secs(1 + 10);

#[test]
fn what_runs_ends_by_itself_and_what_waits_is_never_started() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut driven = Driven::new(engine(&sim, 20).build().unwrap());
    let started = driven.fleet.start(Run::new("sleep 1; hostname").batches([Batch::Hosts(5)])).unwrap();
    driven.until(PATIENCE, "the first batch", |driven| driven.started.len() == 5);
    assert!(!driven.fleet.is_drained());
    driven.fleet.drain(None);
    assert!(matches!(driven.fleet.start("true"), Err(Error::Draining)));
    let last = driven.fleet.hosts()[19];
    driven.fleet.connect([last]);
    driven.until(PATIENCE, "the end", |driven| driven.drained);
    assert!(driven.fleet.is_drained());
    let (run, waiting) = started.commands.split_at(5);
    assert!(run.iter().all(|command| driven.ends[command].is_success()));
    for command in waiting {
        assert_eq!(driven.not_started(*command), Some(CancelCause::Draining));
    }
    assert_eq!(driven.tally(started.run).not_started, 15);
    let metrics = driven.fleet.metrics();
    assert_eq!((metrics.connections, metrics.unfinished, metrics.timers), (0, 0, 0));
    assert_eq!(settled(&sim, |stats| stats.connections_now == 0).connections, 5);
    // One call is enough; nothing may follow it.
    driven.fleet.drain(None);
    driven.go_on_for(Duration::from_millis(50));
    assert!(matches!(driven.fleet.start("true"), Err(Error::Draining)));
}

/// Each connection closes as soon as its own command is over.
#[test]
fn connections_close_one_by_one() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut driven = Driven::new(engine(&sim, 6).build().unwrap());
    let hosts = driven.fleet.hosts().to_vec();
    driven.fleet.connect(hosts.iter().copied());
    driven.until(PATIENCE, "six connections", |driven| driven.connected.len() == 6);
    let started = driven.fleet.start(Run::new("hang").hosts(hosts[..2].to_vec())).unwrap();
    driven.until(PATIENCE, "two commands", |driven| driven.started.len() == 2);
    driven.fleet.drain(None);
    driven.until(PATIENCE, "the idle ones", |driven| driven.fleet.metrics().connections == 2);
    driven.fleet.cancel(started.commands[0]);
    driven.until(PATIENCE, "the next one", |driven| driven.fleet.metrics().connections == 1);
    assert!(!driven.drained);
    // Changes the deadline.
    driven.fleet.drain(Some(Instant::now()));
    driven.until(PATIENCE, "the end", |driven| driven.drained);
    let causes = [0, 1].map(|number| driven.cancelled(started.commands[number]));
    assert_eq!(causes, [Some(CancelCause::Caller), Some(CancelCause::Draining)]);
}

#[test]
fn at_the_deadline_what_still_runs_is_cancelled() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut driven = Driven::new(engine(&sim, 5).build().unwrap());
    let commands = driven.fleet.start("hang").unwrap().commands;
    driven.until(PATIENCE, "five commands", |driven| driven.started.len() == 5);
    let deadline = Instant::now() + Duration::from_millis(400);
    driven.fleet.drain(Some(deadline));
    assert!(driven.fleet.next_deadline().is_some_and(|at| at <= deadline + Duration::from_millis(1)));
    driven.until(PATIENCE, "the end", |driven| driven.drained);
    let late = Instant::now().checked_duration_since(deadline);
    assert!(late.is_some_and(|late| late < STOP), "{late:?}");
    assert_eq!(driven.ends.len(), 5);
    for command in commands {
        assert_eq!(driven.cancelled(command), Some(CancelCause::Draining));
    }
}

/// The fleet waits for no host that is not logged in.
#[test]
fn hosts_that_are_being_connected_are_left_alone_at_once() {
    let _dog = watch();
    let sim = fleet(&["i%3==0 banner:silence", "i%3==1 kex:silence", "i%3==2 auth:silence"]);
    let mut driven = Driven::new(engine(&sim, 12).max_connecting(9).build().unwrap());
    let hosts = driven.fleet.hosts().to_vec();
    let started = driven.fleet.start(Run::new("hostname").hosts(hosts[..9].to_vec())).unwrap();
    // Three without a command, which wait for a place.
    driven.fleet.connect(hosts[9..].iter().copied());
    driven.until(PATIENCE, "nine on their way", |driven| {
        driven.fleet.metrics().hosts(HostState::Handshaking)
            + driven.fleet.metrics().hosts(HostState::Authenticating)
            == 9
    });
    let begun = Instant::now();
    driven.fleet.drain(None);
    driven.until(PATIENCE, "the end", |driven| driven.drained);
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    for command in &started.commands {
        assert_eq!(driven.not_started(*command), Some(CancelCause::Draining));
    }
    settled(&sim, |stats| stats.connections_now == 0);
}

/// A peer that neither reads nor sends any more takes only the limits of its stages.
#[test]
fn peers_that_confirm_nothing_do_not_hold_it_up() {
    let _dog = watch();
    let sim = fleet(&["i:0..2 stream@2:stall", "i:2..4 open:silence", "i:4..6 exec:silence"]);
    let mut driven = Driven::new(engine(&sim, 8).build().unwrap());
    driven.fleet.start("echo x; hang").unwrap();
    driven.until(PATIENCE, "four commands", |driven| driven.output.len() == 4);
    driven.until(PATIENCE, "four more that wait for an answer", |driven| {
        driven.fleet.metrics().hosts(HostState::Connected) == 8
    });
    let begun = Instant::now();
    driven.fleet.drain(Some(begun + Duration::from_millis(100)));
    driven.until(PATIENCE, "the end", |driven| driven.drained);
    let took = begun.elapsed();
    assert!(took >= STOP && took < STOP + Duration::from_secs(10), "{took:?}");
    assert_eq!(driven.ends.len(), 8);
}

#[test]
fn proxies_close_behind_their_hosts() {
    let _dog = watch();
    let sim = fleet(&[]);
    let key = sim.user_key_openssh().unwrap();
    let hosts = sim.hosts(6).split_off(1);
    let list = super::engine(&sim, 0).proxy(gate(&sim, 0));
    let mut driven = Driven::new(list.build().unwrap());
    let with_key = |host| (host, HostConfig::default().key_bytes(key.clone()));
    let hosts = driven.fleet.add_hosts(hosts.into_iter().map(with_key)).unwrap();
    driven.fleet.start(Run::new("sleep 0.5").hosts(hosts[..3].to_vec())).unwrap();
    driven.fleet.connect(hosts[3..].iter().copied());
    driven.until(PATIENCE, "five connections", |driven| {
        driven.connected.len() == 5 && driven.started.len() == 3
    });
    assert_eq!(driven.fleet.metrics().connections, 6);
    driven.fleet.drain(None);
    driven.until(PATIENCE, "the end", |driven| driven.drained);
    assert!(driven.ends.values().all(Outcome::is_success));
    settled(&sim, |stats| stats.connections_now == 0);
}

#[test]
fn a_fleet_with_nothing_to_do_is_drained_by_its_next_turn() {
    let _dog = watch();
    let sim = fleet(&[]);
    for paused in [false, true] {
        let mut driven = Driven::new(engine(&sim, 3).build().unwrap());
        if paused {
            driven.fleet.pause();
            driven.fleet.start("hostname").unwrap();
        }
        driven.fleet.drain(Some(Instant::now() + Duration::from_secs(3600)));
        driven.until(PATIENCE, "the end", |driven| driven.drained);
        assert_eq!(driven.fleet.metrics().timers, 0);
        assert_eq!(driven.ends.len(), if paused { 3 } else { 0 });
    }
    assert_eq!(sim.stats().unwrap().connections, 0);
}

/// A fleet with a host in each lasting stage.
fn everywhere(sim: &Sim) -> (Driven, Vec<CommandId>) {
    let builder = engine(sim, 12).num_retries(3).retry_delay(PATIENCE);
    let mut driven = Driven::new(builder.build().unwrap());
    let hosts = driven.fleet.hosts().to_vec();
    let run = Run::new("echo x; hang").hosts(hosts[..9].to_vec());
    let commands = driven.fleet.start(run).unwrap().commands;
    driven.fleet.connect([hosts[9]]);
    // The last two wait for their batch, and for a place.
    let waits = Run::new("hang").hosts([hosts[9], hosts[10]]).batches([Batch::Hosts(1)]);
    driven.fleet.start(waits).unwrap();
    driven.until(PATIENCE, "a host in each stage", |driven| {
        let state = |state| driven.fleet.metrics().hosts(state);
        state(HostState::Handshaking) == 3
            && state(HostState::Authenticating) == 1
            && state(HostState::Connected) == 5
            && state(HostState::BackingOff) == 1
            && driven.started.len() == 3
    });
    driven.fleet.pause();
    driven.fleet.start(Run::new("hang").hosts([hosts[11]])).unwrap();
    driven.go_on_for(Duration::from_millis(50));
    (driven, commands)
}

#[test]
fn a_fleet_can_be_dropped_at_every_stage() {
    let _dog = watch();
    let sim = fleet(&[
        "i:0..1 accept:silence",
        "i:1..2 banner:silence",
        "i:2..3 kex:silence",
        "i:3..4 auth:silence",
        "i:4..5 open:silence",
        "i:5..6 exec:silence",
        "i:6..7 banner:fin",
        "i:7..8 stream@2:stall",
    ]);
    let before = FdBaseline::now();
    for ending in 0..4 {
        let (mut driven, commands) = everywhere(&sim);
        match ending {
            0 => {}
            1 => driven.fleet.cancel_all(),
            2 => {
                driven.fleet.cancel_all();
                driven.go_on_for(Duration::from_millis(1200));
                let is_closing =
                    |id| driven.fleet.command(id).is_some_and(|command| command.stage() == Stage::Closing);
                assert!(commands.iter().any(|id| is_closing(*id)), "nothing is on its way out");
            }
            _ => {
                driven.fleet.drain(Some(Instant::now() + PATIENCE));
                driven.go_on_for(Duration::from_millis(20));
            }
        }
        let begun = Instant::now();
        drop(driven);
        assert!(begun.elapsed() < STOP, "{ending}: {:?}", begun.elapsed());
        before.assert_same();
    }
    settled(&sim, |stats| stats.connections_now == 0);
}
