//! `pdsh` and `dshbak`, as links to this program.

use std::error::Error;
use std::io;
use std::time::SystemTime;

use clap::{Args, Command, FromArgMatches};

use super::run::select;
use crate::args::{ConnectionArgs, DshbakArgs, PaceArgs, PdshArgs, Secrets};
use crate::output::{Form, Headers, Hosts, Options, Output, Screen, fold};
use crate::plan::{self, Plan, percent};
use crate::run::{self, Rule, fleet};
use crate::targets;

/// Runs a command as pdsh does.
pub fn run(args: &PdshArgs) -> Result<u8, Box<dyn Error>> {
    crate::logging::start(0);
    let connection = ConnectionArgs { user: args.user.clone(), ..ssh_args()? };
    let config = connection.ssh_config()?;
    let selection = select(&args.targets(), None, &config)?;
    let targets = selection.targets;
    let names = || targets.iter().map(|target| target.name.clone());
    if args.query {
        names().for_each(|name| println!("{name}"));
        return Ok(0);
    }
    let text = plan::joined(&args.command);
    let user = connection.user.clone().map_or_else(plan::local_user, Ok)?;
    let mut plan = Plan::of(percent::texts(&text, &targets, &user));
    plan.sends_stdin = !selection.used_stdin;
    plan.command_limit = args.command_timeout.and_then(|limit| limit.0);
    plan.rule = if args.largest { Rule::LargestStatus } else { Rule::Zero };
    plan.asks_first = !args.batch_mode;
    let pace = PaceArgs {
        fanout: Some(args.fanout),
        max_connecting: args.fanout.min(100),
        connect_timeout: Some(args.connect_timeout),
        rate: None,
        retry: None,
    };
    let fleet = fleet::build(&targets, &connection, &pace, &config, &Secrets::default())?;
    let hosts = Hosts::new(names(), &targets::fold_labels);
    let options = Options { label: !args.no_label, quiet: true, ..Options::default() };
    let screen = Screen::of_process(anstream::ColorChoice::Auto);
    let output = Output::new(&options, &hosts, screen, SystemTime::now())?;
    let ended = run::once(fleet, &plan, output)?;
    Ok(ended.code.value(plan.rule))
}

/// Arguments of pdsh's own default, which mean nothing here.
const USUAL: [&str; 6] = ["-2", "-a", "-x", "-q", "-l%u", "%h"];

/// The arguments for ssh that the environment has, as for pdsh.
fn ssh_args() -> Result<ConnectionArgs, Box<dyn Error>> {
    let names = ["PDSH_SSH_ARGS", "PDSH_SSH_ARGS_APPEND"];
    let text = names.map(|name| std::env::var(name).unwrap_or_default()).join(" ");
    let words = text.split_ascii_whitespace().filter(|word| !USUAL.contains(word));
    let command = ConnectionArgs::augment_args(Command::new("ssh").no_binary_name(true));
    let matches = command.try_get_matches_from(words).map_err(|error| {
        format!("PDSH_SSH_ARGS has an argument that sshoal does not know\n{}", error.render())
    })?;
    Ok(ConnectionArgs::from_arg_matches(&matches)?)
}

/// Shows lines from standard input as dshbak does.
pub fn run_dshbak(args: &DshbakArgs) -> Result<u8, Box<dyn Error>> {
    if let Some(folder) = args.folder.as_ref().filter(|folder| !args.force && !folder.is_dir()) {
        return Err(format!("{} is no folder; -f creates it", folder.display()).into());
    }
    let options = Options {
        form: Form::Folded { stderr: false },
        headers: if args.coalesce { Headers::Dshbak } else { Headers::DshbakEach },
        label: true,
        outdir: args.folder.clone(),
        ..Options::default()
    };
    let mut screen = Screen::of_process(anstream::ColorChoice::Never);
    fold(&mut io::stdin().lock(), ": ", &options, &targets::fold_labels, &mut screen)?;
    Ok(0)
}
