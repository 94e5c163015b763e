//! A TCP proxy between a client and a real server that damages the stream at a chosen byte or
//! moment.
//!
//! One thread per proxy moves all its connections with non-blocking sockets, so that a stalled one
//! delays no other, and a reset needs no cooperation. Dropping the proxy closes them all.

mod pump;
#[cfg(test)]
mod tests;
mod worker;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use self::worker::Worker;
use super::ports;

const AWAIT_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// What happens to one direction from a certain byte on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// XORs only the next byte with this.
    Xor(u8),
    /// Alters every byte from here on, pseudo-randomly by this seed.
    Scramble(u64),
    /// Inserts these bytes before the next one.
    Insert(Vec<u8>),
    /// Both peers see an orderly end (FIN); what they still send is discarded.
    Fin,
    /// Both peers see a reset (RST).
    Rst,
    /// The receiver sees FIN; what the sender still sends is discarded; the other direction
    /// continues.
    HalfClose,
    /// What the sender still sends is discarded; the connection stays.
    Stall,
    /// Stops reading: the sender meets back-pressure.
    StopReading,
    /// Like `StopReading`, until [`Proxy::trigger`].
    Hold,
    /// Delays each chunk of at most 16 KiB by this time, and reads the next one after it.
    Delay(Duration),
    /// Forwards at most this many bytes at a time.
    Drip { bytes: usize, every: Duration },
}

#[derive(Clone, Debug)]
pub struct Builder {
    upstream: SocketAddr,
    ip: IpAddr,
    faults: Vec<(Direction, u64, Action)>,
    only: Option<usize>,
}

impl Builder {
    /// Listens on this address instead of 127.0.0.1.
    pub fn listen(mut self, ip: IpAddr) -> Self {
        self.ip = ip;
        self
    }

    /// After exactly `at` bytes in this direction, before the next one.
    pub fn fault(mut self, direction: Direction, at: u64, action: Action) -> Self {
        self.faults.push((direction, at, action));
        self
    }

    /// Affects only this connection; the first one is 0.
    pub fn only(mut self, connection: usize) -> Self {
        self.only = Some(connection);
        self
    }

    pub fn start(self) -> Proxy {
        let (listener, address) = ports::listen(self.ip).expect("listen");
        listener.set_nonblocking(true).expect("non-blocking");
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("eventfd");
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), wake });
        let worker = Worker::new(listener, self, Arc::clone(&shared));
        let thread =
            thread::Builder::new().name("proxy".to_owned()).spawn(|| worker.run()).expect("start a thread");
        Proxy { address, shared, thread: Some(thread) }
    }
}

/// Totals over all connections, including closed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub accepted: usize,
    pub open: usize,
    /// Bytes sent by the client.
    pub from_client: u64,
    /// How many of these (and of inserted bytes) were sent to the server.
    pub to_server: u64,
    pub from_server: u64,
    pub to_client: u64,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    injected: Vec<(Direction, Action)>,
    triggered: bool,
    stop: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    wake: OwnedFd,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        rustix::io::write(&self.wake, &1_u64.to_ne_bytes()).expect("write to an eventfd");
    }
}

pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    pub fn builder(upstream: SocketAddr) -> Builder {
        Builder { upstream, ip: Ipv4Addr::LOCALHOST.into(), faults: Vec::new(), only: None }
    }

    /// The address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Releases every [`Action::Hold`], also those not yet reached.
    pub fn trigger(&self) {
        self.shared.tell(|state| state.triggered = true);
    }

    /// Applies this to every open connection, before anything that is sent to the proxy after this
    /// call.
    ///
    /// # Panics
    /// After ten seconds.
    #[track_caller]
    pub fn inject(&self, direction: Direction, action: Action) {
        self.shared.tell(|state| state.injected.push((direction, action)));
        drop(self.await_state(|state| state.injected.is_empty()));
    }

    pub fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    /// Waits for counts such as `|counts| counts.open == 0`.
    ///
    /// # Panics
    /// After ten seconds.
    #[track_caller]
    pub fn await_counts(&self, condition: impl Fn(&Counts) -> bool) -> Counts {
        self.await_state(|state| condition(&state.counts)).counts
    }

    #[track_caller]
    fn await_state(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waiting = |state: &mut State| !condition(state);
        let result = self.shared.changed.wait_timeout_while(self.shared.lock(), AWAIT_LIMIT, waiting);
        let (state, timeout) = result.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "not within {AWAIT_LIMIT:?}; there are {:?}", state.counts);
        state
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.tell(|state| state.stop = true);
        let result = self.thread.take().map(JoinHandle::join);
        assert!(matches!(result, Some(Ok(()))) || thread::panicking(), "the proxy's thread has panicked");
    }
}
