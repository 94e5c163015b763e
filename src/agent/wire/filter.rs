//! Filters what a host sends to a forwarded ssh-agent.
//!
//! A host can list the keys and let them sign, which is what forwarding is for. All other requests
//! are answered here with a failure and never reach the agent: to load a PKCS#11 library, which the
//! agent would run on the operator's machine, and to add, remove or lock keys. OpenSSH's client
//! tells its agent that a connection is forwarded, and the agent refuses these itself. That takes a
//! signature that libssh does not give out.
//!
//! The protocol is one request, then its answer. So a filter holds at most one message, and accepts
//! the next request once the answer to the last one is complete.

use super::{AgentError, REQUEST_IDENTITIES, SIGN_REQUEST, string};
use crate::limits;

/// SSH_AGENTC_EXTENSION.
const EXTENSION: u8 = 27;

/// Sent by an `ssh` on the host, about the connection that it makes, before it asks for a
/// signature.
const SESSION_BIND: &[u8] = b"session-bind@openssh.com";

/// Bytes of the length before each message.
const HEAD: usize = 4;

/// The filter of one connection to a forwarded agent.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    state: Exchange,
    /// The request with its length: being assembled, or on its way to the agent.
    request: Vec<u8>,
}

/// How far the request and its answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Exchange {
    /// The host sends a request.
    #[default]
    Asking,
    /// The agent has `sent` bytes of the request.
    Telling { sent: usize },
    /// The agent answers: `bytes` bytes of the length have come, and make `length` so far.
    Measuring { bytes: usize, length: u32 },
    /// The agent answers: `left` bytes are missing.
    Answering { left: usize },
}

/// Whether a whole request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Send it to the agent ([`Filter::to_agent`]).
    Allowed,
    /// Send the host a [`failure`](super::failure). It may make another request.
    Refused,
}

impl Filter {
    /// Takes bytes from the host up to the end of a request, unless an earlier one is not answered
    /// yet. Leaves the rest in `bytes`.
    pub(crate) fn receive(&mut self, bytes: &mut &[u8]) -> Result<Option<Permission>, AgentError> {
        if self.state != Exchange::Asking {
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
            self.state = Exchange::Telling { sent: 0 };
            Ok(Some(Permission::Allowed))
        } else {
            self.request.clear();
            Ok(Some(Permission::Refused))
        }
    }

    /// Extends the request to this length, as far as the bytes go.
    fn take(&mut self, length: usize, bytes: &mut &[u8]) {
        let missing = length.saturating_sub(self.request.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at(missing);
        self.request.extend_from_slice(taken);
        *bytes = rest;
    }

    /// The rest of the request, to be sent to the agent.
    pub(crate) fn to_agent(&self) -> &[u8] {
        match self.state {
            Exchange::Telling { sent } => self.request.get(sent..).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The agent has taken so many bytes of [`to_agent`](Self::to_agent).
    pub(crate) fn sent(&mut self, bytes: usize) {
        if let Exchange::Telling { sent } = &mut self.state {
            *sent += bytes;
            if *sent >= self.request.len() {
                self.request = Vec::new();
                self.state = Exchange::Measuring { bytes: 0, length: 0 };
            }
        }
    }

    /// Bytes of the answer that are known to be missing: read no more. 0 while there is no request
    /// to answer.
    pub(crate) fn answer_missing(&self) -> usize {
        match self.state {
            Exchange::Asking | Exchange::Telling { .. } => 0,
            Exchange::Measuring { bytes, .. } => HEAD - bytes,
            Exchange::Answering { left } => left,
        }
    }

    /// Follows bytes from the agent, at most [`answer_missing`](Self::answer_missing). Pass
    /// them to the host.
    pub(crate) fn answered(&mut self, answer: &[u8]) -> Result<(), AgentError> {
        self.state = match self.state {
            Exchange::Measuring { bytes, length: begun } => {
                let fold = |length: u32, byte: &u8| length << 8 | u32::from(*byte);
                let (bytes, begun) = (bytes + answer.len(), answer.iter().fold(begun, fold));
                match bytes {
                    HEAD => Self::after(body_length(begun)?),
                    _ => Exchange::Measuring { bytes, length: begun },
                }
            }
            Exchange::Answering { left } => Self::after(left.saturating_sub(answer.len())),
            state => state,
        };
        Ok(())
    }

    /// The state with so many bytes of the answer missing.
    fn after(left: usize) -> Exchange {
        if left == 0 { Exchange::Asking } else { Exchange::Answering { left } }
    }

    /// Whether every request has been answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == Exchange::Asking
    }

    /// Bytes of the request that are kept.
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

/// Whether a host may make this request, given without its length. It may not without a type.
fn is_allowed(request: &[u8]) -> bool {
    match request.split_first() {
        Some((&(REQUEST_IDENTITIES | SIGN_REQUEST), _)) => true,
        Some((&EXTENSION, mut body)) => string(&mut body) == Ok(SESSION_BIND),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
