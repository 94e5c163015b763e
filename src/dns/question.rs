//! One question, about one name and one kind of address: which server is asked when, and what came of it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::Name;

use super::Failure;
use super::conf::Transport;
use super::lookup::{Plan, Sent, World};
use super::wire::{Answer, Extension, Kind};
use crate::limits;

#[derive(Debug)]
pub(super) struct Question {
    /// The name given, or the end of its aliases so far.
    name: Name,
    kind: Kind,
    aliases: usize,
    /// Those that have not failed, in order.
    servers: Vec<usize>,
    /// The next of them.
    turn: usize,
    /// How often all of them were asked.
    rounds: u32,
    /// Whoever was asked last.
    asked: Option<usize>,
    next_try: Option<Instant>,
    transport: Transport,
    pause_max: Duration,
    /// What was sent: late answers count.
    ids: Vec<u16>,
    /// Why the last server that failed did so.
    failure: Failure,
    outcome: Option<Outcome>,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Addresses(Vec<IpAddr>),
    Failed(Failure),
}

impl Outcome {
    pub(super) fn addresses(&self) -> Option<&Vec<IpAddr>> {
        match self {
            Self::Addresses(addresses) => Some(addresses),
            Self::Failed(_) => None,
        }
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Addresses(_) => None,
            Self::Failed(failure) => Some(failure),
        }
    }

    /// Whether the question about the other kind can hardly change the result.
    pub(super) fn is_decisive(&self) -> bool {
        matches!(self, Self::Addresses(_) | Self::Failed(Failure::NoSuchName))
    }
}

impl Question {
    /// Asks it, unless the answer is known.
    pub(super) fn pose(name: Name, kind: Kind, plan: &Plan, now: Instant, world: &mut dyn World) -> Self {
        let mut question = Self {
            name,
            kind,
            aliases: 0,
            servers: plan.servers.clone(),
            turn: 0,
            rounds: 0,
            asked: None,
            next_try: None,
            transport: plan.transport,
            pause_max: plan.pause_max,
            ids: Vec::new(),
            failure: Failure::Unreachable("no name server is configured".into()),
            outcome: None,
        };
        question.look_up(now, world);
        question
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// When the next server is asked.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.next_try.filter(|_| self.is_open())
    }

    pub(super) fn give_up(&mut self, failure: Failure) {
        self.outcome = Some(Outcome::Failed(failure));
    }

    /// No answer to what was sent will be taken.
    pub(super) fn release(&mut self, world: &mut dyn World) {
        for id in self.ids.drain(..) {
            world.forget(id, self.kind);
        }
    }

    pub(super) fn expire(&mut self, now: Instant, world: &mut dyn World) {
        if self.next_try.is_none_or(|at| at > now) {
            return;
        }
        if let Some(server) = self.asked {
            world.unanswered(server);
        }
        self.ask_next(now, world);
    }

    pub(super) fn answered(&mut self, sent: Sent, answer: Answer, now: Instant, world: &mut dyn World) {
        match (answer, sent.transport, sent.extension) {
            (Answer::FormatError, _, Extension::Edns) => {
                world.without_edns(sent.server);
                self.ask(sent.server, sent.transport, now, world);
            }
            (Answer::FormatError, _, Extension::None) => {
                self.failed(sent.server, Failure::Rcode(1), now, world);
            }
            (Answer::Failure(code), ..) => {
                self.failed(sent.server, Failure::Rcode(code), now, world);
            }
            (Answer::Truncated, Transport::Udp, _) => self.ask(sent.server, Transport::Tcp, now, world),
            (Answer::Truncated, Transport::Tcp, _) => {
                self.failed(sent.server, Failure::BadAnswer, now, world);
            }
            (answer, ..) => {
                if self.take(answer) {
                    self.release(world);
                    self.look_up(now, world);
                }
            }
        }
    }

    /// A server is of no use for this question. If it is the one that was waited for, the next is asked at once.
    pub(super) fn failed(&mut self, server: usize, failure: Failure, now: Instant, world: &mut dyn World) {
        self.drop_server(server, failure);
        if self.asked == Some(server) || self.servers.is_empty() {
            self.ask_next(now, world);
        }
    }

    /// Finds the answer among those that are known, or asks for it.
    fn look_up(&mut self, now: Instant, world: &mut dyn World) {
        while let Some(answer) = world.known(&self.name, self.kind) {
            if !self.take(answer) {
                return;
            }
        }
        if self.is_open() {
            self.ask_next(now, world);
        }
    }

    /// Takes an answer that ends the question, or gives it another name: then `true`.
    fn take(&mut self, answer: Answer) -> bool {
        self.outcome = Some(match answer {
            Answer::Addresses { addresses, .. } => Outcome::Addresses(addresses),
            Answer::Alias { target, .. } if self.aliases < limits::DNS_ALIASES => {
                self.aliases += 1;
                self.name = target;
                return true;
            }
            Answer::NoSuchName { .. } => Outcome::Failed(Failure::NoSuchName),
            _ => Outcome::Failed(Failure::NoAddress),
        });
        false
    }

    /// Asks the next server; the one after it, if that one cannot be reached.
    fn ask_next(&mut self, now: Instant, world: &mut dyn World) {
        let Some(&server) = self.servers.get(self.turn) else {
            self.give_up(self.failure.clone());
            return;
        };
        self.turn += 1;
        if self.turn == self.servers.len() {
            self.turn = 0;
            self.rounds += 1;
        }
        self.ask(server, self.transport, now, world);
    }

    /// Asks this server, out of turn.
    pub(super) fn ask(&mut self, server: usize, transport: Transport, now: Instant, world: &mut dyn World) {
        self.asked = Some(server);
        match world.send(&self.name, self.kind, server, transport) {
            Ok(id) => {
                self.ids.push(id);
                self.next_try = now.checked_add(self.pause(transport));
            }
            Err(failure) => self.failed(server, failure, now, world),
        }
    }

    /// 400 ms for each server of the first round, twice that for each of the second. TCP sends again by itself.
    fn pause(&self, transport: Transport) -> Duration {
        match transport {
            Transport::Tcp => self.pause_max,
            Transport::Udp => {
                let rounds_before = if self.turn == 0 { self.rounds.saturating_sub(1) } else { self.rounds };
                let doubled = 1u32.checked_shl(rounds_before).unwrap_or(u32::MAX);
                limits::DNS_FIRST_PAUSE.saturating_mul(doubled).min(self.pause_max)
            }
        }
    }

    fn drop_server(&mut self, server: usize, failure: Failure) {
        self.failure = failure;
        let Some(position) = self.servers.iter().position(|&other| other == server) else { return };
        self.servers.remove(position);
        if position < self.turn {
            self.turn -= 1;
        }
        if self.turn == self.servers.len() {
            self.turn = 0;
        }
    }
}
