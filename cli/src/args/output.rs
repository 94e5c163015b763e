//! What is shown of a run, and how.

use std::path::PathBuf;

use anstream::ColorChoice;
use clap::{ArgAction, Args, ValueEnum, ValueHint};

use crate::output::{Form, Options, Screen, Sort};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    #[command(flatten)]
    pub folding: FoldingArgs,
    /// Like -b, with standard error
    #[arg(short = 'B', hide_short_help = true, conflicts_with = "json")]
    fold_both: bool,
    /// JSON Lines
    ///
    /// One object for each thing that happens. cli/json-lines.schema.json describes them.
    #[arg(long, conflicts_with_all = ["fold", "ordered", "diff", "sort"])]
    json: bool,
    /// A file for the standard error of each host, in this folder
    #[arg(long, value_name = "DIR", hide_short_help = true, value_hint = ValueHint::DirPath)]
    errdir: Option<PathBuf>,
    /// A line about each host in this file, as GNU parallel's
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    joblog: Option<PathBuf>,
    /// No summary and no progress
    #[arg(short, long)]
    quiet: bool,
    /// Show what the library does; repeat for more
    #[arg(short, long, action = ArgAction::Count, hide_short_help = true)]
    pub verbose: u8,
}

/// What `sshoal fold` has, too.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct FoldingArgs {
    /// Fold equal output at the end; with -L, line by line
    ///
    /// With -L, equal lines are shown as soon as no host can add to them.
    #[arg(short = 'b', long = "dshbak")]
    fold: bool,
    /// In the order of hosts
    #[arg(short = 'L')]
    ordered: bool,
    /// Fold output, and show differences to the largest group
    #[arg(long, hide_short_help = true, conflicts_with = "ordered")]
    diff: bool,
    /// The order of groups, or of hosts with -L
    #[arg(long, value_enum, value_name = "ORDER", hide_short_help = true)]
    sort: Option<Order>,
    /// No host names in front of lines, no headers
    #[arg(short = 'N', long = "nolabel", hide_short_help = true)]
    no_label: bool,
    /// A file for the output of each host, in this folder
    #[arg(long, value_name = "DIR", hide_short_help = true, value_hint = ValueHint::DirPath)]
    outdir: Option<PathBuf>,
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
    /// Folds output at the end, or no longer. Returns whether it does now.
    pub fn toggle_folding(&mut self) -> bool {
        self.folding.fold = !(self.folding.fold || self.fold_both);
        self.fold_both = false;
        self.folding.fold
    }

    /// What has to be said about flags that are of no use together.
    pub fn fault(&self) -> Option<&'static str> {
        let is_streamed = self.options(String::new()).form == Form::Stream;
        let text = "--sort orders groups or hosts: it needs -b, -B, --diff or -L";
        (self.folding.sort.is_some() && is_streamed).then_some(text)
    }

    pub fn options(&self, command: String) -> Options {
        let options = self.folding.options();
        Options {
            form: match self.fold_both {
                _ if self.json => Form::Json,
                true if options.form == Form::Live => Form::Live,
                true => Form::Folded { stderr: true },
                false => options.form,
            },
            errdir: self.errdir.clone(),
            joblog: self.joblog.clone(),
            progress: !self.quiet,
            quiet: self.quiet,
            command,
            ..options
        }
    }

    pub fn screen(&self) -> Screen<'static> {
        self.folding.screen()
    }
}

impl FoldingArgs {
    pub fn options(&self) -> Options {
        Options {
            form: match (self.fold || self.diff, self.ordered) {
                (true, true) => Form::Live,
                (true, false) => Form::Folded { stderr: false },
                (false, true) => Form::Ordered,
                (false, false) => Form::Stream,
            },
            label: !self.no_label,
            sort: self.sort.map(|order| match order {
                Order::Host => Sort::Host,
                Order::Output => Sort::Output,
                Order::Time => Sort::Time,
            }),
            diff: self.diff,
            outdir: self.outdir.clone(),
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
