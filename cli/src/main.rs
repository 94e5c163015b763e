//! `sshoal`: runs commands on thousands of hosts over SSH.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | the flags, and what they mean together |
//! | `targets` | host sets: the language, where groups are from, folding names back into sets |
//! | `hosts` | `sshoal hosts`: what sets stand for |
//! | `plan` | what will be done, decided before anything is done |
//! | `run` | a run: the loop over the fleet, batches, signals, exit codes |
//! | `output` | what a person or another program reads: lines, folded output, JSON, progress, summary |
//! | `end` | how a command on one host ended; what `run` reports and `output` shows |

mod args;
#[cfg(feature = "demo")]
mod demo;
mod end;
mod hosts;
mod logging;
mod output;
mod plan;
mod run;
mod targets;

use std::error::Error;
use std::process::ExitCode;
use std::time::SystemTime;

use self::args::{Invocation, RunArgs};
use self::output::{Hosts, Output};
use self::plan::{Plan, Texts};
use self::run::Runner;
use self::targets::{Places, Sources};

fn main() -> ExitCode {
    #[cfg(feature = "demo")]
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    let invocation = match args::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        // Help and the version, or what is wrong and how to write it.
        Err(error) => error.exit(),
    };
    let done = match invocation {
        Invocation::Run(args) => run(&args),
        Invocation::Hosts(args) => hosts::run(&args),
        #[cfg(feature = "demo")]
        Invocation::Demo(args) => demo::run(&args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("sshoal: {error}");
            ExitCode::from(run::USAGE)
        }
    }
}

/// Runs a command. Returns the exit code.
fn run(args: &RunArgs) -> Result<u8, Box<dyn Error>> {
    logging::start(args.output.verbose);
    let config = args.connection.ssh_config()?;
    let selection = Sources::load(&args.targets, Places::current(), Some(&config))?.select(&args.targets)?;
    for notice in &selection.notices {
        eprintln!("sshoal: {notice}");
    }
    let targets = selection.targets;
    if targets.is_empty() {
        return Err("no hosts are left of those that were named".into());
    }
    let text = plan::joined(&args.command);
    let mut plan = Plan::new(Texts::Same(text.clone()), &args.running);
    // It was a list of hosts.
    plan.sends_stdin &= !selection.used_stdin;
    let fleet = run::fleet::build(&targets, &args.connection, &args.running, &config)?;
    let fold = |labels: &[&str]| targets::fold(labels);
    let hosts = Hosts::new(targets.iter().map(|target| target.name.clone()), &fold);
    let options = args.output.options(String::from_utf8_lossy(&text).into_owned());
    let output = Output::new(&options, &hosts, args.output.screen(), SystemTime::now())?;
    let ended = Runner::start(fleet, &plan, output)?.finish()?;
    Ok(ended.code.value(plan.rule))
}
