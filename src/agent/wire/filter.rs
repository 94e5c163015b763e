//! Filters what a host sends to a forwarded ssh-agent.
//!
//! A host can list the keys and request signatures, which is what forwarding is for. All other
//! requests are answered here with a failure and never reach the agent. Among them are requests to
//! load a PKCS#11 library, which the agent would run on the operator's machine, and requests to
//! add, remove or lock keys. OpenSSH's client does not filter: it tells its agent that the
//! connection is forwarded, and the agent itself refuses such requests. That is not possible here,
//! because it takes a signature that libssh does not expose.
//!
//! In this protocol each request is followed by its answer. So a filter holds at most one message,
//! and it accepts the next request once the answer to the last one is complete.

use super::{AgentError, REQUEST_IDENTITIES, SIGN_REQUEST, string};
use crate::limits;

/// The message type SSH_AGENTC_EXTENSION.
const EXTENSION: u8 = 27;

/// The name of the extension with which an `ssh` on the host describes the connection that it is
/// making, before it requests a signature.
const SESSION_BIND: &[u8] = b"session-bind@openssh.com";

/// The size in bytes of the length field that precedes each message.
const HEAD: usize = 4;

/// The filter of one connection to a forwarded agent.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    state: Exchange,
    /// The request with its length, while it is being received or sent to the agent.
    request: Vec<u8>,
}

/// How far the exchange of a request and its answer has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Exchange {
    /// The host sends a request.
    #[default]
    Asking,
    /// The request is being sent to the agent, which has received `sent` bytes of it.
    Telling { sent: usize },
    /// The agent sends the length of its answer. `bytes` bytes of the length have arrived, and
    /// `length` is their value so far.
    Measuring { bytes: usize, length: u32 },
    /// The agent sends the body of its answer, of which `left` bytes are missing.
    Answering { left: usize },
}

/// Whether a complete request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// The request must be sent to the agent ([`Filter::to_agent`]).
    Allowed,
    /// The request was dropped, and the host must be sent a [`failure`](super::failure). It may
    /// make another request.
    Refused,
}

impl Filter {
    /// Takes bytes from the host up to the end of a request, and leaves the rest in `bytes`. Takes
    /// nothing while an earlier request is unanswered.
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

    /// Moves bytes into the request until it has this length or no bytes are left.
    fn take(&mut self, length: usize, bytes: &mut &[u8]) {
        let missing = length.saturating_sub(self.request.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at(missing);
        self.request.extend_from_slice(taken);
        *bytes = rest;
    }

    /// The part of the request that must still be sent to the agent.
    pub(crate) fn to_agent(&self) -> &[u8] {
        match self.state {
            Exchange::Telling { sent } => self.request.get(sent..).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Records that the agent has received this many more bytes of [`to_agent`](Self::to_agent).
    pub(crate) fn sent(&mut self, bytes: usize) {
        if let Exchange::Telling { sent } = &mut self.state {
            *sent += bytes;
            if *sent >= self.request.len() {
                self.request = Vec::new();
                self.state = Exchange::Measuring { bytes: 0, length: 0 };
            }
        }
    }

    /// The most bytes that may be read from the agent now: those that are known to be missing from
    /// its answer. 0 while the agent has no request to answer.
    pub(crate) fn answer_missing(&self) -> usize {
        match self.state {
            Exchange::Asking | Exchange::Telling { .. } => 0,
            Exchange::Measuring { bytes, .. } => HEAD - bytes,
            Exchange::Answering { left } => left,
        }
    }

    /// Keeps track of bytes from the agent, which the caller passes on to the host. There must be
    /// no more of them than [`answer_missing`](Self::answer_missing) returns.
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

    /// The state in which `left` bytes of the answer are missing.
    fn after(left: usize) -> Exchange {
        if left == 0 { Exchange::Asking } else { Exchange::Answering { left } }
    }

    /// Whether every request has been answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == Exchange::Asking
    }

    /// How many bytes of the request are buffered.
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

/// Whether a host may make this request, which is passed without its length. An empty request is
/// not allowed.
fn is_allowed(request: &[u8]) -> bool {
    match request.split_first() {
        Some((&(REQUEST_IDENTITIES | SIGN_REQUEST), _)) => true,
        Some((&EXTENSION, mut body)) => string(&mut body) == Ok(SESSION_BIND),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
