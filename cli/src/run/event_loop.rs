//! What the program waits for. It outlives a run, and so do the connections.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use sshoal::{Budget, Fleet};

use super::keys::Keys;
use super::runner::RunError;
use super::signals::Signals;
use crate::cleanup;

const FLEET: Token = Token(0);
const SIGNALS: Token = Token(1);
const KEYS: Token = Token(2);

/// A fleet, and what else there is to wait for: signals and keys.
pub struct EventLoop {
    pub fleet: Fleet,
    poll: Poll,
    events: Events,
    signals: Signals,
    keys: Option<Keys>,
}

impl EventLoop {
    /// Handles these signals until the process ends.
    pub fn new(fleet: Fleet, signals: &[i32]) -> Result<Self, RunError> {
        let poll = Poll::new()?;
        let descriptor = fleet.as_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&descriptor), FLEET, Interest::READABLE)?;
        let signals = Signals::register(poll.registry(), SIGNALS, signals)?;
        cleanup::hand_over();
        let keys = Keys::register(poll.registry(), KEYS)?;
        Ok(Self { fleet, poll, events: Events::with_capacity(8), signals, keys })
    }

    /// Waits until there is something to do, or so long.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, limit) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Lets the fleet do what is due. Only signals and the screen wait for the end of a turn.
    pub fn turn(&mut self) -> io::Result<()> {
        let budget = Budget::default().time(Duration::from_millis(5)).events(4096).bytes(1024 * 1024);
        self.fleet.turn(Instant::now(), budget).map(|_| ())
    }

    /// The signals that have arrived since the last call.
    pub fn signals(&mut self) -> Vec<i32> {
        self.signals.take()
    }

    /// A line that was typed on standard input during the last wait.
    pub fn typed_line(&self) -> Option<String> {
        let is_typed = self.events.iter().any(|event| event.token() == KEYS);
        self.keys.as_ref().filter(|_| is_typed)?.line()
    }
}
