//! A password that no host has accepted yet is sent to one host at a time. The session asks before
//! it sends a password, and reports what became of it.

use std::sync::Arc;

use super::Effect;
use crate::ids::CommandId;

/// What sends the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TrialOf {
    Login,
    /// The `sudo` of this command.
    Sudo(CommandId),
}

/// Whether a password may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Permission {
    Granted,
    /// These hosts have refused the password, and no host has accepted it.
    Withheld(Arc<[Arc<str>]>),
}

/// How a trial has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrialEnd {
    Accepted,
    Refused,
    /// The password was not sent, or the host has not answered.
    Unanswered,
}

/// How far a session is with sending a password.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Trial {
    /// Nothing was asked.
    #[default]
    Idle,
    /// The session has asked, and has no answer yet.
    Requested,
    /// The password may be sent, or was sent.
    Granted,
    /// The password was accepted, which is not reported yet.
    Accepted,
}

#[cfg(test)]
impl super::Session {
    /// Whether the login has asked for a trial that has not ended.
    pub(crate) fn is_in_trial(&self) -> bool {
        matches!(&self.state, super::State::Authenticating(login) if login.has_trial())
    }
}

impl Trial {
    /// Ends the trial or withdraws the request, if there is one.
    pub(super) fn end(&mut self, of: TrialOf, end: TrialEnd, out: &mut Vec<Effect>) {
        if std::mem::take(self) != Self::Idle {
            out.push(Effect::TrialEnded(of, end));
        }
    }
}
