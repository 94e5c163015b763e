//! The flags of pdsh and dshbak, for links to this program of those names.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use super::duration::{Limit, limit};
use super::pace::at_least_one;
use crate::targets::TargetArgs;

/// Run a command on many hosts over SSH, with the flags of pdsh
#[derive(Debug, Parser)]
#[command(
    name = "pdsh",
    version,
    disable_version_flag = true,
    override_usage = "pdsh -w SET [OPTIONS] COMMAND [ARG]...",
    after_help = "This is sshoal under the name of pdsh; `sshoal -h` has more. In the command, %h is the host, %u the \
                  user and %n the number of the host, from 0."
)]
pub struct PdshArgs {
    /// The hosts
    #[arg(short = 'w', value_name = "SET", allow_hyphen_values = true)]
    sets: Vec<String>,
    /// Hosts to leave out
    #[arg(short = 'x', value_name = "SET", allow_hyphen_values = true)]
    exclude: Vec<String>,
    /// Hosts of this group
    #[arg(short = 'g', value_name = "GROUP")]
    groups: Vec<String>,
    /// Hosts of this group are left out
    #[arg(short = 'X', value_name = "GROUP")]
    exclude_groups: Vec<String>,
    /// All hosts
    #[arg(short = 'a')]
    all: bool,
    /// How many commands run at once
    #[arg(short = 'f', value_name = "N", env = "FANOUT", default_value = "32", value_parser = at_least_one)]
    pub fanout: usize,
    /// Limit until the command has started, in seconds
    #[arg(short = 't', value_name = "SECONDS", env = "PDSH_CONNECT_TIMEOUT", default_value = "10", value_parser = limit)]
    pub connect_timeout: Limit,
    /// Limit of each command, in seconds
    #[arg(short = 'u', value_name = "SECONDS", env = "PDSH_COMMAND_TIMEOUT", value_parser = limit)]
    pub command_timeout: Option<Limit>,
    /// Log in as this user
    #[arg(short = 'l', value_name = "USER")]
    pub user: Option<String>,
    /// How hosts are reached: `ssh` is the only way
    #[arg(short = 'R', value_name = "NAME", env = "PDSH_RCMD_TYPE", default_value = "ssh",
        value_parser = ["ssh"])]
    rcmd: String,
    /// Exit with the largest status of the commands, 254 for none; without it the exit code is 0
    #[arg(short = 'S')]
    pub largest: bool,
    /// No host names in front of lines
    #[arg(short = 'N')]
    pub no_label: bool,
    /// The first ^C cancels
    #[arg(short = 'b')]
    pub batch_mode: bool,
    /// Show the hosts, and do not run anything
    #[arg(short = 'q')]
    pub query: bool,
    /// Show the version
    #[arg(short = 'V', action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// The command
    #[arg(value_name = "COMMAND", trailing_var_arg = true, required_unless_present = "query")]
    pub command: Vec<OsString>,
}

impl PdshArgs {
    pub fn targets(&self) -> TargetArgs {
        TargetArgs {
            sets: self.sets.clone(),
            exclude: self.exclude.clone(),
            groups: self.groups.clone(),
            exclude_groups: self.exclude_groups.clone(),
            all: self.all,
            ..TargetArgs::default()
        }
    }
}

/// Show the output of each host by itself, from lines as `host: text`
#[derive(Debug, Parser)]
#[command(name = "dshbak", disable_version_flag = true)]
pub struct DshbakArgs {
    /// Show equal output once
    #[arg(short = 'c')]
    pub coalesce: bool,
    /// A file for each host in this folder, which has to exist
    #[arg(short = 'd', value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Create the folder of -d
    #[arg(short = 'f', requires = "folder")]
    pub force: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        PdshArgs::command().debug_assert();
        DshbakArgs::command().debug_assert();
    }
}
