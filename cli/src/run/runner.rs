//! The loop of a run.

use std::collections::HashMap;
use std::io::{self, ErrorKind, IsTerminal};
use std::time::{Duration, Instant};

use sshoal::error::Label;
use sshoal::fleet::{CommandId, HostId, RunId, Tally, Timings};
use sshoal::transfer::Transferred;
use sshoal::{Event, Outcome};

use super::broadcast::Broadcast;
use super::code::ExitCode;
use super::ends::{Stop, end_of, is_local, of_all_hosts};
use super::event_loop::EventLoop;
use super::gate::{Gatekeeper, Progress};
use super::input::Input;
use super::interrupts::Interrupts;
use super::silence::Silence;
use super::task::{State, Task};
use crate::end::End;
use crate::output::{HostIndex, News, Output};
use crate::plan::Plan;

/// How often the progress line changes.
const TICK: Duration = Duration::from_millis(100);

/// How long a cancelled command has to end by SIGTERM.
pub const STOP_GRACE: Duration = Duration::from_secs(1);

/// How a run has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: ExitCode,
    /// How the command of each host has ended, in the order of the targets.
    pub labels: Vec<Label>,
    /// The hosts that have printed something else than most, if output was compared.
    pub differing: Option<Vec<HostIndex>>,
    /// What was copied to each host, or from it.
    pub copied: Vec<Transferred>,
}

/// A run in progress.
pub struct Runner<'a> {
    pub(super) event_loop: &'a mut EventLoop,
    pub(super) interrupts: Interrupts,
    pub(super) output: Output<'a>,
    /// Whether standard error is a terminal, so that somebody sees the progress.
    pub(super) is_watched: bool,
    pub(super) tasks: Vec<Task>,
    pub(super) by_id: HashMap<HostId, HostIndex>,
    pub(super) input: Option<Broadcast>,
    pub(super) silence: Option<Silence>,
    pub(super) began: Instant,
    pub(super) deadline: Option<(Instant, Duration)>,
    /// Why the whole run is being stopped, and since when.
    pub(super) stop: Option<(Stop, Instant)>,
    pub(super) code: ExitCode,
    pub(super) phase: Phase,
    pub(super) run: RunId,
    /// How many commands each host has.
    per_host: usize,
    copies: bool,
    /// The name of each host in local paths, if these differ.
    own_names: Vec<String>,
    /// Whether something else may follow on the hosts.
    pub(super) keeps_hosts: bool,
    pub(super) gate: Option<Gatekeeper>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Going,
    /// All commands have ended.
    Over,
    /// The user does not wait for the rest.
    Left,
}

impl<'a> Runner<'a> {
    /// Starts what is planned on these hosts. They are those of the output, in order.
    pub fn start(
        event_loop: &'a mut EventLoop,
        ids: &[HostId],
        plan: &Plan,
        output: Output<'a>,
    ) -> Result<Self, RunError> {
        let fleet = &mut event_loop.fleet;
        let input = if plan.sends_stdin { Input::of_stdin(fleet.waker())? } else { None };
        let started = fleet.start(plan.run(ids, input.is_some()))?;
        let (now, is_watched) = (Instant::now(), io::stderr().is_terminal());
        let per_host = plan.per_host();
        let task = |(host, commands): (&HostId, &[CommandId])| Task::new(*host, commands);
        Ok(Self {
            interrupts: Interrupts::new(is_watched && plan.asks_first),
            is_watched,
            output,
            by_id: ids.iter().copied().zip(0..).collect(),
            input: input.map(|input| Broadcast::new(input, ids.len(), plan.silence)),
            silence: plan.silence.map(|limit| Silence::new(limit, ids.len(), now)),
            tasks: ids.iter().zip(started.commands.chunks(per_host)).map(task).collect(),
            began: now,
            deadline: plan.deadline.map(|limit| (now + limit, limit)),
            stop: None,
            code: ExitCode::default(),
            phase: Phase::Going,
            run: started.run,
            per_host,
            copies: plan.has_copies(),
            own_names: plan.own_names().to_vec(),
            keeps_hosts: plan.keeps_hosts,
            gate: plan.gate.clone().map(Gatekeeper::new),
            event_loop,
        })
    }

    /// Runs until all commands have ended, or the user leaves.
    pub fn finish(mut self) -> Result<Ended, RunError> {
        while self.phase == Phase::Going {
            self.event_loop.wait(self.timeout())?;
            self.take_signals();
            self.take_keys();
            self.event_loop.turn()?;
            self.take_events();
            self.attend_gate();
            self.feed()?;
            self.check_limits(Instant::now());
            let at = self.began.elapsed();
            let turned = self.output.turn(at);
            self.check_output(turned);
        }
        if self.phase == Phase::Left {
            self.leave();
        }
        self.report(News::Finished);
        let turned = self.output.turn(self.began.elapsed());
        self.check_output(turned);
        let label = |task: &Task| match task.state {
            State::Ended(label) => label,
            State::Waiting | State::Running => Label::Cancelled,
        };
        let labels = self.tasks.iter().map(label).collect();
        let copied = self.tasks.iter().filter(|_| self.copies).map(Task::copied).collect();
        Ok(Ended { code: self.code, labels, differing: self.output.differing(), copied })
    }

    fn timeout(&self) -> Option<Duration> {
        let times = [
            self.event_loop.fleet.next_deadline(),
            self.silence.as_ref().and_then(Silence::next),
            self.input.as_ref().and_then(Broadcast::next),
            self.deadline.map(|(at, _)| at),
            self.is_watched.then(|| Instant::now() + TICK),
        ];
        let next = times.into_iter().flatten().min();
        next.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn take_events(&mut self) {
        while let Some(event) = self.event_loop.fleet.next_event() {
            let at = self.began.elapsed();
            let host = match &event {
                Event::Entered { host, .. }
                | Event::Connected { host, .. }
                | Event::Started { host, .. }
                | Event::Output { host, .. }
                | Event::Progress { host, .. }
                | Event::Finished { host, .. } => self.by_id.get(host).copied(),
                Event::BatchDone { run, batch, tally, left, .. } if *run == self.run => {
                    let (batch, (tally, left)) = (*batch, self.of_hosts(*tally, *left));
                    if let Some(gate) = self.gate.as_mut().filter(|_| left > 0) {
                        gate.reach(Progress { batch: batch + 1, tally, left });
                    }
                    self.report(News::BatchDone { batch, left });
                    continue;
                }
                // At a prompt, earlier runs may end whose end the user has not waited for.
                Event::RunDone { run, .. } if *run == self.run => {
                    self.phase = Phase::Over;
                    return;
                }
                _ => None,
            };
            let Some(host) = host else { continue };
            let reported = match event {
                Event::Entered { stage, .. } => self.output.report(News::Entered { host, stage }, at),
                Event::Connected { timings, .. } => self.output.report(News::Connected { host, timings }, at),
                Event::Output { stream, bytes, .. } => {
                    if let Some(silence) = &mut self.silence {
                        silence.hear(host, Instant::now());
                    }
                    self.output.report(News::Output { host, stream, bytes }, at)
                }
                Event::Started { .. } => match self.begin(host) {
                    true => self.output.report(News::Started { host }, at),
                    false => Ok(()),
                },
                Event::Progress { command, done, .. } => {
                    if let Some(silence) = &mut self.silence {
                        silence.hear(host, Instant::now());
                    }
                    let done = self.tasks[host].progress(command, &done);
                    self.output.report(News::Progress { host, done: &done }, at)
                }
                Event::Finished { command, outcome, timings, .. } => {
                    self.end(host, command, &outcome, timings);
                    Ok(())
                }
                _ => Ok(()),
            };
            self.check_output(reported);
        }
    }

    /// Returns whether this is the first command of the host that has started.
    fn begin(&mut self, host: HostIndex) -> bool {
        let task = &mut self.tasks[host];
        if task.state != State::Waiting {
            return false;
        }
        task.state = State::Running;
        if let Some(silence) = &mut self.silence {
            silence.begin(host, Instant::now());
        }
        if let Some(input) = &mut self.input {
            input.begin(host, task.first());
        }
        true
    }

    fn end(&mut self, host: HostIndex, command: CommandId, outcome: &Outcome, timings: Timings) {
        let task = &mut self.tasks[host];
        let stop = task.stop.or(self.stop);
        let has_ended = stop.is_none_or(|(_, since)| since.elapsed() < STOP_GRACE);
        let mut end = end_of(outcome, stop.map(|(stop, _)| stop), has_ended);
        if let (End::Failed(failure), Some(own)) = (&mut end, self.own_names.get(host))
            && is_local(outcome)
        {
            failure.text = of_all_hosts(&failure.text, own);
        }
        let Some(end) = task.end(command, end) else { return };
        if let Some(input) = &mut self.input {
            input.end(host);
        }
        let (id, copied) = (task.host, task.copied());
        if self.copies && !end.is_success() {
            // Of several files, some may be whole.
            self.report(News::Progress { host, done: &copied });
        }
        if !self.keeps_hosts {
            // Nothing else is run on this host, so its connection is not needed any more.
            self.event_loop.fleet.remove_host(id);
        }
        self.conclude(host, &end, timings);
    }

    /// What a batch has done, in hosts instead of commands.
    fn of_hosts(&self, tally: Tally, left: usize) -> (Tally, usize) {
        if self.per_host == 1 {
            return (tally, left);
        }
        let mut tally = tally;
        let count = |is_success: bool| {
            let is_counted = |task: &&Task| match task.state {
                State::Ended(label) => (label == Label::Succeeded) == is_success,
                State::Waiting | State::Running => false,
            };
            self.tasks.iter().filter(is_counted).count()
        };
        (tally.succeeded, tally.failed) = (count(true), count(false));
        (tally, left / self.per_host)
    }

    pub(super) fn conclude(&mut self, host: HostIndex, end: &End, timings: Timings) {
        self.code.count(end);
        self.report(News::Ended { host, end, timings });
    }

    pub(super) fn report(&mut self, news: News<'_>) {
        let reported = self.output.report(news, self.began.elapsed());
        self.check_output(reported);
    }

    pub(super) fn note(&mut self, text: &str) {
        let noted = self.output.note(text);
        self.check_output(noted);
    }

    /// Output that cannot be written ends the run.
    pub(super) fn check_output(&mut self, written: io::Result<()>) {
        let Err(error) = written else { return };
        if self.stop.is_some() {
            return;
        }
        if error.kind() == ErrorKind::BrokenPipe {
            self.code.interrupt(signal_hook::consts::SIGPIPE);
        } else {
            log::error!("{error}");
            self.code.fail();
        }
        self.cancel_all(Stop::OutputClosed);
    }
}

/// A run that could not be started, or whose event loop failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Library(#[from] sshoal::Error),
    #[error("the event loop failed: {0}")]
    Loop(#[from] io::Error),
}
