//! Commands on chosen hosts, and hosts that are added and removed meanwhile.

use sshoal::error::CancelCause;
use sshoal::fleet::HostId;
use sshoal::{Budget, HostConfig, HostErrorKind, Outcome, Run};

use super::{Told, drive, engine, open, run, settle, simulate, started, watch};
use crate::sim::settled;

#[test]
fn each_command_runs_on_the_hosts_that_were_chosen_for_it() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 30).build().unwrap();
    let hosts = fleet.hosts().to_vec();
    let mut told = Told::default();
    let mut expected = Vec::new();
    // Many at once: a third each, one of them twice on each of its hosts, in a different order.
    for (part, text) in ["echo a", "echo b", "echo c"].into_iter().enumerate() {
        let mut chosen: Vec<HostId> = hosts.iter().skip(part).step_by(3).copied().rev().collect();
        if part == 2 {
            chosen.extend(chosen.clone());
        }
        let started = fleet.start(Run::new(text).hosts(chosen.iter().copied())).unwrap();
        assert_eq!(started.commands.len(), chosen.len());
        let output = text.replace("echo ", "") + "\n";
        expected
            .extend(started.commands.into_iter().zip(chosen).map(|(id, host)| (id, host, output.clone())));
    }
    drive(&mut fleet, Budget::default(), &mut told, |told| told.done.len() == 3);
    assert_eq!(told.finished.len(), expected.len());
    for (id, host, output) in expected {
        assert_eq!(told.stdout(id), output.as_bytes());
        assert!(told.finished.iter().any(|(at, command, _)| (*at, *command) == (host, id)));
    }
    let stats = settled(&sim, |stats| stats.execs == 40);
    assert_eq!(stats.connections, 30);
}

#[test]
fn no_host_is_as_good_as_any_number() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 1).build().unwrap();
    let told = run(&mut fleet, Run::new("hostname").hosts([]));
    assert_eq!((told.done[0].succeeded, told.done[0].failed, told.finished.len()), (0, 0, 0));
}

#[test]
fn hosts_come_and_go_while_commands_run() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 10).build().unwrap();
    let commands = started(&mut fleet, open("echo here; cat"));
    let hosts = fleet.hosts().to_vec();

    let came: Vec<(String, HostConfig)> =
        sim.hosts(15).into_iter().skip(10).map(|host| (host, HostConfig::default())).collect();
    let came = fleet.add_hosts(came).unwrap();
    for id in &hosts[..3] {
        assert!(fleet.remove_host(*id));
    }
    assert_eq!(fleet.hosts().len(), 12);
    let here = fleet.start(Run::new("hostname").hosts(came.iter().copied())).unwrap().commands;
    for id in &commands[3..] {
        fleet.close_stdin(*id);
    }
    let mut told = Told::default();
    drive(&mut fleet, Budget::default(), &mut told, |told| told.done.len() == 2);

    for id in &commands[..3] {
        match told.end_of(*id) {
            Some(Outcome::Failed(error)) => {
                assert!(matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::HostRemoved)), "{error}")
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(commands[3..].iter().all(|id| told.end_of(*id).is_some_and(Outcome::is_success)));
    for (position, id) in here.into_iter().enumerate() {
        assert_eq!(told.stdout(id), format!("{}\n", sim.host(10 + position)).as_bytes());
    }
    settle(&mut fleet);
    assert_eq!(fleet.metrics().connections, 12);
    settled(&sim, |stats| stats.connections_now == 12);
}
