//! The work of a turn: timers, answers, tasks of runs, ready hosts, and hosts that were held back.

use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use crate::agent::{AgentAnswer, Asker};
use crate::dns::Finished;
use crate::error::CancelCause;
use crate::fleet::agents::Lane;
use crate::fleet::children::Visited;
use crate::fleet::event_loop::Timer;
use crate::fleet::events::Entry;
use crate::fleet::runs::{Reach, Task};
use crate::fleet::schedule::{Drain, Schedule};
use crate::fleet::slot::Slot;
use crate::ids::{CommandId, HostId, StdStream};
use crate::limits;
use crate::session::{Awaited, Input, TouchRequest};
use crate::transfer::{Errand, ErrandResult};

/// A question to an agent.
#[derive(Debug)]
pub(super) enum Question {
    Keys,
    Signature(Vec<u8>),
    /// A signature by a security key.
    Touch(TouchRequest),
}

impl Engine {
    pub(super) fn fire_timers(&mut self, now: Instant) {
        let Self { event_loop, hosts, schedule, children, transfers, .. } = self;
        event_loop.expire(now, |event_loop, timer| match timer {
            Timer::Slot(index) => {
                if let Some(slot) = hosts.slots.get_mut(index) {
                    slot.timer = None;
                    event_loop.ready.push(index);
                }
            }
            // Hosts that wait for the rate limit are admitted later in this turn.
            Timer::ConnectRate => schedule.rate_timer = None,
            Timer::Child(index) => children.expired(index),
            Timer::TransferRate => transfers.rate.timer = None,
            Timer::Trial => schedule.trial_timer = None,
            Timer::Drain => {
                schedule.drain = Drain::Begun(None);
                schedule.runs.stop_all(CancelCause::Draining, Reach::Everything);
            }
        });
    }

    /// Delivers the results of lookups, as far as the turn budget allows.
    pub(super) fn deliver_lookups(&mut self, now: Instant) {
        while let Some(Finished { id, owner, result }) = self.dns.next_finished() {
            let slot = self.hosts.slots.get_mut(owner);
            if slot.and_then(|slot| slot.lookup.take_if(|lookup| *lookup == id)).is_none() {
                continue;
            }
            self.visit(owner, Input::Resolved(result.map_err(Into::into)), now);
            if self.is_over() {
                return;
            }
        }
    }

    /// Delivers the answers of the disk, as far as the turn budget allows.
    pub(super) fn deliver_from_disk(&mut self, now: Instant) {
        while let Some((asker, answer)) = self.disk.answers.pop_front() {
            if self.hosts.still_waits(asker, Awaited::Disk) {
                self.visit(asker.slot, Input::Disk(answer), now);
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// Delivers the results of file jobs, as far as the turn budget allows.
    pub(super) fn deliver_from_files(&mut self, now: Instant) {
        while let Some((id, answer)) = self.transfers.answers.pop_front() {
            match self.slot_of(id) {
                Some(index) => self.visit(index, Input::File(id, answer), now),
                // The host was removed.
                None => {
                    let mut effects = Vec::new();
                    self.execs.file_answer(id, answer, now, &mut effects);
                    effects.into_iter().for_each(|effect| self.apply_without_host(effect));
                }
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// Runs a command on the host for this transfer.
    pub(super) fn run_errand(&mut self, index: usize, transfer: CommandId, errand: &Errand, now: Instant) {
        let Some(exec) = self.execs.get(transfer) else { return };
        let slot = errand.slot;
        let Some(request) = exec.request().for_transfer(errand) else {
            let result = ErrandResult { slot, outcome: None, stdout: Vec::new(), stderr: Vec::new() };
            return self.order(index, Input::Helped(transfer, Box::new(result)));
        };
        let request = Arc::new(request);
        let id = self.execs.insert_helper(transfer, request, slot, now);
        let (Some(id), Some(host)) = (id, self.hosts.slots.get_mut(index)) else { return };
        host.session.assign(id);
        self.transfers.errand_begun(transfer, id);
        self.order(index, Input::Help(id));
    }

    /// Passes the end of such a command on to its transfer.
    pub(super) fn end_errand(&mut self, id: CommandId) {
        self.transfers.errand_ended(id);
        let Some(exec) = self.execs.get(id) else { return };
        let (index, outcome) = (exec.host().index(), exec.outcome().cloned());
        let output = |which| exec.stream(which).unread().to_vec();
        let (stdout, stderr) = (output(StdStream::Stdout), output(StdStream::Stderr));
        let helps = exec.helps();
        self.execs.release(id);
        if let Some((transfer, slot)) = helps {
            let result = ErrandResult { slot, outcome, stdout, stderr };
            self.order(index, Input::Helped(transfer, Box::new(result)));
        }
    }

    /// Cancels the commands that run for a transfer which has ended.
    pub(super) fn cancel_errands(&mut self, transfer: CommandId) {
        for id in self.transfers.errands_of(transfer) {
            self.order_for(id, Input::Cancel(id, CancelCause::Caller));
        }
    }

    /// Asks a host's agent for its keys, or for a signature.
    pub(super) fn ask_agent(&mut self, asker: Asker, question: Question, now: Instant) {
        let Self { agents, hosts, schedule, .. } = self;
        let Some(slot) = hosts.slots.get(asker.slot) else { return };
        let Some(path) = &slot.session.target().profile.agent else {
            return self.bug(asker.slot, "a question to an agent that is not configured", now);
        };
        debug_assert!(hosts.still_waits(asker, Awaited::Agent), "the answer would be dropped");
        let waits = |asker| hosts.still_waits(asker, Awaited::Agent);
        match question {
            Question::Keys => agents.agent(path, Lane::Common).ask_identities(asker, waits),
            Question::Signature(request) => {
                agents.agent(path, Lane::Common).ask_signature(asker, request, waits);
            }
            Question::Touch(TouchRequest { message, key }) => {
                if !schedule.touches.may_touch(slot.need(asker.slot, path), now) {
                    return self.visit(asker.slot, Input::Overtaken, now);
                }
                let client = agents.agent(path, Lane::Touch);
                client.abandon_unwanted(waits);
                client.ask_signature(asker, message, waits);
                self.tell_of_touch(asker.slot, key);
            }
        }
    }

    /// Reports that a host waits for a touch of the security key with this comment.
    fn tell_of_touch(&mut self, index: usize, key: Arc<str>) {
        let Some(slot) = self.hosts.slots.get(index) else { return };
        let name = slot.session.target().shown();
        log::warn!("{name} waits for a touch of the security key {key}");
        // A proxy has no public id, so the event names a host behind it.
        let is_behind = |slot: &Slot| slot.proxy == Some(index) && slot.view().holds_descriptor;
        let host = match slot.session.is_proxy() {
            false => Some(slot.id),
            true => self.hosts.slots.iter().find(|(_, slot)| is_behind(slot)).map(|(_, slot)| slot.id),
        };
        if let Some(host) = host {
            self.events.push(host, Entry::Touch { host, name, key });
        }
    }

    /// Advances the agents' clients, and delivers their answers as far as the turn budget allows.
    pub(super) fn visit_agents(&mut self, now: Instant) {
        let Self { agents, hosts, .. } = self;
        agents.go_on(|asker| hosts.still_waits(asker, Awaited::Agent));
        while let Some((asker, answer)) = self.agents.next_answer() {
            if self.hosts.still_waits(asker, Awaited::Agent) {
                let input = match answer {
                    AgentAnswer::Identities(identities) => Input::Identities(identities),
                    AgentAnswer::Signature(signature) => {
                        self.schedule.touches.answered(asker.slot, now);
                        Input::Signed(signature)
                    }
                };
                self.visit(asker.slot, input, now);
            }
            // This is checked after an answer was delivered, so that every turn makes progress.
            if self.is_over() {
                return;
            }
        }
    }

    /// Visits the processes of proxy commands that have news, as far as the turn budget allows.
    pub(super) fn visit_children(&mut self, now: Instant) {
        for _ in 0..self.children.ready() {
            match self.children.visit_next(&mut self.event_loop, now) {
                // The host may wait for that.
                Some(Visited::Ended { slot }) => self.event_loop.ready.push(slot),
                Some(Visited::Gone) => {
                    self.hosts.sums.descriptors = self.hosts.sums.descriptors.saturating_sub(1);
                }
                Some(Visited::Stays) | None => {}
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// Tells hosts whether they may send their passwords, as far as the turn budget allows.
    pub(super) fn deliver_permissions(&mut self, now: Instant) {
        self.schedule.passwords.expire(now);
        while let Some((asker, permission)) = self.schedule.passwords.next_answer() {
            self.visit(asker.slot, Input::Trial(asker.of, permission), now);
            if self.is_over() {
                return;
            }
        }
    }

    /// Lets hosts be dialled that have waited for their turn at a security key, or for the list of
    /// an agent's keys.
    pub(super) fn deliver_turns(&mut self, now: Instant) {
        let Self { hosts, agents, schedule, .. } = self;
        let Schedule { admission, touches, .. } = schedule;
        if !schedule.is_paused {
            touches.expire(now);
        }
        while let Some(index) = touches.next_begun() {
            if let Some(slot) = hosts.slots.get(index) {
                admission.queue_first(index, slot.view());
            }
        }
        let mut unlisted = agents.retry_unlisted(now, |agent| touches.busy_until(agent, now));
        while let Some(index) = unlisted.pop() {
            if let Some(slot) = hosts.slots.get(index) {
                admission.queue(index, slot.view());
            }
        }
    }

    /// Arms the timer for the next trial of a password, and for what
    /// [`deliver_turns`](Self::deliver_turns) does.
    pub(super) fn time_trials(&mut self, now: Instant) {
        let Schedule { passwords, touches, is_paused, .. } = &self.schedule;
        let turn_at = if *is_paused { None } else { touches.next_deadline(now) };
        let others = [turn_at, self.agents.next_deadline()];
        let at = passwords.next_deadline(now).into_iter().chain(others.into_iter().flatten()).min();
        self.schedule.trial_timer = self.event_loop.arm(self.schedule.trial_timer, at, Timer::Trial);
    }

    /// Performs the tasks of runs, as far as the turn budget allows.
    pub(super) fn serve_runs(&mut self, now: Instant) {
        for _ in 0..limits::RUN_TASKS_PER_TURN {
            let Some(task) = self.schedule.runs.next_task() else { return };
            match task {
                Task::Open(run, size) => {
                    log::debug!("{run:?}: starting a batch of {size}");
                    self.schedule.admission.is_count_due = true;
                    self.agents.forget_identities(|agent| self.schedule.touches.is_touching(agent));
                }
                Task::Begin(id) => {
                    if let Some(index) = self.slot_of(id) {
                        self.visit(index, Input::Start(id), now);
                    }
                }
                Task::Withdraw(id, why) => self.order_for(id, Input::Withdraw(id, why)),
                Task::Cancel(id, why) => {
                    self.order_for(id, Input::Withdraw(id, why));
                    self.order_for(id, Input::Cancel(id, why));
                }
            }
            if self.is_over() {
                return;
            }
        }
    }

    fn slot_of(&self, id: CommandId) -> Option<usize> {
        let host = self.execs.get(id)?.host();
        self.hosts.get(host).map(|_| host.index())
    }

    fn order_for(&mut self, id: CommandId, order: Input) {
        if let Some(index) = self.slot_of(id) {
            self.order(index, order);
        }
    }

    /// Visits each ready host at most once, as far as the turn budget allows.
    pub(super) fn visit_ready(&mut self, now: Instant) {
        for _ in 0..self.event_loop.ready.len() {
            let Some(index) = self.event_loop.ready.pop() else { return };
            self.visit(index, Input::Wake, now);
            if self.is_over() {
                return;
            }
        }
    }

    /// Resumes hosts that wait for the output budget, as far as that budget and the turn budget
    /// allow.
    pub(super) fn resume_held(&mut self, now: Instant) {
        while let Some(index) = self.schedule.held.next(self.execs.share()) {
            self.visit(index, Input::Wake, now);
            if self.is_over() {
                return;
            }
        }
    }

    /// Lets transfers go on that wait for bytes of files to be allowed, as far as the limit on the
    /// rate and the turn budget allow. Arms the timer for the next one. No host is visited in this
    /// turn after that.
    pub(super) fn resume_transfers(&mut self, now: Instant) {
        while let Some((index, allowance)) = self.transfers.rate.next(now, |index| self.hosts.lack(index)) {
            self.visit_with(index, Input::Wake, allowance, now);
            if self.is_over() {
                break;
            }
        }
        let Self { transfers, hosts, event_loop, .. } = self;
        let at = transfers.rate.next_at(now, |index| hosts.lack(index));
        transfers.rate.timer = event_loop.arm(transfers.rate.timer, at, Timer::TransferRate);
    }

    /// Called after output of a host was read. If the host was held back and may resume now, this
    /// schedules a visit to it. Otherwise, if hosts that wait for the output budget may resume,
    /// this requests another turn, which tries them.
    pub(in crate::fleet) fn made_room(&mut self, id: HostId) {
        if self.hosts.get(id).is_some_and(|slot| slot.session.may_go_on(&self.execs)) {
            self.event_loop.visit_soon(id.index());
        } else if self.schedule.held.has_next(self.execs.share()) {
            self.event_loop.alarm();
        }
    }
}
