//! A relay that records a stream, to find its first encrypted byte.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};

use crate::support::ports;

/// One recorded connection.
pub(super) struct Tape {
    pub to_server: Vec<u8>,
    pub to_client: Vec<u8>,
}

/// Relays one connection to `upstream`; returns its tape when both sides have ended.
pub(super) struct Recorder {
    address: SocketAddr,
    thread: JoinHandle<Tape>,
}

impl Recorder {
    pub(super) fn start(upstream: SocketAddr) -> Self {
        let (listener, address) = ports::listen([127, 0, 0, 1].into()).expect("listen");
        let thread = thread::spawn(move || {
            let client = listener.accept().expect("accept").0;
            let server = TcpStream::connect(upstream).expect("connect");
            let (from, to) = (clone(&client), clone(&server));
            let upward = thread::spawn(move || copy(from, to));
            let to_client = copy(server, client);
            Tape { to_server: upward.join().expect("no panic"), to_client }
        });
        Self { address, thread }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn finish(self) -> Tape {
        self.thread.join().expect("no panic")
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("duplicate")
}

fn copy(mut from: TcpStream, mut to: TcpStream) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    kept
}

/// The offset of the first encrypted byte.
pub(super) fn encrypted_from(stream: &[u8]) -> usize {
    before_encryption(stream).1
}

/// The number of messages before encryption begins, and the offset of the first encrypted byte:
/// after the identification line and SSH_MSG_NEWKEYS (RFC 4253 sections 4.2, 6 and 7.3).
pub(super) fn before_encryption(stream: &[u8]) -> (usize, usize) {
    const NEWKEYS: u8 = 21;
    let mut at = stream.windows(2).position(|pair| pair == b"\r\n").expect("an identification") + 2;
    let mut count = 0;
    loop {
        let packet = stream.get(at..).and_then(|rest| rest.first_chunk::<6>()).expect("a packet");
        let len = u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]);
        at += 4 + usize::try_from(len).expect("a short packet");
        count += 1;
        if packet[5] == NEWKEYS {
            return (count, at);
        }
    }
}
