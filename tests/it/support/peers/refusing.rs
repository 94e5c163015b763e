//! Ports that no connection can be made to.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::ports;

/// A port that we hold without a listener: connections are refused.
pub struct Refused {
    _socket: Socket,
    address: SocketAddr,
}

impl Refused {
    pub fn new() -> Self {
        let (socket, address) = ports::bound(Ipv4Addr::LOCALHOST.into()).expect("bind");
        Self { _socket: socket, address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A port whose accept queue is full, so that the kernel drops every SYN: connecting never
/// completes.
pub struct Unanswered {
    listener: Socket,
    queue: Vec<Socket>,
    address: SocketAddr,
}

impl Unanswered {
    pub fn new() -> Self {
        let (listener, address) = ports::bound(Ipv4Addr::LOCALHOST.into()).expect("bind");
        Self::fill(listener, address)
    }

    /// On this address, which must be free.
    pub fn at(address: SocketAddr) -> Self {
        let listener = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("socket");
        listener.bind(&address.into()).expect("bind");
        Self::fill(listener, address)
    }

    fn fill(listener: Socket, address: SocketAddr) -> Self {
        listener.listen(0).expect("listen");
        let mut queue = Vec::new();
        // A backlog of 0 holds one or two connections; the first without an answer shows that it is
        // full.
        loop {
            assert!(queue.len() < 16, "the accept queue has no end");
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
            let connected = socket.connect_timeout(&address.into(), Duration::from_millis(50));
            let Err(error) = connected else {
                queue.push(socket);
                continue;
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            return Self { listener, queue, address };
        }
    }

    /// Makes room, so that the next SYN is answered, and hangs up on its sender.
    pub fn answer_once(self) {
        self.listener.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        for _ in 0..=self.queue.len() {
            self.listener.accept().expect("accept");
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
