//! The fleet, and the loop around it.
//!
//! The client and its outputs share the fleet behind one lock. A thread that waits drives all
//! hosts, and holds the lock while it sleeps in the poll. What another thread does meanwhile takes
//! effect at once all the same: a thread that finds the lock taken knocks and wakes the poll, and
//! the driving thread hands the lock over after that turn.
//!
//! One thread drives at a time. Others that wait as well follow it: they look at the fleet after
//! each of its turns, and one of them takes over when it leaves.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use super::ahead::Claim;
use crate::fleet::{CommandId, FleetWaker};
use crate::ids::StdStream;
use crate::{Budget, Fleet, clock};

/// The fleet, owned by the client and by every output together, so that outputs outlive the client.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Wakes the poll.
    waker: FleetWaker,
    /// Whether a thread drives. Changed under the lock only.
    is_driven: AtomicBool,
    /// Threads that wait for the lock, which the driving thread may hold in the poll.
    knocking: AtomicUsize,
    /// For followers: a turn has ended, or no thread drives any more.
    turned: Condvar,
    /// For the driving thread: a knocking thread has the lock, or a follower has looked.
    served: Condvar,
}

struct State {
    fleet: Fleet,
    loan: Option<Loan>,
    /// Turns that driving threads have made.
    turns: u64,
    /// Threads that wait for something while another one drives.
    followers: Vec<Follower>,
}

/// A thread that has looked at the fleet after so many turns, and that wants to look again at its
/// deadline.
#[derive(PartialEq, Eq)]
struct Follower {
    turns: u64,
    deadline: Option<Instant>,
}

/// Unread output that an iterator has a copy of.
pub(super) struct Loan {
    pub id: CommandId,
    pub stream: StdStream,
    pub claim: Arc<Claim>,
}

/// The locked fleet, as it is after all lines that iterators have handed out.
pub(super) struct Locked<'a>(MutexGuard<'a, State>);

impl Locked<'_> {
    /// Takes note of a copy of the front of a stream: it is good until the fleet is locked again.
    pub(super) fn lend(mut self, loan: Loan) {
        self.0.loan = Some(loan);
    }
}

impl Deref for Locked<'_> {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.0.fleet
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Fleet {
        &mut self.0.fleet
    }
}

impl State {
    /// Takes what iterators have handed out from their streams.
    fn end_loan(&mut self) {
        if let Some(Loan { id, stream, claim }) = self.loan.take() {
            self.fleet.consume(id, stream, claim.end());
        }
    }

    /// When the poll has to end, for a thread that drives until this deadline.
    fn wake_at(&self, deadline: Option<Instant>) -> Option<Instant> {
        self.followers.iter().filter_map(|follower| follower.deadline).chain(deadline).min()
    }

    /// Whether all followers have looked at the fleet since the last turn.
    fn all_have_looked(&self) -> bool {
        self.followers.iter().all(|follower| follower.turns == self.turns)
    }
}

impl Shared {
    pub(super) fn new(fleet: Fleet) -> Self {
        let waker = fleet.waker();
        let state = State { fleet, loan: None, turns: 0, followers: Vec::new() };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            waker,
            is_driven: AtomicBool::new(false),
            knocking: AtomicUsize::new(0),
            turned: Condvar::new(),
            served: Condvar::new(),
        }))
    }

    /// Locks the fleet, at the latest after the turn of a thread that drives it.
    pub(super) fn lock(&self) -> Locked<'_> {
        let mut state = self.0.lock();
        state.end_loan();
        Locked(state)
    }

    /// Takes in what has arrived, without waiting.
    pub(super) fn turn(&self) -> io::Result<()> {
        turn(&mut self.lock())
    }

    /// Drives all hosts until `look` returns something. `None` at the deadline.
    pub(super) fn drive<T>(
        &self,
        deadline: Option<Instant>,
        mut look: impl FnMut(&mut Fleet) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let Locked(mut state) = self.lock();
        if let Some(seen) = look(&mut state.fleet) {
            return Ok(Some(seen));
        }
        // Dropped before the lock is.
        let mut lead = None;
        loop {
            if lead.is_none() {
                lead = self.0.begin_to_lead();
            }
            if lead.is_some() {
                self.0.turn(&mut state, deadline)?;
                state = self.0.hand_over(state);
            } else {
                state = self.0.follow(state, deadline);
            }
            state.end_loan();
            if let Some(seen) = look(&mut state.fleet) {
                return Ok(Some(seen));
            }
            if deadline.is_some_and(|at| at <= clock::now()) {
                return Ok(None);
            }
        }
    }
}

/// While it lives, its thread is the one that drives. Made and dropped under the lock.
struct Lead<'a>(&'a Inner);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.is_driven.store(false, Ordering::Relaxed);
        self.0.turned.notify_all();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        match self.state.try_lock() {
            Ok(state) => return state,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
        // Counted before the poll is woken: the driving thread looks at the count after the poll.
        self.knocking.fetch_add(1, Ordering::SeqCst);
        if let Err(e) = self.waker.wake() {
            log::error!("cannot wake the thread that drives the hosts: {e}");
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.knocking.fetch_sub(1, Ordering::SeqCst);
        self.served.notify_all();
        state
    }

    /// Takes the lead, unless another thread has it. The caller holds the lock.
    fn begin_to_lead(&self) -> Option<Lead<'_>> {
        // Not `then_some`: a `Lead` that is not wanted must not be made, as its drop ends the other
        // thread's.
        (!self.is_driven.swap(true, Ordering::Relaxed)).then(|| Lead(self))
    }

    /// Waits for news of any host, and takes them in.
    fn turn(&self, state: &mut State, deadline: Option<Instant>) -> io::Result<()> {
        let limit = state.wake_at(deadline).map(|at| at.saturating_duration_since(clock::now()));
        state.fleet.wait(limit)?;
        turn(&mut state.fleet)?;
        state.turns += 1;
        if !state.followers.is_empty() {
            self.turned.notify_all();
        }
        Ok(())
    }

    /// Lets the threads at the fleet that knock, and those that follow.
    fn hand_over<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let is_wanted =
            |state: &mut State| self.knocking.load(Ordering::SeqCst) > 0 || !state.all_have_looked();
        self.served.wait_while(state, is_wanted).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next turn of the thread that drives, or until none does.
    fn follow<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        let turns = state.turns;
        state.followers.push(Follower { turns, deadline });
        let is_early = |state: &mut State| self.is_driven.load(Ordering::Relaxed) && state.turns == turns;
        // Not for so long only: the lock is free between two turns alone, and the turn ends at the
        // deadline.
        let mut state = self.turned.wait_while(state, is_early).unwrap_or_else(PoisonError::into_inner);
        let me = Follower { turns, deadline };
        if let Some(index) = state.followers.iter().position(|follower| *follower == me) {
            state.followers.swap_remove(index);
        }
        self.served.notify_all();
        state
    }
}

fn turn(fleet: &mut Fleet) -> io::Result<()> {
    fleet.turn(clock::now(), Budget::default())?;
    // Events are dropped: waiting threads look at the fleet itself.
    while fleet.next_event().is_some() {}
    Ok(())
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fleet(..)")
    }
}
