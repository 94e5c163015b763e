//! One offer of the plan, until the server has accepted or refused it.

use std::task::Poll;

use crate::link::{AuthReply, Credential, Link, LinkError};
use crate::session::target::Offer;

/// An offer that is being made.
#[derive(Debug)]
pub(super) struct Attempt {
    /// What the server is asked now.
    credential: Credential,
}

impl Attempt {
    pub(super) fn new(offer: &Offer) -> Self {
        let credential = match offer {
            Offer::None => Credential::None,
            Offer::Sign(key) => Credential::Key(key.clone()),
            Offer::AskThenSign(key) => Credential::Probe(key.clone()),
            Offer::Password(secret) => Credential::Password(secret.clone()),
            Offer::Gssapi(gssapi) => Credential::Gssapi(gssapi.clone()),
        };
        Self { credential }
    }

    /// Goes as far as the server lets it; what comes out at last is the answer to the whole offer.
    pub(super) fn step(&mut self, link: &mut dyn Link) -> Result<Poll<AuthReply>, LinkError> {
        loop {
            let Poll::Ready(reply) = link.authenticate(&self.credential)? else { return Ok(Poll::Pending) };
            match (&self.credential, reply) {
                (Credential::Probe(key), AuthReply::Accepted) => {
                    self.credential = Credential::Key(key.clone())
                }
                (_, reply) => return Ok(Poll::Ready(reply)),
            }
        }
    }
}
