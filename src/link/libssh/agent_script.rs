//! Lets libssh log in with an agent's key although libssh itself never talks to the agent.
//!
//! libssh does not accept a signature that was made elsewhere, and its own exchange with an agent
//! blocks. So libssh is given a socket from which it can already read all the answers that an agent
//! would send. What libssh writes to this socket is read here afterwards. A login takes two passes.
//! In the first pass, libssh asks the server whether it accepts the key, requests a signature over
//! the socket, and reads a refusal there. The request is then sent to the real agent. In the second
//! pass, libssh requests the signature again, and reads the one that the real agent has made.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use socket2::SockRef;

use crate::agent::wire::{self, Identity};
use crate::limits;

/// The required size of a socket buffer, in bytes. It exceeds what libssh writes or reads in one
/// call. A request for a signature contains the key twice.
const BUFFER: usize = 4 * limits::AGENT_KEY;

/// The answers for one call into libssh. After the last answer libssh reads an end of stream, so it
/// never waits.
#[derive(Debug)]
pub(super) struct AgentScript {
    ours: UnixStream,
    theirs: UnixStream,
}

impl AgentScript {
    /// Prepares the answers: the list of keys, unless an earlier call has already delivered it
    /// (`is_listed`), and then `signature` or, if there is none, a refusal.
    pub(super) fn new(identity: &Identity, is_listed: bool, signature: Option<&[u8]>) -> io::Result<Self> {
        let (mut ours, theirs) = UnixStream::pair()?;
        for end in [&ours, &theirs] {
            let socket = SockRef::from(end);
            if socket.send_buffer_size()? < BUFFER {
                socket.set_send_buffer_size(BUFFER)?;
            }
            // With smaller buffers, libssh would wait forever.
            if socket.send_buffer_size()? < BUFFER {
                return Err(io::Error::other("the system's socket buffers are too small"));
            }
        }
        ours.set_nonblocking(true)?;
        if !is_listed {
            ours.write_all(&wire::identities_of(identity))?;
        }
        ours.write_all(&signature.map_or_else(wire::failure, wire::signed))?;
        ours.shutdown(Shutdown::Write)?;
        Ok(Self { ours, theirs })
    }

    /// The socket to pass to libssh.
    pub(super) fn fd(&self) -> RawFd {
        self.theirs.as_raw_fd()
    }

    /// The request for a signature in the form in which an agent receives it, if libssh has made
    /// one.
    pub(super) fn sign_request(mut self) -> Option<Vec<u8>> {
        let mut asked = Vec::new();
        match self.ours.read_to_end(&mut asked) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
        wire::find_sign_request(&asked).map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::wire::{failure, identities_of, parse_identities, request_identities, signed};

    /// The longest key there can be.
    fn identity() -> Identity {
        let mut list = b"\x0c\0\0\0\x01".to_vec();
        for byte in [b'k', b'c'] {
            list.extend(u32::try_from(limits::AGENT_KEY).unwrap().to_be_bytes());
            list.extend(vec![byte; limits::AGENT_KEY]);
        }
        parse_identities(&list).unwrap().remove(0)
    }

    fn heard(script: &AgentScript) -> Vec<u8> {
        let mut bytes = Vec::new();
        (&script.theirs).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_answers_lie_ready_and_end() {
        let identity = identity();
        let list = identities_of(&identity);
        let signature = vec![1; limits::AGENT_SIGNATURE];
        let heard = |is_listed, signature| heard(&AgentScript::new(&identity, is_listed, signature).unwrap());
        assert_eq!(heard(false, None), [&list[..], &failure()].concat());
        assert_eq!(heard(false, Some(&signature)), [list, signed(&signature)].concat());
        assert_eq!(heard(true, None), failure());
        assert_eq!(heard(true, Some(&signature)), signed(&signature));
    }

    #[test]
    fn the_longest_request_fits_and_is_found() {
        let script = AgentScript::new(&identity(), false, None).unwrap();
        script.theirs.set_nonblocking(true).unwrap();
        let body = 3 * limits::AGENT_KEY;
        let mut request = u32::try_from(body).unwrap().to_be_bytes().to_vec();
        request.extend(vec![13; body]);
        (&script.theirs).write_all(&request_identities()).unwrap();
        (&script.theirs).write_all(&request).unwrap();
        assert_eq!(script.sign_request(), Some(request));
        let silent = AgentScript::new(&identity(), false, None).unwrap();
        assert_eq!(silent.sign_request(), None);
    }
}
