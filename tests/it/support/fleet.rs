//! Drives a [`Fleet`] like a program that waits for nothing else, and records its events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sshoal::error::CancelCause;
use sshoal::fleet::{CommandId, HostId, RunId, Tally};
use sshoal::transfer::Transferred;
use sshoal::{Budget, Event, Fleet, HostError, HostErrorKind, Outcome};

/// The events of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchDone {
    pub run: RunId,
    pub batch: usize,
    pub tally: Tally,
    pub left: usize,
}

/// A fleet, and everything that it has reported so far.
#[derive(Debug)]
pub struct Driven {
    pub fleet: Fleet,
    /// The budget of each turn. Default: the fleet's own.
    pub budget: Budget,
    /// Hosts that were connected at any time.
    pub connected: BTreeSet<HostId>,
    pub started: BTreeSet<CommandId>,
    /// Each command's end. A second end fails the test.
    pub ends: BTreeMap<CommandId, Outcome>,
    /// Standard output and standard error together.
    pub output: BTreeMap<CommandId, Vec<u8>>,
    /// The progress of each transfer, in order. Progress that goes back fails the test.
    pub progress: BTreeMap<CommandId, Vec<Transferred>>,
    pub batches: Vec<BatchDone>,
    pub runs: Vec<(RunId, Tally)>,
    pub drained: bool,
}

impl Driven {
    pub fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            budget: Budget::default(),
            connected: BTreeSet::new(),
            started: BTreeSet::new(),
            ends: BTreeMap::new(),
            output: BTreeMap::new(),
            progress: BTreeMap::new(),
            batches: Vec::new(),
            runs: Vec::new(),
            drained: false,
        }
    }

    /// Waits for work for at most `limit`, then runs one turn.
    ///
    /// # Panics
    /// On events that contradict earlier ones.
    pub fn turn(&mut self, limit: Duration) {
        self.fleet.wait(Some(limit)).expect("the poll works");
        self.fleet.turn(Instant::now(), self.budget).expect("the poll works");
        self.take_events();
    }

    fn take_events(&mut self) {
        let Self { fleet, connected, started, ends, output, progress, batches, runs, drained, .. } = self;
        while let Some(event) = fleet.next_event() {
            assert!(!*drained, "an event after the last: {event:?}");
            match event {
                Event::Connected { host, .. } => _ = connected.insert(host),
                Event::Started { command, .. } => {
                    assert!(started.insert(command), "{command:?} started twice")
                }
                Event::Output { command, bytes, .. } | Event::Line { command, bytes, .. } => {
                    output.entry(command).or_default().extend_from_slice(bytes);
                }
                Event::Progress { command, done, .. } => {
                    assert!(
                        started.contains(&command) && !ends.contains_key(&command),
                        "{command:?}: {done:?}"
                    );
                    let earlier = progress.entry(command).or_default();
                    let goes_on = |last: &Transferred| last.bytes <= done.bytes && last.files <= done.files;
                    assert!(earlier.last().is_none_or(goes_on), "{earlier:?}, then {done:?}");
                    earlier.push(done);
                }
                Event::Finished { command, outcome, .. } => {
                    let before = ends.insert(command, outcome.clone());
                    assert!(before.is_none(), "{command:?} has ended twice: {before:?}, {outcome:?}");
                }
                Event::BatchDone { run, batch, tally, left, .. } => {
                    batches.push(BatchDone { run, batch, tally, left });
                }
                Event::RunDone { run, tally, .. } => {
                    assert!(runs.iter().all(|(known, _)| *known != run), "{run:?} is over twice");
                    runs.push((run, tally));
                }
                Event::Drained => *drained = true,
                _ => {}
            }
        }
    }

    /// Runs turns until `done`.
    ///
    /// # Panics
    /// After `limit`, naming `what` was awaited.
    #[track_caller]
    pub fn until(&mut self, limit: Duration, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            let left = limit.saturating_sub(begun.elapsed());
            assert!(!left.is_zero(), "not within {limit:?}: {what}\n{self:#?}");
            self.turn(left);
        }
    }

    /// Runs turns for this long, whatever happens.
    pub fn go_on_for(&mut self, time: Duration) {
        let begun = Instant::now();
        while let Some(left) = time.checked_sub(begun.elapsed()) {
            self.turn(left);
        }
    }

    /// How the run has ended.
    #[track_caller]
    pub fn tally(&self, run: RunId) -> Tally {
        self.done(run).unwrap_or_else(|| panic!("{run:?} is not over"))
    }

    pub fn done(&self, run: RunId) -> Option<Tally> {
        self.runs.iter().find(|(known, _)| *known == run).map(|(_, tally)| *tally)
    }

    /// Why a command was never started, if it was not.
    pub fn not_started(&self, command: CommandId) -> Option<CancelCause> {
        match self.error_of(command)?.kind() {
            HostErrorKind::NotStarted(why) => Some(*why),
            _ => None,
        }
    }

    /// Why a command was cancelled, if it was.
    pub fn cancelled(&self, command: CommandId) -> Option<CancelCause> {
        match self.error_of(command)?.kind() {
            HostErrorKind::Cancelled(why) => Some(*why),
            _ => None,
        }
    }

    fn error_of(&self, command: CommandId) -> Option<&HostError> {
        match self.ends.get(&command)? {
            Outcome::Failed(error) => Some(error),
            _ => None,
        }
    }
}
