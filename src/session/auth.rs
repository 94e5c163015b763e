//! Authentication: makes the offers of the plan until the server is content (RFC 4252).
//!
//! An offer is made once per connection. One that was refused while the server did not want to hear of its method says
//! nothing about the credential: it is made again after a partial success, which changes what the server wants.

mod attempt;
mod interactive;

use std::task::Poll;

use self::attempt::{Attempt, Verdict};
use super::Failure;
use super::failure::is_refusal;
use super::target::{Profile, Target};
use crate::error::{AuthMethod, AuthProblem, HostErrorKind, TimeoutKind};
use crate::hostkey::HostVerified;
use crate::link::{AuthReply, Link};

/// A login under way. It holds the proof that the host is who it should be, and cannot be made without.
#[derive(Debug)]
pub(super) struct Login {
    proof: HostVerified,
    step: LoginStep,
    /// What has become of each offer of the plan.
    fates: Vec<Fate>,
    tried: Vec<AuthMethod>,
    /// What went wrong besides the server's refusals.
    problems: Vec<AuthProblem>,
    /// What the server would hear of, as its last refusal said; `None` before the first.
    offered: Option<Vec<AuthMethod>>,
}

#[derive(Debug)]
enum LoginStep {
    /// The authentication service was not granted yet.
    Service,
    /// This offer of the plan is being made.
    Offer(usize, Attempt),
}

/// What has become of an offer on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not made yet.
    Open,
    /// Refused when the server did not want its method: open again after the next partial success.
    Unheard,
    /// Refused for itself, accepted as one of several, or given up.
    Done,
}

/// What a login has come to.
pub(super) enum LoginResult {
    /// Logged in; the proof goes on.
    Accepted,
    /// Waits for the server.
    Pending,
}

impl Login {
    pub(super) fn new(proof: HostVerified, profile: &Profile) -> Self {
        Self {
            proof,
            step: LoginStep::Service,
            fates: vec![Fate::Open; profile.plan.len()],
            tried: Vec::new(),
            problems: Vec::new(),
            offered: None,
        }
    }

    pub(super) fn proof(&self) -> &HostVerified {
        &self.proof
    }

    /// Goes as far as the server lets it.
    pub(super) fn step(&mut self, target: &Target, link: &mut dyn Link) -> Result<LoginResult, Failure> {
        let profile = &*target.profile;
        loop {
            match &mut self.step {
                LoginStep::Service => {
                    if link.request_auth()?.is_pending() {
                        return Ok(LoginResult::Pending);
                    }
                }
                LoginStep::Offer(index, attempt) => {
                    let Poll::Ready(verdict) = attempt.step(target, link)? else {
                        return Ok(LoginResult::Pending);
                    };
                    let (index, method) = (*index, profile.plan[*index].method());
                    self.note(method);
                    match verdict {
                        Verdict::Server(AuthReply::Accepted) => return Ok(LoginResult::Accepted),
                        Verdict::Server(AuthReply::Partial) => self.partial(index, link.offered()),
                        Verdict::Server(AuthReply::Denied) => self.denied(index, method, link.offered()),
                        Verdict::Server(AuthReply::Unable(reason)) => {
                            self.dropped(index, AuthProblem::Unable { method, reason });
                        }
                        Verdict::Dropped(problem) => self.dropped(index, problem),
                    }
                }
            }
            self.advance(profile)?;
        }
    }

    /// RFC 4252 section 5.1: the method is done, and there is a new list of what the server wants.
    fn partial(&mut self, index: usize, offered: Vec<AuthMethod>) {
        for fate in &mut self.fates {
            if *fate == Fate::Unheard {
                *fate = Fate::Open;
            }
        }
        self.fates[index] = Fate::Done;
        self.offered = Some(offered);
    }

    fn denied(&mut self, index: usize, method: AuthMethod, offered: Vec<AuthMethod>) {
        self.fates[index] = if offered.contains(&method) { Fate::Done } else { Fate::Unheard };
        self.offered = Some(offered);
    }

    /// The server has said nothing, so what it wants is as unknown as before.
    fn dropped(&mut self, index: usize, problem: AuthProblem) {
        self.fates[index] = Fate::Done;
        self.problems.push(problem);
    }

    /// Which limit it is that a login under way reaches.
    pub(super) fn timeout_kind(&self, profile: &Profile) -> TimeoutKind {
        match &self.step {
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

    /// Takes the first open offer that the server would hear of.
    fn advance(&mut self, profile: &Profile) -> Result<(), Failure> {
        let heard = |method| self.offered.as_ref().is_none_or(|offered| offered.contains(&method));
        let offers = profile.plan.iter().zip(&self.fates).enumerate();
        let mut open = offers.filter(|(_, (_, fate))| **fate == Fate::Open);
        match open.find(|(_, (offer, _))| heard(offer.method())) {
            Some((index, (offer, _))) => {
                self.step = LoginStep::Offer(index, Attempt::new(offer));
                Ok(())
            }
            None => Err(self.failed(profile).into()),
        }
    }

    fn failed(&mut self, profile: &Profile) -> HostErrorKind {
        HostErrorKind::Auth {
            user: profile.user_name(),
            tried: std::mem::take(&mut self.tried),
            offered: self.offered.take().unwrap_or_default(),
            problems: std::mem::take(&mut self.problems),
        }
    }

    /// What a failure of the connection was, seen from the login that it cut off: the goodbye of a server that has refused
    /// something already (sshd: "Too many authentication failures") is a failed authentication.
    pub(super) fn explain(&mut self, kind: HostErrorKind, profile: &Profile) -> HostErrorKind {
        match kind {
            HostErrorKind::Disconnected { reason, message }
                if self.offered.is_some() && is_refusal(reason) =>
            {
                if let LoginStep::Offer(index, _) = &self.step {
                    self.note(profile.plan[*index].method());
                }
                self.problems.push(AuthProblem::Disconnected { reason, message });
                self.failed(profile)
            }
            kind => kind,
        }
    }
}
