//! From names to addresses, inside the reactor.
//!
//! The contract of [`Dns`]:
//! - It never blocks and never reads the clock. Nothing is sent before [`Dns::advance`], which does a bounded share of what
//!   there is to do; [`Dns::has_work`] says that some is left, [`Dns::next_deadline`] when there will be more.
//! - Every lookup that was started and not cancelled ends exactly once, in [`Dns::next_finished`], within the time that its
//!   configuration allows.
//! - While nothing is looked up, no descriptor is held.
//!
//! The parts, from the bottom up: [`wire`] (messages), [`question`] and [`lookup`] (what to ask whom and when: no IO),
//! [`sock`] and [`net`] (servers and sockets), [`native`] (many lookups at once).

mod cache;
mod candidates;
mod conf;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod hosts;
mod literal;
mod lookup;
mod native;
mod net;
mod order;
mod question;
mod random;
mod sock;
mod system;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Registry, Waker};
use slab::Slab;

pub use conf::DnsConfig;
pub(crate) use net::TokenFn;

use self::native::{End, Native};
use self::system::{Call, Called};
use self::wire::Kind;
use crate::host::AddressFamily;
use crate::reactor::workers::Workers;

/// Who turns names into addresses. IP addresses need neither.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolver {
    /// sshoal's own: the hosts file, then DNS, from the reactor itself. A lookup that gets no answer delays no other one,
    /// and ends with its host's time limit.
    ///
    /// It knows no NSS modules (`mdns`, `ldap`, `sss`, `winbind`); systemd-resolved answers as any name server does.
    Native(DnsConfig),
    /// The system's `getaddrinfo`, with all that `/etc/nsswitch.conf` names, on helper threads: a call cannot be cancelled,
    /// so `threads` dead names delay all the others.
    System {
        /// Calls at once; 0 counts as 1.
        threads: usize,
    },
}

/// Names one lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LookupId {
    waiter: usize,
    number: u64,
}

/// What a lookup found.
pub(crate) type LookupResult = Result<Vec<SocketAddr>, Failure>;

/// What is to be looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub host: &'a Arc<str>,
    pub port: u16,
    pub family: AddressFamily,
    pub recall: Recall,
    /// For whom: comes back with the result.
    pub owner: usize,
}

/// Which answers of before may be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Recall {
    /// Addresses only. That there are none is what another attempt hopes to see changed.
    Addresses,
    All,
}

/// A lookup that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub id: LookupId,
    pub owner: usize,
    pub result: LookupResult,
}

/// Why a lookup found nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no such name.
    NoSuchName,
    /// The name has no address of the kind wanted.
    NoAddress,
    /// It cannot be a name, for this reason.
    BadName(&'static str),
    /// No server did better than to answer with this code.
    Rcode(u16),
    /// A server's answer is of no use.
    BadAnswer,
    /// No server answered within this time.
    Timeout(Duration),
    /// No server can be reached; the last one's address and error.
    Unreachable(Arc<str>),
    /// `getaddrinfo` says that there is no address.
    SystemUnknown(String),
    /// `getaddrinfo` does not work.
    SystemResolver(String),
}

/// The resolver of one fleet.
pub(crate) struct Dns {
    engine: Engine,
    waiters: Slab<Waiter>,
    /// Lookups ever started.
    started: u64,
    finished: VecDeque<Finished>,
}

enum Engine {
    Native(Box<Native>),
    System(Workers<Call>),
}

struct Waiter {
    number: u64,
    owner: usize,
    port: u16,
    /// The lookup that it waits for, in the native engine.
    lookup: usize,
}

/// What ties the resolver to its reactor.
pub(crate) struct Ties {
    pub registry: Registry,
    pub waker: Arc<Waker>,
    pub token: TokenFn,
}

impl Dns {
    /// A resolver for about so many hosts.
    pub(crate) fn new(resolver: Resolver, hosts: usize, ties: Ties, now: Instant) -> Self {
        let Ties { registry, waker, token } = ties;
        let engine = match resolver {
            Resolver::Native(config) => {
                Engine::Native(Box::new(Native::new(config, hosts, registry, token, now)))
            }
            Resolver::System { threads } => {
                Engine::System(Workers::new("sshoal-resolver", threads.max(1), waker))
            }
        };
        Self { engine, waiters: Slab::new(), started: 0, finished: VecDeque::new() }
    }

    /// Begins a lookup. Its end comes through [`Dns::next_finished`].
    pub(crate) fn start(&mut self, wanted: Wanted<'_>) -> LookupId {
        let Wanted { host, port, family, recall, owner } = wanted;
        self.started += 1;
        let number = self.started;
        let entry = self.waiters.vacant_entry();
        let id = LookupId { waiter: entry.key(), number };
        if let Some(address) = literal::parse(host, port) {
            let result = address.map(|address| vec![address]);
            self.finished.push_back(Finished { id, owner, result });
            return id;
        }
        let lookup = match &mut self.engine {
            Engine::Native(native) => match native.start(host, Kind::of(family), recall, id.waiter) {
                Ok(lookup) => lookup,
                Err(end) => {
                    let result = with_port(end, port);
                    self.finished.push_back(Finished { id, owner, result });
                    return id;
                }
            },
            Engine::System(workers) => {
                workers.start(Call { host: host.clone(), port, id });
                0
            }
        };
        entry.insert(Waiter { number, owner, port, lookup });
        id
    }

    /// Nobody waits for this lookup any more. One that has ended is none of its worries.
    pub(crate) fn cancel(&mut self, id: LookupId, now: Instant) {
        if self.waiters.get(id.waiter).is_none_or(|waiter| waiter.number != id.number) {
            return;
        }
        let waiter = self.waiters.remove(id.waiter);
        if let Engine::Native(native) = &mut self.engine {
            native.leave(waiter.lookup, id.waiter, now);
        }
    }

    /// The poll has seen something on the socket of this token.
    pub(crate) fn ready(&mut self, index: usize, generation: u32) {
        if let Engine::Native(native) = &mut self.engine {
            native.net_mut().ready(index, generation);
        }
    }

    /// When [`Dns::advance`] must be called, without any news.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match &self.engine {
            Engine::Native(native) => native.next_deadline(),
            Engine::System(_) => None,
        }
    }

    /// Whether there is something to do at once.
    pub(crate) fn has_work(&self) -> bool {
        !self.finished.is_empty() || matches!(&self.engine, Engine::Native(native) if native.has_work())
    }

    /// Does one turn's share of the work.
    pub(crate) fn advance(&mut self, now: Instant) {
        match &mut self.engine {
            Engine::Native(native) => {
                native.advance(now);
                while let Some(End { waiters, result }) = native.next_end() {
                    for key in waiters {
                        let Some(waiter) = self.waiters.try_remove(key) else { continue };
                        let id = LookupId { waiter: key, number: waiter.number };
                        let result = with_port(result.clone(), waiter.port);
                        self.finished.push_back(Finished { id, owner: waiter.owner, result });
                    }
                }
            }
            Engine::System(workers) => {
                for Called { id, result } in workers.finished() {
                    // Cancelled since, perhaps with another waiter in its place.
                    if self.waiters.get(id.waiter).is_none_or(|waiter| waiter.number != id.number) {
                        continue;
                    }
                    let owner = self.waiters.remove(id.waiter).owner;
                    self.finished.push_back(Finished { id, owner, result });
                }
            }
        }
    }

    pub(crate) fn next_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// Descriptors that lookups may come to need.
    pub(crate) fn descriptors_left(&self) -> usize {
        match &self.engine {
            Engine::Native(native) => native.net().descriptors_left(),
            Engine::System(_) => 0,
        }
    }
}

fn with_port(end: lookup::LookupEnd, port: u16) -> LookupResult {
    let addresses = end?;
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

impl Failure {
    fn unreachable(server: SocketAddr, error: &io::Error) -> Self {
        Self::Unreachable(format!("{server}: {error}").into())
    }
}
