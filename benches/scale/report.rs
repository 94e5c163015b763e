//! The tables of `docs/performance.md`, in Markdown.

use std::fmt::Write;

use super::counted::{messages, system_calls};
use super::measure::{Measured, Spread};
use super::plan::{Case, Goal, Rival};
use super::support::grouped;
use super::{Client, QUEUED, Workload};

/// The medians of a case's runs, and its ratios.
#[derive(Debug)]
pub struct Row {
    pub case: Case,
    pub measured: Measured,
    pub ratios: Vec<(Rival, Spread)>,
}

impl Rival {
    fn name(self) -> &'static str {
        match self {
            Self::Other(Client::Russh) => "russh, same algorithms",
            Self::Other(Client::RusshDefault) => "russh as it comes",
            Self::Other(Client::Libssh) => "libssh alone",
            Self::Other(Client::WithoutProvider) => "itself without provider",
            Self::Other(Client::Sshoal) => "itself",
            Self::Raw => "the same as bytes",
            Self::OneThread => "one thread",
            Self::Thousand => "1,000 hosts",
            Self::Few => "250 at a time",
        }
    }
}

impl Case {
    /// The first three cells of a row.
    fn cells(&self) -> String {
        let number = |number: u64| grouped(number as usize);
        let what = match self.workload {
            Workload::Fresh => "connect, log in, `echo`".to_owned(),
            Workload::Later => "a further `echo`".to_owned(),
            Workload::Open => "the same with open input".to_owned(),
            Workload::Sequence => "`echo`, repeated".to_owned(),
            Workload::Spare => "the same with a spare channel".to_owned(),
            Workload::Queue => {
                format!("{} commands on one host, {} at a time", number(QUEUED), number(self.amount))
            }
            Workload::Bulk => format!("{} MB each", number(self.amount / 1_000_000)),
            Workload::Lines | Workload::Lent | Workload::Raw => format!("{} lines each", number(self.amount)),
            Workload::Faulty => "10 % silent, 5 % refused, 5 % no login".to_owned(),
            Workload::Threads => format!("`fresh` on {} threads", self.amount),
        };
        let without = if self.client == Client::WithoutProvider { ", without provider" } else { "" };
        let (workload, [hosts, pool]) = (self.workload, [self.hosts, self.pool].map(grouped));
        format!("| `{}`: {what}{without} | {hosts} | {pool} |", workload.name())
    }
}

impl Row {
    fn memory_kib(&self) -> f64 {
        self.measured.peak_kib / self.case.hosts as f64
    }

    /// Its row in the table of costs.
    fn costs(&self) -> String {
        let Self { case, measured, .. } = self;
        let Measured { ok, failed, cpu_ms, wall_s, turn_ms, median_us, .. } = measured;
        let cpu_ms = cpu_ms / case.units();
        let [memory, ok, failed] =
            [self.memory_kib(), *ok, *failed].map(|count| grouped(count.round() as usize));
        let optional = |figure: f64, digits| match figure {
            0.0 => String::new(),
            figure => format!("{figure:.digits$}"),
        };
        let (turn, latency) = (optional(*turn_ms, 1), optional(*median_us, 0));
        format!(
            "{} {cpu_ms:.3} | {latency} | {wall_s:.3} | {memory} | {turn} | {ok} | {failed} |",
            case.cells()
        )
    }

    /// Its rows in the table of ratios.
    fn ratios(&self) -> Vec<String> {
        let goal = |rival| {
            self.case.goals.iter().find_map(|goal| match goal {
                Goal::Ratio(of, most) if *of == rival => Some(format!("{most:.2}")),
                _ => None,
            })
        };
        let row = |(rival, spread): &(Rival, Spread)| {
            let Spread { low, median, high } = spread;
            let (cells, name, goal) = (self.case.cells(), rival.name(), goal(*rival).unwrap_or_default());
            format!("{cells} {name} | {median:.2} | {low:.2} to {high:.2} | {goal} |")
        };
        self.ratios.iter().map(row).collect()
    }

    /// The goals, and the values reached.
    pub fn goals(&self) -> Vec<String> {
        let goal = |goal: &Goal| {
            let (what, reached, most) = match *goal {
                Goal::Ratio(rival, most) => {
                    let spread = self.ratios.iter().find(|(of, _)| *of == rival);
                    (format!("cost / {}", rival.name()), spread.map_or(f64::NAN, |(_, it)| it.median), most)
                }
                Goal::MemoryKib(most) => ("KiB per host".to_owned(), self.memory_kib(), most),
                Goal::NoneFailed => ("failed".to_owned(), self.measured.failed, 0.0),
                Goal::TurnMs(most) => ("CPU ms of a turn, p99.9".to_owned(), self.measured.turn_ms, most),
            };
            let verdict = if reached <= most { "" } else { "**" };
            format!("{} {what} | {most:.2} | {verdict}{reached:.2}{verdict} |", self.case.cells())
        };
        self.case.goals.iter().map(goal).collect()
    }
}

/// The tables of times and memory.
pub fn tables(rows: &[Row]) -> String {
    let costs = rows.iter().map(Row::costs).collect();
    let ratios = rows.iter().flat_map(Row::ratios).collect();
    let goals = rows.iter().flat_map(Row::goals).collect();
    let heads = [
        (
            "Costs",
            "workload | hosts | pool | CPU ms | median µs | wall s | KiB | turn p99.9 ms | ok | failed",
            costs,
        ),
        ("Ratios", "workload | hosts | pool | cost / that of | median | quartiles | goal", ratios),
        ("Goals", "workload | hosts | pool | what | goal | measured", goals),
    ];
    heads.map(|(title, head, rows)| table(title, head, rows)).concat()
}

/// The table of counts. `calls` are those of sshoal as it comes, and without its provider, if
/// they can be counted.
pub fn counts(calls: [Option<system_calls::Counted>; 2], messages: &messages::Counted) -> String {
    let messages::Counted { login, first, further } = messages;
    // The connection ends with a message of the client.
    let fresh = [login[0] - 1 + first[0], login[1] + first[1]].map(|messages| messages as f64);
    let rows = [
        ("login with its first command", fresh),
        ("further command", *further),
        ("end of a connection", [1.0, 0.0]),
    ];
    let mut lines = Vec::new();
    for (index, (what, [sent, received])) in rows.into_iter().enumerate() {
        let mut line = format!("| {what} |");
        for counted in &calls {
            let of = |counted: &system_calls::Counted| {
                let calls = [&counted.fresh, &counted.later, &counted.end][index];
                format!(" {:.0} | {:.0} |", calls.all, calls.sends)
            };
            line += &counted.as_ref().map_or(" not counted | |".to_owned(), of);
        }
        write!(line, " {sent:.0} | {received:.0} |").unwrap();
        lines.push(line);
    }
    let head = "one | system calls | sends | without provider | sends | messages sent | received";
    table("Counts", head, lines)
}

fn table(title: &str, head: &str, rows: Vec<String>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rule = "---|".repeat(head.split('|').count());
    format!("\n### {title}\n\n| {head} |\n|{rule}\n{}\n", rows.join("\n"))
}
