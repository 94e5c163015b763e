//! sshoal's own resolver: many lookups at once over a few sockets, a bounded piece of work per turn.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use hickory_resolver::proto::rr::Name;
use mio::Registry;
use slab::Slab;

use super::cache::Cache;
use super::candidates::candidates;
use super::conf::{DnsConfig, Transport};
use super::lookup::{Lookup, LookupEnd, Plan, Sent, World};
use super::net::{Asker, Loss, Net, News, TokenFn};
use super::order::{self, Routes};
use super::wire::{self, Answer, Kind};
use super::{Failure, Recall};
use crate::limits;
use crate::reactor::{IndexQueue, TimerId, Wheel};

const LOOPBACK: [IpAddr; 2] = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];

pub(super) struct Native {
    config: DnsConfig,
    lookups: Slab<Entry>,
    /// Lookups that equal ones can join.
    by_question: HashMap<Key, usize>,
    /// Lookups that have not begun.
    queue: IndexQueue,
    /// Lookups that have.
    in_flight: usize,
    net: Net,
    cache: Cache,
    wheel: Wheel<usize>,
    /// Timers that went off, not seen to yet.
    expired: VecDeque<usize>,
    ended: VecDeque<End>,
    /// Found out anew in each turn.
    routes: Routes,
    /// Reused from turn to turn.
    due: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    host: Box<str>,
    kinds: &'static [Kind],
}

struct Entry {
    key: Key,
    recall: Recall,
    waiters: Vec<usize>,
    /// `None` before it begins.
    lookup: Option<Lookup>,
    timer: Option<(TimerId, Instant)>,
}

/// The end of a lookup, for those who wait for it.
pub(super) struct End {
    pub waiters: Vec<usize>,
    pub result: LookupEnd,
}

/// What one lookup sees of the world.
struct View<'a> {
    net: &'a mut Net,
    cache: &'a Cache,
    recall: Recall,
    lookup: usize,
    now: Instant,
}

impl World for View<'_> {
    fn known(&mut self, name: &Name, kind: Kind) -> Option<Answer> {
        let answer = self.cache.find(name, kind, self.now)?;
        (self.recall == Recall::All || !answer.is_negative()).then(|| answer.clone())
    }

    fn send(&mut self, name: &Name, kind: Kind, server: usize, transport: Transport) -> Result<u16, Failure> {
        self.net.send(name, Asker { lookup: self.lookup, kind }, server, transport, self.now)
    }

    fn forget(&mut self, id: u16, kind: Kind) {
        self.net.forget(id, Asker { lookup: self.lookup, kind });
    }

    fn unanswered(&mut self, server: usize) {
        self.net.unanswered(server, self.now);
    }

    fn without_edns(&mut self, server: usize) {
        self.net.without_edns(server);
    }
}

impl Native {
    pub(super) fn new(
        config: DnsConfig,
        hosts: usize,
        registry: Registry,
        token: TokenFn,
        now: Instant,
    ) -> Self {
        // Two answers per host, and as many for aliases and search domains.
        let entries = hosts.saturating_mul(4).max(limits::DNS_CACHE_ENTRIES_MIN).min(config.cache_entries);
        Self {
            net: Net::new(&config, registry, token),
            lookups: Slab::with_capacity(limits::DNS_IN_FLIGHT),
            by_question: HashMap::new(),
            queue: IndexQueue::default(),
            in_flight: 0,
            cache: Cache::new(entries),
            wheel: Wheel::new(now),
            expired: VecDeque::new(),
            ended: VecDeque::new(),
            routes: Routes::default(),
            due: Vec::new(),
            config,
        }
    }

    pub(super) fn net(&self) -> &Net {
        &self.net
    }

    pub(super) fn net_mut(&mut self) -> &mut Net {
        &mut self.net
    }

    /// Looks a host up, or joins whoever does. What is known here needs no lookup: then the result.
    pub(super) fn start(
        &mut self,
        host: &str,
        kinds: &'static [Kind],
        recall: Recall,
        waiter: usize,
    ) -> Result<usize, LookupEnd> {
        let host = host.to_lowercase();
        if let Some(addresses) = self.local(&host, kinds) {
            return Err(Ok(addresses));
        }
        if wire::name(&host).is_none() {
            return Err(Err(Failure::BadName("DNS cannot carry the name")));
        }
        let kinds = match kinds {
            [.., Kind::Aaaa] if !self.config.ipv6 => &kinds[..kinds.len() - 1],
            _ => kinds,
        };
        if kinds.is_empty() {
            return Err(Err(Failure::NoAddress));
        }
        let key = Key { host: host.into(), kinds };
        if let Some(&index) = self.by_question.get(&key) {
            let entry = &mut self.lookups[index];
            entry.waiters.push(waiter);
            entry.recall = entry.recall.min(recall);
            return Ok(index);
        }
        let entry = Entry { key: key.clone(), recall, waiters: vec![waiter], lookup: None, timer: None };
        let index = self.lookups.insert(entry);
        self.by_question.insert(key, index);
        self.queue.push(index);
        Ok(index)
    }

    /// What the hosts file says. `localhost` is this machine, whatever DNS says (RFC 6761 section 6.3): if it has no address
    /// that is wanted, it has none.
    fn local(&self, host: &str, kinds: &[Kind]) -> Option<Vec<IpAddr>> {
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

    /// Somebody does not wait any longer. The lookup ends with the last one.
    pub(super) fn leave(&mut self, index: usize, waiter: usize, now: Instant) {
        let Some(entry) = self.lookups.get_mut(index) else { return };
        entry.waiters.retain(|&other| other != waiter);
        if entry.waiters.is_empty() {
            self.remove(index, now);
            self.rest();
        }
    }

    /// When [`Native::advance`] must be called, with or without news from the sockets.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// Whether there is something to do at once.
    pub(super) fn has_work(&self) -> bool {
        self.net.has_news() || !self.expired.is_empty() || self.may_begin() || !self.ended.is_empty()
    }

    fn may_begin(&self) -> bool {
        !self.queue.is_empty() && self.in_flight < limits::DNS_IN_FLIGHT
    }

    /// One turn's share: some news, some timers, some new lookups.
    pub(super) fn advance(&mut self, now: Instant) {
        self.routes = Routes::default();
        for _ in 0..limits::DNS_PER_TURN {
            match self.net.next_news(now) {
                Some(News::Message { id, asker, sent, length }) => self.read(id, asker, sent, length, now),
                Some(News::Lost(loss)) => self.lose(loss, now),
                Some(News::Stray) => {}
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
            if !self.may_begin() {
                break;
            }
            let Some(index) = self.queue.pop() else { break };
            self.begin(index, now);
        }
        self.rest();
    }

    pub(super) fn next_end(&mut self) -> Option<End> {
        self.ended.pop_front()
    }

    fn begin(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.lookups.get_mut(index).filter(|entry| entry.lookup.is_none()) else { return };
        self.in_flight += 1;
        let plan = Plan {
            servers: self.net.order(now),
            transport: self.config.transport,
            pause_max: self.config.timeout,
            patience: self.config.patience(),
        };
        let names = candidates(&entry.key.host, &self.config);
        entry.lookup = Some(Lookup::new(names, entry.key.kinds, plan, now));
        self.step(index, now, |lookup, world| lookup.begin(now, world));
    }

    fn read(&mut self, id: u16, asker: Asker, sent: Sent, length: usize, now: Instant) {
        let lookup = self.lookups.get(asker.lookup).and_then(|entry| entry.lookup.as_ref());
        let Some(name) = lookup.and_then(|lookup| lookup.open_name(asker.kind)) else { return };
        let Some(answer) = wire::read(self.net.message(length), name, asker.kind) else { return };
        self.cache.insert(name, asker.kind, &answer, now);
        self.net.answered(id, sent.server);
        self.step(asker.lookup, now, |lookup, world| lookup.answered(asker.kind, sent, answer, now, world));
    }

    fn lose(&mut self, loss: Loss, now: Instant) {
        let Loss { asker, sent, cause } = loss;
        self.step(asker.lookup, now, |lookup, world| lookup.lost(asker.kind, sent, cause, now, world));
    }

    fn expire(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.lookups.get_mut(index) else { return };
        // The timer of a lookup that has ended since, and whose place another one has taken.
        if entry.timer.is_some_and(|(_, at)| at > now) {
            return;
        }
        entry.timer = None;
        self.step(index, now, |lookup, world| lookup.expire(now, world));
    }

    /// Lets a lookup do its next step, then ends it or waits for its next deadline.
    fn step(
        &mut self,
        index: usize,
        now: Instant,
        step: impl FnOnce(&mut Lookup, &mut dyn World) -> Option<LookupEnd>,
    ) {
        let Some(entry) = self.lookups.get_mut(index) else { return };
        let Some(lookup) = &mut entry.lookup else { return };
        let mut view =
            View { net: &mut self.net, cache: &self.cache, recall: entry.recall, lookup: index, now };
        if let Some(result) = step(lookup, &mut view) {
            self.end(index, result, now);
            return;
        }
        let at = lookup.deadline();
        entry.timer = Some(match entry.timer.take() {
            Some((id, armed)) => {
                if armed != at {
                    self.wheel.rearm(id, at);
                }
                (id, at)
            }
            None => (self.wheel.arm(at, index), at),
        });
    }

    fn end(&mut self, index: usize, mut result: LookupEnd, now: Instant) {
        let waiters = self.remove(index, now);
        if let Ok(addresses) = &mut result {
            order::sort(addresses, |address| self.routes.has(address));
        }
        self.ended.push_back(End { waiters, result });
    }

    /// Takes a lookup out; who waited for it.
    fn remove(&mut self, index: usize, now: Instant) -> Vec<usize> {
        let Some(mut entry) = self.lookups.try_remove(index) else { return Vec::new() };
        self.by_question.remove(&entry.key);
        if let Some((id, _)) = entry.timer {
            self.wheel.disarm(id);
        }
        if let Some(lookup) = &mut entry.lookup {
            self.in_flight -= 1;
            lookup.release(&mut View {
                net: &mut self.net,
                cache: &self.cache,
                recall: entry.recall,
                lookup: index,
                now,
            });
        }
        entry.waiters
    }

    /// Holds no descriptor while nothing is looked up.
    fn rest(&mut self) {
        if self.lookups.is_empty() {
            self.net.close_all();
        }
    }
}
