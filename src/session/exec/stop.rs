//! How a command has ended, and how it is stopped before it ends by itself: by SIGTERM, then EOF
//! and, after a grace period at the latest, CLOSE.

use std::time::Instant;

use super::step::{ExecCx, Progress, Stepped};
use super::{CloseStep, Exec, ExecState, Execs, StopStep};
use crate::command::Signal;
use crate::error::HostErrorKind;
use crate::ids::CommandId;
use crate::link::{ChannelId, LinkError, LinkErrorKind};
use crate::output::Outcome;
use crate::session::deadline::Deadline;
use crate::stage::TimeoutKind;

impl Execs {
    /// Cancels a command. A command that was not yet sent to the host will never run. A running
    /// command gets a signal and is over within the grace period, whether or not it obeys the
    /// signal. If the outcome is already known, it does not change.
    ///
    /// With [`HostErrorKind::NotStarted`], does nothing if the command was already sent.
    pub(in crate::session) fn stop(
        &mut self,
        id: CommandId,
        why: HostErrorKind,
        cx: &mut ExecCx<'_>,
    ) -> Progress {
        if matches!(why, HostErrorKind::NotStarted(_)) && self.get(id).is_some_and(Exec::is_started) {
            return Progress::Pending;
        }
        let Some(exec) = self.take_in(id, cx.now, cx.link) else { return Progress::Pending };
        let outcome = exec.failed(cx, why);
        match exec.state {
            ExecState::Waiting | ExecState::Blocked | ExecState::Opening(_) => {
                return self.abandon(id, outcome, cx);
            }
            // Send no signal here, because libssh would mistake the signal for the request that
            // awaits a reply.
            ExecState::Preparing { channel, .. } | ExecState::Requesting(channel) => {
                exec.close(channel, outcome, CloseStep::Send, cx.now);
            }
            ExecState::Running(channel) => exec.stop(channel, outcome, cx),
            ExecState::Stopping { .. } | ExecState::Closing { .. } => return Progress::Pending,
            ExecState::Finished(_) => return Progress::Done,
        }
        self.note(id, cx.now, cx.out);
        Progress::Advanced
    }

    /// Finishes a command that has not started. The connection keeps a channel that the server has
    /// not opened yet; an open one is closed.
    fn abandon(&mut self, id: CommandId, outcome: Outcome, cx: &mut ExecCx<'_>) -> Progress {
        if let Some(ExecState::Opening(channel)) = self.get(id).map(|exec| &exec.state) {
            cx.channels.keep(*channel);
            self.finish(id, outcome, cx);
        } else {
            self.free_and_finish(id, outcome, cx);
        }
        Progress::Done
    }

    /// Handles the deadline of a command that took too long to start or to run, that does not stop,
    /// or whose channel does not close.
    pub(in crate::session) fn expire(&mut self, id: CommandId, cx: &mut ExecCx<'_>) -> Progress {
        let Some(exec) = self.get_mut(id) else { return Progress::Done };
        let limit = Deadline::expired(exec.deadline, cx.now);
        match &exec.state {
            ExecState::Waiting
            | ExecState::Opening(_)
            | ExecState::Blocked
            | ExecState::Preparing { .. }
            | ExecState::Requesting(_) => match limit {
                Some(after) => {
                    let is_last = exec.deadline == cx.peer.until;
                    let kind = if is_last { TimeoutKind::Attempts } else { TimeoutKind::Exec };
                    let outcome = exec.failed(cx, HostErrorKind::Timeout { kind, after });
                    self.abandon(id, outcome, cx)
                }
                None => Progress::Pending,
            },
            ExecState::Running(_) => {
                exec.expire_dialogue(cx);
                exec.expire_run(cx);
                Progress::Advanced
            }
            ExecState::Stopping { channel, outcome, .. } => {
                exec.close(*channel, outcome.clone(), CloseStep::Send, cx.now);
                Progress::Advanced
            }
            ExecState::Closing { .. } => {
                self.leave(id, cx);
                Progress::Done
            }
            ExecState::Finished(_) => Progress::Done,
        }
    }
}

impl Exec {
    /// Whether the host has no part in the command any more. Files of this machine may still have
    /// to be removed.
    pub(crate) fn has_left_host(&self) -> bool {
        matches!(self.state, ExecState::Finished(_))
    }

    /// Whether the command is known to have run on the host. Output proves that it has, even if the
    /// server's acceptance was lost or was not awaited.
    pub(super) fn has_run(&self) -> bool {
        match &self.state {
            _ if !self.stdout.is_empty() || !self.stderr.is_empty() => true,
            ExecState::Running(_) | ExecState::Stopping { .. } => true,
            ExecState::Closing { outcome, .. } | ExecState::Finished(outcome) => {
                !matches!(outcome, Outcome::Failed(_))
            }
            _ => false,
        }
    }

    /// How the command has ended, as soon as that is known. Its output may still be open.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            ExecState::Finished(_) if self.file_jobs > 0 => None,
            ExecState::Finished(outcome) => Some(outcome),
            _ => self.exited.as_ref(),
        }
    }

    /// A number that orders the finished commands of the fleet by time; 0 if the command is
    /// unfinished.
    pub(crate) fn ended(&self) -> u64 {
        self.ended
    }

    /// Stops the command if its time limit has passed.
    pub(super) fn expire_run(&mut self, cx: &mut ExecCx<'_>) {
        let ExecState::Running(channel) = self.state else { return };
        if let Some(after) = Deadline::expired(self.deadline, cx.now) {
            let outcome = self.failed(cx, HostErrorKind::Timeout { kind: TimeoutKind::Command, after });
            self.stop(channel, outcome, cx);
        }
    }

    /// Stops the command if a sink of its output has failed, and returns whether it did.
    pub(super) fn stop_by_sink(&mut self, cx: &mut ExecCx<'_>) -> bool {
        let ExecState::Running(channel) = self.state else { return false };
        let Some((stream, error)) = self.sink_failed.take() else { return false };
        let outcome = self.failed(cx, HostErrorKind::Sink { stream, error });
        // Output is lost, so an exit status does not tell how it went.
        self.exited = None;
        self.stop(channel, outcome, cx);
        true
    }

    /// Starts to close the channel, because the outcome is known.
    pub(super) fn close(&mut self, channel: ChannelId, outcome: Outcome, step: CloseStep, now: Instant) {
        self.deadline = Deadline::new(now, self.close_limit);
        self.enter(ExecState::Closing { channel, outcome, step });
    }

    /// Stops the command. If it has exited, it keeps that outcome, and only its channel, which a
    /// process in the background holds open, is left to close.
    fn stop(&mut self, channel: ChannelId, outcome: Outcome, cx: &mut ExecCx<'_>) {
        if let Some(exited) = self.exited.clone() {
            return self.close(channel, exited, CloseStep::Send, cx.now);
        }
        self.deadline = Deadline::new(cx.now, cx.peer.target.profile.timeouts.stop);
        let step = match &mut self.transfer {
            Some(transfer) => {
                transfer.stop();
                StopStep::CleanUp
            }
            None => StopStep::Signal,
        };
        self.enter(ExecState::Stopping { channel, outcome, step });
    }

    pub(super) fn step_stopping(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        let ExecState::Stopping { step, outcome, .. } = &mut self.state else { return Ok(Progress::Pending) };
        match *step {
            StopStep::CleanUp => match &self.transfer {
                Some(transfer) if !transfer.has_ended() => return self.send_requests(channel, cx),
                // It would send the whole file first.
                Some(transfer) if transfer.ends_with_channel() => {
                    let outcome = outcome.clone();
                    self.close(channel, outcome, CloseStep::Send, cx.now);
                }
                _ => *step = StopStep::Eof,
            },
            StopStep::Signal => {
                send_signal(channel, Signal::Term, cx)?;
                *step = StopStep::Eof;
            }
            StopStep::Eof => {
                if !self.stdin.has_ended() && cx.link.send_eof(channel)?.is_pending() {
                    return Ok(Progress::Pending);
                }
                self.stdin.abandon();
                *step = StopStep::Sent;
            }
            StopStep::Sent => return Ok(Progress::Pending),
        }
        Ok(Progress::Advanced)
    }

    pub(super) fn step_closing(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        let ExecState::Closing { step, .. } = &mut self.state else { return Ok(Progress::Pending) };
        match *step {
            CloseStep::Send => {
                if cx.link.close_channel(channel)?.is_pending() {
                    return Ok(Progress::Pending);
                }
                *step = CloseStep::Sent;
                if self.close_limit.is_zero() {
                    return Ok(Progress::Done);
                }
            }
            CloseStep::Sent => {
                let closed = cx.link.inbox(channel).closed;
                return Ok(if closed { Progress::Done } else { Progress::Pending });
            }
        }
        Ok(Progress::Advanced)
    }
}

/// Sends a signal. If the host has just closed the channel, the signal is lost, which is not an
/// error.
pub(super) fn send_signal(channel: ChannelId, signal: Signal, cx: &mut ExecCx<'_>) -> Result<(), LinkError> {
    match cx.link.signal(channel, signal) {
        Err(LinkError { kind: LinkErrorKind::Denied, .. }) => Ok(()),
        result => result,
    }
}
