//! The sockets: connected datagram sockets, and one pipelined TCP connection per server (RFC 7766).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits;

/// A datagram socket that only hears its server: the kernel drops what others send, and reports a closed port.
#[derive(Debug)]
pub(super) struct Datagrams(UdpSocket);

impl Datagrams {
    pub(super) fn open(server: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // Room for the answers of one turn; the system may grant less.
        socket.set_recv_buffer_size(limits::DNS_RECEIVE_BUFFER)?;
        let any: SocketAddr = if server.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        socket.bind(&any.into())?;
        socket.connect(&server.into())?;
        let mut socket = UdpSocket::from_std(socket.into());
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self(socket))
    }

    /// Sends, or loses the message as the network may: where there is no room, the next try has some.
    pub(super) fn send(&self, message: &[u8]) -> io::Result<()> {
        match self.0.send(message) {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
            _ => Ok(()),
        }
    }

    /// The length of the next message, now in `buffer`. `None`: there is none.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        none_if_blocked(self.0.recv(buffer))
    }
}

/// A connection on which every message follows its length in two bytes.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    /// Not yet written.
    out: Vec<u8>,
    /// Read, and no message yet: at most one, as the rest stays with the kernel.
    input: Vec<u8>,
    /// Messages received.
    received: u64,
    /// Why nothing can be written any more. There may still be something to read.
    failed: Option<io::Error>,
}

impl Stream {
    pub(super) fn open(server: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { socket, out: Vec::new(), input: Vec::new(), received: 0, failed: None })
    }

    /// Whether the server has answered anything on it.
    pub(super) fn has_answered(&self) -> bool {
        self.received > 0
    }

    /// Queues a message, which goes out as soon as there is room. What keeps it from going out is told by
    /// [`Stream::receive`], behind the answers that came before.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(message);
        self.flush();
        Ok(())
    }

    /// Whether [`Stream::receive`] has an error to tell.
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
            match self.socket.write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // The second: the connection is not made yet.
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                    break;
                }
                Err(e) => return Err(e),
            }
        }
        self.out.drain(..written);
        Ok(())
    }

    /// The length of the next message, now in `buffer`. `None`: it is not complete yet.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let wanted = match self.input.first_chunk().copied().map(u16::from_be_bytes) {
                Some(length) => 2 + usize::from(length),
                None => 2,
            };
            if wanted > 2 && self.input.len() == wanted || wanted == 2 && self.input.len() == 2 {
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

fn none_if_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => Ok(None),
        Err(e) => Err(e),
    }
}
