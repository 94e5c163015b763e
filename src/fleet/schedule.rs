//! Which hosts may connect, which commands may start, and when none may any more.

use super::admission::Admission;
use super::backpressure::HeldBack;
use super::drain::Drain;
use super::runs::Runs;
use super::slot::Armed;
use crate::config::Limits;

pub(super) struct Schedule {
    pub admission: Admission,
    pub held: HeldBack,
    pub runs: Runs,
    pub drain: Drain,
    /// Nobody is admitted.
    pub is_paused: bool,
    /// There may be hosts to admit that no event tells of.
    pub admit_again: bool,
    /// Proxies without hosts are to be closed.
    pub close_proxies: bool,
    /// The timer of the next connection that the rate limit allows.
    pub rate_timer: Option<Armed>,
}

impl Schedule {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            admission: Admission::new(limits),
            held: HeldBack::default(),
            runs: Runs::default(),
            drain: Drain::default(),
            is_paused: false,
            admit_again: false,
            close_proxies: false,
            rate_timer: None,
        }
    }

    /// Whether there is work that neither the poll nor a timer tells of. `share` is that of a stream in the output budget.
    pub(super) fn has_work(&self, share: usize) -> bool {
        let has_tasks = self.runs.has_tasks() || self.admit_again || self.close_proxies;
        has_tasks || self.held.has_next(share)
    }
}
