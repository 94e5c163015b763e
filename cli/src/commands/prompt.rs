//! `sshoal -w SET` without a command: a prompt that keeps its connections.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::flag;
use sshoal::Fleet;
use sshoal::error::Label;
use sshoal::fleet::HostId;

use super::run::select;
use crate::args::TaskArgs;
use crate::history::{self, Record};
use crate::output::{Hosts, Output};
use crate::plan::{Plan, Texts};
use crate::run::{Runner, fleet};
use crate::targets::{self, Target};

const HELP: &str = "Each line is a command for all hosts of the current set.
@failed, @ok, @all   the hosts that failed or not with the last command, or all: the current set from now on
@failed COMMAND      a command for these hosts only
!!                   the last line again
?                    the current set
^D                   the end";

/// Reads commands and runs them, until the end of input. The exit code is that of the last one.
pub fn run(args: &TaskArgs) -> Result<u8, Box<dyn Error>> {
    let config = args.connection.ssh_config()?;
    let targets = select(&args.targets, args.last, &config)?.targets;
    let secrets = args.secrets.ask()?;
    let fleet = fleet::build(&targets, &args.connection, &args.running.pace, &config, &secrets)?;
    let ids = fleet.hosts().to_vec();
    let all: Vec<usize> = (0..targets.len()).collect();
    let mut session =
        Session { args, targets, fleet, ids, current: all, ends: Vec::new(), code: 0, has_left: false };
    let at_prompt = signals_at_prompt()?;
    let mut last = String::new();
    eprintln!("{} hosts; ? for help, ^D to end", session.targets.len());
    while !session.has_left {
        eprint!("sshoal {}> ", session.current.len());
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            eprintln!();
            break;
        }
        let line = if line.trim() == "!!" { last.clone() } else { line.trim().to_owned() };
        if line.is_empty() {
            continue;
        }
        at_prompt.store(false, Ordering::SeqCst);
        let done = session.obey(&line, |plan| plan.careful(&args.safety).with_sudo(&args.secrets, &secrets));
        at_prompt.store(true, Ordering::SeqCst);
        if let Err(error) = done {
            eprintln!("sshoal: {error}");
        }
        last = line;
    }
    Ok(session.code)
}

/// While the flag is set, signals do what they always do, except for ^C, which only ends the line.
/// A run handles them itself, and ends what runs first.
fn signals_at_prompt() -> io::Result<Arc<AtomicBool>> {
    let at_prompt = Arc::new(AtomicBool::new(true));
    for signal in [SIGTERM, SIGHUP, SIGTSTP] {
        flag::register_conditional_default(signal, at_prompt.clone())?;
    }
    flag::register(SIGINT, Arc::default())?;
    Ok(at_prompt)
}

struct Session<'a> {
    args: &'a TaskArgs,
    targets: Vec<Target>,
    fleet: Fleet,
    ids: Vec<HostId>,
    /// The positions of the hosts that commands are for.
    current: Vec<usize>,
    /// How the last command has ended, for each of its hosts.
    ends: Vec<(usize, Label)>,
    code: u8,
    has_left: bool,
}

impl Session<'_> {
    fn obey(&mut self, line: &str, prepare: impl FnOnce(Plan) -> Plan) -> Result<(), Box<dyn Error>> {
        if line == "?" {
            let names = self.current.iter().map(|position| &self.targets[*position].name);
            eprintln!("{HELP}\ncurrent set: {}", targets::fold(names));
            return Ok(());
        }
        if !line.starts_with('@') {
            return self.run(self.current.clone(), line, prepare);
        }
        let (name, command) = line.split_once(' ').unwrap_or((line, ""));
        let hosts: Vec<usize> = match name {
            "@all" => (0..self.targets.len()).collect(),
            "@failed" => self.ended(|label| label != Label::Succeeded),
            "@ok" => self.ended(|label| label == Label::Succeeded),
            _ => return Err("there are the sets @failed, @ok and @all".into()),
        };
        if hosts.is_empty() {
            return Err(format!("{name} is empty").into());
        }
        match command.trim() {
            "" => self.current = hosts,
            command => self.run(hosts, command, prepare)?,
        }
        Ok(())
    }

    fn ended(&self, wanted: impl Fn(Label) -> bool) -> Vec<usize> {
        self.ends.iter().filter(|(_, label)| wanted(*label)).map(|(position, _)| *position).collect()
    }

    fn run(
        &mut self,
        positions: Vec<usize>,
        command: &str,
        prepare: impl FnOnce(Plan) -> Plan,
    ) -> Result<(), Box<dyn Error>> {
        let targets: Vec<Target> = positions.iter().map(|position| self.targets[*position].clone()).collect();
        let ids: Vec<HostId> = positions.iter().map(|position| self.ids[*position]).collect();
        let fold = |labels: &[&str]| targets::fold(labels);
        let hosts = Hosts::new(targets.iter().map(|target| target.name.clone()), &fold);
        let texts = Texts::new(command.as_bytes().to_vec(), &self.args.running, &targets)?;
        let mut plan = prepare(Plan::new(texts, &self.args.running));
        // The terminal is for the prompt.
        plan.sends_stdin = false;
        plan.keeps_hosts = true;
        let (output, began) = (&self.args.output, SystemTime::now());
        let options = output.options(command.to_owned());
        let output = Output::new(&options, &hosts, output.screen(), began)?;
        let ended = Runner::start(&mut self.fleet, &ids, &plan, output)?.finish()?;
        history::save(&Record::new(began, command.to_owned(), &targets, &ended.labels));
        self.code = ended.code.value(plan.rule);
        self.has_left = ended.has_left;
        self.ends = positions.into_iter().zip(ended.labels).collect();
        Ok(())
    }
}
