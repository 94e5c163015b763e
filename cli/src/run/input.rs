//! Standard input, sent to all hosts.
//!
//! Every host gets the input from its beginning, whenever it starts. A file is read for each host
//! at its own place. What comes through a pipe is kept in memory from the place of the slowest host
//! on. Once that is [`WINDOW`], nothing more is read, and the slowest hosts hold the others.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use sshoal::fleet::FleetWaker;

/// How much of the input of a pipe is in memory.
const WINDOW: usize = 16 * 1024 * 1024;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// Where standard input comes from, if it is for the hosts.
#[derive(Debug)]
pub enum Input {
    File { file: File, start: u64 },
    Pipe(Pipe),
}

/// The input at some place.
#[derive(Debug)]
pub enum Piece {
    Bytes(Arc<[u8]>),
    /// More may follow.
    NotYet,
    End,
    /// It is no longer in memory.
    Gone,
}

impl Input {
    /// Standard input, if it is a file or a pipe. `waker` is woken when a pipe has brought more.
    pub fn of_stdin(waker: FleetWaker) -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Ok(None);
        }
        let mut file = File::from(stdin.as_fd().try_clone_to_owned()?);
        let kind = file.metadata()?.file_type();
        if kind.is_file() {
            let start = file.stream_position()?;
            return Ok(Some(Self::File { file, start }));
        }
        let is_pipe = kind.is_fifo() || kind.is_socket();
        Ok(is_pipe.then(|| Self::Pipe(Pipe::read(file, move || waker.wake().is_ok()))))
    }

    /// The input at this offset.
    pub fn at(&self, offset: u64) -> io::Result<Piece> {
        match self {
            Self::Pipe(pipe) => Ok(pipe.at(offset)),
            Self::File { file, start } => {
                let mut bytes = vec![0; CHUNK];
                let read = file.read_at(&mut bytes, start + offset)?;
                bytes.truncate(read);
                Ok(if read == 0 { Piece::End } else { Piece::Bytes(bytes.into()) })
            }
        }
    }
}

/// The input that a thread reads from a pipe.
#[derive(Debug)]
pub struct Pipe {
    arriving: Receiver<io::Result<Arc<[u8]>>>,
    /// What has arrived, with the offset of each chunk.
    window: VecDeque<(u64, Arc<[u8]>)>,
    /// The offset of the first byte in memory.
    start: u64,
    /// The offset of the next byte that arrives.
    end: u64,
    is_over: bool,
}

impl Pipe {
    /// Starts to read. `arrived` is called after each chunk, and returns whether to go on.
    fn read(mut from: impl Read + Send + 'static, arrived: impl Fn() -> bool + Send + 'static) -> Self {
        let (sender, arriving) = sync_channel(1);
        thread::spawn(move || {
            loop {
                let mut bytes = vec![0; CHUNK];
                let chunk = match from.read(&mut bytes) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Ok(read) => Ok(bytes[..read].into()),
                    Err(error) => Err(error),
                };
                let is_last = chunk.as_ref().map_or(true, |chunk: &Arc<[u8]>| chunk.is_empty());
                if sender.send(chunk).is_err() || !arrived() || is_last {
                    return;
                }
            }
        });
        Self { arriving, window: VecDeque::new(), start: 0, end: 0, is_over: false }
    }

    /// Takes what has arrived, as long as there is room. Returns whether there was something.
    pub fn take(&mut self) -> io::Result<bool> {
        let before = self.end;
        while !self.is_over && !self.is_full() {
            match self.arriving.try_recv() {
                Ok(chunk) => {
                    let chunk = chunk?;
                    self.is_over = chunk.is_empty();
                    let length = chunk.len() as u64;
                    self.window.extend((!chunk.is_empty()).then_some((self.end, chunk)));
                    self.end += length;
                }
                Err(TryRecvError::Empty) => return Ok(self.end > before),
                Err(TryRecvError::Disconnected) => self.is_over = true,
            }
        }
        Ok(self.end > before || self.is_over)
    }

    /// Whether nothing more is read before [`forget`](Self::forget) makes room.
    pub fn is_full(&self) -> bool {
        !self.is_over && self.end - self.start >= WINDOW as u64
    }

    /// Frees the chunks before this offset.
    pub fn forget(&mut self, offset: u64) {
        while self.window.front().is_some_and(|(at, chunk)| at + chunk.len() as u64 <= offset) {
            self.window.pop_front();
        }
        self.start = self.window.front().map_or(self.end, |(at, _)| *at);
    }

    /// The offset of the middle of what is in memory.
    pub fn middle(&self) -> u64 {
        self.start + (self.end - self.start) / 2
    }

    fn at(&self, offset: u64) -> Piece {
        if offset >= self.end {
            return if self.is_over { Piece::End } else { Piece::NotYet };
        }
        if offset < self.start {
            return Piece::Gone;
        }
        let next = self.window.partition_point(|(at, _)| *at <= offset);
        let Some((at, chunk)) = next.checked_sub(1).and_then(|index| self.window.get(index)) else {
            return Piece::Gone;
        };
        match usize::try_from(offset - at) {
            Ok(0) => Piece::Bytes(chunk.clone()),
            Ok(skip) => Piece::Bytes(chunk[skip..].into()),
            Err(_) => Piece::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn pipe(bytes: Vec<u8>) -> Pipe {
        Pipe::read(Cursor::new(bytes), || true)
    }

    /// Takes until the pipe is full or over.
    fn fill(pipe: &mut Pipe) {
        while !pipe.is_full() && !pipe.is_over {
            pipe.take().unwrap();
            thread::yield_now();
        }
    }

    #[test]
    fn every_reader_has_its_own_place() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|index| (index % 251) as u8).collect();
        let mut pipe = pipe(bytes.clone());
        fill(&mut pipe);
        for start in [0_usize, 1, 65_536, 70_000, 199_999] {
            let mut read = Vec::new();
            while let Piece::Bytes(piece) = pipe.at((start + read.len()) as u64) {
                read.extend_from_slice(&piece);
            }
            assert_eq!(read, bytes[start..], "from {start}");
            assert!(matches!(pipe.at(bytes.len() as u64), Piece::End));
        }
    }

    #[test]
    fn memory_is_bounded_by_the_slowest_reader() {
        let mut pipe = pipe(vec![7; 2 * WINDOW]);
        fill(&mut pipe);
        assert!(pipe.is_full() && pipe.end < (WINDOW + CHUNK) as u64, "{}", pipe.end);
        pipe.forget(WINDOW as u64 / 2);
        assert!(!pipe.is_full());
        assert!(matches!(pipe.at(0), Piece::Gone));
        fill(&mut pipe);
        pipe.forget(u64::MAX);
        fill(&mut pipe);
        assert!(pipe.is_over);
        assert_eq!(pipe.end, 2 * WINDOW as u64);
    }
}
