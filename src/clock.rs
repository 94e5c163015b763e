//! The clock, which is the only place that reads the time.
//!
//! Below the public calls, the time is passed as an argument. Public calls read it from a
//! [`Clock`], which tests can set.

use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// The current monotonic time.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The current wall-clock time. It may jump, so it is used only in messages to users.
pub(crate) fn calendar() -> SystemTime {
    SystemTime::now()
}

/// The CPU time of this thread.
fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// A fleet's source of time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    invented: Option<(std::sync::Arc<std::sync::Mutex<Instant>>, Instant)>,
}

impl Clock {
    /// Makes a clock that returns the time that it was last set to.
    #[cfg(test)]
    pub(crate) fn invented(now: Instant) -> Self {
        Self { invented: Some((std::sync::Arc::new(std::sync::Mutex::new(now)), now)) }
    }

    #[cfg(test)]
    pub(crate) fn set(&self, now: Instant) {
        *self.invented.as_ref().unwrap().0.lock().unwrap() = now;
    }

    #[allow(clippy::unused_self, reason = "the clock of tests has a state")]
    pub(crate) fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some((invented, _)) = &self.invented {
            return *invented.lock().unwrap();
        }
        now()
    }

    /// The CPU time of this thread. In invented time, a processor is always busy.
    #[allow(clippy::unused_self, reason = "the clock of tests has a state")]
    pub(crate) fn thread_cpu(&self) -> Duration {
        #[cfg(test)]
        if let Some((invented, begun)) = &self.invented {
            return *invented.lock().unwrap() - *begun;
        }
        thread_cpu()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_clock_stands_still() {
        let begun = now();
        let clock = Clock::invented(begun);
        assert_eq!(clock.now(), begun);
        let later = begun + std::time::Duration::from_secs(3600);
        clock.set(later);
        assert_eq!(clock.clone().now(), later);
        assert!(Clock::default().now() < later);
    }
}
