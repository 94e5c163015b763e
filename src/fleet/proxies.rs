//! Proxies: connections that are no host's of the list, and what passes between them and the hosts behind them.
//!
//! A proxy is connected when the first host needs it, by attempts of its own, and stays connected for the next ones. It
//! takes no place in the pool: the hosts that wait for it hold theirs meanwhile.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::Fleet;
use crate::error::HostErrorKind;
use crate::session::{Input, Session, Target, TunnelId, TunnelRequest, Tunnelled};

impl Fleet {
    /// The slot of this proxy, one for all that share it, and after it those of the proxies that it goes through itself.
    pub(super) fn slot_of_proxy(&mut self, proxy: &Arc<Target>, now: Instant) -> usize {
        if let Some(index) = proxy.proxy_id.and_then(|id| self.proxies.get(&id)) {
            return *index;
        }
        let further = proxy.proxy.as_ref().map(|further| self.slot_of_proxy(further, now));
        let session = Session::proxy(proxy.clone(), self.next_jitter(), now);
        let index = self.insert(session, further).index();
        self.proxies.extend(proxy.proxy_id.map(|id| (id, index)));
        index
    }

    /// Hands a host's wish to its proxy.
    pub(super) fn request_tunnel(&mut self, index: usize, now: Instant) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let (Some(conduit), Some(proxy)) = (slot.session.take_conduit(), slot.proxy) else { return };
        let id = TunnelId { index, generation: slot.link.generation() };
        let Target { dialled: host, port, .. } = slot.session.target();
        let request = TunnelRequest { id, host: host.clone(), port: *port, conduit };
        if let Some(slot) = self.slots.get_mut(proxy) {
            slot.session.request_tunnel(request, now);
            self.settle(proxy);
            self.ready.push(proxy);
        }
    }

    /// After a visit to a proxy: gives the hosts behind it their news, for their next visit.
    pub(super) fn pass_on(&mut self, proxy: usize) {
        let Some(slot) = self.slots.get_mut(proxy) else { return };
        for (TunnelId { index, generation }, tunnelled) in slot.session.take_tunnelled() {
            let host = self.slots.get_mut(index).filter(|slot| slot.link.generation() == generation);
            let is_waiting = host.as_ref().is_some_and(|slot| slot.session.is_connected());
            match (host, &tunnelled) {
                (Some(host), Tunnelled::Ended) => host.tunnel = None,
                (Some(host), _) if is_waiting => {
                    // From a failed one on, the channel's name is nobody's or another's.
                    host.tunnel = match tunnelled {
                        Tunnelled::Begun(channel) => Some(channel),
                        Tunnelled::Failed(_) => None,
                        _ => host.tunnel,
                    };
                    host.tunnelled = Some(tunnelled);
                    self.ready.push(index);
                }
                (_, Tunnelled::Begun(channel)) => {
                    self.slots[proxy].link.close_tunnel(*channel);
                    self.ready.push(proxy);
                }
                _ => {}
            }
        }
    }

    /// After a visit to a host: what it has sent is in its tunnel now, what it has taken has left room there, or it has hung
    /// up.
    pub(super) fn follow_tunnel(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let (Some(channel), Some(proxy)) = (slot.tunnel, slot.proxy) else { return };
        let is_over = !slot.session.is_connected();
        if is_over {
            slot.tunnel = None;
        }
        let Some(slot) = self.slots.get_mut(proxy) else { return };
        if is_over {
            slot.link.close_tunnel(channel);
        } else {
            slot.link.wake_tunnel(channel);
        }
        self.ready.push(proxy);
    }

    /// Lets a proxy close the far end of a connection that was closed for its descriptors.
    pub(super) fn visit_proxy_of(&mut self, index: usize, now: Instant) {
        if let Some(proxy) = self.slots.get(index).and_then(|slot| slot.proxy) {
            self.visit(proxy, Input::Readiness, now);
        }
    }

    /// Descriptors that a host still has to get before it can connect: its own, and those of its proxies.
    pub(super) fn descriptors_needed(&self, index: usize) -> usize {
        let next = |slot: &&super::Slot| self.slots.get(slot.proxy?);
        let way = std::iter::successors(self.slots.get(index), next);
        way.filter(|slot| slot.booked.descriptors == 0).map(super::Slot::descriptors).sum()
    }

    /// Descriptors that the proxies of a host have.
    pub(super) fn descriptors_of_proxies(&self, index: usize) -> usize {
        let next = |slot: &&super::Slot| self.slots.get(slot.proxy?);
        let way = std::iter::successors(self.slots.get(index), next).skip(1);
        way.map(|slot| slot.booked.descriptors).sum()
    }

    /// A host behind this proxy has gone: the last one takes it along.
    pub(super) fn leave_proxy(&mut self, proxy: usize, now: Instant) {
        let Some(slot) = self.slots.get_mut(proxy) else { return };
        slot.behind = slot.behind.saturating_sub(1);
        if slot.behind == 0 {
            self.proxies.retain(|_, index| *index != proxy);
            self.retire(proxy, now);
        }
    }

    /// Closes proxies that nobody is behind, after their hosts' goodbyes have gone through them: one after the other, as one may
    /// be behind another.
    pub(super) fn close_unused_proxies(&mut self, now: Instant) {
        let connected = self.slots.iter().filter(|(_, slot)| slot.session.is_connected());
        let used: HashSet<usize> = connected.filter_map(|(_, slot)| slot.proxy).collect();
        let is_unused = |index: &usize| {
            let session = &self.slots[*index].session;
            (session.is_connected() || session.is_waited_for()) && !used.contains(index)
        };
        match self.proxies.values().copied().find(is_unused) {
            Some(proxy) => {
                self.visit(proxy, Input::Readiness, now);
                self.visit(proxy, Input::GiveUp(HostErrorKind::Cancelled), now);
            }
            None => self.close_proxies = false,
        }
    }
}
