//! `sshoal`: runs commands on thousands of hosts over SSH.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | the flags, and what they mean together |
//! | `targets` | host sets: the language, where groups are from, folding names back into sets |
//! | `cleanup` | what is put in order if a signal ends the program before a run |
//! | `commands` | what the first word can be: runs, scripts, `keyscan`, `last`, `demo` |
//! | `completion` | what shells complete: flags, hosts, groups |
//! | `history` | the last runs |
//! | `confirm` | a question before a run on many hosts |
//! | `hosts` | `sshoal hosts`: what sets stand for |
//! | `plan` | what will be done, decided before anything is done |
//! | `prompt` | `sshoal -w SET` without a command: commands on hosts that stay connected |
//! | `run` | a run: the loop over the fleet, batches, signals, exit codes |
//! | `output` | what a person or another program reads: lines, folded output, JSON, progress, summary |
//! | `end` | how a command on one host ended; what `run` reports and `output` shows |

mod args;
mod cleanup;
mod commands;
mod completion;
mod confirm;
mod end;
mod history;
mod hosts;
mod logging;
mod output;
mod plan;
mod prompt;
mod run;
mod targets;

use std::process::ExitCode;

use self::args::Invocation;

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
        Invocation::Run(args) => commands::run::run(&args),
        Invocation::Script(args) => commands::run::run_script(&args),
        Invocation::Put(args) => commands::copy::put(&args),
        Invocation::Get(args) => commands::copy::get(&args),
        Invocation::Sync(args) => commands::copy::sync(&args),
        Invocation::Keyscan(args) => commands::keyscan::run(&args),
        Invocation::Last(args) => commands::last::run(&args),
        Invocation::Fold(args) => commands::fold::run(&args),
        Invocation::Completions(shell) => commands::generate::completions(shell),
        Invocation::Complete(args) => completion::run(&args),
        Invocation::Manual => commands::generate::manual(),
        Invocation::Pdsh(args) => commands::pdsh::run(&args),
        Invocation::Dshbak(args) => commands::pdsh::run_dshbak(&args),
        Invocation::Hosts(args) => hosts::run(&args),
        #[cfg(feature = "demo")]
        Invocation::Demo(args) => commands::demo::run(&args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // For the library, the command line is its caller's.
            let text = error.to_string();
            eprintln!("sshoal: {}", text.strip_prefix("the caller: ").unwrap_or(&text));
            ExitCode::from(run::USAGE)
        }
    }
}
