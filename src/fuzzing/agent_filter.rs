//! The target that filters messages between a host and a forwarded agent.

use crate::agent::wire::{Filter, Permission, failure};
use crate::limits;

/// Any bytes as a host's requests to a forwarded agent, and as the agent's replies, in pieces of
/// the size given by the first byte.
///
/// The oracles: however the bytes are split, agent and host receive the same; the agent receives
/// only complete requests to list keys, to sign, and to bind a session; nothing exceeds its limit.
pub fn agent_filter(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else { return };
    let whole = talk(stream, usize::MAX);
    assert_eq!(talk(stream, usize::from(size).max(1)), whole, "pieces of {size}");
    let (mut heard, told) = whole;
    assert!(heard.len() <= stream.len() && told.len() <= 5 * stream.len());
    while let Some(head) = heard.first_chunk::<4>() {
        let length = u32::from_be_bytes(*head) as usize;
        assert!((1..=limits::AGENT_MESSAGE).contains(&length));
        let message: Vec<u8> = heard.drain(..4 + length).skip(4).collect();
        let is_bind = || message.starts_with(b"\x1b\0\0\0\x18session-bind@openssh.com");
        assert!(matches!(message[0], 11 | 13) || is_bind(), "the agent receives {message:?}");
    }
    assert!(heard.is_empty());
}

/// The requests that reach the agent, and the replies that reach the host; the agent echoes each
/// request.
fn talk(mut stream: &[u8], size: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut filter, mut said) = (Filter::default(), Vec::new());
    let (mut heard, mut told) = (Vec::new(), Vec::new());
    loop {
        let before = (stream.len(), heard.len(), told.len());
        let offered = stream.len().min(size);
        let mut piece = &stream[..offered];
        match filter.receive(&mut piece) {
            Ok(Some(Permission::Refused)) => told.extend(failure()),
            Ok(_) => {}
            Err(_) => return (heard, told),
        }
        stream = &stream[offered - piece.len()..];
        assert!(filter.held() <= 4 + limits::AGENT_MESSAGE);
        let passed = filter.to_agent()[..filter.to_agent().len().min(size)].to_vec();
        filter.sent(passed.len());
        heard.extend_from_slice(&passed);
        said.extend(passed);
        let room = filter.answer_missing().min(size).min(said.len());
        let answer: Vec<u8> = said.drain(..room).collect();
        if filter.answered(&answer).is_err() {
            return (heard, told);
        }
        told.extend(answer);
        if before == (stream.len(), heard.len(), told.len()) {
            return (heard, told);
        }
    }
}
