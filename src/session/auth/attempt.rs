//! One offer of the plan, until the server has accepted or refused it.

use std::mem;
use std::task::Poll;

use super::agent::AgentKeys;
use super::interactive::Interactive;
use crate::error::AuthProblem;
use crate::link::{AuthReply, Credential, LinkError};
use crate::session::target::{Offer, Target};
use crate::session::{Cx, Effect};

/// An offer that is being made.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The server is to be shown this.
    Unshown(Credential),
    /// The server is shown this.
    Credential(Credential),
    Interactive(Interactive),
    Agent(Box<AgentKeys>),
}

/// What an offer came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Server(AuthReply),
    /// Given up on this side.
    Dropped(AuthProblem),
    /// There was nothing to show the server.
    Nothing,
}

impl Attempt {
    pub(super) fn new(offer: &Offer, out: &mut Vec<Effect>) -> Self {
        Self::Unshown(match offer {
            Offer::None => Credential::None,
            Offer::Sign(key) => Credential::Key(key.clone()),
            Offer::AskThenSign(key) => Credential::Probe(key.clone()),
            Offer::Agent => return Self::Agent(Box::new(AgentKeys::list(out))),
            Offer::Password(secret) => Credential::Password(secret.clone()),
            Offer::Gssapi(gssapi) => Credential::Gssapi(gssapi.clone()),
            Offer::Interactive(answerer) => return Self::Interactive(Interactive::new(answerer.clone())),
        })
    }

    /// Whether the server has refused a part of it.
    pub(super) fn was_refused(&self) -> bool {
        matches!(self, Self::Agent(keys) if keys.was_refused())
    }

    /// Goes as far as the server lets it; what comes out at last is about the whole offer.
    pub(super) fn step(&mut self, target: &Target, cx: &mut Cx<'_>) -> Result<Poll<Verdict>, LinkError> {
        loop {
            let credential = match self {
                Self::Unshown(credential) => {
                    // The first call signs; further ones wait for the answer.
                    if matches!(credential, Credential::Key(_)) {
                        cx.out.push(Effect::Signature);
                    }
                    *self = Self::Credential(mem::replace(credential, Credential::None));
                    continue;
                }
                Self::Credential(credential) => credential,
                Self::Interactive(interactive) => return interactive.step(target, cx.link),
                Self::Agent(keys) => return keys.step(cx),
            };
            let Poll::Ready(reply) = cx.link.authenticate(credential)? else { return Ok(Poll::Pending) };
            match (credential, reply) {
                (Credential::Probe(key), AuthReply::Accepted) => {
                    *self = Self::Unshown(Credential::Key(key.clone()));
                }
                (_, reply) => return Ok(Poll::Ready(Verdict::Server(reply))),
            }
        }
    }
}
