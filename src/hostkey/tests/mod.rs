//! Tests of host key verification. They compare with OpenSSH itself where it is installed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accept_new;
mod adding;
mod cases;
mod changes;
mod differential;
mod files;
mod keys;
mod openssh;
mod policies;
mod properties;
mod recording;
mod revoked;
pub(crate) mod support;
mod verdicts;

use std::cell::Cell;

thread_local! {
    static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    static SYNCS: Cell<usize> = const { Cell::new(0) };
}

/// Called for each comparison of a line with a name.
pub(super) fn count_comparison() {
    COMPARISONS.set(COMPARISONS.get() + 1);
}

/// The number of comparisons since the last call, on this thread.
pub(crate) fn take_comparisons() -> usize {
    COMPARISONS.take()
}

/// Called for each sync.
pub(super) fn count_sync() {
    SYNCS.set(SYNCS.get() + 1);
}
