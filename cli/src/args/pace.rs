//! How fast hosts are connected to, and for how long that is tried.

use clap::Args;

use super::duration::{Limit, limit};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Running")]
pub struct PaceArgs {
    /// How many commands run at once [default: no limit]
    #[arg(short = 'f', long, value_name = "N", value_parser = at_least_one)]
    pub fanout: Option<usize>,
    /// How many hosts connect at once
    #[arg(long, value_name = "N", default_value = "100", value_parser = at_least_one, hide_short_help = true)]
    pub max_connecting: usize,
    /// Connections per second [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), hide_short_help = true)]
    pub rate: Option<u32>,
    /// Limit until the command has started [default: 30s]
    ///
    /// Such as 5 (seconds), 500ms or 1m; 0 means none. All attempts to connect are included.
    #[arg(short = 't', long, value_name = "TIME", value_parser = limit)]
    pub connect_timeout: Option<Limit>,
    /// Try again N times to connect; -t is then the limit of each attempt
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub retry: Option<u32>,
}

pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give a number, at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}
