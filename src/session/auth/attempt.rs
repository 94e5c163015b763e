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
    /// The credential has not been sent yet.
    Unshown(Credential),
    /// The credential has been sent, but the server has not replied yet.
    Credential(Credential),
    Interactive(Interactive),
    Agent(Box<AgentKeys>),
}

/// The result of an offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Server(AuthReply),
    /// The offer was abandoned on our side.
    Dropped(AuthProblem),
    /// There was nothing to offer.
    Nothing,
}

impl Attempt {
    pub(super) fn new(offer: &Offer, out: &mut Vec<Effect>) -> Self {
        Self::Unshown(match offer {
            Offer::None => Credential::None,
            Offer::Sign(key) => Credential::Key(key.clone()),
            Offer::AskThenSign(key) => Credential::Probe(key.clone()),
            Offer::Agent(_) => return Self::Agent(Box::new(AgentKeys::list(out))),
            Offer::Password(secret) => Credential::Password(secret.clone()),
            Offer::Gssapi(gssapi) => Credential::Gssapi(gssapi.clone()),
            Offer::Interactive(answerer) => return Self::Interactive(Interactive::new(answerer.clone())),
        })
    }

    /// Whether a password was sent, if the offer has one.
    pub(super) fn has_sent_password(&self) -> bool {
        match self {
            Self::Credential(credential) => matches!(credential, Credential::Password(_)),
            Self::Interactive(interactive) => interactive.has_sent_password(),
            Self::Unshown(_) | Self::Agent(_) => false,
        }
    }

    /// Makes as much progress as the server's replies allow. The verdict is about the whole offer.
    pub(super) fn step(&mut self, target: &Target, cx: &mut Cx<'_>) -> Result<Poll<Verdict>, LinkError> {
        loop {
            let credential = match self {
                Self::Unshown(credential) => {
                    // Count the signature only here, because only the first call of `authenticate`
                    // with a key signs. Later calls wait for the reply.
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
