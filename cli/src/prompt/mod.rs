//! `sshoal -w SET`: a prompt, whose hosts stay connected from command to command.
//!
//! | file | what it holds |
//! |---|---|
//! | `words` | what lines mean |
//! | `choice` | which hosts the next command is for |
//! | `editor` | typed lines, with a history |
//! | `completion` | what TAB completes |
//! | `terminal` | the modes of the terminal |

mod choice;
mod completion;
mod editor;
mod terminal;
mod words;

use std::error::Error;
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::SystemTime;

use clap::FromArgMatches;
use signal_hook::consts::SIGINT;
use sshoal::fleet::{HostId, HostState};
use sshoal::ssh_config::SshConfig;

use self::choice::Choice;
use self::completion::Completion;
use self::editor::{Editor, Typed};
use self::terminal::Terminal;
use self::words::{Change, Line};
use crate::args::{Confirm, OutputArgs, Secrets, TaskArgs};
use crate::commands::run::select_from;
use crate::confirm;
use crate::history::{self, Record, Which};
use crate::output::{Hosts, Output};
use crate::plan::{Gate, Plan, Texts, preview};
use crate::run::{self, EventLoop, OF_PROMPT, RunError, Runner};
use crate::targets::{Places, Sources, fold, fold_labels};

/// Takes commands until the user leaves. The exit code is that of the last command.
pub fn run(args: &TaskArgs) -> Result<u8, Box<dyn Error>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err("no command: write one behind the flags, or name a file with commands: sshoal script \
                    -w SET FILE. (Without a command, commands are typed at a prompt, which needs a terminal.)"
            .into());
    }
    // Before there are other threads.
    terminal::hold_resizes();
    let config = args.connection.ssh_config()?;
    let sources = Sources::load(&args.targets, Places::current(), Some(&config))?;
    let targets = select_from(Some(&sources), &args.targets, args.last)?.targets;
    let secrets = args.secrets.ask()?;
    let fleet = run::fleet::build(&targets, &args.connection, &args.running.pace, &config, &secrets)?;
    let terminal = Terminal::of_stdin()?;
    let event_loop = EventLoop::new(fleet, &OF_PROMPT)?;
    let editor = Editor::start(event_loop.fleet.waker(), Completion::new(args));
    let choice = Choice::new(targets, event_loop.fleet.hosts().to_vec());
    let output = args.output.clone();
    let mut prompt =
        Prompt { args, config, sources, secrets, terminal, event_loop, output, choice, last: None, code: 0 };
    prompt.show_chosen();
    note("?? explains this prompt, ^D leaves it");
    prompt.converse(&editor)
}

/// A prompt, and what it has learnt.
struct Prompt<'a> {
    args: &'a TaskArgs,
    config: SshConfig,
    sources: Sources,
    secrets: Secrets,
    terminal: Terminal,
    event_loop: EventLoop,
    /// How output is shown, as changed by `=`.
    output: OutputArgs,
    choice: Choice,
    last: Option<Record>,
    /// The exit code of the last command.
    code: u8,
}

/// Whether the prompt goes on, or its exit code.
type Flow = ControlFlow<u8>;

impl Prompt<'_> {
    fn converse(&mut self, editor: &Editor) -> Result<u8, Box<dyn Error>> {
        loop {
            let hosts = if self.choice.len() == 1 { "host" } else { "hosts" };
            editor.ask(format!("{} {hosts}> ", self.choice.len()), self.choice.names());
            let line = match self.attend(&editor.typed)? {
                Answer::Got(Typed::Line(line)) => line,
                Answer::Got(Typed::Interrupt) => continue,
                Answer::Got(Typed::End(None)) | Answer::Gone => return Ok(self.code),
                Answer::Got(Typed::End(Some(error))) => return Err(error.into()),
                Answer::Signal(signal) => {
                    // The editor is left in the middle of a line, and of bracketed paste.
                    eprintln!("\x1b[?2004l");
                    return Ok(run::code_of_signal(signal));
                }
            };
            match self.obey(&line) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(code)) => return Ok(code),
                Err(error) => note(&error.to_string()),
            }
        }
    }

    /// Attends the hosts until there is an answer. ^C is for others.
    fn attend<T>(&mut self, answer: &Receiver<T>) -> Result<Answer<T>, RunError> {
        loop {
            match answer.try_recv() {
                Ok(answer) => return Ok(Answer::Got(answer)),
                Err(TryRecvError::Disconnected) => return Ok(Answer::Gone),
                Err(TryRecvError::Empty) => {}
            }
            let deadline = self.event_loop.fleet.next_deadline();
            self.event_loop
                .wait(deadline.map(|at| at.saturating_duration_since(std::time::Instant::now())))?;
            if let Some(signal) = self.event_loop.signals().into_iter().find(|signal| *signal != SIGINT) {
                return Ok(Answer::Signal(signal));
            }
            self.event_loop.turn()?;
            // Nothing runs. A host that is lost is connected by the next command.
            while self.event_loop.fleet.next_event().is_some() {}
        }
    }

    fn obey(&mut self, line: &str) -> Result<Flow, Box<dyn Error>> {
        match words::parse(line) {
            Line::Nothing => {}
            Line::Leave => return Ok(Flow::Break(self.code)),
            Line::Help => eprintln!("{}", words::HELP),
            Line::Show => {
                self.show_chosen();
                self.show_ends();
            }
            Line::Choose(change, set) => self.choose(change, set)?,
            Line::Output(flags) => self.set_output(flags)?,
            Line::Local(command) => return self.run_here(command),
            Line::Command(command) => return self.run(command),
        }
        Ok(Flow::Continue(()))
    }

    /// Tells the chosen hosts.
    fn show_chosen(&self) {
        let targets = self.choice.targets();
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        let is_connected = |id: &HostId| {
            self.event_loop.fleet.host(*id).is_some_and(|host| host.state() == HostState::Connected)
        };
        let connected = self.choice.ids().iter().filter(|id| is_connected(id)).count();
        note(&format!("{} ({}, {connected} connected)", fold(&names), names.len()));
    }

    /// Tells how the last command ended, by its hosts.
    fn show_ends(&self) {
        let Some(last) = &self.last else { return };
        for (end, set) in self.choice.groups(Some(last)) {
            if end != "all" && !set.is_empty() {
                note(&format!("{end}: {set}"));
            }
        }
    }

    fn choose(&mut self, change: Change, set: &str) -> Result<(), Box<dyn Error>> {
        if set.contains(char::is_whitespace) {
            return Err("a set has no blanks here: choose the hosts, and then type the command".into());
        }
        let knows = |which| self.last.as_ref().is_none_or(|last| last.knows(which));
        if words::names_end(set, Which::Diff) && !knows(Which::Diff) {
            return Err(
                "the last command's output was not compared: = folds the output of the next one".into()
            );
        }
        self.sources.groups.put(words::SOURCE, self.choice.groups(self.last.as_ref()));
        let selection = self.sources.set(&words::with_ends(set))?;
        selection.notices.iter().for_each(|notice| note(notice));
        let new = self.choice.unknown(&selection.targets);
        if change != Change::Remove && !new.is_empty() {
            let (connection, pace) = (&self.args.connection, &self.args.running.pace);
            let configs = run::fleet::configs(&new, connection, pace, &self.config)?;
            let hosts: Vec<_> = new.iter().map(|target| target.host.as_str()).zip(configs).collect();
            let ids = self.event_loop.fleet.add_hosts(hosts)?;
            self.choice.learn(new, ids);
        }
        if !self.choice.change(change, &selection.targets) {
            return Err("no host would be left; the chosen hosts are as before".into());
        }
        self.show_chosen();
        Ok(())
    }

    fn set_output(&mut self, flags: &str) -> Result<(), Box<dyn Error>> {
        if flags.is_empty() {
            note(if self.output.toggle_folding() { "output is folded" } else { "output is not folded" });
            return Ok(());
        }
        let matches = words::flags_of_output().try_get_matches_from(flags.split_whitespace())?;
        self.output = OutputArgs::from_arg_matches(&matches)?;
        Ok(())
    }

    /// Runs a command on this machine, on this terminal.
    fn run_here(&mut self, command: &str) -> Result<Flow, Box<dyn Error>> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).stdin(Stdio::inherit());
        let (sender, ended) = channel();
        let waker = self.event_loop.fleet.waker();
        thread::spawn(move || {
            // The command may be an editor.
            terminal::take_resizes();
            // Nobody waits if a signal has ended the prompt.
            if sender.send(shell.status()).is_ok() {
                let _ = waker.wake();
            }
        });
        match self.attend(&ended)? {
            Answer::Got(status) => match status? {
                status if status.success() => {}
                status => note(&format!("here: {status}")),
            },
            Answer::Gone => {}
            Answer::Signal(signal) => return Ok(Flow::Break(run::code_of_signal(signal))),
        }
        Ok(Flow::Continue(()))
    }

    /// Runs a command on the chosen hosts.
    fn run(&mut self, command: &str) -> Result<Flow, Box<dyn Error>> {
        let TaskArgs { running, safety, .. } = self.args;
        let targets = self.choice.targets();
        let hosts = Hosts::new(targets.iter().map(|target| target.name.clone()), &fold_labels);
        let texts = Texts::new(command.into(), running, &targets)?;
        if safety.dry_run {
            preview::print(&targets, &texts, &self.args.connection, &self.config)?;
            return Ok(Flow::Continue(()));
        }
        // The number of hosts is in front of each line, so only who wants to is asked for it.
        if safety.confirm == Confirm::Always && !confirm::run(safety, command, &hosts)? {
            note("nothing was started");
            return Ok(Flow::Continue(()));
        }
        let mut plan = Plan::new(texts, running).careful(safety).with_sudo(&self.args.secrets, &self.secrets);
        plan.sends_stdin = false;
        plan.asks_first = false;
        plan.keeps_hosts = true;
        let mut options = self.output.options(command.to_owned());
        options.rerun = Some("@failed, and then the command".to_owned());
        let began = SystemTime::now();
        let output = Output::new(&options, &hosts, self.output.screen(), began)?;
        self.terminal.echo(plan.gate == Some(Gate::Ask));
        let ids = self.choice.ids();
        let ended = Runner::start(&mut self.event_loop, &ids, &plan, output).and_then(Runner::finish);
        self.terminal.echo(true);
        let ended = ended?;
        let record = Record::new(began, command.to_owned(), &targets, &ended.labels);
        let record = record.with_differing(ended.differing.as_deref());
        history::save(&record);
        self.last = Some(record);
        self.code = ended.code.value(plan.rule);
        // ^C has cancelled the command, and the prompt goes on.
        let is_over = ended.code.signal().is_some_and(|signal| signal != SIGINT);
        Ok(if is_over { Flow::Break(self.code) } else { Flow::Continue(()) })
    }
}

/// What ended a wait.
enum Answer<T> {
    Got(T),
    /// There will be none.
    Gone,
    Signal(i32),
}

fn note(text: &str) {
    text.lines().for_each(|line| eprintln!("sshoal: {line}"));
}
