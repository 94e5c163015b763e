//! Authentication (RFC 4252): makes the offers of the plan until the server accepts the user.
//!
//! Each offer is made once per connection, with one exception. If the server refuses an offer at a
//! time when it does not accept the offer's method, the refusal says nothing about the credential.
//! After a partial success the server accepts other methods, so an offer that was refused in this
//! way is made again.

mod agent;
mod attempt;
mod failed;
mod interactive;

use std::mem;
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;

use self::attempt::{Attempt, Verdict};
use super::target::{Offer, Profile, Target};
use super::trial::{Permission, Trial, TrialEnd, TrialOf};
use super::{Cx, Effect, Failure};
use crate::agent::Listed;
use crate::agent::wire::Identity;
use crate::credential::UserPassword;
use crate::error::{AuthMethod, AuthProblem};
use crate::hostkey::HostVerified;
use crate::link::{AuthReply, Link, PrivateKey};
use crate::stage::TimeoutKind;

/// A login that is under way. It holds the proof that the host was verified, and cannot be created
/// without that proof.
#[derive(Debug)]
pub(super) struct Login {
    pub proof: HostVerified,
    step: LoginStep,
    /// What became of each offer of the plan, in the order of the plan.
    fates: Vec<Fate>,
    /// The agent's keys that the server refused or accepted with partial success.
    spent: Vec<Identity>,
    /// The keys that the agent did not sign with.
    unsigned: Vec<Identity>,
    tried: Vec<AuthMethod>,
    /// The problems to report besides the server's refusals.
    problems: Vec<AuthProblem>,
    /// The methods that the server accepts, according to its last reply; `None` before its first
    /// reply.
    offered: Option<Vec<AuthMethod>>,
    /// Whether the current offer's password is on trial.
    trial: Trial,
    /// Whether the agent may have been waiting for another host's touch when a time limit passed.
    pub was_held_up: bool,
    /// Whether the server has refused the password, on this connection or an earlier one.
    pub password_refused: bool,
}

#[derive(Debug)]
enum LoginStep {
    /// The server has not granted the authentication service yet.
    Service,
    /// The offer with this index in the plan waits until its password may be sent.
    Trial(usize),
    /// The offer with this index in the plan is being made.
    Offer(usize, Attempt),
}

/// What became of an offer on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The offer has not been made yet.
    Open,
    /// The offer was refused while the server did not accept its method. It becomes open again
    /// after the next partial success.
    Unheard,
    /// The offer was refused on its merits, accepted with partial success, or abandoned.
    Done,
}

impl Login {
    /// A password that an earlier attempt to connect has found to be refused is not sent again. If
    /// the proof restricts the connection, nothing is sent that another host could use.
    pub(super) fn new(
        proof: HostVerified,
        profile: &Profile,
        password_refused: bool,
        link: &mut dyn Link,
    ) -> Self {
        let mut problems = Vec::new();
        if proof.is_restricted() {
            link.restrict();
            let is_safe = |offer: &Offer| offer.is_safe();
            problems.extend((!profile.plan.iter().all(is_safe)).then_some(AuthProblem::HostKeyChanged));
        }
        let is_spent = |offer: &Offer| {
            password_refused && offer.password().is_some() || proof.is_restricted() && !offer.is_safe()
        };
        let fate = |offer| if is_spent(offer) { Fate::Done } else { Fate::Open };
        Self {
            step: LoginStep::Service,
            fates: profile.plan.iter().map(fate).collect(),
            proof,
            spent: Vec::new(),
            unsigned: Vec::new(),
            tried: password_refused.then_some(AuthMethod::Password).into_iter().collect(),
            problems,
            offered: None,
            trial: Trial::Idle,
            was_held_up: false,
            password_refused,
        }
    }

    /// Makes as much progress as the server's replies allow. Returns `Ready` once the user is
    /// logged in.
    pub(super) fn step(&mut self, target: &Target, cx: &mut Cx<'_>) -> Result<Poll<()>, Failure> {
        let profile = &*target.profile;
        loop {
            match &mut self.step {
                LoginStep::Service => {
                    if cx.link.request_auth()?.is_pending() {
                        return Ok(Poll::Pending);
                    }
                }
                LoginStep::Trial(_) => return Ok(Poll::Pending),
                LoginStep::Offer(index, attempt) => {
                    let Poll::Ready(verdict) = attempt.step(target, cx)? else {
                        return Ok(Poll::Pending);
                    };
                    let (index, offer) = (*index, &profile.plan[*index]);
                    let method = offer.method();
                    let is_sent = attempt.has_sent_password();
                    let mut was_asked = verdict != Verdict::Nothing;
                    if let Attempt::Agent(keys) = attempt {
                        was_asked |= keys.asked_about().next().is_some();
                        self.spent.append(&mut keys.spent);
                        self.problems.append(&mut keys.problems);
                        let unsigned = mem::take(&mut keys.unsigned);
                        self.note_unsigned(unsigned);
                    }
                    if was_asked {
                        self.note(method);
                    }
                    let mut end = TrialEnd::Unanswered;
                    match verdict {
                        Verdict::Server(AuthReply::Accepted) => {
                            self.end_trial(TrialEnd::Accepted, cx.out);
                            return Ok(Poll::Ready(()));
                        }
                        Verdict::Server(AuthReply::Partial) => {
                            end = TrialEnd::Accepted;
                            self.partial(index, offer, cx.link.offered());
                        }
                        Verdict::Server(AuthReply::Denied) => {
                            self.denied(index, method, cx.link.offered());
                            // A refusal of the method says nothing about the password.
                            if is_sent && self.fates[index] == Fate::Done {
                                end = TrialEnd::Refused;
                                self.password_refused = true;
                                self.give_up_password(offer, profile);
                            }
                            self.explain_certificate(index, profile, cx.calendar);
                        }
                        Verdict::Server(AuthReply::Unable(reason)) => {
                            self.dropped(index, AuthProblem::Unable { method, reason });
                        }
                        Verdict::Dropped(problem) => self.dropped(index, problem),
                        // `ToSign` does not get here, because the agent's offer handles requests
                        // for signatures.
                        Verdict::Nothing | Verdict::Server(AuthReply::ToSign(_)) => {
                            self.fates[index] = Fate::Done;
                        }
                    }
                    self.end_trial(end, cx.out);
                }
            }
            self.advance(profile, cx.out)?;
        }
    }

    /// Handles a partial success (RFC 4252 section 5.1): this method is done, and the server names
    /// the methods that can continue the login.
    fn partial(&mut self, index: usize, offer: &Offer, offered: Vec<AuthMethod>) {
        for fate in &mut self.fates {
            if *fate == Fate::Unheard {
                *fate = Fate::Open;
            }
        }
        // The server may still want another of the agent's keys.
        self.fates[index] = if matches!(offer, Offer::Agent(_)) { Fate::Open } else { Fate::Done };
        self.offered = Some(offered);
    }

    fn denied(&mut self, index: usize, method: AuthMethod, offered: Vec<AuthMethod>) {
        self.fates[index] = if offered.contains(&method) { Fate::Done } else { Fate::Unheard };
        self.offered = Some(offered);
    }

    /// Gives up the offers that would send the password of this offer, by either method.
    fn give_up_password(&mut self, refused: &Offer, profile: &Profile) {
        let Some(refused) = refused.password() else { return };
        for (fate, offer) in self.fates.iter_mut().zip(&profile.plan) {
            if offer.password().is_some_and(|password| password.as_c_str() == refused.as_c_str()) {
                *fate = Fate::Done;
            }
        }
    }

    /// If the server refused a certificate, notes what is visibly wrong with the certificate.
    fn explain_certificate(&mut self, index: usize, profile: &Profile, calendar: fn() -> SystemTime) {
        if self.fates[index] == Fate::Done
            && let Some(certificate) = profile.plan[index].key().and_then(PrivateKey::certificate)
        {
            self.problems.extend(certificate.problem(&profile.user_name(), calendar()));
        }
    }

    /// Handles an offer that was abandoned. The server has not replied to it, so the server still
    /// accepts the same methods.
    fn dropped(&mut self, index: usize, problem: AuthProblem) {
        self.fates[index] = Fate::Done;
        self.problems.push(problem);
    }

    /// Which time limit applies to the current step.
    pub(super) fn timeout_kind(&self, profile: &Profile) -> TimeoutKind {
        match &self.step {
            LoginStep::Trial(_) => TimeoutKind::Trial,
            LoginStep::Offer(..) if self.awaits_touch() => TimeoutKind::Touch,
            LoginStep::Offer(..) if self.awaits_agent() => TimeoutKind::Agent,
            LoginStep::Offer(index, _) if profile.plan[*index].method() == AuthMethod::Gssapi => {
                TimeoutKind::Gssapi
            }
            _ => TimeoutKind::Auth,
        }
    }

    fn note(&mut self, method: AuthMethod) {
        if method != AuthMethod::None && !self.tried.contains(&method) {
            self.tried.push(method);
        }
    }

    /// Starts the first open offer whose method the server accepts.
    fn advance(&mut self, profile: &Profile, out: &mut Vec<Effect>) -> Result<(), Failure> {
        let heard = |method| self.offered.as_ref().is_none_or(|offered| offered.contains(&method));
        let offers = profile.plan.iter().zip(&self.fates).enumerate();
        let is_spent = |key: &PrivateKey| self.spent.iter().any(|spent| key.blob() == spent.blob());
        let mut open =
            offers.filter(|(_, (offer, fate))| **fate == Fate::Open && !offer.key().is_some_and(is_spent));
        match open.find(|(_, (offer, _))| heard(offer.method())) {
            Some((index, (offer, _))) => {
                self.step = match offer.password().filter(|_| profile.guard_passwords) {
                    Some(password) => {
                        let password = UserPassword::new(&profile.user, password.as_c_str().to_bytes());
                        self.trial = Trial::Requested;
                        out.push(Effect::RequestTrial(TrialOf::Login, password));
                        LoginStep::Trial(index)
                    }
                    None => LoginStep::Offer(index, Attempt::new(offer, out)),
                };
                Ok(())
            }
            None => Err(self.failed(profile).into()),
        }
    }

    pub(super) fn awaits_trial(&self) -> bool {
        matches!(self.step, LoginStep::Trial(_))
    }

    /// Handles the answer whether the password of the next offer may be sent.
    pub(super) fn permitted(
        &mut self,
        permission: Permission,
        profile: &Profile,
        out: &mut Vec<Effect>,
    ) -> Result<(), Failure> {
        let LoginStep::Trial(index) = self.step else { return Ok(()) };
        match permission {
            Permission::Granted => {
                self.trial = Trial::Granted;
                self.step = LoginStep::Offer(index, Attempt::new(&profile.plan[index], out));
                Ok(())
            }
            Permission::Withheld(refused_by) => {
                self.trial = Trial::Idle;
                self.give_up_password(&profile.plan[index], profile);
                self.dropped(index, AuthProblem::PasswordWithheld { refused_by });
                self.advance(profile, out)
            }
        }
    }

    #[cfg(test)]
    pub(super) fn has_trial(&self) -> bool {
        self.trial != Trial::Idle
    }

    /// Ends the trial of the current offer's password, if there is one.
    pub(super) fn end_trial(&mut self, end: TrialEnd, out: &mut Vec<Effect>) {
        self.trial.end(TrialOf::Login, end, out);
    }

    /// Notes the keys that the agent did not sign with. The server has not refused them, so the
    /// error must explain why they were not used.
    fn note_unsigned(&mut self, unsigned: Vec<Identity>) {
        if let Some(first) = unsigned.first() {
            let reason =
                format!("the ssh-agent did not sign with {}", String::from_utf8_lossy(first.comment()));
            self.problems.push(AuthProblem::Unable { method: AuthMethod::PublicKey, reason });
        }
        self.unsigned.extend(unsigned);
    }

    pub(super) fn awaits_agent(&self) -> bool {
        matches!(&self.step, LoginStep::Offer(_, Attempt::Agent(keys)) if keys.awaits_agent())
    }

    /// Whether the agent may be waiting for its user to touch a security key.
    pub(super) fn awaits_touch(&self) -> bool {
        matches!(&self.step, LoginStep::Offer(_, Attempt::Agent(keys)) if keys.awaits_touch())
    }

    /// Handles the agent's list of its keys, or why there is none.
    pub(super) fn listed(&mut self, profile: &Profile, listed: &Listed) {
        let Self { step: LoginStep::Offer(index, Attempt::Agent(keys)), spent, unsigned, fates, .. } = self
        else {
            return;
        };
        let Some(Offer::Agent(choice)) = profile.plan.get(*index) else { return };
        // Whether the same key was already offered from a file.
        let is_done = |identity: &Identity| {
            let mut done = profile.plan.iter().zip(&*fates).filter(|(_, fate)| **fate == Fate::Done);
            done.any(|(offer, _)| offer.key().is_some_and(|key| key.blob() == identity.blob()))
        };
        let is_spent =
            |identity: &Identity| spent.iter().chain(&*unsigned).any(|spent| spent.blob() == identity.blob());
        let mut selected = choice.select(listed.as_deref().unwrap_or_default());
        selected.retain(|identity| !is_spent(identity) && !is_done(identity));
        keys.listed(selected);
        self.note_unlisted(choice, listed);
    }

    /// Handles the agent's signature; `None` if the agent refused to sign.
    pub(super) fn signed(&mut self, signature: Option<Arc<[u8]>>) {
        if let LoginStep::Offer(_, Attempt::Agent(keys)) = &mut self.step {
            keys.signed(signature);
        }
    }
}
