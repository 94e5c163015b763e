//! The target that parses messages from an ssh-agent.

use crate::agent::wire::{
    AgentError, Identity, Messages, find_sign_request, identities_of, parse_identities, parse_signature,
    signed,
};
use crate::limits;

/// Any bytes as the output of an agent, in pieces of the size given by the first byte.
///
/// The oracles: however a stream is split, it contains the same messages; a parsed message has the
/// same meaning after it is encoded again; nothing exceeds its limit.
pub fn agent(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else { return };
    let whole = messages(stream, usize::MAX);
    assert_eq!(messages(stream, usize::from(size).max(1)), whole, "pieces of {size}");
    let (found, _) = &whole;
    let length: usize = found.iter().map(|message| 4 + message.len()).sum();
    assert!(length <= stream.len());
    for message in found {
        assert!((1..=limits::AGENT_MESSAGE).contains(&message.len()));
        check_identities(message);
        check_signature(message);
    }
    if let Some(request) = find_sign_request(stream) {
        assert_eq!(request.get(4), Some(&13));
        assert!(stream.windows(request.len()).any(|window| window == request));
        assert!(found.iter().any(|message| *message == request[4..]), "a request is not a message");
    }
}

type Found = (Vec<Vec<u8>>, Option<AgentError>);

/// The messages of a stream that arrives in pieces, and what ends them.
fn messages(stream: &[u8], size: usize) -> Found {
    let (mut messages, mut found) = (Messages::default(), Vec::new());
    for piece in stream.chunks(size) {
        messages.push(piece);
        loop {
            match messages.next() {
                Ok(Some(message)) => found.push(message.to_vec()),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fn check_identities(message: &[u8]) {
    let identities = match parse_identities(message) {
        Ok(identities) => identities,
        Err(error) => return check_error(error, message),
    };
    assert_eq!(message[0], 12);
    assert!(identities.len() <= limits::AGENT_KEYS);
    let bytes = |identity: &Identity| identity.blob().len() + identity.comment().len();
    assert!(identities.iter().map(bytes).sum::<usize>() <= message.len());
    for identity in &identities {
        assert!(identity.blob().len() <= limits::AGENT_KEY && identity.comment().len() <= limits::AGENT_KEY);
        let alone = identities_of(identity);
        assert_eq!(parse_identities(&alone[4..]).as_deref(), Ok(std::slice::from_ref(identity)));
        assert!(format!("{identity:?}").chars().all(|c| c.is_ascii_graphic() || c == ' '));
    }
}

fn check_signature(message: &[u8]) {
    match parse_signature(message) {
        Ok(signature) => {
            assert!(signature.len() <= limits::AGENT_SIGNATURE);
            assert_eq!(signed(signature)[4..], *message, "a signature that reads differently");
        }
        Err(error) => check_error(error, message),
    }
}

fn check_error(error: AgentError, message: &[u8]) {
    match error {
        AgentError::Refused => assert!([5, 30, 102].contains(&message[0])),
        AgentError::Unexpected(kind) => assert_eq!(kind, message[0]),
        AgentError::Empty => panic!("an empty message was handed on"),
        _ => assert!([12, 14].contains(&message[0])),
    }
}
