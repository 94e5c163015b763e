//! A connection to an agent, which answers in the order of the requests.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use socket2::{Domain, SockAddr, Socket, Type};

use super::client::AgentRequest;
use crate::agent::wire::{AgentError, Messages};
use crate::limits;

/// The most bytes that one read takes.
const CHUNK: usize = 16 * 1024;

/// Why a connection was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("it closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Message(#[from] AgentError),
    #[error("it answered without a request")]
    Unasked,
}

/// Connects to an agent.
pub(super) fn connect(path: &Path, registry: &Registry, token: Token) -> io::Result<UnixStream> {
    let stream = connect_unix(path)?;
    let interest = Interest::READABLE | Interest::WRITABLE;
    registry.register(&mut SourceFd(&stream.as_raw_fd()), token, interest)?;
    Ok(stream)
}

#[derive(Debug)]
pub(super) struct AgentConnection {
    stream: UnixStream,
    /// The bytes that the socket has not accepted yet.
    outbox: Vec<u8>,
    messages: Messages,
    /// The requests without an answer, the oldest first.
    pub in_flight: VecDeque<AgentRequest>,
}

impl AgentConnection {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, outbox: Vec::new(), messages: Messages::default(), in_flight: VecDeque::new() }
    }

    /// Whether another request may be sent before the next answer arrives.
    pub(super) fn can_send(&self) -> bool {
        self.in_flight.len() < limits::AGENT_WINDOW
    }

    pub(super) fn send(&mut self, request: AgentRequest) {
        self.outbox.extend_from_slice(&request.message);
        self.in_flight.push_back(request);
    }

    /// Writes as many bytes as the socket accepts.
    pub(super) fn flush(&mut self) -> Result<(), Lost> {
        while !self.outbox.is_empty() {
            // Without this flag, writing to an agent that has exited would kill any program that
            // does not ignore SIGPIPE. Not every version of the standard library sets the flag.
            match send(self.stream.as_raw_fd(), &self.outbox, MsgFlags::MSG_NOSIGNAL) {
                Ok(written) => drop(self.outbox.drain(..written)),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(io::Error::from(e).into()),
            }
        }
        Ok(())
    }

    /// Reads until the socket has no more, and passes each answer on together with its request.
    pub(super) fn receive(
        &mut self,
        mut answered: impl FnMut(AgentRequest, &[u8]) -> Result<(), Lost>,
    ) -> Result<(), Lost> {
        let mut chunk = [0; CHUNK];
        loop {
            let count = match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Lost::Closed),
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            };
            self.messages.push(&chunk[..count]);
            while let Some(message) = self.messages.next()? {
                let request = self.in_flight.pop_front().ok_or(Lost::Unasked)?;
                answered(request, message)?;
            }
            // The agent has begun an answer although no request is waiting for one. That is an
            // error, whatever the rest of the answer contains.
            if self.in_flight.is_empty() && !self.messages.is_empty() {
                return Err(Lost::Unasked);
            }
        }
    }
}

/// Connects without waiting. A Unix socket connects or fails at once.
pub(crate) fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(OwnedFd::from(socket).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SigSet, Signal};

    /// A program in another language may not ignore SIGPIPE.
    #[test]
    fn an_agent_that_has_gone_raises_no_sigpipe() {
        let pending = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            status.lines().find(|line| line.starts_with("SigPnd:")).unwrap().to_owned()
        };
        // A blocked signal stays pending, even one that would be ignored.
        SigSet::from(Signal::SIGPIPE).thread_block().unwrap();
        let none = pending();
        let (stream, agent) = UnixStream::pair().unwrap();
        drop(agent);
        let mut connection = AgentConnection::new(stream);
        connection.outbox.extend(b"a request");
        assert!(matches!(connection.flush(), Err(Lost::Io(e)) if e.kind() == io::ErrorKind::BrokenPipe));
        assert_eq!(pending(), none);
    }
}
