//! What a caller takes from a fleet and gives to commands: events, output, input and signals.

use std::io;

use super::Fleet;
use super::events::{Entry, Event};
use super::runs::RunNews;
use crate::command::Signal;
use crate::ids::{CommandId, HostId, StdStream};
use crate::output::{Deliver, Line, LineEnds, Stream};
use crate::session::CommandNews;

impl Fleet {
    /// Takes unread output into a buffer. How many bytes; 0 if there are none.
    pub fn read(&mut self, id: CommandId, stream: StdStream, bytes: &mut [u8]) -> usize {
        self.read_with(id, stream, |stream, _| stream.read(bytes)).unwrap_or(0)
    }

    /// Shows all unread output in its place, line ends included; nothing if there is none. With [`consume`](Self::consume) a
    /// way to read without a copy, as [`io::BufRead`] has one: records that are no lines, or many lines at a time.
    ///
    /// ```no_run
    /// use sshoal::{CommandId, Fleet, StdStream};
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
        self.engine.execs.get(id).map_or(&[], |exec| exec.stream(stream).unread())
    }

    /// Drops the first so many bytes of unread output, or all if there are fewer: they have been read.
    pub fn consume(&mut self, id: CommandId, stream: StdStream, count: usize) {
        self.read_with(id, stream, |stream, _| stream.consume(count));
    }

    /// Takes the next line of unread output, if there is a whole one. Once the command has ended, the rest is the last line. Of
    /// a line that is longer than the stream may hold, it takes [what there is](crate::Keep::BackPressure).
    pub fn take_line(&mut self, id: CommandId, stream: StdStream, ends: LineEnds) -> Option<Line> {
        self.read_with(id, stream, |stream, share| stream.take_line(ends, share))?
    }

    /// Drops unread output.
    pub fn discard(&mut self, id: CommandId, stream: StdStream) {
        self.read_with(id, stream, |stream, _| stream.clear());
    }

    /// Reads from a stream, and lets a host go on that has waited for that.
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

    /// Queues input, as much as there is room for: 1 MiB at a time, per command. How many bytes.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room: [`Event::Writable`](crate::Event::Writable) tells when
    /// there is. [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the command takes no more.
    pub fn write_stdin(&mut self, id: CommandId, bytes: &[u8]) -> io::Result<usize> {
        let Some(exec) = self.engine.execs.get_mut(id) else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let written = exec.write_stdin(bytes)?;
        let host = exec.host();
        self.engine.event_loop.visit_soon(host.index());
        Ok(written)
    }

    /// Ends the input once everything written has been sent.
    pub fn close_stdin(&mut self, id: CommandId) {
        if let Some(exec) = self.engine.execs.get_mut(id)
            && exec.close_stdin()
        {
            let host = exec.host();
            self.engine.event_loop.visit_soon(host.index());
        }
    }

    /// Sends a signal to a command that runs (RFC 4254 section 6.9); `false` if it does not. There is no answer. Which ones a
    /// host passes on is said at [`Signal`].
    pub fn signal(&mut self, id: CommandId, signal: Signal) -> bool {
        let Some(exec) = self.engine.execs.get_mut(id) else { return false };
        let is_sent = exec.signal(signal);
        let host = exec.host();
        if is_sent {
            self.engine.event_loop.visit_soon(host.index());
        }
        is_sent
    }

    /// The next event, in the order in which things happened to each host. Call it after each
    /// [`turn`](Self::turn) until it returns `None`: the descriptor does not report events that are left.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        let entry = self.next_entry()?;
        Some(match entry {
            Entry::Entered { host, stage } => Event::Entered { host, stage },
            Entry::Connected { host, timings } => Event::Connected { host, timings },
            Entry::Disconnected { host, error, retrying } => Event::Disconnected { host, error, retrying },
            Entry::Run(run, RunNews::BatchDone { batch, tally, left }) => {
                Event::BatchDone { run, batch, tally, left }
            }
            Entry::Run(run, RunNews::Done(tally)) => Event::RunDone { run, tally },
            Entry::Drained => Event::Drained,
            Entry::Command(command, news) => {
                let host = self.engine.execs.get(command)?.host();
                match news {
                    CommandNews::Started => Event::Started { host, command },
                    CommandNews::Writable => Event::Writable { host, command },
                    CommandNews::Finished => return self.finished(command),
                    CommandNews::Output(stream) => return self.output(host, command, stream),
                }
            }
        })
    }

    /// The next entry that still has something to tell.
    fn next_entry(&mut self) -> Option<Entry> {
        loop {
            let entry = self.engine.events.pop()?;
            let Entry::Command(id, news) = entry else { return Some(entry) };
            // A command that was released meanwhile has no more events.
            let exec = self.engine.execs.get(id).filter(|exec| !exec.is_released());
            let Some((host, deliver)) = exec.map(|exec| (exec.host(), exec.deliver())) else { continue };
            let CommandNews::Output(which) = news else { return Some(entry) };
            let is_there = self.engine.execs.with_stream(id, which, |stream, share| {
                let is_there = match deliver {
                    Deliver::Lines => stream.has_line(share),
                    Deliver::Bytes => !stream.is_empty(),
                    Deliver::Nothing => false,
                };
                // There may be more lines.
                stream.listed = is_there && deliver == Deliver::Lines;
                is_there
            });
            if is_there == Some(true) {
                if deliver == Deliver::Lines {
                    self.engine.events.push_front(Entry::Command(id, news));
                }
                return Some(entry);
            }
            // It may have been held back at a part of a line, and there is more room now.
            self.engine.made_room(host);
        }
    }

    fn output(&mut self, host: HostId, command: CommandId, stream: StdStream) -> Option<Event<'_>> {
        let is_line = self.engine.execs.get(command)?.deliver() == Deliver::Lines;
        let lent = self.read_with(command, stream, |stream, share| {
            if is_line { stream.lend_line(share) } else { Some(stream.lend()) }
        })??;
        let bytes = self.engine.execs.get(command)?.stream(stream).lent(lent);
        Some(if is_line {
            Event::Line { host, command, stream, bytes, offset: lent.offset }
        } else {
            Event::Output { host, command, stream, bytes }
        })
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
