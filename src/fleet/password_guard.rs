//! Keeps one wrong password from locking an account on many hosts' behalf.
//!
//! Directories and `pam_faillock` lock an account after a few refusals, and a client that logs in
//! to a thousand hosts at once would cause a thousand. So a password that no host has accepted yet
//! is on trial: one host at a time may try it. When a host accepts it, all hosts may. When
//! [`limits::REFUSALS`] hosts have refused it, no further host gets it.
//!
//! A host that ends its trial without an answer (it was lost, cancelled, removed, or never asked)
//! passes the trial on. If a host has not answered for [`limits::TRIAL_TIME`], the next one begins
//! beside it, but there are never so many trials under way that refusals could exceed the limit.
//!
//! Fleets that were built together share the trials, because they log in to one directory.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mio::Waker;

use super::members::Members;
use crate::credential::UserPassword;
use crate::limits;
use crate::session::{Permission, TrialEnd, TrialOf};

/// One fleet's part in the trials.
#[derive(Debug)]
pub(super) struct PasswordGuard {
    trials: SharedTrials,
    /// The number of the fleet.
    fleet: usize,
    /// Whether the fleet has ever asked for a trial.
    has_asked: bool,
}

/// The trials that fleets share.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedTrials(Arc<Mutex<Trials>>);

#[derive(Debug, Default)]
struct Trials {
    /// Each takes the answers for its hosts.
    fleets: Members<(Asker, Permission)>,
    numbers: HashMap<UserPassword, usize>,
    /// The passwords, by number.
    passwords: Vec<Standing>,
    /// Everyone in a line, and everyone whose trial is under way.
    askers: HashMap<FleetAsker, Place>,
    /// The passwords with a line.
    contested: BTreeSet<usize>,
    tickets: u64,
}

/// An asker of any fleet, by the number of the fleet.
type FleetAsker = (usize, Asker);

/// A login, or a command with a password for `sudo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    /// The slot of the host.
    pub slot: usize,
    pub of: TrialOf,
}

/// Where an asker is.
#[derive(Debug, Clone, Copy)]
struct Place {
    password: usize,
    ticket: u64,
}

/// What is known about a password.
#[derive(Debug, Default)]
struct Standing {
    accepted: bool,
    /// The hosts that have refused the password.
    refused_by: Vec<Arc<str>>,
    /// The trials under way, and when each began.
    trials: Vec<(FleetAsker, Instant)>,
    /// Those that wait for a trial, by their tickets.
    line: BTreeMap<u64, FleetAsker>,
}

impl Standing {
    fn is_withheld(&self) -> bool {
        !self.accepted && self.refused_by.len() >= limits::REFUSALS
    }

    /// When the next trial may begin: at once if there is no trial, `None` if only the end of a
    /// trial can allow it.
    fn next_at(&self, now: Instant) -> Option<Instant> {
        if self.refused_by.len() + self.trials.len() >= limits::REFUSALS {
            return None;
        }
        let overdue = self.trials.iter().map(|(_, since)| since.checked_add(limits::TRIAL_TIME));
        overdue.max().unwrap_or(Some(now))
    }
}

impl Default for PasswordGuard {
    /// A guard that shares its trials with no other fleet.
    fn default() -> Self {
        SharedTrials::default().join(None)
    }
}

impl SharedTrials {
    /// Lets a fleet take part. `waker` wakes the fleet when there are answers for it.
    pub(super) fn join(&self, waker: Option<Arc<Waker>>) -> PasswordGuard {
        let mut trials = self.lock();
        let fleet = trials.fleets.join(waker);
        PasswordGuard { trials: self.clone(), fleet, has_asked: false }
    }

    fn lock(&self) -> MutexGuard<'_, Trials> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PasswordGuard {
    fn lock(&self) -> MutexGuard<'_, Trials> {
        self.trials.lock()
    }

    /// The trials, if this fleet has ever asked for one. Otherwise nothing in them concerns it, and
    /// its turns take no lock.
    fn in_use(&self) -> Option<MutexGuard<'_, Trials>> {
        self.has_asked.then(|| self.lock())
    }

    /// Asks whether a password may be sent. [`next_answer`](Self::next_answer) has the answer, once
    /// there is one.
    pub(super) fn request(&mut self, asker: Asker, password: UserPassword, now: Instant) {
        self.has_asked = true;
        self.lock().request((self.fleet, asker), password, now);
    }

    /// Records the end of a trial, or of a request that was withdrawn.
    pub(super) fn ended(&mut self, asker: Asker, end: TrialEnd, host: impl Fn() -> Arc<str>, now: Instant) {
        self.lock().ended((self.fleet, asker), end, host, now);
    }

    /// Begins the trials that are due because earlier ones are overdue.
    pub(super) fn expire(&mut self, now: Instant) {
        let Some(mut trials) = self.in_use() else { return };
        for number in trials.contested.clone() {
            trials.go_on(number, now);
        }
    }

    /// When [`expire`](Self::expire) must be called.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let trials = self.in_use()?;
        trials.contested.iter().filter_map(|number| trials.passwords[*number].next_at(now)).min()
    }

    pub(super) fn next_answer(&mut self) -> Option<(Asker, Permission)> {
        self.in_use()?.fleets.take(self.fleet)
    }

    pub(super) fn has_answers(&self) -> bool {
        self.in_use().is_some_and(|trials| trials.fleets.has_news(self.fleet))
    }
}

/// The other fleets must not wait for the trials of a fleet that is gone.
impl Drop for PasswordGuard {
    fn drop(&mut self) {
        self.lock().leave(self.fleet);
    }
}

impl Trials {
    fn request(&mut self, asker: FleetAsker, password: UserPassword, now: Instant) {
        let Self { numbers, passwords, .. } = self;
        let number = *numbers.entry(password).or_insert_with(|| {
            passwords.push(Standing::default());
            passwords.len() - 1
        });
        self.tickets += 1;
        let place = Place { password: number, ticket: self.tickets };
        let before = self.askers.insert(asker, place);
        debug_assert!(before.is_none(), "{asker:?} asks twice");
        self.passwords[number].line.insert(place.ticket, asker);
        self.go_on(number, now);
    }

    fn ended(&mut self, asker: FleetAsker, end: TrialEnd, host: impl Fn() -> Arc<str>, now: Instant) {
        // Where a password was accepted before, there is no trial.
        let Some(number) = self.remove(asker) else { return };
        let password = &mut self.passwords[number];
        match end {
            TrialEnd::Accepted => password.accepted = true,
            TrialEnd::Refused => password.refused_by.push(host()),
            TrialEnd::Unanswered => {}
        }
        self.go_on(number, now);
    }

    /// Removes an asker, and returns the number of its password.
    fn remove(&mut self, asker: FleetAsker) -> Option<usize> {
        let Place { password: number, ticket } = self.askers.remove(&asker)?;
        self.fleets.withdraw(asker.0, |(other, _)| *other == asker.1);
        let password = &mut self.passwords[number];
        password.line.remove(&ticket);
        password.trials.retain(|(other, _)| *other != asker);
        Some(number)
    }

    fn leave(&mut self, fleet: usize) {
        let left: Vec<FleetAsker> = self.askers.keys().filter(|(of, _)| *of == fleet).copied().collect();
        for asker in left {
            self.remove(asker);
        }
        // The others begin their trials: there is no time here.
        self.fleets.leave(fleet);
    }

    /// Answers those in the line of a password, as far as its standing allows.
    fn go_on(&mut self, number: usize, now: Instant) {
        let password = &mut self.passwords[number];
        loop {
            let is_trial = !password.accepted && !password.is_withheld();
            if is_trial && password.next_at(now).is_none_or(|at| at > now) {
                break;
            }
            let Some((_, asker)) = password.line.pop_first() else { break };
            let permission = if password.is_withheld() {
                Permission::Withheld(password.refused_by.as_slice().into())
            } else {
                Permission::Granted
            };
            if is_trial {
                password.trials.push((asker, now));
            } else {
                self.askers.remove(&asker);
            }
            self.fleets.send(asker.0, (asker.1, permission));
        }
        if password.line.is_empty() {
            self.contested.remove(&number);
        } else {
            self.contested.insert(number);
        }
    }
}
