//! The clock: the one place where time is read.
//!
//! Whoever acts on time is given it. What has to ask, because it is called from outside, asks a [`Clock`], which tests
//! set.

use std::time::{Instant, SystemTime};

/// Now.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The calendar, which may jump: for what is told to people.
pub(crate) fn calendar() -> SystemTime {
    SystemTime::now()
}

/// Where a fleet has the time from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    invented: Option<std::sync::Arc<std::sync::Mutex<Instant>>>,
}

impl Clock {
    /// A clock that shows what it was set to last.
    #[cfg(test)]
    pub(crate) fn invented(now: Instant) -> Self {
        Self { invented: Some(std::sync::Arc::new(std::sync::Mutex::new(now))) }
    }

    #[cfg(test)]
    pub(crate) fn set(&self, now: Instant) {
        *self.invented.as_ref().unwrap().lock().unwrap() = now;
    }

    #[allow(clippy::unused_self, reason = "the clock of tests has a state")]
    pub(crate) fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(invented) = &self.invented {
            return *invented.lock().unwrap();
        }
        now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_clock_stands_still() {
        let begun = now();
        let clock = Clock::invented(begun);
        assert_eq!(clock.now(), begun);
        let later = begun + std::time::Duration::from_secs(3600);
        clock.set(later);
        assert_eq!(clock.clone().now(), later);
        assert!(Clock::default().now() < later);
    }
}
