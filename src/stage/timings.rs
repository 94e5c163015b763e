//! How long a host or a command was in each stage.

use std::fmt;
use std::time::{Duration, Instant};

use super::Stage;

const STAGES: usize = Stage::ALL.len();

/// Time spent in each [`Stage`], by the clock. A connection has those up to authentication, since
/// it was last asked for and over all attempts; a command has all others, and its own wait in the
/// pool. The present stage counts from when it has ended.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// In microseconds: beyond 71 minutes it stays there.
    micros: [u32; STAGES],
}

impl Timings {
    /// Time spent in this stage. Zero if it was not entered.
    pub fn of(&self, stage: Stage) -> Duration {
        Duration::from_micros(self.micros[stage as usize].into())
    }

    /// Of all stages together.
    pub fn total(&self) -> Duration {
        self.micros.iter().map(|micros| Duration::from_micros((*micros).into())).sum()
    }

    fn add(&mut self, stage: Stage, time: Duration) {
        let micros = &mut self.micros[stage as usize];
        *micros = micros.saturating_add(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }
}

impl fmt::Debug for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = Stage::ALL.iter().filter(|stage| !self.of(**stage).is_zero());
        f.debug_map().entries(stages.map(|stage| (stage, self.of(*stage)))).finish()
    }
}

/// Measures the stages of one connection or command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    timings: Timings,
    stage: Stage,
    since: Instant,
}

impl Stopwatch {
    pub(crate) fn new(stage: Stage, now: Instant) -> Self {
        Self { timings: Timings::default(), stage, since: now }
    }

    pub(crate) fn timings(&self) -> Timings {
        self.timings
    }

    /// Another stage begins now.
    pub(crate) fn enter(&mut self, stage: Stage, now: Instant) {
        if stage != self.stage {
            self.timings.add(self.stage, now.saturating_duration_since(self.since));
            (self.stage, self.since) = (stage, now);
        }
    }

    /// Nothing follows the present stage.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.timings.add(self.stage, now.saturating_duration_since(self.since));
        self.since = now;
    }
}
