//! What keeps a mistake small: batches, failure budgets, confirmation.

use clap::{Args, ValueEnum};
use sshoal::fleet::Batch;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Safety")]
pub struct SafetyArgs {
    /// Show what would be done
    ///
    /// For each host the login, the way, whether its key is on record, and the command. Uses no
    /// network.
    #[arg(long)]
    pub dry_run: bool,
    /// One batch after the other, such as 1,10%,rest
    ///
    /// The last size repeats.
    #[arg(long, value_name = "SIZES", value_parser = batches)]
    pub batch: Option<Batches>,
    /// `ask` between batches, or a local command
    ///
    /// The failure of the command stops the run. It finds SSHOAL_BATCH, SSHOAL_OK, SSHOAL_FAILED
    /// and SSHOAL_LEFT in its environment: the number of the batch, and numbers of hosts.
    #[arg(long, value_name = "ask|COMMAND", requires = "batch")]
    pub gate: Option<String>,
    /// Start nothing more after more failures
    #[arg(long, value_name = "N|N%", value_parser = max_fail)]
    pub max_fail: Option<MaxFail>,
    /// Start nothing more after the first failure
    #[arg(short = 'k', long, hide_short_help = true, conflicts_with = "max_fail")]
    pub fail_fast: bool,
    /// Ask for the number of hosts before anything runs: `auto` does for more than 20 on a terminal
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, hide_short_help = true)]
    pub confirm: Confirm,
    /// Do not ask before a run on many hosts
    #[arg(short = 'y', long, conflicts_with = "confirm")]
    pub yes: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Confirm {
    #[default]
    Auto,
    Always,
    Never,
}

/// The sizes of batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batches(pub Vec<Batch>);

/// How many commands may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxFail {
    Hosts(usize),
    Percent(u8),
}

impl SafetyArgs {
    pub fn max_fail(&self) -> Option<MaxFail> {
        if self.fail_fast { Some(MaxFail::Hosts(0)) } else { self.max_fail }
    }
}

fn batches(text: &str) -> Result<Batches, String> {
    let sizes: Vec<Batch> = text.split(',').map(batch).collect::<Result<_, _>>()?;
    match sizes.iter().position(|size| *size == Batch::Rest) {
        Some(position) if position + 1 < sizes.len() => Err("`rest` has to be the last size".to_owned()),
        _ => Ok(Batches(sizes)),
    }
}

fn batch(text: &str) -> Result<Batch, String> {
    let wrong = || format!("{text:?} is no size: write a number, a percentage such as 10%, or rest");
    if text == "rest" {
        return Ok(Batch::Rest);
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
        return percent.map(Batch::Percent).ok_or_else(wrong);
    }
    text.parse().ok().filter(|hosts| *hosts > 0).map(Batch::Hosts).ok_or_else(wrong)
}

fn max_fail(text: &str) -> Result<MaxFail, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(MaxFail::Percent),
        None => text.parse().ok().map(MaxFail::Hosts),
    };
    number.ok_or_else(|| "write a number, or a percentage such as 5%".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_percentages_and_the_rest() {
        let sizes = [Batch::Hosts(1), Batch::Percent(10), Batch::Rest];
        assert_eq!(batches("1,10%,rest"), Ok(Batches(sizes.to_vec())));
        for text in ["", "0", "0%", "101%", "rest,1", "1,,2", "-1", "some"] {
            assert!(batches(text).is_err(), "{text}");
        }
    }

    #[test]
    fn failures_are_counted_or_a_share() {
        assert_eq!(max_fail("0"), Ok(MaxFail::Hosts(0)));
        assert_eq!(max_fail("5%"), Ok(MaxFail::Percent(5)));
        assert!(max_fail("101%").is_err() && max_fail("few").is_err());
    }
}
