//! The ssh-agents used for logins. There is one client connection per agent, which all hosts share.

use std::io;
use std::path::Path;
use std::sync::Arc;

use mio::Registry;

use super::event_loop::{AGENT, token};
use crate::agent::{AgentAnswer, AgentClient, Asker};
use crate::reactor::{IndexQueue, Reactor};

/// The clients, one for each agent socket.
#[derive(Debug)]
pub(super) struct Agents {
    registry: Arc<Registry>,
    clients: Vec<AgentClient>,
    /// The indices of the clients whose sockets are ready.
    ready: IndexQueue,
}

impl Agents {
    pub(super) fn new(reactor: &Reactor) -> io::Result<Self> {
        let registry = Arc::new(reactor.registry().try_clone()?);
        Ok(Self { registry, clients: Vec::new(), ready: IndexQueue::default() })
    }

    /// Forgets which keys the agents hold, because agents may have gained or lost keys since the
    /// last batch of commands.
    pub(super) fn forget_identities(&mut self) {
        self.clients.iter_mut().for_each(AgentClient::forget_identities);
    }

    pub(super) fn note_ready(&mut self, index: usize, generation: u32) {
        if self.clients.get(index).is_some_and(|client| client.generation == generation) {
            self.ready.push(index);
        }
    }

    pub(super) fn has_answers(&self) -> bool {
        self.clients.iter().any(|client| !client.answers.is_empty())
    }

    /// The client of the agent at this path.
    pub(super) fn client(&mut self, path: &Arc<Path>) -> &mut AgentClient {
        let known = self.clients.iter().position(|client| client.path == *path);
        let index = known.unwrap_or(self.clients.len());
        if known.is_none() {
            let registry = self.registry.clone();
            self.clients.push(AgentClient::new(path.clone(), registry, token::<AGENT>, index));
        }
        &mut self.clients[index]
    }

    /// Advances the clients whose sockets are ready.
    pub(super) fn go_on(&mut self, still_waits: impl Fn(Asker) -> bool) {
        while let Some(index) = self.ready.pop() {
            if let Some(client) = self.clients.get_mut(index) {
                client.go_on(&still_waits);
            }
        }
    }

    pub(super) fn next_answer(&mut self) -> Option<(Asker, AgentAnswer)> {
        self.clients.iter_mut().find_map(|client| client.answers.pop_front())
    }
}
