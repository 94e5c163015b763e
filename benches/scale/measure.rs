//! What one process measures about itself.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::time::ClockId;

use super::support::{clock, rank, status_kib};

const FIGURES: usize = 7;

/// The figures of one job, all for the client's process only.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Hosts, or commands, that succeeded.
    pub ok: f64,
    pub failed: f64,
    /// CPU time in the process and in the kernel.
    pub cpu_ms: f64,
    pub wall_s: f64,
    /// Growth of the resident memory up to its peak.
    pub peak_kib: f64,
    /// CPU time of turns, if there are any: the 99.9th percentile.
    pub turn_ms: f64,
    /// Latency of one command of a sequence.
    pub median_us: f64,
}

impl Measured {
    /// The CPU times of turns.
    pub fn turns(mut self, mut turns: Vec<Duration>) -> Self {
        turns.sort_unstable();
        self.turn_ms = rank(&turns, 0.999).as_secs_f64() * 1e3;
        self
    }

    /// How long the commands of a sequence took.
    pub fn latencies(mut self, mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        self.median_us = rank(&took, 0.5).as_secs_f64() * 1e6;
        self
    }

    /// All figures, in the order in which a process prints them.
    fn figures(&mut self) -> [&mut f64; FIGURES] {
        let Self { ok, failed, cpu_ms, wall_s, peak_kib, turn_ms, median_us } = self;
        [ok, failed, cpu_ms, wall_s, peak_kib, turn_ms, median_us]
    }

    fn to_array(mut self) -> [f64; FIGURES] {
        self.figures().map(|figure| *figure)
    }

    fn from_array(figures: [f64; FIGURES]) -> Self {
        let mut measured = Self::default();
        for (figure, value) in measured.figures().into_iter().zip(figures) {
            *figure = value;
        }
        measured
    }

    /// The median of each figure over all runs.
    pub fn median(runs: &[Self]) -> Self {
        let figures: Vec<[f64; FIGURES]> = runs.iter().map(|run| run.to_array()).collect();
        let median = |index: usize| Spread::of(figures.iter().map(|run| run[index])).median;
        Self::from_array(std::array::from_fn(median))
    }
}

/// The median of some values and the quartiles around it, by the nearest rank.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let [low, median, high] = [1, 2, 3].map(|quarters| values[(values.len() * quarters).div_ceil(4) - 1]);
        Self { low, median, high }
    }
}

/// The format in which a process prints its figures to its parent.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.to_array().map(|figure| figure.to_string());
        f.write_str(&figures.join(" "))
    }
}

impl FromStr for Measured {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let figures: Result<Vec<f64>, _> = text.split(' ').map(str::parse).collect();
        let figures = figures.map_err(|_| "not a number")?;
        Ok(Self::from_array(figures.try_into().map_err(|_| "not so many figures")?))
    }
}

/// Measures from its creation on.
pub struct Meter {
    begun: Instant,
    cpu: Duration,
    resident_kib: f64,
}

impl Meter {
    pub fn start() -> Self {
        Self { resident_kib: status_kib("VmRSS:"), cpu: process_cpu(), begun: Instant::now() }
    }

    /// Restarts the clocks for a later phase. Memory growth still counts from the first start.
    pub fn restart_clocks(&mut self) {
        self.cpu = process_cpu();
        self.begun = Instant::now();
    }

    pub fn end(self, ok: usize, failed: usize) -> Measured {
        let wall_s = self.begun.elapsed().as_secs_f64();
        let cpu_ms = (process_cpu() - self.cpu).as_secs_f64() * 1e3;
        let (ok, failed) = (ok as f64, failed as f64);
        let peak_kib = status_kib("VmHWM:") - self.resident_kib;
        Measured { ok, failed, cpu_ms, wall_s, peak_kib, ..Measured::default() }
    }
}

/// CPU time of this process, in the kernel too.
fn process_cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// CPU time of this thread.
pub fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}
