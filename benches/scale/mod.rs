//! The workloads of the benchmark, which a test runs with small numbers.

mod libssh;
pub mod measure;
pub mod plan;
pub mod report;
mod russh;
mod sshoal;
#[path = "../../examples/thread_per_core.rs"]
#[allow(dead_code, reason = "one thread's loop is used, the rest of the example is not")]
mod thread_per_core;

use std::fmt;
use std::str::FromStr;

use super::{counted, support};
use measure::Measured;

/// The work that hosts do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Connect to each host, run one command, disconnect.
    Fresh,
    /// Run further commands on connected hosts.
    Later,
    /// Like [`Workload::Later`], but the commands' input stays open.
    Open,
    /// Run commands on one connected host, one after the other.
    Sequence,
    /// The same with a channel that is opened ahead.
    Spare,
    /// Run [`QUEUED`] commands on one connected host, `amount` at a time: four of them run, the
    /// others wait.
    Queue,
    /// Read much output of connected hosts, as bytes.
    Bulk,
    /// Read many lines of connected hosts, one by one, each as a `String`.
    Lines,
    /// Read the same lines without a `String` each.
    Lent,
    /// Read the same lines as bytes.
    Raw,
    /// Like [`Workload::Fresh`], but 10 % of the hosts are silent, 5 % refuse the connection and 5
    /// % the login.
    Faulty,
    /// Like [`Workload::Fresh`], with the hosts divided among `amount` fleets and threads.
    Threads,
}

/// Which program does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// sshoal as it comes.
    Sshoal,
    /// sshoal without its provider for OpenSSL ([`NO_PROVIDER`]).
    WithoutProvider,
    /// A small client on russh, with the algorithms of sshoal.
    Russh,
    /// The same with the algorithms of russh's default.
    RusshDefault,
    /// libssh alone.
    Libssh,
}

/// The environment variable, and its value, with which sshoal does without its provider.
pub const NO_PROVIDER: (&str, &str) = ("SSHOAL_PROVIDER", "off");

/// One measurement in a separate process: memory left behind by another one would be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    pub client: Client,
    pub workload: Workload,
    pub hosts: usize,
    /// Hosts that connect at once.
    pub pool: usize,
    /// Rounds of commands, bytes or lines per host, or threads.
    pub amount: u64,
    /// The port of the simulated hosts.
    pub port: u16,
}

impl Job {
    pub fn run(self) -> Measured {
        support::raise_descriptor_limit();
        match self.client {
            Client::Sshoal | Client::WithoutProvider => sshoal::run(self),
            Client::Russh | Client::RusshDefault => russh::run(self),
            Client::Libssh => libssh::run(self),
        }
    }

    /// Names and addresses of the hosts, in the order of the simulated ones.
    fn hosts(self) -> impl Iterator<Item = String> {
        (0..self.hosts).map(move |index| {
            let refuses = self.workload == Workload::Faulty && index % 20 == 1;
            // A privileged port without a listener.
            let port = if refuses { 9 } else { self.port };
            format!("{}:{port}", hostsim::host_address(index))
        })
    }

    /// What each host is to run.
    fn command(self) -> String {
        match self.workload {
            Workload::Bulk => format!("bytes {}", self.amount),
            Workload::Lines | Workload::Lent | Workload::Raw => format!("lines {}", self.amount),
            _ => "echo hello".to_owned(),
        }
    }

    /// The total output of all hosts, if none fails.
    fn expected(self) -> u64 {
        let hosts = self.hosts as u64;
        match self.workload {
            Workload::Bulk => hosts * self.amount,
            Workload::Lines | Workload::Lent | Workload::Raw => {
                hosts * (0..self.amount).map(|line| format!("line {line}\n").len() as u64).sum::<u64>()
            }
            Workload::Later | Workload::Open | Workload::Sequence | Workload::Spare => {
                hosts * self.amount * "hello\n".len() as u64
            }
            Workload::Queue => QUEUED * "hello\n".len() as u64,
            _ => hosts * "hello\n".len() as u64,
        }
    }
}

/// Rules of the simulator: silent hosts, and those that refuse the login.
pub const FAULTS: [&str; 2] = ["i%10==0 accept:silence", "i%20==3 auth:refuse"];

/// Commands of [`Workload::Queue`].
pub const QUEUED: u64 = 8_000;

impl Workload {
    pub const ALL: [Self; 12] = [
        Self::Fresh,
        Self::Later,
        Self::Open,
        Self::Sequence,
        Self::Spare,
        Self::Queue,
        Self::Bulk,
        Self::Lines,
        Self::Lent,
        Self::Raw,
        Self::Faulty,
        Self::Threads,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Later => "later",
            Self::Open => "open",
            Self::Sequence => "sequence",
            Self::Spare => "spare",
            Self::Queue => "queue",
            Self::Bulk => "bulk",
            Self::Lines => "lines",
            Self::Lent => "lent",
            Self::Raw => "raw",
            Self::Faulty => "faulty",
            Self::Threads => "threads",
        }
    }
}

impl Client {
    const ALL: [Self; 5] =
        [Self::Sshoal, Self::WithoutProvider, Self::Russh, Self::RusshDefault, Self::Libssh];

    fn name(self) -> &'static str {
        match self {
            Self::Sshoal => "sshoal",
            Self::WithoutProvider => "without_provider",
            Self::Russh => "russh",
            Self::RusshDefault => "russh_default",
            Self::Libssh => "libssh",
        }
    }
}

/// The format in which the process of the job receives it.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, workload, hosts, pool, amount, port } = self;
        write!(f, "{} {} {hosts} {pool} {amount} {port}", client.name(), workload.name())
    }
}

impl FromStr for Job {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split(' ').collect();
        let [client, workload, hosts, pool, amount, port] = words[..] else { return Err("not six words") };
        let number = |word: &str| word.parse().map_err(|_| "not a number");
        Ok(Self {
            client: Client::ALL.into_iter().find(|known| known.name() == client).ok_or("no such client")?,
            workload: Workload::ALL
                .into_iter()
                .find(|known| known.name() == workload)
                .ok_or("no such workload")?,
            hosts: number(hosts)?,
            pool: number(pool)?,
            amount: amount.parse().map_err(|_| "not a number")?,
            port: port.parse().map_err(|_| "not a port")?,
        })
    }
}
