//! How commands run: how many at once, for how long, with which input.

use std::time::Duration;

use clap::Args;

use super::duration::{Limit, duration, limit};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Running")]
pub struct RunningArgs {
    /// How many commands run at once [default: no limit]
    #[arg(short = 'f', long, value_name = "N", value_parser = at_least_one)]
    pub fanout: Option<usize>,
    /// How many hosts connect at once
    #[arg(long, value_name = "N", default_value = "100", value_parser = at_least_one, hide_short_help = true)]
    pub max_connecting: usize,
    /// Connections per second [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    pub rate: Option<u32>,
    /// Limit from connecting until the command has started, such as 5, 500ms or 1m; 0: none [default: 30s]
    #[arg(short = 't', long, value_name = "TIME", value_parser = limit)]
    pub connect_timeout: Option<Limit>,
    /// Limit of each command; 0: none [default: none]
    #[arg(short = 'u', long, value_name = "TIME", value_parser = limit)]
    pub command_timeout: Option<Limit>,
    /// End commands that print nothing for this long
    #[arg(long, value_name = "TIME", value_parser = limit)]
    pub idle: Option<Limit>,
    /// Limit of the whole run
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Send no standard input to the hosts, even if it is a pipe or a file
    #[arg(short = 'n', long)]
    pub nostdin: bool,
    /// Give each command a terminal
    #[arg(long)]
    pub pty: bool,
    /// Environment variable of the commands; repeatable. Servers accept only some (AcceptEnv)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable, hide_short_help = true)]
    pub env: Vec<(String, String)>,
    /// Exit with the largest status of the commands, as clush and pdsh do; 254 for none
    #[arg(short = 'S', long)]
    pub maxrc: bool,
}

pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give a number, at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
