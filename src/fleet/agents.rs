//! The ssh-agents used for logins. All hosts share one client connection per agent, and a second
//! one for signatures that need a touch of a security key: an agent answers the requests of a
//! connection in their order, so other signatures would wait for the touch.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mio::Registry;

use super::event_loop::{AGENT, token};
use crate::agent::{AgentAnswer, AgentClient, Asker, Listed, limits};
use crate::reactor::{IndexQueue, Reactor};

/// The clients of the agents.
#[derive(Debug)]
pub(super) struct Agents {
    registry: Arc<Registry>,
    clients: Vec<Client>,
    /// The indices of the clients whose sockets are ready.
    ready: IndexQueue,
    /// The hosts that are not dialled before their agents have listed their keys.
    unlisted: IndexQueue,
}

#[derive(Debug)]
struct Client {
    agent: AgentClient,
    lane: Lane,
    listing: Listing,
}

/// What is sent over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Everything but signatures by security keys.
    Common,
    /// Signatures by security keys.
    Touch,
}

/// How far an agent is with a list of its keys that hosts wait for before they are dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// No host waits.
    Idle,
    /// Hosts wait until then.
    Until(Instant),
    /// Hosts have waited for too long, and wait no more.
    Overdue,
}

/// What is known about the keys of an agent before a host is dialled.
#[derive(Debug)]
pub(super) enum Keys<'a> {
    Listed(&'a Listed),
    /// The agent was asked. The host is tried again once it has answered.
    Awaited,
    /// The agent does not answer.
    Unknown,
}

impl Client {
    fn has_news(&self) -> bool {
        self.listing != Listing::Idle && self.agent.identities().is_some()
    }
}

impl Agents {
    pub(super) fn new(reactor: &Reactor) -> io::Result<Self> {
        let registry = Arc::new(reactor.registry().try_clone()?);
        let (ready, unlisted) = (IndexQueue::default(), IndexQueue::default());
        Ok(Self { registry, clients: Vec::new(), ready, unlisted })
    }

    /// Forgets which keys the agents hold, because agents may have gained or lost keys since the
    /// last batch of commands. An agent that asks for a touch is left alone: it may answer nothing
    /// else until then.
    pub(super) fn forget_identities(&mut self, is_touching: impl Fn(&Path) -> bool) {
        for Client { agent, listing, .. } in &mut self.clients {
            if !is_touching(&agent.path) {
                agent.forget_identities();
                *listing = if *listing == Listing::Overdue { Listing::Idle } else { *listing };
            }
        }
    }

    pub(super) fn note_ready(&mut self, index: usize, generation: u32) {
        if self.clients.get(index).is_some_and(|client| client.agent.generation == generation) {
            self.ready.push(index);
        }
    }

    /// Whether there are answers that were not taken, or hosts that may be tried again.
    pub(super) fn has_answers(&self) -> bool {
        self.clients.iter().any(|client| !client.agent.answers.is_empty() || client.has_news())
    }

    fn client(&mut self, path: &Arc<Path>, lane: Lane) -> &mut Client {
        let known = self.clients.iter().position(|client| client.agent.path == *path && client.lane == lane);
        let index = known.unwrap_or(self.clients.len());
        if known.is_none() {
            let agent = AgentClient::new(path.clone(), self.registry.clone(), token::<AGENT>, index);
            self.clients.push(Client { agent, lane, listing: Listing::Idle });
        }
        &mut self.clients[index]
    }

    /// The client of the agent at this path, for requests of this kind.
    pub(super) fn agent(&mut self, path: &Arc<Path>, lane: Lane) -> &mut AgentClient {
        &mut self.client(path, lane).agent
    }

    /// The keys of an agent that are known before a host is dialled. Asks the agent, if it was not
    /// asked yet.
    pub(super) fn keys_for(
        &mut self,
        host: usize,
        path: &Arc<Path>,
        now: Instant,
        still_waits: impl Fn(Asker) -> bool,
    ) -> Keys<'_> {
        let Client { agent, listing, .. } = self.client(path, Lane::Common);
        if agent.identities().is_none() && *listing == Listing::Idle {
            agent.list(still_waits);
            *listing = now.checked_add(limits::AGENT_LIST_WAIT).map_or(Listing::Overdue, Listing::Until);
        }
        let awaits = agent.identities().is_none() && matches!(listing, Listing::Until(_));
        if awaits {
            self.unlisted.push(host);
            return Keys::Awaited;
        }
        self.client(path, Lane::Common).agent.identities().map_or(Keys::Unknown, Keys::Listed)
    }

    /// Advances the clients whose sockets are ready.
    pub(super) fn go_on(&mut self, still_waits: impl Fn(Asker) -> bool) {
        while let Some(index) = self.ready.pop() {
            if let Some(client) = self.clients.get_mut(index) {
                client.agent.go_on(&still_waits);
            }
        }
    }

    pub(super) fn next_answer(&mut self) -> Option<(Asker, AgentAnswer)> {
        self.clients.iter_mut().find_map(|client| client.agent.answers.pop_front())
    }

    /// The hosts to try again, because an agent has listed its keys or takes too long.
    /// `busy_until` says when an agent last waited for a touch.
    pub(super) fn retry_unlisted(
        &mut self,
        now: Instant,
        busy_until: impl Fn(&Path) -> Option<Instant>,
    ) -> IndexQueue {
        let wait = |since: Instant| since.checked_add(limits::AGENT_LIST_WAIT);
        let mut has_news = false;
        for client in &mut self.clients {
            has_news |= client.has_news();
            client.listing = match client.listing {
                _ if client.agent.identities().is_some() => Listing::Idle,
                Listing::Until(by) if by > now => continue,
                // An agent may list its keys only after a touch.
                Listing::Until(_) => match busy_until(&client.agent.path).and_then(wait) {
                    Some(by) if by > now => Listing::Until(by),
                    _ => {
                        has_news = true;
                        Listing::Overdue
                    }
                },
                listing => listing,
            };
        }
        if has_news { std::mem::take(&mut self.unlisted) } else { IndexQueue::default() }
    }

    /// When [`retry_unlisted`](Self::retry_unlisted) must be called, even if no agent has answered.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let due = |client: &Client| match client.listing {
            Listing::Until(by) if !self.unlisted.is_empty() => Some(by),
            _ => None,
        };
        self.clients.iter().filter_map(due).min()
    }
}
