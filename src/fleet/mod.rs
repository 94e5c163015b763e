//! The engine: drives every host from one thread.
//!
//! One turn: poll, note who is ready, fire the timers that are due, visit ready hosts one after the other until the
//! turn's time is used up, admit those who wait. What is left over stays on the ready-list and is first in line next
//! time. Nothing in a turn grows with the number of hosts, only with the number of ready ones.

mod admission;
mod descriptors;
mod slot;

use std::ffi::CStr;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::dns::{LookupId, Resolver};
use crate::error::HostErrorKind;
use crate::limits;
use crate::link::{Dialler, LibsshLink};
use crate::reactor::{IndexQueue, Reactor, Ready, TimerId, Wheel, token};
use crate::session::{Ask, Cx, Exec, ExecId, Execs, Input, Session, Target};

use self::admission::Admission;
use self::slot::Slot;

/// Every host, its connection and its commands.
pub(crate) struct Fleet {
    reactor: Reactor,
    wheel: Wheel<Timer>,
    slots: Slab<Slot>,
    /// The host list: who is at which position.
    positions: Vec<usize>,
    dialler: Arc<Dialler>,
    execs: Execs,
    /// Hosts to be visited.
    ready: IndexQueue,
    admission: Admission,
    /// The last admission ended for lack of time, not of hosts or places.
    admit_again: bool,
    resolver: Resolver,
    /// Lookups under way and who waits for them.
    lookups: Vec<(LookupId, usize)>,
    waits: Slab<Wait>,
    stats: Stats,
    /// Reused from turn to turn.
    expired: Vec<Timer>,
}

/// What a timer stands for.
#[derive(Debug, Clone, Copy)]
enum Timer {
    Slot(usize),
    Wait(usize),
}

/// Somebody waits with a deadline.
#[derive(Debug)]
enum Wait {
    Armed(TimerId),
    Fired,
}

/// What a client's reactor has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the event loop: times that the thread woke up.
    pub turns: u64,
    /// Visits to a host with news.
    pub visits: u64,
    /// The longest time that one turn held the thread, waiting excluded.
    pub longest_turn: Duration,
    /// Connections open now.
    pub connections: usize,
    /// Hosts that wait for a place in the pool now.
    pub queued: usize,
    /// Timers armed now.
    pub timers: usize,
    /// Hosts that can be worked on at once: `pool_size`, or fewer if descriptors are short.
    pub pool: usize,
}

impl Fleet {
    pub(crate) fn new(targets: Vec<Target>, pool_size: usize) -> io::Result<Self> {
        let reactor = Reactor::new()?;
        let dialler = Dialler::new(reactor.registry().try_clone()?, token);
        let mut fleet = Self {
            wheel: Wheel::new(Reactor::now()),
            slots: Slab::with_capacity(targets.len()),
            positions: Vec::new(),
            dialler: Arc::new(dialler),
            execs: Execs::default(),
            ready: IndexQueue::default(),
            admission: Admission::new(pool_size),
            admit_again: false,
            resolver: Resolver::new(reactor.waker().clone()),
            lookups: Vec::new(),
            waits: Slab::new(),
            stats: Stats::default(),
            expired: Vec::new(),
            reactor,
        };
        fleet.positions = targets.into_iter().map(|target| fleet.add(target)).collect();
        Ok(fleet)
    }

    /// Makes a place for a host.
    fn add(&mut self, target: Target) -> usize {
        let entry = self.slots.vacant_entry();
        let index = entry.key();
        let link = LibsshLink::new(self.dialler.clone(), index);
        entry.insert(Slot::new(Session::new(target), Box::new(link)));
        index
    }

    /// The host at this position of the list.
    pub(crate) fn target(&self, position: usize) -> Option<&Target> {
        self.slots.get(*self.positions.get(position)?).map(|slot| slot.session.target())
    }

    pub(crate) fn exec(&self, id: ExecId) -> Option<&Exec> {
        self.execs.get(id)
    }

    /// A command's streams, to be read or written. After writing, [`Fleet::touch`] its host.
    pub(crate) fn exec_mut(&mut self, id: ExecId) -> Option<&mut Exec> {
        self.execs.get_mut(id)
    }

    /// See [`Execs::release`].
    pub(crate) fn release(&mut self, id: ExecId) {
        self.execs.release(id);
    }

    /// There is new input for a command of the host at this position.
    pub(crate) fn touch(&mut self, position: usize) {
        if let Some(index) = self.positions.get(position) {
            self.ready.push(*index);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            connections: self.admission.connections(),
            queued: self.admission.queued(),
            timers: self.wheel.len(),
            pool: self.admission.pool(),
            ..self.stats
        }
    }

    /// Gives every host its command, one for each in the order of the hosts. Returns at once; the hosts begin with the
    /// next turns.
    pub(crate) fn start(&mut self, commands: &[Arc<CStr>]) -> Vec<ExecId> {
        debug_assert_eq!(commands.len(), self.positions.len());
        let now = Reactor::now();
        self.admission.count_descriptors(self.positions.len());
        let mut ids = Vec::with_capacity(commands.len());
        for (position, command) in commands.iter().enumerate().take(self.positions.len()) {
            let index = self.positions[position];
            let id = self.execs.insert(Exec::new(command.clone(), now));
            self.slots[index].session.attach(id, now);
            self.settle(index);
            ids.push(id);
        }
        self.admit(now);
        ids
    }

    /// One turn of the loop. Waits for news at most `patience` (`None`: for ever), and no longer than to the next timer.
    pub(crate) fn turn(&mut self, patience: Option<Duration>) -> io::Result<()> {
        let timeout = [patience, self.timeout()].into_iter().flatten().min();
        let Self { reactor, ready, slots, .. } = self;
        let mut woken = false;
        reactor.poll(timeout, |news| match news {
            Ready::Slot { index, generation } => {
                if slots.get(index).is_some_and(|slot| slot.link.generation() == generation) {
                    ready.push(index);
                }
            }
            Ready::Woken => woken = true,
        })?;
        let now = Reactor::now();
        self.stats.turns += 1;
        if woken {
            self.deliver_lookups(now);
        }
        self.fire_timers(now);
        self.visit_ready(now);
        self.admit(now);
        self.stats.longest_turn = self.stats.longest_turn.max(Reactor::now().saturating_duration_since(now));
        Ok(())
    }

    /// Turns until `done`, or until the deadline. Whether it was done.
    pub(crate) fn run_until(
        &mut self,
        deadline: Option<Instant>,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> io::Result<bool> {
        if done(self) {
            return Ok(true);
        }
        let wait = deadline.map(|at| self.arm_wait(at));
        let result = loop {
            if let Err(e) = self.turn(None) {
                break Err(e);
            }
            if done(self) {
                break Ok(true);
            }
            if wait.is_some_and(|key| matches!(self.waits.get(key), Some(Wait::Fired))) {
                break Ok(false);
            }
        };
        if let Some(key) = wait
            && let Some(Wait::Armed(timer)) = self.waits.try_remove(key)
        {
            self.wheel.disarm(timer);
        }
        result
    }

    fn arm_wait(&mut self, at: Instant) -> usize {
        let entry = self.waits.vacant_entry();
        let key = entry.key();
        entry.insert(Wait::Armed(self.wheel.arm(at, Timer::Wait(key))));
        key
    }

    /// How long the poll may wait: not at all while hosts are ready, else until the next timer.
    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || self.admit_again {
            return Some(Duration::ZERO);
        }
        let next = self.wheel.next_deadline()?;
        Some(next.saturating_duration_since(Reactor::now()))
    }

    fn deliver_lookups(&mut self, now: Instant) {
        for (id, result) in self.resolver.finished() {
            let Some(at) = self.lookups.iter().position(|(waiting, _)| *waiting == id) else { continue };
            let (_, index) = self.lookups.swap_remove(at);
            self.visit(index, Input::Resolved(result), now);
        }
    }

    fn fire_timers(&mut self, now: Instant) {
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.advance(now, &mut expired);
        for timer in expired.drain(..) {
            match timer {
                Timer::Slot(index) => {
                    if let Some(slot) = self.slots.get_mut(index) {
                        slot.timer = None;
                        slot.due = true;
                        self.ready.push(index);
                    }
                }
                Timer::Wait(key) => {
                    if let Some(wait) = self.waits.get_mut(key) {
                        *wait = Wait::Fired;
                    }
                }
            }
        }
        self.expired = expired;
    }

    /// Visits each host that is ready at most once, as long as there is time.
    fn visit_ready(&mut self, now: Instant) {
        for _ in 0..self.ready.len() {
            let Some(index) = self.ready.pop() else { break };
            let due = self.slots.get_mut(index).is_some_and(|slot| std::mem::take(&mut slot.due));
            self.visit(index, if due { Input::Timer } else { Input::Readiness }, now);
            if is_over(now) {
                break;
            }
        }
    }

    /// Steps one host and draws the consequences.
    fn visit(&mut self, index: usize, input: Input, now: Instant) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        self.stats.visits += 1;
        let step = slot.session.step(input, &mut Cx { now, link: &mut *slot.link, execs: &mut self.execs });
        match step.ask {
            Some(Ask::Lookup) => {
                let target = slot.session.target();
                let id = self.resolver.start(&target.host, target.port);
                self.lookups.retain(|(_, waiting)| *waiting != index);
                self.lookups.push((id, index));
            }
            None => {}
        }
        if step.again {
            self.ready.push(index);
        }
        self.settle(index);
        if step.no_descriptor {
            self.out_of_descriptors(index, now);
        }
    }

    /// Brings timer, pool and queues in line with a session that was stepped or given a command.
    fn settle(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let deadline = slot.session.deadline(&self.execs);
        slot.timer = match (slot.timer.take(), deadline) {
            (Some(armed), Some(at)) if armed.at == at => Some(armed),
            (Some(armed), Some(at)) => {
                self.wheel.rearm(armed.id, at);
                Some(slot::Armed { id: armed.id, at })
            }
            (Some(armed), None) => {
                self.wheel.disarm(armed.id);
                None
            }
            (None, Some(at)) => Some(slot::Armed { id: self.wheel.arm(at, Timer::Slot(index)), at }),
            (None, None) => None,
        };
        self.admission.settle(index, slot, &self.execs);
    }

    /// Lets hosts begin as places, descriptors and the turn's time allow.
    fn admit(&mut self, now: Instant) {
        self.admit_again = false;
        while let Some(index) = self.admission.next(&self.slots, &self.execs) {
            if !self.slots[index].session.is_connected()
                && !self.admission.may_connect()
                && !self.close_idle(now)
            {
                self.admission.put_back(index);
                return;
            }
            self.visit(index, Input::Admitted, now);
            if is_over(now) {
                self.admit_again = true;
                return;
            }
        }
    }

    /// Closes a connection that has nothing to do, so that another host can have its descriptor.
    fn close_idle(&mut self, now: Instant) -> bool {
        while let Some(index) = self.admission.next_idle() {
            if self.slots.get(index).is_some_and(|slot| slot.session.is_idle()) {
                self.visit(index, Input::Close, now);
                return true;
            }
        }
        false
    }

    /// The system gave no descriptor. With connections of ours open the host waits for one of them to close.
    fn out_of_descriptors(&mut self, index: usize, now: Instant) {
        if !self.admission.shrink_to_open() {
            let kind = HostErrorKind::Limit("no descriptor is free (see `ulimit -n`)".to_owned());
            self.visit(index, Input::GiveUp(kind), now);
        }
    }
}

/// Whether a turn that began at `begun` has used its time up.
fn is_over(begun: Instant) -> bool {
    Reactor::now().saturating_duration_since(begun) >= limits::TURN_BUDGET
}
