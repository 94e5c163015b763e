//! The descriptor is readable whenever there is work, and only then.

use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;
use sshoal::{Budget, Fleet, HostConfig, Signal};

use super::{PATIENCE, Told, connected, drive, engine, is_readable, open, settle, simulate, started, watch};

/// A call has left work: the descriptor signals it, a turn does it, and the descriptor is quiet
/// again.
#[track_caller]
fn leaves_work(fleet: &mut Fleet, what: &str, call: impl FnOnce(&mut Fleet)) -> Told {
    assert!(!is_readable(fleet), "before {what}");
    call(fleet);
    assert!(is_readable(fleet), "after {what}");
    let told = settle(fleet);
    assert!(!is_readable(fleet), "done: {what}");
    told
}

#[track_caller]
fn leaves_none(fleet: &mut Fleet, what: &str, call: impl FnOnce(&mut Fleet)) {
    call(fleet);
    assert!(!is_readable(fleet), "after {what}");
}

#[test]
fn it_is_readable_after_each_call_that_leaves_work_and_quiet_once_it_is_done() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 4).build().unwrap();
    let hosts = fleet.hosts().to_vec();
    assert!(!is_readable(&fleet), "a new fleet has nothing to do");
    assert_eq!(fleet.next_deadline(), None);

    let told = leaves_work(&mut fleet, "connect", |fleet| fleet.connect(hosts.iter().copied()));
    assert_eq!(told.connected.len(), 4);
    let mut commands = Vec::new();
    let told =
        leaves_work(&mut fleet, "start", |fleet| commands = fleet.start(open("cat")).unwrap().commands);
    assert_eq!(told.started, commands);
    let [first, second, third, fourth] = commands[..] else { panic!("{commands:?}") };
    let told = leaves_work(&mut fleet, "write_stdin", |fleet| {
        assert_eq!(fleet.write_stdin(first, b"hello").unwrap(), 5);
    });
    assert_eq!(told.stdout(first), b"hello");
    let told = leaves_work(&mut fleet, "close_stdin", |fleet| fleet.close_stdin(first));
    assert!(told.end_of(first).unwrap().is_success());
    leaves_work(&mut fleet, "signal", |fleet| assert!(fleet.signal(second, Signal::Usr1)));
    let told = leaves_work(&mut fleet, "cancel", |fleet| fleet.cancel(second));
    assert!(told.end_of(second).is_some());
    let told = leaves_work(&mut fleet, "remove_host", |fleet| assert!(fleet.remove_host(hosts[2])));
    assert!(told.end_of(third).is_some());
    leaves_work(&mut fleet, "release", |fleet| fleet.release(fourth));
    leaves_work(&mut fleet, "disconnect", Fleet::disconnect);
    leaves_work(&mut fleet, "cancel_all", Fleet::cancel_all);
    leaves_none(&mut fleet, "pause", Fleet::pause);
    let mut runs = Vec::new();
    for _ in 0..2 {
        let told = leaves_work(&mut fleet, "start", |fleet| runs.push(fleet.start("hostname").unwrap().run));
        assert!(told.connected.is_empty(), "while it is paused");
    }
    let told = leaves_work(&mut fleet, "cancel_run", |fleet| fleet.cancel_run(runs[0]));
    assert_eq!((told.done.len(), told.done[0].not_started), (1, 3));
    let told = leaves_work(&mut fleet, "resume", Fleet::resume);
    assert_eq!((told.done.len(), told.done[0].succeeded), (1, 3));

    // A call that changes nothing wakes nobody.
    leaves_none(&mut fleet, "cancel", |fleet| fleet.cancel(first));
    leaves_none(&mut fleet, "write_stdin", |fleet| assert!(fleet.write_stdin(first, b"more").is_err()));
    leaves_none(&mut fleet, "signal", |fleet| assert!(!fleet.signal(first, Signal::Term)));
    leaves_none(&mut fleet, "remove_host", |fleet| assert!(!fleet.remove_host(hosts[2])));
    leaves_none(&mut fleet, "cancel_all", Fleet::cancel_all);
    leaves_none(&mut fleet, "resume", Fleet::resume);
    let nobody: [(&str, HostConfig); 2] =
        [("web1", HostConfig::default()), ("web2:0", HostConfig::default())];
    leaves_none(&mut fleet, "add_hosts", |fleet| assert!(fleet.add_hosts(nobody).is_err()));
    assert_eq!(fleet.next_deadline(), None);

    leaves_work(&mut fleet, "drain", |fleet| fleet.drain(None));
    assert!(fleet.is_drained());
}

#[test]
fn an_idle_fleet_stays_quiet() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 20).build().unwrap();
    connected(&mut fleet);
    started(&mut fleet, "hang");
    let turns = fleet.metrics().turns;
    thread::sleep(Duration::from_secs(1));
    assert!(!is_readable(&fleet));
    assert_eq!((fleet.next_deadline(), fleet.metrics().turns), (None, turns));
}

/// Everything that one turn leaves, another can do without an external event.
#[test]
fn a_turn_that_leaves_work_leaves_the_descriptor_readable() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 50).build().unwrap();
    let mut told = Told::default();
    fleet.start("lines 100").unwrap();
    let mut left = 0;
    while told.done.is_empty() {
        super::wait(&fleet);
        let turn = fleet.turn(Instant::now(), Budget::default().time(Duration::ZERO)).unwrap();
        assert!(!turn.more || is_readable(&fleet), "{turn:?}");
        left += usize::from(turn.more);
        told.take(&mut fleet);
    }
    assert!(left > 50, "{left} turns have left work");
    assert_eq!(told.done[0].succeeded, 50);
}

/// mio and tokio report changes only. More hosts have data at once than one poll returns.
#[test]
fn a_loop_that_is_told_of_changes_only_misses_none() {
    const HOSTS: usize = 1_500;
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, HOSTS).max_connecting(HOSTS).build().unwrap();
    connected(&mut fleet);
    let commands = started(&mut fleet, open("cat"));
    for id in &commands {
        fleet.write_stdin(*id, b"x").unwrap();
    }
    settle(&mut fleet);
    for id in &commands {
        fleet.close_stdin(*id);
    }

    let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
    epoll::add(&epoll, &fleet, EventData::new_u64(0), EventFlags::IN | EventFlags::ET).unwrap();
    let mut events = Vec::with_capacity(1);
    let limit = Timespec::try_from(Duration::from_secs(20)).unwrap();
    let mut told = Told::default();
    while told.done.is_empty() {
        epoll::wait(&epoll, spare_capacity(&mut events), Some(&limit)).unwrap();
        assert!(!events.is_empty(), "no change, and {} ends are missing", HOSTS - told.finished.len());
        events.clear();
        let turn = fleet.turn(Instant::now(), Budget::default().any_time().events(usize::MAX)).unwrap();
        assert!(turn.more || told.done.is_empty());
        told.take(&mut fleet);
        // Now all of them have a response waiting.
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(told.done[0].succeeded, HOSTS);
}

/// Hosts have deadlines too, which no descriptor signals.
#[test]
fn a_deadline_is_not_shown_by_the_descriptor() {
    let _dog = watch();
    let sim = simulate(&["* kex:silence"]);
    let limit = Duration::from_secs(2);
    let mut fleet = engine(&sim, 3).timeout(limit).build().unwrap();
    fleet.start("hostname").unwrap();
    let begun = Instant::now();
    let mut told = Told::default();
    settle(&mut fleet);
    let deadline = fleet.next_deadline().expect("the time limit of the handshake");
    assert!(deadline > begun && !is_readable(&fleet));
    drive(&mut fleet, Budget::default(), &mut told, |told| !told.done.is_empty());
    assert!(Instant::now() >= deadline && told.done[0].failed == 3);
    assert!(fleet.next_event().is_none());
}

/// Work that was there before the descriptor was asked for, and events.
#[test]
fn it_is_readable_when_it_is_asked_for_late() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 1).build().unwrap();
    fleet.start("echo hello").unwrap();
    assert!(is_readable(&fleet), "a run has started");

    let mut fleet = engine(&sim, 1).build().unwrap();
    fleet.start("echo hello").unwrap();
    while fleet.metrics().unfinished > 0 {
        fleet.wait(PATIENCE).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
    }
    assert!(is_readable(&fleet), "events wait");
    let mut told = Told::default();
    drive(&mut fleet, Budget::default(), &mut told, |told| !told.done.is_empty());
    settle(&mut fleet);
    assert!(!is_readable(&fleet));
}
