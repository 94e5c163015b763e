//! sshoal's own resolver: many concurrent lookups over a few sockets, with bounded work per turn.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use hickory_proto::rr::Name;
use mio::Registry;
use slab::Slab;

use super::cache::Cache;
use super::candidates::candidates;
use super::conf::{DnsConfig, Transport};
use super::lookup::{Io, IpResult, Lookup, QueryOptions, Sent};
use super::net::{LostQuery, Net, QueryKey, Report, TokenFn};
use super::order::{self, Routes};
use super::wire::{self, Kind, Response};
use super::{LookupError, Recall};
use crate::limits;
use crate::reactor::{IndexQueue, TimerId, Wheel};

const LOOPBACK: [IpAddr; 2] = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];

pub(super) struct Native {
    config: DnsConfig,
    lookups: Slab<PendingLookup>,
    /// The pending lookups by key. An equal request joins the existing lookup.
    by_key: HashMap<LookupKey, usize>,
    /// Lookups that have not started.
    queue: IndexQueue,
    /// How many pending lookups have started.
    in_flight: usize,
    pub net: Net,
    cache: Cache,
    wheel: Wheel<usize>,
    /// Lookups whose timers have expired, and whose expiry has not been handled yet.
    expired: VecDeque<usize>,
    pub completed: VecDeque<CompletedLookup>,
    /// Which address families have a route. Determined again in each turn.
    routes: Routes,
    /// The lookups whose timers expire in a turn. The buffer is reused from turn to turn.
    due: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LookupKey {
    host: Box<str>,
    kinds: &'static [Kind],
}

struct PendingLookup {
    key: LookupKey,
    recall: Recall,
    waiters: Vec<usize>,
    /// `None` until the lookup starts.
    lookup: Option<Lookup>,
    timer: Option<(TimerId, Instant)>,
}

/// The result of a lookup, and the waiters for it.
pub(super) struct CompletedLookup {
    pub waiters: Vec<usize>,
    pub result: IpResult,
}

/// What one lookup needs from its environment.
struct LookupIo<'a> {
    net: &'a mut Net,
    cache: &'a Cache,
    recall: Recall,
    lookup: usize,
    now: Instant,
}

impl Io for LookupIo<'_> {
    fn now(&self) -> Instant {
        self.now
    }

    fn cached(&mut self, name: &Name, kind: Kind) -> Option<Response> {
        let response = self.cache.find(name, kind, self.now)?;
        (self.recall == Recall::All || !response.is_negative()).then(|| response.clone())
    }

    fn send(
        &mut self,
        name: &Name,
        kind: Kind,
        server: usize,
        transport: Transport,
    ) -> Result<u16, LookupError> {
        self.net.send(name, QueryKey { lookup: self.lookup, kind }, server, transport, self.now)
    }

    fn forget(&mut self, id: u16, kind: Kind) {
        self.net.forget(id, QueryKey { lookup: self.lookup, kind });
    }

    fn timed_out(&mut self, server: usize) {
        self.net.timed_out(server, self.now);
    }

    fn disable_edns(&mut self, server: usize) {
        self.net.disable_edns(server);
    }
}

impl Native {
    pub(super) fn new(
        config: DnsConfig,
        hosts: usize,
        registry: Arc<Registry>,
        token: TokenFn,
        now: Instant,
    ) -> Self {
        // There are two responses per host, and as many again for aliases and search domains.
        let entries = hosts.saturating_mul(4).max(limits::DNS_CACHE_ENTRIES_MIN).min(config.cache_entries);
        Self {
            net: Net::new(&config, registry, token),
            lookups: Slab::with_capacity(limits::DNS_IN_FLIGHT),
            by_key: HashMap::new(),
            queue: IndexQueue::default(),
            in_flight: 0,
            cache: Cache::new(entries),
            wheel: Wheel::new(now),
            expired: VecDeque::new(),
            completed: VecDeque::new(),
            routes: Routes::default(),
            due: Vec::new(),
            config,
        }
    }

    /// Starts a lookup or joins an equal one, and returns its index. If no lookup is needed,
    /// returns the result as `Err`.
    pub(super) fn start(
        &mut self,
        host: &str,
        kinds: &'static [Kind],
        recall: Recall,
        waiter: usize,
    ) -> Result<usize, IpResult> {
        let host = host.to_lowercase();
        if let Some(addresses) = self.in_hosts_file(&host, kinds) {
            return Err(Ok(addresses));
        }
        if wire::name(&host).is_none() {
            return Err(Err(LookupError::BadName("not a valid DNS name")));
        }
        let kinds = match kinds {
            [.., Kind::Aaaa] if !self.config.ipv6 => &kinds[..kinds.len() - 1],
            _ => kinds,
        };
        if kinds.is_empty() {
            return Err(Err(LookupError::NoAddress));
        }
        let key = LookupKey { host: host.into(), kinds };
        if let Some(&index) = self.by_key.get(&key) {
            let entry = &mut self.lookups[index];
            entry.waiters.push(waiter);
            entry.recall = entry.recall.min(recall);
            return Ok(index);
        }
        let entry =
            PendingLookup { key: key.clone(), recall, waiters: vec![waiter], lookup: None, timer: None };
        let index = self.lookups.insert(entry);
        self.by_key.insert(key, index);
        self.queue.push(index);
        Ok(index)
    }

    /// The addresses from the hosts file. `localhost` is always this machine, whatever DNS says
    /// (RFC 6761 section 6.3), so its addresses need not be of a requested kind.
    fn in_hosts_file(&self, host: &str, kinds: &[Kind]) -> Option<Vec<IpAddr>> {
        let in_file = self.config.hosts.find(host);
        let is_wanted = |address: &&IpAddr| kinds.iter().any(|kind| kind.fits(**address));
        let mut addresses: Vec<IpAddr> = in_file.iter().filter(is_wanted).copied().collect();
        let name = host.strip_suffix('.').unwrap_or(host);
        if addresses.is_empty() && (name == "localhost" || name.ends_with(".localhost")) {
            addresses = if in_file.is_empty() { LOOPBACK.to_vec() } else { in_file.to_vec() };
        }
        if addresses.is_empty() {
            return None;
        }
        order::sort(&mut addresses, |address| Routes::default().has(address));
        Some(addresses)
    }

    /// Removes a waiter. A lookup ends when its last waiter is removed.
    pub(super) fn remove_waiter(&mut self, index: usize, waiter: usize) {
        let Some(entry) = self.lookups.get_mut(index) else { return };
        entry.waiters.retain(|&other| other != waiter);
        if entry.waiters.is_empty() {
            self.remove(index);
            self.close_if_idle();
        }
    }

    /// When [`Native::advance`] must be called even if no socket is ready.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// Whether there is something to do now.
    pub(super) fn has_work(&self) -> bool {
        self.net.has_reports() || !self.expired.is_empty() || self.may_start() || !self.completed.is_empty()
    }

    fn may_start(&self) -> bool {
        !self.queue.is_empty() && self.in_flight < limits::DNS_IN_FLIGHT
    }

    /// Does one turn's work: a bounded number of responses, timers and new lookups.
    pub(super) fn advance(&mut self, now: Instant) {
        self.routes = Routes::default();
        for _ in 0..limits::DNS_PER_TURN {
            match self.net.next_report(now) {
                Some(Report::Message { id, query, sent, length }) => self.read(id, query, sent, length, now),
                Some(Report::Lost(lost)) => self.lost(lost, now),
                Some(Report::Stray) => {}
                None => break,
            }
        }
        self.wheel.advance(now, &mut self.due);
        self.expired.extend(self.due.drain(..));
        for _ in 0..limits::DNS_PER_TURN {
            let Some(index) = self.expired.pop_front() else { break };
            self.expire(index, now);
        }
        for _ in 0..limits::DNS_PER_TURN {
            if !self.may_start() {
                break;
            }
            let Some(index) = self.queue.pop() else { break };
            self.start_next(index, now);
        }
        self.close_if_idle();
    }

    fn start_next(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.lookups.get_mut(index).filter(|entry| entry.lookup.is_none()) else { return };
        self.in_flight += 1;
        let options = QueryOptions {
            servers: self.net.order(now),
            transport: self.config.transport,
            pause_max: self.config.timeout,
            time_limit: self.config.time_limit(),
        };
        let names = candidates(&entry.key.host, &self.config);
        entry.lookup = Some(Lookup::new(names, entry.key.kinds, options, now));
        self.update(index, now, |lookup, io| lookup.start(io));
    }

    fn read(&mut self, id: u16, query: QueryKey, sent: Sent, length: usize, now: Instant) {
        let lookup = self.lookups.get(query.lookup).and_then(|entry| entry.lookup.as_ref());
        let Some(name) = lookup.and_then(|lookup| lookup.open_name(query.kind)) else { return };
        let Some(response) = wire::read(self.net.message(length), name, query.kind) else { return };
        self.cache.insert(name, query.kind, &response, now);
        self.net.answered(id, sent.server);
        self.update(query.lookup, now, |lookup, io| lookup.reported(query.kind, sent, Ok(response), io));
    }

    fn lost(&mut self, lost: LostQuery, now: Instant) {
        let LostQuery { query, sent, reason } = lost;
        self.update(query.lookup, now, |lookup, io| lookup.reported(query.kind, sent, Err(reason), io));
    }

    fn expire(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.lookups.get_mut(index) else { return };
        // If this lookup's timer is due later, the expired timer belonged to an earlier lookup that
        // had the same index and has ended.
        if entry.timer.is_some_and(|(_, at)| at > now) {
            return;
        }
        entry.timer = None;
        self.update(index, now, |lookup, io| lookup.expire(io));
    }

    /// Updates a lookup, then either ends it or arms its timer.
    fn update(
        &mut self,
        index: usize,
        now: Instant,
        update: impl FnOnce(&mut Lookup, &mut dyn Io) -> Option<IpResult>,
    ) {
        let Some(PendingLookup { lookup: Some(lookup), recall, timer, .. }) = self.lookups.get_mut(index)
        else {
            return;
        };
        let mut io = LookupIo { net: &mut self.net, cache: &self.cache, recall: *recall, lookup: index, now };
        if let Some(result) = update(lookup, &mut io) {
            self.complete(index, result);
            return;
        }
        let at = lookup.deadline();
        match timer {
            Some((_, armed)) if *armed == at => {}
            Some((id, armed)) => {
                self.wheel.rearm(*id, at);
                *armed = at;
            }
            None => *timer = Some((self.wheel.arm(at, index), at)),
        }
    }

    fn complete(&mut self, index: usize, mut result: IpResult) {
        let waiters = self.remove(index);
        if let Ok(addresses) = &mut result {
            order::sort(addresses, |address| self.routes.has(address));
        }
        self.completed.push_back(CompletedLookup { waiters, result });
    }

    /// Removes a lookup and returns its waiters.
    fn remove(&mut self, index: usize) -> Vec<usize> {
        let Some(entry) = self.lookups.try_remove(index) else { return Vec::new() };
        self.by_key.remove(&entry.key);
        if let Some((id, _)) = entry.timer {
            self.wheel.disarm(id);
        }
        if let Some(lookup) = &entry.lookup {
            self.in_flight -= 1;
            for (id, kind) in lookup.ids() {
                self.net.forget(id, QueryKey { lookup: index, kind });
            }
        }
        entry.waiters
    }

    /// Closes all sockets if no lookup is pending.
    fn close_if_idle(&mut self) {
        if self.lookups.is_empty() {
            self.net.close_all();
        }
    }
}
