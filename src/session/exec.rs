//! One command on one host: its states, its streams, and how far it is.

mod prepare;
mod step;
mod sudo;

use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use crate::command::Request;
use crate::error::{HostError, HostErrorKind, HostErrorParts, Stage};
use crate::limits;
use crate::lines::LineBuffer;
use crate::link::{ChannelId, Link};
use crate::output::{Outcome, StdinQueue};

use self::sudo::SudoDialogue;
use super::Target;

pub(super) use step::{ExecCx, Progress};

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
            exec.stdout.clear();
            exec.stderr.clear();
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
        exec.end_dialogue();
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
    /// The server is asked for what the command needs on its channel, one request after the other: for number `next` now.
    Preparing { channel: ChannelId, next: usize },
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
    request: Arc<Request>,
    pub(crate) stdout: LineBuffer,
    pub(crate) stderr: LineBuffer,
    pub(crate) stdin: StdinQueue,
    /// While the `sudo` that it runs through has not let it begin, and its password is known.
    sudo: Option<SudoDialogue>,
    deadline: Option<Instant>,
    begun: Instant,
    ended: u64,
    released: bool,
}

impl Exec {
    pub(crate) fn new(request: Arc<Request>, now: Instant) -> Self {
        let sudo = request.options.sudo.as_ref().map(|_| SudoDialogue::default());
        Self {
            state: ExecState::Waiting,
            request,
            stdout: LineBuffer::new(),
            stderr: LineBuffer::new(),
            stdin: StdinQueue::default(),
            sudo,
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
        !matches!(
            self.state,
            ExecState::Waiting | ExecState::Admitted | ExecState::Opening(_) | ExecState::Preparing { .. }
        )
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
        let dialogue = self.sudo.as_ref().and_then(|dialogue| dialogue.deadline);
        [self.deadline, dialogue].into_iter().flatten().min()
    }

    /// When it was given, or its channel was begun.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.state {
            ExecState::Waiting | ExecState::Admitted => Stage::Queued,
            ExecState::Opening(_) => Stage::Opening,
            ExecState::Preparing { .. } => Stage::Preparing,
            ExecState::Requesting(_) => Stage::Requesting,
            ExecState::Running(_) | ExecState::Finished(_) => Stage::Running,
            ExecState::Closing { .. } => Stage::Closing,
        }
    }

    fn channel(&self) -> Option<ChannelId> {
        match self.state {
            ExecState::Opening(channel)
            | ExecState::Preparing { channel, .. }
            | ExecState::Requesting(channel)
            | ExecState::Running(channel)
            | ExecState::Closing { channel, .. } => Some(channel),
            ExecState::Waiting | ExecState::Admitted | ExecState::Finished(_) => None,
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
            attempts: target.profile.connection.attempts,
            elapsed: now.saturating_duration_since(self.begun),
            kind: Arc::new(kind),
        })
    }

    /// Moves what has arrived into the streams and takes note of an end. Works on a failed link too.
    fn collect(&mut self, now: Instant, link: &mut dyn Link) {
        let ExecState::Running(channel) = self.state else { return };
        let inbox = link.inbox(channel);
        self.listen_to_sudo(inbox);
        if !self.released {
            self.stdout.push(&inbox.stdout);
            self.stderr.push(&inbox.stderr);
        }
        drain(&mut inbox.stdout);
        drain(&mut inbox.stderr);
        let told = inbox.status.is_some() || inbox.signal.is_some();
        if !(inbox.closed || inbox.eof && told) || self.is_refused_by_sudo() {
            return;
        }
        let outcome = match (inbox.signal.take(), inbox.status) {
            (Some(signal), _) => Outcome::Signaled(signal),
            (None, Some(status)) => Outcome::Exited(status),
            (None, None) => Outcome::NoStatus,
        };
        self.close(channel, outcome, now);
    }

    /// Its end is known: the channel is closed from here on.
    fn close(&mut self, channel: ChannelId, outcome: Outcome, now: Instant) {
        self.end_dialogue();
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
