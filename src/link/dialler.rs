//! What all links of a fleet share.

use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, Waker};

use super::Conduit;
use super::agent_channels::{Connection, Places};
use super::gssapi::Lender;
use crate::limits;

/// What all links of a fleet share: the poll they register with, a count of their connections, and the
/// threads for what would block the reactor.
pub(crate) struct Dialler {
    registry: Registry,
    token: fn(usize, u32) -> Token,
    generations: AtomicU32,
    pub(super) lender: Lender,
    pub(super) agent_places: Arc<Places>,
}

impl Dialler {
    /// Connections are registered under the token of their link's index and their own generation. `waker` is
    /// woken when links must look again for another reason than readiness: [`Dialler::returned`]. Hosts may
    /// have `agent_connections` open to forwarded agents, all together.
    pub(crate) fn new(
        registry: Registry,
        token: fn(usize, u32) -> Token,
        waker: Arc<Waker>,
        agent_connections: usize,
    ) -> Self {
        let lender = Lender::new("sshoal-gssapi", limits::GSSAPI_THREADS, waker);
        let agent_places = Places::new(agent_connections);
        Self { registry, token, generations: AtomicU32::new(0), lender, agent_places }
    }

    /// The indices of links that may have news since the last call: a thread is done with what they lent it.
    pub(crate) fn returned(&self) -> Vec<usize> {
        self.lender.finished()
    }

    /// No other connection's generation, so that a link that takes over an index takes over no readiness.
    pub(super) fn next_generation(&self) -> u32 {
        self.generations.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Connects a forwarded channel to its agent. What it has to say is news of the link.
    pub(super) fn connect(&self, path: &Path, index: usize, generation: u32) -> io::Result<Connection> {
        if self.agent_places.free() == 0 {
            return Err(io::Error::other("there are too many connections to forwarded agents"));
        }
        let conduit = Conduit::connect(path)?;
        self.register(conduit.as_raw_fd(), index, generation)?;
        Ok(self.agent_places.take(conduit))
    }

    pub(super) fn register(&self, fd: RawFd, index: usize, generation: u32) -> io::Result<()> {
        let token = (self.token)(index, generation);
        self.registry.register(&mut SourceFd(&fd), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// A socket that is gone without having been closed.
    pub(super) fn deregister(&self, fd: RawFd) {
        // Fails only if it was never registered.
        let _ = self.registry.deregister(&mut SourceFd(&fd));
    }
}
