//! Shells: commands that read further commands from their standard input.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::join::write_cause;
use super::output::HostOutput;
use super::shared::Shared;
use super::silence::Silence;
use crate::error::{
    ChannelProblem, CommandProblem, Error, HostError, HostErrorKind, TimeoutKind, group_by_cause,
};
use crate::output::Encoding;
use crate::{Fleet, clock, limits};

/// The most bytes that a command for a shell may have, line end included. A command is queued as a
/// whole or not at all, so that a shell never reads half of one.
const COMMAND_MAX: usize = limits::STDIN_QUEUE;

/// The command that ends a shell on a terminal, where the end of the input has no effect.
const EXIT: &[u8] = b"exit\n";

/// A shell on one host, which [`open_shell`](crate::ParallelClient::open_shell) has opened
/// (parallel-ssh: `InteractiveShell`).
///
/// It dereferences to the shell's [`HostOutput`]: its lines, exit status and error. The output of
/// all commands is one stream. It is kept while commands are sent, so a shell that prints more than
/// the host's window does not wait for a reader, unless [`Command::stdout`](crate::Command::stdout)
/// sets a limit.
///
/// When the shell is dropped, it is closed as by [`close`](Self::close), without waiting.
///
/// If the connection is lost, the host may have got the beginning of a command only, and POSIX
/// shells run an unfinished last line.
///
/// ```no_run
/// use sshoal::{JoinOptions, ParallelClient};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = ParallelClient::builder(["web1", "web2"]).build()?;
/// let shells = client.open_shell()?;
/// client.run_shell_commands(&shells, ["cd /srv/app", "git pull", "make"])?;
/// client.join_shells(&shells, JoinOptions::default())?;
/// for shell in &shells {
///     for line in shell.stdout() {
///         println!("[{}] {}", shell.host(), line?);
///     }
///     println!("{} {:?}", shell.host(), shell.exit_code());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a shell is closed when it is dropped"]
pub struct InteractiveShell {
    output: HostOutput,
    /// Whether the shell gets no more commands.
    is_closed: AtomicBool,
}

impl InteractiveShell {
    pub(super) fn new(output: HostOutput) -> Self {
        Self { output, is_closed: AtomicBool::new(false) }
    }

    /// The output of the shell, which can be cloned and outlive the shell (parallel-ssh:
    /// `InteractiveShell.output`).
    pub fn output(&self) -> &HostOutput {
        &self.output
    }

    /// Sends a command, followed by a line end, like
    /// [`run_shell_commands`](crate::ParallelClient::run_shell_commands) for this shell alone.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// for shell in client.open_shell()? {
    ///     shell.run(format!("hostname {}", shell.host()))?;
    ///     shell.close()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of `run_shell_commands`.
    pub fn run(&self, command: impl AsRef<[u8]>) -> Result<(), ShellError> {
        send(std::slice::from_ref(self), [command])
    }

    /// Closes the shell, and waits until it has ended. This has no time limit;
    /// [`join_shells`](crate::ParallelClient::join_shells) has one.
    ///
    /// A shell is closed by the end of its input, which follows all commands that were sent. On a
    /// terminal, where the end has no effect, the command `exit` is sent instead; if a device needs
    /// another one, send that as the last command. A closed shell takes no more commands; its
    /// output and exit status can be read.
    ///
    /// # Errors
    /// [`Error::System`] if the poll fails.
    pub fn close(&self) -> Result<(), Error> {
        self.begin_close();
        self.output.drive(|command| command.is_finished())
    }

    /// Closes the shell without waiting.
    pub(super) fn begin_close(&self) {
        if self.is_closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let (mut fleet, id) = (self.output.fleet().lock(), self.output.id());
        let (on_terminal, unsent) =
            fleet.command(id).map_or((false, 0), |command| (command.on_terminal(), command.unsent()));
        if !on_terminal {
            drop(fleet);
            return self.output.stdin().close();
        }
        if unsent + EXIT.len() <= limits::STDIN_QUEUE {
            // If this fails, the shell has ended.
            let _ = fleet.write_stdin(id, EXIT);
        }
    }
}

impl Deref for InteractiveShell {
    type Target = HostOutput;

    fn deref(&self) -> &HostOutput {
        &self.output
    }
}

impl Drop for InteractiveShell {
    fn drop(&mut self) {
        self.begin_close();
    }
}

/// Why commands were not sent to all shells (parallel-ssh: `ShellError`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShellError {
    /// A command cannot be sent, because it cannot be encoded or is longer than 1 MiB. Nothing was
    /// sent to any shell.
    #[error("command {} for the shells refused: {problem}", position + 1)]
    #[non_exhaustive]
    Command {
        /// The position of the command in the list, from 0.
        position: usize,
        /// Why it cannot be sent.
        problem: CommandProblem,
    },
    /// Some shells did not take all commands.
    #[error("{0}")]
    Failed(ShellFailures),
}

/// The shells that did not take all commands, with an error for each.
///
/// The `Display` form is one line, like that of [`Failures`](super::Failures).
#[derive(Debug)]
pub struct ShellFailures {
    failed: Vec<(HostOutput, HostError)>,
    /// How many shells the commands were for.
    of: usize,
}

impl ShellFailures {
    /// The outputs of these shells with their errors, in the order in which the shells were passed.
    ///
    /// [`ChannelProblem::InputClosed`]: the shell was closed, or has ended. A
    /// [`Timeout`](HostErrorKind::Timeout) of kind [`Read`](TimeoutKind::Read): it has not read
    /// its input within the [read timeout](crate::ReadOptions::read_timeout); those commands that
    /// were queued are sent once it does. All other errors are those of the host.
    pub fn errors(&self) -> &[(HostOutput, HostError)] {
        &self.failed
    }

    fn by_cause(&self) -> Vec<(String, Vec<&(HostOutput, HostError)>)> {
        group_by_cause(&self.failed, |(_, error)| Some(error.cause()))
    }
}

impl fmt::Display for ShellFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} shells did not take all commands", self.failed.len(), self.of)?;
        for (nth, (cause, shells)) in self.by_cause().into_iter().enumerate() {
            write_cause(f, nth, &cause, shells.len(), shells.iter().map(|(output, _)| output))?;
        }
        Ok(())
    }
}

/// A shell that has not taken all commands yet.
struct Pending<'a> {
    /// The position of the shell among those that were passed.
    position: usize,
    output: &'a HostOutput,
    /// The commands that are not queued yet, as bytes.
    commands: &'a [Vec<u8>],
    silence: Silence,
    /// How many bytes were waiting to be sent.
    unsent: usize,
}

impl Pending<'_> {
    /// Queues the commands for which there is room. Returns `Some` once all have been sent, or the
    /// shell takes no more.
    fn advance(&mut self, fleet: &mut Fleet) -> Option<Result<(), ChannelProblem>> {
        let id = self.output.id();
        let mut unsent = fleet.command(id).map_or(0, |command| command.unsent());
        if unsent < self.unsent {
            self.silence = Silence::new();
        } else {
            self.silence.observe(fleet, id, self.output.read_timeout());
        }
        while let [next, rest @ ..] = self.commands
            && unsent + next.len() <= limits::STDIN_QUEUE
        {
            if let Err(error) = fleet.write_stdin(id, next) {
                return Some(Err(error.downcast().unwrap_or(ChannelProblem::InputClosed)));
            }
            unsent += next.len();
            self.commands = rest;
        }
        self.unsent = unsent;
        let is_finished = fleet.command(id).is_none_or(|command| command.is_finished());
        (is_finished || self.commands.is_empty() && unsent == 0).then_some(Ok(()))
    }

    /// When the shell has not read anything for too long.
    fn until(&self) -> Option<Instant> {
        self.silence.until(self.output.read_timeout())
    }
}

/// Sends the commands to the shells, all at once: a shell that does not read holds up no other.
pub(super) fn send(
    shells: &[InteractiveShell],
    commands: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Result<(), ShellError> {
    let commands: Vec<_> = commands.into_iter().collect();
    // Shells of one encoding share the bytes.
    let mut encoded: Vec<(Encoding, Vec<Vec<u8>>)> = Vec::new();
    for encoding in shells.iter().map(|shell| shell.output.decoding().encoding) {
        if !encoded.iter().any(|(known, _)| *known == encoding) {
            encoded.push((encoding, lines(&commands, encoding)?));
        }
    }
    let mut failed = Vec::new();
    let mut pending = Vec::new();
    for (position, shell) in shells.iter().enumerate() {
        let output = &shell.output;
        let encoding = output.decoding().encoding;
        let Some((_, commands)) = encoded.iter().find(|(known, _)| *known == encoding) else { continue };
        if shell.is_closed.load(Ordering::Relaxed) {
            failed.push((position, output.error_or(ChannelProblem::InputClosed)));
        } else {
            pending.push(Pending { position, output, commands, silence: Silence::new(), unsent: 0 });
        }
    }
    // Almost always, all shells belong to one client.
    while let Some(fleet) = pending.first().map(|first| first.output.fleet().clone()) {
        let (here, elsewhere) = pending.into_iter().partition(|shell| shell.output.fleet().is(&fleet));
        send_in(&fleet, here, &mut failed);
        pending = elsewhere;
    }
    if failed.is_empty() {
        return Ok(());
    }
    failed.sort_by_key(|(position, _)| *position);
    let failed = failed.into_iter().map(|(position, error)| (shells[position].output.clone(), error));
    Err(ShellError::Failed(ShellFailures { failed: failed.collect(), of: shells.len() }))
}

/// Sends the commands to shells of one fleet. Adds the errors, with the positions of their shells.
fn send_in(fleet: &Shared, mut pending: Vec<Pending<'_>>, failed: &mut Vec<(usize, HostError)>) {
    while !pending.is_empty() {
        let until = pending.iter().filter_map(Pending::until).min();
        let mut ended = Vec::new();
        let driven = fleet.drive(until, |fleet| {
            pending.retain_mut(|shell| {
                let end = shell.advance(fleet).map(|end| (shell.position, shell.output, end));
                let is_pending = end.is_none();
                ended.extend(end);
                is_pending
            });
            pending.is_empty().then_some(())
        });
        for (position, output, end) in ended {
            let error = end.map_or_else(|problem| Some(output.error_or(problem)), |()| output.error());
            failed.extend(error.map(|error| (position, error)));
        }
        let now = clock::now();
        pending.retain(|shell| {
            let error = match &driven {
                Err(error) => shell.output.loop_error(error),
                Ok(_) if shell.until().is_some_and(|at| at <= now) => {
                    let after = shell.output.read_timeout().unwrap_or_default();
                    shell.output.own_error(HostErrorKind::Timeout { kind: TimeoutKind::Read, after })
                }
                Ok(_) => return true,
            };
            failed.push((shell.position, error));
            false
        });
    }
}

/// The commands in this encoding, each with a line end.
fn lines(commands: &[impl AsRef<[u8]>], encoding: Encoding) -> Result<Vec<Vec<u8>>, ShellError> {
    let line = |(position, command): (usize, &_)| {
        let refused = |problem| ShellError::Command { position, problem };
        let mut line = encoding.encode(AsRef::as_ref(command)).map_err(refused)?.into_owned();
        line.push(b'\n');
        match line.len() {
            len if len > COMMAND_MAX => Err(refused(CommandProblem::TooLong { len, max: COMMAND_MAX })),
            _ => Ok(line),
        }
    };
    commands.iter().enumerate().map(line).collect()
}
