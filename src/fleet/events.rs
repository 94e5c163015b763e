//! The events that a fleet reports to its caller.

use std::sync::Arc;

use super::run::Tally;
use super::runs::RunNews;
use crate::error::HostError;
use crate::ids::{CommandId, HostId, RunId, StdStream};
use crate::link::algorithms::Algorithms;
use crate::output::{Outcome, Transferred};
use crate::session::{CommandNews, ScannedHost};
use crate::stage::{Stage, Timings};

/// Something that happened in a [`Fleet`](crate::Fleet), as returned by
/// [`Fleet::next_event`](crate::Fleet::next_event).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An attempt to connect to a host has entered one of the stages from [`Stage::Resolving`] to
    /// [`Stage::Authenticating`].
    #[non_exhaustive]
    Entered {
        /// The host.
        host: HostId,
        /// The stage that the attempt is in now.
        stage: Stage,
    },
    /// What a host said before the login ended, such as a legal notice. Comes right before
    /// [`Connected`](Self::Connected). If the login fails, its error
    /// [has the text](HostError::banner), which is described there.
    #[non_exhaustive]
    Banner {
        /// The host.
        host: HostId,
        /// The text: one or more lines, safe for a terminal.
        text: Arc<str>,
    },
    /// The ssh-agent was asked for a signature by a security key (FIDO), and may be waiting for its
    /// user to touch the key. At most one host per agent waits for a touch at a time. The next
    /// event of the host shows how it went on.
    #[non_exhaustive]
    Touch {
        /// The host. If the login is that to a proxy, a host behind it.
        host: HostId,
        /// The name of the host or proxy that the touch logs in to.
        name: Arc<str>,
        /// The comment of the key in the agent, safe for a terminal.
        key: Arc<str>,
    },
    /// A host is connected, and the user is logged in.
    #[non_exhaustive]
    Connected {
        /// The host.
        host: HostId,
        /// How long each stage took, summed over all attempts.
        timings: Timings,
        /// The algorithms of the connection.
        algorithms: Algorithms,
    },
    /// A host's connection, or an attempt to connect, has ended.
    #[non_exhaustive]
    Disconnected {
        /// The host.
        host: HostId,
        /// Why the connection or the attempt failed; `None` if this end closed the connection.
        error: Option<HostError>,
        /// Whether the fleet will try to connect again by itself.
        retrying: bool,
    },
    /// A [scan](crate::Fleet::scan_host_keys) of a host has ended.
    #[non_exhaustive]
    Scanned {
        /// The host.
        host: HostId,
        /// The host's keys.
        found: ScannedHost,
    },
    /// A host has accepted a command.
    #[non_exhaustive]
    Started {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
    },
    /// A chunk of output, as it arrived ([`Deliver::Bytes`](crate::output::Deliver::Bytes)), of up
    /// to 64 KiB. Taking this event marks its bytes as read.
    #[non_exhaustive]
    Output {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
        /// The stream: standard output or standard error.
        stream: StdStream,
        /// The bytes of the chunk; never empty.
        bytes: &'a [u8],
    },
    /// A line of output ([`Deliver::Lines`](crate::output::Deliver::Lines)). A line ends with `\n`,
    /// with `\r\n`, or at the end of the stream. A line that is longer than the stream may hold
    /// arrives in [pieces](crate::output::Keep::BackPressure).
    #[non_exhaustive]
    Line {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
        /// The stream: standard output or standard error.
        stream: StdStream,
        /// The line without its line end, in the command's encoding.
        bytes: &'a [u8],
        /// The position of the line in its stream, in bytes.
        offset: u64,
    },
    /// A [transfer](crate::transfer) has made progress. There is at most one such event at a time
    /// for each transfer, with the progress at the time when it is taken. While 64 transfers or
    /// more run, progress may be reported up to a second late.
    #[non_exhaustive]
    Progress {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
        /// What the transfer has done so far.
        done: Transferred,
    },
    /// A command's input queue has room again, after
    /// [`Fleet::write_stdin`](crate::Fleet::write_stdin) found none.
    #[non_exhaustive]
    Writable {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
    },
    /// A command has ended: it exited, was killed, failed, timed out, was cancelled, or never
    /// started. This is the last event of the command. The command's id becomes invalid with this
    /// event, unless its output is [not delivered](crate::output::Deliver::Nothing) by events.
    #[non_exhaustive]
    Finished {
        /// The host.
        host: HostId,
        /// The command.
        command: CommandId,
        /// How the command ended.
        outcome: Outcome,
        /// How long the command spent in each stage.
        timings: Timings,
    },
    /// All commands of a [batch](crate::Run::batches) have ended. The last batch's event comes
    /// right before [`RunDone`](Self::RunDone). A batch that never started has no such event.
    #[non_exhaustive]
    BatchDone {
        /// The run.
        run: RunId,
        /// The number of the batch, from 0.
        batch: usize,
        /// How the commands of the whole run have ended so far.
        tally: Tally,
        /// How many commands of the run have not ended.
        left: usize,
    },
    /// All commands of a run have ended.
    #[non_exhaustive]
    RunDone {
        /// The run.
        run: RunId,
        /// How the commands ended.
        tally: Tally,
    },
    /// A [`Fleet::drain`](crate::Fleet::drain) is complete: no command and no connection is left.
    Drained,
}

/// An event that the caller has not taken yet.
#[derive(Debug)]
pub(super) enum Entry {
    Entered {
        host: HostId,
        stage: Stage,
    },
    Banner {
        host: HostId,
        text: Arc<str>,
    },
    Touch {
        host: HostId,
        name: Arc<str>,
        key: Arc<str>,
    },
    Connected {
        host: HostId,
        timings: Timings,
        algorithms: Algorithms,
    },
    Disconnected {
        host: HostId,
        error: Option<HostError>,
        retrying: bool,
    },
    Scanned {
        host: HostId,
        found: Box<ScannedHost>,
    },
    Command(CommandId, CommandNews),
    /// The end of a command, in this part of its run (see `event_queue`).
    End {
        command: CommandId,
        run: RunId,
        part: usize,
    },
    Run(RunId, RunNews),
    Drained,
}
