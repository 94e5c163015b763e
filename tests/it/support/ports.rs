//! Free ports below the ephemeral range, which the kernel does not use for outgoing connections.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

const FIRST: u64 = 10_240;
const END: u64 = 32_768;
const ATTEMPTS: u32 = 100;

/// A number that differs from call to call and from process to process.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A port that may be free; the caller must be prepared to try another.
pub fn candidate() -> u16 {
    let port = FIRST + random() % (END - FIRST);
    u16::try_from(port).expect("END is below 65,536")
}

/// A socket bound to `ip` on a free port, not listening: connecting to it is refused.
pub fn bound(ip: IpAddr) -> io::Result<(Socket, SocketAddr)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let address = SocketAddr::new(ip, candidate());
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Without SO_REUSEADDR on purpose: a port whose last connections are still in TIME_WAIT is
        // not free.
        match socket.bind(&address.into()) {
            Ok(()) => return Ok((socket, address)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// A listener on `ip`, with a backlog large enough for a whole fleet.
pub fn listen(ip: IpAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let (socket, address) = bound(ip)?;
    socket.listen(4_096)?;
    Ok((socket.into(), address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    #[test]
    fn candidates_are_unprivileged_and_not_ephemeral() {
        for _ in 0..10_000 {
            let port = u64::from(candidate());
            assert!((FIRST..END).contains(&port), "{port}");
        }
    }

    #[test]
    fn a_bound_port_refuses_and_a_listening_one_answers() {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let (_socket, address) = bound(ip).expect("bind");
            let refused = TcpStream::connect(address).expect_err("nobody listens");
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

            let (_listener, address) = listen(ip).expect("listen");
            TcpStream::connect(address).expect("connect");
        }
    }
}
