//! The rows of the benchmark.

mod fleet;
mod lone;
#[path = "../scale/measure.rs"]
#[allow(dead_code, reason = "other benchmarks measure more")]
pub mod measure;
mod programs;
mod report;
mod site;

use std::borrow::Borrow;
use std::process::Command;

use super::{bench as support, support as fixtures};
use measure::Measured;

/// Tells this program to run one job, and which.
pub const JOB: &str = "TRANSFER_JOB";

/// Bytes for each host of a fleet.
const FLEET_BYTES: u64 = 10_000_000;

/// Which rows are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Fleet,
    FleetOpenSsh,
    Near,
    Far,
    NearTree,
    FarTree,
}

impl Group {
    pub const ALL: [Self; 6] =
        [Self::Fleet, Self::FleetOpenSsh, Self::Near, Self::Far, Self::NearTree, Self::FarTree];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::FleetOpenSsh => "fleet-openssh",
            Self::Near => "near",
            Self::Far => "far",
            Self::NearTree => "near-tree",
            Self::FarTree => "far-tree",
        }
    }

    fn is_far(self) -> bool {
        matches!(self, Self::Far | Self::FarTree)
    }

    fn is_tree(self) -> bool {
        matches!(self, Self::NearTree | Self::FarTree)
    }
}

#[derive(Debug)]
pub struct Options {
    pub groups: Vec<Group>,
    pub hosts: usize,
    /// Of the one large file.
    pub bytes: u64,
    /// Of the directory.
    pub files: Option<usize>,
    pub rounds: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { groups: Vec::new(), hosts: 100, bytes: 256_000_000, files: None, rounds: None }
    }
}

impl Options {
    /// Measures all rows, and returns the tables. `program` is this program.
    pub fn run(&self, program: &dyn Fn() -> Command) -> String {
        let groups = if self.groups.is_empty() { &Group::ALL[..] } else { &self.groups[..] };
        eprintln!("{}", sshoal::Fleet::library());
        let (mut fleet, mut rows) = (String::new(), Vec::new());
        let fleet_of = |kind| fleet::measure(kind, self.hosts, self.rounds.unwrap_or(5), program);
        for group in groups {
            match group {
                Group::Fleet => fleet += &fleet_of(fleet::Hosts::Simulated),
                Group::FleetOpenSsh => fleet += &fleet_of(fleet::Hosts::OpenSsh),
                group => rows.extend(self.lone(*group, program)),
            }
        }
        fleet + &report::tables(&rows)
    }

    /// The copies between this machine and one host.
    fn lone(&self, group: Group, program: &dyn Fn() -> Command) -> Vec<report::Row> {
        let content = match group.is_tree() {
            // `sftp` and `scp` take a fifth of a second for each file of a distant host.
            true => site::Content::Tree(self.files.unwrap_or(if group.is_far() { 100 } else { 2_000 })),
            false => site::Content::File(self.bytes),
        };
        let rounds = self.rounds.unwrap_or(if group.is_far() { 3 } else { 7 });
        let site = site::Site::new(content, group.is_far());
        let directions = [programs::Direction::Put, programs::Direction::Get];
        directions.map(|direction| site.measure(direction, rounds, program)).into_iter().collect()
    }
}

/// Runs a job of this program, and returns its figures as text.
pub fn work(job: &str) -> Measured {
    let words: Vec<&str> = job.split('\n').collect();
    match words[..] {
        [fleet::FLEET, way, hosts, file, ref words @ ..] => {
            fleet::work(way, hosts.parse().unwrap(), file.as_ref(), words)
        }
        ["lone", direction, address, key, known_hosts, from, to] => {
            let login = lone::Login { key: key.as_ref(), known_hosts: known_hosts.as_ref() };
            lone::work(direction, &login, address, from, to)
        }
        _ => panic!("{job:?} is no job"),
    }
}

/// Runs a job in a separate process: memory left behind by another one would be counted.
fn in_process<S: Borrow<str>>(mut program: Command, words: &[S]) -> Command {
    program.env(JOB, words.join("\n")).stdin(std::process::Stdio::null());
    program
}
