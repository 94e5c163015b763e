//! One direction of one proxied connection: its pending data, and what happens at which byte.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::Action;

const CHUNK: usize = 16 * 1024;
/// Reads of one direction before the others are served.
const QUANTUM: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Pass,
    /// Waits for the trigger.
    Held,
    /// Reads and discards.
    Swallow,
    /// Does not read.
    Stopped,
    /// The source has sent its FIN.
    Ended,
}

#[derive(Clone, Copy, Debug)]
enum Pace {
    Full,
    Delay(Duration),
    Drip { bytes: usize, every: Duration },
}

/// How a connection ends on both sides at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Rst,
}

#[derive(Debug)]
pub struct Pump {
    /// Ascending by the number of bytes read before it.
    steps: VecDeque<(u64, Action)>,
    flow: Flow,
    pace: Pace,
    released: bool,
    pending: VecDeque<u8>,
    /// Pending data is not written before.
    due: Option<Instant>,
    /// Applied to the next byte.
    mask: u8,
    scramble: Option<u64>,
    pub seen: u64,
    pub forwarded: u64,
}

impl Pump {
    pub fn new(mut steps: Vec<(u64, Action)>, released: bool) -> Self {
        // Stable: steps for the same byte happen in the given order.
        steps.sort_by_key(|&(at, _)| at);
        Self {
            steps: steps.into(),
            flow: Flow::Pass,
            pace: Pace::Full,
            released,
            pending: VecDeque::new(),
            due: None,
            mask: 0,
            scramble: None,
            seen: 0,
            forwarded: 0,
        }
    }

    pub fn inject(&mut self, action: Action) {
        self.steps.push_front((self.seen, action));
    }

    pub fn release(&mut self) {
        self.released = true;
        if self.flow == Flow::Held {
            self.flow = Flow::Pass;
        }
    }

    /// Discards everything until the source ends.
    pub fn swallow(&mut self) {
        self.steps.clear();
        self.pending.clear();
        if self.flow != Flow::Ended {
            self.flow = Flow::Swallow;
        }
    }

    pub fn has_ended(&self) -> bool {
        self.flow == Flow::Ended && self.pending.is_empty()
    }

    /// Whether to poll the source for reading.
    pub fn wants_input(&self) -> bool {
        self.pending.is_empty() && matches!(self.flow, Flow::Pass | Flow::Swallow)
    }

    /// Whether to poll the sink for writing.
    pub fn wants_output(&self, now: Instant) -> bool {
        !self.pending.is_empty() && self.due.is_none_or(|due| due <= now)
    }

    /// When to run the next turn even if no socket is ready.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.filter(|_| !self.pending.is_empty())
    }

    pub fn turn(&mut self, source: &TcpStream, sink: &TcpStream, now: Instant) -> io::Result<Option<End>> {
        for _ in 0..QUANTUM {
            if !self.write(sink, now)? {
                return Ok(None);
            }
            if let Some(end) = self.act(sink, now)? {
                return Ok(Some(end));
            }
            if self.pending.is_empty() && !self.read(source, sink, now)? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Returns whether everything pending was written.
    fn write(&mut self, mut sink: &TcpStream, now: Instant) -> io::Result<bool> {
        while !self.pending.is_empty() {
            if self.due.is_some_and(|due| due > now) {
                return Ok(false);
            }
            let (head, _) = self.pending.as_slices();
            let limit = match self.pace {
                Pace::Drip { bytes, .. } => bytes.min(head.len()),
                Pace::Full | Pace::Delay(_) => head.len(),
            };
            let Some(count) = unless_blocked(sink.write(&head[..limit]))? else {
                return Ok(false);
            };
            self.pending.drain(..count);
            self.forwarded += count as u64;
            if let Pace::Drip { every, .. } = self.pace {
                self.due = Some(now + every);
            }
        }
        Ok(true)
    }

    /// Applies the steps that are due at this byte; everything before it has been written.
    fn act(&mut self, sink: &TcpStream, now: Instant) -> io::Result<Option<End>> {
        while self.flow == Flow::Pass && self.pending.is_empty() {
            if self.steps.front().is_none_or(|&(at, _)| at > self.seen) {
                break;
            }
            let Some((_, action)) = self.steps.pop_front() else {
                break;
            };
            match action {
                Action::Xor(mask) => self.mask ^= mask,
                Action::Scramble(seed) => self.scramble = Some(seed | 1),
                Action::Insert(bytes) => self.push(&bytes, now),
                Action::Fin => return Ok(Some(End::Fin)),
                Action::Rst => return Ok(Some(End::Rst)),
                Action::HalfClose => {
                    sink.shutdown(Shutdown::Write)?;
                    self.flow = Flow::Swallow;
                }
                Action::Stall => self.flow = Flow::Swallow,
                Action::StopReading => self.flow = Flow::Stopped,
                Action::Hold if self.released => {}
                Action::Hold => self.flow = Flow::Held,
                Action::Delay(duration) => self.pace = Pace::Delay(duration),
                Action::Drip { bytes, every } => self.pace = Pace::Drip { bytes: bytes.max(1), every },
            }
        }
        Ok(None)
    }

    /// Returns whether there may be more to do.
    fn read(&mut self, mut source: &TcpStream, sink: &TcpStream, now: Instant) -> io::Result<bool> {
        if !matches!(self.flow, Flow::Pass | Flow::Swallow) {
            return Ok(false);
        }
        let mut buffer = [0; CHUNK];
        let Some(count) = unless_blocked(source.read(&mut buffer[..self.read_limit()]))? else {
            return Ok(false);
        };
        if count == 0 {
            if self.flow == Flow::Pass {
                sink.shutdown(Shutdown::Write)?;
            }
            self.flow = Flow::Ended;
            return Ok(false);
        }
        self.seen += count as u64;
        if self.flow == Flow::Pass {
            let bytes = &mut buffer[..count];
            self.spoil(bytes);
            self.push(bytes, now);
        }
        Ok(true)
    }

    /// The number of bytes up to the next step, so that it happens exactly there.
    fn read_limit(&self) -> usize {
        let next = self.steps.front().filter(|_| self.flow == Flow::Pass);
        let until = next.map_or(u64::MAX, |&(at, _)| at - self.seen);
        usize::try_from(until).map_or(CHUNK, |until| until.min(CHUNK))
    }

    fn spoil(&mut self, bytes: &mut [u8]) {
        bytes[0] ^= std::mem::take(&mut self.mask);
        let Some(state) = &mut self.scramble else {
            return;
        };
        for byte in bytes {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            // Never zero: every byte changes.
            *byte ^= state.to_le_bytes()[0] | 1;
        }
    }

    fn push(&mut self, bytes: &[u8], now: Instant) {
        self.pending.extend(bytes);
        if let Pace::Delay(duration) = self.pace {
            self.due = Some(now + duration);
        }
    }
}

/// `None` if the call would block.
fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
