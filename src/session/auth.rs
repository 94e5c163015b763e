//! Authentication: goes through the plan until the server is content (RFC 4252).

use std::task::Poll;

use super::target::{Offer, Profile};
use crate::error::{AuthMethod, HostErrorKind};
use crate::hostkey::HostVerified;
use crate::link::{AuthReply, Credential, Link};

use super::Failure;

/// A login under way. It holds the proof that the host is who it should be, and cannot be made without.
#[derive(Debug)]
pub(super) struct Login {
    proof: HostVerified,
    /// What the server is asked next.
    step: LoginStep,
    tried: Vec<AuthMethod>,
    /// What the server's last refusal offered; empty before the first.
    offered: Vec<AuthMethod>,
}

#[derive(Debug)]
enum LoginStep {
    /// The authentication service was not granted yet.
    Service,
    /// Offer number `.0` of the plan, as this credential.
    Offer(usize, Credential),
}

/// What a login has come to.
pub(super) enum LoginResult {
    /// Logged in; the proof goes on.
    Accepted,
    /// Waits for the server.
    Pending,
}

impl Login {
    pub(super) fn new(proof: HostVerified) -> Self {
        Self { proof, step: LoginStep::Service, tried: Vec::new(), offered: Vec::new() }
    }

    pub(super) fn proof(&self) -> &HostVerified {
        &self.proof
    }

    /// Goes as far as the server lets it.
    pub(super) fn step(&mut self, profile: &Profile, link: &mut dyn Link) -> Result<LoginResult, Failure> {
        loop {
            let (index, credential) = match &self.step {
                LoginStep::Service => match link.request_auth()? {
                    Poll::Pending => return Ok(LoginResult::Pending),
                    Poll::Ready(()) => {
                        self.advance(profile, 0)?;
                        continue;
                    }
                },
                LoginStep::Offer(index, credential) => (*index, credential),
            };
            let Poll::Ready(reply) = link.authenticate(credential)? else { return Ok(LoginResult::Pending) };
            let method = credential.method();
            match (credential, reply) {
                (Credential::Probe(key), AuthReply::Accepted) => {
                    self.step = LoginStep::Offer(index, Credential::Key(key.clone()));
                }
                (_, AuthReply::Accepted) => return Ok(LoginResult::Accepted),
                (_, AuthReply::Partial | AuthReply::Denied) => {
                    self.note(method);
                    self.offered = link.offered();
                    self.advance(profile, index + 1)?;
                }
            }
        }
    }

    fn note(&mut self, method: AuthMethod) {
        if !self.tried.contains(&method) {
            self.tried.push(method);
        }
    }

    /// Takes the next offer, from `index` on, that the server would hear.
    fn advance(&mut self, profile: &Profile, index: usize) -> Result<(), Failure> {
        let heard = |method| self.offered.is_empty() || self.offered.contains(&method);
        for (index, offer) in profile.plan.iter().enumerate().skip(index) {
            let credential = match offer {
                Offer::None => Credential::None,
                Offer::Sign(key) => Credential::Key(key.clone()),
                Offer::AskThenSign(key) => Credential::Probe(key.clone()),
                Offer::Password(secret) => Credential::Password(secret.clone()),
            };
            if heard(credential.method()) {
                self.step = LoginStep::Offer(index, credential);
                return Ok(());
            }
        }
        Err(HostErrorKind::Auth {
            user: profile.user_name(),
            tried: self.tried.iter().copied().filter(|method| *method != AuthMethod::None).collect(),
            offered: std::mem::take(&mut self.offered),
        }
        .into())
    }
}
