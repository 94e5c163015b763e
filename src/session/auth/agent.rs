//! Logs in with the agent's keys, which together are one offer of the plan. The server is asked
//! about each key, and the agent signs with the key that the server accepts. An agent may ask its
//! user to confirm a signature, so no signature is requested before the server has accepted the
//! key.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use super::attempt::Verdict;
use crate::agent::wire::Identity;
use crate::error::{AuthMethod, AuthProblem};
use crate::link::{AuthReply, Credential, LinkError};
use crate::session::{Cx, Effect, TouchRequest};
use crate::{limits, text};

/// The agent's offer while it is being made.
#[derive(Debug, Default)]
pub(super) struct AgentKeys {
    stage: KeysStage,
    /// The keys that the server has not been asked about yet.
    keys: VecDeque<Identity>,
    /// The keys that the server refused or accepted with partial success. They must not be offered
    /// again, neither from the agent nor from a file.
    pub spent: Vec<Identity>,
    /// The keys that the agent did not sign with.
    pub unsigned: Vec<Identity>,
    /// Why other keys could not be offered.
    pub problems: Vec<AuthProblem>,
    /// Whether the server has refused a key.
    pub was_refused: bool,
}

#[derive(Debug, Default)]
enum KeysStage {
    /// The agent has not sent its list of keys yet.
    #[default]
    Listing,
    /// The next key can be offered.
    Between,
    /// The server has not replied yet to this key or, if there is a signature, to the signature.
    Offering(Identity, Option<Arc<[u8]>>),
    /// The agent has not signed with this key yet.
    Signing(Identity),
}

impl AgentKeys {
    /// Creates the offer, and asks the agent for its keys.
    pub(super) fn list(out: &mut Vec<Effect>) -> Self {
        out.push(Effect::ListKeys);
        Self::default()
    }

    /// The keys that the server was asked about.
    pub(super) fn asked_about(&self) -> impl Iterator<Item = &Identity> {
        let current = match &self.stage {
            KeysStage::Offering(identity, _) | KeysStage::Signing(identity) => Some(identity),
            KeysStage::Listing | KeysStage::Between => None,
        };
        self.spent.iter().chain(&self.unsigned).chain(current)
    }

    pub(super) fn awaits_agent(&self) -> bool {
        matches!(self.stage, KeysStage::Listing | KeysStage::Signing(_))
    }

    /// Whether the agent may be waiting for its user to touch a security key.
    pub(super) fn awaits_touch(&self) -> bool {
        matches!(&self.stage, KeysStage::Signing(identity) if identity.is_security_key())
    }

    /// Takes the agent's keys that are worth offering, in order.
    pub(super) fn listed(&mut self, keys: Vec<Identity>) {
        if matches!(self.stage, KeysStage::Listing) {
            self.keys = keys.into();
            self.stage = KeysStage::Between;
        }
    }

    /// Handles the agent's signature; `None` if the agent refused to sign.
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

    /// Makes as much progress as the replies of the server and of the agent allow.
    pub(super) fn step(&mut self, cx: &mut Cx<'_>) -> Result<Poll<Verdict>, LinkError> {
        loop {
            let (identity, signature) = match &self.stage {
                KeysStage::Between => match self.keys.pop_front() {
                    Some(identity) => {
                        self.stage = KeysStage::Offering(identity, None);
                        continue;
                    }
                    None if self.was_refused => return Ok(Poll::Ready(Verdict::Server(AuthReply::Denied))),
                    None => return Ok(Poll::Ready(Verdict::Nothing)),
                },
                KeysStage::Offering(identity, signature) => (identity.clone(), signature.clone()),
                KeysStage::Listing | KeysStage::Signing(_) => return Ok(Poll::Pending),
            };
            let credential = Credential::Agent { identity: identity.clone(), signature };
            let Poll::Ready(reply) = cx.link.authenticate(&credential)? else { return Ok(Poll::Pending) };
            self.stage = match reply {
                AuthReply::ToSign(request) => {
                    cx.out.push(if identity.is_security_key() {
                        let key = text::sanitise_bounded(identity.comment(), limits::PEER_TEXT).into();
                        Effect::Touch(TouchRequest { message: request, key })
                    } else {
                        Effect::Sign(request)
                    });
                    KeysStage::Signing(identity)
                }
                AuthReply::Unable(reason) => {
                    log::debug!("skipping ssh-agent key {identity:?}: {reason}");
                    let comment = String::from_utf8_lossy(identity.comment());
                    let reason = format!("ssh-agent key {comment}: {reason}");
                    self.problems.push(AuthProblem::Unable { method: AuthMethod::PublicKey, reason });
                    KeysStage::Between
                }
                // The server does not accept public keys at this point, so its refusal says nothing
                // about the key.
                AuthReply::Denied if !cx.link.offered().contains(&AuthMethod::PublicKey) => {
                    return Ok(Poll::Ready(Verdict::Server(AuthReply::Denied)));
                }
                AuthReply::Denied => {
                    self.was_refused = true;
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
