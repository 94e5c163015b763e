//! Rows of the table, as text and as JSON, and the goals.

use std::fmt;

use super::measure::Measured;
use super::plan::{Case, Rival};

/// The goal of a row.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// At most this ratio.
    Ratio(Rival, f64),
    /// At most this much resident memory per host, at the peak.
    MemoryKib(f64),
    /// At most this many failures.
    Failed(f64),
    /// The 99.9th percentile of the turns' CPU time.
    TurnMs(f64),
}

/// One row, with the medians of its runs.
#[derive(Debug)]
pub struct Row {
    pub case: Case,
    pub measured: Measured,
    pub ratios: Vec<(Rival, f64)>,
    /// Of the process, per host, if strace is installed.
    pub system_calls: Option<f64>,
}

pub const HEADER: &str = "\
workload   hosts   pool     ok failed   cpu ms  user ms   wall s  KiB/host  calls  turn p99.9 / max ms  median us  cost against others
                                      per host per host";

impl Rival {
    fn name(self) -> &'static str {
        match self {
            Self::Russh => "russh",
            Self::CryptoFloor => "crypto_floor",
            Self::LibsshCrypto => "libssh_crypto",
            Self::Libssh => "libssh",
            Self::Raw => "raw",
            Self::OneThread => "one_thread",
            Self::Thousand => "1000_hosts",
            Self::Few => "250_at_a_time",
        }
    }
}

impl Row {
    fn ratio(&self, rival: Rival) -> Option<f64> {
        self.ratios.iter().find(|(of, _)| *of == rival).map(|(_, ratio)| *ratio)
    }

    fn cpu_ms(&self) -> f64 {
        self.measured.cpu_ms() / self.case.units()
    }

    fn memory_kib(&self) -> f64 {
        self.measured.peak_kib / self.case.hosts as f64
    }

    pub fn to_json(&self) -> String {
        let Self { case, measured, .. } = self;
        let ratio = |rival| number(self.ratio(rival));
        let others =
            [Rival::LibsshCrypto, Rival::Libssh, Rival::Raw, Rival::OneThread, Rival::Thousand, Rival::Few];
        let others: String = others
            .into_iter()
            .filter_map(|rival| Some(format!(r#","ratio_{}":{:.3}"#, rival.name(), self.ratio(rival)?)))
            .collect();
        format!(
            concat!(
                r#"{{"workload":"{}","hosts":{},"pool":{},"ok":{},"failed":{},"cpu_ms_per_host":{:.4},"#,
                r#""user_ms_per_host":{:.4},"ratio_russh":{},"ratio_crypto_floor":{},"rss_kib_per_host":{:.1},"#,
                r#""held_kib_per_host":{:.1},"wall_s":{:.4},"turn_ms_p999":{:.3},"turn_ms_max":{:.3},"#,
                r#""median_us":{:.1},"system_calls_per_host":{}{}}}"#
            ),
            case.workload.name(),
            case.hosts,
            case.pool,
            measured.ok,
            measured.failed,
            self.cpu_ms(),
            measured.user_ms / case.units(),
            ratio(Rival::Russh),
            ratio(Rival::CryptoFloor),
            self.memory_kib(),
            measured.held_kib / case.hosts as f64,
            measured.wall_s,
            measured.turn_p999_ms,
            measured.turn_max_ms,
            measured.median_us,
            number(self.system_calls),
            others,
        )
    }

    /// The goals, and the values reached.
    pub fn goals(&self) -> Vec<String> {
        let Case { workload, hosts, pool, goals, .. } = self.case;
        let line = |goal: &Goal| {
            let (what, reached, limit) = match *goal {
                Goal::Ratio(rival, limit) => {
                    (format!("cost / {}", rival.name()), self.ratio(rival).unwrap_or(f64::NAN), limit)
                }
                Goal::MemoryKib(limit) => ("KiB per host".to_owned(), self.memory_kib(), limit),
                Goal::Failed(limit) => ("failed".to_owned(), self.measured.failed, limit),
                Goal::TurnMs(limit) => {
                    ("ms of CPU, p99.9 of turns".to_owned(), self.measured.turn_p999_ms, limit)
                }
            };
            let verdict = if reached <= limit { "met" } else { "MISSED" };
            format!(
                "{verdict:<7} {:<9} {hosts:>6} {pool:>6}  {what}: {reached:.2}, at most {limit:.2}",
                workload.name()
            )
        };
        goals.iter().map(line).collect()
    }
}

fn number(figure: Option<f64>) -> String {
    figure.map_or("null".to_owned(), |figure| format!("{figure:.3}"))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, measured, ratios, system_calls } = self;
        let Measured { ok, failed, user_ms, wall_s, turn_p999_ms, turn_max_ms, median_us, .. } = measured;
        write!(f, "{:<9} {:>6} {:>6} {ok:>6} {failed:>6}", case.workload.name(), case.hosts, case.pool)?;
        write!(f, " {:>8.4} {:>8.4} {wall_s:>8.3}", self.cpu_ms(), user_ms / case.units())?;
        write!(
            f,
            " {:>9.1} {:>6}",
            self.memory_kib(),
            system_calls.map_or("-".to_owned(), |n| format!("{n:.1}"))
        )?;
        write!(f, " {turn_p999_ms:>12.2} {turn_max_ms:>7.2} {median_us:>10.1} ")?;
        for (rival, ratio) in ratios {
            write!(f, " {}: {ratio:.2}", rival.name())?;
        }
        Ok(())
    }
}
