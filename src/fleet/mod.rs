//! The engine: drives every host from one thread.
//!
//! One turn: poll, note who is ready, fire the timers that are due, visit ready hosts one after the other until the
//! turn's time is used up, admit those who wait. What is left over stays on the ready-list and is first in line next
//! time. Nothing in a turn grows with the number of hosts, only with the number of ready ones.

mod admission;
mod agents;
mod control;
mod descriptors;
mod hosts;
mod proxies;
mod slot;
mod turn;
mod visit;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use crate::command::Request;
use crate::dns::{Dns, Resolver, Ties};
use crate::link::{Dialler, LibsshLink};
use crate::reactor::{IndexQueue, Reactor, TimerId, Wheel, dns_token, token};
use crate::session::{Exec, ExecId, Execs, Jitter, Session, Target};

use self::admission::Admission;
use self::agents::Agents;
use self::slot::Slot;

/// Every host, its connection and its commands.
pub(crate) struct Fleet {
    reactor: Reactor,
    wheel: Wheel<Timer>,
    slots: Slab<Slot>,
    /// The host list: who is at which position.
    positions: Vec<usize>,
    /// The slots of the proxies, by where their targets lie in memory: whoever shares one shares the target.
    proxies: HashMap<usize, usize>,
    dialler: Arc<Dialler>,
    execs: Execs,
    /// Hosts to be visited.
    ready: IndexQueue,
    admission: Admission,
    /// The last admission ended for lack of time, not of hosts or places.
    admit_again: bool,
    dns: Dns,
    agents: Agents,
    waits: Slab<Wait>,
    /// Where the sessions' randomness comes from.
    seeds: Jitter,
    stats: Stats,
    /// Reused from turn to turn.
    expired: Vec<Timer>,
}

/// What a timer stands for.
#[derive(Debug, Clone, Copy)]
enum Timer {
    Slot(usize),
    Wait(usize),
}

/// Somebody waits with a deadline.
#[derive(Debug)]
enum Wait {
    Armed(TimerId),
    Fired,
}

/// What a client's reactor has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the event loop: times that the thread woke up.
    pub turns: u64,
    /// Visits to a host with news.
    pub visits: u64,
    /// The longest time that one turn held the thread, waiting excluded.
    pub longest_turn: Duration,
    /// Connections open now, those to proxies included.
    pub connections: usize,
    /// Hosts that wait for a place in the pool now.
    pub queued: usize,
    /// Timers armed now.
    pub timers: usize,
    /// Hosts that can be worked on at once: `pool_size`, or fewer if descriptors are short.
    pub pool: usize,
}

impl Fleet {
    pub(crate) fn new(targets: Vec<Target>, pool_size: usize, resolver: Resolver) -> io::Result<Self> {
        let reactor = Reactor::new()?;
        let registry = reactor.registry().try_clone()?;
        let ties = Ties { registry, waker: reactor.waker().clone(), token: dns_token };
        let dialler = Dialler::new(reactor.registry().try_clone()?, token, reactor.waker().clone());
        let mut fleet = Self {
            wheel: Wheel::new(Reactor::now()),
            slots: Slab::with_capacity(targets.len()),
            positions: Vec::new(),
            proxies: HashMap::new(),
            dialler: Arc::new(dialler),
            execs: Execs::default(),
            ready: IndexQueue::default(),
            admission: Admission::new(pool_size),
            admit_again: false,
            dns: Dns::new(resolver, targets.len(), ties, Reactor::now()),
            agents: Agents::new(&reactor)?,
            waits: Slab::new(),
            seeds: Jitter::new(getrandom::u64()?),
            stats: Stats::default(),
            expired: Vec::new(),
            reactor,
        };
        fleet.positions = targets.into_iter().map(|target| fleet.add(target)).collect();
        Ok(fleet)
    }

    /// Makes a place for a host.
    fn add(&mut self, target: Target) -> usize {
        let proxy = target.proxy.as_ref().map(|proxy| self.slot_of_proxy(proxy));
        let session = Session::new(target, Jitter::new(self.seeds.next()));
        self.insert(session, proxy)
    }

    fn insert(&mut self, session: Session, proxy: Option<usize>) -> usize {
        if let Some(slot) = proxy.and_then(|proxy| self.slots.get_mut(proxy)) {
            slot.behind += 1;
        }
        let entry = self.slots.vacant_entry();
        let index = entry.key();
        let link = LibsshLink::new(self.dialler.clone(), index);
        entry.insert(Slot::new(session, Box::new(link), proxy));
        index
    }

    /// The host at this position of the list.
    pub(crate) fn target(&self, position: usize) -> Option<&Target> {
        self.session(position).map(Session::target)
    }

    pub(crate) fn exec(&self, id: ExecId) -> Option<&Exec> {
        self.execs.get(id)
    }

    /// A command's streams, to be read or written. After writing, [`Fleet::touch`] its host.
    pub(crate) fn exec_mut(&mut self, id: ExecId) -> Option<&mut Exec> {
        self.execs.get_mut(id)
    }

    /// See [`Execs::release`].
    pub(crate) fn release(&mut self, id: ExecId) {
        self.execs.release(id);
    }

    /// There is new input for a command of the host at this position.
    pub(crate) fn touch(&mut self, position: usize) {
        if let Some(index) = self.positions.get(position) {
            self.ready.push(*index);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            connections: self.admission.connections(),
            queued: self.admission.queued(),
            timers: self.wheel.len(),
            pool: self.admission.pool(),
            ..self.stats
        }
    }

    /// What the resolver may open, if there is anything to look up.
    fn descriptors_for_lookups(&self) -> usize {
        let has_name =
            self.slots.iter().any(|(_, slot)| slot.session.target().host.parse::<IpAddr>().is_err());
        if has_name { self.dns.descriptors_left() } else { 0 }
    }

    /// Gives every host its command, one for each in the order of the hosts. Returns at once; the hosts begin with the
    /// next turns.
    pub(crate) fn start(&mut self, requests: Vec<Arc<Request>>) -> Vec<ExecId> {
        debug_assert_eq!(requests.len(), self.positions.len());
        let now = Reactor::now();
        self.admission.count_descriptors(self.positions.len(), self.descriptors_for_lookups());
        self.agents.forget_identities();
        let mut ids = Vec::with_capacity(requests.len());
        for (position, request) in requests.into_iter().enumerate().take(self.positions.len()) {
            let index = self.positions[position];
            let id = self.execs.insert(Exec::new(request, now));
            self.slots[index].session.attach(id, now);
            self.settle(index);
            ids.push(id);
        }
        self.admit(now);
        ids
    }

    fn session(&self, position: usize) -> Option<&Session> {
        self.slots.get(*self.positions.get(position)?).map(|slot| &slot.session)
    }
}
