//! A pair of connected sockets that joins a tunnel to the connection inside it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{MsgFlags, recv, send};

use crate::agent::connect_unix;

/// One of the two ends of a socket pair. Bytes sent to one end arrive at the other, and dropping an
/// end is an end of stream for the other.
///
/// For a host behind a proxy, libssh needs a descriptor just as for a TCP connection. So the host's
/// session gets one end, and the proxy's link gets the other.
#[derive(Debug)]
pub(crate) struct Conduit(UnixStream);

impl Conduit {
    /// Makes a pair of connected ends, both non-blocking and closed on exec.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = UnixStream::pair()?;
        one.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        Ok((Self(one), Self(other)))
    }

    /// Connects to the socket at this path.
    pub(crate) fn connect(path: &Path) -> io::Result<Self> {
        connect_unix(path).map(Self)
    }

    /// Whether the other end has been closed.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(recv(self.0.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK), Ok(0))
    }

    /// Sends as much as fits and returns how many bytes were sent. Returns 0 if the buffer is full.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        // Without MSG_NOSIGNAL, a program that does not ignore SIGPIPE would be killed.
        match send(self.0.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Err(nix::Error::EAGAIN) => Ok(0),
            sent => Ok(sent?),
        }
    }

    /// Receives into `buffer` and returns how many bytes were received. Returns `None` if nothing
    /// has arrived, and 0 if the other end has been closed.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match recv(self.0.as_raw_fd(), buffer, MsgFlags::empty()) {
            Err(nix::Error::EAGAIN) => Ok(None),
            read => Ok(Some(read?)),
        }
    }

    /// Sends an end of stream to the other end.
    pub(super) fn finish(&self) {
        // This fails only if the other end has been closed.
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }

    pub(super) fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl From<Conduit> for OwnedFd {
    fn from(conduit: Conduit) -> Self {
        conduit.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_at_the_other_end_until_it_is_dropped() {
        let (here, there) = Conduit::pair().unwrap();
        let mut buffer = [0; 8];
        assert_eq!(there.receive(&mut buffer).unwrap(), None);
        assert_eq!(here.send(b"abc").unwrap(), 3);
        assert!(!there.is_abandoned());
        assert_eq!(there.receive(&mut buffer).unwrap(), Some(3));
        drop(here);
        assert!(there.is_abandoned());
        assert_eq!(there.receive(&mut buffer).unwrap(), Some(0));
        assert!(there.send(b"x").is_err());
    }

    #[test]
    fn a_full_end_takes_nothing_more() {
        let (here, _there) = Conduit::pair().unwrap();
        while here.send(&[0; 4096]).unwrap() > 0 {}
        assert_eq!(here.send(b"x").unwrap(), 0);
    }
}
