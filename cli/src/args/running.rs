//! How commands run: how many at once, for how long, with which input.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration::{Limit, duration, limit};
use super::pace::PaceArgs;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Running")]
pub struct RunningArgs {
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Limit of each command [default: none]
    #[arg(short = 'u', long, value_name = "TIME", value_parser = limit)]
    pub command_timeout: Option<Limit>,
    /// End commands that print nothing for this long
    #[arg(long, value_name = "TIME", value_parser = limit)]
    pub idle: Option<Limit>,
    /// Limit of the whole run
    #[arg(long, hide_short_help = true, value_name = "TIME", value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Do not send standard input to the hosts
    ///
    /// It is sent to all of them if it is a pipe or a file.
    #[arg(short = 'n', long)]
    pub nostdin: bool,
    /// Give each command a terminal
    #[arg(long)]
    pub pty: bool,
    /// Environment variable of the commands; repeatable. Servers accept only some (AcceptEnv)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable, hide_short_help = true)]
    pub env: Vec<(String, String)>,
    /// Values for each host, for %{COLUMN} in the command: CSV with a header, or JSON Lines
    ///
    /// The column `host` says which host a line is for. The values are not quoted: the remote shell
    /// reads them. `%%` stands for `%`.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub arg_file: Option<PathBuf>,
    /// Fill in %{name}, %{host} and, as n, the number of the host (from 0) in the command
    #[arg(long, hide_short_help = true)]
    pub template: bool,
    /// Exit with the largest status of the commands
    ///
    /// As clush and pdsh do. A command without a status counts as 254.
    #[arg(short = 'S', long)]
    pub maxrc: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
