//! Graceful shutdown: nothing starts any more, running commands may end, and connections close once
//! they are not needed.

use crate::reactor::TimerId;

/// The progress of a drain.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Drain {
    /// Not requested.
    #[default]
    Not,
    /// In progress, with the timer of its deadline.
    Begun(Option<TimerId>),
    /// Complete: nothing is left.
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

    /// Completes a drain in progress, and returns the timer of its deadline.
    pub(super) fn finish(&mut self) -> Option<Option<TimerId>> {
        let Self::Begun(timer) = *self else { return None };
        *self = Self::Over;
        Some(timer)
    }
}
