//! The steps of a command: each asks the link for one thing, and says whether it came.

use std::task::Poll;
use std::time::Instant;

use super::{ExecId, ExecState, Execs};
use crate::error::{ChannelProblem, HostError, HostErrorKind, TimeoutKind};
use crate::limits;
use crate::link::{ChannelId, Link, LinkError, LinkErrorKind};
use crate::output::Outcome;
use crate::session::{Failure, Target, deadline};

/// What one step of a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Progress {
    /// Something changed: step again.
    Advanced,
    /// Waits for the peer.
    Pending,
    /// Finished and gone from the link.
    Done,
}

/// Context of one command's step.
pub(in crate::session) struct ExecCx<'a> {
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
    pub(in crate::session) fn step(&mut self, id: ExecId, cx: &mut ExecCx<'_>) -> Result<Progress, Failure> {
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
            Err(LinkError { kind: LinkErrorKind::Unwritable, .. }) => {
                self.refuse(id, channel, cx, HostErrorKind::Channel(ChannelProblem::Unwritable))
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
        // A status or output before the CLOSE shows that it ran, answer or not.
        let ran = inbox.closed && inbox.shows_execution();
        match replied {
            Ok(Poll::Pending) if inbox.closed && !ran => {
                let text = "it closed the channel instead of answering".to_owned();
                self.refuse(id, channel, cx, HostErrorKind::Channel(ChannelProblem::ExecRefused(text)))
            }
            Ok(Poll::Pending) if !ran && inbox.stdout.len() + inbox.stderr.len() > limits::EARLY_OUTPUT => {
                Err(LinkError::new(
                    LinkErrorKind::Protocol,
                    "output without end before the command was accepted",
                )
                .into())
            }
            Ok(Poll::Pending) if !ran => Ok(Progress::Pending),
            Ok(Poll::Pending | Poll::Ready(())) => {
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
                    *cx.input_budget = cx.input_budget.saturating_sub(written.max(limits::WRITE_CHUNK));
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
    pub(in crate::session) fn expire(
        &mut self,
        id: ExecId,
        cx: &mut ExecCx<'_>,
    ) -> Result<Progress, Failure> {
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
    pub(in crate::session) fn cut(
        &mut self,
        id: ExecId,
        now: Instant,
        link: &mut dyn Link,
        error: &HostError,
    ) {
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
    pub(in crate::session) fn fail(&mut self, id: ExecId, now: Instant, error: &HostError) {
        let Some(exec) = self.get(id) else { return };
        let error = match exec.state {
            ExecState::Waiting => error.clone(),
            _ => error.at(exec.stage(), now.saturating_duration_since(exec.begun)),
        };
        self.finish(id, Outcome::Failed(error));
    }
}
