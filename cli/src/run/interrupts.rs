//! What signals mean to a run.

use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};

/// How long after the first ^C a second one cancels, and ^Z stops starting.
pub const WINDOW: Duration = Duration::from_secs(2);

/// The signals that a run handles.
pub const OF_RUN: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGTSTP];

/// The signals that a prompt and its runs handle. ^Z stops the process, because nothing else is
/// asked of it there.
pub const OF_PROMPT: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// What the user, or the system, wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Show what is happening, and what the next ^C will do.
    Status,
    /// Start nothing more; what runs may end.
    StopStarting,
    /// Start nothing more, and end what runs. The signal is part of the exit code.
    Cancel(i32),
    /// Leave now, whatever still runs.
    Leave(i32),
    /// Stop this process until the shell continues it.
    Suspend,
}

/// The signals that have arrived.
#[derive(Debug)]
pub struct Interrupts {
    /// Whether somebody sees what is printed after the first ^C.
    is_interactive: bool,
    first: Option<Instant>,
    is_cancelled: bool,
}

impl Interrupts {
    pub fn new(is_interactive: bool) -> Self {
        Self { is_interactive, first: None, is_cancelled: false }
    }

    /// What a signal means that arrives now.
    pub fn on(&mut self, signal: i32, now: Instant) -> Wish {
        let in_window = self.first.is_some_and(|first| now.saturating_duration_since(first) <= WINDOW);
        match signal {
            SIGTSTP if in_window && !self.is_cancelled => {
                self.first = None;
                Wish::StopStarting
            }
            SIGTSTP => Wish::Suspend,
            _ if self.is_cancelled => Wish::Leave(signal),
            SIGINT if self.is_interactive && !in_window => {
                self.first = Some(now);
                Wish::Status
            }
            _ => {
                self.is_cancelled = true;
                Wish::Cancel(signal)
            }
        }
    }
}

/// Those of these signals that were not ignored when this program started: `nohup`, and shells
/// without job control, let their children ignore some.
pub fn to_handle(signals: &[i32]) -> Vec<i32> {
    let ignored = std::fs::read_to_string("/proc/self/status").map_or(0, |status| ignored_in(&status));
    signals.iter().copied().filter(|signal| ignored & (1 << (signal - 1)) == 0).collect()
}

/// The mask of ignored signals in `/proc/self/status` (proc(5)).
fn ignored_in(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interrupt_goes_a_step_further() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut interrupts = Interrupts::new(true);
        assert_eq!(interrupts.on(SIGINT, at(0)), Wish::Status);
        // Too late for the second step.
        assert_eq!(interrupts.on(SIGINT, at(3)), Wish::Status);
        assert_eq!(interrupts.on(SIGINT, at(4)), Wish::Cancel(SIGINT));
        assert_eq!(interrupts.on(SIGINT, at(60)), Wish::Leave(SIGINT));
    }

    #[test]
    fn without_a_terminal_the_first_interrupt_cancels() {
        let now = Instant::now();
        let mut interrupts = Interrupts::new(false);
        assert_eq!(interrupts.on(SIGINT, now), Wish::Cancel(SIGINT));
        for signal in [SIGTERM, SIGHUP] {
            let mut interrupts = Interrupts::new(true);
            assert_eq!(interrupts.on(signal, now), Wish::Cancel(signal));
            assert_eq!(interrupts.on(SIGINT, now), Wish::Leave(SIGINT));
        }
    }

    #[test]
    fn a_stop_after_an_interrupt_only_stops_starting() {
        let now = Instant::now();
        let mut interrupts = Interrupts::new(true);
        assert_eq!(interrupts.on(SIGTSTP, now), Wish::Suspend);
        assert_eq!(interrupts.on(SIGINT, now), Wish::Status);
        assert_eq!(interrupts.on(SIGTSTP, now), Wish::StopStarting);
        assert_eq!(interrupts.on(SIGTSTP, now), Wish::Suspend);
    }

    #[test]
    fn signals_that_are_ignored_stay_ignored() {
        assert_eq!(ignored_in("Name:\tsshoal\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!(ignored_in(""), 0);
    }
}
