//! What is shown of a run, and how.

use anstream::ColorChoice;
use clap::{ArgAction, Args, ValueEnum};

use crate::output::{Form, Options, Screen, Sort};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Fold equal output of hosts, at the end
    #[arg(short = 'b', long = "dshbak")]
    fold: bool,
    /// Like -b, with standard error
    #[arg(short = 'B')]
    fold_both: bool,
    /// With -b: differences to the largest group
    #[arg(long)]
    diff: bool,
    /// With -b: the order of groups
    #[arg(long, value_enum, value_name = "ORDER", hide_short_help = true)]
    sort: Option<Order>,
    /// No host names in front of lines, no headers
    #[arg(short = 'N', long = "nolabel")]
    no_label: bool,
    /// Show failures only, no summary and no progress
    #[arg(short, long)]
    quiet: bool,
    /// Show what the library does; repeat for more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", hide_short_help = true)]
    color: Color,
    /// Write output to a terminal as it is, with the escape sequences in it
    #[arg(long, hide_short_help = true)]
    raw: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Order {
    Host,
    Output,
    Time,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl OutputArgs {
    pub fn options(&self, command: String) -> Options {
        Options {
            form: match (self.fold_both, self.fold) {
                (true, _) => Form::Folded { stderr: true },
                (false, true) => Form::Folded { stderr: false },
                (false, false) => Form::Stream,
            },
            label: !self.no_label,
            sort: self.sort.map(|order| match order {
                Order::Host => Sort::Host,
                Order::Output => Sort::Output,
                Order::Time => Sort::Time,
            }),
            diff: self.diff,
            progress: !self.quiet,
            quiet: self.quiet,
            command,
            ..Options::default()
        }
    }

    pub fn screen(&self) -> Screen<'static> {
        let choice = match self.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Screen::of_process(choice).raw(self.raw)
    }
}
