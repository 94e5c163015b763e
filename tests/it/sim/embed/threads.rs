//! A fleet is a value: it moves between threads, and does not depend on other fleets.

use std::thread;

use sshoal::{Budget, Fleet};

use super::{Told, drive, engine, run, simulate, stats_of, wait, watch};

#[test]
fn a_fleet_is_send() {
    fn assert_send<T: Send + 'static>() {}
    assert_send::<Fleet>();
}

#[test]
fn a_fleet_moves_to_another_thread_in_the_middle_of_a_run() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 60).build().unwrap();
    let commands = fleet.start("lines 2000; hostname").unwrap().commands;
    let mut told = Told::default();
    // A new thread for every few events.
    while told.done.is_empty() {
        (fleet, told) = thread::spawn(move || {
            for _ in 0..5 {
                if told.done.is_empty() {
                    wait(&fleet);
                    fleet.turn(std::time::Instant::now(), Budget::default().events(50)).unwrap();
                    told.take(&mut fleet);
                }
            }
            (fleet, told)
        })
        .join()
        .unwrap();
    }
    assert_eq!(told.done[0].succeeded, 60);
    let lines: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    for (position, id) in commands.into_iter().enumerate() {
        assert_eq!(told.stdout(id), format!("{lines}{}\n", sim.host(position)).as_bytes());
    }
}

#[test]
fn two_fleets_in_one_thread_take_turns() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleets = [engine(&sim, 30).build().unwrap(), engine(&sim, 30).build().unwrap()];
    let commands = ["echo first", "echo second"];
    let started: Vec<_> = fleets.iter_mut().zip(commands).map(|(fleet, text)| fleet.start(text)).collect();
    let mut told = [Told::default(), Told::default()];
    for _ in 0..2 {
        for (fleet, told) in fleets.iter_mut().zip(&mut told) {
            let ends = told.finished.len() + 15;
            drive(fleet, Budget::default().events(1), told, |told| told.finished.len() >= ends);
        }
    }
    for (fleet, told) in fleets.iter_mut().zip(&mut told) {
        drive(fleet, Budget::default(), told, |told| !told.done.is_empty());
    }
    for ((told, started), text) in told.iter().zip(started).zip(["first\n", "second\n"]) {
        assert_eq!(told.done[0].succeeded, 30);
        started.unwrap().commands.iter().for_each(|id| assert_eq!(told.stdout(*id), text.as_bytes()));
    }
    let [first, mut second] = fleets;
    // The end of one fleet does not affect the other.
    drop(first);
    assert_eq!(run(&mut second, "hostname").done[0].succeeded, 30);
    assert_eq!(stats_of(&sim, 0).connections, 2);
}

#[test]
fn each_thread_drives_a_fleet_of_its_own() {
    let _dog = watch();
    let sim = simulate(&[]);
    thread::scope(|scope| {
        for number in 0..4 {
            let mut fleet = engine(&sim, 40).build().unwrap();
            scope.spawn(move || {
                for round in 0..3 {
                    let told = run(&mut fleet, format!("echo {number} {round}").as_str());
                    assert_eq!(told.done[0].succeeded, 40);
                    assert!(
                        told.output.values().all(|bytes| *bytes == format!("{number} {round}\n").as_bytes())
                    );
                }
            });
        }
    });
    assert_eq!(sim.stats().unwrap().connections, 160);
}
