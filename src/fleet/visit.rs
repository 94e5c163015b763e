//! Visits to hosts: what a session's step asks for, and what follows from it for the others.

use std::time::Instant;

use super::slot::Armed;
use super::{Fleet, Timer};
use crate::dns::{Finished, Recall, Wanted};
use crate::error::HostErrorKind;
use crate::session::{Ask, Cx, Input, Target};

impl Fleet {
    /// Steps one host, first with what its proxy and its caller have for it.
    pub(super) fn visit(&mut self, index: usize, input: Input, now: Instant) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let orders = std::mem::take(&mut slot.orders);
        if let Some(tunnelled) = slot.tunnelled.take() {
            self.step(index, Input::Tunnelled(tunnelled), now);
        }
        for order in orders {
            self.step(index, order, now);
        }
        self.step(index, input, now);
    }

    /// Steps one host and draws the consequences.
    fn step(&mut self, index: usize, input: Input, now: Instant) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let (id, stage) = (slot.id, slot.session.stage());
        let host = (!slot.session.is_proxy()).then_some(id);
        let step = slot.session.step(
            input,
            &mut Cx { now, calendar: crate::clock::calendar, link: &mut *slot.link, execs: &mut self.execs },
        );
        if !slot.session.is_resolving()
            && let Some(id) = slot.lookup.take()
        {
            self.dns.cancel(id, now);
        }
        self.meter.stepped(host, stage, &self.clock);
        match step.ask {
            Some(Ask::Lookup) => {
                let Target { dialled: host, port, profile, .. } = slot.session.target();
                let family = profile.connection.family;
                // Another attempt hopes for what was not there before.
                let recall = if slot.session.attempt() > 1 { Recall::Addresses } else { Recall::All };
                let wanted = Wanted { host, port: *port, family, recall, owner: index };
                slot.lookup = Some(self.dns.start(wanted));
            }
            Some(Ask::Identities) => self.ask_agent(index, None),
            Some(Ask::Signature(request)) => self.ask_agent(index, Some(request)),
            Some(Ask::Record(new)) => self.record_key(index, new),
            Some(Ask::Tunnel) => self.request_tunnel(index, now),
            None => {}
        }
        self.tell(index);
        self.pass_on(index);
        self.follow_tunnel(index);
        if step.again {
            self.ready.push(index);
        }
        self.settle(index);
        if step.no_descriptor {
            self.out_of_descriptors(index, now);
        }
    }

    /// Brings timer, pool and queues in line with a session that was stepped or given a command.
    pub(super) fn settle(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let deadline = slot.session.deadline(&self.execs);
        let armed = slot.timer;
        let timer = self.arm(armed, deadline, Timer::Slot(index));
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.timer = timer;
        let before = slot.booked;
        self.admission.settle(index, slot, &self.execs);
        let now = slot.booked;
        self.totals.pass(before.state, now.state);
        self.held.note(index, before.held, now.held, self.execs.share());
        if self.is_draining() {
            self.close_if_unused(index, before);
        }
    }

    /// Brings a timer in line with the time that is to be waited for.
    pub(super) fn arm(&mut self, armed: Option<Armed>, at: Option<Instant>, timer: Timer) -> Option<Armed> {
        let id = match (armed, at) {
            (Some(armed), Some(at)) if armed.at == at => armed.id,
            (Some(armed), Some(at)) => {
                self.wheel.rearm(armed.id, at);
                armed.id
            }
            (Some(armed), None) => {
                self.wheel.disarm(armed.id);
                return None;
            }
            (None, Some(at)) => self.wheel.arm(at, timer),
            (None, None) => return None,
        };
        at.map(|at| Armed { id, at })
    }

    /// Closes a connection that has nothing to do, so that another host can have its descriptor.
    pub(super) fn close_idle(&mut self, now: Instant) -> bool {
        while let Some(index) = self.admission.next_idle() {
            if self.slots.get(index).is_some_and(|slot| slot.session.is_idle()) {
                self.visit(index, Input::Close, now);
                self.visit_proxy_of(index, now);
                return true;
            }
        }
        false
    }

    /// The system gave no descriptor. With connections of ours open the host waits for one of them to close.
    fn out_of_descriptors(&mut self, index: usize, now: Instant) {
        // Hosts that wait for a proxy give nothing back before it is connected.
        let can_wait = match self.slots.get(index) {
            Some(slot) if slot.session.is_proxy() => self.close_idle(now),
            _ => self.admission.shrink_to_open(self.descriptors_of_proxies(index)),
        };
        if !can_wait {
            let kind = HostErrorKind::Limit("no descriptor is free (see `ulimit -n`)".to_owned());
            self.visit(index, Input::GiveUp(kind), now);
        }
    }

    /// Links that had lent something to a helper thread are visited again.
    pub(super) fn note_returned(&mut self) {
        for index in self.links.returned() {
            self.ready.push(index);
        }
    }

    /// Hands over what the lookups have found, as the turn's time allows.
    pub(super) fn deliver_lookups(&mut self, now: Instant) {
        while let Some(Finished { id, owner, result }) = self.dns.next_finished() {
            let Some(slot) = self.slots.get_mut(owner).filter(|slot| slot.lookup == Some(id)) else {
                continue;
            };
            slot.lookup = None;
            self.visit(owner, Input::Resolved(result.map_err(Into::into)), now);
            if self.is_over() {
                return;
            }
        }
    }
}
