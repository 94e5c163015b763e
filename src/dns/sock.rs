//! The sockets: connected UDP sockets, and one pipelined TCP connection per server (RFC 7766).

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits;

/// A connected UDP socket. The kernel drops datagrams from other addresses, and returns an error if
/// the server's port is closed.
#[derive(Debug)]
pub(super) struct Datagrams(UdpSocket);

impl Datagrams {
    pub(super) fn open(server: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Room for the responses of one turn; the system may grant less.
        socket.set_recv_buffer_size(limits::DNS_RECEIVE_BUFFER)?;
        socket.connect(&server.into())?;
        let mut socket = UdpSocket::from_std(socket.into());
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self(socket))
    }

    /// Sends a message. If the socket buffer is full, the message is dropped, just as the network
    /// might drop it; the next try repeats the query.
    pub(super) fn send(&self, message: &[u8]) -> io::Result<()> {
        match self.0.send(message) {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
            _ => Ok(()),
        }
    }

    /// Receives the next message into `buffer` and returns its length; `None` if no message has
    /// arrived.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        none_if_blocked(self.0.recv(buffer))
    }
}

/// A TCP connection with two bytes of length before each message.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    /// The bytes that are not written yet.
    out: Vec<u8>,
    /// The part of the current message that was read so far. Later messages stay in the kernel.
    input: Vec<u8>,
    /// How many messages were received.
    received: u64,
    /// Why writing failed. There may still be data to read.
    failed: Option<io::Error>,
}

impl Stream {
    pub(super) fn open(server: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { socket, out: Vec::new(), input: Vec::new(), received: 0, failed: None })
    }

    /// Whether the server has answered on this connection.
    pub(super) fn has_answered(&self) -> bool {
        self.received > 0
    }

    /// Queues a message and writes as much as possible. An error of the connection is returned by
    /// [`Stream::receive`], after the responses that arrived before the error.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(message);
        self.flush();
        Ok(())
    }

    /// Whether [`Stream::receive`] has an error to return.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    pub(super) fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.write().err();
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.out.len() {
            let Some(count) = none_if_blocked(self.socket.write(&self.out[written..]))? else { break };
            written += count;
        }
        self.out.drain(..written);
        Ok(())
    }

    /// Receives the next message into `buffer` and returns its length; `None` if the message is not
    /// complete.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let wanted = match self.input.first_chunk().copied().map(u16::from_be_bytes) {
                Some(length) => 2 + usize::from(length),
                None => 2,
            };
            if self.input.len() == wanted {
                let message = &self.input[2..];
                let length = message.len();
                buffer[..length].copy_from_slice(message);
                self.input.clear();
                self.received += 1;
                return Ok(Some(length));
            }
            let missing = wanted - self.input.len();
            match (none_if_blocked(self.socket.read(&mut buffer[..missing])), self.failed.take()) {
                (Ok(Some(count)), failed) if count > 0 => {
                    self.failed = failed;
                    self.input.extend_from_slice(&buffer[..count]);
                }
                (_, Some(e)) | (Err(e), None) => return Err(e),
                (Ok(Some(_)), None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                (Ok(None), None) => return Ok(None),
            }
        }
    }
}

/// Returns `None` if the socket is not ready or, over TCP, not connected yet.
fn none_if_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => Ok(None),
        Err(e) => Err(e),
    }
}
