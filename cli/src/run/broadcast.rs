//! Who has got how much of the input.

use std::io;
use std::time::{Duration, Instant};

use sshoal::Fleet;
use sshoal::fleet::CommandId;

use super::input::{Input, Piece};
use crate::output::HostIndex;

/// How much input waits to be sent to each host.
const QUEUED: usize = 128 * 1024;

/// How long a host may hold the others unless `--idle` says otherwise.
const HOLD: Duration = Duration::from_secs(30);

/// Hands the input to all hosts.
#[derive(Debug)]
pub struct Broadcast {
    input: Input,
    places: Vec<Place>,
    /// The hosts that take input now.
    readers: Vec<HostIndex>,
    /// How many bytes the fleet had sent when input was handed out last; `None` if a host has
    /// started since.
    sent: Option<u64>,
    hold: Duration,
    /// Since when the window is full.
    held_since: Option<Instant>,
}

/// How far a host is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The command has not started, and will need the input from its beginning.
    Before,
    At(CommandId, u64),
    /// The host needs nothing more.
    Over,
}

/// A host that is too slow to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laggard {
    /// Its command runs and does not read.
    Running(HostIndex),
    /// Its command has not started, and the beginning of the input is needed no more by others.
    Waiting(HostIndex),
}

impl Broadcast {
    pub fn new(input: Input, hosts: usize, silence: Option<Duration>) -> Self {
        let hold = silence.unwrap_or(HOLD);
        let places = vec![Place::Before; hosts];
        Self { input, places, readers: Vec::new(), sent: None, hold, held_since: None }
    }

    pub fn hold(&self) -> Duration {
        self.hold
    }

    /// The host's command has started.
    pub fn begin(&mut self, host: HostIndex, command: CommandId) {
        self.places[host] = Place::At(command, 0);
        self.readers.push(host);
        self.sent = None;
    }

    /// The host's command has ended.
    pub fn end(&mut self, host: HostIndex) {
        self.places[host] = Place::Over;
    }

    /// Hands out what has arrived, as far as there is room. `fed` gets each host that has taken
    /// something.
    pub fn feed(&mut self, fleet: &mut Fleet, mut fed: impl FnMut(HostIndex)) -> io::Result<()> {
        let has_arrived = match &mut self.input {
            Input::Pipe(pipe) => pipe.take()?,
            Input::File { .. } => false,
        };
        let sent = Some(fleet.metrics().bytes_sent);
        if !has_arrived && sent == self.sent {
            return Ok(());
        }
        self.sent = sent;
        let mut readers = std::mem::take(&mut self.readers);
        let mut failed = Ok(());
        readers.retain(|host| match self.feed_one(*host, fleet) {
            Ok(has_taken) => {
                if has_taken {
                    fed(*host);
                }
                !matches!(self.places[*host], Place::Over)
            }
            Err(error) => {
                failed = Err(error);
                false
            }
        });
        readers.append(&mut self.readers);
        self.readers = readers;
        failed
    }

    /// Returns whether the host has taken something.
    fn feed_one(&mut self, host: HostIndex, fleet: &mut Fleet) -> io::Result<bool> {
        let Place::At(command, mut offset) = self.places[host] else { return Ok(false) };
        let begun = offset;
        while fleet.command(command).is_some_and(|command| command.unsent() < QUEUED) {
            match self.input.at(offset)? {
                Piece::Bytes(bytes) => match fleet.write_stdin(command, &bytes) {
                    Ok(written) => offset += written as u64,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The command takes no more input.
                    Err(_) => {
                        self.places[host] = Place::Over;
                        return Ok(true);
                    }
                },
                Piece::NotYet => break,
                Piece::End | Piece::Gone => {
                    fleet.close_stdin(command);
                    self.places[host] = Place::Over;
                    return Ok(true);
                }
            }
        }
        self.places[host] = Place::At(command, offset);
        Ok(offset > begun)
    }

    /// Frees what all hosts have got. Returns the hosts that have held all others for too long.
    pub fn make_room(&mut self, now: Instant) -> Vec<Laggard> {
        let Input::Pipe(pipe) = &mut self.input else { return Vec::new() };
        if !pipe.is_full() {
            self.held_since = None;
            return Vec::new();
        }
        let offset = |place: &Place| match place {
            Place::Before => Some(0),
            Place::At(_, offset) => Some(*offset),
            Place::Over => None,
        };
        let slowest = self.places.iter().filter_map(offset).min();
        pipe.forget(slowest.unwrap_or(u64::MAX));
        if !pipe.is_full() {
            self.held_since = None;
            return Vec::new();
        }
        let since = *self.held_since.get_or_insert(now);
        if now.saturating_duration_since(since) < self.hold {
            return Vec::new();
        }
        self.held_since = None;
        let too_slow = pipe.middle();
        let laggard = |(host, place): (HostIndex, &Place)| match place {
            Place::Before => Some(Laggard::Waiting(host)),
            Place::At(_, offset) if *offset < too_slow => Some(Laggard::Running(host)),
            Place::At(..) | Place::Over => None,
        };
        self.places.iter().enumerate().filter_map(laggard).collect()
    }

    /// When [`make_room`](Self::make_room) has to be called next.
    pub fn next(&self) -> Option<Instant> {
        self.held_since.map(|since| since + self.hold)
    }
}
