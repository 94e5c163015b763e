//! A server that requires methods in a given order, like OpenSSH's `AuthenticationMethods`.

use super::script::Cred;
use crate::error::AuthMethod;
use crate::link::AuthReply;

/// The required methods and the credentials that succeed. Panics if a credential that was refused
/// on its merits is offered again.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Lists of methods. Completing one list logs the user in.
    lists: Vec<Vec<AuthMethod>>,
    good: Vec<Cred>,
    used: Vec<Cred>,
    refused: Vec<Cred>,
}

impl Policy {
    /// Each list is written like `publickey,password`. `good` are the credentials that succeed,
    /// with keys as [`Cred::Sign`].
    pub(crate) fn new(lists: &[&[AuthMethod]], good: &[Cred]) -> Self {
        Self {
            lists: lists.iter().map(|list| list.to_vec()).collect(),
            good: good.to_vec(),
            used: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// The methods that can continue.
    pub(crate) fn offered(&self) -> Vec<AuthMethod> {
        let mut heads: Vec<AuthMethod> = self.lists.iter().filter_map(|list| list.first().copied()).collect();
        heads.dedup();
        heads
    }

    pub(crate) fn wants(&self, method: AuthMethod) -> bool {
        self.offered().contains(&method)
    }

    pub(crate) fn reply(&mut self, cred: Cred) -> AuthReply {
        let asked = match cred {
            Cred::Probe(key) => Cred::Sign(key),
            Cred::AgentAsk(key) => Cred::AgentSign(key),
            cred => cred,
        };
        assert!(!self.refused.contains(&asked), "{cred:?} was refused before");
        assert!(!self.used.contains(&asked), "{cred:?} was accepted before");
        if !self.wants(cred.method()) {
            return AuthReply::Denied;
        }
        if !self.good.contains(&asked) {
            self.refused.push(asked);
            return AuthReply::Denied;
        }
        if let Cred::AgentAsk(key) = cred {
            // The request names the key, as a real request does.
            return AuthReply::ToSign(vec![u8::try_from(key).unwrap()]);
        }
        if asked != cred {
            return AuthReply::Accepted;
        }
        self.used.push(cred);
        for list in &mut self.lists {
            if list.first() == Some(&cred.method()) {
                list.remove(0);
            }
        }
        if self.lists.iter().any(Vec::is_empty) { AuthReply::Accepted } else { AuthReply::Partial }
    }
}
