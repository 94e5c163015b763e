//! The engine drives every host from one thread, one turn at a time.
//!
//! A turn collects readiness, fires the timers that are due, visits ready hosts one after the other
//! until its budget is used up, and admits waiting hosts. Hosts that were not reached stay on the
//! ready-list and come first in the next turn. The cost of a turn depends on the number of ready
//! hosts, not on the number of all hosts.

mod admit;
mod hosts;
mod serve;
mod visit;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::agents::Agents;
use super::children::Children;
use super::disk::Disk;
use super::event_loop::{AGENT, CHILD, EventLoop, RESOLVER, token};
use super::event_queue::EventQueue;
use super::metrics::Metrics;
use super::registry::{Links, Registry};
use super::schedule::Schedule;
use super::transfer_rate::TransferRate;
use super::transfers::Transfers;
use super::turn_budget::{Budget, Meter, Turn};
use super::turn_times::TurnTimes;
use crate::clock::Clock;
use crate::config::Limits;
use crate::dns::{Dns, Resolver, Ties};
use crate::reactor::{Key, Reactor};
use crate::session::{Effect, Execs};

pub(super) struct Engine {
    pub clock: Clock,
    /// The events that the caller has not taken yet.
    pub events: EventQueue,
    pub execs: Execs,
    pub hosts: Registry,
    /// Dropped after the hosts, whose connections are then closed.
    pub children: Children,
    pub event_loop: EventLoop,
    pub schedule: Schedule,
    /// The totals. The current figures are filled in on request.
    pub totals: Metrics,
    pub turn_times: TurnTimes,
    pub dns: Dns,
    agents: Agents,
    disk: Disk,
    /// Dropped after the commands, whose part files are then given up.
    pub transfers: Transfers,
    meter: Meter,
    /// The buffer for effects, which is reused from visit to visit.
    effects: Vec<Effect>,
    /// A buffer that sessions use during a visit.
    scratch: Vec<u8>,
}

/// The arguments of [`Engine::new`].
pub(super) struct Parts {
    pub reactor: Reactor,
    pub links: Box<dyn Links>,
    pub clock: Clock,
    pub limits: Limits,
    pub resolver: Resolver,
    /// The number of hosts to reserve space for.
    pub hosts: usize,
}

impl Engine {
    pub(super) fn new(parts: Parts) -> io::Result<Self> {
        let Parts { reactor, links, clock, limits, resolver, hosts } = parts;
        let now = clock.now();
        let waker = reactor.waker().clone();
        let ties = Ties {
            registry: Arc::new(reactor.registry().try_clone()?),
            waker: waker.clone(),
            token: token::<RESOLVER>,
        };
        Ok(Self {
            events: EventQueue::default(),
            execs: Execs::new(limits.output_budget.unwrap_or(usize::MAX)),
            hosts: Registry::new(hosts, links, getrandom::u64()?),
            children: Children::new(),
            schedule: Schedule::new(limits),
            totals: Metrics::default(),
            turn_times: TurnTimes::default(),
            dns: Dns::new(resolver, hosts, ties, now),
            agents: Agents::new(&reactor)?,
            disk: Disk::new(waker.clone()),
            transfers: Transfers::new(waker, TransferRate::new(limits.transfer_rate, now)),
            meter: Meter::default(),
            effects: Vec::new(),
            scratch: Vec::new(),
            event_loop: EventLoop::new(reactor, now),
            clock,
        })
    }

    /// The time by which the next turn must run. It may be in the past.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.event_loop.wheel.next_deadline().into_iter().chain(self.dns.next_deadline()).min()
    }

    /// Runs one turn. Collects readiness first, unless a wait has just done that.
    pub(super) fn turn(&mut self, now: Instant, budget: Budget) -> io::Result<Turn> {
        if !std::mem::take(&mut self.event_loop.polled) {
            self.poll(Some(Duration::ZERO))?;
        }
        Ok(self.work(now, budget))
    }

    /// Blocks until there is work for a turn, but no longer than `limit`.
    pub(super) fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let deadline = if self.is_due() {
            Some(Duration::ZERO)
        } else {
            self.next_deadline().map(|at| at.saturating_duration_since(self.clock.now()))
        };
        self.poll([limit, deadline].into_iter().flatten().min())?;
        self.event_loop.polled = true;
        Ok(())
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Self { event_loop: EventLoop { reactor, ready, .. }, hosts, agents, dns, children, .. } = self;
        let polled = reactor.poll(timeout, |Key { kind, index, generation }| match kind {
            AGENT => agents.note_ready(index, generation),
            RESOLVER => dns.ready(index, generation),
            CHILD => children.note_ready(index, generation),
            _ => {
                if hosts.slots.get(index).is_some_and(|slot| slot.link.is_current(generation)) {
                    ready.push(index);
                }
            }
        })?;
        // The turn that follows is what was asked for. A wake-up that is left unread in the poll
        // does not notify an edge-triggered caller again, so another one must be allowed.
        self.event_loop.alarmed = false;
        if polled.is_woken {
            self.disk.collect();
            self.transfers.collect();
            for index in self.hosts.links.returned() {
                self.event_loop.ready.push(index);
            }
        }
        self.event_loop.poll_again = polled.is_full;
        Ok(())
    }

    fn work(&mut self, now: Instant, budget: Budget) -> Turn {
        self.meter.begin(budget, &self.clock);
        // Back-pressure: a turn does nothing while the caller's event queue is full.
        if !self.meter.is_full(self.events.len()) {
            self.dns.advance(now);
            self.fire_timers(now);
            self.meter.resume(&self.clock);
            self.deliver_lookups(now);
            self.deliver_from_disk(now);
            self.deliver_from_files(now);
            self.visit_agents(now);
            self.visit_children(now);
            self.deliver_permissions(now);
            self.deliver_turns(now);
            self.serve_runs(now);
            self.visit_ready(now);
            self.resume_held(now);
            self.admit(now);
            if self.schedule.close_proxies && self.event_loop.ready.is_empty() {
                self.close_unused_proxies(now);
            }
            self.resume_transfers(now);
            self.time_trials(now);
            self.end_drain();
        } else {
            self.event_loop.alarm();
        }
        self.events.grant(budget);
        let more = self.has_work();
        if self.event_loop.is_watched() && (more || !self.events.is_empty()) {
            self.event_loop.alarm();
        }
        let turn = self.meter.end(more, &self.clock);
        self.totals.turns += 1;
        self.totals.visits += turn.visits as u64;
        self.totals.longest_turn = self.totals.longest_turn.max(turn.elapsed);
        if let Some(cpu) = self.meter.cpu(&self.clock) {
            self.turn_times.count(cpu);
        }
        turn
    }

    /// Whether the next turn must run now, even if the poll reports nothing.
    pub(super) fn is_due(&self) -> bool {
        self.event_loop.alarmed || self.has_work() || !self.events.is_empty()
    }

    /// Whether there is work that neither the poll nor a timer will report.
    fn has_work(&self) -> bool {
        let has_answers = self.agents.has_answers()
            || !self.disk.answers.is_empty()
            || !self.transfers.answers.is_empty()
            || self.dns.has_work();
        let has_news =
            self.event_loop.poll_again || !self.event_loop.ready.is_empty() || self.children.has_ready();
        has_news || has_answers || self.schedule.has_work(self.execs.share())
    }

    /// Whether this turn's budget is used up.
    fn is_over(&self) -> bool {
        self.meter.is_over(self.events.len())
    }

    /// Makes the next turn look for hosts to admit.
    pub(super) fn admit_soon(&mut self) {
        self.schedule.admit_again = true;
        self.event_loop.alarm();
    }
}
