//! Admits hosts, and closes connections that nothing needs.

use std::time::Instant;

use super::Engine;
use crate::error::{CancelCause, HostErrorKind};
use crate::fleet::agents::Keys;
use crate::fleet::event_loop::Timer;
use crate::fleet::schedule::Drain;
use crate::session::{Awaited, Input, TouchNeed};

impl Engine {
    /// Admits hosts as far as places, descriptors, the rate limit and the turn budget allow.
    pub(super) fn admit(&mut self, now: Instant) {
        self.schedule.admit_again = false;
        // While runs have tasks, no host is admitted, because a task may withdraw a command that
        // would otherwise start.
        let at = if self.schedule.is_paused || self.schedule.runs.has_tasks() {
            None
        } else {
            let for_lookups = self.descriptors_for_lookups();
            self.schedule.admission.count_descriptors(for_lookups, &self.hosts.sums);
            self.admit_hosts(now);
            self.schedule.admission.next_at(now, &self.hosts.sums)
        };
        self.schedule.rate_timer = self.event_loop.arm(self.schedule.rate_timer, at, Timer::ConnectRate);
    }

    /// How many descriptors the resolver may open; 0 if no host has a name to resolve.
    pub(in crate::fleet) fn descriptors_for_lookups(&self) -> usize {
        if self.hosts.names > 0 { self.dns.descriptors_left() } else { 0 }
    }

    fn admit_hosts(&mut self, now: Instant) {
        while let Some(next) = self.schedule.admission.next(&self.hosts, now) {
            if next.is_connection() && !self.may_dial(next.index, now) {
                if self.is_over() {
                    self.schedule.admit_again = true;
                    return;
                }
                continue;
            }
            if next.waits_for_descriptors() {
                let needed = self.hosts.descriptors_needed(next.index);
                while !self.schedule.admission.may_take(needed, &self.hosts.sums) {
                    if !self.close_idle(now) {
                        self.schedule.admission.put_back(&next);
                        return;
                    }
                }
            }
            self.schedule.admission.begin(&next, now);
            self.visit(next.index, Input::Admitted { commands: next.commands }, now);
            if self.is_over() {
                self.schedule.admit_again = true;
                return;
            }
        }
    }

    /// Whether a host may be dialled. If its login needs a security key, it first waits for its
    /// turn; and for the list of the agent's keys, if that tells.
    fn may_dial(&mut self, index: usize, now: Instant) -> bool {
        let Self { hosts, agents, schedule, .. } = self;
        let Some(slot) = hosts.slots.get(index) else { return true };
        let Some(agent) = &slot.session.target().profile.agent else { return true };
        let needs_touch = match slot.session.touch_need() {
            TouchNeed::No => false,
            TouchNeed::Yes => true,
            TouchNeed::IfListed(choice) => {
                let still_waits = |asker| hosts.still_waits(asker, Awaited::Agent);
                match agents.keys_for(index, agent, now, still_waits) {
                    Keys::Listed(keys) => choice.needs_security_key(keys.as_deref().unwrap_or_default()),
                    Keys::Unknown => false,
                    Keys::Awaited => return false,
                }
            }
        };
        !needs_touch || schedule.touches.may_dial(slot.need(index, agent), now)
    }

    /// Closes an idle connection, so that another host can use its descriptor. Returns `false` if
    /// no connection is idle.
    fn close_idle(&mut self, now: Instant) -> bool {
        while let Some(index) = self.schedule.admission.idle.pop() {
            let Some(slot) = self.hosts.slots.get(index).filter(|slot| slot.view().is_idle) else { continue };
            let proxy = slot.proxy;
            self.visit(index, Input::Close, now);
            // The proxy has to close the far end of the tunnel.
            if let Some(proxy) = proxy {
                self.visit(proxy, Input::Wake, now);
            }
            return true;
        }
        false
    }

    /// Handles the system's refusal of a descriptor for a host. If other connections are open, the
    /// host waits for one of them to close; otherwise the host fails.
    pub(super) fn out_of_descriptors(&mut self, index: usize, now: Instant) {
        let Some(slot) = self.hosts.slots.get(index) else { return };
        let has_command = slot.session.target().command.is_some();
        let can_wait = if slot.session.is_proxy() {
            // The hosts that wait for this proxy cannot free descriptors before the proxy is
            // connected.
            self.close_idle(now)
        } else {
            let own = self.hosts.descriptors_of_proxies(index);
            self.schedule.admission.shrink_to_open(own, &self.hosts.sums)
        };
        if !can_wait {
            let text = if has_command {
                "no descriptor or process is free (see `ulimit -n` and `ulimit -u`)"
            } else {
                "no descriptor is free (see `ulimit -n`)"
            };
            let kind = HostErrorKind::Limit(text.to_owned());
            self.visit(index, Input::GiveUp(kind), now);
        }
    }

    /// Closes the connection to one proxy that no host uses. Each call closes only one, because
    /// closing it may leave the proxy in front of it unused as well. Call this only when the
    /// ready-list is empty: by then, the disconnect messages of the hosts behind the proxy have
    /// passed through it.
    pub(super) fn close_unused_proxies(&mut self, now: Instant) {
        match self.hosts.unused_proxy() {
            Some(proxy) => {
                self.visit(proxy, Input::Wake, now);
                self.visit(proxy, Input::GiveUp(HostErrorKind::Cancelled(CancelCause::Draining)), now);
            }
            None => self.schedule.close_proxies = false,
        }
    }

    /// Reports that a drain is complete, once no command and no connection is left.
    pub(super) fn end_drain(&mut self) {
        if let Drain::Begun(timer) = self.schedule.drain
            && self.schedule.runs.unfinished == 0
            && self.hosts.sums.connections == 0
        {
            timer.and_then(|timer| self.event_loop.wheel.disarm(timer));
            self.schedule.drain = Drain::Over;
            log::debug!("drain complete");
            self.events.push_drained();
        }
    }
}
