//! How long a host or a command was in each stage.

use std::fmt;
use std::time::{Duration, Instant};

use super::Stage;

const STAGES: usize = Stage::ALL.len();

/// Time spent in each [`Stage`]. The timings of a connection have the stages up to authentication,
/// over all attempts since the connection was last requested. The timings of a command have the
/// other stages, and the command's wait in the pool. The current stage is added when it ends.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// The time in each stage in microseconds, which saturates at 71 minutes.
    micros: [u32; STAGES],
}

impl Timings {
    /// Time spent in this stage; zero if it was never entered.
    pub fn of(&self, stage: Stage) -> Duration {
        Duration::from_micros(self.micros[stage as usize].into())
    }

    /// Time spent in all stages together.
    pub fn total(&self) -> Duration {
        self.micros.iter().map(|micros| Duration::from_micros((*micros).into())).sum()
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
    pub timings: Timings,
    stage: Stage,
    since: Instant,
}

impl Stopwatch {
    pub(crate) fn new(stage: Stage, now: Instant) -> Self {
        Self { timings: Timings::default(), stage, since: now }
    }

    /// Starts another stage.
    pub(crate) fn enter(&mut self, stage: Stage, now: Instant) {
        if stage != self.stage {
            self.stop(now);
            self.stage = stage;
        }
    }

    /// Ends the current stage. No other stage follows.
    pub(crate) fn stop(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.since).as_micros();
        let micros = &mut self.timings.micros[self.stage as usize];
        *micros = micros.saturating_add(u32::try_from(time).unwrap_or(u32::MAX));
        self.since = now;
    }
}
