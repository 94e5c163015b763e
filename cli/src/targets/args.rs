//! The flags that say which hosts are meant.

use std::path::PathBuf;

use clap::ValueHint;

/// Which hosts are meant.
#[derive(Debug, Default, Clone, clap::Args)]
#[command(next_help_heading = "Targets")]
pub struct TargetArgs {
    /// Hosts, such as web[01-20], @group, user@host:port, ^FILE or -; repeatable
    ///
    /// Operators apply from left to right: "," or a blank adds, "!" removes, "&" keeps what is in
    /// both, "^" what is in one only. ^FILE is the sets in a file, and - those in standard input.
    /// -SET excludes hosts in the end, and /REGEX/ and -/REGEX/ keep and exclude those whose names
    /// match.
    #[arg(short = 'w', long = "hosts", value_name = "SET", allow_hyphen_values = true, value_hint = ValueHint::Hostname)]
    pub sets: Vec<String>,

    /// Hosts to exclude in the end, as for -w
    #[arg(short = 'x', long = "exclude", value_name = "SET", allow_hyphen_values = true, value_hint = ValueHint::Hostname)]
    pub exclude: Vec<String>,

    /// Groups, as -w @GROUP
    #[arg(short = 'g', long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,

    /// Groups to exclude
    #[arg(short = 'X', long = "exclude-group", value_name = "GROUP", hide_short_help = true)]
    pub exclude_groups: Vec<String>,

    /// All hosts of the source of groups
    #[arg(short = 'a', long = "all")]
    pub all: bool,

    /// The source of groups that name none
    #[arg(short = 's', long = "groupsource", value_name = "SOURCE", hide_short_help = true)]
    pub source: Option<String>,

    /// Hosts in a file: sets, and comments after #
    #[arg(long, value_name = "FILE")]
    pub hostfile: Vec<PathBuf>,

    /// Groups of an Ansible inventory, with addresses, users and ports
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub inventory: Option<PathBuf>,

    /// Names on the Host lines of ssh_config that match
    #[arg(long, value_name = "GLOB", hide_short_help = true)]
    pub ssh_hosts: Vec<String>,

    /// The first N of these hosts only
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub limit: Option<usize>,
}

impl TargetArgs {
    /// Whether a flag selects hosts; flags that only exclude or limit do not.
    pub fn selects(&self) -> bool {
        let lists = [&self.sets, &self.groups, &self.ssh_hosts];
        self.all || !self.hostfile.is_empty() || lists.iter().any(|list| !list.is_empty())
    }
}
