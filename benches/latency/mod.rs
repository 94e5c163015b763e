//! The cases of the benchmark, which a test runs with small numbers.

mod connect;
mod daemon;
mod foreign;
mod hostile;
mod idle;
mod lines;
pub mod report;
mod stream;
mod unread;

use std::process::Command;
use std::time::Duration;

use hostsim::Sim;
use sshoal::Fleet;
use sshoal::config::FleetBuilder;

use super::support;
use report::Row;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Hosts that connect and run a command.
    hosts: usize,
    /// How many of them connect at once, in the second run.
    pool: usize,
    /// How long the loop runs without a fleet, before each run with one.
    without: Duration,
    /// Bytes of one stream.
    stream: u64,
    /// Hosts that run short commands next to it.
    beside: usize,
    /// Streams, one after the other.
    streams: usize,
    /// Commands of each of the others before each stream.
    rounds_alone: usize,
    /// Idle hosts.
    idle: usize,
    /// How long they are idle.
    idle_for: Duration,
    /// Commands of single hosts after that.
    single: usize,
    /// Pairs of runs without hostile hosts and beside them.
    pairs: usize,
    /// How long hosts print without end.
    flood: Duration,
    /// How long the daemon runs.
    pub daemon: Duration,
}

impl Sizes {
    pub const FULL: Self = Self {
        hosts: 1_000,
        pool: 100,
        without: Duration::from_secs(2),
        stream: 500_000_000,
        beside: 99,
        streams: 3,
        rounds_alone: 100,
        idle: 10_000,
        idle_for: Duration::from_secs(5),
        single: 1_000,
        pairs: 30,
        flood: Duration::from_secs(5),
        daemon: Duration::from_secs(20),
    };

    pub const QUICK: Self = Self {
        hosts: 20,
        pool: 5,
        without: Duration::from_millis(50),
        stream: 5_000_000,
        beside: 9,
        streams: 2,
        rounds_alone: 5,
        idle: 50,
        idle_for: Duration::from_millis(500),
        single: 10,
        pairs: 2,
        flood: Duration::from_millis(500),
        daemon: Duration::from_secs(3),
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Connect,
    Stream,
    Idle,
    Unread,
    Lines,
    Hostile,
    Daemon,
}

impl Case {
    pub const ALL: [Self; 7] =
        [Self::Connect, Self::Stream, Self::Idle, Self::Unread, Self::Lines, Self::Hostile, Self::Daemon];

    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Stream => "stream",
            Self::Idle => "idle",
            Self::Unread => "unread",
            Self::Lines => "lines",
            Self::Hostile => "hostile",
            Self::Daemon => "daemon",
        }
    }
}

/// What to measure, and how.
pub struct Plan<'a> {
    pub sizes: Sizes,
    /// Reserve a CPU for this thread that the simulators do not use.
    pub pin: bool,
    /// A program that serves a simulated fleet.
    pub simulator: &'a dyn Fn() -> Command,
}

impl Plan<'_> {
    pub fn run(&self, case: Case) -> Vec<Row> {
        match case {
            Case::Connect => connect::run(self),
            Case::Stream => stream::run(self),
            Case::Idle => idle::run(self),
            Case::Unread => unread::run(self),
            Case::Lines => lines::run(self),
            Case::Hostile => hostile::run(self),
            Case::Daemon => daemon::run(self),
        }
    }

    /// Starts a process of simulated hosts.
    fn simulator(&self) -> Sim {
        support::simulator((self.simulator)(), self.pin, |sim| sim)
    }

    /// Runs `measure` on a CPU that the simulators do not use.
    fn pinned<T>(&self, measure: impl FnOnce() -> T) -> T {
        support::pinned(self.pin, measure)
    }
}

/// A fleet of simulated hosts.
fn fleet(hosts: Vec<String>) -> FleetBuilder {
    support::trusting(Fleet::builder(hosts))
}
