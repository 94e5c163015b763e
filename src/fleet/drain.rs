//! Graceful shutdown: no further command starts, running commands may finish, and each connection
//! closes once nothing needs it.

use crate::reactor::TimerId;

/// The progress of a drain.
#[derive(Debug, Clone, Copy, Default)]
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

impl Drain {
    pub(super) fn is_requested(self) -> bool {
        !matches!(self, Self::Not)
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Over)
    }

    /// Records that the deadline has passed.
    pub(super) fn is_due(&mut self) {
        *self = Self::Begun(None);
    }

    /// Completes the drain that is in progress, and returns the timer of its deadline, if there is
    /// one. The outer `None` means that no drain is in progress.
    pub(super) fn finish(&mut self) -> Option<Option<TimerId>> {
        let Self::Begun(timer) = *self else { return None };
        *self = Self::Over;
        Some(timer)
    }
}
