//! Who asks the agent, what for, and what they are told.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use mio::{Registry, Token};

use super::connection::{Connection, Lost, connect};
use crate::agent::wire::{self, AgentError, Identity};

/// Requests that may wait, at least, before some are looked for that nobody wants any more.
const WAITING_MIN: usize = 64;

/// Whoever waits for an answer: one connection of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    pub slot: usize,
    /// The host's connection that the answer is for; a later one asks anew.
    pub generation: u32,
}

/// What an asker is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The agent's keys; none if it could not be asked.
    Identities(Arc<[Identity]>),
    /// The signature, unless the agent did not make it.
    Signature(Option<Arc<[u8]>>),
}

/// One request to the agent.
#[derive(Debug)]
pub(super) struct Request {
    message: Vec<u8>,
    purpose: Purpose,
    /// Whether a connection was lost over it before: then it is not sent a third time.
    resent: bool,
}

#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// For everybody who waits for the keys.
    Identities,
    Signature(Asker),
}

impl Request {
    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    fn is_wanted(&self, wanted: &impl Fn(Asker) -> bool) -> bool {
        match self.purpose {
            Purpose::Identities => true,
            Purpose::Signature(asker) => wanted(asker),
        }
    }
}

/// The agent at one socket, for all hosts that use it.
#[derive(Debug)]
pub(crate) struct AgentClient {
    path: Arc<Path>,
    registry: Arc<Registry>,
    token: fn(usize, u32) -> Token,
    index: usize,
    /// Counts the connections: readiness reported for an earlier one is stale.
    generation: u32,
    connection: Option<Connection>,
    /// What the agent holds, once it has said so.
    identities: Option<Arc<[Identity]>>,
    /// Who waits for the identities: slots, with the generations of their connections.
    listeners: HashMap<usize, u32>,
    /// Requests that were not sent yet.
    waiting: VecDeque<Request>,
    /// How long `waiting` may grow before those are removed that nobody waits for any more.
    waiting_max: usize,
    answers: VecDeque<(Asker, Answer)>,
}

impl AgentClient {
    /// Connects with the first question. Its readiness is reported under this index.
    pub(crate) fn new(
        path: Arc<Path>,
        registry: Arc<Registry>,
        token: fn(usize, u32) -> Token,
        index: usize,
    ) -> Self {
        Self {
            path,
            registry,
            token,
            index,
            generation: 0,
            connection: None,
            identities: None,
            listeners: HashMap::new(),
            waiting: VecDeque::new(),
            waiting_max: WAITING_MIN,
            answers: VecDeque::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// The agent may have got or lost keys: the next who asks is told anew.
    pub(crate) fn forget_identities(&mut self) {
        self.identities = None;
    }

    /// Asks for the keys. The agent hears only the first who asks.
    pub(crate) fn ask_identities(&mut self, asker: Asker, wanted: impl Fn(Asker) -> bool) {
        if let Some(known) = &self.identities {
            self.answers.push_back((asker, Answer::Identities(known.clone())));
            return;
        }
        let first = self.listeners.is_empty();
        self.listeners.insert(asker.slot, asker.generation);
        if first {
            self.push(wire::request_identities(), Purpose::Identities);
        }
        self.go_on(wanted);
    }

    /// Asks for a signature, with a request as an agent wants it. `wanted` says who still waits for an answer.
    pub(crate) fn ask_signature(&mut self, asker: Asker, request: Vec<u8>, wanted: impl Fn(Asker) -> bool) {
        if self.waiting.len() >= self.waiting_max {
            self.waiting.retain(|request| request.is_wanted(&wanted));
            self.waiting_max = WAITING_MIN.max(2 * self.waiting.len());
        }
        self.push(request, Purpose::Signature(asker));
        self.go_on(wanted);
    }

    fn push(&mut self, message: Vec<u8>, purpose: Purpose) {
        self.waiting.push_back(Request { message, purpose, resent: false });
    }

    /// The next answer for somebody.
    pub(crate) fn next_answer(&mut self) -> Option<(Asker, Answer)> {
        self.answers.pop_front()
    }

    #[cfg(test)]
    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Sends and receives what the socket allows. A request outlives two connections at most, so this ends.
    pub(crate) fn go_on(&mut self, wanted: impl Fn(Asker) -> bool) {
        loop {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None if !self.waiting.iter().any(|request| request.is_wanted(&wanted)) => return,
                None => match self.connect() {
                    Ok(connection) => connection,
                    Err(lost) => return self.give_up(&lost),
                },
            };
            match self.exchange(&mut connection, &wanted) {
                Ok(()) => {
                    self.connection = Some(connection);
                    return;
                }
                Err(lost) => self.lose(connection, &lost),
            }
        }
    }

    fn connect(&mut self) -> Result<Connection, Lost> {
        self.generation = self.generation.wrapping_add(1);
        let token = (self.token)(self.index, self.generation);
        Ok(Connection::new(connect(&self.path, &self.registry, token)?))
    }

    fn exchange(&mut self, connection: &mut Connection, wanted: &impl Fn(Asker) -> bool) -> Result<(), Lost> {
        loop {
            while connection.has_room()
                && let Some(request) = self.waiting.pop_front()
            {
                if request.is_wanted(wanted) {
                    connection.send(request);
                }
            }
            connection.flush()?;
            connection.receive(|request, message| self.answer(request, message))?;
            if self.waiting.is_empty() || !connection.has_room() {
                return Ok(());
            }
        }
    }

    /// Passes an answer on. One without sense ends the connection: what follows could be out of step.
    fn answer(&mut self, request: Request, message: &[u8]) -> Result<(), Lost> {
        let told = match request.purpose {
            Purpose::Identities => {
                wire::parse_identities(message).map(|identities| self.tell_identities(identities.into()))
            }
            Purpose::Signature(asker) => wire::parse_signature(message).map(|signature| {
                self.answers.push_back((asker, Answer::Signature(Some(signature.into()))));
            }),
        };
        let Err(problem) = told else { return Ok(()) };
        match request.purpose {
            Purpose::Identities => self.warn("does not list its keys", &problem),
            Purpose::Signature(_) => self.warn("does not sign", &problem),
        }
        self.fail(request.purpose);
        if problem == AgentError::Refused { Ok(()) } else { Err(problem.into()) }
    }

    fn tell_identities(&mut self, identities: Arc<[Identity]>) {
        log::debug!("ssh-agent at {}: {} keys", self.path.display(), identities.len());
        self.identities = Some(identities.clone());
        for (slot, generation) in self.listeners.drain() {
            let asker = Asker { slot, generation };
            self.answers.push_back((asker, Answer::Identities(identities.clone())));
        }
    }

    /// Without keys, or without a signature, hosts go on with what else they have.
    fn fail(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Identities => self.tell_identities([].into()),
            Purpose::Signature(asker) => self.answers.push_back((asker, Answer::Signature(None))),
        }
    }

    /// What the connection did not answer is asked once more on the next.
    fn lose(&mut self, connection: Connection, lost: &Lost) {
        if connection.in_flight.is_empty() && matches!(lost, Lost::Closed) {
            log::debug!("ssh-agent at {}: {lost}", self.path.display());
            return;
        }
        self.warn("is lost", lost);
        self.identities = None;
        for mut request in connection.in_flight.into_iter().rev() {
            if request.resent {
                self.fail(request.purpose);
            } else {
                request.resent = true;
                self.waiting.push_front(request);
            }
        }
    }

    /// No connection: nobody gets an answer, and until the next command nobody tries again.
    fn give_up(&mut self, lost: &Lost) {
        self.warn("cannot be reached", lost);
        self.tell_identities([].into());
        for request in std::mem::take(&mut self.waiting) {
            self.fail(request.purpose);
        }
    }

    fn warn(&self, what: &str, cause: &dyn std::fmt::Display) {
        log::warn!("the ssh-agent at {} {what}: {cause}", self.path.display());
    }
}
