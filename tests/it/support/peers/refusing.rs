//! Ports on which no connection is ever made.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::ports;

/// A port that is ours and on which nobody listens: connections are refused.
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

/// A port whose accept queue is full, so that the kernel drops every SYN: connecting takes for ever.
pub struct Unanswered {
    _listener: Socket,
    _queue: Vec<Socket>,
    address: SocketAddr,
}

impl Unanswered {
    pub fn new() -> Self {
        let (listener, address) = ports::bound(Ipv4Addr::LOCALHOST.into()).expect("bind");
        listener.listen(0).expect("listen");
        let mut queue = Vec::new();
        // A backlog of 0 holds one connection or two; the first that is not answered shows that it is full.
        loop {
            assert!(queue.len() < 16, "the accept queue has no end");
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
            let connected = socket.connect_timeout(&address.into(), Duration::from_millis(50));
            let Err(error) = connected else {
                queue.push(socket);
                continue;
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            return Self { _listener: listener, _queue: queue, address };
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
