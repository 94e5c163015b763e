//! What one process measures about itself.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::time::ClockId;

use super::support::{clock, rank, status_kib};

/// The figures of one job, all for the client's process only.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Hosts, or commands, that succeeded.
    pub ok: f64,
    pub failed: f64,
    /// CPU time in the process and in the kernel, in milliseconds.
    pub user_ms: f64,
    pub system_ms: f64,
    pub wall_s: f64,
    /// Growth of the resident memory up to its peak.
    pub peak_kib: f64,
    /// Growth until the end, when all hosts were connected.
    pub held_kib: f64,
    /// CPU time of turns, if there are any.
    pub turn_p999_ms: f64,
    pub turn_max_ms: f64,
    /// Latency of one command of a sequence.
    pub median_us: f64,
}

impl Measured {
    pub fn cpu_ms(&self) -> f64 {
        self.user_ms + self.system_ms
    }

    /// The CPU times of turns.
    pub fn turns(mut self, mut turns: Vec<Duration>) -> Self {
        turns.sort_unstable();
        self.turn_p999_ms = rank(&turns, 0.999).as_secs_f64() * 1e3;
        self.turn_max_ms = rank(&turns, 1.0).as_secs_f64() * 1e3;
        self
    }

    /// How long the commands of a sequence took.
    pub fn latencies(mut self, mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        self.median_us = rank(&took, 0.5).as_secs_f64() * 1e6;
        self
    }

    /// All figures, in the order in which a process prints them.
    fn figures(&mut self) -> [&mut f64; 10] {
        let Self {
            ok,
            failed,
            user_ms,
            system_ms,
            wall_s,
            peak_kib,
            held_kib,
            turn_p999_ms,
            turn_max_ms,
            median_us,
        } = self;
        [ok, failed, user_ms, system_ms, wall_s, peak_kib, held_kib, turn_p999_ms, turn_max_ms, median_us]
    }

    fn to_array(mut self) -> [f64; 10] {
        self.figures().map(|figure| *figure)
    }

    fn from_array(figures: [f64; 10]) -> Self {
        let mut measured = Self::default();
        for (figure, value) in measured.figures().into_iter().zip(figures) {
            *figure = value;
        }
        measured
    }

    /// The median of each figure over all runs.
    pub fn median(runs: &[Self]) -> Self {
        let figures: Vec<[f64; 10]> = runs.iter().map(|run| run.to_array()).collect();
        Self::from_array(std::array::from_fn(|index| median(figures.iter().map(|run| run[index]))))
    }
}

/// The median of these values, or 0 if there are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
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
    cpu: [Duration; 2],
    resident_kib: f64,
}

impl Meter {
    pub fn start() -> Self {
        Self { resident_kib: status_kib("VmRSS:"), cpu: cpu(), begun: Instant::now() }
    }

    /// Restarts the clocks for a later phase. Memory growth still counts from the first start.
    pub fn restart_clocks(&mut self) {
        self.cpu = cpu();
        self.begun = Instant::now();
    }

    /// How far the memory has grown; called when all hosts are connected.
    pub fn growth_kib(&self) -> f64 {
        status_kib("VmRSS:") - self.resident_kib
    }

    pub fn end(self, ok: usize, failed: usize, held_kib: f64) -> Measured {
        let wall_s = self.begun.elapsed().as_secs_f64();
        let [user_ms, system_ms] = [0, 1].map(|of| (cpu()[of] - self.cpu[of]).as_secs_f64() * 1e3);
        let (ok, failed) = (ok as f64, failed as f64);
        let peak_kib = status_kib("VmHWM:") - self.resident_kib;
        Measured { ok, failed, user_ms, system_ms, wall_s, peak_kib, held_kib, ..Measured::default() }
    }
}

/// CPU time in the process, and in the kernel.
fn cpu() -> [Duration; 2] {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()].map(|time| {
        let micros = u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap();
        Duration::from_micros(micros)
    })
}

/// CPU time of this thread.
pub fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}
