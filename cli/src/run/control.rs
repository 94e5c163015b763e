//! What changes the course of a run: limits, signals, gates, input that is not read.

use std::io;
use std::time::Instant;

use sshoal::Stage;
use sshoal::fleet::Timings;
use sshoal::output::sanitise;

use super::broadcast::Laggard;
use super::ends::{Stop, left_behind};
use super::gate::Gatekeeper;
use super::interrupts::Wish;
use super::runner::{Phase, Runner};
use super::signals::Signals;
use super::task::{State, Task};
use crate::output::HostIndex;

impl Runner<'_> {
    pub(super) fn feed(&mut self) -> io::Result<()> {
        let Some(input) = &mut self.input else { return Ok(()) };
        let now = Instant::now();
        let silence = &mut self.silence;
        input.feed(&mut self.event_loop.fleet, |host| {
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

    pub(super) fn check_limits(&mut self, now: Instant) {
        if let Some((_, limit)) = self.deadline.take_if(|(at, _)| *at <= now) {
            self.cancel_all(Stop::Deadline(limit));
        }
        let Some(mut silence) = self.silence.take() else { return };
        let limit = silence.limit();
        while let Some(host) = silence.expired(now, |host| self.tasks[host].state == State::Running) {
            // A copy that waits for its turn under --bwlimit is not silent.
            let copies = self.tasks[host].open().filter_map(|id| self.event_loop.fleet.command(id));
            match copies.filter_map(|copy| copy.throttled_until(now)).max() {
                Some(heard) if heard + limit > now => silence.begin(host, heard),
                _ => self.cancel(host, Stop::Silence(limit)),
            }
        }
        self.silence = Some(silence);
    }

    fn cancel(&mut self, host: HostIndex, stop: Stop) {
        let task = &mut self.tasks[host];
        task.stop.get_or_insert((stop, Instant::now()));
        for command in task.open() {
            self.event_loop.fleet.cancel(command);
        }
    }

    /// Starts nothing more, and ends what runs.
    pub(super) fn cancel_all(&mut self, stop: Stop) {
        let now = Instant::now();
        match &mut self.stop {
            // What was left to end is now cancelled, too.
            Some(begun @ (Stop::Starting, _)) => *begun = (stop, now),
            begun => _ = begun.get_or_insert((stop, now)),
        }
        self.event_loop.fleet.cancel_run(self.run);
    }

    pub(super) fn take_signals(&mut self) {
        for signal in self.event_loop.signals() {
            match self.interrupts.on(signal, Instant::now()) {
                Wish::Status => self.show_status(),
                // Draining could not be undone for what follows.
                Wish::StopStarting if !self.keeps_hosts => {
                    self.stop.get_or_insert((Stop::Starting, Instant::now()));
                    self.event_loop.fleet.drain(None);
                    self.note("starting nothing more; waiting for what runs");
                }
                Wish::Cancel(signal) => {
                    self.code.interrupt(signal);
                    self.cancel_all(Stop::Signal(signal));
                    self.note(match self.keeps_hosts {
                        true => "cancelling; again: do not wait",
                        false => "cancelling; again: leave at once",
                    });
                }
                Wish::Leave(signal) => {
                    self.code.interrupt(signal);
                    self.phase = Phase::Left;
                }
                Wish::StopStarting | Wish::Suspend => {
                    if let Err(error) = Signals::suspend() {
                        log::warn!("cannot stop this process: {error}");
                    }
                }
            }
        }
    }

    /// Asks the gate after a batch, and does what it has answered.
    pub(super) fn attend_gate(&mut self) {
        let Some(gate) = self.gate.as_mut().filter(|_| self.phase == Phase::Going && self.stop.is_none())
        else {
            return;
        };
        if let Some(question) = gate.ask(self.event_loop.fleet.waker()) {
            self.note(&question);
            return;
        }
        match gate.answer() {
            None => {}
            Some(Ok(true)) => _ = self.event_loop.fleet.proceed(self.run),
            Some(answer) => {
                if let Err(error) = answer {
                    log::error!("--gate: {error}");
                }
                self.stop = Some((Stop::Gate, Instant::now()));
                self.event_loop.fleet.cancel_run(self.run);
            }
        }
    }

    /// Enter shows how far the run is, unless it answers a gate. At a prompt, what is typed too
    /// early has to be typed again: it could be meant for other hosts once this command has failed.
    pub(super) fn take_keys(&mut self) {
        if self.gate.as_ref().is_some_and(Gatekeeper::is_asking) {
            return;
        }
        let Some(line) = self.event_loop.typed_line() else { return };
        let shown = self.output.status(self.began.elapsed());
        self.check_output(shown);
        if self.keeps_hosts {
            match line.trim() {
                "" => self.note("^C: cancel, and keep the results"),
                text => self.note(&format!("not run, because a command is running: {}", sanitise(text))),
            }
        }
    }

    /// Says how far the run is, and what the next ^C does.
    fn show_status(&mut self) {
        let shown = self.output.status(self.began.elapsed());
        self.check_output(shown);
        self.note(match self.keeps_hosts {
            true => "^C again within 2 s: cancel",
            false => "^C again within 2 s: cancel; ^Z: start nothing more",
        });
    }

    /// The user does not wait for what has not ended.
    pub(super) fn leave(&mut self) {
        let unfinished = |(host, task): (HostIndex, &Task)| match task.state {
            State::Ended(_) => None,
            State::Waiting | State::Running => {
                let commands = task.open().filter_map(|id| self.event_loop.fleet.command(id));
                let stage = commands.map(|command| command.stage()).max().unwrap_or(Stage::Queued);
                Some((host, stage))
            }
        };
        let left: Vec<_> = self.tasks.iter().enumerate().filter_map(unfinished).collect();
        for (host, stage) in left {
            // A later run is not to get its events.
            for command in self.tasks[host].open() {
                self.event_loop.fleet.release(command);
            }
            self.conclude(host, &left_behind(stage), Timings::default());
        }
    }
}
