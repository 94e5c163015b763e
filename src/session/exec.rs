//! One command on one host: its state, its streams, and its progress.

mod inbox_buffer;
mod prepare;
mod state;
mod step;
mod stop;
mod sudo;
mod table;

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, mem};

use crate::command::{OutputOptions, Request, Signal};
use crate::error::HostErrorKind;
use crate::ids::{CommandId, HostId, RunId, StdStream};
use crate::limits;
use crate::link::Link;
use crate::link::algorithms::Algorithms;
use crate::output::{Deliver, Excess, Origin, Outcome, Room, StdinQueue, Stream};
use crate::stage::{Stage, Stopwatch, Timings};
use crate::transfer::{Transfer, Transferred};

use self::inbox_buffer::InboxBuffer;
use self::sudo::SudoDialogue;
use super::deadline::Deadline;
use super::trial::Trial;
use super::{CommandNews, Effect};

pub use state::CommandState;
pub(super) use state::{CloseStep, ExecState, StopStep};
#[cfg(test)]
pub(super) use state::{EXEC_EDGES, ExecPhase};
pub(super) use step::{ExecCx, Progress};
pub(crate) use table::{Execs, Traffic};

/// One command on one host.
#[derive(Debug)]
pub(crate) struct Exec {
    id: CommandId,
    host: HostId,
    run: RunId,
    /// The position of the command in its run.
    position: usize,
    /// The transfer that needs the command, and the part of it that does.
    helps: Option<(CommandId, u32)>,
    pub(super) state: ExecState,
    request: Arc<Request>,
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    pub(super) stdin: StdinQueue,
    /// The dialogue with `sudo`. `None` if there is no password to give, or once `sudo` has let the
    /// command begin.
    sudo: Option<Box<SudoDialogue>>,
    /// Whether the password of `sudo` is on trial.
    trial: Trial,
    /// The transfer that the command is, if it is one and it has begun.
    transfer: Option<Box<Transfer>>,
    /// What a transfer had done when it ended, until that is reported.
    done_at_end: Option<Box<Transferred>>,
    /// The command line that the transfer uses if the server has no SFTP.
    plain: Option<CString>,
    /// The signals that are not sent yet.
    signals: VecDeque<Signal>,
    deadline: Option<Deadline>,
    /// How long the server may take to confirm the close of the channel.
    close_limit: Duration,
    begun: Instant,
    ended: u64,
    stopwatch: Stopwatch,
    /// The algorithms of the connection on which the command has asked for a channel.
    pub(crate) algorithms: Option<Algorithms>,
    told_started: bool,
    /// Whether the server has granted a terminal, which shows standard error as standard output.
    pub(crate) on_terminal: bool,
    /// The bytes transferred that the fleet's counters do not include yet.
    traffic: Traffic,
    /// What the fleet's totals include of this command.
    booked: table::Booked,
    /// The first failure of a sink, and the stream of the sink. The failure stops the command.
    sink_failed: Option<(StdStream, io::Error)>,
    /// How the server says the command has ended. Its output may go on (`sleep 8 & exit 3`).
    exited: Option<Outcome>,
    /// How many jobs that change files of this machine have not been answered. The end is reported
    /// after the last of them.
    file_jobs: usize,
    released: bool,
}

impl Exec {
    pub(crate) fn new(
        id: CommandId,
        request: Arc<Request>,
        host: HostId,
        (run, position): (RunId, usize),
        now: Instant,
    ) -> Self {
        let sudo = request.options.sudo.as_ref().map(|_| Box::default());
        let OutputOptions { stdout, stderr, ends, .. } = &request.options.output;
        Self {
            id,
            host,
            run,
            position,
            helps: None,
            state: ExecState::Waiting,
            stdout: Stream::new(stdout.clone(), *ends),
            stderr: Stream::new(stderr.clone(), *ends),
            stdin: StdinQueue::new(&request.options.input),
            request,
            sudo,
            trial: Trial::Idle,
            transfer: None,
            done_at_end: None,
            plain: None,
            signals: VecDeque::new(),
            deadline: None,
            close_limit: limits::CLOSE_TIMEOUT,
            begun: now,
            ended: 0,
            stopwatch: Stopwatch::new(Stage::Queued, now),
            algorithms: None,
            told_started: false,
            on_terminal: false,
            traffic: Traffic::default(),
            booked: table::Booked::default(),
            sink_failed: None,
            exited: None,
            file_jobs: 0,
            released: false,
        }
    }

    pub(crate) fn host(&self) -> HostId {
        self.host
    }

    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// The position of the command in its run, from 0.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn deliver(&self) -> Deliver {
        self.request.options.output.deliver
    }

    /// Queues input, as [`StdinQueue::write`] does.
    pub(crate) fn write_stdin(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stdin.write(bytes)
    }

    /// Ends the input after the bytes that are queued. Returns `false` if it has already ended.
    pub(crate) fn close_stdin(&mut self) -> bool {
        self.stdin.close()
    }

    /// How many bytes of input are not sent yet.
    pub(crate) fn unsent(&self) -> usize {
        self.stdin.len()
    }

    /// Queues a signal. Returns `false` if the command is not running.
    pub(crate) fn signal(&mut self, signal: Signal) -> bool {
        if self.is_running() {
            self.signals.push_back(signal);
        }
        self.is_running()
    }

    pub(crate) fn unsent_signals(&self) -> usize {
        self.signals.len()
    }

    pub(crate) fn timings(&self) -> Timings {
        self.stopwatch.timings
    }

    pub(crate) fn is_released(&self) -> bool {
        self.released
    }

    pub(crate) fn stream(&self, which: StdStream) -> &Stream {
        match which {
            StdStream::Stdout => &self.stdout,
            StdStream::Stderr => &self.stderr,
        }
    }

    pub(crate) fn stream_mut(&mut self, which: StdStream) -> &mut Stream {
        match which {
            StdStream::Stdout => &mut self.stdout,
            StdStream::Stderr => &mut self.stderr,
        }
    }

    /// Returns the streams whose new output an event must report, and marks them as reported.
    fn list_output(&mut self) -> [Option<StdStream>; 2] {
        let is_told = self.is_told();
        [StdStream::Stdout, StdStream::Stderr].map(|which| {
            let stream = self.stream_mut(which);
            let is_news = is_told && !stream.is_empty() && !mem::replace(&mut stream.listed, true);
            is_news.then_some(which)
        })
    }

    pub(crate) fn state(&self) -> CommandState {
        match self.state.command_state() {
            CommandState::Finished if self.file_jobs > 0 => CommandState::Ending,
            state => state,
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.state() == CommandState::Finished
    }

    /// Changes the state; nothing else may set it. Checks that the transition is legal.
    pub(super) fn enter(&mut self, next: ExecState) {
        let (from, to) = (self.state.phase(), next.phase());
        debug_assert!(state::is_legal(from, to), "{from:?} -> {to:?}");
        #[cfg(test)]
        super::tests::record_exec(from, to);
        self.state = next;
    }

    /// Whether the server has accepted the command, or will never accept it.
    pub(crate) fn is_settled(&self) -> bool {
        self.state() >= CommandState::Running
    }

    /// Whether the command may have started on the host.
    pub(crate) fn is_started(&self) -> bool {
        self.state() >= CommandState::Sent
    }

    /// Whether the next answers of the server may end the command.
    pub(crate) fn may_end(&self) -> bool {
        self.is_started() && self.transfer.as_ref().is_none_or(|transfer| transfer.may_end())
    }

    /// Whether the command is running and is not being stopped.
    pub(crate) fn is_running(&self) -> bool {
        self.state() == CommandState::Running
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, ExecState::Waiting)
    }

    /// Whether the server had no channel left for the command.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.state, ExecState::Blocked)
    }

    /// Whether the command has begun and the server has not accepted it yet.
    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.state(), CommandState::Starting | CommandState::Sent)
    }

    /// Lets the command ask for a channel again, because another channel of the connection has
    /// closed.
    pub(super) fn unblock(&mut self) {
        if self.is_blocked() {
            self.enter(ExecState::Waiting);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let running = matches!(self.state, ExecState::Running(_));
        let dialogue = self.sudo.as_ref().filter(|_| running).and_then(|dialogue| dialogue.deadline);
        [self.deadline, dialogue].into_iter().flatten().map(|deadline| deadline.at).min()
    }

    /// When the channel of the command was requested. Before that: when the command joined the
    /// queue of its host, or when it was created.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.state {
            ExecState::Waiting if self.deadline.is_some() => Stage::Opening,
            _ => self.state.stage(),
        }
    }

    /// The outcome if the command fails now with an error of this kind.
    fn failed(&self, cx: &ExecCx<'_>, kind: HostErrorKind) -> Outcome {
        let elapsed = cx.now.saturating_duration_since(self.begun);
        Outcome::Failed(cx.peer.final_error(self.stage(), elapsed, kind))
    }

    /// Moves the output that has arrived into the streams, and handles the end of the command. Also
    /// works on a link that has failed.
    fn collect(&mut self, now: Instant, link: &mut dyn Link, share: usize, buffer: &mut InboxBuffer) {
        let Some(channel) = self.state.output_channel() else { return };
        let inbox = link.inbox(channel);
        self.traffic.received += (inbox.stdout.len() + inbox.stderr.len()) as u64;
        self.listen_to_sudo(inbox);
        let excess = match &self.state {
            ExecState::Running(_) => Excess::Taken,
            // The command was given up, so its output does not wait for a reader.
            ExecState::Stopping { .. } | ExecState::Closing { outcome: Outcome::Failed(_), .. } => {
                Excess::Dropped { share, but: 0 }
            }
            // stderr may arrive after the exit status and EOF (OpenSSH: `stderr-after-eof`).
            _ => Excess::Dropped { share, but: limits::LAST_OUTPUT },
        };
        match &mut self.transfer {
            Some(transfer) => transfer.receive(&inbox.stdout),
            None => self.receive(StdStream::Stdout, &inbox.stdout, excess),
        }
        self.receive(StdStream::Stderr, &inbox.stderr, excess);
        if self.room(share).lack().is_some() {
            self.stdout.settle();
            self.stderr.settle();
        }
        buffer.drain(&mut inbox.stdout);
        buffer.drain(&mut inbox.stderr);
        // Until the dialogue is over, a status is that of `sudo`.
        let is_command = self.sudo.is_none() && self.transfer.is_none();
        if self.exited.is_none() && is_command && self.is_running() {
            self.exited = inbox.exit.clone();
        }
        let told = self.exited.is_some() || inbox.exit.is_some();
        if !(inbox.closed || inbox.eof && told) {
            return;
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.channel_ended(inbox.exit.as_ref());
        }
        if self.is_running() && self.is_refused_by_sudo() {
            return;
        }
        self.end_dialogue();
        let outcome = match &self.state {
            ExecState::Running(_) if self.sink_failed.is_some() || self.transfer.is_some() => return,
            ExecState::Running(_) => {
                self.exited.clone().or_else(|| inbox.exit.clone()).unwrap_or(Outcome::NoStatus)
            }
            ExecState::Stopping { outcome, .. } => outcome.clone(),
            _ => return,
        };
        self.close(channel, outcome, CloseStep::Send, now);
    }

    /// Stores output. A released command's output goes to its sink, or is dropped.
    fn receive(&mut self, which: StdStream, bytes: &[u8], excess: Excess) {
        let origin = Origin { host: self.host, command: self.id, stream: which };
        let is_wanted = !self.released || self.stream(which).has_sink();
        if !bytes.is_empty()
            && is_wanted
            && let Err(source) = self.stream_mut(which).push(bytes, origin, excess)
        {
            self.sink_failed.get_or_insert((which, source));
        }
    }

    /// How much output there is room for. A command that is ending exerts no back-pressure. One
    /// that was sent does, because its output may arrive together with the server's acceptance. Its
    /// streams are empty, so there is always room to read the acceptance.
    fn room(&self, share: usize) -> Room {
        let may_print = matches!(self.state(), CommandState::Sent | CommandState::Running);
        if let Some(transfer) = &self.transfer {
            return transfer.room(share);
        }
        if !may_print || self.released {
            return Room::ENDLESS;
        }
        self.stdout.room(share).min(self.stderr.room(share))
    }

    /// Prepares for the collection of output from a failed link. The server's acceptance of the
    /// command may have arrived together with the failure. Output on the channel proves that the
    /// server accepted the command.
    fn salvage(&mut self, link: &mut dyn Link) {
        if let ExecState::Requesting(channel) = self.state
            && let inbox = link.inbox(channel)
            && (inbox.accepted || !inbox.is_empty())
        {
            self.enter(ExecState::Running(channel));
        }
    }
}
