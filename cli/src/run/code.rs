//! The exit code.

use sshoal::error::Label;

use crate::end::{End, Failure};

/// The arguments make no sense, or nothing could be started.
pub const USAGE: u8 = 2;

/// The run was stopped before all commands had started.
pub const STOPPED: u8 = 5;

/// Collects the ends of all hosts into an exit code.
///
/// | code | meaning |
/// |---|---|
/// | 0 | every command exited with status 0 |
/// | 1 | some command exited with another status, or some copy failed |
/// | 3 | some command was ended by a signal or a time limit |
/// | 4 | some host could not be reached, or refused the login or the command |
/// | 5 | some command was not started, because the run was stopped |
///
/// The highest one counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExitCode {
    worst: u8,
    /// The largest status, as for `-S`.
    largest: u8,
    /// The signal that has ended the run.
    signal: Option<i32>,
}

/// What [`ExitCode::value`] is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rule {
    /// The table above.
    #[default]
    Worst,
    /// The largest status of all commands, or 254 if one has none (clush, pdsh: `-S`).
    LargestStatus,
    /// 0, however the commands have ended (pdsh).
    Zero,
}

/// What `-S` counts for a command without a status, as pdsh does.
const NO_STATUS: u8 = 254;

impl ExitCode {
    pub fn count(&mut self, end: &End) {
        self.worst = self.worst.max(severity(end));
        let status = match end {
            End::Exited(status) => u8::try_from(*status).unwrap_or(u8::MAX),
            End::Copied(_) => 0,
            _ => NO_STATUS,
        };
        self.largest = self.largest.max(status);
    }

    /// The run was stopped, because its output could not be written.
    pub fn fail(&mut self) {
        self.worst = 5;
    }

    /// The run was ended by a signal.
    pub fn interrupt(&mut self, signal: i32) {
        self.signal.get_or_insert(signal);
    }

    /// The signal that has ended the run.
    pub fn signal(self) -> Option<i32> {
        self.signal
    }

    pub fn value(self, rule: Rule) -> u8 {
        if let Some(signal) = self.signal {
            return code_of_signal(signal);
        }
        match rule {
            Rule::Worst => self.worst,
            Rule::LargestStatus => self.largest,
            Rule::Zero => 0,
        }
    }
}

/// The exit code of a program that this signal has ended, as shells tell it.
pub fn code_of_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

fn severity(end: &End) -> u8 {
    match end {
        End::Exited(0) | End::Copied(_) => 0,
        End::Exited(_) => 1,
        End::Signaled { .. } | End::NoStatus => 3,
        End::Failed(Failure { label, .. }) => match label {
            Label::NotStarted => 5,
            Label::Transfer => 1,
            Label::CommandTimeout | Label::ReadTimeout | Label::Cancelled => 3,
            _ => 4,
        },
    }
}

#[cfg(test)]
mod tests {
    use sshoal::Stage;

    use super::*;

    fn failed(label: Label) -> End {
        End::Failed(Failure { stage: Stage::Running, label, text: String::new(), advice: None })
    }

    fn code(ends: &[End], rule: Rule) -> u8 {
        let mut code = ExitCode::default();
        ends.iter().for_each(|end| code.count(end));
        code.value(rule)
    }

    #[test]
    fn the_worst_end_decides() {
        let ends = [
            End::Exited(0),
            failed(Label::Transfer),
            failed(Label::CommandTimeout),
            failed(Label::HostKeyUnknown),
            failed(Label::NotStarted),
        ];
        for (count, expected) in [(1, 0), (2, 1), (3, 3), (4, 4), (5, 5)] {
            assert_eq!(code(&ends[..count], Rule::Worst), expected);
        }
        assert_eq!(code(&[End::NoStatus], Rule::Worst), 3);
        assert_eq!(code(&[], Rule::Worst), 0);
    }

    #[test]
    fn the_largest_status_is_that_of_pdsh() {
        assert_eq!(code(&[End::Exited(3), End::Exited(7), End::Exited(0)], Rule::LargestStatus), 7);
        assert_eq!(code(&[End::Exited(3), failed(Label::Connect)], Rule::LargestStatus), 254);
        assert_eq!(code(&[End::Exited(255)], Rule::LargestStatus), 255);
        assert_eq!(code(&[End::Exited(100_000)], Rule::LargestStatus), 255);
    }

    #[test]
    fn a_signal_comes_first() {
        let mut code = ExitCode::default();
        code.count(&failed(Label::NotStarted));
        code.interrupt(2);
        code.interrupt(15);
        assert_eq!(code.value(Rule::Worst), 130);
    }
}
