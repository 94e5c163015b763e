//! A transfer and its host, step by step.

use std::collections::VecDeque;

use super::host::Host;
use super::{OLD, TARGET, contents};
use crate::clock;
use crate::error::TransferProblem;
use crate::ids::CommandId;
use crate::output::{Outcome, Transferred};
use crate::reactor::workers::Job as _;
use crate::sftp::peer;
use crate::transfer::local::FileAnswer;
use crate::transfer::plan::{Plan, Shared};
use crate::transfer::put::Put;
use crate::transfer::{ErrandResult, PlanProblem, Transfer};

/// The output of a command by its text; `None` if it fails.
pub(super) type Run = Box<dyn FnMut(&str) -> Option<String>>;

/// A transfer and the host that it writes to.
pub(super) struct World {
    pub host: Host,
    pub transfer: Transfer,
    /// How many bytes of files the transfer may still request.
    pub allowance: u64,
    /// What the transfer has sent, and the host has not read.
    stream: Vec<u8>,
    /// What the host has answered, and the transfer has not read.
    pub replies: VecDeque<Vec<u8>>,
    /// The answers to file jobs that the transfer has not got.
    pub answers: VecDeque<FileAnswer>,
    /// The results of commands that the transfer has not got.
    pub results: VecDeque<ErrandResult>,
    /// The texts of the commands that the transfer has run.
    pub commands: Vec<String>,
    /// The output of a command by its text; `None` if it fails.
    pub run: Run,
    /// Changes the answer to a file job.
    pub local: Box<dyn FnMut(FileAnswer) -> FileAnswer>,
    /// Whether a target that was removed before it is replaced is no fault.
    pub may_lack_target: bool,
    /// Whether a part of the new file at the target is no fault.
    pub may_have_part: bool,
}

impl World {
    /// Sends [`contents`] to [`TARGET`], as `set` says.
    pub(super) fn new(set: impl FnOnce(Put) -> Put) -> Self {
        Self::privileged(set, false)
    }

    pub(super) fn privileged(set: impl FnOnce(Put) -> Put, is_privileged: bool) -> Self {
        Self::of(&set(Put::bytes(contents(), TARGET)), is_privileged)
    }

    pub(super) fn of(put: &Put, is_privileged: bool) -> Self {
        let plan = plan(put, is_privileged);
        Self {
            host: Host::new(),
            transfer: Transfer::new(CommandId::new(0, 0), &plan, "host"),
            allowance: u64::MAX,
            stream: Vec::new(),
            replies: VecDeque::new(),
            answers: VecDeque::new(),
            results: VecDeque::new(),
            commands: Vec::new(),
            run: Box::new(|_| None),
            local: Box::new(|answer| answer),
            may_lack_target: false,
            may_have_part: false,
        }
    }

    /// Lets the transfer work, the host read, and the jobs and commands be done.
    pub(super) fn work(&mut self) {
        self.transfer.go_on_with(&mut self.allowance, clock::now());
        let mut buffer = Vec::new();
        while self.transfer.has_unsent() {
            let bytes = self.transfer.next_bytes(&mut buffer, 10_000);
            self.stream.extend_from_slice(bytes);
            let sent = bytes.len();
            self.transfer.sent(sent);
            self.transfer.go_on_with(&mut self.allowance, clock::now());
        }
        let stream = std::mem::take(&mut self.stream);
        let mut rest = &stream[..];
        while let Some(received) = peer::receive(rest).expect("requests are right") {
            self.replies.push_back(self.host.serve(received.id, &received.request, received.data));
            rest = received.rest;
            self.check_target();
        }
        self.stream = rest.to_vec();
        for job in self.transfer.take_jobs() {
            self.answers.extend(job.run().into_iter().map(|(_, answer)| (self.local)(answer)));
        }
        for errand in self.transfer.take_errands() {
            let text = String::from_utf8(errand.text).expect("UTF-8");
            let printed = (self.run)(&text);
            self.commands.push(text);
            let outcome = Some(Outcome::Exited(u32::from(printed.is_none())));
            let stdout = printed.unwrap_or_default().into_bytes();
            self.results.push_back(ErrandResult { slot: errand.slot, outcome, stdout, stderr: Vec::new() });
        }
    }

    /// Gives the transfer all that waits for it. Returns whether there was anything.
    pub(super) fn deliver(&mut self) -> bool {
        let mut delivered = false;
        while let Some(reply) = self.replies.pop_front() {
            self.transfer.receive(&reply);
            delivered = true;
        }
        while let Some(answer) = self.answers.pop_front() {
            self.transfer.answer(answer);
            delivered = true;
        }
        while let Some(result) = self.results.pop_front() {
            self.transfer.ran(result);
            delivered = true;
        }
        delivered
    }

    /// Runs the transfer to its end.
    pub(super) fn finish(&mut self) -> Result<Transferred, TransferProblem> {
        for _ in 0..10_000 {
            self.work();
            if let Some(end) = self.transfer.end() {
                return end;
            }
            assert!(self.deliver(), "the transfer waits for nothing: {:?}", self.transfer);
        }
        panic!("the transfer does not end: {:?}", self.transfer);
    }

    /// The target is the old file or the new one, never a part.
    fn check_target(&self) {
        match self.host.bytes(TARGET) {
            Some(_) if self.may_have_part => {}
            Some(bytes) => assert!(bytes == OLD || bytes == contents(), "{} bytes", bytes.len()),
            None => assert!(self.may_lack_target, "there is no target"),
        }
    }
}

pub(super) fn plan(put: &Put, is_privileged: bool) -> Plan {
    match put.plan(&mut Shared::default(), &mut |path| Ok(path.to_vec()), is_privileged) {
        Ok(plan) => Plan::Put(plan.into()),
        Err(PlanProblem::Config(problem)) => panic!("{problem}"),
        Err(PlanProblem::Template(problem)) => panic!("{problem}"),
    }
}
