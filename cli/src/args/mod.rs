//! The command line: the letters of clush for hosts, running and output, those of ssh for
//! connections.

mod connection;
mod copy;
#[cfg(feature = "demo")]
mod demo;
mod duration;
mod others;
mod output;
mod pace;
mod pdsh;
mod rate;
mod running;
mod safety;
mod secrets;

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser};

pub use connection::ConnectionArgs;
pub use copy::{CopyArgs, GetArgs, PutArgs, SyncArgs};
#[cfg(feature = "demo")]
pub use demo::DemoArgs;
pub use duration::{Limit, shown};
pub use others::{CompletionsArgs, FoldArgs, KeyscanArgs, LastArgs, ManualArgs, ScriptArgs, Via};
pub use output::OutputArgs;
pub use pace::PaceArgs;
pub use pdsh::{DshbakArgs, PdshArgs};
pub use running::RunningArgs;
pub use safety::{Confirm, MaxFail, SafetyArgs};
pub use secrets::{SecretArgs, Secrets};

use crate::completion::{CompleteArgs, Shell};
use crate::history::Which;
use crate::hosts::HostsArgs;
use crate::targets::TargetArgs;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    Run(Box<RunArgs>),
    Script(Box<ScriptArgs>),
    Put(Box<PutArgs>),
    Get(Box<GetArgs>),
    Sync(Box<SyncArgs>),
    Keyscan(Box<KeyscanArgs>),
    Last(LastArgs),
    Fold(Box<FoldArgs>),
    Hosts(Box<HostsArgs>),
    Completions(Shell),
    Complete(CompleteArgs),
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
    override_usage = "sshoal -w SET [OPTIONS] COMMAND [ARG]...\n       sshoal put|get|sync|script|keyscan|last|hosts|fold|completions|manual --help",
    after_help = AFTER,
    after_long_help = AFTER_LONG,
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
    /// Or unreachable, not-started, or diff: whose output was not that of most hosts, if the run
    /// folded it (-b, -B, -bL, --diff). With -w and the like: those that are in both.
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
    "Exit code: 0 all ok, 1 some failed, 2 wrong usage, 3 some ended, 4 not reached, 5 not started.";

const AFTER_LONG: &str = "\
Exit code, that of the worst end:
  0    all commands exited with 0
  1    some command exited with another status
  2    wrong usage; nothing was run
  3    some command was ended by a signal or a time limit
  4    some host was not reached, or refused the login
  5    some commands were not started, because the run was stopped
  130  ^C, or 128 and the number of another signal

With -S, the largest status of the commands.";

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
        Some("script") => ScriptArgs::try_parse_from(&words[1..])
            .and_then(|args| checked::<ScriptArgs>(&args.task.output).map(|()| args))
            .map(Box::new)
            .map(Invocation::Script),
        Some("put") => PutArgs::try_parse_from(&words[1..])
            .and_then(|args| checked::<PutArgs>(&args.copy.output).map(|()| args))
            .map(Box::new)
            .map(Invocation::Put),
        Some("get") => GetArgs::try_parse_from(&words[1..])
            .and_then(|args| checked::<GetArgs>(&args.copy.output).map(|()| args))
            .map(Box::new)
            .map(Invocation::Get),
        Some("sync") => SyncArgs::try_parse_from(&words[1..])
            .and_then(|args| checked::<SyncArgs>(&args.copy.output).map(|()| args))
            .map(Box::new)
            .map(Invocation::Sync),
        Some("keyscan") => KeyscanArgs::try_parse_from(&words[1..]).map(Box::new).map(Invocation::Keyscan),
        Some("last") => LastArgs::try_parse_from(&words[1..]).map(Invocation::Last),
        Some("fold") => FoldArgs::try_parse_from(&words[1..]).map(Box::new).map(Invocation::Fold),
        Some("completions") => {
            CompletionsArgs::try_parse_from(&words[1..]).map(|args| Invocation::Completions(args.shell))
        }
        Some("__complete") => CompleteArgs::try_parse_from(&words[1..]).map(Invocation::Complete),
        Some("manual") => ManualArgs::try_parse_from(&words[1..]).map(|_| Invocation::Manual),
        Some("hosts") => HostsArgs::try_parse_from(&words[1..]).map(Box::new).map(Invocation::Hosts),
        #[cfg(feature = "demo")]
        Some("demo") => DemoArgs::try_parse_from(&words[1..]).map(Box::new).map(Invocation::Demo),
        _ => RunArgs::try_parse_from(words)
            .map_err(of_clush)
            .and_then(|args| checked::<RunArgs>(&args.task.output).map(|()| args))
            .map(Box::new)
            .map(Invocation::Run),
    }
}

/// Whether the flags of the output are of use together.
fn checked<C: CommandFactory>(output: &OutputArgs) -> Result<(), clap::Error> {
    match output.fault() {
        Some(fault) => Err(C::command().error(ErrorKind::MissingRequiredArgument, fault)),
        None => Ok(()),
    }
}

/// What copies files, for those who know clush.
fn of_clush(error: clap::Error) -> clap::Error {
    let is_copy = |value: &ContextValue| matches!(value, ContextValue::String(flag) if matches!(&**flag, "--copy" | "-c" | "--rcopy" | "--dest"));
    match error.get(ContextKind::InvalidArg) {
        Some(value) if is_copy(value) => RunArgs::command().error(
            ErrorKind::UnknownArgument,
            "clush's --copy is `sshoal put -w SET FILE... DEST`, and --rcopy is `sshoal get -w SET FILE... DEST`",
        ),
        _ => error,
    }
}

/// The command line of runs.
pub fn of_runs() -> clap::Command {
    RunArgs::command()
}

/// The subcommands, by the words that are typed for them.
pub fn subcommands() -> Vec<clap::Command> {
    vec![
        PutArgs::command().name("put"),
        GetArgs::command().name("get"),
        SyncArgs::command().name("sync"),
        ScriptArgs::command().name("script"),
        KeyscanArgs::command().name("keyscan"),
        LastArgs::command().name("last"),
        HostsArgs::command().name("hosts"),
        FoldArgs::command().name("fold"),
        CompletionsArgs::command().name("completions"),
        ManualArgs::command().name("manual"),
    ]
}

/// The names of the subcommands, as a list in a sentence.
pub fn list_of_subcommands() -> String {
    let commands = subcommands();
    let names: Vec<&str> = commands.iter().map(clap::Command::get_name).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, names)) => format!("{} and {last}", names.join(", ")),
        None => String::new(),
    }
}

/// The subcommand that this word is.
pub fn subcommand(word: &str) -> Option<clap::Command> {
    #[cfg(feature = "demo")]
    if word == "demo" {
        return Some(DemoArgs::command());
    }
    subcommands().into_iter().find(|command| command.get_name() == word)
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
    fn those_who_know_clush_are_told_how_files_are_copied() {
        for line in ["sshoal -w web1 --copy f", "sshoal -w web1 -c f", "sshoal -w web1 --rcopy f"] {
            let error = parse(line.split(' ').map(OsString::from)).unwrap_err().to_string();
            assert!(error.contains("sshoal put -w SET") && error.contains("sshoal get -w SET"), "{error}");
        }
        let error = parse("sshoal -w web1 -Z f".split(' ').map(OsString::from)).unwrap_err();
        assert!(!error.to_string().contains("put -w"));
    }

    #[test]
    fn the_subcommands_are_the_words_that_begin_one() {
        let commands = subcommands();
        let names: Vec<&str> = commands.iter().map(clap::Command::get_name).collect();
        for name in &names {
            let help = parse(["sshoal", name, "--help"].map(OsString::from)).unwrap_err().to_string();
            assert!(help.contains(&format!("Usage: sshoal {name}")), "{help}");
        }
        let help = RunArgs::command().render_help().to_string();
        assert!(help.contains(&format!("sshoal {} --help", names.join("|"))), "{help}");
        assert_eq!(list_of_subcommands(), names.join(", ").replace(", manual", " and manual"));
    }

    #[test]
    fn the_short_help_fits_a_screen() {
        for command in subcommands().into_iter().chain([RunArgs::command()]) {
            let help = command.term_width(100).render_help().to_string();
            assert!(help.lines().count() <= 50, "{} lines:\n{help}", help.lines().count());
        }
    }
}
