//! What a connection leaves behind for its fleet to tell: where it has come to, and how long it took.

use std::mem;
use std::time::Instant;

use super::Session;
use super::state::Phase;
use crate::error::HostError;
use crate::stage::Stage;
use crate::stage::Timings;

/// What has become of a connection.
#[derive(Debug, Clone)]
pub(crate) enum Milestone {
    /// An attempt to connect has come to this stage.
    Entered(Stage),
    /// The user is logged in.
    Connected,
    /// The connection, or an attempt to make one, is over: closed, or failed with this error.
    Disconnected { error: Option<HostError>, retrying: bool },
}

/// Costly work that was done for a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Costs {
    /// Completed.
    pub key_exchanges: usize,
    /// Made here, to log in; an agent's are none of ours.
    pub signatures: usize,
}

impl Session {
    /// What was done since the last call.
    pub(crate) fn take_costs(&mut self) -> Costs {
        mem::take(&mut self.costs)
    }

    /// What has happened and was not told yet.
    pub(crate) fn next_milestone(&mut self) -> Option<Milestone> {
        self.trail.pop_front()
    }

    /// How long it was in each stage since it was last asked for.
    pub(crate) fn timings(&self) -> Timings {
        self.stopwatch.timings()
    }

    pub(super) fn leave_trail(&mut self, to: Phase, now: Instant) {
        let milestone = match to {
            Phase::Queued | Phase::BackingOff => {
                self.stopwatch.enter(Stage::Queued, now);
                return;
            }
            Phase::Closed | Phase::Failed => {
                self.stopwatch.stop(now);
                return;
            }
            Phase::Ready => {
                self.stopwatch.stop(now);
                Milestone::Connected
            }
            // A part of the handshake.
            Phase::Verifying => return,
            Phase::Resolving
            | Phase::Connecting
            | Phase::Tunnelling
            | Phase::Handshaking
            | Phase::Authenticating => {
                self.stopwatch.enter(self.state.stage(), now);
                Milestone::Entered(self.state.stage())
            }
        };
        self.trail.push_back(milestone);
    }
}
