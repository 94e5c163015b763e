//! Requests of all hosts to one agent, and the answers.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use mio::{Registry, Token};

use super::connection::{AgentConnection, Lost, connect};
use crate::agent::wire::{self, AgentError, Identity};

/// The number of waiting requests from which on those that nobody wants any more are removed.
const WAITING_MIN: usize = 64;

/// One connection of one host, which waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    pub slot: usize,
    /// Identifies the host's connection: a later one asks again.
    pub generation: u32,
}

/// An answer for an asker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AgentAnswer {
    /// The agent's keys. Empty if the agent could not be asked.
    Identities(Arc<[Identity]>),
    /// The signature, if the agent made one.
    Signature(Option<Arc<[u8]>>),
}

/// A request to the agent.
#[derive(Debug)]
pub(super) struct AgentRequest {
    message: Vec<u8>,
    purpose: Purpose,
    /// A connection was lost while it was in flight: it is not sent a third time.
    resent: bool,
}

#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// For all who wait for the keys.
    Identities,
    Signature(Asker),
}

impl AgentRequest {
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
    /// Number of connections so far: readiness of an earlier one is stale.
    generation: u32,
    connection: Option<AgentConnection>,
    /// The agent's keys, once it has listed them.
    identities: Option<Arc<[Identity]>>,
    /// Who waits for the identities: the generation by slot.
    listeners: HashMap<usize, u32>,
    /// Requests that were not sent yet.
    waiting: VecDeque<AgentRequest>,
    /// The length of `waiting` at which unwanted requests are removed.
    waiting_max: usize,
    answers: VecDeque<(Asker, AgentAnswer)>,
}

impl AgentClient {
    /// A client that connects with the first request. Readiness is reported under this index.
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

    /// Has the next asker get a new list: the agent's keys may have changed.
    pub(crate) fn forget_identities(&mut self) {
        self.identities = None;
    }

    /// Asks for the keys. Askers share one request.
    pub(crate) fn ask_identities(&mut self, asker: Asker, wanted: impl Fn(Asker) -> bool) {
        if let Some(known) = &self.identities {
            self.answers.push_back((asker, AgentAnswer::Identities(known.clone())));
            return;
        }
        let first = self.listeners.is_empty();
        self.listeners.insert(asker.slot, asker.generation);
        if first {
            self.push(wire::request_identities(), Purpose::Identities);
        }
        self.go_on(wanted);
    }

    /// Asks for a signature with this message. `wanted`: whether an asker still waits for an
    /// answer.
    pub(crate) fn ask_signature(&mut self, asker: Asker, request: Vec<u8>, wanted: impl Fn(Asker) -> bool) {
        if self.waiting.len() >= self.waiting_max {
            self.waiting.retain(|request| request.is_wanted(&wanted));
            self.waiting_max = WAITING_MIN.max(2 * self.waiting.len());
        }
        self.push(request, Purpose::Signature(asker));
        self.go_on(wanted);
    }

    fn push(&mut self, message: Vec<u8>, purpose: Purpose) {
        self.waiting.push_back(AgentRequest { message, purpose, resent: false });
    }

    /// The next answer.
    pub(crate) fn next_answer(&mut self) -> Option<(Asker, AgentAnswer)> {
        self.answers.pop_front()
    }

    #[cfg(test)]
    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Sends and receives as far as the socket allows. Ends, because a request is lost with its
    /// second connection.
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

    fn connect(&mut self) -> Result<AgentConnection, Lost> {
        self.generation = self.generation.wrapping_add(1);
        let token = (self.token)(self.index, self.generation);
        Ok(AgentConnection::new(connect(&self.path, &self.registry, token)?))
    }

    fn exchange(
        &mut self,
        connection: &mut AgentConnection,
        wanted: &impl Fn(Asker) -> bool,
    ) -> Result<(), Lost> {
        loop {
            while connection.can_send()
                && let Some(request) = self.waiting.pop_front()
            {
                if request.is_wanted(wanted) {
                    connection.send(request);
                }
            }
            connection.flush()?;
            connection.receive(|request, message| self.answer(request, message))?;
            if self.waiting.is_empty() || !connection.can_send() {
                return Ok(());
            }
        }
    }

    /// Passes an answer on. After a malformed one the connection is given up: later answers could
    /// be out of step.
    fn answer(&mut self, request: AgentRequest, message: &[u8]) -> Result<(), Lost> {
        let told = match request.purpose {
            Purpose::Identities => {
                wire::parse_identities(message).map(|identities| self.tell_identities(identities.into()))
            }
            Purpose::Signature(asker) => wire::parse_signature(message).map(|signature| {
                self.answers.push_back((asker, AgentAnswer::Signature(Some(signature.into()))));
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
        log::debug!("the ssh-agent at {} lists {} keys", self.path.display(), identities.len());
        self.identities = Some(identities.clone());
        for (slot, generation) in self.listeners.drain() {
            let asker = Asker { slot, generation };
            self.answers.push_back((asker, AgentAnswer::Identities(identities.clone())));
        }
    }

    /// Answers with no keys, or no signature: hosts go on with other credentials.
    fn fail(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Identities => self.tell_identities([].into()),
            Purpose::Signature(asker) => self.answers.push_back((asker, AgentAnswer::Signature(None))),
        }
    }

    /// Sends requests without an answer once more, over the next connection.
    fn lose(&mut self, connection: AgentConnection, lost: &Lost) {
        if connection.in_flight.is_empty() && matches!(lost, Lost::Closed) {
            log::debug!("the idle connection to the ssh-agent at {} ended: {lost}", self.path.display());
            return;
        }
        self.warn("was lost", lost);
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

    /// Without a connection: answers all with nothing. The next command tries again.
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
