//! Rows of figures, as a table and as JSON.

use std::fmt;
use std::time::Duration;

use super::support::rank;

pub const HEADER: &str = "case                      what                                 unit          \
                          n        p50        p99      p99.9        max      value";

/// One line of the report.
#[derive(Debug, Clone)]
pub struct Row {
    pub case: String,
    pub what: &'static str,
    unit: &'static str,
    pub figures: Figures,
}

#[derive(Debug, Clone, Copy)]
pub enum Figures {
    Spread { count: usize, p50: f64, p99: f64, p999: f64, max: f64 },
    Value(f64),
}

impl Row {
    pub fn value(case: &str, what: &'static str, unit: &'static str, value: f64) -> Self {
        Self { case: case.to_owned(), what, unit, figures: Figures::Value(value) }
    }

    /// The distribution of these times, in microseconds.
    pub fn spread(case: &str, what: &'static str, times: &mut [Duration]) -> Self {
        times.sort_unstable();
        let at = |share| rank(times, share).as_secs_f64() * 1e6;
        let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), at(1.0));
        let figures = Figures::Spread { count: times.len(), p50, p99, p999, max };
        Self { case: case.to_owned(), what, unit: "us", figures }
    }

    pub fn to_json(&self) -> String {
        let Self { case, what, unit, figures } = self;
        let figures = match figures {
            Figures::Spread { count, p50, p99, p999, max } => {
                format!(r#""n":{count},"p50":{p50:.1},"p99":{p99:.1},"p99.9":{p999:.1},"max":{max:.1}"#)
            }
            Figures::Value(value) => format!(r#""value":{value:.3}"#),
        };
        format!(r#"{{"case":"{case}","what":"{what}","unit":"{unit}",{figures}}}"#)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, what, unit, figures } = self;
        write!(f, "{case:<25} {what:<36} {unit:<7}")?;
        match figures {
            Figures::Spread { count, p50, p99, p999, max } => {
                write!(f, " {count:>7} {p50:>10.1} {p99:>10.1} {p999:>10.1} {max:>10.1}")
            }
            Figures::Value(value) => write!(f, " {value:>62.3}"),
        }
    }
}
