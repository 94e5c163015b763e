//! `sshoal script`, `sshoal keyscan`, `sshoal last`, `sshoal fold`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use super::output::FoldingArgs;
use super::{ConnectionArgs, PaceArgs, TaskArgs};
use crate::completion::Shell;
use crate::history::Which;
use crate::targets::TargetArgs;

/// Run a local script on many hosts, which need no copy of it
///
/// Hosts read the script from their standard input. Its first line says which shell runs it: sh,
/// bash, dash, ksh, zsh, python, perl and ruby can; without one, sh does.
#[derive(Debug, Parser)]
#[command(
    name = "sshoal script",
    bin_name = "sshoal script",
    override_usage = "sshoal script -w SET [OPTIONS] FILE [ARG]..."
)]
pub struct ScriptArgs {
    #[command(flatten)]
    pub task: TaskArgs,
    /// What runs the script, with the arguments that make it read standard input, as `sh -s --`
    #[arg(long, value_name = "COMMAND", help_heading = "Running", hide_short_help = true)]
    pub interpreter: Option<String>,
    /// How the script reaches its shell: by standard input, or as a file
    ///
    /// `file` is for scripts that read themselves, and for programs. They are written to a
    /// temporary file, which only the user can read, run with the arguments, and removed however they end,
    /// also if the connection is lost.
    #[arg(long, value_enum, value_name = "HOW", default_value_t, help_heading = "Running")]
    pub via: Via,
    /// The script
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: OsString,
    /// Its arguments, which arrive as they are
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true, value_hint = clap::ValueHint::AnyPath)]
    pub args: Vec<OsString>,
}

/// How a script reaches its shell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Via {
    #[default]
    Stdin,
    File,
}

/// Record the keys of new hosts in known_hosts, as ssh does at first contact
///
/// Keys that are on record stay. Changed and revoked keys are reported, and never recorded. What is
/// fetched over the network may be the key of an attacker: compare fingerprints (--print) with
/// those that the hosts have on their consoles, or scan over a network that you trust.
#[derive(Debug, Parser)]
#[command(
    name = "sshoal keyscan",
    bin_name = "sshoal keyscan",
    override_usage = "sshoal keyscan -w SET [OPTIONS]"
)]
pub struct KeyscanArgs {
    #[command(flatten)]
    pub targets: TargetArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Show the keys, and record nothing
    #[arg(long)]
    pub print: bool,
    /// The file to add keys to [default: the first UserKnownHostsFile]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Hash the names (OpenSSH: HashKnownHosts)
    #[arg(long)]
    pub hash: bool,
}

/// Show how the last run ended
///
/// Outputs are not kept. `sshoal --last=failed COMMAND` runs a command on the hosts that failed.
#[derive(Debug, Parser)]
#[command(name = "sshoal last", bin_name = "sshoal last")]
pub struct LastArgs {
    /// How many runs before the last one
    #[arg(value_name = "N", default_value = "0")]
    pub before: usize,
    /// Only the hosts that ended like this, as a set
    #[arg(long = "end", value_enum, value_name = "END")]
    pub which: Option<Which>,
}

/// Fold the output of other programs, lines as `host: text`, from standard input
///
/// As `dshbak -c` and `clubak` do. With -L, the output of each host follows the other, as with
/// `dshbak` alone.
#[derive(Debug, Parser)]
#[command(name = "sshoal fold", bin_name = "sshoal fold")]
pub struct FoldArgs {
    /// What follows the host on each line
    #[arg(short = 'S', long, value_name = "TEXT", default_value = ": ")]
    pub separator: String,
    #[command(flatten)]
    pub folding: FoldingArgs,
}

/// Print completions for a shell: flags, hosts, groups and files
///
/// bash reads them from ~/.local/share/bash-completion/completions/sshoal, zsh as _sshoal from a
/// folder of $fpath, and fish from ~/.config/fish/completions/sshoal.fish.
#[derive(Debug, Parser)]
#[command(name = "sshoal completions", bin_name = "sshoal completions")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Print the manual page, in troff
#[derive(Debug, Parser)]
#[command(name = "sshoal manual", bin_name = "sshoal manual")]
pub struct ManualArgs {}
