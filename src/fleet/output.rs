//! A command's streams, in the caller's hands.

use std::io;

use super::Fleet;
use crate::command::Signal;
use crate::ids::CommandId;
use crate::ids::StdStream;
use crate::limits;
use crate::output::LineEnds;
use crate::output::{Line, Stream};

impl Fleet {
    /// Takes unread output into a buffer. How many bytes; 0 if there are none.
    pub fn read(&mut self, id: CommandId, stream: StdStream, bytes: &mut [u8]) -> usize {
        self.take_back();
        self.read_with(id, stream, |stream, _| stream.read(bytes)).unwrap_or(0)
    }

    /// Shows all unread output in its place, line ends included; nothing if there is none. With [`consume`](Self::consume) a
    /// way to read without a copy, as [`io::BufRead`] has one: records that are no lines, or many lines at a time.
    ///
    /// ```no_run
    /// use sshoal::{Fleet, StdStream};
    /// use sshoal::fleet::CommandId;
    ///
    /// /// Passes on the names that `find -print0` has told since, of a command that is read by calls.
    /// fn names(fleet: &mut Fleet, find: CommandId, mut each: impl FnMut(&[u8])) {
    ///     let mut read = 0;
    ///     for record in fleet.peek(find, StdStream::Stdout).split_inclusive(|byte| *byte == 0) {
    ///         // Of the last one, more may come.
    ///         let Some(name) = record.strip_suffix(b"\0") else { break };
    ///         each(name);
    ///         read += record.len();
    ///     }
    ///     fleet.consume(find, StdStream::Stdout, read);
    /// }
    /// ```
    pub fn peek(&mut self, id: CommandId, stream: StdStream) -> &[u8] {
        self.take_back();
        self.execs.get(id).map_or(&[], |exec| exec.stream(stream).unread())
    }

    /// Drops the first so many bytes of unread output, or all if there are fewer: they have been read.
    pub fn consume(&mut self, id: CommandId, stream: StdStream, count: usize) {
        self.take_back();
        self.read_with(id, stream, |stream, _| stream.consume(count));
    }

    /// Takes the next line of unread output, if there is a whole one. Once the command has ended, the rest is the last line. Of
    /// a line that is longer than the stream may hold, it takes [what there is](crate::output::Keep::BackPressure).
    pub fn take_line(&mut self, id: CommandId, stream: StdStream, ends: LineEnds) -> Option<Line> {
        self.take_back();
        self.read_with(id, stream, |stream, share| stream.take_line(ends, share))?
    }

    /// Drops unread output.
    pub fn discard(&mut self, id: CommandId, stream: StdStream) {
        self.take_back();
        self.read_with(id, stream, |stream, _| stream.clear());
    }

    /// Reads from a stream, and lets a host go on that has waited for that.
    pub(super) fn read_with<T>(
        &mut self,
        id: CommandId,
        stream: StdStream,
        read: impl FnOnce(&mut Stream, usize) -> T,
    ) -> Option<T> {
        let host = self.execs.get(id)?.host();
        let result = self.execs.with_stream(id, stream, read);
        self.made_room(host);
        result
    }

    /// Queues input, as much as there is room for: 1 MiB at a time, per command. How many bytes.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room: [`Event::Writable`](crate::Event::Writable) tells when
    /// there is. [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the command takes no more.
    pub fn write_stdin(&mut self, id: CommandId, bytes: &[u8]) -> io::Result<usize> {
        self.take_back();
        let Some(exec) = self.execs.get_mut(id) else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let host = exec.host();
        let room = limits::STDIN_QUEUE.saturating_sub(exec.stdin.len());
        let piece = &bytes[..bytes.len().min(room)];
        if !exec.stdin.push(piece) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        exec.input_refused |= piece.len() < bytes.len();
        if piece.is_empty() && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.visit_soon(host.index());
        Ok(piece.len())
    }

    /// Ends the input once everything written has been sent.
    pub fn close_stdin(&mut self, id: CommandId) {
        self.take_back();
        if let Some(exec) = self.execs.get_mut(id)
            && exec.stdin.close()
        {
            let host = exec.host();
            self.visit_soon(host.index());
        }
    }

    /// Sends a signal to a command that runs (RFC 4254 section 6.9); `false` if it does not. There is no answer. Which ones a
    /// host passes on is said at [`Signal`].
    pub fn signal(&mut self, id: CommandId, signal: Signal) -> bool {
        self.take_back();
        let Some(exec) = self.execs.get_mut(id).filter(|exec| exec.is_running()) else { return false };
        exec.signals.push_back(signal);
        let host = exec.host();
        self.visit_soon(host.index());
        true
    }
}
