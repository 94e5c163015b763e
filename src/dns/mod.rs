//! Name resolution inside the reactor.
//!
//! The contract of [`Dns`]:
//! - It never blocks and never reads the clock. Only [`Dns::advance`] sends queries; each call does
//!   a bounded amount of work. [`Dns::has_work`] tells whether more work is pending, and
//!   [`Dns::next_deadline`] when more will be due.
//! - Every lookup that was started and not cancelled ends exactly once, in [`Dns::next_finished`],
//!   within the configured time.
//! - While no lookup is pending, no descriptor is open.
//!
//! The parts, from the bottom up: [`wire`] (messages), [`query`] and [`lookup`] (which query goes
//! to which server and when, without IO), [`sock`] and [`net`] (servers and sockets), [`native`]
//! (many lookups at once).

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
mod query;
mod random;
mod sock;
mod system;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Registry, Waker};
use slab::Slab;

pub use conf::DnsConfig;
pub(crate) use net::TokenFn;

use self::native::{CompletedLookup, Native};
use self::system::Call;
use self::wire::Kind;
use crate::host::AddressFamily;
use crate::reactor::workers::Workers;

/// How names are resolved to addresses. Literal IP addresses need no resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolver {
    /// sshoal's own resolver: the hosts file, then DNS, within the reactor. A lookup without a
    /// response delays no other lookup, and ends when its host's time limit is reached.
    ///
    /// It does not use NSS modules (`mdns`, `ldap`, `sss`, `winbind`). systemd-resolved works, as
    /// any name server does.
    Native(DnsConfig),
    /// The system's `getaddrinfo`, with everything that `/etc/nsswitch.conf` configures, on helper
    /// threads. A call cannot be cancelled, so while `threads` calls wait for a response, all other
    /// lookups are delayed.
    System {
        /// How many calls may run at once; 0 counts as 1.
        threads: usize,
    },
}

/// Identifies one lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LookupId {
    waiter: usize,
    number: u64,
}

/// The addresses that a lookup found.
pub(crate) type LookupResult = Result<Vec<SocketAddr>, LookupError>;

/// A request for a lookup.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub host: &'a Arc<str>,
    pub port: u16,
    pub family: AddressFamily,
    pub recall: Recall,
    /// The caller's number for the request, which is returned with the result.
    pub owner: usize,
}

/// Which cached responses may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Recall {
    /// Only those with addresses. A retry uses no negative response, because the name may exist by
    /// now.
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

/// Why a lookup found no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// The name does not exist.
    NoSuchName,
    /// The name has no address of the requested kind.
    NoAddress,
    /// The host is not a valid name, for this reason.
    BadName(&'static str),
    /// Every server failed. This is the response code of the last one.
    Rcode(u16),
    /// A server's response is invalid.
    BadAnswer,
    /// No server answered within this time.
    Timeout(Duration),
    /// No server can be reached. The text has the address of the last one and its error.
    Unreachable(Arc<str>),
    /// `getaddrinfo` reports that there is no address.
    SystemUnknown(String),
    /// `getaddrinfo` itself failed.
    SystemResolver(String),
}

/// The resolver of one fleet.
pub(crate) struct Dns {
    engine: Engine,
    ties: Ties,
    /// About how many hosts there are.
    hosts: usize,
    waiters: Slab<Waiter>,
    /// How many lookups were ever started.
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
    host: Arc<str>,
    port: u16,
    family: AddressFamily,
    recall: Recall,
    /// The index of the lookup in the native engine. Unused with the system's resolver.
    lookup: usize,
}

impl Waiter {
    fn wanted(&self) -> Wanted<'_> {
        let Self { owner, host, port, family, recall, .. } = self;
        Wanted { host, port: *port, family: *family, recall: *recall, owner: *owner }
    }
}

impl Engine {
    fn new(resolver: Resolver, hosts: usize, ties: &Ties, now: Instant) -> Self {
        let Ties { registry, waker, token } = ties.clone();
        match resolver {
            Resolver::Native(config) => {
                Self::Native(Box::new(Native::new(config, hosts, registry, token, now)))
            }
            Resolver::System { threads } => {
                Self::System(Workers::new("sshoal-resolver", threads.max(1), waker))
            }
        }
    }

    /// Starts a lookup, and returns its index in the native engine. If no lookup is needed, returns
    /// the result as `Err`.
    fn start(&mut self, wanted: &Wanted<'_>, id: LookupId) -> Result<usize, LookupResult> {
        let Wanted { host, port, family, recall, owner } = *wanted;
        if let Some(address) = literal::parse(host, port) {
            return Err(address.map(|address| vec![address]));
        }
        match self {
            Self::Native(native) => native
                .start(host, Kind::of(family), recall, id.waiter)
                .map_err(|result| with_port(result, port)),
            Self::System(workers) => {
                workers.start(Call { host: host.clone(), port, id, owner });
                Ok(0)
            }
        }
    }
}

/// What the resolver needs from its reactor.
#[derive(Clone)]
pub(crate) struct Ties {
    pub registry: Arc<Registry>,
    pub waker: Arc<Waker>,
    pub token: TokenFn,
}

impl Dns {
    /// Creates a resolver for about `hosts` hosts.
    pub(crate) fn new(resolver: Resolver, hosts: usize, ties: Ties, now: Instant) -> Self {
        let engine = Engine::new(resolver, hosts, &ties, now);
        Self { engine, ties, hosts, waiters: Slab::new(), started: 0, finished: VecDeque::new() }
    }

    /// Resolves names by this resolver from now on, with an empty cache. Lookups in progress start
    /// over.
    pub(crate) fn replace(&mut self, resolver: Resolver, now: Instant) {
        self.engine = Engine::new(resolver, self.hosts, &self.ties, now);
        let Self { engine, waiters, finished, .. } = self;
        let mut ended = Vec::new();
        for (key, waiter) in waiters.iter_mut() {
            let id = LookupId { waiter: key, number: waiter.number };
            match engine.start(&waiter.wanted(), id) {
                Ok(lookup) => waiter.lookup = lookup,
                Err(result) => ended.push(Finished { id, owner: waiter.owner, result }),
            }
        }
        for end in ended {
            waiters.remove(end.id.waiter);
            finished.push_back(end);
        }
    }

    /// Starts a lookup. Its result is returned by [`Dns::next_finished`].
    pub(crate) fn start(&mut self, wanted: Wanted<'_>) -> LookupId {
        let Wanted { host, port, family, recall, owner } = wanted;
        self.started += 1;
        let number = self.started;
        let entry = self.waiters.vacant_entry();
        let id = LookupId { waiter: entry.key(), number };
        match self.engine.start(&wanted, id) {
            Ok(lookup) => {
                let host = host.clone();
                entry.insert(Waiter { number, owner, host, port, family, recall, lookup });
            }
            Err(result) => self.finished.push_back(Finished { id, owner, result }),
        }
        id
    }

    /// Cancels a lookup. Does nothing if it has ended.
    pub(crate) fn cancel(&mut self, id: LookupId) {
        let Some(waiter) = self.take(id) else { return };
        if let Engine::Native(native) = &mut self.engine {
            native.remove_waiter(waiter.lookup, id.waiter);
        }
    }

    /// Removes the waiter of this lookup. `None` if the lookup has ended; its index may now belong
    /// to another waiter.
    fn take(&mut self, id: LookupId) -> Option<Waiter> {
        self.waiters.get(id.waiter).filter(|waiter| waiter.number == id.number)?;
        self.waiters.try_remove(id.waiter)
    }

    /// Notes that the poll reported the socket with this token.
    pub(crate) fn ready(&mut self, index: usize, generation: u32) {
        if let Engine::Native(native) = &mut self.engine {
            native.net.ready(index, generation);
        }
    }

    /// When [`Dns::advance`] must be called even if no socket is ready.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match &self.engine {
            Engine::Native(native) => native.next_deadline(),
            Engine::System(_) => None,
        }
    }

    /// Whether [`Dns::advance`] or [`Dns::next_finished`] has something to do now.
    pub(crate) fn has_work(&self) -> bool {
        !self.finished.is_empty() || matches!(&self.engine, Engine::Native(native) if native.has_work())
    }

    /// Does a bounded amount of work.
    pub(crate) fn advance(&mut self, now: Instant) {
        match &mut self.engine {
            Engine::Native(native) => {
                native.advance(now);
                while let Some(CompletedLookup { waiters, result }) = native.completed.pop_front() {
                    for key in waiters {
                        let Some(waiter) = self.waiters.try_remove(key) else { continue };
                        let id = LookupId { waiter: key, number: waiter.number };
                        let result = with_port(result.clone(), waiter.port);
                        self.finished.push_back(Finished { id, owner: waiter.owner, result });
                    }
                }
            }
            Engine::System(workers) => {
                for finished in workers.finished() {
                    if self.take(finished.id).is_some() {
                        self.finished.push_back(finished);
                    }
                }
            }
        }
    }

    pub(crate) fn next_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// How many more descriptors lookups may open.
    pub(crate) fn descriptors_left(&self) -> usize {
        match &self.engine {
            Engine::Native(native) => native.net.descriptors_left(),
            Engine::System(_) => 0,
        }
    }
}

fn with_port(end: lookup::IpResult, port: u16) -> LookupResult {
    Ok(end?.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}
