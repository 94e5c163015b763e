//! Sends the requests of all hosts to one agent, and hands out the answers.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use mio::{Registry, Token};

use super::connection::{AgentConnection, Lost, connect};
use crate::agent::wire::{self, AgentError, Identity};

/// The minimum of [`AgentClient::waiting_max`]. A shorter queue is not worth cleaning up.
const WAITING_MIN: usize = 64;

/// A host's connection on which a login waits for an answer from the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    pub slot: usize,
    /// The number of the host's connection. A later connection of the host asks again.
    pub generation: u32,
}

/// The agent's keys, or why there is no list of them.
pub(crate) type Listed = Result<Arc<[Identity]>, Arc<str>>;

/// An answer for one asker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AgentAnswer {
    /// The agent's keys.
    Identities(Listed),
    /// The signature. `None` if the agent did not make one.
    Signature(Option<Arc<[u8]>>),
}

/// A request to the agent.
#[derive(Debug)]
pub(super) struct AgentRequest {
    pub message: Vec<u8>,
    purpose: Purpose,
    /// Whether a connection was already lost while this request was in flight. If that happens
    /// again, the request is not sent a third time.
    resent: bool,
}

#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// The list of keys, for all hosts that wait for it.
    Identities,
    Signature(Asker),
}

impl AgentRequest {
    fn is_wanted(&self, wanted: &impl Fn(Asker) -> bool) -> bool {
        match self.purpose {
            Purpose::Identities => true,
            Purpose::Signature(asker) => wanted(asker),
        }
    }
}

/// The client of the agent at one socket. All hosts that use this agent share it.
#[derive(Debug)]
pub(crate) struct AgentClient {
    pub path: Arc<Path>,
    registry: Arc<Registry>,
    token: fn(usize, u32) -> Token,
    index: usize,
    /// How many connections to the agent there have been so far. Readiness events of earlier
    /// connections are stale.
    pub generation: u32,
    connection: Option<AgentConnection>,
    /// The agent's keys, once it has listed them or failed to.
    identities: Option<Listed>,
    /// Whether the agent was asked for its keys and has not answered.
    is_listing: bool,
    /// The generations of the askers that wait for the list of keys, by slot.
    listeners: HashMap<usize, u32>,
    /// The requests that were not sent yet.
    pub(super) waiting: VecDeque<AgentRequest>,
    /// Once `waiting` has this length, requests whose askers no longer wait are removed.
    waiting_max: usize,
    /// The answers that were not taken yet.
    pub answers: VecDeque<(Asker, AgentAnswer)>,
}

impl AgentClient {
    /// Makes a client that connects when the first request is made. Readiness is reported under
    /// this index.
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
            is_listing: false,
            listeners: HashMap::new(),
            waiting: VecDeque::new(),
            waiting_max: WAITING_MIN,
            answers: VecDeque::new(),
        }
    }

    /// Forgets the list of keys, because the agent's keys may have changed. The next asker gets a
    /// new list.
    pub(crate) fn forget_identities(&mut self) {
        self.identities = None;
    }

    /// The agent's keys, once it has listed them or failed to.
    pub(crate) fn identities(&self) -> Option<&Listed> {
        self.identities.as_ref()
    }

    /// Asks for the list of keys before a login needs it. [`identities`](Self::identities) has the
    /// answer.
    pub(crate) fn list(&mut self, wanted: impl Fn(Asker) -> bool) {
        self.push_list();
        self.go_on(wanted);
    }

    fn push_list(&mut self) {
        if !std::mem::replace(&mut self.is_listing, true) {
            self.push(wire::request_identities(), Purpose::Identities);
        }
    }

    /// Asks for the list of keys. Hosts that wait at the same time share one request.
    pub(crate) fn ask_identities(&mut self, asker: Asker, wanted: impl Fn(Asker) -> bool) {
        if let Some(known) = &self.identities {
            self.answers.push_back((asker, AgentAnswer::Identities(known.clone())));
            return;
        }
        self.listeners.insert(asker.slot, asker.generation);
        self.push_list();
        self.go_on(wanted);
    }

    /// Sends this request for a signature. `wanted` tells whether an asker still waits for an
    /// answer.
    pub(crate) fn ask_signature(&mut self, asker: Asker, request: Vec<u8>, wanted: impl Fn(Asker) -> bool) {
        if self.waiting.len() >= self.waiting_max {
            self.waiting.retain(|request| request.is_wanted(&wanted));
            self.waiting_max = WAITING_MIN.max(2 * self.waiting.len());
        }
        self.push(request, Purpose::Signature(asker));
        self.go_on(wanted);
    }

    /// Closes the connection if nobody waits for the answer that is due on it. The next request is
    /// sent over another connection, so an agent that notices the end can stop asking its user.
    pub(crate) fn abandon_unwanted(&mut self, wanted: impl Fn(Asker) -> bool) {
        let is_wanted = |request: &AgentRequest| request.is_wanted(&wanted);
        self.connection.take_if(|AgentConnection { in_flight, .. }| {
            !in_flight.is_empty() && !in_flight.iter().any(is_wanted)
        });
    }

    fn push(&mut self, message: Vec<u8>, purpose: Purpose) {
        self.waiting.push_back(AgentRequest { message, purpose, resent: false });
    }

    /// Sends and receives as far as the socket allows. The loop ends even if every connection is
    /// lost, because a request fails once two connections were lost while it was in flight.
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

    /// Passes on an answer. After a malformed answer the connection is given up, because later
    /// answers could be assigned to the wrong requests.
    fn answer(&mut self, request: AgentRequest, message: &[u8]) -> Result<(), Lost> {
        let told = match request.purpose {
            Purpose::Identities => {
                wire::parse_identities(message).map(|identities| self.tell_identities(Ok(identities.into())))
            }
            Purpose::Signature(asker) => wire::parse_signature(message).map(|signature| {
                self.answers.push_back((asker, AgentAnswer::Signature(Some(signature.into()))));
            }),
        };
        let Err(problem) = told else { return Ok(()) };
        let what = match request.purpose {
            Purpose::Identities => "does not list its keys",
            Purpose::Signature(_) => "does not sign",
        };
        let warning = self.warn(what, &problem);
        self.fail(request.purpose, warning);
        if problem == AgentError::Refused { Ok(()) } else { Err(problem.into()) }
    }

    fn tell_identities(&mut self, identities: Listed) {
        if let Ok(identities) = &identities {
            log::debug!("the ssh-agent at {} lists {} keys", self.path.display(), identities.len());
        }
        self.identities = Some(identities.clone());
        self.is_listing = false;
        for (slot, generation) in self.listeners.drain() {
            let asker = Asker { slot, generation };
            self.answers.push_back((asker, AgentAnswer::Identities(identities.clone())));
        }
    }

    /// Answers with no keys or no signature, so that the hosts continue with other credentials.
    fn fail(&mut self, purpose: Purpose, problem: Arc<str>) {
        match purpose {
            Purpose::Identities => self.tell_identities(Err(problem)),
            Purpose::Signature(asker) => self.answers.push_back((asker, AgentAnswer::Signature(None))),
        }
    }

    /// Handles the loss of a connection. Its unanswered requests are sent once more, over the next
    /// connection.
    fn lose(&mut self, connection: AgentConnection, lost: &Lost) {
        if connection.in_flight.is_empty() && matches!(lost, Lost::Closed) {
            log::debug!("the idle connection to the ssh-agent at {} ended: {lost}", self.path.display());
            return;
        }
        let warning = self.warn("failed", lost);
        self.identities = None;
        for mut request in connection.in_flight.into_iter().rev() {
            if request.resent {
                self.fail(request.purpose, warning.clone());
            } else {
                request.resent = true;
                self.waiting.push_front(request);
            }
        }
    }

    /// Handles the failure of a connect. All askers get an empty answer. The next command tries
    /// again.
    fn give_up(&mut self, lost: &Lost) {
        let warning = self.warn("cannot be reached", lost);
        self.tell_identities(Err(warning.clone()));
        for request in std::mem::take(&mut self.waiting) {
            self.fail(request.purpose, warning.clone());
        }
    }

    /// Logs a problem, and returns its text.
    fn warn(&self, what: &str, cause: &dyn std::fmt::Display) -> Arc<str> {
        let warning = format!("the ssh-agent at {} {what}: {cause}", self.path.display());
        log::warn!("{warning}");
        warning.into()
    }
}
