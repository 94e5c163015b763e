//! Name resolution by the system's `getaddrinfo`, on a few helper threads: the call blocks and cannot be cancelled.
//!
//! Threads start with the first name that is not an IP address and end with the resolver, after the lookup they are in.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use mio::Waker;

use crate::error::{HostErrorKind, UnknownHostProblem};
use crate::limits;
use crate::workers::{Job, Workers};

/// Names one lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LookupId(u64);

/// What a lookup found.
pub(crate) type LookupResult = Result<Vec<SocketAddr>, HostErrorKind>;

/// The resolver of one fleet.
pub(crate) struct Resolver {
    workers: Workers<Lookup>,
    next: u64,
}

struct Lookup {
    id: LookupId,
    host: Arc<str>,
    port: u16,
}

impl Resolver {
    /// `waker` is woken when results are there.
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self { workers: Workers::new("sshoal-resolver", limits::RESOLVER_THREADS, waker), next: 0 }
    }

    /// Begins a lookup. Its result comes through [`Resolver::finished`].
    pub(crate) fn start(&mut self, host: &Arc<str>, port: u16) -> LookupId {
        let id = LookupId(self.next);
        self.next += 1;
        self.workers.start(Lookup { id, host: host.clone(), port });
        id
    }

    /// The lookups that have ended since the last call.
    pub(crate) fn finished(&mut self) -> Vec<(LookupId, LookupResult)> {
        self.workers.finished()
    }
}

impl Job for Lookup {
    type Done = (LookupId, LookupResult);

    fn run(self) -> Self::Done {
        (self.id, look_up(&self.host, self.port))
    }

    fn refuse(self, cause: &io::Error) -> Self::Done {
        (self.id, Err(HostErrorKind::Resolver(format!("no thread for the lookup: {cause}"))))
    }
}

fn look_up(host: &str, port: u16) -> LookupResult {
    match (host, port).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(e) => Err(classify(&e)),
    }
}

/// `std` keeps only the text of `getaddrinfo`'s code; EAI_AGAIN and EAI_SYSTEM say nothing about the name.
fn classify(error: &io::Error) -> HostErrorKind {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned();
    let about_us =
        error.raw_os_error().is_some() || text.contains("Temporary failure") || text.contains("System error");
    if about_us {
        HostErrorKind::Resolver(text)
    } else {
        HostErrorKind::UnknownHost(UnknownHostProblem::NoAddress(text))
    }
}
