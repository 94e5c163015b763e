//! What a fleet tells its caller, in order.

use std::collections::VecDeque;

use super::run::Tally;
use super::runs::RunNews;
use crate::error::HostError;
use crate::ids::StdStream;
use crate::ids::{CommandId, HostId, RunId};
use crate::output::Outcome;
use crate::session::CommandNews;
use crate::stage::Stage;
use crate::stage::Timings;

/// Something that has happened in a [`Fleet`]: see [`Fleet::next_event`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An attempt to connect a host has come to this stage, [`Stage::Resolving`] to [`Stage::Authenticating`].
    Entered {
        /// Which.
        host: HostId,
        /// Where it is now.
        stage: Stage,
    },
    /// A host is logged in.
    Connected {
        /// Which.
        host: HostId,
        /// How long each stage took, over all attempts.
        timings: Timings,
    },
    /// A host's connection is over, or an attempt to make one.
    Disconnected {
        /// Which.
        host: HostId,
        /// What it failed of. `None`: it was closed at this end.
        error: Option<HostError>,
        /// Whether another attempt follows by itself.
        retrying: bool,
    },
    /// A host has accepted a command.
    Started {
        /// Where.
        host: HostId,
        /// Which.
        command: CommandId,
    },
    /// Output, as it came ([`Deliver::Bytes`]). It counts as read.
    Output {
        /// Whose.
        host: HostId,
        /// Of which command.
        command: CommandId,
        /// Of which of its streams.
        stream: StdStream,
        /// Not empty.
        bytes: &'a [u8],
    },
    /// A line of output ([`Deliver::Lines`]). `\n` and `\r\n` end one, and the end of the stream. One that is longer than the
    /// stream may hold comes in [pieces](crate::Keep::BackPressure).
    Line {
        /// Whose.
        host: HostId,
        /// Of which command.
        command: CommandId,
        /// Of which of its streams.
        stream: StdStream,
        /// Without its line end, in the command's encoding.
        bytes: &'a [u8],
        /// Bytes of the stream before it.
        offset: u64,
    },
    /// A command has taken so much input that there is room again, after [`Fleet::write_stdin`] had none.
    Writable {
        /// Whose.
        host: HostId,
        /// Which.
        command: CommandId,
    },
    /// A command is over: exited, killed, failed, timed out, cancelled, or never started. It is the last event of that command,
    /// whose name ends with it, unless its output is not [delivered](Deliver::Nothing).
    Finished {
        /// Where.
        host: HostId,
        /// Which.
        command: CommandId,
        /// How.
        outcome: Outcome,
        /// How long it was in each stage.
        timings: Timings,
    },
    /// All commands of one [batch](crate::Run::batches) of a run are over. The last one's comes right before
    /// [`RunDone`](Self::RunDone). There is none of a batch that never began.
    BatchDone {
        /// Of which run.
        run: RunId,
        /// Which, from 0.
        batch: usize,
        /// How the commands of the run have ended so far.
        tally: Tally,
        /// Commands of the run that have not ended.
        left: usize,
    },
    /// All commands of a run are over.
    RunDone {
        /// Which.
        run: RunId,
        /// How its commands ended.
        tally: Tally,
    },
    /// Nothing is left after [`Fleet::drain`](crate::Fleet::drain): no command, and no connection.
    Drained,
}

#[derive(Debug)]
pub(super) enum Entry {
    Entered { host: HostId, stage: Stage },
    Connected { host: HostId, timings: Timings },
    Disconnected { host: HostId, error: Option<HostError>, retrying: bool },
    Command(CommandId, CommandNews),
    Run(RunId, RunNews),
    Drained,
}

/// Events that wait to be taken.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    queue: VecDeque<Entry>,
}

impl EventQueue {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.queue.push_back(entry);
    }

    pub(super) fn push_front(&mut self, entry: Entry) {
        self.queue.push_front(entry);
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.queue.pop_front()
    }
}
