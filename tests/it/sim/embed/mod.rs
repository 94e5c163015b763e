//! The fleet as its embedding daemon sees it: one descriptor, one deadline, turns and events.

mod footprint;
mod hosts;
mod names;
mod output;
mod readable;
mod threads;
mod turns;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sshoal::config::Input;
use sshoal::fleet::{CommandId, HostId, HostState, Tally};
use sshoal::{Budget, Command, Event, Fleet, Outcome, Run, StdStream};

use super::{PATIENCE, engine, fleet as simulate, stats_of, trust, watch};

fn is_readable(fleet: &Fleet) -> bool {
    is_readable_within(fleet, Duration::ZERO)
}

fn is_readable_within(fleet: &Fleet, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).unwrap();
    poll(&mut [PollFd::new(fleet, PollFlags::IN)], Some(&limit)).unwrap() == 1
}

/// Waits like another event loop: for the descriptor and the deadline only.
#[track_caller]
fn wait(fleet: &Fleet) {
    let deadline = fleet.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
    if !is_readable_within(fleet, deadline.unwrap_or(PATIENCE).min(PATIENCE)) {
        assert!(deadline.is_some_and(|after| after < PATIENCE), "nothing happens any more: {fleet:?}");
    }
}

/// Runs turns until no work is left and nothing new arrives for a while.
fn settle(fleet: &mut Fleet) -> Told {
    let mut told = Told::default();
    while is_readable_within(fleet, Duration::from_millis(300)) {
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        told.take(fleet);
    }
    told
}

/// Drives a fleet until `done`.
fn drive(fleet: &mut Fleet, budget: Budget, told: &mut Told, done: impl Fn(&Told) -> bool) {
    while !done(told) {
        wait(fleet);
        fleet.turn(Instant::now(), budget).unwrap();
        told.take(fleet);
    }
}

/// Runs it to its end, under the default budget.
fn run(fleet: &mut Fleet, run: impl Into<Run>) -> Told {
    let mut told = Told::default();
    fleet.start(run).unwrap();
    drive(fleet, Budget::default(), &mut told, |told| !told.done.is_empty());
    told
}

/// A line's offset, and its bytes.
type Line = (u64, Vec<u8>);

/// Everything a fleet has reported.
#[derive(Default)]
struct Told {
    connected: Vec<HostId>,
    started: Vec<CommandId>,
    output: HashMap<(CommandId, StdStream), Vec<u8>>,
    lines: HashMap<(CommandId, StdStream), Vec<Line>>,
    writable: Vec<CommandId>,
    finished: Vec<(HostId, CommandId, Outcome)>,
    done: Vec<Tally>,
}

impl Told {
    fn take(&mut self, fleet: &mut Fleet) {
        while let Some(event) = fleet.next_event() {
            self.note(event);
        }
    }

    fn note(&mut self, event: Event<'_>) {
        match event {
            Event::Connected { host, .. } => self.connected.push(host),
            Event::Started { command, .. } => self.started.push(command),
            Event::Output { command, stream, bytes, .. } => {
                assert!(!bytes.is_empty(), "an event without news");
                assert!(self.end_of(command).is_none(), "output after the end");
                self.output.entry((command, stream)).or_default().extend(bytes);
            }
            Event::Line { command, stream, bytes, offset, .. } => {
                assert!(self.end_of(command).is_none(), "a line after the end");
                self.lines.entry((command, stream)).or_default().push((offset, bytes.to_vec()));
            }
            Event::Writable { command, .. } => self.writable.push(command),
            Event::Finished { host, command, outcome, .. } => {
                assert!(self.end_of(command).is_none(), "two ends");
                self.finished.push((host, command, outcome.clone()));
            }
            Event::RunDone { tally, .. } => self.done.push(tally),
            _ => {}
        }
    }

    fn end_of(&self, command: CommandId) -> Option<&Outcome> {
        self.finished.iter().find(|(_, id, _)| *id == command).map(|(_, _, outcome)| outcome)
    }

    fn stdout(&self, command: CommandId) -> &[u8] {
        self.output.get(&(command, StdStream::Stdout)).map_or(&[], Vec::as_slice)
    }
}

/// A command whose input stays open until the test ends it.
fn open(text: &str) -> Command {
    Command::new(text).stdin(Input::Open)
}

/// Connects every host, and waits until nothing is left to do.
fn connected(fleet: &mut Fleet) {
    let hosts = fleet.hosts().to_vec();
    fleet.connect(hosts.iter().copied());
    let mut told = Told::default();
    drive(fleet, Budget::default(), &mut told, |told| told.connected.len() == hosts.len());
    settle(fleet);
    assert_eq!(fleet.metrics().hosts(HostState::Connected), hosts.len());
}

/// Starts a command on all hosts, and waits until they have accepted it and sent their output.
fn started(fleet: &mut Fleet, run: impl Into<Run>) -> Vec<CommandId> {
    let commands = fleet.start(run).unwrap().commands;
    let mut told = Told::default();
    drive(fleet, Budget::default(), &mut told, |told| told.started.len() == commands.len());
    settle(fleet);
    commands
}
