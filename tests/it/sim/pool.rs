//! Places in the pool: hosts that connect or start a command at once.

use std::time::{Duration, Instant};

use sshoal::JoinOptions;

use super::{assert_hostnames, client, fleet, run, settled, watch};

fn every_host_gets_its_turn(pool_size: usize, hosts: usize) {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, hosts).pool_size(pool_size).build().unwrap();
    for _ in 0..2 {
        assert_hostnames(&run(&mut client, "hostname"));
    }
    let stats = client.metrics();
    assert_eq!((stats.pool, stats.admission_queue, stats.connections), (pool_size, 0, hosts));
}

#[test]
fn a_pool_of_one() {
    every_host_gets_its_turn(1, 50);
}

#[test]
fn a_pool_of_ten() {
    every_host_gets_its_turn(10, 100);
}

#[test]
fn a_pool_larger_than_the_fleet() {
    every_host_gets_its_turn(1000, 100);
}

#[test]
fn no_more_hosts_than_places_connect_at_once() {
    let _dog = watch();
    let sim = fleet(&["* kex:silence"]);
    for pool_size in [1, 7] {
        let before = sim.stats().unwrap().connections;
        let mut client = client(&sim, 20).pool_size(pool_size).build().unwrap();
        let outputs = client.start_command("hostname").unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(500) {
            assert!(!client.finished(&outputs).unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
        let connections = sim.stats().unwrap().connections - before;
        assert_eq!(connections, pool_size as u64);
        assert_eq!(client.metrics().admission_queue, 20 - pool_size);
    }
}

/// A running command holds no place, otherwise one that never ends would stop the fleet.
#[test]
fn commands_run_on_more_hosts_than_there_are_places() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 20).pool_size(2).build().unwrap();
    let outputs = client.run_command("hang").unwrap();
    assert!(outputs.iter().all(|output| output.outcome().is_none()));
    settled(&sim, |stats| stats.execs == 20 && stats.channels_now == 20);
}

#[test]
fn no_more_commands_run_than_may() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 20).max_running(3).build().unwrap();
    let outputs = client.start_command("hang").unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) || client.metrics().running < 3 {
        assert!(!client.finished(&outputs).unwrap());
        std::thread::sleep(Duration::from_millis(5));
    }
    settled(&sim, |stats| stats.execs == 3 && stats.connections == 3);
    client.cancel_all().unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert_eq!(sim.stats().unwrap().execs, 3, "those that waited never began");
}

#[test]
fn connections_take_the_time_that_their_rate_gives_them() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 30).connects_per_second(20).build().unwrap();
    let begun = Instant::now();
    assert_hostnames(&run(&mut client, "hostname"));
    // The first needs no time, and each may come 10 ms early.
    assert!(begun.elapsed() >= Duration::from_millis(29 * 50 - 10), "{:?}", begun.elapsed());
    let again = Instant::now();
    assert_hostnames(&run(&mut client, "hostname"));
    assert_eq!(
        sim.stats().unwrap().connections,
        30,
        "connections that are there are used: {:?}",
        again.elapsed()
    );
}

/// Silent hosts release their places when their time is over, in turn.
#[test]
fn silent_hosts_do_not_keep_the_pool() {
    let _dog = watch();
    let sim = fleet(&["i:0..6 banner:silence"]);
    let limit = Duration::from_secs(2);
    let mut client = client(&sim, 10).pool_size(3).timeout(limit).build().unwrap();
    let begun = Instant::now();
    let outputs = client
        .run_command_with(super::command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert!(begun.elapsed() >= 2 * limit, "six silent hosts, three at a time: {:?}", begun.elapsed());
    assert_hostnames(&outputs[6..]);
    assert!(outputs[..6].iter().all(|output| output.error().is_some()));
}
