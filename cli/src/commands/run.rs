//! `sshoal -w SET COMMAND` and `sshoal script FILE`.

use std::error::Error;
use std::path::Path;
use std::time::SystemTime;

use sshoal::output::sanitise;
use sshoal::ssh_config::SshConfig;

use crate::args::{self, RunArgs, ScriptArgs, TaskArgs, Via};
use crate::confirm;
use crate::history::{self, Record, Which};
use crate::logging;
use crate::output::{Hosts, Output};
use crate::plan::{self, Plan, Texts, preview, script};
use crate::prompt;
use crate::run::{self, fleet};
use crate::targets::{NO_HOSTS, Places, Selection, Sources, Target, TargetArgs, fold_labels};

/// Runs a command on all hosts.
pub fn run(args: &RunArgs) -> Result<u8, Box<dyn Error>> {
    logging::start(args.task.output.verbose);
    if args.command.is_empty() {
        return prompt::run(&args.task);
    }
    let done = task(&args.task, plan::joined(&args.command), None);
    done.map_err(|error| match args.command.first() {
        // Flags behind the command, or a subcommand that does not exist.
        Some(first) if error.to_string() == NO_HOSTS => {
            let first = sanitise(&*first.to_string_lossy()).into_owned();
            format!(
                "{NO_HOSTS}, before the command: \"{first}\" begins it (subcommands are {})",
                args::list_of_subcommands()
            )
            .into()
        }
        _ => error,
    })
}

/// Runs a local script on all hosts, which read it from their standard input.
pub fn run_script(args: &ScriptArgs) -> Result<u8, Box<dyn Error>> {
    logging::start(args.task.output.verbose);
    let (path, interpreter) = (Path::new(&args.file), args.interpreter.as_deref());
    let script = match (args.via, interpreter) {
        (Via::Stdin, _) => script::Script::read(path, interpreter, &args.args)?,
        (Via::File, None) => script::Script::as_file(path, &args.args)?,
        (Via::File, Some(_)) => {
            return Err("--interpreter is for --via stdin: a file is run by itself".into());
        }
    };
    task(&args.task, script.command, Some(script.content))
}

fn task(args: &TaskArgs, text: Vec<u8>, given_input: Option<Vec<u8>>) -> Result<u8, Box<dyn Error>> {
    let config = args.connection.ssh_config()?;
    let Selection { targets, used_stdin, .. } = select(&args.targets, args.last, &config)?;
    let hosts = Hosts::new(targets.iter().map(|target| target.name.clone()), &fold_labels);
    let shown = String::from_utf8_lossy(&text).into_owned();
    let texts = Texts::new(text, &args.running, &targets)?;
    if args.safety.dry_run {
        preview::print(&targets, &texts, &args.connection, &config)?;
        return Ok(0);
    }
    if !confirm::run(&args.safety, &shown, &hosts)? {
        eprintln!("sshoal: nothing was started");
        return Ok(run::STOPPED);
    }
    let secrets = args.secrets.ask()?;
    let mut plan = Plan::new(texts, &args.running).careful(&args.safety).with_sudo(&args.secrets, &secrets);
    plan.sends_stdin &= !used_stdin && given_input.is_none();
    plan.given_input = given_input;
    let fleet = fleet::build(&targets, &args.connection, &args.running.pace, &config, &secrets)?;
    let mut options = args.output.options(shown.clone());
    options.rerun = Some("sshoal --last=failed ...".to_owned());
    let began = SystemTime::now();
    let output = Output::new(&options, &hosts, args.output.screen(), began)?;
    let ended = run::once(fleet, &plan, output)?;
    let record = Record::new(began, shown, &targets, &ended.labels);
    history::save(&record.with_differing(ended.differing.as_deref()));
    Ok(ended.code.value(plan.rule))
}

/// The hosts that the flags name.
pub fn select(
    args: &TargetArgs,
    last: Option<Which>,
    config: &SshConfig,
) -> Result<Selection, Box<dyn Error>> {
    let load = || Sources::load(args, Places::current(), Some(config));
    // The hosts of the last run alone need no sources.
    let sources = (last.is_none() || args.selects()).then(load).transpose()?;
    select_from(sources.as_ref(), args, last)
}

/// The hosts that the flags name, from sources that are loaded.
pub fn select_from(
    sources: Option<&Sources>,
    args: &TargetArgs,
    last: Option<Which>,
) -> Result<Selection, Box<dyn Error>> {
    let mut selection = match sources {
        Some(sources) if last.is_none() || args.selects() => sources.select(args)?,
        _ => Selection::default(),
    };
    if let Some(which) = last {
        let record = history::last(0)?;
        if !record.knows(which) {
            return Err(format!("--last=diff: {}", history::NOT_COMPARED).into());
        }
        let of_last = record.targets(which);
        selection.targets = if args.selects() { kept(selection.targets, &of_last) } else { of_last };
    }
    selection.notices.iter().for_each(|notice| eprintln!("sshoal: {notice}"));
    match selection.targets.is_empty() {
        true if last == Some(Which::Diff) => {
            Err("--last=diff: all hosts of the last run on which the command ran printed the same".into())
        }
        true if last.is_some() => Err("--last: no host of the last run ended like that".into()),
        true => Err("no hosts are left of those that were named".into()),
        false => Ok(selection),
    }
}

/// The targets that are among the others, too.
fn kept(targets: Vec<Target>, others: &[Target]) -> Vec<Target> {
    let names: std::collections::HashSet<&str> = others.iter().map(|target| target.name.as_str()).collect();
    targets.into_iter().filter(|target| names.contains(target.name.as_str())).collect()
}
