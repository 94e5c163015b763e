//! Waiting for what other processes do.

use std::thread;
use std::time::{Duration, Instant};

/// Polls `probe` every 2 ms until it returns a value.
///
/// # Panics
/// After `limit`, naming `what` was awaited.
#[track_caller]
pub fn eventually<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
