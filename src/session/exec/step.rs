//! The steps of a command. Each step asks the link to do one thing, and reports whether it was
//! done.

use std::time::Instant;

use super::state::RefusedEnv;
use super::stop::send_signal;
use super::{CloseStep, Exec, ExecState, Execs};
use crate::error::{ChannelProblem, HostError, HostErrorKind};
use crate::ids::CommandId;
use crate::link::{ChannelId, Link, LinkError, LinkErrorKind};
use crate::output::{Deliver, Outcome, Transferred};
use crate::session::deadline::Deadline;
use crate::session::failure::Peer;
use crate::session::spare::Channels;
use crate::session::{Cx, Effect, Failure, InputBudget};

/// The result of one step of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Progress {
    /// Something changed, so the command can be stepped again.
    Advanced,
    /// The command waits for the peer.
    Pending,
    /// The command is finished, and its channel is freed.
    Done,
}

/// What a step of a command returns to the table of commands.
pub(super) type Stepped = Result<Progress, Trouble>;

/// Why a step of a command could not continue.
pub(super) enum Trouble {
    /// The command ends with this error; the connection stays up.
    Refused(HostErrorKind),
    /// The whole connection has failed.
    Failed(Failure),
}

impl Trouble {
    /// Converts a link error to a problem of the command. If the server refused a request, `denied`
    /// creates the problem from the text of the error.
    pub(super) fn of(error: LinkError, denied: impl FnOnce(String) -> ChannelProblem) -> Self {
        match error {
            LinkError { kind: LinkErrorKind::Denied, text } => Self::refused(denied(text)),
            LinkError { kind: LinkErrorKind::Unwritable, .. } => Self::refused(ChannelProblem::Unwritable),
            error => Self::Failed(error.into()),
        }
    }

    pub(super) fn refused(problem: ChannelProblem) -> Self {
        Self::Refused(HostErrorKind::Channel(problem))
    }
}

impl From<LinkError> for Trouble {
    fn from(error: LinkError) -> Self {
        Self::Failed(error.into())
    }
}

/// The context of one step of a command.
pub(in crate::session) struct ExecCx<'a> {
    pub peer: Peer<'a>,
    pub now: Instant,
    pub link: &'a mut dyn Link,
    pub out: &'a mut Vec<Effect>,
    /// How many bytes of input may still be sent in this visit.
    pub input_budget: &'a mut InputBudget,
    /// How many bytes of files the transfers may still request in this visit.
    pub allowance: &'a mut u64,
    pub scratch: &'a mut Vec<u8>,
    /// Whether another command has a channel on this connection.
    pub has_others: bool,
    pub channels: &'a mut Channels,
}

impl<'a> ExecCx<'a> {
    /// Splits the context of a session's step into the table of commands and their context.
    pub(in crate::session) fn split(
        cx: &'a mut Cx<'_>,
        peer: Peer<'a>,
        channels: &'a mut Channels,
    ) -> (&'a mut Execs, Self) {
        let Cx { now, link, execs, out, input_budget, allowance, scratch, .. } = cx;
        let (now, link, has_others) = (*now, &mut **link, false);
        (execs, Self { peer, now, link, out, input_budget, allowance, scratch, has_others, channels })
    }
}

impl Execs {
    /// Takes one command one step further. An error means that the whole connection has failed.
    pub(in crate::session) fn step(
        &mut self,
        id: CommandId,
        cx: &mut ExecCx<'_>,
    ) -> Result<Progress, Failure> {
        let Some(exec) = self.take_in(id, cx.now, cx.link) else { return Ok(Progress::Done) };
        let stepped = exec.step(cx);
        self.note(id, cx.now, cx.out);
        match stepped {
            Ok(Progress::Done) => {
                self.leave(id, cx);
                Ok(Progress::Done)
            }
            Ok(progress) => Ok(progress),
            Err(Trouble::Refused(kind)) => Ok(self.refuse(id, cx, kind)),
            Err(Trouble::Failed(failure)) => Err(failure),
        }
    }

    /// Frees the channel of a command whose outcome is known, and finishes the command.
    pub(super) fn leave(&mut self, id: CommandId, cx: &mut ExecCx<'_>) {
        let Some(ExecState::Closing { outcome, .. }) = self.get(id).map(|exec| &exec.state) else { return };
        let outcome = outcome.clone();
        self.free_and_finish(id, outcome, cx);
        cx.channels.note_closed();
    }

    /// Finishes one command with an error; the connection stays up.
    fn refuse(&mut self, id: CommandId, cx: &mut ExecCx<'_>, kind: HostErrorKind) -> Progress {
        if let Some(outcome) = self.get(id).map(|exec| exec.failed(cx, kind)) {
            self.free_and_finish(id, outcome, cx);
        }
        Progress::Done
    }

    /// Frees the channel of a command, if it has one, and finishes the command.
    pub(super) fn free_and_finish(&mut self, id: CommandId, outcome: Outcome, cx: &mut ExecCx<'_>) {
        // If the channel is open, freeing it also tries to send CLOSE. If the channel was refused,
        // it is not open, and there is nothing to close.
        if let Some(channel) = self.get(id).and_then(|exec| exec.state.channel()) {
            cx.link.free_channel(channel);
        }
        self.finish(id, outcome, cx);
    }

    /// Handles the loss of the connection. A command whose outcome is known ends with that outcome,
    /// a command that cannot have started waits again, and any other command fails.
    pub(in crate::session) fn cut(&mut self, id: CommandId, error: &HostError, cx: &mut ExecCx<'_>) {
        if let Some(exec) = self.get_mut(id) {
            exec.salvage(cx.link);
        }
        let Some(exec) = self.take_in(id, cx.now, cx.link) else { return };
        match &exec.state {
            ExecState::Finished(_) => {}
            ExecState::Waiting => exec.deadline = None,
            ExecState::Opening(_) | ExecState::Blocked | ExecState::Preparing { .. } => {
                exec.enter(ExecState::Waiting);
                exec.deadline = None;
            }
            ExecState::Stopping { outcome, .. } | ExecState::Closing { outcome, .. } => {
                let outcome = outcome.clone();
                self.finish(id, outcome, cx);
            }
            // A caller who removes the host loses no outcome. Where the connection is lost, output
            // may be missing.
            ExecState::Running(_) if matches!(error.kind(), HostErrorKind::Cancelled(_)) => {
                let exited = exec.exited.clone();
                match exited {
                    Some(outcome) => self.finish(id, outcome, cx),
                    None => self.fail(id, error, cx),
                }
            }
            ExecState::Requesting(_) | ExecState::Running(_) => self.fail(id, error, cx),
        }
        self.note(id, cx.now, cx.out);
    }

    /// Finishes a command with its host's error.
    pub(in crate::session) fn fail(&mut self, id: CommandId, error: &HostError, cx: &mut ExecCx<'_>) {
        let Some(exec) = self.get(id) else { return };
        let error = match exec.state {
            ExecState::Waiting => error.clone(),
            _ => error.at(exec.stage(), cx.now.saturating_duration_since(exec.begun)),
        };
        self.finish(id, Outcome::Failed(error), cx);
    }
}

impl Exec {
    /// Notes that the command waits from now on for its turn on its host.
    pub(in crate::session) fn queued(&mut self, now: Instant) {
        self.begun = now;
    }

    /// The deadline of the command, if it waits for the answer to its request for a channel.
    pub(in crate::session) fn asking(&self) -> Option<Deadline> {
        self.deadline.filter(|_| self.state.is_opening())
    }

    /// Sets the deadline of a command that is starting.
    pub(in crate::session) fn limit_start(&mut self, deadline: Option<Deadline>) {
        self.deadline = deadline;
    }

    /// Takes the command, whose output was collected, one step further. `Done` means that the
    /// channel is closed and the outcome is known.
    fn step(&mut self, cx: &mut ExecCx<'_>) -> Stepped {
        if self.stop_by_sink(cx) {
            return Ok(Progress::Advanced);
        }
        match self.state {
            ExecState::Waiting => {
                let channel = cx.channels.take(cx.link, self.request.options.may_write())?;
                self.algorithms = Some(cx.link.algorithms());
                // A command that was refused a channel and tries again keeps its deadline.
                if self.deadline.is_none() {
                    let timeouts = &cx.peer.target.profile.timeouts;
                    // A login that a late turn has found complete is not held against the command.
                    let until = cx.peer.until.filter(|deadline| deadline.at > cx.now);
                    self.deadline = Deadline::earlier(Deadline::new(cx.now, timeouts.exec), until);
                    self.close_limit = timeouts.close;
                    self.begun = cx.now;
                }
                self.enter(ExecState::Opening(channel));
                Ok(Progress::Advanced)
            }
            ExecState::Blocked => Ok(Progress::Pending),
            ExecState::Opening(channel) => self.step_opening(channel, cx),
            ExecState::Preparing { channel, .. } => self.step_preparing(channel, cx),
            ExecState::Requesting(channel) => self.step_requesting(channel, cx),
            ExecState::Running(channel) => self.step_running(channel, cx),
            ExecState::Stopping { channel, .. } => self.step_stopping(channel, cx),
            ExecState::Closing { channel, .. } => self.step_closing(channel, cx),
            ExecState::Finished(_) => Ok(Progress::Done),
        }
    }

    fn step_opening(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        match cx.link.opened(channel) {
            Ok(answer) if answer.is_pending() => return Ok(Progress::Pending),
            Ok(_) => {
                self.on_terminal = false;
                self.enter(ExecState::Preparing { channel, next: 0, refused: RefusedEnv::default() });
            }
            Err(LinkError { kind: LinkErrorKind::Denied, .. }) if cx.channels.note_refused() => {
                cx.link.free_channel(channel);
                self.enter(ExecState::Waiting);
            }
            Err(LinkError { kind: LinkErrorKind::Denied, .. })
                if self.request.options.wait_for_channel && cx.has_others =>
            {
                cx.link.free_channel(channel);
                if !cx.peer.target.profile.timeouts.exec_is_set {
                    self.deadline = None;
                }
                self.enter(ExecState::Blocked);
            }
            Err(error) => return Err(Trouble::of(error, ChannelProblem::OpenRefused)),
        }
        Ok(Progress::Advanced)
    }

    fn step_running(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        if let Some(signal) = self.signals.pop_front() {
            send_signal(channel, signal, cx)?;
            return Ok(Progress::Advanced);
        }
        if self.sudo.is_some() {
            return self.step_sudo(channel, cx);
        }
        if self.transfer.is_some() {
            return self.step_transfer(channel, cx);
        }
        if !cx.input_budget.is_used_up() && !self.stdin.is_empty() {
            let waiting = self.stdin.front();
            let waiting = &waiting[..waiting.len().min(cx.input_budget.next_write())];
            return match cx.link.write(channel, waiting) {
                Ok(0) => Ok(Progress::Pending),
                Ok(written) => {
                    self.stdin.consume(written);
                    self.traffic.sent += written as u64;
                    cx.input_budget.count_write(written);
                    Ok(Progress::Advanced)
                }
                // The remote side has closed the channel or its end of the input, so drop the
                // remaining input.
                Err(LinkError { kind: LinkErrorKind::Denied, .. }) => {
                    self.stdin.abandon();
                    Ok(Progress::Advanced)
                }
                Err(error) => Err(Trouble::of(error, |text| self.request.refused(text))),
            };
        }
        // If the server has closed the channel, only the answer to that is left to send.
        if self.stdin.wants_eof() && !cx.link.inbox(channel).closed && cx.link.send_eof(channel)?.is_ready() {
            self.stdin.abandon();
            return Ok(Progress::Advanced);
        }
        Ok(Progress::Pending)
    }

    /// Takes the transfer further. Closes the channel once the transfer has ended.
    fn step_transfer(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        let Some(transfer) = &mut self.transfer else { return Ok(Progress::Pending) };
        transfer.go_on_with(cx.allowance, cx.now);
        let inbox = cx.link.inbox(channel);
        if transfer.is_unanswered() && (inbox.closed || inbox.eof && inbox.exit.is_some()) {
            let exit = inbox.exit.clone();
            if self.does_without_sftp(channel, cx) {
                return Ok(Progress::Advanced);
            }
            self.transfer.iter_mut().for_each(|transfer| transfer.server_ended(exit.as_ref()));
        }
        let Some(transfer) = &mut self.transfer else { return Ok(Progress::Pending) };
        let outcome = match transfer.end() {
            None => return self.send_requests(channel, cx),
            Some(Ok(done)) => transfer.outcome(done),
            Some(Err(problem)) => self.failed(cx, HostErrorKind::Transfer(problem)),
        };
        self.close(channel, outcome, CloseStep::Send, cx.now);
        Ok(Progress::Advanced)
    }

    /// Sends what a transfer asks of the SFTP server.
    pub(super) fn send_requests(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        let Some(transfer) = &mut self.transfer else { return Ok(Progress::Pending) };
        if transfer.wants_eof() && !self.stdin.has_ended() && cx.link.send_eof(channel)?.is_ready() {
            self.stdin.abandon();
            return Ok(Progress::Advanced);
        }
        if !transfer.has_unsent() || cx.input_budget.is_used_up() {
            return Ok(Progress::Pending);
        }
        let bytes = transfer.next_bytes(cx.scratch, cx.input_budget.next_write());
        match cx.link.write(channel, bytes) {
            Ok(0) => Ok(Progress::Pending),
            Ok(written) => {
                transfer.sent(written);
                self.traffic.sent += written as u64;
                cx.input_budget.count_write(written);
                Ok(Progress::Advanced)
            }
            Err(LinkError { kind: LinkErrorKind::Denied, text }) => {
                log::debug!("{}: {text}", cx.peer.target.shown());
                transfer.server_ended(None);
                Ok(Progress::Advanced)
            }
            Err(error) => Err(Trouble::of(error, |text| self.request.refused(text))),
        }
    }

    /// The progress of the transfer that the command is. `None` before it begins and after it has
    /// ended.
    pub(crate) fn progress(&self) -> Option<Transferred> {
        self.transfer.as_ref().map(|transfer| transfer.progress())
    }

    /// How many bytes of a file the command waits to request; 0 if it does not wait for that.
    pub(crate) fn lack(&self) -> u32 {
        self.transfer.as_ref().map_or(0, |transfer| transfer.lack())
    }

    /// The latest time up to `now` at which it waited for that.
    pub(crate) fn throttled_until(&self, now: Instant) -> Option<Instant> {
        self.transfer.as_ref()?.throttled_until(now)
    }

    /// Whether events report the output and the progress of the command.
    pub(super) fn is_told(&self) -> bool {
        self.deliver() != Deliver::Nothing && !self.released
    }

    /// Takes the report of that progress.
    pub(crate) fn take_progress(&mut self) -> Option<Transferred> {
        match &mut self.transfer {
            Some(transfer) => Some(transfer.take_news()),
            None => self.done_at_end.take().map(|done| *done),
        }
    }
}
