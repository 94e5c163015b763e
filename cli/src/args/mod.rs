//! The command line: the letters of clush for hosts, running and output, those of ssh for
//! connections.

mod connection;
#[cfg(feature = "demo")]
mod demo;
mod duration;
mod others;
mod output;
mod pace;
mod pdsh;
mod running;
mod safety;
mod secrets;

use std::ffi::OsString;
use std::path::Path;

use clap::{Args, CommandFactory, Parser};
use clap_complete::Shell;

pub use connection::ConnectionArgs;
#[cfg(feature = "demo")]
pub use demo::DemoArgs;
pub use duration::{Limit, shown};
pub use others::{CompletionsArgs, FoldArgs, KeyscanArgs, LastArgs, ManualArgs, ScriptArgs};
pub use output::OutputArgs;
pub use pace::PaceArgs;
pub use pdsh::{DshbakArgs, PdshArgs};
pub use running::RunningArgs;
pub use safety::{Confirm, MaxFail, SafetyArgs};
pub use secrets::{SecretArgs, Secrets};

use crate::history::Which;
use crate::hosts::HostsArgs;
use crate::targets::TargetArgs;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    Run(Box<RunArgs>),
    Script(Box<ScriptArgs>),
    Keyscan(Box<KeyscanArgs>),
    Last(LastArgs),
    Fold(Box<FoldArgs>),
    Hosts(Box<HostsArgs>),
    Completions(Shell),
    Manual,
    Pdsh(Box<PdshArgs>),
    Dshbak(DshbakArgs),
    #[cfg(feature = "demo")]
    Demo(Box<DemoArgs>),
}

/// Run a command on many hosts over SSH
///
/// The first word that is not an option begins the command; `--` always does. Hosts are reached as
/// `ssh` reaches them: ~/.ssh/config and known_hosts are read.
#[derive(Debug, Parser)]
#[command(
    name = "sshoal",
    version,
    override_usage = "sshoal -w SET [OPTIONS] COMMAND [ARG]...\n       sshoal script|keyscan|last|hosts|fold --help",
    after_help = AFTER,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct RunArgs {
    #[command(flatten)]
    pub task: TaskArgs,
    /// The command, as for ssh: the words are joined by blanks, and the remote shell reads them
    ///
    /// Without a command, a prompt takes one after the other, and hosts stay connected. `??` there
    /// explains it.
    #[arg(value_name = "COMMAND", trailing_var_arg = true, hide_short_help = true)]
    pub command: Vec<OsString>,
}

/// Everything about a run but the command.
#[derive(Debug, Args)]
pub struct TaskArgs {
    #[command(flatten)]
    pub targets: TargetArgs,
    /// Those of the last run: all, failed, ok, timeout, ...
    ///
    /// Or unreachable, or not-started. With -w and the like: those that are in both.
    #[arg(long, value_enum, value_name = "END", num_args = 0..=1, require_equals = true,
        default_missing_value = "all", hide_possible_values = true, help_heading = "Targets")]
    pub last: Option<Which>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub running: RunningArgs,
    #[command(flatten)]
    pub safety: SafetyArgs,
    #[command(flatten)]
    pub secrets: SecretArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

const AFTER: &str =
    "Exit code: 0 all ok, 1 some failed, 3 some were ended, 4 some not reached, 5 some not started.";

/// Reads the command line.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    let name = words.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    match name {
        Some("pdsh") => return PdshArgs::try_parse_from(words).map(Box::new).map(Invocation::Pdsh),
        Some("dshbak") => return DshbakArgs::try_parse_from(words).map(Invocation::Dshbak),
        _ => {}
    }
    // Subcommands are subcommands only as the first word, so that every command can be run.
    match words.get(1).and_then(|word| word.to_str()) {
        Some("script") => ScriptArgs::try_parse_from(&words[1..]).map(Box::new).map(Invocation::Script),
        Some("keyscan") => KeyscanArgs::try_parse_from(&words[1..]).map(Box::new).map(Invocation::Keyscan),
        Some("last") => LastArgs::try_parse_from(&words[1..]).map(Invocation::Last),
        Some("fold") => FoldArgs::try_parse_from(&words[1..]).map(Box::new).map(Invocation::Fold),
        Some("completions") => {
            CompletionsArgs::try_parse_from(&words[1..]).map(|args| Invocation::Completions(args.shell))
        }
        Some("manual") => ManualArgs::try_parse_from(&words[1..]).map(|_| Invocation::Manual),
        Some("hosts") => HostsArgs::try_parse_from(&words[1..]).map(Box::new).map(Invocation::Hosts),
        #[cfg(feature = "demo")]
        Some("demo") => DemoArgs::try_parse_from(&words[1..]).map(Box::new).map(Invocation::Demo),
        _ => RunArgs::try_parse_from(words).map(Box::new).map(Invocation::Run),
    }
}

/// The command line with all subcommands, for completions and the manual page.
pub fn whole() -> clap::Command {
    let named = |name: &'static str, command: clap::Command| command.name(name);
    RunArgs::command().subcommands([
        named("script", ScriptArgs::command()),
        named("keyscan", KeyscanArgs::command()),
        named("last", LastArgs::command()),
        named("hosts", HostsArgs::command()),
        named("fold", FoldArgs::command()),
        named("completions", CompletionsArgs::command()),
        named("manual", ManualArgs::command()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<RunArgs, clap::Error> {
        RunArgs::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        RunArgs::command().debug_assert();
    }

    #[test]
    fn completions_know_all_flags_of_all_subcommands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut whole(), "sshoal", &mut text);
            let text = String::from_utf8(text).unwrap();
            for word in ["max-fail", "keyscan", "interpreter", "regroup"] {
                assert!(text.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn the_first_word_begins_the_command() {
        let args = run("sshoal -w web1 -l root uname -r -w").unwrap();
        assert_eq!(args.command, ["uname", "-r", "-w"]);
        assert_eq!(args.task.targets.sets, ["web1"]);
        let args = run("sshoal -w web1 -- -x").unwrap();
        assert_eq!(args.command, ["-x"]);
        assert!(run("sshoal -w web1 -Z uptime").is_err());
        assert!(run("sshoal -w web1").unwrap().command.is_empty());
    }

    #[test]
    fn the_short_help_fits_a_screen() {
        let help = RunArgs::command().term_width(100).render_help().to_string();
        assert!(help.lines().count() <= 50, "{} lines:\n{help}", help.lines().count());
    }
}
