//! What decides between two batches whether the next one starts.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use sshoal::fleet::{FleetWaker, Tally};

use crate::plan::Gate;

/// What a gate knows about the run.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The number of the batch that has ended, from 1.
    pub batch: usize,
    pub tally: Tally,
    pub left: usize,
}

/// A gate, and where it is between its batches.
#[derive(Debug)]
pub struct Gatekeeper {
    gate: Gate,
    /// A batch has ended, and the gate was not asked yet.
    reached: Option<Progress>,
    answer: Option<Receiver<io::Result<bool>>>,
}

impl Gatekeeper {
    pub fn new(gate: Gate) -> Self {
        Self { gate, reached: None, answer: None }
    }

    /// A batch has ended, and hosts are left.
    pub fn reach(&mut self, progress: Progress) {
        self.reached = Some(progress);
    }

    /// Asks if a batch has ended. A thread waits for the answer, and then wakes the fleet. Returns
    /// what the user is to be told.
    pub fn ask(&mut self, waker: FleetWaker) -> Option<String> {
        let progress = self.reached.take()?;
        let (sender, receiver) = channel();
        let gate = self.gate.clone();
        thread::spawn(move || {
            let answer = match gate {
                Gate::Ask => typed_yes(),
                Gate::Command(text) => run(&text, progress),
            };
            // Nobody waits for the answer if the run was cancelled.
            if sender.send(answer).is_ok() {
                let _ = waker.wake();
            }
        });
        self.answer = Some(receiver);
        let Progress { batch, tally, left } = progress;
        let (ok, failed) = (tally.succeeded, tally.failed);
        let next = match &self.gate {
            Gate::Ask => "Go on? [y/N]",
            Gate::Command(_) => "Asking --gate.",
        };
        Some(format!("batch {batch} is done: {ok} ok, {failed} failed; {left} hosts are left. {next}"))
    }

    /// Whether an answer is awaited.
    pub fn is_asking(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether the next batch starts, once that is known.
    pub fn answer(&mut self) -> Option<io::Result<bool>> {
        let answer = self.answer.as_ref()?.try_recv().ok()?;
        self.answer = None;
        Some(answer)
    }
}

fn typed_yes() -> io::Result<bool> {
    let mut line = String::new();
    BufReader::new(File::open("/dev/tty")?).read_line(&mut line)?;
    Ok(["y", "yes"].iter().any(|yes| line.trim().eq_ignore_ascii_case(yes)))
}

fn run(text: &str, Progress { batch, tally, left }: Progress) -> io::Result<bool> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", text]).stdin(Stdio::null());
    let numbers = [
        ("SSHOAL_BATCH", batch),
        ("SSHOAL_OK", tally.succeeded),
        ("SSHOAL_FAILED", tally.failed),
        ("SSHOAL_LEFT", left),
    ];
    command.envs(numbers.map(|(name, number)| (name, number.to_string())));
    Ok(command.status()?.success())
}
