//! Gets from a host without SFTP, whose `scp` exists in memory.

mod files;
mod hostile;
mod pressure;

use std::collections::VecDeque;

use super::{End, Random, Run, contents, done, failed, run_job, run_jobs};
use crate::clock;
use crate::ids::CommandId;
use crate::limits;
use crate::output::Outcome;
use crate::transfer::local::FileJob;
use crate::transfer::{Get, Plan, Transfer};

/// One get, with the `scp` of its host.
struct Rig {
    transfer: Transfer,
    allowance: u64,
    /// What `scp` sends after each zero byte that it gets.
    parts: VecDeque<Vec<u8>>,
    /// How many zero bytes it has got without an answer.
    asked: usize,
    /// How many it has got in all.
    zeros: usize,
    /// How it ends, once it has sent everything and got a zero byte for that.
    exit: Option<Outcome>,
    /// Whether it ends without waiting for zero bytes that do not come.
    is_hasty: bool,
    has_exited: bool,
    /// What it has sent and what has not arrived.
    arriving: Vec<u8>,
    /// How many bytes arrive at a time at most; none says any number.
    piece: Option<usize>,
    random: Option<Random>,
    jobs: Vec<FileJob>,
    end: Option<End>,
    unwritten: usize,
}

impl Rig {
    fn new(plan: &Plan, parts: &[&[u8]]) -> Self {
        Self {
            transfer: Transfer::plain(CommandId::new(1, 0), plan, "web1"),
            allowance: u64::MAX,
            parts: parts.iter().map(|part| part.to_vec()).collect(),
            asked: 0,
            zeros: 0,
            exit: Some(Outcome::Exited(0)),
            is_hasty: false,
            has_exited: false,
            arriving: Vec::new(),
            piece: None,
            random: None,
            jobs: Vec::new(),
            end: None,
            unwritten: 0,
        }
    }

    /// A sender that ends like this after the last part.
    fn that_ends(mut self, exit: Option<Outcome>) -> Self {
        (self.exit, self.is_hasty) = (exit, true);
        self
    }

    fn in_random_order(mut self, seed: u64) -> Self {
        self.random = Some(Random::new(seed));
        self
    }

    /// Lets the get work, and `scp` read what it sends.
    fn exchange(&mut self) {
        self.transfer.go_on_with(&mut self.allowance, clock::now());
        let mut buffer = Vec::new();
        while self.transfer.has_unsent() {
            let bytes = self.transfer.next_bytes(&mut buffer, 1000);
            assert!(bytes.iter().all(|byte| *byte == 0), "{bytes:?}");
            let count = bytes.len();
            self.transfer.sent(count);
            (self.asked, self.zeros) = (self.asked + count, self.zeros + count);
        }
        while self.asked > 0
            && let Some(part) = self.parts.pop_front()
        {
            self.asked -= 1;
            self.arriving.extend(part);
        }
        self.jobs.extend(self.transfer.take_jobs());
        self.unwritten = self.unwritten.max(self.transfer.unwritten());
        self.end = self.end.take().or_else(|| self.transfer.end());
    }

    /// Does one thing: delivers bytes, runs a job, or ends `scp`. Returns `false` if there is
    /// nothing to do.
    fn step(&mut self) -> bool {
        self.exchange();
        let may_arrive = !self.arriving.is_empty() && self.transfer.room(usize::MAX).bytes > 0;
        let prefers_jobs = self.random.as_mut().is_none_or(|random| random.below(2) == 0);
        if !self.jobs.is_empty() && (prefers_jobs || !may_arrive) {
            let at = self.random.as_mut().map_or(0, |random| random.below(self.jobs.len()));
            run_job(self.jobs.remove(at), &mut self.transfer);
        } else if may_arrive {
            let all = self.piece.unwrap_or(self.arriving.len()).min(self.arriving.len());
            let count = self.random.as_mut().map_or(all, |random| 1 + random.below(all));
            let bytes: Vec<u8> = self.arriving.drain(..count).collect();
            self.transfer.receive(&bytes);
        } else if !self.has_exited && self.arriving.is_empty() {
            if !self.is_hasty && (self.asked == 0 || !self.parts.is_empty()) {
                return false;
            }
            self.has_exited = true;
            self.transfer.channel_ended(self.exit.as_ref());
            // The channel stays closed, and nothing can be sent.
            self.transfer.channel_ended(self.exit.as_ref());
            assert!(!self.transfer.has_unsent() && !self.transfer.wants_eof());
        } else {
            return false;
        }
        self.exchange();
        true
    }

    /// Runs the get to its end, and the file jobs that are left.
    #[track_caller]
    fn run(&mut self) -> End {
        while self.end.is_none() {
            assert!(self.step(), "stuck: {:?}", self.transfer);
        }
        self.finish_jobs();
        self.end.take().unwrap()
    }

    fn finish_jobs(&mut self) {
        self.exchange();
        run_jobs(&mut self.jobs, &mut self.transfer);
    }
}

/// The parts that send these bytes as a file.
fn parts(contents: &[u8]) -> [Vec<u8>; 2] {
    let header = format!("C0640 {} file\n", contents.len());
    // The zero byte that answers the header brings the contents, and what confirms them.
    [header.into_bytes(), [contents, b"\0"].concat()]
}

impl Run {
    /// Begins a get of `/file` as `copy`, whose host sends these parts.
    fn scp(&mut self, parts: &[&[u8]], set: impl FnOnce(Get) -> Get) -> Rig {
        Rig::new(&self.plan("/file", "copy", set), parts)
    }

    /// Begins a get of `/file` as `copy` that has these contents.
    fn scp_file(&mut self, contents: &[u8], set: impl FnOnce(Get) -> Get) -> Rig {
        let parts = parts(contents);
        self.scp(&[&parts[0], &parts[1]], set)
    }
}
