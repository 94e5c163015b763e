//! TCP connects beside one another, of which the first that is connected wins (RFC 8305 section 5).

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::task::Poll;

use socket2::{Domain, Protocol, Socket, Type};

/// The connects under way, in the order in which they were begun. Dropping it closes them.
#[derive(Default)]
pub(super) struct Race {
    attempts: Vec<Attempt>,
}

struct Attempt {
    address: SocketAddr,
    generation: u32,
    socket: Socket,
}

/// The one that is connected.
pub(super) struct Winner {
    pub address: SocketAddr,
    pub generation: u32,
    pub socket: Socket,
}

impl Race {
    /// Begins one more. `register` has its readiness reported under this generation.
    pub(super) fn dial(
        &mut self,
        address: SocketAddr,
        generation: u32,
        register: impl FnOnce(RawFd) -> io::Result<()>,
    ) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // SSH sends small packets and waits for the answers: Nagle's algorithm would add 40 ms to each command.
        socket.set_tcp_nodelay(true)?;
        // Before the connect, so that no edge is missed. Never again: closing the only descriptor removes it.
        register(socket.as_raw_fd())?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) => {}
            Err(e) => return Err(e),
        }
        self.attempts.push(Attempt { address, generation, socket });
        Ok(())
    }

    pub(super) fn has(&self, generation: u32) -> bool {
        self.attempts.iter().any(|attempt| attempt.generation == generation)
    }

    /// The winner, which ends the race and closes the others; or one that has failed, which is closed.
    ///
    /// Of several that are connected the one begun first wins, and a failure is told only while none is.
    pub(super) fn result(&mut self) -> Poll<Result<Winner, (SocketAddr, io::Error)>> {
        if let Some(first) = self.attempts.iter().position(Attempt::is_connected) {
            let Attempt { address, generation, socket } = self.attempts.swap_remove(first);
            self.attempts.clear();
            return Poll::Ready(Ok(Winner { address, generation, socket }));
        }
        let mut failures = self.attempts.iter().enumerate();
        let Some((failed, e)) = failures.find_map(|(index, attempt)| Some((index, attempt.failure()?)))
        else {
            return Poll::Pending;
        };
        Poll::Ready(Err((self.attempts.remove(failed).address, e)))
    }
}

impl Attempt {
    /// A readiness event can be a leftover of an earlier descriptor: only a peer address proves the connection.
    fn is_connected(&self) -> bool {
        self.socket.peer_addr().is_ok()
    }

    fn failure(&self) -> Option<io::Error> {
        match self.socket.take_error() {
            Ok(None) => {}
            Ok(Some(e)) | Err(e) => return Some(e),
        }
        self.socket.peer_addr().err().filter(|e| e.kind() != io::ErrorKind::NotConnected)
    }
}

#[cfg(test)]
mod tests;
