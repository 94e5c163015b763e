//! `cargo bench --bench fleet`, with few hosts and without criterion.

use std::process::Command;
use std::time::Duration;

#[path = "../../../benches/fleet/mod.rs"]
#[allow(dead_code, reason = "a test needs no full sizes")]
mod suite;

use hostsim::Stats;
use suite::{Bed, CASES, HOSTS_QUICK};

use super::{settled, support, watch};
use crate::support::examples::example;

/// How many logins and commands the hosts see in one round.
fn work(name: &str) -> (usize, usize) {
    let hosts = HOSTS_QUICK;
    match name.split(',').next().unwrap() {
        "connect all at once" => (hosts, 0),
        "command on all" | "cancel on all" => (0, hosts),
        "start on all" | "cancel on all before it is sent" => (0, 0),
        "turn" if name.contains("100") => (0, 100),
        "turn" => (0, 0),
        "add a host" | "remove a host" => (1, 0),
        "drain" => (hosts, 0),
        other => panic!("a case without a test: {other}"),
    }
}

#[test]
fn each_case_of_the_benchmark_does_its_work() {
    const ROUNDS: u64 = 2;
    let _dog = watch();
    let sim = support::simulator(Command::new(example("hostsim")), false, |sim| sim);
    let mut bed = Bed::new(sim, HOSTS_QUICK);
    let done = |stats: &Stats| (stats.auth_successes as usize, stats.execs as usize);
    for case in CASES {
        let before = done(&bed.sim.stats().unwrap());
        let took = case.measure(&mut bed, ROUNDS);
        assert!(took > Duration::ZERO, "{}: {took:?}", case.name);
        let after = done(&bed.sim.stats().unwrap());
        let (logins, commands) = work(case.name);
        let rounds = ROUNDS as usize;
        // The connections of the first drain are those of the case before.
        let logins = if case.name.starts_with("drain") { logins * (rounds - 1) } else { logins * rounds };
        let found = (after.0 - before.0, after.1 - before.1);
        assert_eq!(found, (logins, commands * rounds), "{}", case.name);
    }
    settled(&bed.sim, |stats| stats.connections_now == 0);
}
