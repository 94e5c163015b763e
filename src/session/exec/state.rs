//! The states of one command and the edges between them.

use crate::link::ChannelId;
use crate::output::Outcome;
use crate::stage::Stage;

/// Where a command is. Each variant carries exactly what is valid in it.
#[derive(Debug)]
pub(in crate::session) enum ExecState {
    /// It has no channel, and has not asked for one since it was admitted last.
    Waiting,
    /// A channel is being opened.
    Opening(ChannelId),
    /// The server has no channel left for it: waits until another one of this connection is closed.
    Blocked,
    /// The server is asked for what the command needs on its channel, one request after the other: for number `next` now.
    Preparing { channel: ChannelId, next: usize },
    /// The server was asked to run it: from here on it may have started.
    Requesting(ChannelId),
    /// Accepted.
    Running(ChannelId),
    /// It is to end, and is given a moment to do so by itself; its outcome does not depend on that any more.
    Stopping { channel: ChannelId, outcome: Outcome, step: StopStep },
    /// Its end is known; the channel is being closed.
    Closing { channel: ChannelId, outcome: Outcome, step: CloseStep },
    /// Over.
    Finished(Outcome),
}

/// How far the stopping of a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum StopStep {
    /// SIGTERM is to be sent.
    Signal,
    /// The end of its input is to be sent.
    Eof,
    /// Everything is on its way.
    Sent,
}

/// How far the closing of a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum CloseStep {
    /// It is not even open. Without the number that the server's answer gives it, it cannot be closed.
    Opening,
    /// CLOSE is to be sent.
    Send,
    /// CLOSE is on its way.
    Sent,
}

/// A state's name, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum ExecPhase {
    Waiting,
    Opening,
    Blocked,
    Preparing,
    Requesting,
    Running,
    Stopping,
    Closing,
    Finished,
}

impl ExecPhase {
    #[cfg(test)]
    pub(in crate::session) const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Opening,
        Self::Blocked,
        Self::Preparing,
        Self::Requesting,
        Self::Running,
        Self::Stopping,
        Self::Closing,
        Self::Finished,
    ];
}

/// Every legal transition, with its cause.
pub(in crate::session) const EXEC_EDGES: &[(ExecPhase, ExecPhase, &str)] = &[
    (ExecPhase::Waiting, ExecPhase::Opening, "admitted, and connection ready"),
    (ExecPhase::Waiting, ExecPhase::Finished, "its host failed, cancelled, or waited too long for a channel"),
    (ExecPhase::Opening, ExecPhase::Preparing, "channel open"),
    (ExecPhase::Opening, ExecPhase::Blocked, "channel refused, to be asked for again"),
    (ExecPhase::Opening, ExecPhase::Waiting, "refused right behind a close, or connection lost"),
    (ExecPhase::Opening, ExecPhase::Closing, "cancelled"),
    (ExecPhase::Opening, ExecPhase::Finished, "channel refused, or exec timeout"),
    (ExecPhase::Blocked, ExecPhase::Waiting, "another channel closed, or connection lost"),
    (ExecPhase::Blocked, ExecPhase::Finished, "exec timeout, or cancelled"),
    (ExecPhase::Preparing, ExecPhase::Requesting, "everything granted"),
    (ExecPhase::Preparing, ExecPhase::Waiting, "connection lost"),
    (ExecPhase::Preparing, ExecPhase::Closing, "cancelled"),
    (ExecPhase::Preparing, ExecPhase::Finished, "something refused, or exec timeout"),
    (ExecPhase::Requesting, ExecPhase::Running, "command accepted"),
    (ExecPhase::Requesting, ExecPhase::Closing, "cancelled"),
    (ExecPhase::Requesting, ExecPhase::Finished, "command refused, exec timeout, or connection lost"),
    (ExecPhase::Running, ExecPhase::Stopping, "cancelled, or time limit"),
    (ExecPhase::Running, ExecPhase::Closing, "its end was told"),
    (ExecPhase::Running, ExecPhase::Finished, "connection lost, or no input can be sent"),
    (ExecPhase::Stopping, ExecPhase::Closing, "it has ended, or its moment is over"),
    (ExecPhase::Stopping, ExecPhase::Finished, "connection lost"),
    (ExecPhase::Closing, ExecPhase::Finished, "closed on both sides, close timeout, or connection lost"),
];

pub(super) fn is_legal(from: ExecPhase, to: ExecPhase) -> bool {
    EXEC_EDGES.iter().any(|(a, b, _)| (*a, *b) == (from, to))
}

impl ExecState {
    pub(in crate::session) fn phase(&self) -> ExecPhase {
        match self {
            Self::Waiting => ExecPhase::Waiting,
            Self::Opening(_) => ExecPhase::Opening,
            Self::Blocked => ExecPhase::Blocked,
            Self::Preparing { .. } => ExecPhase::Preparing,
            Self::Requesting(_) => ExecPhase::Requesting,
            Self::Running(_) => ExecPhase::Running,
            Self::Stopping { .. } => ExecPhase::Stopping,
            Self::Closing { .. } => ExecPhase::Closing,
            Self::Finished(_) => ExecPhase::Finished,
        }
    }

    /// The stage that an error in this state names.
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Waiting => Stage::Queued,
            Self::Opening(_) | Self::Blocked => Stage::Opening,
            Self::Preparing { .. } => Stage::Preparing,
            Self::Requesting(_) => Stage::Requesting,
            Self::Running(_) | Self::Finished(_) => Stage::Running,
            Self::Stopping { .. } | Self::Closing { .. } => Stage::Closing,
        }
    }

    /// Its channel, which is the link's until it is freed.
    pub(super) fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Opening(channel)
            | Self::Preparing { channel, .. }
            | Self::Requesting(channel)
            | Self::Running(channel)
            | Self::Stopping { channel, .. }
            | Self::Closing { channel, .. } => Some(*channel),
            Self::Waiting | Self::Blocked | Self::Finished(_) => None,
        }
    }

    /// Whether the server's answer to the opening of its channel is awaited.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self, Self::Opening(_) | Self::Closing { step: CloseStep::Opening, .. })
    }
}
