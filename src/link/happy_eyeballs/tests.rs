use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mio::{Events, Token, Waker};
use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

use crate::link::engine::EngineLink;
use crate::link::{Dial, Dialler, Pumped, Transport};

const SLOW: Duration = Duration::from_secs(20);
const INDEX: usize = 7;

fn token(index: usize, generation: u32) -> Token {
    Token((generation as usize) << 8 | index)
}

struct World {
    poll: mio::Poll,
    link: EngineLink,
}

impl World {
    fn new() -> Self {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(usize::MAX)).unwrap());
        let dialler = Dialler::new(poll.registry().try_clone().unwrap(), token, waker, 0);
        Self { poll, link: EngineLink::new(Arc::new(dialler), INDEX) }
    }

    /// Begins another connect and returns its generation.
    fn dial_beside(&mut self, address: SocketAddr) -> u32 {
        self.link.dial_beside(address, None).unwrap();
        self.link.generation()
    }

    /// Waits until readiness has been reported under each of these generations.
    fn wait_for(&mut self, generations: &[u32]) {
        let mut missing: Vec<Token> = generations.iter().map(|it| token(INDEX, *it)).collect();
        let mut events = Events::with_capacity(8);
        while !missing.is_empty() {
            self.poll.poll(&mut events, Some(SLOW)).unwrap();
            assert!(!events.is_empty(), "no news of {missing:?}");
            missing.retain(|token| events.iter().all(|event| event.token() != *token));
        }
    }
}

/// A listener whose accept queue is full, so that further connects are neither completed nor
/// refused.
fn black_hole() -> (Socket, Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    loop {
        assert!(queue.len() < 16, "the accept queue has no end");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if socket.connect_timeout(&address, Duration::from_millis(50)).is_err() {
            return (listener, queue, address.as_socket().unwrap());
        }
        queue.push(socket);
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn the_first_that_is_connected_wins_and_the_others_are_closed() {
    let (_listener, _queue, hole) = black_hole();
    let ((first, first_address), (second, second_address)) = (listener(), listener());
    let mut world = World::new();
    world.link.dial(hole, None).unwrap();
    let silent = world.link.generation();
    assert!(world.link.dialled().is_pending());
    let (winner, loser) = (world.dial_beside(first_address), world.dial_beside(second_address));
    assert!([silent, winner, loser].iter().all(|it| world.link.is_current(*it)));
    assert!(!world.link.is_current(loser.wrapping_add(1)));
    let ((mut first, _), (mut second, _)) = (first.accept().unwrap(), second.accept().unwrap());
    world.wait_for(&[winner, loser]);

    assert!(matches!(world.link.dialled(), Poll::Ready((address, Ok(()))) if address == first_address));
    assert_eq!(world.link.generation(), winner);
    assert_eq!([silent, winner, loser].map(|it| world.link.is_current(it)), [false, true, false]);
    second.set_read_timeout(Some(SLOW)).unwrap();
    assert_eq!(second.read(&mut [0]).unwrap(), 0, "the loser is open");
    first.set_nonblocking(true).unwrap();
    assert_eq!(first.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "the winner is closed");
    assert_eq!(world.link.pump(1).unwrap(), Pumped::Drained);
}

#[test]
fn a_failure_is_told_once_with_its_address_and_the_others_go_on() {
    let (_listener, _queue, hole) = black_hole();
    let refused = listener().1;
    let mut world = World::new();
    world.link.dial(hole, None).unwrap();
    let silent = world.link.generation();
    let failing = [world.dial_beside(refused), world.dial_beside(refused)];
    world.wait_for(&failing);
    for _ in failing {
        let Poll::Ready((address, Err(e))) = world.link.dialled() else { panic!("no failure") };
        assert_eq!((address, e.raw_os_error()), (refused, Some(Errno::ECONNREFUSED as i32)));
    }
    assert!(world.link.dialled().is_pending());
    assert_eq!(failing.map(|it| world.link.is_current(it)), [false, false]);
    assert!(world.link.is_current(silent));
    let (listener, address) = listener();
    let winner = world.dial_beside(address);
    let _peer = listener.accept().unwrap();
    world.wait_for(&[winner]);
    assert!(matches!(world.link.dialled(), Poll::Ready((_, Ok(())))));
}

#[test]
fn to_dial_alone_closes_those_under_way() {
    let ((first, first_address), (_second, second_address)) = (listener(), listener());
    let mut world = World::new();
    let before = world.dial_beside(first_address);
    let (mut peer, _) = first.accept().unwrap();
    world.link.dial(second_address, None).unwrap();
    assert!(!world.link.is_current(before));
    peer.set_read_timeout(Some(SLOW)).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}
