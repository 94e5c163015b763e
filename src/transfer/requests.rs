//! The requests of a transfer: what waits to be sent, and what waits for its answer.

use std::collections::VecDeque;
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
    /// How many bytes of the first piece are sent.
    sent: usize,
    /// How many bytes wait.
    unsent: usize,
    pub extensions: Extensions,
    /// The largest read and write that the server accepts, in bytes.
    pub max_read: u32,
    pub max_write: u32,
    /// The largest number of files that the server keeps open at once.
    pub max_files: usize,
}

/// A part of what waits to be sent.
#[derive(Debug)]
enum Piece {
    Request(Vec<u8>),
    /// The data of a write, which many hosts share.
    Data(Arc<[u8]>, std::ops::Range<usize>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Request(bytes) => bytes,
            Self::Data(bytes, range) => &bytes[range.clone()],
        }
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            next_id: 0,
            in_flight: VecDeque::new(),
            queue: VecDeque::new(),
            sent: 0,
            unsent: 0,
            extensions: Extensions::default(),
            max_read: limits::CHUNK as u32,
            max_write: limits::CHUNK as u32,
            max_files: limits::FILES_AT_ONCE,
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
        let bounded = |limit: u64| match u32::try_from(limit) {
            Ok(limit @ 1..) => limit.min(limits::CHUNK as u32),
            _ => limits::CHUNK as u32,
        };
        self.max_read = bounded(server.read);
        self.max_write = bounded(server.write);
        if let Ok(handles @ 1..) = usize::try_from(server.handles) {
            self.max_files = handles.min(limits::FILES_AT_ONCE);
        }
    }

    /// Whether a task should make another request now. Requests that clean up are made in any
    /// case.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.len() < limits::SFTP_IN_FLIGHT && self.unsent < limits::SFTP_UNSENT
    }

    /// Queues a request.
    pub(crate) fn send(&mut self, tag: Tag, request: &Request<'_>) {
        let id = self.next_id();
        let mut bytes = Vec::new();
        request.encode(id, &mut bytes);
        self.in_flight.push_back((id, tag));
        self.queue(Piece::Request(bytes));
    }

    /// Queues a write of these bytes of a chunk. They are not copied.
    pub(crate) fn write(
        &mut self,
        slot: u32,
        handle: &[u8],
        offset: u64,
        chunk: Arc<[u8]>,
        range: std::ops::Range<usize>,
    ) {
        // A chunk is never longer.
        let len = u32::try_from(range.len()).unwrap_or(u32::MAX);
        self.send(Tag { slot, step: Step::Write { len } }, &Request::Write { handle, offset, data_len: len });
        self.queue(Piece::Data(chunk, range));
    }

    /// Queues bytes for a server without SFTP.
    pub(crate) fn send_raw(&mut self, bytes: Vec<u8>) {
        self.queue(Piece::Request(bytes));
    }

    /// Queues a chunk for a server without SFTP. It is not copied.
    pub(crate) fn send_chunk(&mut self, chunk: Arc<[u8]>) {
        let range = 0..chunk.len();
        self.queue(Piece::Data(chunk, range));
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

    /// Appends what is to be sent next to a buffer, at most `max` bytes.
    ///
    /// The request and the data of a write are sent together, because each part that is sent costs
    /// a packet of its own.
    pub(super) fn fill(&self, buffer: &mut Vec<u8>, max: usize) {
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
