//! What a fleet tells its caller, in order.

use std::collections::VecDeque;

use super::Fleet;
use super::run::Tally;
use super::runs::{End, RunNews};
use crate::error::HostError;
use crate::ids::StdStream;
use crate::ids::{CommandId, HostId, RunId};
use crate::output::{Deliver, Outcome};
use crate::session::{Milestone, News};
use crate::stage::Stage;
use crate::stage::Timings;

/// Something that has happened in a [`Fleet`]: see [`Fleet::next_event`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An attempt to connect has reached this stage, [`Stage::Resolving`] to
    /// [`Stage::Authenticating`].
    #[non_exhaustive]
    Entered {
        /// The host.
        host: HostId,
        /// The stage.
        stage: Stage,
    },
    /// A host is logged in.
    #[non_exhaustive]
    Connected {
        /// The host.
        host: HostId,
        /// How long each stage took, over all attempts.
        timings: Timings,
    },
    /// A connection, or an attempt to connect, has ended.
    #[non_exhaustive]
    Disconnected {
        /// The host.
        host: HostId,
        /// The error. `None`: the connection was closed on this side.
        error: Option<HostError>,
        /// Whether another attempt follows.
        retrying: bool,
    },
    /// A host has accepted a command.
    #[non_exhaustive]
    Started {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
    },
    /// Output as it arrived ([`Deliver::Bytes`]). The next `&mut` call of the fleet consumes it.
    #[non_exhaustive]
    Output {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
        /// The stream.
        stream: StdStream,
        /// Not empty.
        bytes: &'a [u8],
    },
    /// A line of output ([`Deliver::Lines`]). `\n`, `\r\n` and the end of the stream end a line. A
    /// line that is longer than the bound of its stream comes in
    /// [pieces](crate::output::Keep::BackPressure).
    #[non_exhaustive]
    Line {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
        /// The stream.
        stream: StdStream,
        /// The line without its line end, in the command's encoding.
        bytes: &'a [u8],
        /// Offset of the line in the stream.
        offset: u64,
    },
    /// There is room for input again, after [`Fleet::write_stdin`] had none.
    #[non_exhaustive]
    Writable {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
    },
    /// A command has ended: exited, killed, failed, timed out, cancelled, or never started. This is
    /// its last event, and its id becomes invalid, unless its output is not
    /// [delivered](Deliver::Nothing).
    #[non_exhaustive]
    Finished {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
        /// How it ended.
        outcome: &'a Outcome,
        /// How long it was in each stage.
        timings: Timings,
    },
    /// All commands of a [batch](crate::Run::batches) have ended. That of the last batch precedes
    /// [`RunDone`](Self::RunDone). A batch that never began has none.
    #[non_exhaustive]
    BatchDone {
        /// The run.
        run: RunId,
        /// The number of the batch, from 0.
        batch: usize,
        /// How the commands of the run have ended so far.
        tally: Tally,
        /// Commands of the run that have not ended.
        left: usize,
    },
    /// All commands of a run have ended.
    #[non_exhaustive]
    RunDone {
        /// The run.
        run: RunId,
        /// How its commands ended.
        tally: Tally,
    },
    /// The fleet has been [drained](crate::Fleet::drain): no command and no connection is left.
    Drained,
}

#[derive(Debug)]
pub(super) enum Entry {
    Entered { host: HostId, stage: Stage },
    Connected { host: HostId, timings: Timings },
    Disconnected { host: HostId, error: Option<HostError>, retrying: bool },
    Of(News),
    Run(RunId, RunNews),
    Drained,
}

/// What was lent with the last event, and is taken back before anything else happens.
#[derive(Debug)]
enum Lent {
    Output(CommandId, StdStream, usize),
    /// A line was lent, which counts as read already.
    Line(CommandId, StdStream),
    /// The outcome of a command that nobody asks for any more.
    Last(CommandId),
}

/// Events that wait to be taken.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    queue: VecDeque<Entry>,
    lent: Option<Lent>,
}

impl EventQueue {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.queue.push_back(entry);
    }
}

impl Fleet {
    /// The next event, in the order in which things happened to each host. To be called after each
    /// [`turn`](Self::turn) until there is none: what is left shows on no descriptor.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        self.take_back();
        let entry = self.next_entry()?;
        self.show(entry)
    }

    /// Ends the loan of the last event.
    pub(super) fn take_back(&mut self) {
        match self.events.lent.take() {
            None => {}
            Some(Lent::Output(id, stream, len)) => {
                self.read_with(id, stream, |stream, _| stream.consume(len));
            }
            Some(Lent::Line(id, stream)) => {
                self.read_with(id, stream, |_, _| ());
            }
            Some(Lent::Last(id)) => self.execs.release(id),
        }
    }

    /// The next entry that still has something to tell.
    fn next_entry(&mut self) -> Option<Entry> {
        loop {
            let entry = self.events.queue.pop_front()?;
            let Entry::Of(news) = entry else { return Some(entry) };
            // Nobody wants to hear of one that was released meanwhile.
            let exec = self.execs.get(news.command()).filter(|exec| !exec.is_released());
            let Some((host, deliver)) = exec.map(|exec| (exec.host(), exec.request().options.output.deliver))
            else {
                continue;
            };
            let News::Output(id, which) = news else { return Some(entry) };
            let is_there = self.execs.with_stream(id, which, |stream, share| {
                let is_there = match deliver {
                    Deliver::Lines => stream.has_line(share),
                    Deliver::Bytes => !stream.is_empty(),
                    Deliver::Nothing => false,
                };
                // Of lines there may be more.
                stream.listed = is_there && deliver == Deliver::Lines;
                is_there
            });
            if is_there == Some(true) {
                if deliver == Deliver::Lines {
                    self.events.queue.push_front(Entry::Of(News::Output(id, which)));
                }
                return Some(entry);
            }
            // It may have been held back for a part of a line that more room was found for since.
            self.made_room(host);
        }
    }

    fn show(&mut self, entry: Entry) -> Option<Event<'_>> {
        Some(match entry {
            Entry::Entered { host, stage } => Event::Entered { host, stage },
            Entry::Connected { host, timings } => Event::Connected { host, timings },
            Entry::Disconnected { host, error, retrying } => Event::Disconnected { host, error, retrying },
            Entry::Run(run, RunNews::BatchDone { batch, tally, left }) => {
                Event::BatchDone { run, batch, tally, left }
            }
            Entry::Run(run, RunNews::Done(tally)) => Event::RunDone { run, tally },
            Entry::Drained => Event::Drained,
            Entry::Of(News::Output(command, stream)) => return self.show_output(command, stream),
            Entry::Of(News::Started(command)) => {
                Event::Started { host: self.execs.get(command)?.host(), command }
            }
            Entry::Of(News::Writable(command)) => {
                Event::Writable { host: self.execs.get(command)?.host(), command }
            }
            Entry::Of(News::Finished(command)) => {
                let exec = self.execs.get(command)?;
                if exec.request().options.output.deliver != Deliver::Nothing {
                    self.events.lent = Some(Lent::Last(command));
                }
                let (host, timings) = (exec.host(), exec.timings());
                Event::Finished { host, command, outcome: exec.outcome()?, timings }
            }
        })
    }

    fn show_output(&mut self, command: CommandId, stream: StdStream) -> Option<Event<'_>> {
        let share = self.execs.share();
        let exec = self.execs.get_mut(command)?;
        let host = exec.host();
        if exec.request().options.output.deliver == Deliver::Lines {
            self.events.lent = Some(Lent::Line(command, stream));
            let (bytes, offset) = exec.stream_mut(stream).lend_line(share)?;
            return Some(Event::Line { host, command, stream, bytes, offset });
        }
        let bytes = exec.stream(stream).unread();
        self.events.lent = Some(Lent::Output(command, stream, bytes.len()));
        Some(Event::Output { host, command, stream, bytes })
    }

    /// After a step of this slot: passes on what it and its commands have to tell.
    pub(super) fn tell(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let (host, is_proxy) = (slot.id, slot.session.is_proxy());
        let costs = slot.session.take_costs();
        self.meter.spent(costs);
        self.totals.spend(costs);
        while let Some(milestone) = slot.session.next_milestone() {
            let entry = match milestone {
                Milestone::Entered(stage) => Entry::Entered { host, stage },
                Milestone::Connected => Entry::Connected { host, timings: slot.session.timings() },
                Milestone::Disconnected { error, retrying } => Entry::Disconnected { host, error, retrying },
            };
            // Nobody has a proxy's name.
            if !is_proxy {
                self.events.push(entry);
            }
        }
        self.tell_of_commands();
    }

    pub(super) fn tell_of_commands(&mut self) {
        while let Some(news) = self.execs.next_news() {
            let id = news.command();
            let Some(exec) = self.execs.get(id) else { continue };
            let (host, is_released, run, position) =
                (exec.host(), exec.is_released(), exec.run(), exec.position());
            let end = exec.outcome().map(End::from);
            if !is_released {
                self.events.push(Entry::Of(news));
            }
            if let Some(end) = end.filter(|_| news == News::Finished(id)) {
                if is_released {
                    self.execs.release(id);
                }
                if let Some(slot) = self.slots.get_mut(host.index()).filter(|slot| slot.id == host) {
                    slot.forget_deferred(id);
                }
                self.runs.finished(run, position, end);
            }
        }
        self.tell_of_runs();
    }

    pub(super) fn tell_of_runs(&mut self) {
        while let Some((run, news)) = self.runs.next_news() {
            match news {
                RunNews::BatchDone { batch, tally, left } => {
                    log::debug!("{run:?}: batch {batch} is over, {left} commands left; {tally:?}");
                }
                RunNews::Done(tally) => log::debug!("{run:?} is over: {tally:?}"),
            }
            self.events.push(Entry::Run(run, news));
        }
    }
}
