//! What a host may say to the ssh-agent that is forwarded to it.
//!
//! A host can list the keys and have them sign, which is what forwarding is for. Every other request is
//! answered here with a failure and never reaches the agent: to load a PKCS#11 library, which the agent would
//! run on the operator's machine, to add, remove or lock keys. OpenSSH's client tells its agent that a
//! connection is forwarded, and the agent refuses these itself; libssh gives nobody the signature that this
//! takes.
//!
//! The protocol is one request, then its answer. So a filter holds one message at most, and takes the next
//! request once the answer to the last one has been handed on.

use super::{AgentError, REQUEST_IDENTITIES, SIGN_REQUEST, string};
use crate::limits;

/// SSH_AGENTC_EXTENSION.
const EXTENSION: u8 = 27;

/// What an `ssh` on the host says about the connection that it makes, before it asks for a signature.
const SESSION_BIND: &[u8] = b"session-bind@openssh.com";

/// The length before each message.
const HEAD: usize = 4;

/// One connection of a host to a forwarded agent.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    turn: Turn,
    /// The request that is being assembled, or that is on its way to the agent, with its length.
    request: Vec<u8>,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Turn {
    /// The host's.
    #[default]
    Asking,
    /// The agent is being told, and has so many bytes of the request.
    Telling { sent: usize },
    /// The agent's. Of its answer, so many bytes of the length have come, which is this so far.
    Measuring { bytes: usize, length: u32 },
    /// The agent's. So many bytes of its answer are to come.
    Answering { left: usize },
}

/// What becomes of a request that has arrived as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes to the agent ([`Filter::to_agent`]).
    Allowed,
    /// The host gets a [`failure`](super::failure), and may ask again.
    Refused,
}

impl Filter {
    /// Takes what the host says, up to the end of a request, if it is the host's turn. What is left in
    /// `bytes` is for the next one.
    pub(crate) fn hear(&mut self, bytes: &mut &[u8]) -> Result<Option<Verdict>, AgentError> {
        if self.turn != Turn::Asking {
            return Ok(None);
        }
        self.take(HEAD, bytes);
        let Some(head) = self.request.first_chunk::<HEAD>() else { return Ok(None) };
        let end = HEAD + body_length(u32::from_be_bytes(*head))?;
        self.take(end, bytes);
        if self.request.len() < end {
            return Ok(None);
        }
        if is_allowed(&self.request[HEAD..]) {
            self.turn = Turn::Telling { sent: 0 };
            Ok(Some(Verdict::Allowed))
        } else {
            self.request.clear();
            Ok(Some(Verdict::Refused))
        }
    }

    /// Completes the request to this length, as far as the bytes go.
    fn take(&mut self, length: usize, bytes: &mut &[u8]) {
        let missing = length.saturating_sub(self.request.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at(missing);
        self.request.extend_from_slice(taken);
        *bytes = rest;
    }

    /// What the agent is still to be told.
    pub(crate) fn to_agent(&self) -> &[u8] {
        match self.turn {
            Turn::Telling { sent } => self.request.get(sent..).unwrap_or_default(),
            _ => &[],
        }
    }

    /// So many bytes of [`to_agent`](Self::to_agent) are with the agent.
    pub(crate) fn told(&mut self, bytes: usize) {
        if let Turn::Telling { sent } = &mut self.turn {
            *sent += bytes;
            if *sent >= self.request.len() {
                self.request = Vec::new();
                self.turn = Turn::Measuring { bytes: 0, length: 0 };
            }
        }
    }

    /// How much may be read of what the agent says: no more than its answer has. 0 while it has none to give.
    pub(crate) fn answer_room(&self) -> usize {
        match self.turn {
            Turn::Asking | Turn::Telling { .. } => 0,
            Turn::Measuring { bytes, .. } => HEAD - bytes,
            Turn::Answering { left } => left,
        }
    }

    /// The agent has said this, no more than there was [room](Self::answer_room) for. It is for the host.
    pub(crate) fn answer(&mut self, said: &[u8]) -> Result<(), AgentError> {
        self.turn = match self.turn {
            Turn::Measuring { bytes, length: begun } => {
                let fold = |length: u32, byte: &u8| length << 8 | u32::from(*byte);
                let (bytes, begun) = (bytes + said.len(), said.iter().fold(begun, fold));
                match bytes {
                    HEAD => Self::after(body_length(begun)?),
                    _ => Turn::Measuring { bytes, length: begun },
                }
            }
            Turn::Answering { left } => Self::after(left.saturating_sub(said.len())),
            turn => turn,
        };
        Ok(())
    }

    /// Where so many bytes of an answer are left.
    fn after(left: usize) -> Turn {
        if left == 0 { Turn::Asking } else { Turn::Answering { left } }
    }

    /// Whether the host has been answered all that it asked.
    pub(crate) fn is_hosts_turn(&self) -> bool {
        self.turn == Turn::Asking
    }

    /// Bytes that are kept.
    pub(crate) fn held(&self) -> usize {
        self.request.len()
    }
}

fn body_length(length: u32) -> Result<usize, AgentError> {
    match usize::try_from(length) {
        Ok(body) if body <= limits::AGENT_MESSAGE => Ok(body),
        _ => Err(AgentError::TooLong(length)),
    }
}

/// Whether a request, without its length, is one that a host may make. One without a type is none.
fn is_allowed(request: &[u8]) -> bool {
    match request.split_first() {
        Some((&(REQUEST_IDENTITIES | SIGN_REQUEST), _)) => true,
        Some((&EXTENSION, mut body)) => string(&mut body) == Ok(SESSION_BIND),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
