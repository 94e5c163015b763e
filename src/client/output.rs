//! One host's output of one command.

use std::sync::Arc;
use std::time::Duration;

use super::ahead::Block;
use super::shared::Shared;
use super::{Lines, Reader, Stdin};
use crate::command::Signal;
use crate::error::{ChannelProblem, Error, HostError, HostErrorKind, HostErrorParts};
use crate::fleet::{Algorithms, CommandId, CommandRef, CommandState, HostRef};
use crate::ids::StdStream;
use crate::output::{Decoding, Encoding, ExitSignal, LineEnds, Malformed, Outcome};
use crate::stage::Stage;
use crate::{Fleet, clock};

/// The output of one command on one host (parallel-ssh: `HostOutput`).
///
/// The output stays readable after the client is dropped. The connections stay open until the
/// client and all outputs are dropped. Clones read the same streams. Dropping the last clone
/// discards unread output; the command goes on.
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

/// Releases the command when the last clone of its output is dropped.
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

    /// The host as the list names it, without user and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host's [`alias`](crate::HostConfig::alias).
    pub fn alias(&self) -> Option<&str> {
        self.alias.as_deref()
    }

    /// The host's position in the host list of the command, from 0.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The unread lines of standard output. The iterator waits for more lines until the command has
    /// ended.
    ///
    /// A new iterator continues where the last one stopped. Lines are decoded from the
    /// [`encoding`](Self::encoding); [`Lines::raw`] yields bytes, and [`Lines::next_line`] lends
    /// lines without a `String` for each.
    pub fn stdout(&self) -> Lines<'_> {
        Lines::new(self, StdStream::Stdout)
    }

    /// The lines of standard error; see [`stdout`](Self::stdout). Extended data of other types than
    /// standard error (RFC 4254 section 5.2) arrives here as well, because libssh does not
    /// distinguish the types. No server in use sends such data.
    pub fn stderr(&self) -> Lines<'_> {
        Lines::new(self, StdStream::Stderr)
    }

    /// Standard output as bytes; see [`Reader`].
    pub fn stdout_reader(&self) -> Reader<'_> {
        Reader { output: self, stream: StdStream::Stdout }
    }

    /// Standard error as bytes; see [`Reader`].
    pub fn stderr_reader(&self) -> Reader<'_> {
        Reader { output: self, stream: StdStream::Stderr }
    }

    /// The command's standard input. Dropping the [`Stdin`] does not end the input;
    /// [`Stdin::close`] does.
    pub fn stdin(&self) -> Stdin<'_> {
        Stdin { output: self }
    }

    /// Sends a signal to the command, which must be running. That is the case if the host has
    /// accepted the command, and the command has neither ended nor been cancelled.
    ///
    /// The server does not answer a signal (RFC 4254 section 6.9). [`Signal`] says which signals
    /// servers deliver.
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
    /// [`ChannelProblem::NotRunning`] if the command is not running, or the command's own error if
    /// it has failed.
    pub fn send_signal(&self, signal: Signal) -> Result<(), HostError> {
        if self.fleet().lock().signal(self.id(), signal) {
            return self.drive(|command| command.unsent_signals() == 0).map_err(|e| self.loop_error(&e));
        }
        Err(self.error_or(ChannelProblem::NotRunning))
    }

    /// Cancels the command, and waits until it has ended.
    ///
    /// A command that has not been sent yet is never sent. A running command receives SIGTERM and
    /// the end of its input. If it has not ended a second later
    /// ([`stop_grace`](crate::HostConfig::stop_grace)), its channel is closed, and the host has 10
    /// seconds to confirm the close ([`close_timeout`](crate::HostConfig::close_timeout)). The
    /// outcome is [`Cancelled`](HostErrorKind::Cancelled), however the command ends, and its output
    /// stays readable. A command that has already ended keeps its outcome, even if its output has
    /// not ended. The connection can be reused.
    ///
    /// A command that ignores SIGTERM, or whose server does not deliver signals, may continue to
    /// run. On a terminal ([`Command::use_pty`](crate::Command::use_pty)), closing the channel
    /// sends it SIGHUP as well. Without a terminal, it notices the closed channel only when it
    /// reads or writes.
    ///
    /// # Errors
    /// [`Error::System`] if the poll fails.
    pub fn cancel(&self) -> Result<(), Error> {
        self.begin_cancel();
        self.drive(|command| command.is_finished())
    }

    pub(super) fn begin_cancel(&self) {
        self.fleet().lock().cancel(self.id());
    }

    /// The exit status; `None` if the command has not ended, was ended by a signal, or failed. See
    /// [`outcome`](Self::outcome) for when it is known.
    pub fn exit_code(&self) -> Option<u32> {
        let Outcome::Exited(code) = self.outcome()? else { return None };
        Some(code)
    }

    /// The signal that ended the command, if a signal did.
    pub fn exit_signal(&self) -> Option<ExitSignal> {
        let Outcome::Signaled(signal) = self.outcome()? else { return None };
        Some(signal)
    }

    /// The error, if the command did not run or it is unknown how the command ended.
    pub fn error(&self) -> Option<HostError> {
        let Outcome::Failed(error) = self.outcome()? else { return None };
        Some(error)
    }

    /// How the command ended; `None` while it has not ended. This does not wait; to wait, see
    /// [`ParallelClient::join`](super::ParallelClient::join).
    ///
    /// An exit status or signal is returned as soon as the server has sent it, even if the output
    /// has not ended: after `sleep 8 & exit 3`, the background process holds the output open, and
    /// [`is_finished`](Self::is_finished) stays `false` until it ends. A cancellation or a
    /// [`time_limit`](crate::Command::time_limit) does not change an outcome that is known. If the
    /// connection is lost before the output has ended, the outcome becomes that error, because
    /// output may be missing. If a server sends more than one status or signal, the first counts.
    pub fn outcome(&self) -> Option<Outcome> {
        self.look(|command| command.outcome().cloned()).flatten()
    }

    /// Whether the command and its output have ended, or the command has failed.
    pub fn is_finished(&self) -> bool {
        self.look(|command| command.is_finished()).unwrap_or(true)
    }

    /// The algorithms of the connection that the command was started on; `None` if the command has
    /// not begun to start.
    pub fn algorithms(&self) -> Option<Algorithms> {
        self.look(|command| command.algorithms().cloned()).flatten()
    }

    /// What the host said before its latest login ended, such as a legal notice; `None` if it said
    /// nothing. [`HostError::banner`] has the details.
    pub fn banner(&self) -> Option<String> {
        let fleet = self.fleet().lock();
        let host = fleet.command(self.id()).and_then(|command| fleet.host(command.host()));
        if let Some(banner) = host.and_then(|host| host.banner()) {
            return Some(banner.to_owned());
        }
        drop(fleet);
        self.error()?.banner().map(str::to_owned)
    }

    /// How many bytes of one of the command's streams were dropped under the policy set by
    /// [`Command::stdout`](crate::Command::stdout) or [`stderr`](crate::Command::stderr).
    pub fn dropped(&self, stream: StdStream) -> u64 {
        self.look(|command| command.dropped(stream)).unwrap_or(0)
    }

    /// Changes how long a reader of this output waits for a byte from its stream. `None` means no
    /// limit; with zero, a reader does not wait.
    pub fn set_read_timeout(&mut self, after: impl Into<Option<Duration>>) {
        self.read_timeout = after.into();
    }

    /// The encoding of both streams, by its WHATWG name such as `UTF-8`
    /// (parallel-ssh: `HostOutput.encoding`).
    pub fn encoding(&self) -> &'static str {
        self.decoding.encoding.name()
    }

    /// Changes the encoding in which unread lines are decoded; see
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
    /// [`Error::Config`] for an unknown label. In this case nothing has changed.
    pub fn set_encoding(&mut self, label: &str) -> Result<(), Error> {
        self.decoding.encoding = Encoding::for_label(label)?;
        Ok(())
    }

    /// Changes how invalid lines are handled; see
    /// [`ReadOptions::strict_encoding`](crate::ReadOptions::strict_encoding).
    pub fn set_strict_encoding(&mut self, strict: bool) {
        self.decoding.strict = strict;
    }

    pub(super) fn decoding(&self) -> Decoding {
        self.decoding
    }

    pub(super) fn line_ends(&self) -> LineEnds {
        self.decoding.encoding.line_ends()
    }

    /// Decodes a line that was read; see [`Decoding::decode`].
    #[inline(never)]
    pub(super) fn decode<'a>(
        &self,
        line: &'a [u8],
        at_start: bool,
        text: &'a mut String,
    ) -> Result<&'a str, HostError> {
        self.decoding.decode(line, at_start, text).map_err(|Malformed { line, offset }| {
            let encoding = self.encoding();
            self.own_error(HostErrorKind::Undecodable { encoding, offset, line })
        })
    }

    /// Decodes several lines at once, unless they must be decoded one by one. None of them may be
    /// the first line of its stream.
    pub(super) fn block_of(&self, lines: Vec<u8>) -> Block {
        self.decoding.encoding.decode_lines(lines).map_or_else(Block::Bytes, Block::Text)
    }

    pub(super) fn read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    /// Whether the command may have begun on the host.
    pub(super) fn is_started(&self) -> bool {
        self.look(|command| command.state() >= CommandState::Sent).unwrap_or(true)
    }

    /// The command's error, and its position in the order in which all commands have ended.
    pub(super) fn failure_in_order(&self) -> Option<(u64, HostError)> {
        let order = self.look(|command| command.nth_end())??;
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

    /// Discards unread output.
    pub(super) fn discard(&self, fleet: &mut Fleet) {
        for stream in [StdStream::Stdout, StdStream::Stderr] {
            fleet.discard(self.id(), stream);
        }
    }

    /// Drives all hosts until this command is `done`.
    pub(super) fn drive(&self, done: impl Fn(CommandRef<'_>) -> bool) -> Result<(), Error> {
        self.fleet().drive_until(|fleet| fleet.command(self.id()).is_none_or(&done))
    }

    /// The error to report if the event loop fails while a caller waits for this output.
    pub(super) fn loop_error(&self, error: &Error) -> HostError {
        self.own_error(HostErrorKind::Limit(error.to_string()))
    }

    /// The command's error or, if it has none, this problem.
    pub(super) fn error_or(&self, problem: ChannelProblem) -> HostError {
        self.error().unwrap_or_else(|| self.own_error(HostErrorKind::Channel(problem)))
    }

    /// An error of this output that does not come from its host.
    pub(super) fn own_error(&self, kind: HostErrorKind) -> HostError {
        let now = clock::now();
        let look =
            |command: CommandRef<'_>| (command.stage(), now.saturating_duration_since(command.begun()));
        let (stage, elapsed) = self.look(look).unwrap_or((Stage::Running, Duration::ZERO));
        let (host, port, kind) = (self.host.clone(), self.port, Arc::new(kind));
        HostError::new(HostErrorParts {
            host,
            port,
            stage,
            attempt: 0,
            attempts: None,
            elapsed,
            kind,
            banner: None,
            command_said: None,
            left_over: Default::default(),
        })
    }
}
