//! One command on one host: its states, its streams, and how far it is.

use std::ffi::CStr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::error::{ChannelProblem, HostError, HostErrorKind, HostErrorParts, Stage, TimeoutKind};
use crate::limits;
use crate::lines::LineBuffer;
use crate::link::{ChannelId, Link, LinkError, LinkErrorKind};
use crate::output::{Outcome, StdinQueue};

use super::{Failure, Target};

/// Names one command on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ExecId(pub usize);

/// All commands of a fleet, finished ones included until nobody reads them any more.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    slab: Slab<Exec>,
    /// Counts the ends, so that failures have an order.
    ended: u64,
}

impl Execs {
    pub(crate) fn insert(&mut self, exec: Exec) -> ExecId {
        ExecId(self.slab.insert(exec))
    }

    pub(crate) fn get(&self, id: ExecId) -> Option<&Exec> {
        self.slab.get(id.0)
    }

    pub(crate) fn get_mut(&mut self, id: ExecId) -> Option<&mut Exec> {
        self.slab.get_mut(id.0)
    }

    /// Nobody will read this one any more: a finished one goes, a running one's output is discarded from now on.
    pub(crate) fn release(&mut self, id: ExecId) {
        let Some(exec) = self.slab.get_mut(id.0) else { return };
        if exec.is_finished() {
            self.slab.remove(id.0);
        } else {
            exec.released = true;
            drop(exec.stdout.take_all());
            drop(exec.stderr.take_all());
        }
    }

    /// Ends a command. Only the first end counts.
    pub(super) fn finish(&mut self, id: ExecId, outcome: Outcome) {
        let Some(exec) = self.slab.get_mut(id.0) else { return };
        if exec.is_finished() {
            return;
        }
        self.ended += 1;
        exec.ended = self.ended;
        exec.stdout.finish();
        exec.stderr.finish();
        exec.stdin.abandon();
        exec.deadline = None;
        exec.state = ExecState::Finished(outcome);
        if exec.released {
            self.slab.remove(id.0);
        }
    }
}

/// Where a command is.
#[derive(Debug)]
pub(crate) enum ExecState {
    /// Its host has no place in the pool yet.
    Waiting,
    /// Its host has a place: it begins as soon as the connection is ready.
    Admitted,
    /// A channel is being opened.
    Opening(ChannelId),
    /// The server was asked to run it: from here on it may have started.
    Requesting(ChannelId),
    /// Accepted.
    Running(ChannelId),
    /// Its end is known; the channel is being closed. `sent` once our CLOSE is on its way.
    Closing { channel: ChannelId, outcome: Outcome, sent: bool },
    /// Over.
    Finished(Outcome),
}

/// One command on one host.
#[derive(Debug)]
pub(crate) struct Exec {
    state: ExecState,
    command: Arc<CStr>,
    pub(crate) stdout: LineBuffer,
    pub(crate) stderr: LineBuffer,
    pub(crate) stdin: StdinQueue,
    deadline: Option<Instant>,
    begun: Instant,
    ended: u64,
    released: bool,
}

impl Exec {
    pub(crate) fn new(command: Arc<CStr>, now: Instant) -> Self {
        Self {
            state: ExecState::Waiting,
            command,
            stdout: LineBuffer::default(),
            stderr: LineBuffer::default(),
            stdin: StdinQueue::default(),
            deadline: None,
            begun: now,
            ended: 0,
            released: false,
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state, ExecState::Finished(_))
    }

    /// Whether the server has taken the command, or will never.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.state, ExecState::Running(_) | ExecState::Closing { .. } | ExecState::Finished(_))
    }

    /// Whether the command may have begun to run on the host.
    pub(crate) fn is_started(&self) -> bool {
        !matches!(self.state, ExecState::Waiting | ExecState::Admitted | ExecState::Opening(_))
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, ExecState::Waiting)
    }

    /// Whether it uses its host's place: it was admitted, and the server has not answered yet.
    pub(crate) fn is_starting(&self) -> bool {
        !self.is_waiting() && !self.is_settled()
    }

    pub(super) fn admit(&mut self) {
        if self.is_waiting() {
            self.state = ExecState::Admitted;
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
        self.deadline
    }

    pub(super) fn stage(&self) -> Stage {
        match self.state {
            ExecState::Waiting | ExecState::Admitted => Stage::Queued,
            ExecState::Opening(_) => Stage::Opening,
            ExecState::Requesting(_) => Stage::Requesting,
            ExecState::Running(_) | ExecState::Finished(_) => Stage::Running,
            ExecState::Closing { .. } => Stage::Closing,
        }
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(self.state, ExecState::Opening(_))
    }

    /// The error that this command ends with when its host fails with `kind`.
    pub(super) fn error(
        &self,
        target: &Target,
        attempt: u32,
        now: Instant,
        kind: HostErrorKind,
    ) -> HostError {
        HostError::new(HostErrorParts {
            host: target.host.clone(),
            port: target.port,
            stage: self.stage(),
            attempt,
            attempts: target.profile.attempts,
            elapsed: now.saturating_duration_since(self.begun),
            kind: Arc::new(kind),
        })
    }

    /// Moves what has arrived into the streams and takes note of an end. Works on a failed link too.
    fn collect(&mut self, now: Instant, link: &mut dyn Link) {
        let ExecState::Running(channel) = self.state else { return };
        let inbox = link.inbox(channel);
        if !self.released {
            self.stdout.push(&inbox.stdout);
            self.stderr.push(&inbox.stderr);
        }
        drain(&mut inbox.stdout);
        drain(&mut inbox.stderr);
        let told = inbox.status.is_some() || inbox.signal.is_some();
        if !(inbox.closed || inbox.eof && told) {
            return;
        }
        let outcome = match (inbox.signal.take(), inbox.status) {
            (Some(signal), _) => Outcome::Signaled(signal),
            (None, Some(status)) => Outcome::Exited(status),
            (None, None) => Outcome::NoStatus,
        };
        self.deadline = now.checked_add(limits::CLOSE_TIMEOUT);
        self.state = ExecState::Closing { channel, outcome, sent: false };
    }

    /// Collects from a link that has failed. The server's acceptance may have come in the same packets as the output and
    /// the failure, and libssh tells neither any more: output on the channel proves it.
    fn salvage(&mut self, now: Instant, link: &mut dyn Link) {
        if let ExecState::Requesting(channel) = self.state
            && !link.inbox(channel).is_empty()
        {
            self.state = ExecState::Running(channel);
        }
        self.collect(now, link);
    }
}

/// Empties an inbox stream and gives back what a burst has grown.
fn drain(bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.shrink_to(limits::INBOX_RETAINED);
}

/// What one step of a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Something changed: step again.
    Advanced,
    /// Waits for the peer.
    Pending,
    /// Finished and gone from the link.
    Done,
}

/// Context of one command's step.
pub(super) struct ExecCx<'a> {
    pub target: &'a Target,
    pub attempt: u32,
    pub now: Instant,
    pub link: &'a mut dyn Link,
    /// Bytes of input that this visit may still hand over.
    pub input_budget: &'a mut usize,
    /// Whether a channel may be opened now: one at a time, so that an announced packet size belongs to it.
    pub may_open: bool,
}

impl Execs {
    /// Takes one command one step further. Errors are the link's: the whole connection has failed.
    pub(super) fn step(&mut self, id: ExecId, cx: &mut ExecCx<'_>) -> Result<Progress, Failure> {
        let Some(exec) = self.slab.get_mut(id.0) else { return Ok(Progress::Done) };
        exec.collect(cx.now, cx.link);
        match exec.state {
            ExecState::Admitted if cx.may_open => {
                exec.deadline = deadline(cx.now, cx.target.profile.timeouts.exec);
                exec.begun = cx.now;
                exec.state = ExecState::Opening(cx.link.open_channel()?);
                Ok(Progress::Advanced)
            }
            ExecState::Waiting | ExecState::Admitted => Ok(Progress::Pending),
            ExecState::Opening(channel) => self.step_opening(id, channel, cx),
            ExecState::Requesting(channel) => self.step_requesting(id, channel, cx),
            ExecState::Running(channel) => self.step_input(id, channel, cx),
            ExecState::Closing { channel, sent, .. } => self.step_closing(id, channel, sent, cx),
            ExecState::Finished(_) => Ok(Progress::Done),
        }
    }

    fn step_opening(
        &mut self,
        id: ExecId,
        channel: ChannelId,
        cx: &mut ExecCx<'_>,
    ) -> Result<Progress, Failure> {
        match cx.link.opened(channel) {
            Ok(Poll::Pending) => Ok(Progress::Pending),
            Ok(Poll::Ready(())) => {
                self.set(id, ExecState::Requesting(channel));
                Ok(Progress::Advanced)
            }
            Err(LinkError { kind: LinkErrorKind::Denied, text }) => {
                self.refuse(id, channel, cx, HostErrorKind::Channel(ChannelProblem::OpenRefused(text)))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn step_requesting(
        &mut self,
        id: ExecId,
        channel: ChannelId,
        cx: &mut ExecCx<'_>,
    ) -> Result<Progress, Failure> {
        let Some(command) = self.get(id).map(|exec| exec.command.clone()) else { return Ok(Progress::Done) };
        let replied = cx.link.exec(channel, &command);
        let inbox = cx.link.inbox(channel);
        match replied {
            Ok(Poll::Pending) if inbox.closed => {
                let text = "it closed the channel instead of answering".to_owned();
                self.refuse(id, channel, cx, HostErrorKind::Channel(ChannelProblem::ExecRefused(text)))
            }
            Ok(Poll::Pending) if inbox.stdout.len() + inbox.stderr.len() > limits::EARLY_OUTPUT => Err(
                LinkError::new(LinkErrorKind::Protocol, "output without end before the command was accepted")
                    .into(),
            ),
            Ok(Poll::Pending) => Ok(Progress::Pending),
            Ok(Poll::Ready(())) => {
                self.set(id, ExecState::Running(channel));
                if let Some(exec) = self.get_mut(id) {
                    exec.deadline = None;
                }
                Ok(Progress::Advanced)
            }
            Err(LinkError { kind: LinkErrorKind::Denied, text }) => {
                self.refuse(id, channel, cx, HostErrorKind::Channel(ChannelProblem::ExecRefused(text)))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn step_input(
        &mut self,
        id: ExecId,
        channel: ChannelId,
        cx: &mut ExecCx<'_>,
    ) -> Result<Progress, Failure> {
        let Some(exec) = self.get_mut(id) else { return Ok(Progress::Done) };
        if *cx.input_budget > 0 && !exec.stdin.is_empty() {
            let waiting = exec.stdin.front();
            let waiting = &waiting[..waiting.len().min(*cx.input_budget)];
            return match cx.link.write(channel, waiting) {
                Ok(0) => Ok(Progress::Pending),
                Ok(written) => {
                    exec.stdin.consume(written);
                    *cx.input_budget -= written;
                    Ok(Progress::Advanced)
                }
                // The remote side has closed the channel or its input: what is left goes nowhere.
                Err(LinkError { kind: LinkErrorKind::Denied, .. }) => {
                    exec.stdin.abandon();
                    Ok(Progress::Advanced)
                }
                Err(LinkError { kind: LinkErrorKind::Unwritable, .. }) => {
                    self.refuse(id, channel, cx, HostErrorKind::Channel(ChannelProblem::Unwritable))
                }
                Err(error) => Err(error.into()),
            };
        }
        if exec.stdin.wants_eof() && cx.link.send_eof(channel)?.is_ready() {
            exec.stdin.eof_sent();
            return Ok(Progress::Advanced);
        }
        Ok(Progress::Pending)
    }

    fn step_closing(
        &mut self,
        id: ExecId,
        channel: ChannelId,
        sent: bool,
        cx: &mut ExecCx<'_>,
    ) -> Result<Progress, Failure> {
        let Some(exec) = self.get_mut(id) else { return Ok(Progress::Done) };
        if let ExecState::Closing { sent, .. } = &mut exec.state
            && !*sent
        {
            if cx.link.close_channel(channel)?.is_pending() {
                return Ok(Progress::Pending);
            }
            *sent = true;
        }
        let confirmed = cx.link.inbox(channel).closed;
        if !confirmed {
            return Ok(if sent { Progress::Pending } else { Progress::Advanced });
        }
        self.leave(id, channel, cx);
        Ok(Progress::Done)
    }

    /// Frees the channel of a command whose outcome is known, and ends it.
    fn leave(&mut self, id: ExecId, channel: ChannelId, cx: &mut ExecCx<'_>) {
        cx.link.free_channel(channel);
        if let Some(ExecState::Closing { outcome, .. }) = self.get(id).map(|exec| &exec.state) {
            let outcome = outcome.clone();
            self.finish(id, outcome);
        }
    }

    fn set(&mut self, id: ExecId, state: ExecState) {
        if let Some(exec) = self.get_mut(id) {
            exec.state = state;
        }
    }

    /// Ends one command with an error of its own; the connection lives on.
    fn refuse(
        &mut self,
        id: ExecId,
        channel: ChannelId,
        cx: &mut ExecCx<'_>,
        kind: HostErrorKind,
    ) -> Result<Progress, Failure> {
        let Some(exec) = self.get(id) else { return Ok(Progress::Done) };
        let error = exec.error(cx.target, cx.attempt, cx.now, kind);
        // One try: a channel that was refused is not open, and freeing it sends the CLOSE that an open one needs.
        cx.link.free_channel(channel);
        self.finish(id, Outcome::Failed(error));
        Ok(Progress::Done)
    }

    /// A command's own deadline has passed: its start took too long, or its channel does not close.
    pub(super) fn expire(&mut self, id: ExecId, cx: &mut ExecCx<'_>) -> Result<Progress, Failure> {
        let Some(exec) = self.get(id) else { return Ok(Progress::Done) };
        match exec.state {
            ExecState::Opening(channel) | ExecState::Requesting(channel) => {
                let after = cx.target.profile.timeouts.exec.unwrap_or_default();
                self.refuse(id, channel, cx, HostErrorKind::Timeout { kind: TimeoutKind::Exec, after })
            }
            ExecState::Closing { channel, .. } => {
                self.leave(id, channel, cx);
                Ok(Progress::Done)
            }
            ExecState::Waiting | ExecState::Admitted | ExecState::Running(_) | ExecState::Finished(_) => {
                Ok(Progress::Pending)
            }
        }
    }

    /// The connection is gone. A command whose end was told has its outcome; one that cannot have started waits again;
    /// any other has failed.
    pub(super) fn cut(&mut self, id: ExecId, now: Instant, link: &mut dyn Link, error: &HostError) {
        let Some(exec) = self.get_mut(id) else { return };
        exec.salvage(now, link);
        match &exec.state {
            ExecState::Waiting | ExecState::Finished(_) => {}
            ExecState::Admitted | ExecState::Opening(_) => {
                exec.state = ExecState::Waiting;
                exec.deadline = None;
            }
            ExecState::Closing { outcome, .. } => {
                let outcome = outcome.clone();
                self.finish(id, outcome);
            }
            ExecState::Requesting(_) | ExecState::Running(_) => self.fail(id, now, error),
        }
    }

    /// Ends a command with its host's error.
    pub(super) fn fail(&mut self, id: ExecId, now: Instant, error: &HostError) {
        let Some(exec) = self.get(id) else { return };
        let error = match exec.state {
            ExecState::Waiting => error.clone(),
            _ => error.at(exec.stage(), now.saturating_duration_since(exec.begun)),
        };
        self.finish(id, Outcome::Failed(error));
    }
}

pub(super) fn deadline(now: Instant, after: Option<Duration>) -> Option<Instant> {
    now.checked_add(after?)
}
