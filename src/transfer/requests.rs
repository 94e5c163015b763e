//! The requests of a transfer: what waits to be sent, and what waits for its answer.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use crate::limits;
use crate::sftp::{Extensions, Limits, Request};

/// What a request is for. The answer comes back with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    /// The part of the task that made the request, such as one of several files.
    pub slot: u32,
    pub step: Step,
}

/// The requests that a task makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The server's limits.
    Limits,
    /// `STAT` or `LSTAT` of a path.
    Look,
    /// `FSTAT` of an open file.
    Measure,
    Open,
    Read {
        offset: u64,
        len: u32,
    },
    Write {
        len: u32,
    },
    /// `SETSTAT` or `FSETSTAT`.
    SetAttributes,
    Sync,
    Close,
    Rename,
    /// A rename by the old request, which replaces nothing.
    PlainRename,
    /// `REMOVE` of what is in the way.
    Replace,
    /// `REMOVE` of a temporary file.
    Discard,
    Remove,
    RemoveDirectory,
    MakeDirectory,
    OpenDirectory,
    ReadDirectory,
    ReadLink,
    MakeLink,
    RealPath,
}

/// The requests of one SFTP channel.
#[derive(Debug)]
pub(crate) struct Requests {
    next_id: u32,
    /// The requests without an answer, the oldest first. Most servers answer in order.
    in_flight: VecDeque<(u32, Tag)>,
    /// What waits to be sent, in order.
    queue: VecDeque<Piece>,
    /// The write whose data is not complete yet. Nothing else can be sent before it is.
    open_write: Option<OpenWrite>,
    /// How many bytes of the first piece are sent.
    sent: usize,
    /// How many bytes wait.
    unsent: usize,
    /// How many bytes of files may be requested in this visit.
    allowance: u64,
    /// How many bytes more would have been requested at once if they had been allowed.
    lack: u32,
    /// How many bytes of files have arrived without a request, and were not allowed yet.
    owed: u64,
    pub extensions: Extensions,
    /// The largest read and write that the server accepts, in bytes.
    pub max_read: u32,
    pub max_write: u32,
    /// The largest number of files and directories that the server keeps open at once.
    pub max_handles: usize,
}

/// A part of what waits to be sent.
#[derive(Debug)]
enum Piece {
    Request(Vec<u8>),
    /// The data of a write, which many hosts share.
    Data(Arc<[u8]>, Range<usize>),
    /// Zeros in the place of data that could not be read, at most a chunk.
    Padding(usize),
}

/// A write whose request is queued, and whose data follows in chunks.
#[derive(Debug)]
struct OpenWrite {
    slot: u32,
    /// How many bytes of data are missing.
    missing: usize,
    /// Requests that follow the write, and the sum of their lengths.
    later: Vec<Vec<u8>>,
    later_bytes: usize,
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Request(bytes) => bytes,
            Self::Data(bytes, range) => &bytes[range.clone()],
            Self::Padding(count) => &[0; limits::CHUNK][..*count],
        }
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            next_id: 0,
            in_flight: VecDeque::new(),
            queue: VecDeque::new(),
            open_write: None,
            sent: 0,
            unsent: 0,
            allowance: 0,
            lack: 0,
            owed: 0,
            extensions: Extensions::default(),
            max_read: limits::SFTP_READ as u32,
            max_write: limits::CHUNK as u32,
            max_handles: usize::MAX,
        }
    }
}

impl Requests {
    /// Queues the first message of the protocol, which has no id.
    pub(super) fn greet(&mut self) {
        let mut bytes = Vec::new();
        Request::Init.encode(0, &mut bytes);
        self.queue(Piece::Request(bytes));
    }

    /// Uses the limits of the server, as far as they are of use.
    pub(super) fn limit(&mut self, server: Limits) {
        // A server without a limit says 0.
        let bounded = |limit: u64, most: usize, unlimited: usize| match u32::try_from(limit) {
            Ok(limit @ 1..) => limit.min(most as u32),
            _ => unlimited as u32,
        };
        self.max_read = bounded(server.read, limits::SFTP_READ, limits::SFTP_READ);
        self.max_write = bounded(server.write, limits::SFTP_WRITE, limits::CHUNK);
        if let Ok(handles @ 1..) = usize::try_from(server.handles) {
            self.max_handles = handles;
        }
    }

    /// Whether a task should make another request now. Requests that clean up are made in any
    /// case.
    pub(crate) fn has_room(&self) -> bool {
        let later = self.open_write.as_ref().map_or(0, |write| write.later_bytes);
        self.in_flight.len() < limits::SFTP_IN_FLIGHT && self.unsent + later < limits::SFTP_UNSENT
    }

    /// Whether this file should send data now. While a write waits for the rest of its data, only
    /// that data can be sent.
    pub(crate) fn has_room_for_data(&self, slot: u32) -> bool {
        match &self.open_write {
            Some(write) => write.slot == slot && self.unsent < limits::SFTP_UNSENT,
            None => self.has_room(),
        }
    }

    /// How many bytes are missing in the write of this file that has begun. 0 if there is none.
    pub(crate) fn missing(&self, slot: u32) -> usize {
        self.open_write.as_ref().filter(|write| write.slot == slot).map_or(0, |write| write.missing)
    }

    /// How many of these bytes of a file may be requested now: all, or some whole
    /// [chunks](limits::CHUNK), or none. If the fleet does not allow all, nor as much as a
    /// [share](limits::TRANSFER_SHARE), the transfer waits for that.
    pub(crate) fn room_for(&mut self, bytes: usize) -> usize {
        if !self.has_room() {
            return 0;
        }
        let needed = bytes.min(limits::TRANSFER_SHARE) as u32;
        if self.allowance < u64::from(needed) {
            self.lack = self.lack.max(needed);
            return 0;
        }
        match usize::try_from(self.allowance) {
            Ok(allowed) if allowed < bytes => allowed - allowed % limits::CHUNK,
            _ => bytes,
        }
    }

    /// Whether a read of this many bytes may be requested now. It is never longer than
    /// a share.
    pub(crate) fn may_read(&mut self, len: u32) -> bool {
        self.room_for(len as usize) == len as usize
    }

    /// Allows this many bytes more. What is owed uses them up first.
    pub(super) fn allow(&mut self, bytes: u64) {
        self.allowance = self.allowance.saturating_add(bytes);
        self.lack = 0;
        let paid = self.allowance.min(self.owed);
        self.use_up(paid);
        self.owed -= paid;
    }

    /// Notes that bytes of a file have arrived that nobody could request, as a server without SFTP
    /// sends them. The next allowances are for them.
    pub(crate) fn owe(&mut self, bytes: usize) {
        self.owed = self.owed.saturating_add(bytes as u64);
    }

    /// Whether bytes have arrived that were not allowed yet, so that no more should be read.
    pub(super) fn is_owing(&self) -> bool {
        self.owed > 0
    }

    /// Takes back what was allowed and not requested.
    pub(super) fn take_unused(&mut self) -> u64 {
        mem::take(&mut self.allowance)
    }

    /// How many bytes the transfer waits for; 0 if it waits for none.
    pub(super) fn lack(&self) -> u32 {
        self.lack.max(self.owed.min(limits::TRANSFER_SHARE as u64) as u32)
    }

    /// How many requests wait for their answers.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// At least how many requests the server has and has not answered.
    pub(super) fn at_server(&self) -> usize {
        let queued = self.queue.iter().filter(|piece| matches!(piece, Piece::Request(_))).count();
        let later = self.open_write.as_ref().map_or(0, |write| write.later.len());
        let has_part_of_write = match self.queue.front() {
            Some(piece) => !matches!(piece, Piece::Request(_)),
            None => self.open_write.is_some(),
        };
        self.in_flight.len().saturating_sub(queued + later + usize::from(has_part_of_write))
    }

    /// How many files and directories are being closed.
    pub(crate) fn closing(&self) -> usize {
        self.in_flight.iter().filter(|(_, tag)| tag.step == Step::Close).count()
    }

    /// Queues a request.
    pub(crate) fn send(&mut self, tag: Tag, request: &Request<'_>) {
        if let Step::Read { len, .. } | Step::Write { len } = tag.step {
            self.use_up(u64::from(len));
        }
        let id = self.next_id();
        let mut bytes = Vec::new();
        request.encode(id, &mut bytes);
        self.in_flight.push_back((id, tag));
        match &mut self.open_write {
            Some(write) => {
                write.later_bytes += bytes.len();
                write.later.push(bytes);
            }
            None => self.queue(Piece::Request(bytes)),
        }
    }

    /// Queues a write of `len` bytes, of which [`data`](Self::data) sends some after others. No
    /// other write may be open.
    pub(crate) fn begin_write(&mut self, slot: u32, handle: &[u8], offset: u64, len: u32) {
        debug_assert!(self.open_write.is_none(), "two writes at once");
        self.send(Tag { slot, step: Step::Write { len } }, &Request::Write { handle, offset, data_len: len });
        self.open_write = Some(OpenWrite { slot, missing: len as usize, later: Vec::new(), later_bytes: 0 });
        self.go_on();
    }

    /// Queues these bytes of a chunk as data of the write that has begun. They are not copied.
    pub(crate) fn data(&mut self, chunk: Arc<[u8]>, range: Range<usize>) {
        if let Some(write) = &mut self.open_write {
            write.missing = write.missing.saturating_sub(range.len());
        }
        self.queue(Piece::Data(chunk, range));
        self.go_on();
    }

    /// Completes the write of this file that has begun, if there is one, with zeros.
    pub(crate) fn give_up_write(&mut self, slot: u32) {
        let Some(write) = self.open_write.as_mut().filter(|write| write.slot == slot) else { return };
        let mut missing = mem::take(&mut write.missing);
        while missing > 0 {
            let count = missing.min(limits::CHUNK);
            self.queue(Piece::Padding(count));
            missing -= count;
        }
        self.go_on();
    }

    /// Sends what waits for the write that has begun, once that is complete.
    fn go_on(&mut self) {
        if let Some(write) = self.open_write.take_if(|write| write.missing == 0) {
            write.later.into_iter().for_each(|bytes| self.queue(Piece::Request(bytes)));
        }
    }

    /// Drops what waits to be sent, because nobody will read it.
    pub(super) fn drop_unsent(&mut self) {
        self.consume(self.unsent);
    }

    /// Queues bytes for a server without SFTP.
    pub(crate) fn send_raw(&mut self, bytes: Vec<u8>) {
        self.queue(Piece::Request(bytes));
    }

    /// Queues a chunk for a server without SFTP. It is not copied.
    pub(crate) fn send_chunk(&mut self, chunk: Arc<[u8]>) {
        let range = 0..chunk.len();
        self.use_up(range.len() as u64);
        self.queue(Piece::Data(chunk, range));
    }

    fn use_up(&mut self, bytes: u64) {
        self.allowance = self.allowance.saturating_sub(bytes);
    }

    fn next_id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    fn queue(&mut self, piece: Piece) {
        self.unsent += piece.bytes().len();
        self.queue.push_back(piece);
    }

    /// What the request with this id is for. `None` if no such request waits for an answer.
    pub(super) fn answered(&mut self, id: u32) -> Option<Tag> {
        let position = self.in_flight.iter().position(|(other, _)| *other == id)?;
        self.in_flight.remove(position).map(|(_, tag)| tag)
    }

    /// How many bytes wait to be sent.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// What is to be sent next, at most `max` bytes. Much of one chunk is returned as it is; small
    /// pieces are copied together into the buffer, because what is sent alone costs a packet of its
    /// own.
    pub(super) fn next_bytes<'a>(&'a self, buffer: &'a mut Vec<u8>, max: usize) -> &'a [u8] {
        let first = self.queue.front().map_or(&[][..], |piece| &piece.bytes()[self.sent..]);
        if first.len() >= max / 2 {
            return &first[..first.len().min(max)];
        }
        buffer.clear();
        self.fill(buffer, max);
        buffer
    }

    fn fill(&self, buffer: &mut Vec<u8>, max: usize) {
        let mut skip = self.sent;
        for piece in &self.queue {
            let bytes = &piece.bytes()[skip..];
            skip = 0;
            let room = max - buffer.len();
            buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if buffer.len() == max {
                return;
            }
        }
    }

    /// Drops the first `count` bytes of what waits, because they are sent.
    pub(super) fn consume(&mut self, count: usize) {
        self.unsent -= count;
        let mut left = self.sent + count;
        while let Some(piece) = self.queue.front() {
            let len = piece.bytes().len();
            if left < len {
                break;
            }
            left -= len;
            self.queue.pop_front();
        }
        self.sent = left;
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::peer;

    /// What is sent, as the server reads it: the requests, and the data of each.
    fn sent(requests: &mut Requests) -> Vec<(String, Vec<u8>)> {
        let mut bytes = Vec::new();
        requests.fill(&mut bytes, usize::MAX);
        requests.consume(bytes.len());
        let (mut rest, mut read) = (&bytes[..], Vec::new());
        while let Some(received) = peer::receive(rest).unwrap() {
            let name = format!("{:?}", received.request);
            let name = name.split(' ').next().unwrap_or_default().to_owned();
            read.push((name, received.data.to_vec()));
            rest = received.rest;
        }
        assert_eq!(rest, [0; 0], "a request without its end");
        read
    }

    fn is_pending(requests: &Requests, slot: u32) -> [bool; 3] {
        [requests.has_room(), requests.has_room_for_data(slot), requests.has_room_for_data(slot + 1)]
    }

    #[test]
    fn requests_wait_for_a_write_whose_data_is_not_complete() {
        let chunk: Arc<[u8]> = (0..100).collect();
        let mut requests = Requests::default();
        requests.begin_write(0, b"h", 0, 60);
        assert_eq!((requests.missing(0), requests.missing(1)), (60, 0));
        requests.send(Tag { slot: 1, step: Step::Look }, &Request::Lstat { path: b"/a" });
        assert_eq!(is_pending(&requests, 0), [true, true, false]);
        requests.data(chunk.clone(), 10..50);
        requests.give_up_write(1);
        requests.data(chunk, 80..100);
        assert_eq!(is_pending(&requests, 0), [true; 3]);
        let data: Vec<u8> = (10..50).chain(80..100).collect();
        assert_eq!(sent(&mut requests), [("Write".to_owned(), data), ("Lstat".to_owned(), Vec::new())]);
    }

    #[test]
    fn a_write_that_is_given_up_ends_with_zeros() {
        let chunk: Arc<[u8]> = (0..100).collect();
        let mut requests = Requests::default();
        let len = 2 * limits::CHUNK + 10;
        requests.begin_write(3, b"h", 0, len as u32);
        requests.data(chunk, 0..1);
        requests.send(Tag { slot: 3, step: Step::Close }, &Request::Close { handle: b"h" });
        requests.give_up_write(3);
        assert_eq!(requests.missing(3), 0);
        let zeros = vec![0; len];
        assert_eq!(sent(&mut requests), [("Write".to_owned(), zeros), ("Close".to_owned(), Vec::new())]);
    }

    #[test]
    fn a_write_that_has_begun_needs_no_room_for_another_request() {
        let mut requests = Requests::default();
        requests.begin_write(0, b"h", 0, 10);
        sent_so_far(&mut requests);
        for slot in 1..=limits::SFTP_IN_FLIGHT as u32 {
            requests.send(Tag { slot, step: Step::Look }, &Request::Lstat { path: b"/a" });
        }
        assert_eq!(is_pending(&requests, 0), [false, true, false]);
    }

    #[test]
    fn requests_that_wait_for_an_open_write_take_room() {
        let mut requests = Requests::default();
        requests.begin_write(0, b"h", 0, 1);
        let path = vec![b'p'; limits::SFTP_UNSENT / 2];
        for has_room in [true, false] {
            requests.send(Tag { slot: 1, step: Step::Look }, &Request::Lstat { path: &path });
            assert_eq!(requests.has_room(), has_room);
        }
        requests.data([0].into(), 0..1);
        assert!(!requests.has_room());
        sent_so_far(&mut requests);
        assert!(requests.has_room());
    }

    #[test]
    fn chunks_are_sent_as_they_are_and_small_pieces_together() {
        const CHUNK: usize = limits::CHUNK;
        const HALF: usize = limits::WRITE_CHUNK_OF_MANY;
        let chunk: Arc<[u8]> = (0..CHUNK).map(|at| at as u8).collect();
        let header = 4 + 1 + 4 + (4 + 6) + 8 + 4;
        let close = 4 + 1 + 4 + (4 + 6);
        // The request and the first chunk fit into one large write, or two small ones. So does each
        // chunk after it, of which the first write may have taken the beginning.
        let first = limits::WRITE_CHUNK;
        let large = vec![(first, false), (header + 2 * CHUNK - first, true), (close, false)];
        let first = [(HALF, false), (header + CHUNK - HALF, true)];
        let small = [&first[..], &[(HALF, true), (CHUNK - HALF, true), (close, false)]].concat();
        for (at_once, expected) in [(limits::WRITE_CHUNK, large), (HALF, small)] {
            let mut requests = Requests::default();
            requests.begin_write(0, b"handle", 0, 2 * CHUNK as u32);
            requests.data(chunk.clone(), 0..CHUNK);
            requests.data(chunk.clone(), 0..CHUNK);
            requests.send(Tag { slot: 0, step: Step::Close }, &Request::Close { handle: b"handle" });
            let (mut sent, mut buffer) = (Vec::new(), Vec::new());
            while requests.unsent() > 0 {
                let bytes = requests.next_bytes(&mut buffer, at_once);
                let is_shared = chunk.as_ptr_range().contains(&bytes.as_ptr());
                let len = bytes.len();
                sent.push((len, is_shared));
                requests.consume(len);
            }
            assert_eq!(sent, expected);
        }
    }

    fn sent_so_far(requests: &mut Requests) {
        requests.consume(requests.unsent());
    }

    #[test]
    fn only_requests_that_are_sent_are_at_the_server() {
        let look = |slot| Tag { slot, step: Step::Look };
        let mut requests = Requests::default();
        for slot in 0..3 {
            requests.send(look(slot), &Request::Lstat { path: b"/a" });
        }
        assert_eq!(requests.at_server(), 0);
        requests.consume(1);
        assert_eq!(requests.at_server(), 0, "a part of the first is sent");
        requests.consume(requests.unsent() - 1);
        assert_eq!(requests.at_server(), 2, "a part of the last is not sent");
        sent_so_far(&mut requests);
        assert_eq!(requests.at_server(), 3);
        requests.begin_write(0, b"h", 0, 2);
        requests.send(look(1), &Request::Lstat { path: b"/a" });
        sent_so_far(&mut requests);
        assert_eq!(requests.at_server(), 3, "a write without its data, and what follows it");
        requests.data([0, 1].into(), 0..2);
        sent_so_far(&mut requests);
        assert_eq!(requests.at_server(), 5);
        assert!(requests.answered(1).is_some());
        assert_eq!(requests.at_server(), 4);
    }
}
