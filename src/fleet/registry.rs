//! All connections of a fleet: the hosts of the list, and the proxies in front of them.

use std::collections::{HashMap, HashSet};
use std::iter::successors;
use std::sync::Arc;

use slab::Slab;

use super::slot::Slot;
use super::sums::Sums;
use crate::agent::Asker;
use crate::ids::HostId;
use crate::link::engine::EngineLink;
use crate::link::{Dialler, Link};
use crate::session::{Awaited, Execs, Jitter, ProxyId, Session};

/// The slots of all connections, by index.
pub(super) struct Registry {
    pub slots: Slab<Slot>,
    /// How many slots have been created so far. Each new slot has this number in its id, so that an
    /// id is not reused along with its index.
    given: u32,
    /// The index of each proxy's slot.
    pub proxies: HashMap<ProxyId, usize>,
    pub links: Box<dyn Links>,
    /// The generator that seeds the random jitter of each session.
    pub seeds: Jitter,
    /// How many slots have a host name that the fleet resolves.
    pub names: usize,
    pub sums: Sums,
}

/// Creates the links of slots.
pub(super) trait Links: Send {
    /// A link for the slot with this index.
    fn link(&self, index: usize) -> Box<dyn Link>;
    /// The slots whose links may have made progress although their descriptors did not become
    /// ready.
    fn returned(&self) -> Vec<usize>;
}

impl Links for Arc<Dialler> {
    fn link(&self, index: usize) -> Box<dyn Link> {
        Box::new(EngineLink::new(self.clone(), index))
    }

    fn returned(&self) -> Vec<usize> {
        Dialler::returned(self)
    }
}

impl Registry {
    pub(super) fn new(capacity: usize, links: Box<dyn Links>, seed: u64) -> Self {
        Self {
            slots: Slab::with_capacity(capacity),
            given: 0,
            proxies: HashMap::new(),
            links,
            seeds: Jitter::new(seed),
            names: 0,
            sums: Sums::default(),
        }
    }

    pub(super) fn get(&self, id: HostId) -> Option<&Slot> {
        self.slots.get(id.index()).filter(|slot| slot.id == id)
    }

    pub(super) fn next_jitter(&mut self) -> Jitter {
        Jitter::new(self.seeds.next())
    }

    pub(super) fn insert(&mut self, session: Session, proxy: Option<usize>, execs: &Execs) -> HostId {
        if let Some(slot) = proxy.and_then(|proxy| self.slots.get_mut(proxy)) {
            slot.behind += 1;
        }
        self.given = self.given.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let id = HostId::new(entry.key(), self.given);
        let link = self.links.link(id.index());
        let slot = entry.insert(Slot::new(id, session, link, proxy, execs));
        self.names += usize::from(slot.has_name());
        self.sums.add(slot);
        id
    }

    pub(super) fn remove(&mut self, index: usize) -> Slot {
        let slot = self.slots.remove(index);
        self.names -= usize::from(slot.has_name());
        self.sums.subtract(&slot);
        slot
    }

    /// Whether the connection that asked still exists, and still waits for this kind of answer.
    pub(super) fn still_waits(&self, asker: Asker, awaited: Awaited) -> bool {
        self.slots.get(asker.slot).is_some_and(|slot| {
            slot.link.generation() == asker.generation && slot.view().awaits == Some(awaited)
        })
    }

    /// How many bytes of a file a host waits to request; 0 if it does not.
    pub(super) fn lack(&self, index: usize) -> u32 {
        self.slots.get(index).map_or(0, |slot| slot.view().lack)
    }

    /// The slot of a connection, followed by those of its proxies.
    fn chain(&self, index: usize) -> impl Iterator<Item = &Slot> {
        successors(self.slots.get(index), |slot| self.slots.get(slot.proxy?))
    }

    /// How many descriptors a host needs before it can connect: its own, and those of its proxies
    /// that are not connected.
    pub(super) fn descriptors_needed(&self, index: usize) -> usize {
        let missing = self.chain(index).filter(|slot| slot.booked.descriptors == 0);
        missing.map(Slot::descriptors).sum()
    }

    /// How many descriptors the proxies of a host hold.
    pub(super) fn descriptors_of_proxies(&self, index: usize) -> usize {
        self.chain(index).skip(1).map(|slot| slot.booked.descriptors).sum()
    }

    /// A proxy that is connected, or about to be, although no host uses it.
    pub(super) fn unused_proxy(&self) -> Option<usize> {
        let connected = self.slots.iter().filter(|(_, slot)| slot.view().holds_descriptor);
        let used: HashSet<usize> = connected.filter_map(|(_, slot)| slot.proxy).collect();
        let is_unused = |index: &usize| self.slots[*index].booked.descriptors > 0 && !used.contains(index);
        self.proxies.values().copied().find(is_unused)
    }
}
