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

/// What a poll has found besides ready descriptors.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Polled {
    /// A helper thread has a result.
    pub is_woken: bool,
    /// The poll returned the maximum for one call, so there may be more.
    pub is_full: bool,
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

    /// Waits for readiness, at most `timeout` long or, if that is `None`, without limit. Reports
    /// the owners of ready descriptors. Takes at most [`limits::EVENTS_PER_POLL`] events. A signal
    /// may end the wait early.
    pub(crate) fn poll(
        &mut self,
        timeout: Option<Duration>,
        mut report: impl FnMut(Key),
    ) -> io::Result<Polled> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(Polled::default()),
            polled => polled?,
        }
        let (mut is_woken, mut count) = (false, 0);
        for event in &self.events {
            match event.token() {
                WAKER => is_woken = true,
                token => report(Key::of(token)),
            }
            count += 1;
        }
        Ok(Polled { is_woken, is_full: count >= self.events.capacity() })
    }
}
