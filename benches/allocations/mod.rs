//! The cases of the benchmark, which a test runs with small numbers and another counter.

use std::fmt;
use std::io;
use std::time::Instant;

use hostsim::Sim;
use sshoal::output::Deliver;
use sshoal::{Budget, Command, Event, Fleet, HostOutput, JoinOptions, Outcome, ParallelClient, Run};

use super::support::{raise_descriptor_limit, trusting};

/// How much is counted.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub hosts: usize,
    /// Later commands of each host.
    pub rounds: usize,
    /// Lines that each of a few hosts prints.
    pub lines: usize,
    /// Bytes that one host prints.
    pub bytes: usize,
    /// Turns without work.
    pub turns: usize,
}

impl Sizes {
    pub const FULL: Self =
        Self { hosts: 1_000, rounds: 10, lines: 10_000, bytes: 100_000_000, turns: 10_000 };
    pub const QUICK: Self = Self { hosts: 10, rounds: 2, lines: 100, bytes: 100_000, turns: 10 };
}

/// Number of hosts whose lines are read.
const READ: usize = 10;

/// What was allocated while something ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    pub allocations: u64,
    /// Total size of these allocations.
    pub bytes: u64,
    /// How many more bytes are allocated at the end than at the start.
    pub held: i64,
}

/// The counts for a number of units of one kind.
#[derive(Debug, Clone)]
pub struct Row {
    pub what: &'static str,
    pub units: usize,
    counted: Counted,
}

pub const HEADER: &str = "one                                      of allocations       bytes  bytes held";

pub struct Plan<'a> {
    pub sizes: Sizes,
    pub sim: &'a Sim,
    /// Runs something, and returns what it allocated.
    pub count: &'a dyn Fn(&mut dyn FnMut()) -> Counted,
}

impl Plan<'_> {
    pub fn run(&self) -> Vec<Row> {
        raise_descriptor_limit();
        let mut rows = self.hosts();
        rows.push(self.blocks());
        rows.extend(self.lines());
        rows
    }

    fn row(&self, what: &'static str, units: usize, mut work: impl FnMut()) -> Row {
        Row { what, units, counted: (self.count)(&mut work) }
    }

    /// From the list to the second command and beyond.
    fn hosts(&self) -> Vec<Row> {
        let Sizes { hosts, rounds, turns, .. } = self.sizes;
        // One-time allocations of the process.
        run(&mut self.fleet(1), "true");

        let (mut list, mut fleet) = (Some(self.sim.hosts(hosts)), None);
        let queued = self.row("host in the list", hosts, || {
            fleet = list.take().map(|list| trusting(Fleet::builder(list)).build().unwrap());
        });
        let fleet = &mut fleet.unwrap();
        let fresh = self.row("host that connects and runs a command", hosts, || {
            assert_eq!(run(fleet, "echo hello").ok, hosts);
        });
        let later = self.row("later command of a connected host", hosts * rounds, || {
            (0..rounds).for_each(|_| assert_eq!(run(fleet, "echo hello").ok, hosts));
        });
        let idle = self.row("turn without work", turns, || {
            for _ in 0..turns {
                fleet.turn(Instant::now(), Budget::default()).unwrap();
            }
        });
        vec![queued, fresh, later, idle]
    }

    /// Output in events, as it arrives.
    fn blocks(&self) -> Row {
        let mut fleet = self.fleet(1);
        run(&mut fleet, "true");
        let mut ended = Ended::default();
        let counted =
            (self.count)(&mut || ended = run(&mut fleet, format!("bytes {}", self.sizes.bytes).as_str()));
        assert_eq!((ended.ok, ended.bytes), (1, self.sizes.bytes));
        Row { what: "block of output", units: ended.blocks, counted }
    }

    /// Lines of output, in all ways.
    fn lines(&self) -> Vec<Row> {
        let total = READ * self.sizes.lines;
        let command = format!("lines {}", self.sizes.lines);
        let mut fleet = self.fleet(READ);
        run(&mut fleet, "true");
        let lent = self.row("line in an event", total, || {
            let command = sshoal::Run::new(command.as_str()).deliver(Deliver::Lines);
            let ended = run(&mut fleet, command);
            assert_eq!((ended.ok, ended.blocks), (READ, total));
        });

        let mut client = trusting(ParallelClient::builder(self.sim.hosts(READ))).build().unwrap();
        read(&mut client, "true", read_bytes);
        let lines = self.row("line of the line iterator", total, || {
            let count = |output: &HostOutput| output.stdout().flatten().count();
            assert_eq!(read(&mut client, command.as_str(), count), total);
        });
        let lent_lines = self.row("line that the line iterator lends", total, || {
            assert_eq!(read(&mut client, command.as_str(), count_lent), total);
        });
        let decoded = self.row("the same in another encoding", total, || {
            let command = Command::new(command.as_str()).encoding("latin1");
            assert_eq!(read(&mut client, command, count_lent), total);
        });
        let all = self.row("lent line of all outputs in one loop", total, || {
            let outputs = client.run_command(command.as_str()).unwrap();
            let (mut lines, mut found) = (client.lines(&outputs), 0);
            while let Some((_, _, line)) = lines.next_line() {
                found += usize::from(line.is_ok());
            }
            assert_eq!(found, total);
        });
        let bytes = self.row("line that is read as bytes", total, || {
            read(&mut client, command.as_str(), read_bytes);
        });
        vec![lent, lines, lent_lines, decoded, all, bytes]
    }

    fn fleet(&self, hosts: usize) -> Fleet {
        trusting(Fleet::builder(self.sim.hosts(hosts))).build().unwrap()
    }
}

/// The outcome of a command on all hosts, and its output.
#[derive(Debug, Default)]
struct Ended {
    ok: usize,
    /// Events of output, whatever their kind.
    blocks: usize,
    bytes: usize,
}

fn run(fleet: &mut Fleet, command: impl Into<Run>) -> Ended {
    fleet.start(command).unwrap();
    let mut ended = Ended::default();
    loop {
        fleet.wait(None).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        while let Some(event) = fleet.next_event() {
            match event {
                Event::Output { bytes, .. } | Event::Line { bytes, .. } => {
                    ended.blocks += 1;
                    ended.bytes += bytes.len();
                }
                Event::Finished { outcome: Outcome::Exited(0), .. } => ended.ok += 1,
                Event::RunDone { .. } => return ended,
                _ => {}
            }
        }
    }
}

/// Runs a command and reads its output. Returns the sum of the results of `read`.
fn read(
    client: &mut ParallelClient,
    command: impl Into<Command>,
    read: impl FnMut(&HostOutput) -> usize,
) -> usize {
    let outputs = client.run_command(command).unwrap();
    let found = outputs.iter().map(read).sum();
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert!(outputs.iter().all(|output| output.exit_code() == Some(0)));
    found
}

fn count_lent(output: &HostOutput) -> usize {
    let (mut lines, mut found) = (output.stdout(), 0);
    while lines.next_line().unwrap().is_some() {
        found += 1;
    }
    found
}

fn read_bytes(output: &HostOutput) -> usize {
    io::copy(&mut output.stdout_reader(), &mut io::sink()).unwrap() as usize
}

impl Row {
    /// Allocations, their bytes, and bytes that stay allocated, per unit.
    pub fn of_one(&self) -> [f64; 3] {
        let Counted { allocations, bytes, held } = self.counted;
        [allocations as f64, bytes as f64, held as f64].map(|figure| figure / self.units as f64)
    }

    pub fn to_json(&self) -> String {
        let [allocations, bytes, held] = self.of_one();
        format!(
            r#"{{"one":"{}","of":{},"allocations":{allocations:.4},"bytes":{bytes:.1},"bytes_held":{held:.1}}}"#,
            self.what, self.units
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [allocations, bytes, held] = self.of_one();
        write!(f, "{:<37} {:>7} {allocations:>11.4} {bytes:>11.1} {held:>11.1}", self.what, self.units)
    }
}
