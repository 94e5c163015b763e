//! Happy Eyeballs: of several parallel TCP connects, the first to succeed wins (RFC 8305 section
//! 5).

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::task::Poll;

use socket2::{Domain, Protocol, Socket, Type};

/// The connects under way, in the order in which they began. Dropping this value closes them.
#[derive(Default)]
pub(super) struct HappyEyeballs {
    connects: Vec<TcpConnect>,
}

pub(super) struct TcpConnect {
    pub address: SocketAddr,
    pub generation: u32,
    pub socket: Socket,
}

impl HappyEyeballs {
    /// Begins another connect, from the local address `from` if there is one. `register` registers
    /// the socket for readiness events under this generation.
    pub(super) fn dial(
        &mut self,
        address: SocketAddr,
        from: Option<SocketAddr>,
        generation: u32,
        register: impl FnOnce(RawFd) -> io::Result<()>,
    ) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // SSH sends small packets and waits for answers, so Nagle's algorithm would add 40 ms to
        // each command.
        socket.set_tcp_nodelay(true)?;
        if let Some(from) = from {
            socket.bind(&from.into())?;
        }
        // The socket is registered before the connect, so that no edge is missed. If the connect
        // fails, closing the socket deregisters it.
        register(socket.as_raw_fd())?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) => {}
            Err(e) => return Err(e),
        }
        self.connects.push(TcpConnect { address, generation, socket });
        Ok(())
    }

    pub(super) fn has(&self, generation: u32) -> bool {
        self.connects.iter().any(|connect| connect.generation == generation)
    }

    /// If a connect has succeeded, returns it and closes the others. Otherwise, closes a connect
    /// that has failed and returns its error. Each result is returned only once.
    ///
    /// If several have succeeded, the one that began first wins. Failures are reported only while
    /// none has succeeded.
    pub(super) fn result(&mut self) -> Poll<Result<TcpConnect, (SocketAddr, io::Error)>> {
        if let Some(first) = self.connects.iter().position(TcpConnect::is_connected) {
            let winner = self.connects.swap_remove(first);
            self.connects.clear();
            return Poll::Ready(Ok(winner));
        }
        let mut failures = self.connects.iter().enumerate();
        let Some((failed, e)) = failures.find_map(|(index, connect)| Some((index, connect.failure()?)))
        else {
            return Poll::Pending;
        };
        Poll::Ready(Err((self.connects.remove(failed).address, e)))
    }
}

impl TcpConnect {
    /// Whether the socket is connected. Only a peer address proves that, because a readiness event
    /// may be left over from an earlier descriptor with the same number.
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
