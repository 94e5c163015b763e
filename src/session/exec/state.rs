//! The states of a command and the edges between them.

use crate::link::ChannelId;
use crate::output::Outcome;
use crate::stage::Stage;

/// The state of a command. Each variant holds exactly the data that is valid in it.
#[derive(Debug)]
pub(in crate::session) enum ExecState {
    /// The command has no channel and, since it was last admitted, has not asked for one.
    Waiting,
    /// A channel is being opened.
    Opening(ChannelId),
    /// The server had no channel left for the command. The command waits until another channel of
    /// this connection closes.
    Blocked,
    /// The channel's set-up requests are made one by one; `next` is the index of the current one.
    Preparing {
        channel: ChannelId,
        next: usize,
        refused: RefusedEnv,
    },
    /// The server was asked to run the command, so the command may have started.
    Requesting(ChannelId),
    /// The server has accepted the command.
    Running(ChannelId),
    /// The command has a grace period to end by itself. Its outcome is already fixed.
    Stopping {
        channel: ChannelId,
        outcome: Outcome,
        step: StopStep,
    },
    /// The outcome is known, and the channel is being closed.
    Closing {
        channel: ChannelId,
        outcome: Outcome,
        step: CloseStep,
    },
    Finished(Outcome),
}

/// The variables that the server has refused.
#[derive(Debug, Default)]
pub(in crate::session) struct RefusedEnv {
    pub names: Vec<String>,
    /// What is known about the reason of the last refusal.
    pub text: String,
}

/// The next step in stopping a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum StopStep {
    /// Let a transfer remove what is half done.
    CleanUp,
    /// Send SIGTERM.
    Signal,
    /// Send EOF.
    Eof,
    /// SIGTERM and EOF are sent, so wait for the command to end.
    Sent,
}

/// The next step in closing a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum CloseStep {
    /// Send CLOSE.
    Send,
    /// CLOSE is sent, so wait for the server's CLOSE.
    Sent,
}

/// The name of a state, without the data of the state.
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

/// Every legal transition and its cause.
pub(in crate::session) const EXEC_EDGES: &[(ExecPhase, ExecPhase, &str)] = &[
    (ExecPhase::Waiting, ExecPhase::Opening, "admitted, and connection ready"),
    (ExecPhase::Waiting, ExecPhase::Finished, "host failed, cancelled, or exec timeout"),
    (ExecPhase::Opening, ExecPhase::Preparing, "channel open"),
    (ExecPhase::Opening, ExecPhase::Blocked, "channel refused, retried when another closes"),
    (ExecPhase::Opening, ExecPhase::Waiting, "channel refused right after a close, or connection lost"),
    (ExecPhase::Opening, ExecPhase::Finished, "channel refused, exec timeout, or cancelled"),
    (ExecPhase::Blocked, ExecPhase::Waiting, "another channel closed, or connection lost"),
    (ExecPhase::Blocked, ExecPhase::Finished, "exec timeout, or cancelled"),
    (ExecPhase::Preparing, ExecPhase::Requesting, "all requests granted"),
    (ExecPhase::Preparing, ExecPhase::Waiting, "connection lost"),
    (ExecPhase::Preparing, ExecPhase::Closing, "cancelled"),
    (ExecPhase::Preparing, ExecPhase::Finished, "request refused, or exec timeout"),
    (ExecPhase::Requesting, ExecPhase::Running, "command accepted"),
    (ExecPhase::Requesting, ExecPhase::Waiting, "no SFTP, transfer goes on without"),
    (ExecPhase::Requesting, ExecPhase::Closing, "cancelled"),
    (ExecPhase::Requesting, ExecPhase::Finished, "command refused, exec timeout, or connection lost"),
    (ExecPhase::Running, ExecPhase::Waiting, "SFTP server ended at once, transfer goes on without"),
    (ExecPhase::Running, ExecPhase::Stopping, "cancelled, or time limit"),
    (ExecPhase::Running, ExecPhase::Closing, "channel ended, stopped after its exit, or sudo failed"),
    (ExecPhase::Running, ExecPhase::Finished, "connection lost, or channel unwritable"),
    (ExecPhase::Stopping, ExecPhase::Closing, "command ended, or grace period over"),
    (ExecPhase::Stopping, ExecPhase::Finished, "connection lost"),
    (ExecPhase::Closing, ExecPhase::Finished, "closed on both sides, close timeout, or connection lost"),
];

pub(super) fn is_legal(from: ExecPhase, to: ExecPhase) -> bool {
    EXEC_EDGES.iter().any(|(a, b, _)| (*a, *b) == (from, to))
}

/// How far a command has got. Later states are greater than earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CommandState {
    /// The command waits for its batch to start, for admission, or for a channel.
    Waiting,
    /// The command's channel is being opened and prepared.
    Starting,
    /// The command was sent to the host, and may have started. The host has not accepted it yet.
    Sent,
    /// The host has accepted the command.
    Running,
    /// The command is being stopped, or its channel is being closed.
    Ending,
    /// The command has its outcome.
    Finished,
}

impl ExecState {
    pub(super) fn command_state(&self) -> CommandState {
        match self {
            Self::Waiting | Self::Blocked => CommandState::Waiting,
            Self::Opening(_) | Self::Preparing { .. } => CommandState::Starting,
            Self::Requesting(_) => CommandState::Sent,
            Self::Running(_) => CommandState::Running,
            Self::Stopping { .. } | Self::Closing { .. } => CommandState::Ending,
            Self::Finished(_) => CommandState::Finished,
        }
    }

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

    /// The stage to name in an error that occurs in this state.
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

    /// The command's channel, if it has one. The link keeps the channel until `free_channel` is
    /// called.
    pub(in crate::session) fn channel(&self) -> Option<ChannelId> {
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

    /// The channel whose output is collected, once the server has accepted the command.
    pub(super) fn output_channel(&self) -> Option<ChannelId> {
        match self {
            Self::Running(channel) | Self::Stopping { channel, .. } | Self::Closing { channel, .. } => {
                Some(*channel)
            }
            _ => None,
        }
    }

    /// Whether the command's channel has been requested and the server has not answered yet.
    pub(in crate::session) fn is_opening(&self) -> bool {
        matches!(self, Self::Opening(_))
    }
}
