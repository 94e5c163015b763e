//! The fleet that a client shares with its outputs, and the loop that drives it.
//!
//! The client and its outputs share the fleet behind one lock. A thread that waits for something
//! drives all hosts, and holds the lock while it sleeps in the poll. Calls of other threads still
//! take effect at once, because a thread that finds the lock taken counts itself as knocking and
//! wakes the poll. The driving thread then ends its turn and hands the lock over.
//!
//! Only one thread drives at a time. Other threads that wait are its followers: they look at the
//! fleet after each of its turns, and one of them takes over when it stops driving.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use super::ahead::Claim;
use crate::error::Error;
use crate::fleet::{CommandId, FleetWaker};
use crate::ids::StdStream;
use crate::{Budget, Fleet, clock};

/// A shared handle to the fleet. The client and every output own one, so that outputs outlive the
/// client.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Wakes the poll.
    waker: FleetWaker,
    /// Whether a thread drives the fleet. This is changed only under the lock.
    is_driven: AtomicBool,
    /// How many threads wait for the lock, which the driving thread may hold while it sleeps in the
    /// poll.
    knocking: AtomicUsize,
    /// Notifies followers that a turn has ended, or that no thread drives any more.
    turned: Condvar,
    /// Notifies the driving thread that a knocking thread has the lock, or that a follower has
    /// looked at the fleet.
    served: Condvar,
}

struct State {
    fleet: Fleet,
    loan: Option<Loan>,
    /// How many turns driving threads have made.
    turns: u64,
    /// The threads that wait for something while another thread drives.
    followers: Vec<Follower>,
}

/// A thread that waits while another thread drives. It last looked at the fleet after `turns`
/// turns, and wants to look again at `deadline` at the latest.
#[derive(PartialEq, Eq)]
struct Follower {
    turns: u64,
    deadline: Option<Instant>,
}

/// Unread output that an iterator has copied.
pub(super) struct Loan {
    pub id: CommandId,
    pub stream: StdStream,
    pub claim: Arc<Claim>,
}

/// The locked fleet. The lines that iterators have handed out count as read.
pub(super) struct Locked<'a>(MutexGuard<'a, State>);

impl Locked<'_> {
    /// Records that an iterator has copied the front of a stream. The copy is valid until the fleet
    /// is locked again.
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
    /// Consumes the part of a stream that an iterator has handed out.
    fn end_loan(&mut self) {
        if let Some(Loan { id, stream, claim }) = self.loan.take() {
            self.fleet.consume(id, stream, claim.end());
        }
    }

    /// The time at which the poll must end: the earliest of the driving thread's `deadline` and the
    /// deadlines of its followers.
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

    /// Whether both are handles to the same fleet.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Locks the fleet. If another thread drives it, this waits at most until the end of a turn.
    pub(super) fn lock(&self) -> Locked<'_> {
        let mut state = self.0.lock();
        state.end_loan();
        Locked(state)
    }

    /// Processes data that has arrived, without waiting.
    pub(super) fn turn(&self) -> Result<(), Error> {
        turn(&mut self.lock())
    }

    /// Drives all hosts until the fleet is `done`.
    pub(super) fn drive_until(&self, mut done: impl FnMut(&mut Fleet) -> bool) -> Result<(), Error> {
        self.drive(None, |fleet| done(fleet).then_some(())).map(drop)
    }

    /// Drives all hosts until `look` returns `Some`. Returns `None` if the deadline passes first.
    pub(super) fn drive<T>(
        &self,
        deadline: Option<Instant>,
        mut look: impl FnMut(&mut Fleet) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Locked(mut state) = self.lock();
        if let Some(seen) = look(&mut state.fleet) {
            return Ok(Some(seen));
        }
        // This is declared after `state`, so that it is dropped before the lock is released.
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

/// Makes a thread the driving thread until this value is dropped. It is created and dropped only
/// under the lock.
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
        // This thread is counted before it wakes the poll, because the driving thread reads the
        // count after the poll.
        self.knocking.fetch_add(1, Ordering::SeqCst);
        if let Err(e) = self.waker.wake() {
            log::error!("cannot wake the thread that drives the hosts: {e}");
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.knocking.fetch_sub(1, Ordering::SeqCst);
        self.served.notify_all();
        state
    }

    /// Makes this thread the driving thread, unless there is one already. The caller holds the
    /// lock.
    fn begin_to_lead(&self) -> Option<Lead<'_>> {
        // `then_some` would create a `Lead` even if another thread drives, and dropping that `Lead`
        // would end the other thread's lead.
        (!self.is_driven.swap(true, Ordering::Relaxed)).then(|| Lead(self))
    }

    /// Waits until there is work for a turn, and runs the turn.
    fn turn(&self, state: &mut State, deadline: Option<Instant>) -> Result<(), Error> {
        let limit = state.wake_at(deadline).map(|at| at.saturating_duration_since(clock::now()));
        state.fleet.wait(limit).map_err(cannot_poll)?;
        turn(&mut state.fleet)?;
        state.turns += 1;
        if !state.followers.is_empty() {
            self.turned.notify_all();
        }
        Ok(())
    }

    /// Releases the lock until every knocking thread has had it and every follower has looked at
    /// the fleet.
    fn hand_over<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let is_wanted =
            |state: &mut State| self.knocking.load(Ordering::SeqCst) > 0 || !state.all_have_looked();
        self.served.wait_while(state, is_wanted).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the driving thread has made a turn, or until no thread drives.
    fn follow<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        let turns = state.turns;
        state.followers.push(Follower { turns, deadline });
        let is_early = |state: &mut State| self.is_driven.load(Ordering::Relaxed) && state.turns == turns;
        // This wait has no timeout of its own, because the lock is free only between turns, and the
        // driving thread ends its turn at this follower's deadline.
        let mut state = self.turned.wait_while(state, is_early).unwrap_or_else(PoisonError::into_inner);
        let me = Follower { turns, deadline };
        if let Some(index) = state.followers.iter().position(|follower| *follower == me) {
            state.followers.swap_remove(index);
        }
        self.served.notify_all();
        state
    }
}

fn turn(fleet: &mut Fleet) -> Result<(), Error> {
    fleet.turn(clock::now(), Budget::default()).map_err(cannot_poll)?;
    // Events are dropped, because waiting threads look at the fleet itself.
    while fleet.next_event().is_some() {}
    Ok(())
}

fn cannot_poll(error: io::Error) -> Error {
    Error::System { what: "poll", error }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fleet(..)")
    }
}
