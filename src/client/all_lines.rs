//! The lines of several hosts, as they arrive.

use std::ops::Range;
use std::time::Instant;

use super::HostOutput;
use super::ahead::Ahead;
use super::silence::Silence;
use crate::error::{HostError, HostErrorKind, TimeoutKind};
use crate::fleet::CommandState;
use crate::ids::StdStream;
use crate::output::Outcome;
use crate::{Fleet, clock};

/// How many lines in a row are taken from one output before the next output has its turn.
const BURST: usize = 256;

/// The unread lines of several outputs, as they arrive: the output, the stream, and the line as
/// text. Created by [`ParallelClient::lines`](crate::ParallelClient::lines).
///
/// Lines of one stream are in order. What [`Lines`](super::Lines) says about line ends, encodings
/// and errors applies here too. If a command failed, its lines come first, then one error with
/// [`StdStream::Stderr`]. If no byte arrives from a command that is running within the output's
/// [read timeout](crate::ReadOptions::read_timeout), one error says so, and the iterator continues.
/// It ends once all commands have ended and all lines were read.
///
/// A line counts as read when it is returned. Dropping the iterator loses nothing.
///
/// As an iterator, this returns a `String` for each line. [`next_line`](Self::next_line) lends the
/// line instead, which costs less.
#[derive(Debug)]
#[must_use = "nothing is read until it is iterated"]
pub struct AllLines<'a> {
    outputs: &'a [HostOutput],
    sources: Vec<Source>,
    /// Lines of the current output that were copied: of standard output, and of standard error.
    ahead: [Ahead; 2],
    /// The text of a line whose bytes are no valid UTF-8.
    text: String,
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

/// What comes next: the output's position, and a line, as its place in the lines ahead, or an
/// error.
type Found = (usize, StdStream, Result<Range<usize>, HostError>);

impl<'a> AllLines<'a> {
    pub(super) fn new(outputs: &'a [HostOutput]) -> Self {
        Self {
            outputs,
            sources: vec![Source::default(); outputs.len()],
            ahead: [Ahead::new(), Ahead::new()],
            text: String::new(),
            open: outputs.len(),
            at: 0,
            burst: 0,
            barren: 0,
            seen: None,
        }
    }

    /// The next line, which is valid until the next call; `None` once all commands have ended and
    /// all lines were read. No memory is allocated for a line, and text that is valid UTF-8 is not
    /// copied for it.
    ///
    /// It can be mixed with the iterator, which returns the same lines, and the same errors.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// let outputs = client.start_command("journalctl -f -n 10")?;
    /// let mut lines = client.lines(&outputs);
    /// while let Some((output, _stream, line)) = lines.next_line() {
    ///     println!("[{}] {}", output.host(), line?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_line(&mut self) -> Option<(&'a HostOutput, StdStream, Result<&str, HostError>)> {
        let (at, stream, found) = self.find()?;
        let output = &self.outputs[at];
        let ahead = &self.ahead[stream as usize];
        Some((output, stream, found.and_then(|place| ahead.text(place, output, &mut self.text))))
    }

    fn find(&mut self) -> Option<Found> {
        while self.open > 0 {
            if self.burst < BURST
                && let Some((stream, found)) = self.take(self.at)
            {
                self.burst += 1;
                self.barren = 0;
                return Some((self.at, stream, found));
            }
            self.barren = if self.burst == 0 { self.barren + 1 } else { 0 };
            self.burst = 0;
            self.at = (self.at + 1) % self.outputs.len();
            self.ahead.iter_mut().for_each(Ahead::restart);
            if self.barren == self.outputs.len() && self.open > 0 {
                self.barren = 0;
                if let Some((at, stream, error)) = self.wait() {
                    return Some((at, stream, Err(error)));
                }
            }
        }
        None
    }

    /// A line of this output that has arrived, or the error of its command.
    fn take(&mut self, at: usize) -> Option<(StdStream, Result<Range<usize>, HostError>)> {
        const STREAMS: [StdStream; 2] = [StdStream::Stdout, StdStream::Stderr];
        for (stream, ahead) in STREAMS.into_iter().zip(&mut self.ahead) {
            if let Some(place) = ahead.next() {
                return Some((stream, Ok(place)));
            }
        }
        let output = &self.outputs[at];
        if self.sources[at].is_done {
            return None;
        }
        let id = output.id();
        let mut fleet = output.fleet().lock();
        for (stream, ahead) in STREAMS.into_iter().zip(&mut self.ahead) {
            match ahead.read(fleet, output, stream, |lines| output.block_of(lines)) {
                Ok(place) => {
                    self.sources[at].silence = None;
                    return Some((stream, Ok(place)));
                }
                Err(locked) => fleet = locked,
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
    fn wait(&mut self) -> Option<(usize, StdStream, HostError)> {
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
            return Some((at, StdStream::Stdout, outputs[at].own_error(kind)));
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
                Some((self.at, StdStream::Stderr, output.loop_error(&error)))
            }
        }
    }
}

impl<'a> Iterator for AllLines<'a> {
    type Item = (&'a HostOutput, StdStream, Result<String, HostError>);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().map(|(output, stream, line)| (output, stream, line.map(str::to_owned)))
    }
}
