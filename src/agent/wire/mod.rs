//! The messages of the ssh-agent protocol (draft-ietf-sshm-ssh-agent, as OpenSSH implements it)
//! that logins and forwarding need.
//!
//! This module does no I/O. It trusts an agent no more than a server: it checks lengths and counts
//! against the bytes that have arrived before it allocates anything.

mod filter;

use std::fmt;
use std::sync::Arc;

pub(crate) use filter::{Filter, Permission};

use crate::limits;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// The types that SSH.COM's agents and OpenSSH before 2.0 use in place of [`FAILURE`].
const OLD_FAILURES: [u8; 2] = [30, 102];

/// The size in bytes of the shortest entry in a list of keys, which has an empty key and an empty
/// comment.
const ENTRY_MIN: usize = 8;

/// A key whose private half is held by an agent, or a certificate for such a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    blob: Box<[u8]>,
    comment: Box<[u8]>,
    /// The key that signs for a certificate that the agent itself does not hold.
    signer: Option<Box<[u8]>>,
}

impl Identity {
    pub(crate) fn new(blob: &[u8], comment: &[u8]) -> Self {
        Self(Arc::new(Parts { blob: blob.into(), comment: comment.into(), signer: None }))
    }

    /// The certificate for this key, which the agent does not hold.
    pub(crate) fn certified(&self, certificate: &[u8]) -> Self {
        let (comment, signer) = (self.comment().into(), Some(self.blob().into()));
        Self(Arc::new(Parts { blob: certificate.into(), comment, signer }))
    }

    /// The request for a signature with the key that the agent holds. `request` names the identity.
    pub(crate) fn addressed(&self, request: Vec<u8>) -> Option<Vec<u8>> {
        let Some(signer) = &self.0.signer else { return Some(request) };
        let mut rest = body(request.get(4..)?, SIGN_REQUEST).ok()?;
        string(&mut rest).ok()?;
        Some(frame(&[&[SIGN_REQUEST], &length(signer.len()), signer, rest]))
    }

    /// The public key or certificate as a wire blob (RFC 4253 section 6.6).
    pub(crate) fn blob(&self) -> &[u8] {
        &self.0.blob
    }

    /// The comment, usually the name of the key file. It may contain any bytes, so it must be
    /// escaped before it is printed.
    pub(crate) fn comment(&self) -> &[u8] {
        &self.0.comment
    }

    /// Whether the key, or the key of the certificate, is in a security key (FIDO), which usually
    /// signs only when it is touched (OpenSSH `PROTOCOL.u2f`).
    pub(crate) fn is_security_key(&self) -> bool {
        string(&mut self.blob()).is_ok_and(|name| name.starts_with(b"sk-"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.comment().escape_ascii())
    }
}

/// An agent's refusal, or what is wrong with its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("it refused")]
    Refused,
    #[error("its message is {0} bytes long, more than {max}", max = limits::AGENT_MESSAGE)]
    TooLong(u32),
    #[error("its message is empty")]
    Empty,
    #[error("its message ends early")]
    Truncated,
    #[error("its message has extra bytes at the end")]
    Trailing,
    #[error("it answered with a message of type {0}")]
    Unexpected(u8),
    #[error("it lists {0} keys, more than {max}", max = limits::AGENT_KEYS)]
    TooManyKeys(u32),
    #[error("its signature is {0} bytes long, more than {max}", max = limits::AGENT_SIGNATURE)]
    LongSignature(usize),
}

/// Makes a request for the list of keys.
pub(crate) fn request_identities() -> Vec<u8> {
    frame(&[&[REQUEST_IDENTITIES]])
}

/// Makes an agent's answer that lists only this key.
pub(crate) fn identities_of(identity: &Identity) -> Vec<u8> {
    let (blob, comment) = (identity.blob(), identity.comment());
    frame(&[&[IDENTITIES_ANSWER], &length(1), &length(blob.len()), blob, &length(comment.len()), comment])
}

/// Makes an agent's refusal.
pub(crate) fn failure() -> Vec<u8> {
    frame(&[&[FAILURE]])
}

/// Makes an agent's answer with this signature.
pub(crate) fn signed(signature: &[u8]) -> Vec<u8> {
    frame(&[&[SIGN_RESPONSE], &length(signature.len()), signature])
}

/// Makes a message from these parts.
fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(4 + body);
    frame.extend_from_slice(&length(body));
    parts.iter().for_each(|part| frame.extend_from_slice(part));
    frame
}

/// Encodes a length for the wire. All messages are far shorter than the largest length that fits.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

/// Finds the request for a signature among these messages, and returns it with its length field.
pub(crate) fn find_sign_request(mut written: &[u8]) -> Option<&[u8]> {
    while let Ok(Some(end)) = message_end(written) {
        let (message, rest) = written.split_at(end);
        if message.get(4) == Some(&SIGN_REQUEST) {
            return Some(message);
        }
        written = rest;
    }
    None
}

/// The position at which the first message ends, once that message is complete.
fn message_end(bytes: &[u8]) -> Result<Option<usize>, AgentError> {
    let Some(head) = bytes.first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(*head);
    match usize::try_from(length) {
        Ok(0) => Err(AgentError::Empty),
        Ok(body) if body <= limits::AGENT_MESSAGE => Ok((bytes.len() >= 4 + body).then_some(4 + body)),
        _ => Err(AgentError::TooLong(length)),
    }
}

/// Splits a stream into messages.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
    /// How many of the bytes belong to messages that were already returned.
    taken: usize,
}

impl Messages {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next message without its length field, once the message is complete.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, AgentError> {
        let start = self.taken;
        let Some(end) = message_end(&self.bytes[start..])? else { return Ok(None) };
        self.taken += end;
        Ok(Some(&self.bytes[start + 4..start + end]))
    }

    /// Whether no part of an incomplete message is buffered.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }
}

/// Parses the keys that an answer lists. Keys that exceed the length limit are left out.
pub(crate) fn parse_identities(message: &[u8]) -> Result<Vec<Identity>, AgentError> {
    let mut rest = body(message, IDENTITIES_ANSWER)?;
    let count = uint32(&mut rest)?;
    let keys = usize::try_from(count).unwrap_or(usize::MAX);
    if keys > limits::AGENT_KEYS {
        return Err(AgentError::TooManyKeys(count));
    }
    let mut identities = Vec::with_capacity(keys.min(rest.len() / ENTRY_MIN));
    for _ in 0..keys {
        let (blob, comment) = (string(&mut rest)?, string(&mut rest)?);
        if blob.len() <= limits::AGENT_KEY && comment.len() <= limits::AGENT_KEY {
            identities.push(Identity::new(blob, comment));
        }
    }
    if rest.is_empty() { Ok(identities) } else { Err(AgentError::Trailing) }
}

/// Parses the signature in an answer (RFC 4253 section 6.6).
pub(crate) fn parse_signature(message: &[u8]) -> Result<&[u8], AgentError> {
    let mut rest = body(message, SIGN_RESPONSE)?;
    let signature = string(&mut rest)?;
    if signature.len() > limits::AGENT_SIGNATURE {
        return Err(AgentError::LongSignature(signature.len()));
    }
    if rest.is_empty() { Ok(signature) } else { Err(AgentError::Trailing) }
}

/// The part of a message after its type, which must be `expected`.
fn body(message: &[u8], expected: u8) -> Result<&[u8], AgentError> {
    match message.split_first() {
        Some((kind, body)) if *kind == expected => Ok(body),
        Some((kind, _)) if *kind == FAILURE || OLD_FAILURES.contains(kind) => Err(AgentError::Refused),
        Some((kind, _)) => Err(AgentError::Unexpected(*kind)),
        None => Err(AgentError::Empty),
    }
}

fn uint32(rest: &mut &[u8]) -> Result<u32, AgentError> {
    let (head, tail) = rest.split_first_chunk().ok_or(AgentError::Truncated)?;
    *rest = tail;
    Ok(u32::from_be_bytes(*head))
}

fn string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], AgentError> {
    let length = usize::try_from(uint32(rest)?).unwrap_or(usize::MAX);
    let (string, tail) = rest.split_at_checked(length).ok_or(AgentError::Truncated)?;
    *rest = tail;
    Ok(string)
}

#[cfg(test)]
mod tests;
