//! A visit steps one session and applies the effects of the step to the rest of the fleet.

use std::mem;
use std::time::Instant;

use super::Engine;
use super::serve::Question;
use crate::agent::Asker;
use crate::dns::{Recall, Wanted};
use crate::error::HostErrorKind;
use crate::fleet::event_loop::Timer;
use crate::fleet::events::Entry;
use crate::fleet::password_guard;
use crate::fleet::schedule::Drain;
use crate::ids::CommandId;
use crate::link::Conduit;
use crate::session::{
    Awaited, CommandNews, Cx, Effect, HostState, Input, InputBudget, Target, TunnelId, TunnelProgress,
    TunnelRequest,
};

impl Engine {
    /// Steps one host, first with its queued inputs, then with `input`.
    pub(in crate::fleet) fn visit(&mut self, index: usize, input: Input, now: Instant) {
        let allowance = self.transfers.rate.unclaimed(now);
        self.visit_with(index, input, allowance, now);
    }

    /// Like [`visit`](Self::visit); transfers may request this many bytes of files.
    pub(super) fn visit_with(&mut self, index: usize, input: Input, mut allowance: u64, now: Instant) {
        let input_budget = InputBudget::of(self.hosts.slots.len());
        let Some(slot) = self.hosts.slots.get_mut(index) else {
            return self.transfers.rate.give_back(allowance);
        };
        let (id, stage) = (slot.id, slot.session.stage());
        let host = (!slot.session.is_proxy()).then_some(id);
        let child = slot.child;
        let agent = slot.session.target().profile.agent.as_ref().filter(|_| slot.is_out_of_time(now));
        let agent_busy_until = agent.and_then(|agent| self.schedule.touches.busy_until(agent, now));
        // The buffer is moved out of the engine, because applying the effects may lead to a nested
        // visit to the proxy in front of the host.
        let mut out = mem::take(&mut self.effects);
        for input in mem::take(&mut slot.mail).into_iter().chain([input]) {
            slot.session.step(
                input,
                &mut Cx {
                    now,
                    calendar: crate::clock::calendar,
                    link: &mut *slot.link,
                    agent_busy_until,
                    command: child.and_then(|id| self.children.report(id)),
                    execs: &mut self.execs,
                    input_budget,
                    allowance: &mut allowance,
                    scratch: &mut self.scratch,
                    out: &mut out,
                },
            );
        }
        self.transfers.rate.give_back(allowance);
        self.meter.stepped(host, stage, &self.clock);
        // The view is updated before the effects are applied. An effect may be answered at once,
        // and the answer is delivered only if the view says that the session waits for it.
        self.settle(index, now);
        let mut no_descriptor = false;
        for effect in out.drain(..) {
            no_descriptor |= matches!(effect, Effect::NoDescriptor);
            self.apply(index, effect, now);
        }
        self.effects = out;
        self.follow_tunnel(index);
        if no_descriptor {
            self.out_of_descriptors(index, now);
        }
    }

    /// Queues an input for a host, and schedules a visit to the host in the next turn.
    pub(in crate::fleet) fn order(&mut self, index: usize, input: Input) {
        if let Some(slot) = self.hosts.slots.get_mut(index) {
            slot.mail.push(input);
            self.event_loop.visit_soon(index);
        }
    }

    /// Applies an effect that a session has requested.
    fn apply(&mut self, index: usize, effect: Effect, now: Instant) {
        let Some(slot) = self.hosts.slots.get_mut(index) else { return };
        let asker = Asker { slot: index, generation: slot.link.generation() };
        let (host, is_proxy) = (slot.id, slot.session.is_proxy());
        let entry = match effect {
            Effect::Again => return self.event_loop.ready.push(index),
            Effect::NoDescriptor => return,
            // A later input of the same visit may have ended the attempt.
            Effect::Lookup if slot.view().awaits != Some(Awaited::Lookup) => return,
            Effect::Lookup => return self.look_up(index),
            Effect::ListKeys => return self.ask_agent(asker, Question::Keys, now),
            Effect::Sign(request) => return self.ask_agent(asker, Question::Signature(request), now),
            Effect::Touch(request) => return self.ask_agent(asker, Question::Touch(request), now),
            Effect::RequestTrial(of, password) => {
                let passwords = &mut self.schedule.passwords;
                return passwords.request(password_guard::Asker { slot: index, of }, password, now);
            }
            Effect::TrialEnded(of, end) => {
                let (asker, target) = (password_guard::Asker { slot: index, of }, slot.session.target());
                self.schedule.passwords.ended(asker, end, || target.shown(), now);
                if self.schedule.passwords.has_answers() {
                    self.event_loop.alarm();
                }
                return;
            }
            Effect::Disk(request) => {
                return self.disk.ask(&slot.session.target().profile.verifier, asker, request);
            }
            Effect::File(job) => return self.transfers.start(job),
            Effect::Errand(id, errand) => return self.run_errand(index, id, &errand, now),
            Effect::StartCommand(conduit) => return self.start_command(index, conduit, now),
            Effect::OpenTunnel(conduit) => return self.open_tunnel(index, conduit, now),
            Effect::Tunnelled(id, progress) => return self.pass_on(index, id, progress),
            Effect::KeyExchange => {
                self.meter.turn.key_exchanges += 1;
                self.totals.key_exchanges += 1;
                return;
            }
            Effect::Signature => {
                self.meter.turn.signatures += 1;
                self.totals.signatures += 1;
                return;
            }
            Effect::Command(id, news) => return self.command_news(id, news),
            Effect::Scanned(found) => Entry::Scanned { host, found },
            Effect::Entered(stage) => Entry::Entered { host, stage },
            Effect::Banner(text) => Entry::Banner { host, text },
            Effect::Connected(timings, algorithms) => {
                self.totals.reconnects += u64::from(mem::replace(&mut slot.was_connected, true));
                Entry::Connected { host, timings, algorithms }
            }
            Effect::Disconnected { error, retrying } => {
                if let Some(error) = &error {
                    self.totals.count_failure(error, retrying);
                }
                Entry::Disconnected { host, error, retrying }
            }
        };
        // A proxy has no public id, so there are no events for it.
        if !is_proxy {
            self.events.push(host, entry);
        }
    }

    /// Does what follows for a command whose host was removed.
    pub(super) fn apply_without_host(&mut self, effect: Effect) {
        match effect {
            Effect::File(job) => self.transfers.start(job),
            Effect::Command(id, news) => self.command_news(id, news),
            _ => {}
        }
    }

    /// Starts the lookup of a host's name.
    fn look_up(&mut self, index: usize) {
        let Some(slot) = self.hosts.slots.get_mut(index) else { return };
        let Target { dialled: host, port, profile, .. } = slot.session.target();
        let family = profile.connection.family;
        // After the first attempt, addresses that an earlier lookup found are reused, but a lookup
        // that found none is repeated.
        let recall = if slot.session.attempt() > 1 { Recall::Addresses } else { Recall::All };
        slot.lookup = Some(self.dns.start(Wanted { host, port: *port, family, recall, owner: index }));
    }

    /// Fails a host because of a bug in this library. A debug build panics instead.
    pub(in crate::fleet) fn bug(&mut self, index: usize, what: &'static str, now: Instant) {
        debug_assert!(false, "{what}");
        self.visit(index, Input::GiveUp(HostErrorKind::Bug(what)), now);
    }

    /// Reports news of a command to the caller and to its run.
    fn command_news(&mut self, id: CommandId, news: CommandNews) {
        let Some(exec) = self.execs.get(id) else { return };
        if exec.helps().is_some() {
            return if news == CommandNews::Finished {
                self.end_errand(id)
            };
        }
        let (host, run, is_released) = (exec.host(), exec.run(), exec.is_released());
        let outcome = exec.outcome().filter(|_| news == CommandNews::Finished);
        match outcome {
            _ if is_released => {}
            Some(_) => self.events.push_end(host, id, run),
            None => self.events.push(host, Entry::Command(id, news)),
        }
        let Some(outcome) = outcome else { return };
        self.totals.ends.count(outcome.label());
        self.schedule.runs.finished(run, exec.position(), outcome);
        if is_released {
            self.execs.release(id);
        }
        self.cancel_errands(id);
        self.tell_of_runs();
    }

    pub(in crate::fleet) fn tell_of_runs(&mut self) {
        while let Some((run, news)) = self.schedule.runs.news.pop_front() {
            log::debug!("{run:?}: {news:?}");
            self.events.push_news(run, news);
        }
    }

    /// Starts the proxy command of a host, with this end of a conduit as its standard input and
    /// output.
    fn start_command(&mut self, index: usize, conduit: Conduit, now: Instant) {
        let Some(slot) = self.hosts.slots.get_mut(index) else { return };
        // A later input of the same visit may have ended the attempt.
        if slot.view().state != HostState::Connecting || slot.child.is_some() {
            return;
        }
        let Some(line) = slot.session.target().command_line() else {
            return self.bug(index, "a start of no command", now);
        };
        let registry = self.event_loop.reactor.registry();
        match self.children.start(&line, conduit.into(), index, registry) {
            Ok(child) => slot.child = Some(child),
            Err(error) => self.visit(index, Input::CommandNotStarted(error), now),
        }
    }

    /// Asks the proxy in front of a host to open a channel to that host.
    fn open_tunnel(&mut self, index: usize, conduit: Conduit, now: Instant) {
        let Some(slot) = self.hosts.slots.get(index) else { return };
        let Some(proxy) = slot.proxy else { return self.bug(index, "a tunnel without a proxy", now) };
        let id = TunnelId { index, generation: slot.link.generation() };
        let Target { dialled: host, port, .. } = slot.session.target();
        let request = TunnelRequest { id, host: host.clone(), port: *port, conduit };
        // The proxy is visited at once, so that its descriptors are counted before another host is
        // admitted.
        self.visit(proxy, Input::Tunnel(request), now);
        self.event_loop.ready.push(proxy);
    }

    /// Passes the progress of a tunnel on to the host behind the proxy.
    fn pass_on(&mut self, proxy: usize, id: TunnelId, progress: TunnelProgress) {
        let TunnelId { index, generation } = id;
        let host = self.hosts.slots.get_mut(index).filter(|slot| slot.link.generation() == generation);
        let waits = host.as_ref().is_some_and(|slot| slot.view().holds_descriptor);
        match (host, progress) {
            (Some(host), TunnelProgress::Ended) => host.tunnel = None,
            (Some(host), progress) if waits => {
                match progress {
                    TunnelProgress::Begun(channel) => host.tunnel = Some(channel),
                    // The channel number may be reused after a failure, so it must not be kept.
                    TunnelProgress::Failed(_) => host.tunnel = None,
                    TunnelProgress::Opened | TunnelProgress::Ended => {}
                }
                host.mail.push(Input::Tunnelled(progress));
                self.event_loop.ready.push(index);
            }
            (_, TunnelProgress::Begun(channel)) => {
                self.hosts.slots[proxy].link.close_tunnel(channel);
                self.event_loop.ready.push(proxy);
            }
            _ => {}
        }
    }

    /// Wakes the proxy after a visit to a host behind it, because the host may have written to its
    /// tunnel, made room in the tunnel by reading, or closed its connection.
    fn follow_tunnel(&mut self, index: usize) {
        let Some(slot) = self.hosts.slots.get_mut(index) else { return };
        let (Some(channel), Some(proxy)) = (slot.tunnel, slot.proxy) else { return };
        let is_over = !slot.view().holds_descriptor;
        if is_over {
            slot.tunnel = None;
        }
        let Some(slot) = self.hosts.slots.get_mut(proxy) else { return };
        if is_over {
            slot.link.close_tunnel(channel);
        } else {
            slot.link.wake_tunnel(channel);
        }
        self.event_loop.ready.push(proxy);
    }

    /// Updates the timer, the sums and the queues after a step of a session.
    fn settle(&mut self, index: usize, now: Instant) {
        let Some(slot) = self.hosts.slots.get_mut(index) else { return };
        self.hosts.sums.subtract(slot);
        let usage = slot.usage(&self.execs);
        let before = mem::replace(&mut slot.booked, usage).view;
        self.hosts.sums.add(slot);
        let view = *slot.view();
        slot.timer = self.event_loop.arm(slot.timer, view.deadline, Timer::Slot(index));
        if !view.holds_descriptor
            && let Some(child) = slot.child.take()
        {
            // Until it is gone, it holds a descriptor.
            self.children.end(child, now);
            self.hosts.sums.descriptors += 1;
            self.event_loop.alarm();
        }
        if view.awaits != Some(Awaited::Lookup)
            && let Some(lookup) = slot.lookup.take()
        {
            self.dns.cancel(lookup);
        }
        let (is_proxied, is_host) = (slot.proxy.is_some(), !slot.session.is_proxy());
        if self.schedule.touches.has_asked && !slot.keeps_turn() {
            self.schedule.touches.ended(index, now);
            if self.schedule.touches.has_begun() {
                self.event_loop.alarm();
            }
        }
        self.schedule.admission.queue(index, &view);
        self.schedule.held.update(index, view.held, self.execs.share());
        self.transfers.rate.update(index, view.lack);
        // While the fleet drains, every connection that is no longer needed is closed, followed by
        // the proxies in front of it.
        if is_host && self.schedule.drain != Drain::Not {
            self.schedule.close_proxies |= before.holds_descriptor && !view.holds_descriptor && is_proxied;
            if view.is_idle {
                self.order(index, Input::Close);
            }
        }
    }
}
