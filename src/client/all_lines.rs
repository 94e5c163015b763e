//! The lines of several hosts, as they arrive.

use std::time::Instant;

use super::silence::Silence;
use super::{HostOutput, ParallelClient};
use crate::error::{HostError, HostErrorKind, TimeoutKind};
use crate::fleet::CommandState;
use crate::ids::StdStream;
use crate::output::Outcome;
use crate::{Fleet, clock};

/// How many lines in a row are taken from one output before the next output has its turn.
const BURST: usize = 256;

/// The unread lines of several outputs, as they arrive: the output, the stream, and the line as
/// text. Created by [`ParallelClient::lines`].
///
/// Lines of one stream are in order. What [`Lines`](super::Lines) says about line ends, encodings
/// and errors applies here too. If a command failed, its lines come first, then one error with
/// [`StdStream::Stderr`]. If no byte arrives from a command that is running within the output's
/// [read timeout](crate::ReadOptions::read_timeout), one error says so, and the iterator continues.
/// It ends once all commands have ended and all lines were read.
///
/// A line counts as read when it is returned. Dropping the iterator loses nothing.
#[derive(Debug)]
#[must_use = "nothing is read until it is iterated"]
pub struct AllLines<'a> {
    outputs: &'a [HostOutput],
    sources: Vec<Source>,
    /// How many outputs have not ended or have unread lines.
    open: usize,
    /// The output to look at next.
    at: usize,
    /// How many lines in a row were taken from this output.
    burst: usize,
    /// How many outputs in a row had no line.
    barren: usize,
    /// The fleet's counters before the outputs were looked at: bytes received, commands finished.
    seen: Option<(u64, u64)>,
}

/// What is known of one output.
#[derive(Debug, Clone, Copy, Default)]
struct Source {
    is_done: bool,
    /// Whether the command runs, and so may be expected to print.
    is_running: bool,
    /// How many bytes were unread when this was looked at last: parts of lines.
    unread: usize,
    /// The time since something has arrived; `None` before the first wait.
    silence: Option<Silence>,
}

impl ParallelClient {
    /// All lines of these outputs of this client, of standard output and standard error, as they
    /// arrive.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// let outputs = client.start_command("journalctl -f -n 10")?;
    /// for (output, _stream, line) in client.lines(&outputs) {
    ///     println!("[{}] {}", output.host(), line?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn lines<'a>(&self, outputs: &'a [HostOutput]) -> AllLines<'a> {
        AllLines {
            outputs,
            sources: vec![Source::default(); outputs.len()],
            open: outputs.len(),
            at: 0,
            burst: 0,
            barren: 0,
            seen: None,
        }
    }
}

impl<'a> AllLines<'a> {
    /// A line of this output that has arrived, or the error of its command.
    fn take(&mut self, at: usize) -> Option<(StdStream, Result<String, HostError>)> {
        let output = &self.outputs[at];
        if self.sources[at].is_done {
            return None;
        }
        let (id, ends) = (output.id(), output.line_ends());
        let mut fleet = output.fleet().lock();
        for stream in [StdStream::Stdout, StdStream::Stderr] {
            if let Some(line) = fleet.take_line(id, stream, ends) {
                drop(fleet);
                self.sources[at].silence = None;
                return Some((stream, output.decode(line.bytes, line.offset == 0)));
            }
        }
        let mut outcome = None;
        if let Some(command) = fleet.command(id) {
            outcome = command.outcome().filter(|_| command.is_finished()).cloned();
            if outcome.is_none() {
                let unread = command.unread(StdStream::Stdout) + command.unread(StdStream::Stderr);
                let source = &mut self.sources[at];
                source.is_running = command.state() == CommandState::Running;
                if std::mem::replace(&mut source.unread, unread) != unread {
                    source.silence = None;
                }
                if let Some(silence) = &mut source.silence {
                    silence.observe(&fleet, id, output.read_timeout());
                }
                return None;
            }
        }
        drop(fleet);
        self.sources[at].is_done = true;
        self.open -= 1;
        match outcome {
            Some(Outcome::Failed(error)) => Some((StdStream::Stderr, Err(error))),
            _ => None,
        }
    }

    /// Waits until something may have arrived. Returns the error of an output whose read timeout
    /// has passed.
    fn wait(&mut self) -> Option<(&'a HostOutput, StdStream, Result<String, HostError>)> {
        let now = clock::now();
        let mut first: Option<(Instant, usize)> = None;
        let running = |(_, source): &(usize, &mut Source)| source.is_running && !source.is_done;
        for (at, source) in self.sources.iter_mut().enumerate().filter(running) {
            let silence = source.silence.get_or_insert_with(Silence::new);
            if let Some(deadline) = silence.until(self.outputs[at].read_timeout())
                && first.is_none_or(|(earliest, _)| deadline < earliest)
            {
                first = Some((deadline, at));
            }
        }
        let outputs = self.outputs;
        if let Some((_, at)) = first.filter(|(deadline, _)| *deadline <= now) {
            self.sources[at].silence = None;
            let after = outputs[at].read_timeout().unwrap_or_default();
            let kind = HostErrorKind::Timeout { kind: TimeoutKind::Read, after };
            return Some((&outputs[at], StdStream::Stdout, Err(outputs[at].own_error(kind))));
        }
        let output = &outputs[self.at];
        let seen = self.seen;
        let news = |fleet: &mut Fleet| {
            let metrics = fleet.metrics();
            let now = (metrics.bytes_received, metrics.finished);
            (seen != Some(now)).then_some(now)
        };
        match output.fleet().drive(first.map(|(deadline, _)| deadline), news) {
            Ok(news) => {
                self.seen = news.or(seen);
                None
            }
            Err(error) => {
                // Without a poll nothing arrives any more.
                self.open = 0;
                Some((output, StdStream::Stderr, Err(output.loop_error(&error))))
            }
        }
    }
}

impl<'a> Iterator for AllLines<'a> {
    type Item = (&'a HostOutput, StdStream, Result<String, HostError>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.open > 0 {
            if self.burst < BURST
                && let Some((stream, line)) = self.take(self.at)
            {
                self.burst += 1;
                self.barren = 0;
                return Some((&self.outputs[self.at], stream, line));
            }
            self.barren = if self.burst == 0 { self.barren + 1 } else { 0 };
            self.burst = 0;
            self.at = (self.at + 1) % self.outputs.len();
            if self.barren == self.outputs.len() && self.open > 0 {
                self.barren = 0;
                if let Some(item) = self.wait() {
                    return Some(item);
                }
            }
        }
        None
    }
}
