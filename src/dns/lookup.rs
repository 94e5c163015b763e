//! One host's lookup: the names that it may stand for, one after the other, and for each its questions side by side.
//!
//! Pure: time is an argument, and what goes out goes through [`World`].

use std::net::IpAddr;
use std::time::{Duration, Instant};
use std::vec;

use hickory_resolver::proto::rr::Name;

use super::Failure;
use super::conf::Transport;
use super::question::{Outcome, Question};
use super::wire::{Answer, Extension, Kind};
use crate::limits;

/// What a lookup asks of the world around it.
pub(super) trait World {
    /// An answer that is known already.
    fn known(&mut self, name: &Name, kind: Kind) -> Option<Answer>;
    /// Sends a question, and says under which id its answer will come.
    fn send(&mut self, name: &Name, kind: Kind, server: usize, transport: Transport) -> Result<u16, Failure>;
    /// Nobody waits for the answer of this id any more.
    fn forget(&mut self, id: u16, kind: Kind);
    /// A server has let the time for an answer pass.
    fn unanswered(&mut self, server: usize);
    /// A server rejects EDNS: it is asked without from now on.
    fn without_edns(&mut self, server: usize);
}

/// How a question went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub server: usize,
    pub transport: Transport,
    pub extension: Extension,
}

/// Why what was sent will not be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The server cannot be reached.
    Unreachable(Failure),
    /// The server has ended a connection that it had served: it may be asked again at once.
    Interrupted,
}

/// What holds for all questions of a lookup.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The servers, in the order in which they are asked.
    pub servers: Vec<usize>,
    pub transport: Transport,
    /// The longest pause between two tries.
    pub pause_max: Duration,
    /// How long the lookup may take.
    pub patience: Duration,
}

#[derive(Debug)]
pub(super) struct Lookup {
    names: vec::IntoIter<Name>,
    kinds: &'static [Kind],
    plan: Plan,
    /// About the present name, one for each kind.
    questions: Vec<Question>,
    deadline: Instant,
    /// One question has decided the matter; the other has until then.
    grace_end: Option<Instant>,
    /// What the names so far have failed of: the gravest.
    failure: Option<Failure>,
}

/// The end of a lookup.
pub(super) type LookupEnd = Result<Vec<IpAddr>, Failure>;

enum Verdict {
    Open,
    Found(Vec<IpAddr>),
    Failed(Failure),
}

impl Lookup {
    pub(super) fn new(names: vec::IntoIter<Name>, kinds: &'static [Kind], plan: Plan, now: Instant) -> Self {
        let deadline = now.checked_add(plan.patience).unwrap_or(now);
        Self { names, kinds, plan, questions: Vec::new(), deadline, grace_end: None, failure: None }
    }

    /// Asks for the first name. As everything below: the end, if that was it.
    pub(super) fn begin(&mut self, now: Instant, world: &mut dyn World) -> Option<LookupEnd> {
        match self.names.next() {
            Some(name) => {
                self.pose(&name, now, world);
                self.settle(now, world)
            }
            None => Some(Err(Failure::BadName("no name that DNS can carry"))),
        }
    }

    /// What is asked for under this kind, if it is still open.
    pub(super) fn open_name(&self, kind: Kind) -> Option<&Name> {
        let question = self.questions.iter().find(|question| question.kind() == kind)?;
        question.is_open().then(|| question.name())
    }

    /// A server has answered the question of this kind.
    pub(super) fn answered(
        &mut self,
        kind: Kind,
        sent: Sent,
        answer: Answer,
        now: Instant,
        world: &mut dyn World,
    ) -> Option<LookupEnd> {
        if let Some(question) = self.open(kind) {
            question.answered(sent, answer, now, world);
        }
        self.settle(now, world)
    }

    /// What was sent will not be answered.
    pub(super) fn lost(
        &mut self,
        kind: Kind,
        sent: Sent,
        cause: Cause,
        now: Instant,
        world: &mut dyn World,
    ) -> Option<LookupEnd> {
        if let Some(question) = self.open(kind) {
            match cause {
                Cause::Unreachable(failure) => question.failed(sent.server, failure, now, world),
                Cause::Interrupted => question.ask(sent.server, sent.transport, now, world),
            }
        }
        self.settle(now, world)
    }

    /// A deadline may have passed.
    pub(super) fn expire(&mut self, now: Instant, world: &mut dyn World) -> Option<LookupEnd> {
        let is_over = self.deadline <= now;
        for question in self.questions.iter_mut().filter(|question| question.is_open()) {
            if is_over {
                question.give_up(Failure::Timeout(self.plan.patience));
            } else {
                question.expire(now, world);
            }
        }
        self.settle(now, world)
    }

    /// When [`Lookup::expire`] must be called.
    pub(super) fn deadline(&self) -> Instant {
        let tries = self.questions.iter().filter_map(Question::next_try);
        tries.chain(self.grace_end).fold(self.deadline, Instant::min)
    }

    /// Leaves nothing behind in the world.
    pub(super) fn release(&mut self, world: &mut dyn World) {
        for question in &mut self.questions {
            question.release(world);
        }
    }

    fn open(&mut self, kind: Kind) -> Option<&mut Question> {
        self.questions.iter_mut().find(|question| question.kind() == kind && question.is_open())
    }

    fn pose(&mut self, name: &Name, now: Instant, world: &mut dyn World) {
        self.release(world);
        self.grace_end = None;
        let pose = |&kind| Question::pose(name.clone(), kind, &self.plan, now, world);
        self.questions = self.kinds.iter().map(pose).collect();
    }

    /// Draws the consequences: goes on to the next name, or ends.
    fn settle(&mut self, now: Instant, world: &mut dyn World) -> Option<LookupEnd> {
        loop {
            let failure = match self.verdict(now) {
                Verdict::Open => return None,
                Verdict::Found(addresses) => {
                    self.release(world);
                    return Some(Ok(addresses));
                }
                Verdict::Failed(failure) => failure,
            };
            // Behind servers that do not answer, the other names would wait as long.
            let next = if failure.is_silence() { None } else { self.names.next() };
            let worst = match self.failure.take() {
                Some(before) if before.openness() > failure.openness() => before,
                _ => failure,
            };
            match next {
                Some(name) => {
                    self.failure = Some(worst);
                    self.pose(&name, now, world);
                }
                None => {
                    self.release(world);
                    return Some(Err(worst));
                }
            }
        }
    }

    fn verdict(&mut self, now: Instant) -> Verdict {
        let outcomes = || self.questions.iter().filter_map(Question::outcome);
        let found = || outcomes().filter_map(Outcome::addresses).flatten().copied().collect::<Vec<_>>();
        let worst =
            || outcomes().filter_map(Outcome::failure).max_by_key(|failure| failure.gravity()).cloned();
        let is_open = self.questions.iter().any(Question::is_open);
        let is_decided = outcomes().any(Outcome::is_decisive);
        if is_open {
            if !is_decided {
                return Verdict::Open;
            }
            let grace_end = *self.grace_end.get_or_insert_with(|| now + limits::DNS_GRACE);
            if now < grace_end {
                return Verdict::Open;
            }
        }
        let found = found();
        match worst() {
            Some(failure) if found.is_empty() => Verdict::Failed(failure),
            _ => Verdict::Found(found),
        }
    }
}

impl Failure {
    /// Of the two questions about one name: which one tells more.
    fn gravity(&self) -> u8 {
        match self {
            Self::NoAddress | Self::SystemUnknown(_) => 0,
            Self::Rcode(_) | Self::BadAnswer => 1,
            Self::Timeout(_) | Self::Unreachable(_) | Self::SystemResolver(_) => 2,
            Self::NoSuchName | Self::BadName(_) => 3,
        }
    }

    /// Of several names: which one leaves the most open. That a name does not exist says nothing about the host while
    /// another one could not be looked up.
    fn openness(&self) -> u8 {
        match self {
            Self::BadName(_) | Self::NoSuchName => 0,
            Self::NoAddress | Self::SystemUnknown(_) => 1,
            Self::Rcode(_) | Self::BadAnswer => 2,
            Self::Timeout(_) | Self::Unreachable(_) | Self::SystemResolver(_) => 3,
        }
    }

    fn is_silence(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Unreachable(_))
    }
}
