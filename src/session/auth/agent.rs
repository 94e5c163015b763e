//! The keys of an agent, as one offer of the plan: the server is asked about each, and the agent signs with one that the
//! server wants. An agent may ask its user before it signs, so no signature is asked for in vain.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::Poll;

use super::attempt::Verdict;
use crate::agent::wire::Identity;
use crate::error::AuthMethod;
use crate::link::{AuthReply, Credential, Link, LinkError};
use crate::session::Ask;

/// The agent's offer, while it is being made.
#[derive(Debug, Default)]
pub(super) struct AgentKeys {
    stage: Stage,
    /// Not asked about yet.
    keys: VecDeque<Identity>,
    /// The server has refused these, or accepted them as one of several.
    spent: Vec<Identity>,
    /// The agent did not sign with these.
    unsigned: Vec<Identity>,
    /// The server has refused one.
    refused: bool,
}

#[derive(Debug, Default)]
enum Stage {
    /// The agent has to be asked what it holds.
    #[default]
    Unlisted,
    /// The agent is asked what it holds.
    Listing,
    /// The next key is taken.
    Between,
    /// The server is asked.
    Offering(Identity, Option<Arc<[u8]>>),
    /// The agent has to be asked for a signature.
    Unsigned(Identity, Vec<u8>),
    /// The agent is asked for a signature.
    Signing(Identity),
}

impl AgentKeys {
    /// What the agent is to be asked. Each question is told once.
    pub(super) fn take_ask(&mut self) -> Option<Ask> {
        let (stage, ask) = match mem::replace(&mut self.stage, Stage::Between) {
            Stage::Unlisted => (Stage::Listing, Some(Ask::Identities)),
            Stage::Unsigned(identity, request) => (Stage::Signing(identity), Some(Ask::Signature(request))),
            stage => (stage, None),
        };
        self.stage = stage;
        ask
    }

    pub(super) fn awaits_agent(&self) -> bool {
        matches!(self.stage, Stage::Listing | Stage::Signing(_))
    }

    /// The agent holds these keys, and `offers` says which of them are worth offering.
    pub(super) fn listed(&mut self, identities: &[Identity], offers: impl Fn(&Identity) -> bool) {
        if matches!(self.stage, Stage::Listing) {
            self.keys = identities.iter().filter(|identity| offers(identity)).cloned().collect();
            self.stage = Stage::Between;
        }
    }

    /// The agent has signed, or not.
    pub(super) fn signed(&mut self, signature: Option<Arc<[u8]>>) {
        let Stage::Signing(identity) = &self.stage else { return };
        let identity = identity.clone();
        self.stage = match signature {
            Some(signature) => Stage::Offering(identity, Some(signature)),
            None => {
                self.unsigned.push(identity);
                Stage::Between
            }
        };
    }

    /// The keys that are not to be offered again, from wherever they come.
    pub(super) fn take_spent(&mut self) -> Vec<Identity> {
        mem::take(&mut self.spent)
    }

    /// The keys that the agent is of no use for.
    pub(super) fn take_unsigned(&mut self) -> Vec<Identity> {
        mem::take(&mut self.unsigned)
    }

    pub(super) fn was_refused(&self) -> bool {
        self.refused
    }

    /// Goes as far as server and agent let it.
    pub(super) fn step(&mut self, link: &mut dyn Link) -> Result<Poll<Verdict>, LinkError> {
        loop {
            let (identity, signature) = match &self.stage {
                Stage::Between => match self.keys.pop_front() {
                    Some(identity) => {
                        self.stage = Stage::Offering(identity, None);
                        continue;
                    }
                    None if self.refused => return Ok(Poll::Ready(Verdict::Server(AuthReply::Denied))),
                    None => return Ok(Poll::Ready(Verdict::Nothing)),
                },
                Stage::Offering(identity, signature) => (identity.clone(), signature.clone()),
                Stage::Unlisted | Stage::Listing | Stage::Unsigned(..) | Stage::Signing(_) => {
                    return Ok(Poll::Pending);
                }
            };
            let credential = Credential::Agent { identity: identity.clone(), signature };
            let Poll::Ready(reply) = link.authenticate(&credential)? else { return Ok(Poll::Pending) };
            self.stage = match reply {
                AuthReply::ToSign(request) => Stage::Unsigned(identity, request),
                AuthReply::Unable(reason) => {
                    log::debug!("a key of the ssh-agent is of no use here: {identity:?}: {reason}");
                    Stage::Between
                }
                // One of a kind that the server does not want now says nothing about the key.
                AuthReply::Denied if !link.offered().contains(&AuthMethod::PublicKey) => {
                    return Ok(Poll::Ready(Verdict::Server(AuthReply::Denied)));
                }
                AuthReply::Denied => {
                    self.refused = true;
                    self.spent.push(identity);
                    Stage::Between
                }
                AuthReply::Partial => {
                    self.spent.push(identity);
                    return Ok(Poll::Ready(Verdict::Server(AuthReply::Partial)));
                }
                AuthReply::Accepted => return Ok(Poll::Ready(Verdict::Server(AuthReply::Accepted))),
            };
        }
    }
}
