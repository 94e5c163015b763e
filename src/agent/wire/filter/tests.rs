use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{failure, frame};
use super::*;

/// A request of this type as it is sent on the wire.
fn request(kind: u8, body: &[u8]) -> Vec<u8> {
    frame(&[&[kind], body])
}

fn extension(name: &[u8]) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap().to_be_bytes();
    request(EXTENSION, &[&length[..], name, b"what belongs to it"].concat())
}

/// A filter between a host and an agent that answers `[9, n]` to its nth request. Both receive
/// their bytes in pieces.
#[derive(Default)]
struct Bench {
    filter: Filter,
    /// The bytes that the agent has received.
    heard: Vec<u8>,
    /// The bytes of answers that the agent has sent and the filter has not passed on.
    said: Vec<u8>,
    answered: u8,
    /// The bytes that the host has received.
    told: Vec<u8>,
}

impl Bench {
    fn send(&mut self, mut bytes: &[u8], piece: usize) -> Result<(), AgentError> {
        loop {
            let before = bytes.len();
            let mut next = &bytes[..bytes.len().min(piece)];
            let offered = next.len();
            if self.filter.receive(&mut next)? == Some(Permission::Refused) {
                self.told.extend(failure());
            }
            bytes = &bytes[offered - next.len()..];
            while !self.filter.to_agent().is_empty() {
                self.pass(piece);
            }
            while self.filter.answer_missing() > 0 && !self.said.is_empty() {
                let room = self.filter.answer_missing().min(piece).min(self.said.len());
                let said: Vec<u8> = self.said.drain(..room).collect();
                self.filter.answered(&said)?;
                self.told.extend(said);
            }
            if bytes.len() == before {
                return Ok(());
            }
        }
    }

    fn pass(&mut self, piece: usize) {
        let bytes = self.filter.to_agent();
        let bytes = bytes[..bytes.len().min(piece)].to_vec();
        self.heard.extend(&bytes);
        self.filter.sent(bytes.len());
        if self.filter.to_agent().is_empty() {
            self.answered = self.answered.wrapping_add(1);
            self.said.extend(frame(&[&[9, self.answered]]));
        }
    }
}

#[test]
fn of_all_types_only_lists_and_signatures_reach_the_agent() {
    for kind in 0..=u8::MAX {
        let mut bench = Bench::default();
        bench.send(&request(kind, b"anything"), usize::MAX).unwrap();
        if matches!(kind, 11 | 13) {
            assert_eq!((bench.heard, bench.told), (request(kind, b"anything"), frame(&[&[9, 1]])));
        } else {
            assert_eq!((bench.heard, bench.told), (vec![], failure()), "{kind}");
        }
        assert!(bench.filter.is_idle());
    }
}

#[test]
fn of_all_extensions_only_that_of_a_nested_ssh_reaches_the_agent() {
    let mut bench = Bench::default();
    bench.send(&extension(SESSION_BIND), usize::MAX).unwrap();
    assert_eq!(bench.heard, extension(SESSION_BIND));
    for name in [
        &b""[..],
        b"query",
        b"session-bind",
        b"session-bind@openssh.com\0",
        b"session-bind@openssh.co",
        b"Session-bind@openssh.com",
        b"xsession-bind@openssh.com",
    ] {
        let mut bench = Bench::default();
        bench.send(&extension(name), usize::MAX).unwrap();
        assert_eq!((bench.heard, bench.told), (vec![], failure()), "{}", name.escape_ascii());
    }
    // The name's length exceeds the message.
    let mut bench = Bench::default();
    bench.send(&request(EXTENSION, b"\0\0\0\x19session-bind@openssh.com"), usize::MAX).unwrap();
    assert_eq!((bench.heard, bench.told), (vec![], failure()));
}

#[test]
fn a_message_without_a_type_is_refused() {
    let mut bench = Bench::default();
    bench.send(&[0; 8], usize::MAX).unwrap();
    assert_eq!((bench.heard, bench.told), (vec![], failure().repeat(2)));
}

#[test]
fn the_agent_hears_nothing_of_half_a_request() {
    let whole = request(SIGN_REQUEST, b"key, data and flags");
    let mut bench = Bench::default();
    for byte in &whole[..whole.len() - 1] {
        bench.send(&[*byte], 1).unwrap();
        assert!(bench.heard.is_empty());
    }
    bench.send(&whole[whole.len() - 1..], 1).unwrap();
    assert_eq!(bench.heard, whole);
}

#[test]
fn one_request_at_a_time_is_with_the_agent() {
    let (list, lock) = (request(REQUEST_IDENTITIES, b""), request(22, b"passphrase"));
    let both = [&list[..], &lock].concat();
    let (mut filter, mut bytes) = (Filter::default(), &both[..]);
    assert_eq!(filter.receive(&mut bytes), Ok(Some(Permission::Allowed)));
    assert_eq!((filter.receive(&mut bytes), bytes), (Ok(None), &lock[..]), "it is not told yet");
    assert_eq!(filter.to_agent(), list);
    filter.sent(list.len());
    assert_eq!((filter.receive(&mut bytes), bytes), (Ok(None), &lock[..]), "it has not answered yet");
    assert_eq!(filter.held(), 0);
    filter.answered(&[0, 0, 0, 1]).unwrap();
    assert_eq!((filter.receive(&mut bytes), filter.answer_missing()), (Ok(None), 1));
    filter.answered(&[5]).unwrap();
    assert_eq!((filter.receive(&mut bytes), bytes.len()), (Ok(Some(Permission::Refused)), 0));
}

#[test]
fn no_side_may_say_more_than_a_message_holds() {
    let max = u32::try_from(limits::AGENT_MESSAGE).unwrap();
    let mut filter = Filter::default();
    assert_eq!(filter.receive(&mut &(max + 1).to_be_bytes()[..]), Err(AgentError::TooLong(max + 1)));
    let mut filter = Filter::default();
    assert_eq!(filter.receive(&mut &max.to_be_bytes()[..]), Ok(None));
    assert_eq!(
        filter.receive(&mut &vec![SIGN_REQUEST; limits::AGENT_MESSAGE][..]),
        Ok(Some(Permission::Allowed))
    );
    filter.sent(HEAD + limits::AGENT_MESSAGE);
    assert_eq!(filter.answered(&u32::MAX.to_be_bytes()), Err(AgentError::TooLong(u32::MAX)));
}

proptest! {
    /// Whatever the host requests, and however the bytes are cut, the agent receives exactly the
    /// allowed requests, and the host gets an answer to each request, in order.
    #[test]
    fn what_arrives_in_pieces_means_the_same(
        requests in vec((any::<u8>(), vec(any::<u8>(), 0..40)), 0..20),
        piece in 1..50_usize,
    ) {
        let sent: Vec<Vec<u8>> = requests.iter().map(|(kind, body)| request(*kind, body)).collect();
        let (mut heard, mut told) = (vec![], vec![]);
        for ((kind, _), request) in requests.iter().zip(&sent) {
            if matches!(kind, 11 | 13) {
                heard.push(request.clone());
                told.extend(frame(&[&[9, u8::try_from(heard.len()).unwrap()]]));
            } else {
                told.extend(failure());
            }
        }
        let mut bench = Bench::default();
        bench.send(&sent.concat(), piece).unwrap();
        prop_assert_eq!(bench.heard, heard.concat());
        prop_assert_eq!(bench.told, told);
    }
}
