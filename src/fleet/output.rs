//! Taking events and output, and sending input and signals.

use std::io;

use super::api::Fleet;
use super::engine::Engine;
use super::event_queue::BYTES_PER_EVENT;
use super::events::{Entry, Event};
use super::runs::RunNews;
use crate::command::Signal;
use crate::ids::{CommandId, HostId, StdStream};
use crate::output::{Deliver, LentLine, Line, LineEnds, Stream};
use crate::session::CommandNews;

impl Fleet {
    /// Moves unread output into a buffer. Returns how many bytes were moved, which is 0 if none are
    /// unread.
    pub fn read(&mut self, id: CommandId, stream: StdStream, bytes: &mut [u8]) -> usize {
        self.read_with(id, stream, |stream, _| stream.read(bytes)).unwrap_or(0)
    }

    /// All unread output of a stream, including line ends; empty if there is none. Together with
    /// [`consume`](Self::consume), this reads without a copy, like [`io::BufRead`]. That is useful
    /// for records other than lines, or for many lines at a time.
    ///
    /// ```no_run
    /// use sshoal::fleet::CommandId;
    /// use sshoal::{Fleet, StdStream};
    ///
    /// /// Passes on the names that `find -print0` has printed since the last call.
    /// fn names(fleet: &mut Fleet, find: CommandId, mut each: impl FnMut(&[u8])) {
    ///     let mut read = 0;
    ///     for record in fleet.peek(find, StdStream::Stdout).split_inclusive(|byte| *byte == 0) {
    ///         // The last record may be incomplete.
    ///         let Some(name) = record.strip_suffix(b"\0") else { break };
    ///         each(name);
    ///         read += record.len();
    ///     }
    ///     fleet.consume(find, StdStream::Stdout, read);
    /// }
    /// ```
    pub fn peek(&mut self, id: CommandId, stream: StdStream) -> &[u8] {
        self.engine.execs.get(id).map_or(&[], |exec| exec.stream(stream).unread())
    }

    /// Marks the first `count` bytes of unread output as read, and drops them. If fewer bytes are
    /// unread, all of them are dropped.
    pub fn consume(&mut self, id: CommandId, stream: StdStream, count: usize) {
        self.read_with(id, stream, |stream, _| stream.consume(count));
    }

    /// Takes the next line of unread output, if a whole line has arrived. Once the command has
    /// ended, the rest of the output counts as the last line. If a line is longer than the stream
    /// may hold, the part that [has arrived](crate::output::Keep::BackPressure) is taken.
    ///
    /// The line is lent: it stays in the fleet until the next call that may change it, and counts
    /// as read. No memory is allocated for it.
    ///
    /// ```no_run
    /// use sshoal::fleet::CommandId;
    /// use sshoal::output::LineEnds;
    /// use sshoal::{Fleet, StdStream};
    ///
    /// /// Counts the lines that have arrived since the last call, except empty ones.
    /// fn count(fleet: &mut Fleet, command: CommandId) -> usize {
    ///     let mut lines = 0;
    ///     while let Some(line) = fleet.next_line(command, StdStream::Stdout, LineEnds::Bytes) {
    ///         lines += usize::from(!line.bytes.is_empty());
    ///     }
    ///     lines
    /// }
    /// ```
    pub fn next_line(&mut self, id: CommandId, stream: StdStream, ends: LineEnds) -> Option<LentLine<'_>> {
        let lend = |stream: &mut Stream, share| {
            stream.set_line_ends(ends);
            stream.lend_line(share)
        };
        let lent = self.read_with(id, stream, lend)??;
        let bytes = self.engine.execs.get(id)?.stream(stream).lent(lent);
        Some(LentLine { bytes, offset: lent.offset })
    }

    /// Like [`next_line`](Self::next_line), but returns a copy of the line, and frees the memory of
    /// the original at once.
    pub fn take_line(&mut self, id: CommandId, stream: StdStream, ends: LineEnds) -> Option<Line> {
        let LentLine { bytes, offset } = self.next_line(id, stream, ends)?;
        let line = Line { bytes: bytes.to_vec(), offset };
        self.consume(id, stream, 0);
        Some(line)
    }

    /// Drops all unread output of a stream.
    pub fn discard(&mut self, id: CommandId, stream: StdStream) {
        self.read_with(id, stream, |stream, _| stream.clear());
    }

    /// Reads from a stream, and resumes hosts that were held back by unread output.
    pub(super) fn read_with<T>(
        &mut self,
        id: CommandId,
        stream: StdStream,
        read: impl FnOnce(&mut Stream, usize) -> T,
    ) -> Option<T> {
        let host = self.engine.execs.get(id)?.host();
        let result = self.engine.execs.with_stream(id, stream, read);
        self.engine.made_room(host);
        result
    }

    /// Queues as much of this input as there is room for. Up to 1 MiB can be queued per command.
    /// Returns how many bytes were queued.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room;
    /// [`Event::Writable`](crate::Event::Writable) reports when there is room again.
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the command accepts no more input. By default,
    /// a fleet's commands accept none, apart from shells and subsystems, which the wrapped
    /// [`InputNotOpen`](crate::error::ChannelProblem::InputNotOpen) says; see
    /// [`Command::stdin`](crate::Command::stdin).
    pub fn write_stdin(&mut self, id: CommandId, bytes: &[u8]) -> io::Result<usize> {
        let Some(exec) = self.engine.execs.get_mut(id) else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let written = exec.write_stdin(bytes)?;
        self.engine.event_loop.visit_soon(exec.host().index());
        Ok(written)
    }

    /// Closes the command's input once all queued input has been sent. Does nothing if the input is
    /// not open.
    pub fn close_stdin(&mut self, id: CommandId) {
        if let Some(exec) = self.engine.execs.get_mut(id)
            && exec.close_stdin()
        {
            self.engine.event_loop.visit_soon(exec.host().index());
        }
    }

    /// Sends a signal to a command (RFC 4254 section 6.9). Returns `false` if the command is not
    /// running. The server does not answer; [`Signal`] says which signals servers deliver.
    pub fn signal(&mut self, id: CommandId, signal: Signal) -> bool {
        let Some(exec) = self.engine.execs.get_mut(id) else { return false };
        let is_sent = exec.signal(signal);
        if is_sent {
            self.engine.event_loop.visit_soon(exec.host().index());
        }
        is_sent
    }

    /// The next event. `None` if there are no more, or if the caller has taken as much output as
    /// the [`Budget`](crate::Budget) of the last turn allows. Untaken events keep the descriptor
    /// readable, so the caller may stop at any time, and take the rest after the next
    /// [`turn`](Self::turn).
    ///
    /// The events of one host come in the order in which things happened, and hosts take turns. If
    /// much output of a running command waits, its rest may come after later events of the same
    /// host, but never after the end of its command.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        let entry = self.next_entry()?;
        Some(match entry {
            Entry::Entered { host, stage } => Event::Entered { host, stage },
            Entry::Banner { host, text } => Event::Banner { host, text },
            Entry::Touch { host, name, key } => Event::Touch { host, name, key },
            Entry::Connected { host, timings, algorithms } => Event::Connected { host, timings, algorithms },
            Entry::Disconnected { host, error, retrying } => Event::Disconnected { host, error, retrying },
            Entry::Scanned { host, found } => Event::Scanned { host, found: *found },
            Entry::Run(run, RunNews::BatchDone { batch, tally, left }) => {
                Event::BatchDone { run, batch, tally, left }
            }
            Entry::Run(run, RunNews::Done(tally)) => Event::RunDone { run, tally },
            Entry::Drained => Event::Drained,
            Entry::End { command, .. } => return self.finished(command),
            Entry::Command(command, news) => {
                let host = self.engine.execs.get(command)?.host();
                match news {
                    CommandNews::Started => Event::Started { host, command },
                    CommandNews::Writable => Event::Writable { host, command },
                    CommandNews::Progress => return self.progress(host, command),
                    CommandNews::Finished => return self.finished(command),
                    CommandNews::Output(stream) => return self.output(host, command, stream),
                }
            }
        })
    }

    /// The next entry. Skips entries that no longer apply.
    fn next_entry(&mut self) -> Option<Entry> {
        loop {
            let entry = self.engine.events.next()?;
            let (Entry::Command(id, _) | Entry::End { command: id, .. }) = entry else { return Some(entry) };
            // A released command has no further events.
            let exec = self.engine.execs.get(id).filter(|exec| !exec.is_released());
            let Some((host, deliver)) = exec.map(|exec| (exec.host(), exec.deliver())) else { continue };
            let Entry::Command(_, CommandNews::Output(which)) = entry else { return Some(entry) };
            let is_there = self.engine.execs.with_stream(id, which, |stream, share| {
                stream.listed = match deliver {
                    Deliver::Lines => stream.has_line(share),
                    Deliver::Bytes => !stream.is_empty(),
                    Deliver::Nothing => false,
                };
                stream.listed
            });
            if is_there == Some(true) {
                return Some(entry);
            }
            // The host may have been held back while this stream holds only a part of a line. If
            // there is more room now, the host must resume, so that the rest can arrive.
            self.engine.made_room(host);
        }
    }

    fn output(&mut self, host: HostId, command: CommandId, which: StdStream) -> Option<Event<'_>> {
        let is_line = self.engine.execs.get(command)?.deliver() == Deliver::Lines;
        let lent = self.read_with(command, which, |stream, share| {
            let lent = if is_line { stream.lend_line(share) } else { Some(stream.lend(BYTES_PER_EVENT)) };
            // Whether the rest has a line shows only once the bytes are no longer lent.
            stream.listed = !stream.is_empty();
            lent
        })??;
        let Engine { execs, events, .. } = &mut self.engine;
        let exec = execs.get(command)?;
        let stream = exec.stream(which);
        let bytes = stream.lent(lent);
        events.took(host, bytes.len(), is_line);
        if stream.listed {
            let rest = Entry::Command(command, CommandNews::Output(which));
            events.put_back(host, rest, exec.is_finished());
        }
        Some(if is_line {
            Event::Line { host, command, stream: which, bytes, offset: lent.offset }
        } else {
            Event::Output { host, command, stream: which, bytes }
        })
    }

    fn progress(&mut self, host: HostId, command: CommandId) -> Option<Event<'_>> {
        let done = self.engine.execs.get_mut(command)?.take_progress()?;
        Some(Event::Progress { host, command, done })
    }

    fn finished(&mut self, command: CommandId) -> Option<Event<'_>> {
        let exec = self.engine.execs.get(command)?;
        let (host, timings, outcome) = (exec.host(), exec.timings(), exec.outcome()?.clone());
        if exec.deliver() != Deliver::Nothing {
            self.engine.execs.release(command);
        }
        Some(Event::Finished { host, command, outcome, timings })
    }
}
