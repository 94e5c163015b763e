//! The state of scheduling: which hosts may connect, which commands may start, and whether the
//! fleet is paused or draining.

use super::admission::Admission;
use super::backpressure::HeldBack;
use super::password_guard::PasswordGuard;
use super::runs::Runs;
use super::slot::Armed;
use super::touch_guard::TouchGuard;
use crate::config::Limits;
use crate::reactor::TimerId;

pub(super) struct Schedule {
    pub admission: Admission,
    pub held: HeldBack,
    pub runs: Runs,
    pub drain: Drain,
    pub passwords: PasswordGuard,
    pub touches: TouchGuard,
    /// Whether admission is paused.
    pub is_paused: bool,
    /// Whether another turn must run to look for hosts to admit, even if neither the poll nor a
    /// timer calls for one.
    pub admit_again: bool,
    /// Whether unused proxies must be closed.
    pub close_proxies: bool,
    /// The timer that expires when the rate limit allows the next connection.
    pub rate_timer: Option<Armed>,
    /// The timer that expires when the next trial of a password, or the next turn at a security
    /// key, may begin beside one that is overdue, or when an agent has had enough time for a list.
    pub trial_timer: Option<Armed>,
}

impl Schedule {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            admission: Admission::new(limits),
            held: HeldBack::default(),
            runs: Runs::default(),
            drain: Drain::default(),
            passwords: PasswordGuard::default(),
            touches: TouchGuard::default(),
            is_paused: false,
            admit_again: false,
            close_proxies: false,
            rate_timer: None,
            trial_timer: None,
        }
    }

    /// Whether there is work that neither the poll nor a timer will report. `share` is the current
    /// share of the output budget per stream.
    pub(super) fn has_work(&self, share: usize) -> bool {
        let has_tasks = self.runs.has_tasks() || self.admit_again || self.close_proxies;
        let has_answers = self.passwords.has_answers() || self.touches.has_begun();
        has_tasks || has_answers || self.held.has_next(share)
    }
}

/// The progress of a graceful shutdown: no further command starts, running commands may finish, and
/// each connection closes once nothing needs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Drain {
    /// No drain was requested.
    #[default]
    Not,
    /// A drain is in progress. Contains the timer of the deadline; `None` if there is no deadline
    /// or the deadline has passed.
    Begun(Option<TimerId>),
    /// The drain is complete: no command and no connection is left.
    Over,
}
