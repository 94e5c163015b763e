//! Simulates a whole fleet from a seed: random peers, faults and delays, random calls at any time,
//! and turns with any budget.
//!
//! `FLEET_SEED=n` runs that seed alone and traces it; `FLEET_SEEDS=n` sets how many seeds are run.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::world::{Sabotage, World};
use crate::session::tests::random::{Seed, number};

const SEEDS: u64 = if cfg!(debug_assertions) { 30 } else { 10_000 };

/// How many rounds the caller makes calls in.
const ROUNDS: u64 = 60;

/// What happened in a simulation, to show that it exercises the fleet.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// How commands have ended.
    ends: BTreeMap<String, usize>,
    events: usize,
    turns: u64,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.turns += other.turns;
        for (kind, count) in other.ends {
            *self.ends.entry(kind).or_default() += count;
        }
    }
}

fn simulate(seed: u64, traced: bool, sabotage: Sabotage) -> Seen {
    let mut world = World::new(seed, traced);
    world.sabotage = sabotage;
    let hosts = world.fleet.hosts().to_vec();
    world.start_on(hosts);
    for _ in 0..world.random.below(ROUNDS) {
        world.round();
    }
    world.finish();
    let ends = std::mem::take(&mut world.told.ends);
    Seen { ends, events: world.told.events, turns: world.fleet.metrics().turns }
}

/// Simulates the seeds below this one on all processors, as no simulation knows of another.
fn simulate_all(seeds: u64) -> Seen {
    let next = AtomicU64::new(0);
    let simulate_some = || {
        let mut all = Seen::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return all;
            }
            let _seed = Seed { variable: "FLEET_SEED", seed };
            all.add(simulate(seed, false, Sabotage::Nothing));
        }
    };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().unwrap().get();
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(simulate_some)).collect();
        let mut all = Seen::default();
        for thread in threads {
            all.add(thread.join().unwrap_or_else(|panic| {
                // The other threads stop after the seed that they are at.
                next.store(seeds, Ordering::Relaxed);
                resume_unwind(panic)
            }));
        }
        all
    })
}

#[test]
fn every_command_of_a_fleet_ends_exactly_once() {
    if let Some(seed) = number("FLEET_SEED") {
        let _seed = Seed { variable: "FLEET_SEED", seed };
        eprintln!("{:?}", simulate(seed, true, Sabotage::Nothing));
        return;
    }
    let all = simulate_all(number("FLEET_SEEDS").unwrap_or(SEEDS));
    eprintln!("{all:?}");
    for kind in [
        "Exited",
        "Signaled",
        "NoStatus",
        "Cancelled",
        "ConnectionLost",
        "Connect",
        "Channel",
        "Proxy",
        "NotStarted",
    ] {
        assert!(all.ends.contains_key(kind), "no command has ended with {kind}: {:?}", all.ends);
    }
    for limit in ["Connect", "Handshake", "Auth", "Exec", "Command"] {
        assert!(all.ends.contains_key(&format!("timeout {limit}")), "no {limit} timeout: {:?}", all.ends);
    }
}

#[test]
fn a_seed_determines_a_whole_simulation() {
    for seed in 0..5 {
        let [one, two] = [0; 2].map(|_| simulate(seed, false, Sabotage::Nothing));
        assert_eq!(one, two, "seed {seed}");
    }
}

#[test]
fn sabotage_is_detected() {
    for sabotage in
        [Sabotage::LosesAnEdge, Sabotage::RepeatsOutput, Sabotage::LosesAnEnd, Sabotage::RepeatsAnEnd]
    {
        for seed in 0..3 {
            let found = catch_unwind(AssertUnwindSafe(|| simulate(seed, false, sabotage))).is_err();
            assert!(found, "{sabotage:?} is not detected with seed {seed}");
        }
    }
}
