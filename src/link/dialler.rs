//! The resources that all links of a fleet share.

use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, Waker};

use super::Conduit;
use super::agent_forwarding::{AgentStream, ConnectionQuota};
use super::gssapi::Threads;
use crate::limits;

/// The resources that all links of a fleet share: the registry for readiness events, the counter
/// that numbers connections, and threads for calls that block.
pub(crate) struct Dialler {
    registry: Registry,
    token: fn(usize, u32) -> Token,
    generations: AtomicU32,
    pub(super) gssapi_threads: Threads,
    pub(super) agent_quota: ConnectionQuota,
}

impl Dialler {
    /// `token` makes a connection's token from the index of the link and the generation of the
    /// connection. `waker` is woken when [`returned`](Self::returned) has something to return.
    /// `agent_connections` is how many connections to forwarded agents all hosts together may have
    /// open.
    pub(crate) fn new(
        registry: Registry,
        token: fn(usize, u32) -> Token,
        waker: Arc<Waker>,
        agent_connections: usize,
    ) -> Self {
        let gssapi_threads = Threads::new("sshoal-gssapi", limits::GSSAPI_THREADS, waker);
        let agent_quota = ConnectionQuota::new(agent_connections);
        Self { registry, token, generations: AtomicU32::new(0), gssapi_threads, agent_quota }
    }

    /// The indices of the links whose sessions helper threads have given back since the last call.
    /// These links may have news.
    pub(crate) fn returned(&self) -> Vec<usize> {
        self.gssapi_threads.finished()
    }

    /// Returns a generation that no other connection has, so that a link that reuses an index does
    /// not get readiness events of the earlier link.
    pub(super) fn next_generation(&self) -> u32 {
        self.generations.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Connects a forwarded channel to the agent at this path. The connection's readiness events
    /// carry the index and the generation of the link.
    pub(super) fn connect(&self, path: &Path, index: usize, generation: u32) -> io::Result<AgentStream> {
        if self.agent_quota.left() == 0 {
            return Err(io::Error::other("too many connections to forwarded agents are open"));
        }
        let conduit = Conduit::connect(path)?;
        self.register(conduit.as_raw_fd(), index, generation)?;
        Ok(self.agent_quota.take(conduit))
    }

    pub(super) fn register(&self, fd: RawFd, index: usize, generation: u32) -> io::Result<()> {
        let token = (self.token)(index, generation);
        self.registry.register(&mut SourceFd(&fd), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Deregisters a socket that is given up without being closed.
    pub(super) fn deregister(&self, fd: RawFd) {
        // This fails only if the descriptor was never registered.
        let _ = self.registry.deregister(&mut SourceFd(&fd));
    }
}
