//! Tests of runs: a test for each promise, and random runs that are compared with a model.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::error::{CancelCause, HostError, HostErrorKind, HostErrorParts};
use crate::fleet::run::{Batch, FailureBudget};
use crate::stage::Stage;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Succeeded,
    Failed,
    NotStarted,
}

impl End {
    fn outcome(self) -> Outcome {
        let kind = match self {
            Self::Succeeded => return Outcome::Exited(0),
            Self::Failed => HostErrorKind::Cancelled(CancelCause::Caller),
            Self::NotStarted => HostErrorKind::NotStarted(CancelCause::RunCancelled),
        };
        Outcome::Failed(HostError::new(HostErrorParts {
            host: "web1".into(),
            port: 22,
            stage: Stage::Queued,
            attempt: 0,
            attempts: None,
            elapsed: Duration::ZERO,
            kind: Arc::new(kind),
            banner: None,
            command_said: None,
            left_over: Default::default(),
        }))
    }
}

/// One run, and hosts that do what the run's tasks say.
struct Rig {
    runs: Runs,
    id: RunId,
    hosts: usize,
    /// The commands that were given to their hosts and have not ended.
    running: BTreeSet<usize>,
    given: Vec<usize>,
    ends: Vec<Option<End>>,
    /// The commands that must end and have not.
    told: Vec<(usize, Task)>,
    news: Vec<RunNews>,
    opened: Vec<usize>,
}

/// The id of the command at this position.
fn name(position: usize) -> CommandId {
    CommandId::new(position, 7)
}

fn plan(batches: &[Batch], gate: Gate, failures: Option<usize>, percent: Option<u8>) -> Plan {
    Plan { batches: batches.to_vec(), gate, budget: FailureBudget { failures, percent } }
}

impl Rig {
    fn new(plan: Plan, hosts: usize) -> Self {
        let mut runs = Runs::default();
        let id = runs.begin(plan, |_| (0..hosts).map(name).collect());
        let mut rig = Self {
            runs,
            id,
            hosts,
            running: BTreeSet::new(),
            given: Vec::new(),
            ends: vec![None; hosts],
            told: Vec::new(),
            news: Vec::new(),
            opened: Vec::new(),
        };
        rig.serve();
        rig
    }

    /// Performs all tasks and takes all news.
    fn serve(&mut self) {
        while let Some(task) = self.runs.next_task() {
            match task {
                Task::Open(run, size) => {
                    assert_eq!(run, self.id);
                    assert!(self.running.is_empty(), "a batch starts before the previous one has ended");
                    self.opened.push(size);
                }
                Task::Begin(id) => {
                    assert_eq!(self.ends[id.index()], None, "a command starts that has ended");
                    assert!(self.running.insert(id.index()), "a command starts twice");
                    self.given.push(id.index());
                }
                Task::Withdraw(id, _) | Task::Cancel(id, _) => {
                    assert_eq!(self.ends[id.index()], None, "a command that has ended is stopped");
                    self.told.push((id.index(), task));
                }
            }
        }
        while let Some((run, news)) = self.runs.news.pop_front() {
            assert_eq!(run, self.id);
            assert!(!matches!(self.news.last(), Some(RunNews::Done(_))), "news of a run that has ended");
            self.news.push(news);
        }
    }

    fn end(&mut self, position: usize, end: End) {
        assert_eq!(self.ends[position].replace(end), None);
        self.running.remove(&position);
        self.told.retain(|(told, _)| *told != position);
        self.runs.finished(self.id, position, &end.outcome());
        self.serve();
    }

    /// Ends the commands that must end. A command that was not sent ends as not started. A command
    /// that was sent and cancelled ends as failed.
    fn obey(&mut self, was_sent: impl Fn(usize) -> bool) {
        for (position, task) in std::mem::take(&mut self.told) {
            match task {
                _ if self.ends[position].is_some() => {}
                _ if !was_sent(position) || !self.running.contains(&position) => {
                    self.end(position, End::NotStarted);
                }
                Task::Cancel(..) => self.end(position, End::Failed),
                _ => {}
            }
        }
    }

    fn tally(&self) -> Tally {
        let count = |end| self.ends.iter().filter(|known| **known == Some(end)).count();
        Tally {
            succeeded: count(End::Succeeded),
            failed: count(End::Failed),
            not_started: count(End::NotStarted),
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.news.last(), Some(RunNews::Done(_)))
    }

    /// Checks the invariants.
    fn check(&self) {
        let over = self.ends.iter().flatten().count();
        assert_eq!(self.runs.unfinished, self.hosts - over);
        assert_eq!(self.is_done(), over == self.hosts);
        assert_eq!(self.runs.len(), usize::from(!self.is_done()));
        assert_eq!(self.given.iter().collect::<BTreeSet<_>>().len(), self.given.len());
        if self.is_done() {
            assert_eq!(self.news.last(), Some(&RunNews::Done(self.tally())));
        }
    }
}

/// The sizes of the batches that start while every command succeeds.
fn sizes(batches: &[Batch], hosts: usize) -> Vec<usize> {
    let mut rig = Rig::new(plan(batches, Gate::Open, None, None), hosts);
    while let Some(position) = rig.running.first().copied() {
        rig.end(position, End::Succeeded);
    }
    assert!(rig.is_done());
    assert_eq!(rig.given, (0..hosts).collect::<Vec<_>>(), "not all hosts, or not in order");
    rig.opened
}

#[test]
fn the_last_size_repeats() {
    assert_eq!(sizes(&[], 5), [5]);
    assert!(sizes(&[], 0).is_empty());
    assert_eq!(sizes(&[Batch::Rest], 5), [5]);
    assert_eq!(sizes(&[Batch::Hosts(2)], 5), [2, 2, 1]);
    assert_eq!(sizes(&[Batch::Hosts(1), Batch::Percent(10), Batch::Rest], 100), [1, 10, 89]);
    assert_eq!(sizes(&[Batch::Percent(1)], 3), [1, 1, 1], "at least one");
    assert_eq!(sizes(&[Batch::Percent(34)], 10), [4, 4, 2], "rounded up");
    assert_eq!(sizes(&[Batch::Percent(100)], 7), [7]);
    assert_eq!(sizes(&[Batch::Hosts(9), Batch::Hosts(1)], 3), [3]);
}

#[test]
fn a_gated_run_waits_for_proceed() {
    let mut rig = Rig::new(plan(&[Batch::Hosts(1)], Gate::Closed, None, None), 2);
    assert!(!rig.runs.proceed(rig.id), "the first batch has not ended");
    rig.end(0, End::Failed);
    let tally = Tally { failed: 1, ..Tally::default() };
    assert_eq!(rig.news, [RunNews::BatchDone { batch: 0, tally, left: 1 }]);
    assert_eq!(rig.given, [0]);
    assert!(rig.runs.proceed(rig.id));
    assert!(!rig.runs.proceed(rig.id));
    rig.serve();
    assert_eq!(rig.given, [0, 1]);
    rig.end(1, End::Succeeded);
    let tally = Tally { succeeded: 1, failed: 1, not_started: 0 };
    assert_eq!(rig.news[1..], [RunNews::BatchDone { batch: 1, tally, left: 0 }, RunNews::Done(tally)]);
    assert!(!rig.runs.proceed(rig.id), "the run has ended");
}

#[test]
fn a_command_that_has_ended_takes_no_place_in_a_batch() {
    let mut rig = Rig::new(plan(&[Batch::Hosts(2)], Gate::Open, None, None), 5);
    rig.end(2, End::Failed);
    rig.end(0, End::Succeeded);
    rig.end(1, End::Succeeded);
    assert_eq!((rig.given.as_slice(), rig.opened.as_slice()), (&[0, 1, 3, 4][..], &[2, 2][..]));
}

#[test]
fn a_gated_run_whose_waiting_commands_are_all_cancelled_is_done() {
    let mut rig = Rig::new(plan(&[Batch::Hosts(1)], Gate::Closed, None, None), 2);
    rig.end(0, End::Succeeded);
    rig.end(1, End::Failed);
    assert_eq!(rig.news.len(), 2);
    rig.check();
}

#[test]
fn one_failure_more_than_the_budget_stops_a_run() {
    let (failures, percent) = (Some(2), None);
    let mut rig = Rig::new(plan(&[], Gate::Open, failures, percent), 10);
    rig.end(0, End::Failed);
    rig.end(1, End::Failed);
    assert_eq!(rig.told, []);
    rig.end(2, End::Failed);
    let told: Vec<_> =
        (3..10).map(|nth| (nth, Task::Withdraw(name(nth), CancelCause::TooManyFailures))).collect();
    assert_eq!(rig.told, told);
    rig.obey(|position| position < 5);
    assert_eq!(rig.running, BTreeSet::from([3, 4]), "commands that were sent continue");
    rig.end(3, End::Failed);
    rig.end(4, End::Succeeded);
    assert_eq!(rig.tally(), Tally { succeeded: 1, failed: 4, not_started: 5 });
    rig.check();
}

#[test]
fn max_failure_percent_is_of_all_hosts_of_the_run() {
    let budget = |percent| FailureBudget { failures: None, percent: Some(percent) };
    assert!(!budget(0).is_exceeded(0, 10));
    assert!(budget(0).is_exceeded(1, usize::MAX));
    assert!(!budget(10).is_exceeded(1, 10));
    assert!(budget(10).is_exceeded(2, 10));
    assert!(budget(33).is_exceeded(1, 3), "33.3 per cent are more than 33");
    assert!(!budget(100).is_exceeded(3, 3));
}

#[test]
fn when_a_run_is_stopped_its_current_batch_is_reported_and_no_later_one() {
    let mut rig = Rig::new(plan(&[Batch::Hosts(2), Batch::Rest], Gate::Open, Some(0), None), 5);
    rig.end(0, End::Failed);
    rig.obey(|position| position == 1);
    rig.end(1, End::Succeeded);
    let tally = Tally { succeeded: 1, failed: 1, not_started: 3 };
    assert_eq!(rig.news, [RunNews::BatchDone { batch: 0, tally, left: 0 }, RunNews::Done(tally)]);
    assert_eq!(rig.given, [0, 1]);
}

#[test]
fn a_second_stop_may_widen_the_reach_but_not_narrow_it() {
    let mut rig = Rig::new(plan(&[], Gate::Open, None, None), 3);
    let (unsent, all) = (Reach::Unsent, Reach::Everything);
    rig.runs.stop(rig.id, CancelCause::Draining, unsent);
    rig.serve();
    rig.obey(|position| position > 0);
    rig.runs.stop(rig.id, CancelCause::RunCancelled, all);
    rig.serve();
    let cancel = |nth| (nth, Task::Cancel(name(nth), CancelCause::Draining));
    assert_eq!(rig.told, [cancel(1), cancel(2)], "the first reason is kept");
    rig.runs.stop(rig.id, CancelCause::RunCancelled, unsent);
    rig.serve();
    assert_eq!(rig.told.len(), 2);
}

#[test]
fn runs_take_turns_and_a_stale_id_has_no_effect() {
    let mut runs = Runs::default();
    let gone = runs.begin(Plan::default(), |_| Vec::new());
    assert_eq!(runs.news.pop_front(), Some((gone, RunNews::Done(Tally::default()))));
    let one = runs.begin(Plan::default(), |_| vec![name(0), name(1)]);
    let two = runs.begin(Plan::default(), |_| vec![name(2), name(3)]);
    let tasks: Vec<Task> = std::iter::from_fn(|| runs.next_task()).collect();
    let begun: Vec<Task> = [0, 2, 1, 3].map(|nth| Task::Begin(name(nth))).into();
    assert_eq!(tasks, [vec![Task::Open(one, 2), Task::Open(two, 2)], begun].concat());
    assert!(!runs.has_tasks());
    runs.stop(gone, CancelCause::RunCancelled, Reach::Everything);
    runs.finished(gone, 0, &End::Failed.outcome());
    assert!(!runs.proceed(gone) && !runs.has_tasks());
    assert_eq!(runs.unfinished, 4);
}

#[derive(Debug, Clone)]
enum Deed {
    /// The `n`th running command ends.
    End(usize, End),
    /// The `n`th unfinished command is cancelled.
    Cancel(usize),
    Proceed,
    Stop(Reach),
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let size = prop_oneof![(1..8_usize).prop_map(Batch::Hosts), (1..=100_u8).prop_map(Batch::Percent)];
    let sizes = prop::collection::vec(size, 0..4);
    (sizes, any::<bool>()).prop_map(|(mut sizes, rest)| {
        sizes.extend(rest.then_some(Batch::Rest));
        sizes
    })
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let end = prop_oneof![4 => Just(End::Succeeded), 1 => Just(End::Failed)];
    let deed = prop_oneof![
        40 => (any::<usize>(), end).prop_map(|(nth, end)| Deed::End(nth, end)),
        6 => any::<usize>().prop_map(Deed::Cancel),
        8 => Just(Deed::Proceed),
        1 => prop_oneof![Just(Reach::Unsent), Just(Reach::Everything)].prop_map(Deed::Stop),
    ];
    prop::collection::vec(deed, 0..120)
}

proptest! {
    #[test]
    fn every_command_ends_once_and_every_batch_has_its_size(
        batches in batches(),
        hosts in 0..60_usize,
        closed in any::<bool>(),
        failures in prop::option::of(0..6_usize),
        percent in prop::option::of(0..=100_u8),
        deeds in deeds(),
        sent in any::<u64>(),
    ) {
        let gate = if closed { Gate::Closed } else { Gate::Open };
        let plan = plan(&batches, gate, failures, percent);
        let was_sent = |position: usize| sent >> (position % 64) & 1 == 1;
        let mut rig = Rig::new(plan.clone(), hosts);
        let mut stopped = false;
        for deed in deeds {
            let alive: Vec<usize> = (0..hosts).filter(|nth| rig.ends[*nth].is_none()).collect();
            let (given, done) = (rig.given.len(), rig.is_done());
            match deed {
                Deed::End(nth, end) if !rig.running.is_empty() => {
                    let position = *rig.running.iter().nth(nth % rig.running.len()).unwrap();
                    rig.end(position, end);
                }
                Deed::Cancel(nth) if !alive.is_empty() => rig.end(alive[nth % alive.len()], End::Failed),
                Deed::Proceed => {
                    let waits = rig.running.is_empty() && closed && !done && !stopped;
                    prop_assert_eq!(rig.runs.proceed(rig.id), waits);
                    rig.serve();
                }
                Deed::Stop(reach) => {
                    rig.runs.stop(rig.id, CancelCause::RunCancelled, reach);
                    rig.serve();
                    stopped = true;
                }
                _ => {}
            }
            if stopped {
                prop_assert_eq!(rig.given.len(), given, "a command starts after the run was stopped");
            }
            stopped |= plan.budget.is_exceeded(rig.tally().failed, hosts);
            rig.obey(was_sent);
            rig.check();
        }
        // Ends the commands that are left.
        while !rig.is_done() {
            match rig.running.first().copied() {
                Some(position) => rig.end(position, End::Succeeded),
                None => prop_assert!(rig.runs.proceed(rig.id), "nothing runs, and no batch waits"),
            }
            rig.serve();
        }
        rig.check();
        let order = rig.given.is_sorted();
        prop_assert!(order, "{:?}", rig.given);
        let all_but_last = rig.opened.len().saturating_sub(1);
        for (number, size) in rig.opened.iter().enumerate() {
            let full = plan.size(number, hosts);
            prop_assert!(*size == full || number == all_but_last && (1..full).contains(size));
        }
        let told = rig.news.iter().filter(|news| matches!(news, RunNews::BatchDone { .. })).count();
        prop_assert_eq!(told, rig.opened.len());
    }
}
