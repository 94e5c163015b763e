//! Lets one host at a time wait for a touch of a security key.
//!
//! An ssh-agent asks for one touch at a time, and its user cannot know which host a touch is for. A
//! server also limits the time of a login. So a host whose login needs a security key is not
//! dialled before its turn, and a turn is given when nobody else with the same agent waits for a
//! touch or is about to. The turn ends with the login, whatever its result.
//!
//! A host that does not get to the touch within [`limits::TOUCH_TURN`], because it is slow or
//! silent, lets the next one begin beside it. If another host then waits for a touch when the slow
//! one needs it, the slow one leaves its server, and waits for its next turn.
//!
//! Fleets that were built together share the turns, because their agent has one user.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mio::Waker;

use super::members::Members;
use crate::agent::limits;

/// One fleet's part in the turns.
#[derive(Debug)]
pub(super) struct TouchGuard {
    turns: SharedTurns,
    /// The number of the fleet.
    fleet: usize,
    /// Whether the fleet has ever asked for a turn.
    pub has_asked: bool,
}

/// The turns that fleets share.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedTurns(Arc<Mutex<Turns>>);

#[derive(Debug, Default)]
struct Turns {
    /// Each takes the slots of its hosts whose turns have begun.
    fleets: Members<usize>,
    agents: HashMap<Arc<Path>, Line>,
    /// The hosts that have a turn or wait for one.
    askers: HashMap<Asker, Place>,
    tickets: u64,
}

/// A host, by the number of its fleet and by its slot.
type Asker = (usize, usize);

#[derive(Debug, Clone)]
struct Place {
    agent: Arc<Path>,
    ticket: Ticket,
}

/// The order of the line: proxies come first, because hosts that have a turn may wait for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket {
    is_host: bool,
    number: u64,
}

/// The hosts that need the security keys of one agent.
#[derive(Debug, Default)]
struct Line {
    /// The hosts whose turn it is, and since when they could have got to the touch.
    turns: Vec<(Asker, Instant)>,
    /// The host that waits for a touch. It is one of those in `turns`.
    touching: Option<Asker>,
    /// When the last wait for a touch ended.
    touched_at: Option<Instant>,
    waiting: BTreeMap<Ticket, Asker>,
}

/// A host that needs a security key, and its agent.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub slot: usize,
    pub agent: Arc<Path>,
    pub is_proxy: bool,
}

impl Line {
    fn has_turn(&self, asker: Asker) -> bool {
        self.turns.iter().any(|(other, _)| *other == asker)
    }

    /// When the first one in the line may begin: at once if nothing keeps it waiting, `None` if
    /// nobody waits or only the end of a touch can allow it.
    fn next_at(&self, now: Instant) -> Option<Instant> {
        let (first, _) = self.waiting.first_key_value()?;
        if self.touching.is_some() {
            return None;
        }
        // A host that has a turn may be waiting for this proxy.
        if !first.is_host {
            return Some(now);
        }
        let overdue = self.turns.iter().map(|(_, since)| since.checked_add(limits::TOUCH_TURN));
        overdue.max().unwrap_or(Some(now))
    }

    /// Whether a connected host may ask for a touch.
    fn is_free_for(&self, asker: Asker, is_proxy: bool, now: Instant) -> bool {
        let is_near =
            |(_, since): &(Asker, Instant)| now.saturating_duration_since(*since) < limits::TOUCH_TURN;
        self.touching.is_none() && (is_proxy || self.has_turn(asker) || !self.turns.iter().any(is_near))
    }
}

impl Default for TouchGuard {
    /// A guard that shares its turns with no other fleet.
    fn default() -> Self {
        SharedTurns::default().join(None)
    }
}

impl SharedTurns {
    /// Lets a fleet take part. `waker` wakes the fleet when turns of its hosts have begun.
    pub(super) fn join(&self, waker: Option<Arc<Waker>>) -> TouchGuard {
        let mut turns = self.lock();
        let fleet = turns.fleets.join(waker);
        TouchGuard { turns: self.clone(), fleet, has_asked: false }
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TouchGuard {
    /// The turns, if this fleet has ever asked for one. Otherwise nothing in them concerns it, and
    /// its turns of work take no lock.
    fn in_use(&self) -> Option<MutexGuard<'_, Turns>> {
        self.has_asked.then(|| self.turns.lock())
    }

    /// Whether a host that is not connected may be dialled. If not, it waits in the line, and
    /// [`next_begun`](Self::next_begun) names it when its turn has begun.
    pub(super) fn may_dial(&mut self, need: Need, now: Instant) -> bool {
        self.has_asked = true;
        let asker = (self.fleet, need.slot);
        let mut turns = self.turns.lock();
        turns.queue(asker, &need, now);
        let may_dial = turns.agents.get(&need.agent).is_some_and(|line| line.has_turn(asker));
        if may_dial {
            turns.fleets.withdraw(self.fleet, |slot| *slot == need.slot);
        }
        may_dial
    }

    /// Whether the agent may now be asked for a signature with a security key, for a host that is
    /// connected. If not, the host must leave, and waits in the line.
    pub(super) fn may_touch(&mut self, need: Need, now: Instant) -> bool {
        self.has_asked = true;
        let asker = (self.fleet, need.slot);
        let mut turns = self.turns.lock();
        let is_free = |line: &Line| line.is_free_for(asker, need.is_proxy, now);
        let is_free = turns.agents.get(&need.agent).is_none_or(is_free);
        if is_free {
            turns.touch(asker, &need, now);
        } else {
            turns.remove(asker);
            turns.queue(asker, &need, now);
        }
        is_free
    }

    /// Records that the agent has answered. The host keeps its turn until its login ends.
    pub(super) fn answered(&mut self, slot: usize, now: Instant) {
        let Some(mut turns) = self.in_use() else { return };
        turns.answered((self.fleet, slot), now);
    }

    /// Ends the turn of a host, or takes it out of the line. Does nothing for other hosts.
    pub(super) fn ended(&mut self, slot: usize, now: Instant) {
        let Some(mut turns) = self.in_use() else { return };
        let asker = (self.fleet, slot);
        turns.answered(asker, now);
        if let Some(agent) = turns.remove(asker) {
            turns.go_on(&agent, now);
        }
    }

    /// Whether a host waits for a touch by the user of this agent.
    pub(super) fn is_touching(&self, agent: &Path) -> bool {
        self.turns.lock().agents.get(agent).is_some_and(|line| line.touching.is_some())
    }

    /// When a host last waited for a touch by the user of this agent: `now` if one still does.
    pub(super) fn busy_until(&self, agent: &Path, now: Instant) -> Option<Instant> {
        let turns = self.turns.lock();
        let Line { touching, touched_at, .. } = turns.agents.get(agent)?;
        touching.map(|_| now).or(*touched_at)
    }

    /// Begins the turns that are due because earlier ones take too long.
    pub(super) fn expire(&mut self, now: Instant) {
        let Some(mut turns) = self.in_use() else { return };
        let agents: Vec<Arc<Path>> = turns.agents.keys().cloned().collect();
        agents.iter().for_each(|agent| turns.go_on(agent, now));
    }

    /// When [`expire`](Self::expire) must be called.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.in_use()?.agents.values().filter_map(|line| line.next_at(now)).min()
    }

    /// The slot of a host whose turn has begun.
    pub(super) fn next_begun(&mut self) -> Option<usize> {
        self.in_use()?.fleets.take(self.fleet)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.in_use().is_some_and(|turns| turns.fleets.has_news(self.fleet))
    }
}

/// The other fleets must not wait for the turns of a fleet that is gone.
impl Drop for TouchGuard {
    fn drop(&mut self) {
        self.turns.lock().leave(self.fleet);
    }
}

impl Turns {
    /// Puts a host in the line of its agent, unless it is known there. Its turn may begin at once.
    fn queue(&mut self, asker: Asker, need: &Need, now: Instant) {
        if self.askers.get(&asker).is_some_and(|place| place.agent == need.agent) {
            return;
        }
        self.remove(asker);
        let ticket = self.place(asker, need);
        self.line(&need.agent).waiting.insert(ticket, asker);
        self.go_on(&need.agent, now);
    }

    fn place(&mut self, asker: Asker, need: &Need) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket { is_host: !need.is_proxy, number: self.tickets };
        self.askers.insert(asker, Place { agent: need.agent.clone(), ticket });
        ticket
    }

    fn line(&mut self, agent: &Arc<Path>) -> &mut Line {
        self.agents.entry(agent.clone()).or_default()
    }

    fn touch(&mut self, asker: Asker, need: &Need, now: Instant) {
        self.remove(asker);
        self.place(asker, need);
        let line = self.line(&need.agent);
        line.turns.push((asker, now));
        line.touching = Some(asker);
    }

    fn answered(&mut self, asker: Asker, now: Instant) {
        let Some(Place { agent, .. }) = self.askers.get(&asker).cloned() else { return };
        let line = self.line(&agent);
        if line.touching.take_if(|touching| *touching == asker).is_some() {
            line.touched_at = Some(now);
            line.turns.iter_mut().filter(|(other, _)| *other == asker).for_each(|(_, since)| *since = now);
            self.go_on(&agent, now);
        }
    }

    /// Removes a host, and returns its agent.
    fn remove(&mut self, asker: Asker) -> Option<Arc<Path>> {
        let Place { agent, ticket } = self.askers.remove(&asker)?;
        self.fleets.withdraw(asker.0, |slot| *slot == asker.1);
        let line = self.agents.get_mut(&agent)?;
        line.waiting.remove(&ticket);
        line.turns.retain(|(other, _)| *other != asker);
        line.touching.take_if(|touching| *touching == asker);
        Some(agent)
    }

    fn leave(&mut self, fleet: usize) {
        let left: Vec<Asker> = self.askers.keys().filter(|(of, _)| *of == fleet).copied().collect();
        for asker in left {
            self.remove(asker);
        }
        // The others begin their turns: there is no time here.
        self.fleets.leave(fleet);
    }

    /// Begins the next turn, if it is due.
    fn go_on(&mut self, agent: &Arc<Path>, now: Instant) {
        let Some(line) = self.agents.get_mut(agent) else { return };
        while line.next_at(now).is_some_and(|at| at <= now) {
            let Some((_, asker)) = line.waiting.pop_first() else { break };
            line.turns.push((asker, now));
            self.fleets.send(asker.0, asker.1);
        }
    }
}
