//! `sshoal demo`.

use std::ffi::OsString;

use clap::Parser;

use super::pace::at_least_one;
use super::{OutputArgs, RunningArgs};

/// Start a simulated fleet on this machine, and run a command on it
///
/// The fleet ends with the run. Its hosts know a few commands, such as `hostname`, `echo`, `sleep`
/// and `exit`.
#[derive(Debug, Parser)]
#[command(name = "sshoal demo", bin_name = "sshoal demo")]
pub struct DemoArgs {
    /// How many hosts there are
    #[arg(long, value_name = "N", default_value = "1000", value_parser = at_least_one)]
    pub hosts: usize,
    /// Let 5 % of the hosts be silent, 5 % refuse to connect, and 10 % print something else
    #[arg(long)]
    pub faults: bool,
    #[command(flatten)]
    pub running: RunningArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// The command [default: one that prints a version]
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub command: Vec<OsString>,
}
