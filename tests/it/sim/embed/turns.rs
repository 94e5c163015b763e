//! A turn is bounded, whatever the peers do and however small its budget, and it loses nothing.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sshoal::fleet::{CommandState, HostState};
use sshoal::output::{Deliver, Keep};
use sshoal::{Budget, Event, Fleet, Run, StdStream};

use super::{
    PATIENCE, Told, connected, drive, engine, is_readable, open, settle, simulate, started, wait, watch,
};
use crate::support::agent::Agent;

/// Runs turns in a row, without waiting.
fn hurry(fleet: &mut Fleet, told: &mut Told, turns: usize) {
    let begun = Instant::now();
    for _ in 0..turns {
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        told.take(fleet);
    }
    assert!(begun.elapsed() < PATIENCE / 2, "a turn has blocked: {:?}", begun.elapsed());
}

#[test]
fn a_turn_does_not_wait_for_silent_peers() {
    let _dog = watch();
    let sim = simulate(&[
        "i%8==0 accept:silence",
        "i%8==1 banner:silence",
        "i%8==2 kex:silence",
        "i%8==3 auth:silence",
        "i%8==4 open:silence",
        "i%8==5 exec:silence",
        "i%8==6 end:silence",
    ]);
    let mut fleet = engine(&sim, 40).build().unwrap();
    fleet.start("hostname").unwrap();
    let mut told = Told::default();
    drive(&mut fleet, Budget::default(), &mut told, |told| told.finished.len() == 5);
    hurry(&mut fleet, &mut told, 1_000);
    assert_eq!((told.finished.len(), told.done.len()), (5, 0));
    // Nor while it cancels them.
    fleet.cancel_all();
    hurry(&mut fleet, &mut told, 1_000);
    drop(fleet);
}

#[test]
fn a_turn_does_not_wait_for_peers_that_are_stopped() {
    let _dog = watch();
    let sim = simulate(&[]);
    let pid = Pid::from_raw(sim.pid().try_into().unwrap()).unwrap();
    let mut fleet = engine(&sim, 5).build().unwrap();
    connected(&mut fleet);
    let commands = started(&mut fleet, open("cat"));

    kill_process(pid, Signal::STOP).unwrap();
    let mut told = Told::default();
    // More than the sockets and libssh accept: the rest waits here.
    let mut sent = [0; 5];
    let mut full = 0;
    for (id, sent) in commands.iter().zip(&mut sent) {
        for _ in 0..32 {
            match fleet.write_stdin(*id, &[b'x'; 1 << 20]) {
                Ok(written) => *sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    full += 1;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
            hurry(&mut fleet, &mut told, 100);
        }
    }
    fleet.start("hostname").unwrap();
    hurry(&mut fleet, &mut told, 1_000);
    assert_eq!((full, told.finished.len(), is_readable(&fleet)), (5, 0, false));
    kill_process(pid, Signal::CONT).unwrap();

    commands.iter().for_each(|id| fleet.close_stdin(*id));
    drive(&mut fleet, Budget::default(), &mut told, |told| told.done.len() == 2);
    for (id, sent) in commands.iter().zip(sent) {
        assert_eq!(told.stdout(*id).len(), sent);
    }
    assert!(told.done.iter().all(|tally| tally.succeeded == 5));
}

/// The smallest budgets, and zero budgets.
#[test]
fn any_budget_gets_everything_done_and_loses_nothing() {
    let _dog = watch();
    let sim = simulate(&[]);
    let key = sim.user_key_openssh().unwrap();
    let agent = Agent::start();
    agent.add_text(&key);
    let budget = Budget::default();
    for budget in [
        budget.events(0),
        budget.events(1),
        budget.events(7),
        budget.time(Duration::ZERO),
        budget.time(Duration::ZERO).events(0),
        budget.any_time(),
    ] {
        // Not only hosts but also an agent's answers must make progress.
        let mut fleet = super::trust(&sim, Fleet::builder(sim.hosts(20)))
            .allow_agent(true)
            .agent_socket(agent.socket())
            .build()
            .unwrap();
        let command = sshoal::Run::new("lines 50; stderr oops; exit 3").deliver(Deliver::Lines);
        let commands = fleet.start(command).unwrap().commands;
        let mut told = Told::default();
        let begun = Instant::now();
        while told.done.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "{budget:?} gets nowhere: {fleet:?}");
            wait(&fleet);
            fleet.turn(Instant::now(), budget).unwrap();
            told.take(&mut fleet);
        }
        assert_eq!(told.done[0].failed, 20);
        for id in commands {
            assert_eq!(told.end_of(id).unwrap().to_string(), "exit status 3");
            assert_eq!(told.lines[&(id, StdStream::Stdout)].len(), 50);
            assert_eq!(told.lines[&(id, StdStream::Stderr)].len(), 1);
        }
    }
}

#[test]
fn whoever_takes_no_events_gets_no_more_and_loses_none() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 30).build().unwrap();
    let commands = fleet.start("lines 1000; stderr oops").unwrap().commands;
    let budget = Budget::default().events(10);
    let begun = Instant::now();
    let mut visits = 0;
    // After a few turns the events wait, and from then on nothing moves.
    for _ in 0..200 {
        super::is_readable_within(&fleet, Duration::from_millis(2));
        visits = fleet.turn(begun, budget).unwrap().visits;
    }
    assert_eq!(visits, 0, "it works on");
    assert!(fleet.metrics().unread < 30 << 20);

    let mut told = Told::default();
    told.take(&mut fleet);
    drive(&mut fleet, budget, &mut told, |told| !told.done.is_empty());
    let expected: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    for id in commands {
        assert!(told.end_of(id).unwrap().is_success());
        assert_eq!(told.stdout(id), expected.as_bytes());
        assert_eq!(told.output[&(id, StdStream::Stderr)], b"oops\n");
    }
    assert_eq!((told.connected.len(), told.started.len(), told.finished.len()), (30, 30, 30));
}

/// However short lines are, and however much was read, the caller gets a bounded amount at a time.
#[test]
fn between_two_turns_the_caller_gets_no_more_output_than_the_budget_allows() {
    const LINES: usize = 5_000;
    let _dog = watch();
    let sim = simulate(&[]);
    let default = Budget::default();
    for (budget, lines_max, bytes_max) in
        [(default, 256, 256 << 10), (default.lines(7), 7, 256 << 10), (default.bytes(500), 256, 500)]
    {
        let mut fleet = engine(&sim, 3).build().unwrap();
        let run = Run::new(format!("lines {LINES}")).deliver(Deliver::Lines);
        let commands = fleet.start(run).unwrap().commands;
        let (mut told, mut full) = (Told::default(), 0);
        while told.done.is_empty() {
            wait(&fleet);
            fleet.turn(Instant::now(), budget).unwrap();
            let (mut lines, mut bytes, mut last) = (0, 0, 0);
            while let Some(event) = fleet.next_event() {
                if let Event::Line { bytes: line, .. } = &event {
                    (lines, bytes, last) = (lines + 1, bytes + line.len(), line.len());
                }
                told.note(event);
            }
            assert!(lines <= lines_max && bytes < bytes_max + last, "{lines} lines, {bytes} bytes");
            full += usize::from(lines == lines_max || bytes >= bytes_max);
        }
        assert!(full > 10, "{full} rounds were full");
        assert_eq!(told.done[0].succeeded, 3);
        for id in commands {
            let lines = &told.lines[&(id, StdStream::Stdout)];
            assert!(
                lines.iter().enumerate().all(|(nth, (_, line))| *line == format!("line {nth}").as_bytes())
            );
            assert_eq!(lines.len(), LINES);
        }
    }
}

/// A caller may stop taking events at any time, wait as always, and get the rest after a turn.
#[test]
fn events_that_wait_keep_the_descriptor_readable() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 2).build().unwrap();
    connected(&mut fleet);
    fleet.start(Run::new("lines 3").deliver(Deliver::Lines)).unwrap();
    let begun = Instant::now();
    while fleet.metrics().unfinished > 0 {
        assert!(begun.elapsed() < PATIENCE, "{fleet:?}");
        wait(&fleet);
        fleet.turn(Instant::now(), Budget::default()).unwrap();
    }
    let mut taken = 0;
    // Each of two commands has started, has printed three lines, and has ended. So has their run.
    while taken < 2 * 5 + 2 {
        assert!(is_readable(&fleet), "after {taken} events");
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        fleet.next_event().expect("another event");
        taken += 1;
    }
    settle(&mut fleet);
    assert!(!is_readable(&fleet) && fleet.next_event().is_none());
}

/// One host that never stops does not delay the others.
#[test]
fn a_host_that_streams_holds_nobody_up() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 40).build().unwrap();
    connected(&mut fleet);
    let hosts = fleet.hosts().to_vec();
    let endless = sshoal::Run::new(sshoal::Command::new("yes").stdout(Keep::Nothing)).hosts([hosts[0]]);
    let endless = fleet.start(endless).unwrap().commands[0];
    let others = sshoal::Run::new("hostname").hosts(hosts[1..].iter().copied());
    fleet.start(others).unwrap();
    let mut told = Told::default();
    // With time for one visit in each turn.
    let budget = Budget::default().time(Duration::ZERO);
    drive(&mut fleet, budget, &mut told, |told| !told.done.is_empty());
    assert_eq!(told.done[0].succeeded, 39);
    assert!(fleet.command(endless).unwrap().state() == CommandState::Running);
    fleet.cancel(endless);
    drive(&mut fleet, budget, &mut told, |told| told.done.len() == 2);
    settle(&mut fleet);
    assert_eq!(fleet.metrics().hosts(HostState::Connected), 40);
}

/// A fleet whose descriptor nobody has asked for is not woken for events that were taken.
#[test]
fn a_fleet_that_waits_by_itself_has_no_turns_without_work() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 1).build().unwrap();
    fleet.start("drip abc").unwrap();
    let (mut told, mut visits) = (Told::default(), Vec::new());
    while told.done.is_empty() {
        fleet.wait(PATIENCE).unwrap();
        visits.push(fleet.turn(Instant::now(), Budget::default()).unwrap().visits);
        told.take(&mut fleet);
    }
    assert!(!visits.contains(&0), "{visits:?}");
}
