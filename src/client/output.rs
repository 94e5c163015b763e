//! One host's output of one command.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use super::{Lines, Reader, Stdin, cannot_poll};
use crate::Fleet;
use crate::clock;
use crate::command::Signal;
use crate::error::{ChannelProblem, Error, HostError, HostErrorKind, HostErrorParts};
use crate::fleet::CommandId;
use crate::fleet::{CommandRef, HostRef};
use crate::ids::StdStream;
use crate::output::LineEnds;
use crate::output::{Decoding, Encoding, Malformed};
use crate::output::{ExitSignal, Outcome};
use crate::stage::Stage;

/// What one host made of one command (parallel-ssh: `HostOutput`).
///
/// It stays readable after the client is gone, and keeps the connections alive until then. Clones
/// read the same streams. When the last clone of it is dropped, unread output is thrown away; the
/// command itself goes on.
#[derive(Debug, Clone)]
pub struct HostOutput {
    handle: Arc<Handle>,
    position: usize,
    host: Arc<str>,
    port: u16,
    alias: Option<Arc<str>>,
    read_timeout: Option<Duration>,
    decoding: Decoding,
}

/// Gives the command's record back when nobody can read it any more.
#[derive(Debug)]
struct Handle {
    fleet: Shared,
    id: CommandId,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.fleet.lock().release(self.id);
    }
}

impl HostOutput {
    pub(super) fn new(
        fleet: Shared,
        id: CommandId,
        position: usize,
        host: HostRef<'_>,
        read_timeout: Option<Duration>,
        decoding: Decoding,
    ) -> Self {
        let (host, port, alias) = (host.name().into(), host.port(), host.alias().map(Into::into));
        Self { handle: Arc::new(Handle { fleet, id }), position, host, port, alias, read_timeout, decoding }
    }

    /// The host as it was given, without user and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What [`HostConfig::alias`](super::HostConfig::alias) calls it.
    pub fn alias(&self) -> Option<&str> {
        self.alias.as_deref()
    }

    /// Its position in the host list that the command was given to, from 0.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The lines of standard output that were not read yet, waiting for more until the command has
    /// ended.
    ///
    /// A new iterator goes on where the last one stopped. They are text in the
    /// [`encoding`](Self::encoding); [`Lines::raw`] has the bytes.
    pub fn stdout(&self) -> Lines<'_> {
        Lines::new(self, StdStream::Stdout)
    }

    /// The lines of standard error; see [`stdout`](Self::stdout). Extended data of other types than
    /// standard error (RFC 4254 section 5.2) arrives here as well: libssh does not tell them apart.
    /// No server in use sends any.
    pub fn stderr(&self) -> Lines<'_> {
        Lines::new(self, StdStream::Stderr)
    }

    /// Standard output as bytes; see [`Reader`].
    pub fn stdout_reader(&self) -> Reader<'_> {
        Reader::new(self, StdStream::Stdout)
    }

    /// Standard error as bytes; see [`Reader`].
    pub fn stderr_reader(&self) -> Reader<'_> {
        Reader::new(self, StdStream::Stderr)
    }

    /// The command's standard input. Dropping it does not end the input: [`Stdin::close`] does.
    pub fn stdin(&self) -> Stdin<'_> {
        Stdin::new(self)
    }

    /// Sends a signal to the command, which must be running: accepted by its host, and neither
    /// ended nor cancelled.
    ///
    /// There is no answer to a signal (RFC 4254 section 6.9). Which ones a host passes on is said
    /// at [`Signal`].
    ///
    /// ```no_run
    /// use sshoal::Signal;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// let outputs = client.run_command("exec my-daemon --foreground")?;
    /// for output in &outputs {
    ///     output.send_signal(Signal::Hup)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ChannelProblem::NotRunning`], or what ended the command if that was an error.
    pub fn send_signal(&self, signal: Signal) -> Result<(), HostError> {
        if self.fleet().lock().signal(self.id(), signal) {
            let is_sent = |command: CommandRef<'_>| command.unsent_signals() == 0;
            return self.drive(is_sent).map_err(|e| self.cannot_poll(&e));
        }
        let not_running = || self.own_error(HostErrorKind::Channel(ChannelProblem::NotRunning));
        Err(self.error().unwrap_or_else(not_running))
    }

    /// Ends the command before its time, and waits until it is over.
    ///
    /// A command that was not sent never will be. One that runs gets SIGTERM and the end of its
    /// input, a second to end by itself, and then its channel is closed; a host that does not
    /// confirm that within 10 seconds is not waited for. The outcome is a
    /// [`Cancelled`](HostErrorKind::Cancelled), whatever it does in that time, and what it had
    /// printed stays readable. One that had ended before keeps its outcome. The connection serves
    /// the next command.
    ///
    /// Whether a command that ignores SIGTERM, or whose host does not pass signals on, really ends
    /// is its host's business: on a terminal ([`Command::use_pty`](crate::Command::use_pty)) it
    /// gets SIGHUP as well; without one it goes on, and notices only when it reads or writes.
    ///
    /// # Errors
    /// [`Error::System`] if the poll fails.
    pub fn cancel(&self) -> Result<(), Error> {
        self.begin_cancel();
        self.drive(|command| command.is_finished()).map_err(cannot_poll)
    }

    pub(super) fn begin_cancel(&self) {
        self.fleet().lock().cancel(self.id());
    }

    /// The exit status, once the server has told it; `None` while the command runs, after a signal,
    /// and on failure.
    pub fn exit_code(&self) -> Option<u32> {
        match self.outcome()? {
            Outcome::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// The signal that ended the command, if one did.
    pub fn exit_signal(&self) -> Option<ExitSignal> {
        match self.outcome()? {
            Outcome::Signaled(signal) => Some(signal),
            _ => None,
        }
    }

    /// Why the command failed to run, or to be followed to its end.
    pub fn error(&self) -> Option<HostError> {
        match self.outcome()? {
            Outcome::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// How the command ended; `None` while it has not. Does not wait: see
    /// [`ParallelClient::join`](super::ParallelClient::join).
    pub fn outcome(&self) -> Option<Outcome> {
        self.look(|command| command.outcome().cloned()).flatten()
    }

    /// Whether the command has ended, one way or the other.
    pub fn is_finished(&self) -> bool {
        self.look(|command| command.is_finished()).unwrap_or(true)
    }

    /// Bytes of one of its streams that were not kept, as
    /// [`Command::stdout`](crate::Command::stdout) or [`stderr`](crate::Command::stderr) has asked
    /// for.
    pub fn dropped(&self, stream: StdStream) -> u64 {
        self.look(|command| command.dropped(stream)).unwrap_or(0)
    }

    /// Changes how long a reader of this output waits without a byte from its stream. `None`: no
    /// limit.
    pub fn set_read_timeout(&mut self, after: impl Into<Option<Duration>>) {
        self.read_timeout = after.into();
    }

    /// The encoding of both streams, by its name in the WHATWG's standard, such as `UTF-8`
    /// (parallel-ssh: `HostOutput.encoding`).
    pub fn encoding(&self) -> &'static str {
        self.decoding.encoding.name()
    }

    /// Changes the encoding for all lines that were not read yet: see
    /// [`Command::encoding`](crate::Command::encoding).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut client = sshoal::ParallelClient::builder(["win1"]).build()?;
    /// let mut outputs = client.run_command("wmic os get caption")?;
    /// outputs[0].set_encoding("utf-16")?;
    /// for line in outputs[0].stdout() {
    ///     println!("{}", line?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for a label that is none; then nothing is changed.
    pub fn set_encoding(&mut self, label: &str) -> Result<(), Error> {
        self.decoding.encoding = Encoding::for_label(label)?;
        Ok(())
    }

    /// Changes what becomes of lines that are not in the encoding: see
    /// [`ReadOptions::strict_encoding`](crate::ReadOptions::strict_encoding).
    pub fn set_strict_encoding(&mut self, strict: bool) {
        self.decoding.strict = strict;
    }

    pub(super) fn line_ends(&self) -> LineEnds {
        self.decoding.encoding.line_ends()
    }

    /// The text of a line that was read.
    pub(super) fn decode(&self, line: Vec<u8>, at_start: bool) -> Result<String, HostError> {
        self.decoding.decode(line, at_start).map_err(|Malformed { line, offset }| {
            let encoding = self.encoding();
            self.own_error(HostErrorKind::Undecodable { encoding, offset, line })
        })
    }

    /// The text of several lines at once, none of them the first of its stream, if that of each can
    /// be cut out of it.
    pub(super) fn text_of_lines(&self, lines: Vec<u8>) -> Result<String, Vec<u8>> {
        self.decoding.encoding.decode_lines(lines)
    }

    pub(super) fn read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    /// Whether the command may have begun on the host.
    pub(super) fn is_started(&self) -> bool {
        self.look(|command| command.is_started()).unwrap_or(true)
    }

    /// The error, and its place among all failures of the fleet.
    pub(super) fn failure_in_order(&self) -> Option<(u64, HostError)> {
        let order = self.look(|command| command.nth_end())?;
        Some((order, self.error()?))
    }

    pub(super) fn id(&self) -> CommandId {
        self.handle.id
    }

    pub(super) fn fleet(&self) -> &Shared {
        &self.handle.fleet
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(CommandRef<'_>) -> T) -> Option<T> {
        self.fleet().lock().command(self.id()).map(look)
    }

    /// Drops what was not read.
    pub(super) fn discard(&self, fleet: &mut Fleet) {
        for stream in [StdStream::Stdout, StdStream::Stderr] {
            fleet.discard(self.id(), stream);
        }
    }

    /// Drives all hosts until this command is `done`.
    pub(super) fn drive(&self, done: impl Fn(CommandRef<'_>) -> bool) -> io::Result<()> {
        let id = self.id();
        let look = |fleet: &mut Fleet| fleet.command(id).is_none_or(&done).then_some(());
        self.fleet().drive(None, look).map(drop)
    }

    /// The reactor failed while this output was waited for.
    pub(super) fn cannot_poll(&self, error: &io::Error) -> HostError {
        self.own_error(HostErrorKind::Limit(format!("cannot poll: {error}")))
    }

    /// An error of this output that did not come from its host.
    pub(super) fn own_error(&self, kind: HostErrorKind) -> HostError {
        let now = clock::now();
        let look =
            |command: CommandRef<'_>| (command.stage(), now.saturating_duration_since(command.begun()));
        let (stage, elapsed) = self.look(look).unwrap_or((Stage::Running, Duration::ZERO));
        let (host, port, kind) = (self.host.clone(), self.port, Arc::new(kind));
        HostError::new(HostErrorParts { host, port, stage, attempt: 0, attempts: 0, elapsed, kind })
    }
}
