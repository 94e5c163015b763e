//! Tests with simulated fleets: many hosts, their faults, long outputs, and what a waiting fleet
//! costs.
//!
//! The fleet is a separate process (`examples/hostsim.rs`), so that descriptors, memory and CPU
//! time of the test's process are the client's only.

#![allow(clippy::unwrap_used, reason = "a fleet that cannot be set up fails the test at once")]

mod allocations;
#[path = "../../../benches/counted/mod.rs"]
pub mod counted;
mod descriptors;
mod drain;
mod embed;
mod faults;
mod fleet;
mod fleet_bench;
mod hosts;
mod idle;
mod input;
mod key_scan;
mod latency;
mod lent;
mod mistakes;
mod names;
mod output;
mod passwords;
mod pool;
pub mod proxy;
mod retries;
mod runs;
mod scale;
mod streams;
#[path = "../../../benches/support/mod.rs"]
mod support;
mod system_calls;
mod threads;
mod transfers;
mod volume;

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use hostsim::{Sim, SimBuilder, Stats};
use sshoal::config::{ClientBuilder, FleetBuilder};
use sshoal::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};
use sshoal::{Fleet, HostOutput, JoinOptions, ParallelClient};

use crate::support::alarm::{Watchdog, watchdog};
use crate::support::examples::example;
use crate::support::system::resident;

/// Limit of a healthy host, for a machine that is busy otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn command(text: &str) -> sshoal::Command {
    sshoal::Command::new(text)
}

/// Ends the process of a test that hangs.
pub fn watch() -> Watchdog {
    example("hostsim");
    watchdog(Duration::from_secs(150), thread::current().name().unwrap_or("a test"))
}

/// A fleet in which the hosts matched by a rule behave accordingly; see [`hostsim::Rule`].
pub fn fleet(rules: &[&str]) -> Sim {
    spawn(rules.iter().fold(Sim::builder(), |builder, rule| builder.rule(rule)))
}

pub fn spawn(builder: SimBuilder) -> Sim {
    builder.spawn(Command::new(example("hostsim"))).unwrap()
}

/// A client of the fleet's first `count` hosts that trusts the fleet's host key and has the fleet's
/// user key. One attempt per host, so that a test sees the first failure.
pub fn client(sim: &Sim, count: usize) -> ClientBuilder {
    trusting(sim, sim.hosts(count)).key_bytes(sim.user_key_openssh().unwrap())
}

/// Like [`client`], for these hosts and without a credential.
pub fn trusting(sim: &Sim, hosts: Vec<String>) -> ClientBuilder {
    trust(sim, ParallelClient::builder(hosts))
}

/// Like [`client`], but a fleet for the test's own loop.
pub fn engine(sim: &Sim, count: usize) -> FleetBuilder {
    trust(sim, Fleet::builder(sim.hosts(count))).key_bytes(sim.user_key_openssh().unwrap())
}

/// As [`trusting`], for either builder.
pub fn trust<B: Trust>(sim: &Sim, builder: B) -> B {
    builder.trust(sim)
}

pub trait Trust {
    fn trust(self, sim: &Sim) -> Self;
}

macro_rules! trust {
    ($($builder:ty)+) => {$(
        impl Trust for $builder {
            fn trust(self, sim: &Sim) -> Self {
                let key = HostKey::from_openssh(&sim.host_key_openssh().unwrap()).unwrap();
                self.user("demo")
                    .identity_auth(false)
                    .allow_agent(false)
                    .host_keys(HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(key.fingerprint())))
                    .known_hosts(Vec::<PathBuf>::new())
                    .max_attempts(1)
                    .timeout(PATIENCE)
            }
        }
    )+};
}

trust!(ClientBuilder FleetBuilder);

/// Runs a command to its end, which must succeed on every host.
#[track_caller]
pub fn run(client: &mut ParallelClient, text: &str) -> Vec<HostOutput> {
    let outputs = client.run_command(text).unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    outputs
}

/// The rest of a host's standard output, each line with a line feed.
#[track_caller]
pub fn stdout(output: &HostOutput) -> String {
    output.stdout().map(|line| line.unwrap() + "\n").collect()
}

/// Asserts that every host has run `hostname`: each prints its own address.
#[track_caller]
pub fn assert_hostnames<'a>(outputs: impl IntoIterator<Item = &'a HostOutput>) {
    for output in outputs {
        assert_eq!(stdout(output), format!("{}\n", output.host()));
        assert_eq!(output.exit_code(), Some(0), "{}: {:?}", output.host(), output.outcome());
    }
}

/// Reads all lines of an output, and returns their numbers, by a function for one line.
pub type ReadNumbers = fn(HostOutput, fn(&str) -> u32) -> Vec<u32>;

/// Has four threads read the lines of one output. Each line comes once, and in order in each
/// thread.
pub fn assert_threads_share_lines(read: ReadNumbers) {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let outputs = run(&mut client, "lines 100000");
    let number = |line: &str| line.strip_prefix("line ").unwrap().parse().unwrap();
    let shares =
        [(); 4].map(|()| outputs[0].clone()).map(|output| thread::spawn(move || read(output, number)));
    let shares = shares.map(|share| share.join().unwrap());
    assert!(shares.iter().all(|share| share.is_sorted()));
    let mut all = shares.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100_000));
}

/// Waits until the fleet's counters are as `wanted`: they follow the client's actions with a delay.
#[track_caller]
pub fn settled(sim: &Sim, wanted: impl Fn(&Stats) -> bool) -> Stats {
    let stats = sim.wait_stats(Duration::from_secs(10), &wanted).unwrap();
    assert!(wanted(&stats), "{stats:?}");
    assert_eq!(stats.panics, 0);
    stats
}

/// The counters of host number `index`.
#[track_caller]
pub fn stats_of(sim: &Sim, index: usize) -> Stats {
    sim.stats_of(sim.host(index)).unwrap()
}
