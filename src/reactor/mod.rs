//! The reactor: one poll, the readiness that it reports, the queue of ready hosts and the timer
//! wheel.
//!
//! There is one thread and one `epoll` instance. A socket is registered once, edge-triggered and
//! for both directions. The registration does not change, and ends when the socket's last
//! descriptor is closed. An edge is reported only once, so a visit that does not drain its socket
//! must put its host into the ready queue. While that queue is not empty, the poll does not wait.

mod queue;
mod token;
mod wheel;
pub(crate) mod workers;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Registry, Waker};

pub(crate) use queue::IndexQueue;
pub(crate) use token::Key;
pub(crate) use wheel::{TimerId, Wheel};

use crate::limits;
use token::WAKER;

/// The poll and its buffers.
pub(crate) struct Reactor {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
}

/// One event of the poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// The descriptor of this owner is ready.
    Descriptor(Key),
    /// A helper thread has a result.
    Woken,
}

/// How much of the pending readiness one poll has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    All,
    /// The poll returned the maximum for one call, so there may be more.
    Full,
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self { poll, events: Events::with_capacity(limits::EVENTS_PER_POLL), waker })
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    pub(crate) fn poll_itself(&self) -> &Poll {
        &self.poll
    }

    /// Makes the poll's descriptor readable. Returns whether that succeeded.
    pub(crate) fn wake(&self) -> bool {
        self.waker.wake().is_ok()
    }

    pub(crate) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Waits for readiness, at most `timeout` long or, if that is `None`, without limit. Reports at
    /// most [`limits::EVENTS_PER_POLL`] events. A signal may end the wait early.
    pub(crate) fn poll(
        &mut self,
        timeout: Option<Duration>,
        mut report: impl FnMut(Ready),
    ) -> io::Result<Taken> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(Taken::All),
            Err(e) => return Err(e),
        }
        let mut count = 0;
        for event in &self.events {
            let token = event.token();
            report(if token == WAKER { Ready::Woken } else { Ready::Descriptor(Key::of(token)) });
            count += 1;
        }
        Ok(if count < self.events.capacity() { Taken::All } else { Taken::Full })
    }
}
