//! One command on one host: its states, its streams, and how far it is.

mod prepare;
mod state;
mod step;
mod stop;
mod sudo;
mod table;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use crate::command::Signal;
use crate::command::{OutputOptions, Request};
use crate::error::{HostError, HostErrorKind};
use crate::ids::StdStream;
use crate::ids::{CommandId, HostId, RunId};
use crate::limits;
use crate::link::{ChannelId, Link};
use crate::output::{Deliver, Excess, Origin, Outcome, Room, StdinQueue, Stream};
use crate::stage::Stage;
use crate::stage::{Stopwatch, Timings};

use self::sudo::SudoDialogue;
use super::deadline::Deadline;
use super::failure::Peer;
use super::{CommandNews, Effect};

pub(super) use state::{CloseStep, ExecState, StopStep};
#[cfg(test)]
pub(super) use state::{EXEC_EDGES, ExecPhase};
pub(super) use step::{ExecCx, Progress};
pub(crate) use table::{Execs, Traffic};

/// One command on one host.
#[derive(Debug)]
pub(crate) struct Exec {
    id: CommandId,
    host: HostId,
    run: RunId,
    /// In its run.
    position: usize,
    pub(super) state: ExecState,
    request: Arc<Request>,
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    pub(super) stdin: StdinQueue,
    /// While the `sudo` that it runs through has not let it begin, and its password is known.
    sudo: Option<Box<SudoDialogue>>,
    /// Signals to be sent.
    signals: VecDeque<Signal>,
    deadline: Option<Deadline>,
    begun: Instant,
    ended: u64,
    stopwatch: Stopwatch,
    told_started: bool,
    /// Input was offered that there was no room for.
    input_refused: bool,
    /// Bytes that were not counted yet.
    traffic: Traffic,
    /// Unread bytes of each stream as they were counted last.
    booked: [usize; 2],
    /// A sink has failed, that of this stream: the command is to end of it.
    sink_failed: Option<(StdStream, io::Error)>,
    released: bool,
}

impl Exec {
    pub(crate) fn new(
        id: CommandId,
        request: Arc<Request>,
        host: HostId,
        (run, position): (RunId, usize),
        now: Instant,
    ) -> Self {
        let sudo = request.options.sudo.as_ref().map(|_| Box::default());
        let OutputOptions { stdout, stderr, ends, .. } = &request.options.output;
        Self {
            id,
            host,
            run,
            position,
            state: ExecState::Waiting,
            stdout: Stream::new(stdout.clone(), *ends),
            stderr: Stream::new(stderr.clone(), *ends),
            request,
            stdin: StdinQueue::default(),
            sudo,
            signals: VecDeque::new(),
            deadline: None,
            begun: now,
            ended: 0,
            stopwatch: Stopwatch::new(Stage::Queued, now),
            told_started: false,
            input_refused: false,
            traffic: Traffic::default(),
            booked: [0; 2],
            sink_failed: None,
            released: false,
        }
    }

    pub(crate) fn host(&self) -> HostId {
        self.host
    }

    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// Its place among the commands of its run, from 0.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn deliver(&self) -> Deliver {
        self.request.options.output.deliver
    }

    /// Queues input, as much as there is room for. How many bytes.
    ///
    /// # Errors
    /// `WouldBlock` without room, `BrokenPipe` if the command takes no more.
    pub(crate) fn write_stdin(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = limits::STDIN_QUEUE.saturating_sub(self.stdin.len());
        let piece = &bytes[..bytes.len().min(room)];
        if !self.stdin.push(piece) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.input_refused |= piece.len() < bytes.len();
        if piece.is_empty() && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(piece.len())
    }

    /// Ends the input after what was queued. `false` if it has ended already.
    pub(crate) fn close_stdin(&mut self) -> bool {
        self.stdin.close()
    }

    /// Bytes of input that were not sent.
    pub(crate) fn unsent(&self) -> usize {
        self.stdin.len()
    }

    /// Queues a signal. `false` if the command does not run.
    pub(crate) fn signal(&mut self, signal: Signal) -> bool {
        if self.is_running() {
            self.signals.push_back(signal);
        }
        self.is_running()
    }

    pub(crate) fn unsent_signals(&self) -> usize {
        self.signals.len()
    }

    pub(crate) fn timings(&self) -> Timings {
        self.stopwatch.timings()
    }

    pub(crate) fn is_released(&self) -> bool {
        self.released
    }

    pub(crate) fn stream(&self, which: StdStream) -> &Stream {
        match which {
            StdStream::Stdout => &self.stdout,
            StdStream::Stderr => &self.stderr,
        }
    }

    pub(crate) fn stream_mut(&mut self, which: StdStream) -> &mut Stream {
        match which {
            StdStream::Stdout => &mut self.stdout,
            StdStream::Stderr => &mut self.stderr,
        }
    }

    /// The streams with output that an event has to tell of.
    fn list_output(&mut self) -> [Option<StdStream>; 2] {
        let is_told = self.deliver() != Deliver::Nothing && !self.released;
        [StdStream::Stdout, StdStream::Stderr].map(|which| {
            let stream = self.stream_mut(which);
            let is_news = is_told && !stream.is_empty() && !mem::replace(&mut stream.listed, true);
            is_news.then_some(which)
        })
    }

    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state, ExecState::Finished(_))
    }

    /// The only way into a state: checks the edge.
    pub(super) fn enter(&mut self, next: ExecState) {
        let (from, to) = (self.state.phase(), next.phase());
        debug_assert!(state::is_legal(from, to), "{from:?} -> {to:?}");
        #[cfg(test)]
        super::tests::record_exec(from, to);
        self.state = next;
    }

    /// Whether the server has taken the command, or will never.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(
            self.state,
            ExecState::Running(_)
                | ExecState::Stopping { .. }
                | ExecState::Closing { .. }
                | ExecState::Finished(_)
        )
    }

    /// Whether the command may have begun to run on the host.
    pub(crate) fn is_started(&self) -> bool {
        self.is_settled() || matches!(self.state, ExecState::Requesting(_))
    }

    /// Whether it runs, and is not being stopped.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, ExecState::Running(_))
    }

    /// Whether it has run on the host, as far as is known. Output proves it, even if the server's acceptance was lost, or
    /// was not waited for.
    fn has_run(&self) -> bool {
        match &self.state {
            _ if !self.stdout.is_empty() || !self.stderr.is_empty() => true,
            ExecState::Running(_) | ExecState::Stopping { .. } => true,
            ExecState::Closing { outcome, .. } | ExecState::Finished(outcome) => {
                !matches!(outcome, Outcome::Failed(_))
            }
            _ => false,
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, ExecState::Waiting)
    }

    /// Whether the server had no channel left for it.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.state, ExecState::Blocked)
    }

    /// Whether it has begun, and the server has not answered yet.
    pub(crate) fn is_starting(&self) -> bool {
        !self.is_waiting() && !self.is_blocked() && !self.is_settled()
    }

    /// A channel of its connection was closed: there may be one for it now.
    pub(super) fn unblock(&mut self) {
        if self.is_blocked() {
            self.enter(ExecState::Waiting);
        }
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            ExecState::Finished(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// The place of this end among all ends of the fleet.
    pub(crate) fn ended(&self) -> u64 {
        self.ended
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let running = matches!(self.state, ExecState::Running(_));
        let dialogue = self.sudo.as_ref().filter(|_| running).and_then(|dialogue| dialogue.deadline);
        [self.deadline, dialogue].into_iter().flatten().map(|deadline| deadline.at).min()
    }

    /// When it was given, or its channel was begun.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    pub(crate) fn stage(&self) -> Stage {
        self.state.stage()
    }

    pub(super) fn is_opening(&self) -> bool {
        self.state.is_opening()
    }

    pub(super) fn has_channel(&self) -> bool {
        self.state.channel().is_some()
    }

    /// The error that this command ends with for this reason.
    fn error(&self, peer: Peer<'_>, now: Instant, kind: HostErrorKind) -> HostError {
        peer.error(self.stage(), now.saturating_duration_since(self.begun), kind)
    }

    /// Moves what has arrived into the streams and takes note of an end. Works on a failed link too.
    fn collect(&mut self, now: Instant, link: &mut dyn Link, share: usize) {
        let channel = match self.state {
            ExecState::Running(channel)
            | ExecState::Stopping { channel, .. }
            | ExecState::Closing { channel, .. } => channel,
            _ => return,
        };
        let inbox = link.inbox(channel);
        self.traffic.received += (inbox.stdout.len() + inbox.stderr.len()) as u64;
        self.listen_to_sudo(inbox);
        let excess = match &self.state {
            ExecState::Running(_) => Excess::Taken,
            // It was given up: whoever waits for its end does not wait for a reader.
            ExecState::Stopping { .. } | ExecState::Closing { outcome: Outcome::Failed(_), .. } => {
                Excess::Dropped { share, but: 0 }
            }
            // Standard error may follow the end that was told (OpenSSH: `stderr-after-eof`).
            _ => Excess::Dropped { share, but: limits::LAST_OUTPUT },
        };
        self.receive(StdStream::Stdout, &inbox.stdout, excess);
        self.receive(StdStream::Stderr, &inbox.stderr, excess);
        let is_full = self.room(share).lack().is_some();
        if is_full {
            self.stdout.settle();
            self.stderr.settle();
        }
        let retained = if is_full || !self.is_running() { 0 } else { limits::INBOX_RETAINED };
        drain(&mut inbox.stdout, retained);
        drain(&mut inbox.stderr, retained);
        let told = inbox.status.is_some() || inbox.signal.is_some();
        if !(inbox.closed || inbox.eof && told) {
            return;
        }
        if self.is_running() && self.is_refused_by_sudo() {
            return;
        }
        self.end_dialogue();
        let outcome = match &self.state {
            ExecState::Running(_) if self.sink_failed.is_some() => return,
            ExecState::Running(_) => match (inbox.signal.take(), inbox.status) {
                (Some(signal), _) => Outcome::Signaled(signal),
                (None, Some(status)) => Outcome::Exited(status),
                (None, None) => Outcome::NoStatus,
            },
            ExecState::Stopping { outcome, .. } => outcome.clone(),
            _ => return,
        };
        self.close(channel, outcome, CloseStep::Send, now);
    }

    /// Takes in output. Of a released command nothing is kept.
    fn receive(&mut self, which: StdStream, bytes: &[u8], excess: Excess) {
        let origin = Origin { host: self.host, command: self.id, stream: which };
        let is_wanted = !self.released || self.stream(which).has_sink();
        if !bytes.is_empty()
            && is_wanted
            && let Err(source) = self.stream_mut(which).push(bytes, origin, excess)
        {
            self.sink_failed.get_or_insert((which, source));
        }
    }

    /// How much output its readers have room for. One that is to end holds nothing back.
    fn room(&self, share: usize) -> Room {
        if !self.is_running() || self.released {
            return Room::ENDLESS;
        }
        self.stdout.room(share).min(self.stderr.room(share))
    }

    /// Its end is known: the channel is closed from here on.
    fn close(&mut self, channel: ChannelId, outcome: Outcome, step: CloseStep, now: Instant) {
        self.deadline = Deadline::new(now, limits::CLOSE_TIMEOUT);
        self.enter(ExecState::Closing { channel, outcome, step });
    }

    /// Collects from a link that has failed. The server's acceptance may have come in the same packets as the output and
    /// the failure, and libssh tells neither any more: output on the channel proves it.
    fn salvage(&mut self, now: Instant, link: &mut dyn Link, share: usize) {
        if let ExecState::Requesting(channel) = self.state
            && !link.inbox(channel).is_empty()
        {
            self.enter(ExecState::Running(channel));
        }
        self.collect(now, link, share);
    }
}

/// Empties an inbox stream and gives back what a burst has grown.
fn drain(bytes: &mut Vec<u8>, retained: usize) {
    bytes.clear();
    bytes.shrink_to(retained);
}
