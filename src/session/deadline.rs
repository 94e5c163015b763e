//! Time limits that have been started.

use std::time::{Duration, Instant};

/// A time limit that has been started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    pub at: Instant,
    /// The length of the limit, for error messages.
    pub limit: Duration,
}

impl Deadline {
    /// Starts a time limit. Returns `None` if there is no limit, or if it ends beyond the clock's
    /// range.
    pub(super) fn new(now: Instant, limit: impl Into<Option<Duration>>) -> Option<Self> {
        let limit = limit.into()?;
        Some(Self { at: now.checked_add(limit)?, limit })
    }

    /// The earlier one of two deadlines.
    pub(super) fn earlier(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter().chain(other).min_by_key(|deadline| deadline.at)
    }

    /// Whether the limit began before this time.
    pub(super) fn began_before(self, time: Instant) -> bool {
        time.checked_add(self.limit).is_some_and(|at| at > self.at)
    }

    /// Returns the length of the limit if the limit has been reached.
    pub(super) fn expired(this: Option<Self>, now: Instant) -> Option<Duration> {
        this.filter(|deadline| deadline.at <= now).map(|deadline| deadline.limit)
    }
}
