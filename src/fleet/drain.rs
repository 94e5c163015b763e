//! The graceful end: nothing begins any more, what runs may come to its end, and connections close behind it.

use crate::reactor::TimerId;

/// How far the end of a fleet is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Drain {
    /// It was not asked for.
    #[default]
    Not,
    /// Under way, with its deadline.
    Begun(Option<TimerId>),
    /// Nothing is left.
    Over,
}

impl Drain {
    pub(super) fn is_requested(self) -> bool {
        !matches!(self, Self::Not)
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Over)
    }

    /// The deadline has passed.
    pub(super) fn is_due(&mut self) {
        *self = Self::Begun(None);
    }

    /// Nothing is left. If that is news, the timer of the deadline.
    pub(super) fn finish(&mut self) -> Option<Option<TimerId>> {
        let Self::Begun(timer) = *self else { return None };
        *self = Self::Over;
        Some(timer)
    }
}
