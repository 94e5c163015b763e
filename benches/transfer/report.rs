//! The tables of copies by one host, in Markdown.

use std::fmt::Write as _;

use sshoal::Fleet;

use super::measure::Spread;
use super::programs::{Direction, Program, Run};
use super::site::{Content, ROUND_TRIP, SMALL};
use super::support::grouped;

/// Lowest rate, as a share of that of `sftp`.
const RATE_GOAL: f64 = 0.9;

/// The window of a channel of OpenSSH's server, in bytes (`channels.h`: `CHAN_SES_WINDOW_DEFAULT`).
const WINDOW_OF_OPENSSH: f64 = 2_097_152.0;

/// The window of a channel of libssh 0.10, which is smaller (`channels.c`: `WINDOWBASE`).
const WINDOW_OF_OLD_LIBSSH: f64 = 1_280_000.0;

/// The same work by all programs.
#[derive(Debug)]
pub struct Row {
    pub content: Content,
    pub is_far: bool,
    pub direction: Direction,
    pub runs: Vec<(Program, Vec<Run>)>,
}

impl Row {
    fn title(&self) -> String {
        let what = match self.content {
            Content::File(bytes) => format!("{} MB", grouped((bytes / 1_000_000) as usize)),
            Content::Tree(files) => format!("{} files of {} KiB", grouped(files), SMALL / 1024),
        };
        let line = if self.is_far { format!(", {} ms", ROUND_TRIP.as_millis()) } else { String::new() };
        format!("{} {what}{line}", self.direction.name())
    }

    fn own(&self) -> &[Run] {
        &self.runs[0].1
    }

    /// A ratio of sshoal and another program, round by round.
    fn ratio(&self, others: &[Run], ratio: fn(&Run, &Run) -> f64) -> Spread {
        Spread::of(self.own().iter().zip(others).map(|(own, other)| ratio(own, other)))
    }

    fn cells(&self) -> String {
        let title = self.title();
        let mut text = String::new();
        for (program, runs) in &self.runs {
            let median = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure)).median;
            let (wall, cpu) = (median(|run| run.wall.as_secs_f64()), median(|run| run.cpu.as_secs_f64()));
            let rate = self.content.amount() / wall;
            write!(text, "| {title} | {} | {wall:.2} | {rate:.0} | {cpu:.2} |", program.name()).unwrap();
            if *program == Program::Sshoal {
                text += " | | | |\n";
                continue;
            }
            let rate = self.ratio(runs, |own, other| other.wall.div_duration_f64(own.wall));
            let cpu = self.ratio(runs, |own, other| own.cpu.div_duration_f64(other.cpu));
            let goal = if *program == Program::Sftp { format!("{RATE_GOAL}") } else { String::new() };
            let mark = if *program == Program::Sftp && rate.median < RATE_GOAL { "**" } else { "" };
            writeln!(
                text,
                " {mark}{:.2}{mark} | {:.2} to {:.2} | {goal} | {:.2} |",
                rate.median, rate.low, rate.high, cpu.median
            )
            .unwrap();
        }
        text
    }

    /// How the rate compares with what the window of the channel allows.
    fn window(&self) -> Option<String> {
        if !self.is_far || !matches!(self.content, Content::File(_)) {
            return None;
        }
        let library = Fleet::library();
        let is_old = library.version.starts_with("0.10.");
        let window = match self.direction {
            Direction::Get if is_old => WINDOW_OF_OLD_LIBSSH,
            _ => WINDOW_OF_OPENSSH,
        };
        let allowed = window / 1e6 / ROUND_TRIP.as_secs_f64();
        let copying = self.own().iter().filter_map(|run| run.copying);
        let Spread { low, median, high } =
            Spread::of(copying.map(|time| self.content.amount() / time.as_secs_f64() / allowed));
        let (title, version) = (self.title(), library.version);
        Some(format!(
            "| {title} | {version} | {window:.0} | {allowed:.1} | {:.1} | {median:.2} | {low:.2} to {high:.2} |\n",
            median * allowed
        ))
    }
}

pub fn tables(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n### One host\n\n| copy | program | wall s | MB/s or files/s | CPU s | rate of sshoal / its rate | quartiles | \
         goal | CPU of sshoal / its CPU |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    rows.iter().for_each(|row| text += &row.cells());
    let windows: String = rows.iter().filter_map(Row::window).collect();
    if !windows.is_empty() {
        text += "\n### What the window allows\n\n| copy | libssh | window, bytes | MB/s allowed | MB/s without the \
                 login | share | quartiles |\n|---|---|---|---|---|---|---|\n";
        text += &windows;
    }
    text
}
