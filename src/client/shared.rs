//! The fleet, and the loop around it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock;
use crate::fleet::{Budget, Fleet};

/// The fleet, owned by the client and by every output together, so that outputs outlive the client. The lock lets both
/// move between threads; whoever waits holds it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Fleet>>);

impl Shared {
    pub(super) fn new(fleet: Fleet) -> Self {
        Self(Arc::new(Mutex::new(fleet)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Fleet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
