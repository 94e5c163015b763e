//! The fleet, and the loop around it.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::ahead::Claim;
use crate::clock;
use crate::fleet::{Budget, Fleet};
use crate::ids::CommandId;
use crate::output::StdStream;

/// The fleet, owned by the client and by every output together, so that outputs outlive the client. The lock lets both
/// move between threads; whoever waits holds it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<State>>);

struct State {
    fleet: Fleet,
    loan: Option<Loan>,
}

/// Unread output that an iterator has a copy of.
pub(super) struct Loan {
    pub id: CommandId,
    pub stream: StdStream,
    pub claim: Arc<Claim>,
}

/// The fleet, in one hand.
pub(super) struct Locked<'a>(MutexGuard<'a, State>);

impl Locked<'_> {
    /// Takes note of a copy of the front of a stream: it is good until somebody locks the fleet again.
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

impl Shared {
    pub(super) fn new(fleet: Fleet) -> Self {
        Self(Arc::new(Mutex::new(State { fleet, loan: None })))
    }

    /// The fleet as it is after all lines that iterators have handed out.
    pub(super) fn lock(&self) -> Locked<'_> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Loan { id, stream, claim }) = state.loan.take() {
            state.fleet.consume(id, stream, claim.end());
        }
        Locked(state)
    }

    /// Takes in what has arrived, without waiting.
    pub(super) fn turn(&self) -> io::Result<()> {
        turn(&mut self.lock())
    }

    /// Drives all hosts until `done`, or until the deadline. Whether it was done.
    pub(super) fn drive(
        &self,
        deadline: Option<Instant>,
        mut done: impl FnMut(&mut Fleet) -> bool,
    ) -> io::Result<bool> {
        let mut fleet = self.lock();
        if done(&mut fleet) {
            return Ok(true);
        }
        loop {
            fleet.wait(deadline.map(|at| at.saturating_duration_since(clock::now())))?;
            turn(&mut fleet)?;
            if done(&mut fleet) {
                return Ok(true);
            }
            if deadline.is_some_and(|at| at <= clock::now()) {
                return Ok(false);
            }
        }
    }
}

fn turn(fleet: &mut Fleet) -> io::Result<()> {
    fleet.turn(clock::now(), Budget::default())?;
    // Nobody here is told anything: whoever waits looks.
    while fleet.next_event().is_some() {}
    Ok(())
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fleet(..)")
    }
}
