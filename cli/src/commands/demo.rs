//! `sshoal demo`: a simulated fleet, and a run on it.

use std::error::Error;
use std::process::Command;
use std::time::SystemTime;

use hostsim::Sim;
use sshoal::Fleet;
use sshoal::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};

use crate::args::DemoArgs;
use crate::logging;
use crate::output::{Hosts, Output};
use crate::plan::{Plan, Texts, joined};
use crate::run;
use crate::targets;

/// A port on which no simulated host listens.
const REFUSING: u16 = 1;

/// Starts the fleet and runs the command. Returns the exit code.
pub fn run(args: &DemoArgs) -> Result<u8, Box<dyn Error>> {
    logging::start(args.output.verbose);
    let sim = Sim::builder();
    let sim = if args.faults { sim.rule("i%20==3 accept:silence") } else { sim };
    // The simulated fleet is this program once more, as a process of its own.
    let sim = sim.spawn(Command::new(std::env::current_exe()?))?;
    let names = names(&sim, args);
    let labels = (1..=args.hosts).map(|number| format!("node{number:04}"));
    let hosts = Hosts::new(labels, &targets::fold_labels);
    let plan = Plan::new(texts(args), &args.running);
    let options = args.output.options("release".to_owned());
    let output = Output::new(&options, &hosts, args.output.screen(), SystemTime::now())?;
    let ended = run::once(fleet(&sim, &names, args)?, &plan, output)?;
    Ok(ended.code.value(plan.rule))
}

fn names(sim: &Sim, args: &DemoArgs) -> Vec<String> {
    let mut names = sim.hosts(args.hosts);
    if args.faults {
        for refusing in names.iter_mut().skip(7).step_by(20) {
            let address = refusing.split(':').next().unwrap_or_default();
            *refusing = format!("{address}:{REFUSING}");
        }
    }
    names
}

/// What each host runs: without a command, something that prints the same on most hosts.
fn texts(args: &DemoArgs) -> Texts {
    if !args.command.is_empty() {
        return Texts::Same(joined(&args.command));
    }
    let is_old = |host: usize| args.faults && host % 10 == 5;
    let text = |host| if is_old(host) { "echo release 41" } else { "echo release 42" };
    Texts::Each((0..args.hosts).map(|host| text(host).into()).collect())
}

/// All simulated hosts have one key. Real ones are looked up in the known_hosts files.
fn fleet(sim: &Sim, names: &[String], args: &DemoArgs) -> Result<Fleet, Box<dyn Error>> {
    let key = HostKey::from_openssh(&sim.host_key_openssh()?)?;
    let builder = Fleet::builder(names.iter().map(String::as_str))
        .user("demo")
        .key_bytes(sim.user_key_openssh()?)
        .identity_auth(false)
        .allow_agent(false)
        .host_keys(HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(key.fingerprint())));
    Ok(run::fleet::paced(builder, &args.running.pace).build()?)
}
