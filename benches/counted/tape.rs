//! A relay that records a stream, to find its first encrypted byte.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// One recorded connection.
pub struct Tape {
    pub to_server: Vec<u8>,
    pub to_client: Vec<u8>,
}

/// Relays one connection to `upstream`; returns its tape when both sides have ended.
pub struct Recorder {
    address: SocketAddr,
    thread: JoinHandle<Tape>,
}

impl Recorder {
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let client = listener.accept().unwrap().0;
            let server = TcpStream::connect(upstream).unwrap();
            let (from, to) = (clone(&client), clone(&server));
            let upward = thread::spawn(move || copy(from, to));
            let to_client = copy(server, client);
            Tape { to_server: upward.join().unwrap(), to_client }
        });
        Self { address, thread }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn finish(self) -> Tape {
        self.thread.join().unwrap()
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().unwrap()
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
pub fn encrypted_from(stream: &[u8]) -> usize {
    before_encryption(stream).1
}

/// The number of messages before encryption begins, and the offset of the first encrypted byte:
/// after the identification line and SSH_MSG_NEWKEYS (RFC 4253 sections 4.2, 6 and 7.3).
pub fn before_encryption(stream: &[u8]) -> (usize, usize) {
    const NEWKEYS: u8 = 21;
    let mut at = stream.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
    let mut count = 0;
    loop {
        let packet = stream.get(at..).and_then(|rest| rest.first_chunk::<6>()).unwrap();
        let len = u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]);
        at += 4 + usize::try_from(len).unwrap();
        count += 1;
        if packet[5] == NEWKEYS {
            return (count, at);
        }
    }
}
