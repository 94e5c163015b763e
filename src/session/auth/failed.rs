//! What the error of a login that failed says.

use std::mem;

use super::attempt::Attempt;
use super::{Fate, Login, LoginStep};
use crate::agent::Listed;
use crate::agent::wire::Identity;
use crate::credential::fingerprint;
use crate::error::{AuthMethod, AuthProblem, HostErrorKind};
use crate::hostkey::Fingerprint;
use crate::link::PrivateKey;
use crate::session::Effect;
use crate::session::retry::{Cause, is_refusal};
use crate::session::target::{AgentOffer, Offer, Profile};
use crate::session::trial::TrialEnd;

impl Login {
    pub(super) fn failed(&mut self, profile: &Profile) -> HostErrorKind {
        let interactive = AuthMethod::KeyboardInteractive;
        let is_offered = |method| self.offered.iter().flatten().any(|offered| *offered == method);
        let is_configured = |method| profile.plan.iter().any(|offer| offer.method() == method);
        if is_offered(interactive)
            && !is_configured(interactive)
            && !profile.plan.iter().any(|offer| is_offered(offer.method()))
        {
            let has_password = is_configured(AuthMethod::Password);
            let needs = if has_password { "keyboard_interactive(true)" } else { "a password or a responder" };
            self.problems.push(AuthProblem::InteractiveOff(needs));
        }
        self.problems.extend(profile.skipped.iter().cloned());
        HostErrorKind::Auth {
            user: profile.user_name(),
            keys: self.offered_keys(profile),
            tried: mem::take(&mut self.tried),
            offered: self.offered.take().unwrap_or_default(),
            problems: mem::take(&mut self.problems),
        }
    }

    /// The public keys that the server was asked about, in the order of the plan.
    fn offered_keys(&self, profile: &Profile) -> Vec<Fingerprint> {
        let current = match &self.step {
            LoginStep::Offer(index, attempt) => Some((*index, attempt)),
            LoginStep::Service | LoginStep::Trial(_) => None,
        };
        let mut blobs: Vec<&[u8]> = Vec::new();
        for (index, (offer, fate)) in profile.plan.iter().zip(&self.fates).enumerate() {
            let attempt = current.filter(|(at, _)| *at == index).map(|(_, attempt)| attempt);
            match (offer, attempt) {
                (Offer::Agent(_), attempt) => {
                    blobs.extend(self.spent.iter().chain(&self.unsigned).map(Identity::blob));
                    if let Some(Attempt::Agent(keys)) = attempt {
                        blobs.extend(keys.asked_about().map(Identity::blob));
                    }
                }
                (offer, attempt) if attempt.is_some() || *fate != Fate::Open => {
                    blobs.extend(offer.key().map(PrivateKey::blob));
                }
                _ => {}
            }
        }
        let mut keys: Vec<Fingerprint> = Vec::with_capacity(blobs.len());
        for key in blobs.into_iter().map(fingerprint) {
            // A key with a certificate is also offered without.
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// Notes why keys are missing from the agent's list, or the whole list.
    pub(super) fn note_unlisted(&mut self, choice: &AgentOffer, listed: &Listed) {
        let (identities, addition) = match listed {
            Ok(identities) => (&**identities, ", and the ssh-agent does not hold its key"),
            Err(_) => (&[][..], ""),
        };
        let agent = match listed {
            Err(problem) => Some(problem.to_string()),
            Ok(identities) if identities.is_empty() => Some("the ssh-agent holds no key".to_owned()),
            Ok(_) => None,
        };
        let missing = choice.missing(identities).map(|key| {
            let reason = format!("{}{addition}", key.reason);
            AuthProblem::KeySkipped { path: key.path.clone(), reason }
        });
        for problem in agent.map(AuthProblem::AgentSkipped).into_iter().chain(missing) {
            // After a partial success, the agent lists its keys again.
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }

    /// Fails because the server wants a new password instead of the one that it was sent. libssh
    /// cannot continue after that.
    pub(in crate::session) fn expired(&mut self, profile: &Profile, out: &mut Vec<Effect>) -> HostErrorKind {
        // A server says so only of the right password.
        self.end_trial(TrialEnd::Accepted, out);
        self.note(AuthMethod::Password);
        self.problems.push(AuthProblem::PasswordExpired { prompt: None });
        self.failed(profile)
    }

    /// Whether the server has refused an offer, or one of the agent's keys.
    fn was_refused(&self) -> bool {
        self.offered.is_some()
            || matches!(&self.step, LoginStep::Offer(_, Attempt::Agent(keys)) if keys.was_refused)
    }

    /// Explains a failure of the connection during the login. A disconnect after a refused offer
    /// (sshd: "Too many authentication failures") counts as a failed authentication.
    pub(in crate::session) fn explain(
        &mut self,
        kind: HostErrorKind,
        cause: Cause,
        profile: &Profile,
        out: &mut Vec<Effect>,
    ) -> (HostErrorKind, Cause) {
        // sshd disconnects instead of answering the last attempt of its `MaxAuthTries`.
        if let HostErrorKind::Disconnected { reason, .. } = &kind
            && is_refusal(*reason)
        {
            self.end_trial(TrialEnd::Refused, out);
        }
        match kind {
            HostErrorKind::Disconnected { reason, message } if self.was_refused() && is_refusal(reason) => {
                if let LoginStep::Offer(index, _) = &self.step {
                    self.note(profile.plan[*index].method());
                }
                self.problems.push(AuthProblem::Disconnected { reason, message });
                (self.failed(profile), Cause::Final)
            }
            kind => (kind, cause),
        }
    }
}
