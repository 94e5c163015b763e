//! What a link keeps for a session.

use crate::output::Outcome;

/// What has arrived on a channel and has not been collected yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// The bytes of standard output.
    pub stdout: Vec<u8>,
    /// The bytes of standard error.
    pub stderr: Vec<u8>,
    /// Whether the server has accepted the command. Set only if the answer was picked up before it
    /// was asked for, so that a failure of the link cannot hide it.
    pub accepted: bool,
    /// Whether the server has announced that it will send no more data.
    pub eof: bool,
    /// Whether the server has closed the channel. Later messages are ignored.
    pub closed: bool,
    /// The first `exit-status` or `exit-signal` (RFC 4254 section 6.10), if one has arrived.
    pub exit: Option<Outcome>,
}

impl Inbox {
    /// Records how the command ended. Only the first report counts, as callers see it at once.
    pub(crate) fn set_exit(&mut self, outcome: Outcome) {
        self.exit.get_or_insert(outcome);
    }

    /// Whether anything has arrived that proves that the command was executed.
    pub(crate) fn shows_execution(&self) -> bool {
        !self.stdout.is_empty() || !self.stderr.is_empty() || self.exit.is_some()
    }

    /// Whether nothing has arrived at all.
    pub(crate) fn is_empty(&self) -> bool {
        !self.shows_execution() && !self.eof && !self.closed
    }
}
