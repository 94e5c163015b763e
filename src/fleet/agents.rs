//! The ssh-agents that hosts log in with: one connection to each, whatever the number of hosts.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mio::Registry;
use slab::Slab;

use super::Fleet;
use super::slot::Slot;
use crate::agent::{AgentAnswer, AgentClient, Asker};
use crate::reactor::{IndexQueue, Reactor, agent_token};
use crate::session::Input;

/// Clients, each of another socket.
#[derive(Debug)]
pub(super) struct Agents {
    registry: Arc<Registry>,
    clients: Vec<AgentClient>,
    /// Those with news.
    ready: IndexQueue,
}

impl Agents {
    pub(super) fn new(reactor: &Reactor) -> io::Result<Self> {
        let registry = Arc::new(reactor.registry().try_clone()?);
        Ok(Self { registry, clients: Vec::new(), ready: IndexQueue::default() })
    }

    /// The agents may have got or lost keys since the last command.
    pub(super) fn forget_identities(&mut self) {
        self.clients.iter_mut().for_each(AgentClient::forget_identities);
    }

    pub(super) fn note_ready(&mut self, index: usize, generation: u32) {
        if self.clients.get(index).is_some_and(|client| client.generation() == generation) {
            self.ready.push(index);
        }
    }

    pub(super) fn has_answers(&self) -> bool {
        self.clients.iter().any(AgentClient::has_answers)
    }

    fn client(&mut self, path: &Arc<Path>) -> &mut AgentClient {
        let known = self.clients.iter().position(|client| client.path() == &**path);
        let index = known.unwrap_or(self.clients.len());
        if known.is_none() {
            let registry = self.registry.clone();
            self.clients.push(AgentClient::new(path.clone(), registry, agent_token, index));
        }
        &mut self.clients[index]
    }
}

impl Fleet {
    /// A host asks its agent for the keys, or for a signature.
    pub(super) fn ask_agent(&mut self, index: usize, request: Option<Vec<u8>>) {
        let Self { agents, slots, .. } = self;
        let Some(slot) = slots.get(index) else { return };
        let Some(path) = &slot.session.target().profile.agent else { return };
        let asker = Asker { slot: index, generation: slot.link.generation() };
        let client = agents.client(path);
        match request {
            None => client.ask_identities(asker, |asker| is_wanted(slots, asker)),
            Some(request) => client.ask_signature(asker, request, |asker| is_wanted(slots, asker)),
        }
    }

    /// Lets the agents with news go on, and passes their answers on as long as there is time.
    pub(super) fn visit_agents(&mut self, now: Instant) {
        let Self { agents, slots, .. } = self;
        while let Some(index) = agents.ready.pop() {
            if let Some(client) = agents.clients.get_mut(index) {
                client.go_on(|asker| is_wanted(slots, asker));
            }
        }
        for index in 0..self.agents.clients.len() {
            while let Some((asker, answer)) = self.agents.clients[index].next_answer() {
                if is_wanted(&self.slots, asker) {
                    let input = match answer {
                        AgentAnswer::Identities(identities) => Input::Identities(identities),
                        AgentAnswer::Signature(signature) => Input::Signed(signature),
                    };
                    self.visit(asker.slot, input, now);
                }
                // After the first one, not before it: answers come forward with whatever budget.
                if self.is_over() {
                    return;
                }
            }
        }
    }
}

/// Whether the connection that asked is still there and still waits.
fn is_wanted(slots: &Slab<Slot>, asker: Asker) -> bool {
    let Some(slot) = slots.get(asker.slot) else { return false };
    slot.link.generation() == asker.generation && slot.session.awaits_agent()
}
