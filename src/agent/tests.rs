//! Tests the client against an agent that the test's own thread plays. A Unix socket delivers at
//! once, so the tests never wait.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use mio::Poll;

use super::{AgentAnswer, AgentClient, Asker};
use crate::agent::wire::{Identity, failure, identities_of, parse_identities, request_identities, signed};
use crate::limits;

fn token(index: usize, generation: u32) -> mio::Token {
    mio::Token(index << 32 | generation as usize)
}

struct Scene {
    /// Kept because the registry works only as long as its poll exists.
    _poll: Poll,
    listener: UnixListener,
    folder: tempfile::TempDir,
    client: AgentClient,
}

fn scene() -> Scene {
    let poll = Poll::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path: Arc<std::path::Path> = folder.path().join("agent").into();
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let client = AgentClient::new(path, Arc::new(poll.registry().try_clone().unwrap()), token, 7);
    Scene { _poll: poll, listener, folder, client }
}

impl Scene {
    fn accept(&self) -> Option<UnixStream> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true).unwrap();
                Some(stream)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => None,
            Err(e) => panic!("{e}"),
        }
    }

    fn ask_identities(&mut self, slot: usize) {
        self.client.ask_identities(asker(slot), |_| true);
    }

    fn ask_signature(&mut self, slot: usize) {
        self.client.ask_signature(asker(slot), request(slot), |_| true);
    }

    fn go_on(&mut self) {
        self.client.go_on(|_| true);
    }

    fn answers(&mut self) -> Vec<(usize, AgentAnswer)> {
        let mut answers: Vec<(usize, AgentAnswer)> = std::iter::from_fn(|| self.client.answers.pop_front())
            .map(|(asker, answer)| (asker.slot, answer))
            .collect();
        answers.sort_by_key(|(slot, _)| *slot);
        answers
    }

    /// Asserts that these hosts were told why the agent has no keys.
    #[track_caller]
    fn assert_no_keys(&mut self, slots: &[usize], why: &str) {
        let answers = self.answers();
        assert_eq!(answers.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), slots);
        for (_, answer) in answers {
            let AgentAnswer::Identities(Err(problem)) = answer else { panic!("{answer:?}") };
            assert!(problem.starts_with("the ssh-agent at ") && problem.contains(why), "{problem}");
        }
    }
}

fn asker(slot: usize) -> Asker {
    Asker { slot, generation: 1 }
}

/// A request for a signature. The client does not parse it.
fn request(slot: usize) -> Vec<u8> {
    vec![0, 0, 0, 2, 13, u8::try_from(slot).unwrap_or_default()]
}

fn signature(bytes: &[u8]) -> AgentAnswer {
    AgentAnswer::Signature(Some(bytes.into()))
}

fn key() -> Identity {
    parse_identities(b"\x0c\0\0\0\x01\0\0\0\x04blob\0\0\0\x02me").unwrap().remove(0)
}

fn keys() -> AgentAnswer {
    AgentAnswer::Identities(Ok([key()].into()))
}

fn heard(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::WouldBlock => {}
        Err(e) => panic!("{e}"),
    }
    bytes
}

#[test]
fn the_agent_hears_one_question_for_all_and_later_ones_are_answered_here() {
    let mut scene = scene();
    (0..50).for_each(|slot| scene.ask_identities(slot));
    let mut agent = scene.accept().unwrap();
    assert_eq!(heard(&mut agent), request_identities());
    assert!(scene.client.answers.is_empty());
    agent.write_all(&identities_of(&key())).unwrap();
    scene.go_on();
    assert_eq!(scene.answers(), (0..50).map(|slot| (slot, keys())).collect::<Vec<_>>());

    scene.ask_identities(50);
    assert_eq!(scene.answers(), [(50, keys())]);
    scene.client.forget_identities();
    scene.ask_identities(51);
    assert_eq!(heard(&mut agent), request_identities());
    assert!(scene.accept().is_none(), "one connection");
}

#[test]
fn signatures_are_asked_for_ahead_of_the_answers_and_told_apart_by_their_order() {
    let mut scene = scene();
    let many = limits::AGENT_WINDOW + 5;
    (0..many).for_each(|slot| scene.ask_signature(slot));
    let mut agent = scene.accept().unwrap();
    let window: Vec<u8> = (0..limits::AGENT_WINDOW).flat_map(request).collect();
    assert_eq!(heard(&mut agent), window, "no more than the window");
    for slot in 0..many {
        let answer = if slot == 3 { failure() } else { signed(&[u8::try_from(slot).unwrap()]) };
        // The answer is sent in pieces, as a stream may deliver it.
        for piece in answer.chunks(3) {
            agent.write_all(piece).unwrap();
            scene.go_on();
        }
    }
    let told = scene.answers();
    assert_eq!(told.len(), many);
    for (slot, answer) in told {
        let expected = signature(&[u8::try_from(slot).unwrap()]);
        assert_eq!(answer, if slot == 3 { AgentAnswer::Signature(None) } else { expected });
    }
}

#[test]
fn requests_that_nobody_waits_for_are_never_sent() {
    let mut scene = scene();
    let window = limits::AGENT_WINDOW;
    (0..window + 3).for_each(|slot| scene.ask_signature(slot));
    let mut agent = scene.accept().unwrap();
    heard(&mut agent);
    agent.write_all(&signed(b"s").repeat(window)).unwrap();
    let gone = window + 1;
    scene.client.go_on(|asker| asker.slot != gone);
    assert_eq!(heard(&mut agent), [request(window), request(window + 2)].concat());
}

#[test]
fn an_agent_that_never_answers_does_not_make_the_queue_grow() {
    let mut scene = scene();
    // Each attempt of the host abandons the request of the attempt before.
    for attempt in 0..10_000 {
        let asker = Asker { slot: 0, generation: attempt };
        scene.client.ask_signature(asker, request(0), |asker| asker.generation == attempt);
        scene.client.ask_identities(asker, |asker| asker.generation == attempt);
    }
    assert!(scene.client.waiting.len() < 200, "{}", scene.client.waiting.len());
}

#[test]
fn a_lost_connection_is_made_again_and_its_requests_are_asked_once_more() {
    let mut scene = scene();
    scene.ask_identities(1);
    scene.ask_signature(2);
    let asked = [request_identities(), request(2)].concat();
    let mut first = scene.accept().unwrap();
    assert_eq!(heard(&mut first), asked);
    drop(first);
    scene.go_on();
    let mut second = scene.accept().unwrap();
    assert_eq!(heard(&mut second), asked);
    second.write_all(&identities_of(&key())).unwrap();
    second.write_all(&signed(b"sig")).unwrap();
    scene.go_on();
    assert_eq!(scene.answers(), [(1, keys()), (2, signature(b"sig"))]);
}

#[test]
fn an_agent_that_always_hangs_up_is_given_up() {
    let mut scene = scene();
    scene.ask_identities(1);
    scene.ask_signature(2);
    for _ in 0..2 {
        drop(scene.accept().unwrap());
        scene.go_on();
    }
    assert!(scene.accept().is_none(), "no third connection");
    let [(1, AgentAnswer::Identities(Err(_))), (2, AgentAnswer::Signature(None))] = &scene.answers()[..]
    else {
        panic!("no answers")
    };
}

#[test]
fn a_connection_lost_in_idleness_is_no_loss() {
    let mut scene = scene();
    scene.ask_identities(1);
    let mut agent = scene.accept().unwrap();
    agent.write_all(&identities_of(&key())).unwrap();
    drop(agent);
    scene.go_on();
    assert_eq!(scene.answers(), [(1, keys())]);
    assert!(scene.accept().is_none());
    scene.ask_signature(1);
    assert_eq!(heard(&mut scene.accept().unwrap()), request(1));
}

#[test]
fn nobody_listens() {
    let mut scene = scene();
    std::fs::remove_file(scene.folder.path().join("agent")).unwrap();
    scene.ask_identities(1);
    scene.ask_identities(2);
    scene.assert_no_keys(&[1, 2], "cannot be reached");
    scene.ask_signature(3);
    assert_eq!(scene.answers(), [(3, AgentAnswer::Signature(None))]);
}

#[test]
fn a_path_that_no_socket_can_have() {
    let mut scene = scene();
    for path in ["/".repeat(200), "a\0b".to_owned(), String::new()] {
        let registry = Arc::new(scene._poll.registry().try_clone().unwrap());
        let path: Arc<std::path::Path> = std::path::PathBuf::from(path).into();
        scene.client = AgentClient::new(path, registry, token, 7);
        scene.ask_identities(1);
        scene.assert_no_keys(&[1], "cannot be reached");
    }
}

/// Whatever an agent answers, each request gets a result, and the memory used stays below one
/// message.
#[test]
fn answers_without_sense_are_no_keys() {
    let gibibyte = (1u32 << 30).to_be_bytes();
    let truncated = &identities_of(&key())[..9];
    let mut many = vec![12];
    many.extend(10_000u32.to_be_bytes());
    many.extend(b"\0\0\0\x01k\0\0\0\x01c".repeat(10_000));
    let many = [&u32::try_from(many.len()).unwrap().to_be_bytes()[..], &many].concat();
    let cases: [(&[u8], &str); 6] = [
        (&gibibyte, "agent failed: "),
        (b"garbage, and more of it", "agent failed: "),
        (&[0; 4], "agent failed: "),
        (&signed(b"sig"), "agent does not list its keys: it answered with a message of type 14"),
        (truncated, "agent failed: "),
        (&many, "agent does not list its keys: "),
    ];
    for (case, why) in cases {
        let mut scene = scene();
        scene.ask_identities(1);
        scene.ask_identities(2);
        let mut agent = scene.accept().unwrap();
        agent.write_all(case).unwrap();
        scene.go_on();
        if case == truncated {
            assert!(scene.client.answers.is_empty());
        }
        drop(agent);
        // The requests that were lost with the connection are sent once more, and fail in the same
        // way.
        for _ in 0..2 {
            scene.go_on();
            if let Some(mut again) = scene.accept() {
                again.write_all(case).unwrap();
                scene.go_on();
            }
        }
        scene.assert_no_keys(&[1, 2], why);
    }
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let mut scene = scene();
    scene.ask_identities(1);
    let mut agent = scene.accept().unwrap();
    agent.write_all(&identities_of(&key())).unwrap();
    agent.write_all(&signed(b"surprise")).unwrap();
    scene.go_on();
    assert_eq!(scene.answers(), [(1, keys())]);
    scene.ask_signature(2);
    assert_eq!(heard(&mut scene.accept().unwrap()), request(2), "a new connection");
    assert!(agent.write_all(b"more").is_err());
}
