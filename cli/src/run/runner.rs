//! The loop of a run.

use std::collections::HashMap;
use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use sshoal::error::Label;
use sshoal::fleet::{CommandId, HostId, Timings};
use sshoal::{Budget, Event, Fleet, Outcome};

use super::broadcast::{Broadcast, Laggard};
use super::code::ExitCode;
use super::ends::{Stop, end_of, left_behind};
use super::input::Input;
use super::interrupts::{Interrupts, Wish};
use super::signals::Signals;
use super::silence::Silence;
use crate::end::End;
use crate::output::{HostIndex, News, Output};
use crate::plan::Plan;

const FLEET: Token = Token(0);
const SIGNALS: Token = Token(1);

/// How often the progress line changes.
const TICK: Duration = Duration::from_millis(100);

/// How long a cancelled command has to end by SIGTERM.
pub const STOP_GRACE: Duration = Duration::from_secs(1);

/// What one turn may do. Only signals and the screen wait for its end.
fn budget() -> Budget {
    Budget::default().time(Duration::from_millis(5)).events(4096).bytes(1024 * 1024)
}

/// How a run has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: ExitCode,
    /// How the command of each host has ended, in the order of the targets.
    pub labels: Vec<Label>,
}

/// A run in progress.
pub struct Runner<'a> {
    fleet: Fleet,
    poll: Poll,
    signals: Signals,
    interrupts: Interrupts,
    output: Output<'a>,
    /// Whether standard error is a terminal, so that somebody sees the progress.
    is_watched: bool,
    tasks: Vec<Task>,
    by_id: HashMap<HostId, HostIndex>,
    input: Option<Broadcast>,
    silence: Option<Silence>,
    began: Instant,
    deadline: Option<(Instant, Duration)>,
    /// Why the whole run is being stopped, and since when.
    stop: Option<(Stop, Instant)>,
    code: ExitCode,
    phase: Phase,
}

/// The command of one host.
#[derive(Debug)]
struct Task {
    host: HostId,
    command: CommandId,
    state: State,
    /// Why this program has ended the command, and when.
    stop: Option<(Stop, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Ended(Label),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Going,
    /// All commands have ended.
    Over,
    /// The user does not wait for the rest.
    Left,
}

impl<'a> Runner<'a> {
    /// Starts what is planned.
    pub fn start(mut fleet: Fleet, plan: &Plan, output: Output<'a>) -> Result<Self, RunError> {
        let poll = Poll::new()?;
        let descriptor = fleet.as_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&descriptor), FLEET, Interest::READABLE)?;
        let signals = Signals::register(poll.registry(), SIGNALS)?;
        let input = if plan.sends_stdin { Input::of_stdin(fleet.waker())? } else { None };
        let ids = fleet.hosts().to_vec();
        let started = fleet.start(plan.run(&ids, input.is_some()))?;
        let (now, is_watched) = (Instant::now(), io::stderr().is_terminal());
        let task = |(host, command)| Task { host, command, state: State::Waiting, stop: None };
        Ok(Self {
            poll,
            signals,
            interrupts: Interrupts::new(is_watched),
            is_watched,
            output,
            by_id: ids.iter().copied().zip(0..).collect(),
            input: input.map(|input| Broadcast::new(input, ids.len(), plan.silence)),
            silence: plan.silence.map(|limit| Silence::new(limit, ids.len(), now)),
            tasks: ids.into_iter().zip(started.commands).map(task).collect(),
            began: now,
            deadline: plan.deadline.map(|limit| (now + limit, limit)),
            stop: None,
            code: ExitCode::default(),
            phase: Phase::Going,
            fleet,
        })
    }

    /// Runs until all commands have ended, or the user leaves.
    pub fn finish(mut self) -> Result<Ended, RunError> {
        let mut events = Events::with_capacity(8);
        while self.phase == Phase::Going {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            self.take_signals();
            self.fleet.turn(Instant::now(), budget())?;
            self.take_events();
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
        Ok(Ended { code: self.code, labels: self.tasks.iter().map(label).collect() })
    }

    fn timeout(&self) -> Option<Duration> {
        let times = [
            self.fleet.next_deadline(),
            self.silence.as_ref().and_then(Silence::next),
            self.input.as_ref().and_then(Broadcast::next),
            self.deadline.map(|(at, _)| at),
            self.is_watched.then(|| Instant::now() + TICK),
        ];
        let next = times.into_iter().flatten().min();
        next.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn take_events(&mut self) {
        while let Some(event) = self.fleet.next_event() {
            let at = self.began.elapsed();
            let host = match &event {
                Event::Entered { host, .. }
                | Event::Connected { host, .. }
                | Event::Started { host, .. }
                | Event::Output { host, .. }
                | Event::Finished { host, .. } => self.by_id.get(host).copied(),
                Event::RunDone { .. } => {
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
                Event::Started { .. } => {
                    self.begin(host);
                    self.output.report(News::Started { host }, at)
                }
                Event::Finished { outcome, timings, .. } => {
                    self.end(host, &outcome, timings);
                    Ok(())
                }
                _ => Ok(()),
            };
            self.check_output(reported);
        }
    }

    fn begin(&mut self, host: HostIndex) {
        let task = &mut self.tasks[host];
        task.state = State::Running;
        if let Some(silence) = &mut self.silence {
            silence.begin(host, Instant::now());
        }
        if let Some(input) = &mut self.input {
            input.begin(host, task.command);
        }
    }

    fn end(&mut self, host: HostIndex, outcome: &Outcome, timings: Timings) {
        let task = &mut self.tasks[host];
        let stop = task.stop.or(self.stop);
        let has_ended = stop.is_none_or(|(_, since)| since.elapsed() < STOP_GRACE);
        let end = end_of(outcome, stop.map(|(stop, _)| stop), has_ended);
        task.state = State::Ended(end.label());
        if let Some(input) = &mut self.input {
            input.end(host);
        }
        // Nothing else is run on this host, so its connection is not needed any more.
        let id = task.host;
        self.fleet.remove_host(id);
        self.conclude(host, &end, timings);
    }

    fn conclude(&mut self, host: HostIndex, end: &End, timings: Timings) {
        self.code.count(end);
        self.report(News::Ended { host, end, timings });
    }

    fn feed(&mut self) -> io::Result<()> {
        let Some(input) = &mut self.input else { return Ok(()) };
        let now = Instant::now();
        let silence = &mut self.silence;
        input.feed(&mut self.fleet, |host| {
            if let Some(silence) = silence {
                silence.hear(host, now);
            }
        })?;
        let hold = input.hold();
        for laggard in input.make_room(now) {
            match laggard {
                Laggard::Running(host) => self.cancel(host, Stop::InputHeld(hold)),
                Laggard::Waiting(host) => self.cancel(host, Stop::InputGone),
            }
        }
        Ok(())
    }

    fn check_limits(&mut self, now: Instant) {
        if let Some((_, limit)) = self.deadline.take_if(|(at, _)| *at <= now) {
            self.cancel_all(Stop::Deadline(limit));
        }
        let Some(mut silence) = self.silence.take() else { return };
        let limit = silence.limit();
        while let Some(host) = silence.expired(now, |host| self.tasks[host].state == State::Running) {
            self.cancel(host, Stop::Silence(limit));
        }
        self.silence = Some(silence);
    }

    fn cancel(&mut self, host: HostIndex, stop: Stop) {
        let task = &mut self.tasks[host];
        task.stop.get_or_insert((stop, Instant::now()));
        self.fleet.cancel(task.command);
    }

    /// Starts nothing more, and ends what runs.
    fn cancel_all(&mut self, stop: Stop) {
        let now = Instant::now();
        match &mut self.stop {
            // What was left to end is now cancelled, too.
            Some(begun @ (Stop::Starting, _)) => *begun = (stop, now),
            begun => _ = begun.get_or_insert((stop, now)),
        }
        self.fleet.drain(now);
    }

    fn take_signals(&mut self) {
        for signal in self.signals.take() {
            match self.interrupts.on(signal, Instant::now()) {
                Wish::Status => self.show_status(),
                Wish::StopStarting => {
                    self.stop.get_or_insert((Stop::Starting, Instant::now()));
                    self.fleet.drain(None);
                    self.note("starting nothing more; waiting for what runs");
                }
                Wish::Cancel(signal) => {
                    self.code.interrupt(signal);
                    self.cancel_all(Stop::Signal(signal));
                    self.note("cancelling; again: leave at once");
                }
                Wish::Leave(signal) => {
                    self.code.interrupt(signal);
                    self.phase = Phase::Left;
                }
                Wish::Suspend => {
                    if let Err(error) = Signals::suspend() {
                        log::warn!("cannot stop this process: {error}");
                    }
                }
            }
        }
    }

    /// Says how far the run is, and what the next ^C does.
    fn show_status(&mut self) {
        let shown = self.output.status(self.began.elapsed());
        self.check_output(shown);
        self.note("^C again within 2 s: cancel; ^Z: start nothing more");
    }

    /// The user does not wait for what has not ended.
    fn leave(&mut self) {
        let unfinished = |(host, task): (HostIndex, &Task)| match task.state {
            State::Ended(_) => None,
            State::Waiting | State::Running => {
                let command = self.fleet.command(task.command);
                let stage = command.map_or(sshoal::Stage::Queued, |command| command.stage());
                Some((host, stage))
            }
        };
        let left: Vec<_> = self.tasks.iter().enumerate().filter_map(unfinished).collect();
        for (host, stage) in left {
            self.conclude(host, &left_behind(stage), Timings::default());
        }
    }

    fn report(&mut self, news: News<'_>) {
        let reported = self.output.report(news, self.began.elapsed());
        self.check_output(reported);
    }

    fn note(&mut self, text: &str) {
        let noted = self.output.note(text);
        self.check_output(noted);
    }

    /// Output that cannot be written ends the run.
    fn check_output(&mut self, written: io::Result<()>) {
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
