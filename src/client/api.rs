//! The [`ParallelClient`] type, and running commands.

use super::all_lines::AllLines;
use super::options::ReadOptions;
use super::output::HostOutput;
use super::shared::Shared;
use super::shell::{InteractiveShell, ShellError, send};
use crate::command::Command;
use crate::config::{ClientBuilder, HostConfig, entry};
use crate::error::{ConfigProblem, Error};
use crate::fleet::{CommandState, Metrics, SshLibrary};
use crate::host::{HostSpec, HostSpecError};
use crate::hostkey::LineProblem;
use crate::output::{Decoding, Deliver};
use crate::{Fleet, Run};

/// Runs commands on many hosts at once, from the thread that calls it (parallel-ssh:
/// `ParallelSSHClient`).
///
/// A call that waits drives all hosts, even if it waits only for one host's next line. Nothing
/// happens between calls. There is no background thread, so output is read and deadlines are
/// enforced only during calls.
///
/// The client and its outputs can be used from several threads at once. While one thread waits,
/// calls of other threads take effect within a turn. For instance, one thread can cancel or signal
/// a command, write its input or query its outcome while another thread joins it.
///
/// ```no_run
/// use sshoal::{JoinOptions, ParallelClient};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = ParallelClient::builder(["web1", "web2:2222", "[::1]:22"])
///     .user("deploy")
///     .key_file("~/.ssh/id_ed25519")
///     .build()?;
/// let outputs = client.run_command("uname -a")?;
/// for output in &outputs {
///     for line in output.stdout() {
///         println!("[{}] {}", output.host(), line?);
///     }
/// }
/// client.join(&outputs, JoinOptions::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ParallelClient {
    pub(super) fleet: Shared,
    /// The number of hosts.
    pub(super) len: usize,
    /// The host configurations that were set last. They also apply to later host lists that are set
    /// without configurations.
    pub(super) configs: Option<Vec<HostConfig>>,
    last: Vec<HostOutput>,
}

impl ClientBuilder {
    /// Checks the settings, reads keys and known_hosts files, and creates the client. Does not use
    /// the network.
    ///
    /// The host list may be empty: hosts can be added later. Commands have no outputs until then.
    ///
    /// # Errors
    /// [`Error::HostSpec`] and [`Error::Config`] for an invalid host or setting;
    /// [`Error::KeyFile`], [`Error::CertFile`] and [`Error::KnownHosts`] for a file that cannot be
    /// used; [`Error::Unsupported`] if the libssh in use lacks a feature that a setting needs;
    /// [`Error::System`] if the operating system refuses a resource that the event loop needs.
    pub fn build(self) -> Result<ParallelClient, Error> {
        let (builder, configs) = self.into_fleet()?;
        let fleet = builder.build()?;
        let len = fleet.hosts().len();
        Ok(ParallelClient { fleet: Shared::new(fleet), len, configs, last: Vec::new() })
    }
}

impl ParallelClient {
    /// Configures a client for these hosts, in this order. An entry is `host`, `host:port`,
    /// `user@host`, `user@host:port`, or an IPv6 address, which must be in brackets if a port
    /// follows ([`HostSpec`](crate::HostSpec)).
    ///
    /// A host that is listed twice counts as two hosts, each with its own connection.
    pub fn builder<H>(hosts: impl IntoIterator<Item = H>) -> ClientBuilder
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        ClientBuilder::new(hosts.into_iter().map(entry).collect())
    }

    /// Runs a command on all hosts, and returns as soon as every host has accepted it or failed.
    ///
    /// If no setting concerns time, this takes at most 30 s on up to
    /// [`pool_size`](ClientBuilder::pool_size) hosts, whatever they do, and as long again for each
    /// proxy in a row ([`retry`](ClientBuilder::retry)).
    ///
    /// Outputs are in the order of the hosts. Connections of earlier commands are reused. Commands
    /// run concurrently: a second command does not wait for the first one to end.
    ///
    /// # Errors
    /// [`Error::Command`], [`Error::HostArgs`], [`Error::Template`] or [`Error::Config`] if the
    /// command cannot be sent to some host; in this case it was not started on any host.
    /// [`Error::Host`] with the error of the first host that failed. The other hosts go on, and
    /// [`last_output`](Self::last_output) has all outputs. [`ReadOptions::stop_on_errors`] turns
    /// this error off.
    pub fn run_command(&mut self, command: impl Into<Command>) -> Result<Vec<HostOutput>, Error> {
        self.run_command_with(command, ReadOptions::default())
    }

    /// Like [`run_command`](Self::run_command), with these options.
    ///
    /// # Errors
    /// The errors of [`run_command`](Self::run_command).
    pub fn run_command_with(
        &mut self,
        command: impl Into<Command>,
        options: ReadOptions,
    ) -> Result<Vec<HostOutput>, Error> {
        let outputs = self.start_command_with(command, options)?;
        await_start(&outputs, options)?;
        Ok(outputs)
    }

    /// Like [`run_command`](Self::run_command), but returns at once, so that the first host's lines
    /// can be read while others still connect. This call begins the first connections. Everything
    /// else happens during calls that wait: reading output, writing input, or [`join`](Self::join).
    ///
    /// # Errors
    /// [`Error::Command`], [`Error::HostArgs`], [`Error::Template`] or [`Error::Config`] if the
    /// command cannot be sent to some host; [`Error::System`] if the poll fails.
    pub fn start_command(&mut self, command: impl Into<Command>) -> Result<Vec<HostOutput>, Error> {
        self.start_command_with(command, ReadOptions::default())
    }

    /// Like [`start_command`](Self::start_command), with these options.
    ///
    /// # Errors
    /// The errors of [`start_command`](Self::start_command).
    pub fn start_command_with(
        &mut self,
        command: impl Into<Command>,
        options: ReadOptions,
    ) -> Result<Vec<HostOutput>, Error> {
        let outputs = self.start(command.into(), options)?;
        self.last.clone_from(&outputs);
        self.fleet.turn()?;
        Ok(outputs)
    }

    pub(super) fn start(&self, command: Command, options: ReadOptions) -> Result<Vec<HostOutput>, Error> {
        let decoding = Decoding { strict: options.strict_encoding, ..command.decoding()? };
        ConfigProblem::check_limit("read_timeout", options.read_timeout.flatten())
            .map_err(ConfigProblem::of_command)?;
        let mut fleet = self.fleet.lock();
        let commands = fleet.start(Run::new(command.for_client()).deliver(Deliver::Nothing))?.commands;
        let outputs = commands.into_iter().enumerate().filter_map(|(position, id)| {
            let host = fleet.host(fleet.command(id)?.host())?;
            let read_timeout = options.read_timeout.unwrap_or(host.read_timeout());
            Some(HostOutput::new(self.fleet.clone(), id, position, host, read_timeout, decoding))
        });
        Ok(outputs.collect())
    }

    /// Opens a shell on every host: the login shell of the remote user, without a terminal
    /// (parallel-ssh: `open_shell`). Returns as soon as every host has accepted it or failed.
    ///
    /// Commands are sent by [`run_shell_commands`](Self::run_shell_commands), and each runs in the
    /// state that the ones before it have left. Shells do not count as the
    /// [`last_output`](Self::last_output).
    ///
    /// # Errors
    /// The errors of [`run_command`](Self::run_command). After [`Error::Host`], the shells of the
    /// other hosts are closed.
    pub fn open_shell(&mut self) -> Result<Vec<InteractiveShell>, Error> {
        self.open_shell_with(Command::login_shell(), ReadOptions::default())
    }

    /// Like [`open_shell`](Self::open_shell), with these options, and with any command that reads
    /// commands from its standard input, such as `Command::new("bash").sudo(true)`.
    ///
    /// ```no_run
    /// use sshoal::{Command, ParallelClient, ReadOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut client = ParallelClient::builder(["switch1", "switch2"]).build()?;
    /// // With a terminal, and with the errors of single hosts in their outputs.
    /// let command = Command::login_shell().use_pty(true).encoding("latin1");
    /// let shells = client.open_shell_with(command, ReadOptions::default().stop_on_errors(false))?;
    /// # let _ = shells;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`open_shell`](Self::open_shell).
    pub fn open_shell_with(
        &mut self,
        command: impl Into<Command>,
        options: ReadOptions,
    ) -> Result<Vec<InteractiveShell>, Error> {
        let outputs = self.start(command.into(), options)?;
        let shells = outputs.iter().cloned().map(InteractiveShell::new).collect();
        await_start(&outputs, options)?;
        Ok(shells)
    }

    /// Sends these commands to all these shells, each followed by a line end (parallel-ssh:
    /// `run_shell_commands`). Returns once the connections have accepted all of them, which says
    /// nothing about whether they have run.
    ///
    /// The commands of a shell are sent in order, and other threads' commands come between them
    /// only as whole commands. All shells are served at once: a shell that does not read its input
    /// holds up no other, and is an error after its [read timeout](ReadOptions::read_timeout).
    ///
    /// The text is given as UTF-8 and converted to the shell's [encoding](Command::encoding), like
    /// that of a [`Command`].
    ///
    /// # Errors
    /// [`ShellError::Failed`] if a shell has not taken all commands, because it is closed, has
    /// ended, does not read, or its host has failed; the other shells have taken them.
    /// [`ShellError::Command`] if a command cannot be encoded, or has more than 1 MiB with its line
    /// end; nothing was sent to any shell. For larger input, there is [`HostOutput::stdin`].
    pub fn run_shell_commands(
        &self,
        shells: &[InteractiveShell],
        commands: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<(), ShellError> {
        send(shells, commands)
    }

    /// All lines of these outputs of this client, of standard output and standard error, as they
    /// arrive.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// let outputs = client.start_command("journalctl -f -n 10")?;
    /// for (output, _stream, line) in client.lines(&outputs) {
    ///     println!("[{}] {}", output.host(), line?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn lines<'a>(&self, outputs: &'a [HostOutput]) -> AllLines<'a> {
        AllLines::new(outputs)
    }

    /// Whether all these commands have ended. Data that has arrived is processed first, without
    /// waiting.
    ///
    /// # Errors
    /// [`Error::System`] if the poll fails.
    pub fn finished(&self, outputs: &[HostOutput]) -> Result<bool, Error> {
        self.fleet.turn()?;
        Ok(outputs.iter().all(HostOutput::is_finished))
    }

    /// The outputs of the latest command, in the order of the hosts; empty before the first command
    /// (parallel-ssh: `get_last_output`).
    pub fn last_output(&self) -> &[HostOutput] {
        &self.last
    }

    /// The number of hosts.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the host list is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The current metrics of the client's fleet.
    pub fn metrics(&self) -> Metrics {
        self.fleet.lock().metrics()
    }

    /// The lines of the known_hosts files that were skipped because they cannot be parsed.
    pub fn known_hosts_problems(&self) -> Vec<LineProblem> {
        self.fleet.lock().known_hosts_problems()
    }

    /// The libssh that this program uses.
    pub fn library() -> SshLibrary {
        Fleet::library()
    }
}

/// Waits until every host has accepted the command or failed.
fn await_start(outputs: &[HostOutput], options: ReadOptions) -> Result<(), Error> {
    for output in outputs {
        output.drive(|command| command.state() >= CommandState::Running)?;
    }
    let failures = outputs.iter().filter_map(HostOutput::failure_in_order);
    match failures.min_by_key(|(order, _)| *order) {
        Some((_, error)) if options.stop_on_errors => Err(Error::Host(error)),
        _ => Ok(()),
    }
}
