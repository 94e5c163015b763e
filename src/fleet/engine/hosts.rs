//! Adding and removing hosts and their proxies.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use crate::config::Listed;
use crate::dns::Resolver;
use crate::fleet::Reloaded;
use crate::ids::HostId;
use crate::session::{Input, Session, Target};

impl Engine {
    pub(in crate::fleet) fn add(&mut self, entry: Arc<Listed>, target: Target, now: Instant) -> HostId {
        let proxy = target.proxy.as_ref().map(|proxy| self.slot_of_proxy(proxy, now));
        let session = Session::new(target, self.hosts.next_jitter(), now);
        let id = self.hosts.insert(session, proxy, &self.execs);
        self.hosts.slots[id.index()].entry = Some(entry);
        id
    }

    /// Returns the slot of this proxy, which all hosts behind the proxy share. Creates the slot,
    /// and those of the proxies in front of this one, if needed.
    fn slot_of_proxy(&mut self, proxy: &Arc<Target>, now: Instant) -> usize {
        if let Some(index) = proxy.proxy_id.and_then(|id| self.hosts.proxies.get(&id)) {
            return *index;
        }
        let further = proxy.proxy.as_ref().map(|further| self.slot_of_proxy(further, now));
        let session = Session::proxy(proxy.clone(), self.hosts.next_jitter(), now);
        let index = self.hosts.insert(session, further, &self.execs).index();
        self.hosts.proxies.extend(proxy.proxy_id.map(|id| (id, index)));
        index
    }

    /// Uses what a reload has read from now on.
    pub(in crate::fleet) fn renew(&mut self, reloaded: Reloaded, now: Instant) {
        let Reloaded { targets, dns, .. } = reloaded;
        if let Some(config) = dns {
            self.dns.replace(Resolver::Native(config), now);
        }
        self.agents.forget_identities(|agent| self.schedule.touches.is_touching(agent));
        let mut proxies = HashSet::new();
        for (host, target) in targets {
            // The host may have been removed meanwhile.
            let Some(slot) = self.hosts.get(host) else { continue };
            let mut next = (slot.proxy, target.proxy);
            self.order(host.index(), Input::Renew(target.profile));
            while let (Some(proxy), Some(target)) = next {
                if !proxies.insert(proxy) {
                    break;
                }
                self.order(proxy, Input::Renew(target.profile.clone()));
                next = (self.hosts.slots[proxy].proxy, target.proxy.clone());
            }
        }
        log::debug!("the files of the fleet were read again");
        self.event_loop.alarm();
    }

    /// Ends a connection and its commands, and frees its slot. A pending lookup is cancelled,
    /// because nothing needs its result any more. Queues may still contain the index of the slot.
    /// That is harmless even if the slot is reused: at worst, the new connection is visited in
    /// vain.
    pub(in crate::fleet) fn remove(&mut self, index: usize, now: Instant) {
        if let Some(slot) = self.hosts.slots.get_mut(index) {
            // Inputs queued before the removal no longer matter.
            slot.mail.clear();
        }
        self.visit(index, Input::Remove, now);
        if !self.hosts.slots.contains(index) {
            return;
        }
        let slot = self.hosts.remove(index);
        debug_assert!(slot.child.is_none(), "a process is left");
        if let Some(proxy) = slot.proxy {
            self.leave_proxy(proxy, now);
        }
    }

    /// Records that a connection behind this proxy is gone. If it was the last one, removes the
    /// proxy.
    fn leave_proxy(&mut self, proxy: usize, now: Instant) {
        let Some(slot) = self.hosts.slots.get_mut(proxy) else { return };
        slot.behind = slot.behind.saturating_sub(1);
        if slot.behind == 0 {
            if let Some(id) = slot.session.target().proxy_id {
                self.hosts.proxies.remove(&id);
            }
            self.remove(proxy, now);
        }
    }
}
