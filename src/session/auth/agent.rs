//! The keys of an agent, as one offer of the plan: the server is asked about each, and the agent signs with one that the
//! server wants. An agent may ask its user before it signs, so no signature is asked for in vain.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::Poll;

use super::attempt::Verdict;
use crate::agent::wire::Identity;
use crate::error::AuthMethod;
use crate::link::{AuthReply, Credential, LinkError};
use crate::session::{Cx, Effect};

/// The agent's offer, while it is being made.
#[derive(Debug)]
pub(super) struct AgentKeys {
    stage: KeysStage,
    /// Keys that the server has not been asked about.
    keys: VecDeque<Identity>,
    /// The server has refused these, or accepted them as one of several.
    spent: Vec<Identity>,
    /// The agent did not sign with these.
    unsigned: Vec<Identity>,
    /// The server has refused one.
    refused: bool,
}

#[derive(Debug)]
enum KeysStage {
    /// Waits for the agent's list of keys.
    Listing,
    /// The next key is taken.
    Between,
    /// Waits for the server's answer about a key, or to a signature.
    Offering(Identity, Option<Arc<[u8]>>),
    /// Waits for the agent's signature.
    Signing(Identity),
}

impl AgentKeys {
    /// Begins by asking the agent for its keys.
    pub(super) fn list(out: &mut Vec<Effect>) -> Self {
        out.push(Effect::ListKeys);
        Self {
            stage: KeysStage::Listing,
            keys: VecDeque::new(),
            spent: Vec::new(),
            unsigned: Vec::new(),
            refused: false,
        }
    }

    pub(super) fn awaits_agent(&self) -> bool {
        matches!(self.stage, KeysStage::Listing | KeysStage::Signing(_))
    }

    /// The agent holds these keys, and `offers` says which of them are worth offering.
    pub(super) fn listed(&mut self, identities: &[Identity], offers: impl Fn(&Identity) -> bool) {
        if matches!(self.stage, KeysStage::Listing) {
            self.keys = identities.iter().filter(|identity| offers(identity)).cloned().collect();
            self.stage = KeysStage::Between;
        }
    }

    /// The agent has signed, or not.
    pub(super) fn signed(&mut self, signature: Option<Arc<[u8]>>) {
        let KeysStage::Signing(identity) = &self.stage else { return };
        let identity = identity.clone();
        self.stage = match signature {
            Some(signature) => KeysStage::Offering(identity, Some(signature)),
            None => {
                self.unsigned.push(identity);
                KeysStage::Between
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
    pub(super) fn step(&mut self, cx: &mut Cx<'_>) -> Result<Poll<Verdict>, LinkError> {
        loop {
            let (identity, signature) = match &self.stage {
                KeysStage::Between => match self.keys.pop_front() {
                    Some(identity) => {
                        self.stage = KeysStage::Offering(identity, None);
                        continue;
                    }
                    None if self.refused => return Ok(Poll::Ready(Verdict::Server(AuthReply::Denied))),
                    None => return Ok(Poll::Ready(Verdict::Nothing)),
                },
                KeysStage::Offering(identity, signature) => (identity.clone(), signature.clone()),
                KeysStage::Listing | KeysStage::Signing(_) => return Ok(Poll::Pending),
            };
            let credential = Credential::Agent { identity: identity.clone(), signature };
            let Poll::Ready(reply) = cx.link.authenticate(&credential)? else { return Ok(Poll::Pending) };
            self.stage = match reply {
                AuthReply::ToSign(request) => {
                    cx.out.push(Effect::Sign(request));
                    KeysStage::Signing(identity)
                }
                AuthReply::Unable(reason) => {
                    log::debug!("a key of the ssh-agent is of no use here: {identity:?}: {reason}");
                    KeysStage::Between
                }
                // One of a kind that the server does not want now says nothing about the key.
                AuthReply::Denied if !cx.link.offered().contains(&AuthMethod::PublicKey) => {
                    return Ok(Poll::Ready(Verdict::Server(AuthReply::Denied)));
                }
                AuthReply::Denied => {
                    self.refused = true;
                    self.spent.push(identity);
                    KeysStage::Between
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
