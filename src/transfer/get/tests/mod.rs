//! Gets from a host that exists in memory, to real files.

mod allowance;
mod files;
mod host;
mod links;
mod random;
mod scp;
mod trees;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use self::host::{Host, Node};
use super::Get;
use crate::clock;
use crate::error::TransferProblem;
use crate::ids::CommandId;
use crate::output::Transferred;
use crate::reactor::workers::Job as _;
use crate::sftp::peer;
use crate::transfer::local::FileJob;
use crate::transfer::plan::{Shared, Work};
use crate::transfer::{Plan, Transfer};

type End = Result<Transferred, TransferProblem>;

/// Picks what comes next. A fixed seed gives a fixed order.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// One get, with its host and its directory.
struct Rig {
    transfer: Transfer,
    /// How many bytes of files the get may still request.
    allowance: u64,
    host: Host,
    /// What the host has sent and what has not arrived.
    replies: Vec<Vec<u8>>,
    jobs: Vec<FileJob>,
    /// Whether answers and jobs are taken in another order than they were made.
    random: Option<Random>,
    end: Option<End>,
    /// The most bytes that have waited to be written.
    unwritten: usize,
}

/// A directory for copies, and the state that the hosts of a run share.
struct Run {
    folder: TempDir,
    shared: Shared,
}

impl Run {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), shared: Shared::default() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The next run, with the same directory.
    fn again(&mut self) {
        self.shared = Shared::default();
    }

    /// Begins a get of a remote path to a path in the directory.
    fn get(&mut self, remote: &str, local: &str, host: Host, set: impl FnOnce(Get) -> Get) -> Rig {
        self.get_as("web1", remote, local, host, set)
    }

    fn get_as(
        &mut self,
        name: &str,
        remote: &str,
        local: &str,
        host: Host,
        set: impl FnOnce(Get) -> Get,
    ) -> Rig {
        Rig::new(&self.plan(remote, local, set), name, host)
    }

    fn plan(&mut self, remote: &str, local: &str, set: impl FnOnce(Get) -> Get) -> Plan {
        let get = set(Get::new(remote, self.folder.path().join(local)));
        let planned = Work::Get(get).plan(&mut self.shared, &mut |path| Ok(path.to_vec()), false);
        let Ok(plan) = planned else { panic!("not planned") };
        plan
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path().join(path)).unwrap()
    }

    /// All paths below the directory, directories with a slash.
    fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.path(), self.path(), &mut found);
        found.sort();
        found
    }
}

fn walk(root: &Path, path: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(path).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.push(format!("{name}/"));
            walk(root, &path, found);
        } else {
            found.push(name);
        }
    }
}

impl Rig {
    fn new(plan: &Plan, name: &str, host: Host) -> Self {
        Self {
            transfer: Transfer::new(CommandId::new(1, 0), plan, name),
            allowance: u64::MAX,
            host,
            replies: Vec::new(),
            jobs: Vec::new(),
            random: None,
            end: None,
            unwritten: 0,
        }
    }

    fn in_random_order(mut self, seed: u64) -> Self {
        self.random = Some(Random::new(seed));
        self
    }

    /// Lets the get work, and passes on what it sends. Returns whether there was anything.
    fn exchange(&mut self) -> bool {
        self.transfer.go_on_with(&mut self.allowance, clock::now());
        let mut buffer = Vec::new();
        let mut stream = Vec::new();
        while self.transfer.has_unsent() {
            let bytes = self.transfer.next_bytes(&mut buffer, 1000).to_vec();
            self.transfer.sent(bytes.len());
            stream.extend(bytes);
        }
        let mut rest = &stream[..];
        while let Some(received) = peer::receive(rest).unwrap() {
            rest = received.rest;
            self.replies.extend(self.host.serve(received.id, &received.request));
        }
        assert!(rest.is_empty(), "half a request");
        self.jobs.extend(self.transfer.take_jobs());
        self.unwritten = self.unwritten.max(self.transfer.unwritten());
        self.end = self.end.take().or_else(|| self.transfer.end());
        !stream.is_empty()
    }

    /// Does one thing: delivers an answer of the host, or runs a file job. Returns `false` if there
    /// is nothing to do.
    fn step(&mut self) -> bool {
        self.exchange();
        let (replies, jobs) = (self.replies.len(), self.jobs.len());
        if replies + jobs == 0 {
            return false;
        }
        let at = self.random.as_mut().map_or(0, |random| random.below(replies + jobs));
        let at = if jobs > 0 && self.random.is_none() { replies } else { at };
        if at < replies {
            let reply = self.replies.remove(at);
            let cut = self.random.as_mut().map_or(reply.len(), |random| random.below(reply.len()));
            self.transfer.receive(&reply[..cut]);
            self.transfer.receive(&reply[cut..]);
            self.host.arrived(&reply);
        } else {
            run_job(self.jobs.remove(at - replies), &mut self.transfer);
        }
        self.exchange();
        true
    }

    /// Runs the get to its end.
    #[track_caller]
    fn run(&mut self) -> End {
        while self.end.is_none() {
            assert!(self.step(), "stuck: {:?}\nasked: {:?}", self.transfer, self.host.log.last());
        }
        self.finish_jobs();
        self.end.take().unwrap()
    }

    /// Runs the file jobs that are left.
    fn finish_jobs(&mut self) {
        self.exchange();
        run_jobs(&mut self.jobs, &mut self.transfer);
    }
}

fn run_job(job: FileJob, transfer: &mut Transfer) {
    for (_, answer) in job.run() {
        transfer.answer(answer);
    }
}

/// Runs these file jobs, and those that follow from them.
fn run_jobs(jobs: &mut Vec<FileJob>, transfer: &mut Transfer) {
    while !jobs.is_empty() {
        run_job(jobs.remove(0), transfer);
        jobs.extend(transfer.take_jobs());
    }
}

/// Contents that differ at each place.
fn contents(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

#[track_caller]
fn done(end: End) -> Transferred {
    match end {
        Ok(done) => done,
        Err(problem) => panic!("{problem}"),
    }
}

#[track_caller]
fn failed(end: End) -> String {
    match end {
        Ok(done) => panic!("{done}"),
        Err(problem) => problem.to_string(),
    }
}
