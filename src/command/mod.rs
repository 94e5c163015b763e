//! A command, and how it is run.

mod args;
mod channel;
mod env;
mod login_program;
mod program;
mod request;
mod signal;
mod streams;
mod sudo;
mod template;
#[cfg(test)]
mod tests;
mod transfer;
mod wrap;

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;

pub use self::args::{HostArg, HostArgs};
use self::channel::ChannelSettings;
pub use self::channel::Pty;
pub(crate) use self::env::Variable;
pub(crate) use self::login_program::LoginProgram;
pub(crate) use self::request::{
    ChannelRequest, OutputOptions, Program, Request, RunOptions, TransferRequest,
};
pub use self::signal::Signal;
pub(crate) use self::sudo::{Found, SudoLogin, SudoMark};
use self::wrap::{Wrapping, wrapped};
use crate::error::{Error, TemplateProblem};
use crate::limits;
use crate::output::stdin::Input;
use crate::output::{Deliver, Keep};
use crate::transfer::Work;

/// A command for every host, and how to run it (parallel-ssh: the parameters of `run_command`).
///
/// By default, the text is sent unchanged to the login shell of the remote user. Settings change
/// the text in this order: the values of [`host_args`](Self::host_args) are filled in, the result
/// is converted to the [`encoding`](Self::encoding), the variables of
/// [`shell_env`](Self::shell_env) are put in front, and [`shell`](Self::shell),
/// [`sudo`](Self::sudo) and [`run_as`](Self::run_as) wrap it. All of this is checked for all hosts
/// before anything is started.
///
/// A command can also be a [shell](Self::login_shell), a [subsystem](Self::subsystem), or a
/// [transfer](crate::transfer) of files.
///
/// ```
/// use std::time::Duration;
/// use sshoal::Command;
///
/// let command =
///     Command::new("apt-get -y upgrade").sudo(true).time_limit(Duration::from_secs(600));
/// # let _ = command;
/// ```
#[derive(Debug, Clone)]
#[must_use = "a command does nothing until it is run"]
pub struct Command {
    program: Program,
    /// The command line, or the name of the subsystem; empty for a shell.
    text: Vec<u8>,
    /// The values, one entry for each host. They are shared, because a command may be cloned for
    /// each run.
    host_args: Arc<[HostArgs]>,
    /// The variables that the text sets.
    shell_env: Vec<Variable>,
    wrapping: Wrapping,
    channel: ChannelSettings,
    encoding: Option<String>,
    stdin: Option<Input>,
    stdout: Option<Keep>,
    stderr: Option<Keep>,
    /// The transfer that the command is, if it is one.
    transfer: Option<Work>,
}

impl Command {
    /// Creates a command with this text. The text may be bytes in another encoding, if the host
    /// does not use UTF-8.
    ///
    /// When the command is started, the text is rejected with [`Error::Command`] if it is blank,
    /// contains a NUL byte, or is longer than 192 KiB after all values were filled in and all
    /// wrapping was added.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self::of(Program::Command, text.into())
    }

    /// Creates a command that is the login shell of the remote user, which reads commands from its
    /// standard input (RFC 4254 section 6.5, request `shell`; parallel-ssh: `open_shell`).
    ///
    /// This is for devices that run no single commands, and for commands that depend on each
    /// other's state. Standard input is open by default, in a [`Fleet`](crate::Fleet) as well. A
    /// POSIX shell ends at the end of its input, with the exit status of its last command.
    ///
    /// A host may have another program in place of the shell
    /// ([`HostConfig::remote_command`](crate::HostConfig::remote_command)).
    ///
    /// Without a terminal, the shell prints no prompt and does not echo its input. Some devices
    /// need a terminal ([`use_pty`](Self::use_pty)), where the end of the input has no effect: send
    /// a command that ends the shell, such as `exit`.
    ///
    /// ```no_run
    /// use std::io::Write;
    /// use sshoal::{Command, JoinOptions, ParallelClient};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut client = ParallelClient::builder(["switch1", "switch2"]).build()?;
    /// let outputs = client.run_command(Command::login_shell())?;
    /// for output in &outputs {
    ///     writeln!(output.stdin(), "show version")?;
    /// }
    /// client.join(&outputs, JoinOptions::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`ParallelClient::open_shell`](crate::ParallelClient::open_shell) has parallel-ssh's
    /// interface to such shells.
    ///
    /// # Errors
    /// A shell has no text, so [`Error::Config`] is returned when it is started, if a setting would
    /// change the text: [`host_args`](Self::host_args), [`shell`](Self::shell),
    /// [`shell_env`](Self::shell_env), [`sudo`](Self::sudo), `sudo_password`,
    /// `sudo_non_interactive` or [`run_as`](Self::run_as). If a host refuses, its error is
    /// [`ChannelProblem::ShellRefused`](crate::error::ChannelProblem::ShellRefused).
    pub fn login_shell() -> Self {
        Self::of(Program::Shell, Vec::new())
    }

    /// Creates a command that is a subsystem of the server, such as `netconf` or `sftp`: a service
    /// that the server starts by its name (RFC 4254 section 6.5, request `subsystem`; OpenSSH: `ssh
    /// -s`).
    ///
    /// The caller speaks the subsystem's protocol over standard input and output, as bytes.
    /// Standard input is open by default, in a [`Fleet`](crate::Fleet) as well.
    ///
    /// ```no_run
    /// use std::io::{Read, Write};
    /// use sshoal::{Command, ParallelClient};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let hello = "";
    /// let mut client = ParallelClient::builder(["router1"]).port(830).build()?;
    /// let outputs = client.run_command(Command::subsystem("netconf"))?;
    /// outputs[0].stdin().write_all(hello.as_bytes())?;
    /// let mut answer = [0; 4096];
    /// let read = outputs[0].stdout_reader().read(&mut answer)?;
    /// # let _ = read;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the subsystem is started, [`Error::Config`] is returned for a name that is empty, has
    /// more than 256 bytes or contains a NUL byte, and for the settings that
    /// [`login_shell`](Self::login_shell) rejects. If a host refuses, its error is
    /// [`ChannelProblem::SubsystemRefused`](crate::error::ChannelProblem::SubsystemRefused).
    pub fn subsystem(name: impl Into<String>) -> Self {
        Self::of(Program::Subsystem, name.into().into_bytes())
    }

    fn of(program: Program, text: Vec<u8>) -> Self {
        Self {
            program,
            text,
            host_args: Arc::default(),
            shell_env: Vec::new(),
            wrapping: Wrapping::default(),
            channel: ChannelSettings::default(),
            encoding: None,
            stdin: None,
            stdout: None,
            stderr: None,
            transfer: None,
        }
    }

    /// Values for the placeholders in the text, one entry for each host, in the order of the hosts
    /// (parallel-ssh: `host_args`). By default, and with an empty list, the text is not formatted,
    /// and `%` stands for itself.
    ///
    /// | in the text | becomes |
    /// |---|---|
    /// | `%s` | the next value |
    /// | `%d` | the next value, which has to be an integer |
    /// | `%(name)s` | the value with this name |
    /// | `%(name)d` | the value with this name, which has to be an integer |
    /// | `%%` | `%` |
    ///
    /// Anything else after a `%` is an error, including the rest of Python's format language.
    /// Values are not quoted: the remote shell interprets them, so quote untrusted values.
    ///
    /// ```
    /// use sshoal::Command;
    /// use sshoal::config::HostArgs;
    ///
    /// // One value for each of three hosts,
    /// let one = Command::new("hostname %s").host_args(["web1", "web2", "web3"]);
    /// // several for each of two,
    /// let several =
    ///     Command::new("nice -n %d tar -cf %s.tar /srv").host_args([(5, "a"), (10, "b")]);
    /// // and by name.
    /// let named = Command::new("echo %(role)s is %(role)s, 100%% of it")
    ///     .host_args(["db", "web"].map(|role| HostArgs::named([("role", role)])));
    /// # let _ = (one, several, named);
    /// ```
    ///
    /// # Errors
    /// These errors are returned when the command is started, in which case nothing runs.
    /// [`Error::HostArgs`] unless there are exactly as many entries as hosts (parallel-ssh ignores
    /// surplus entries; if entries are missing, it starts the first hosts before it notices that);
    /// [`Error::Template`] if the placeholders in the text cannot be filled from some entry.
    ///
    /// ```
    /// use sshoal::{Command, Error, ParallelClient};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let builder = |hosts: [&str; 2]| {
    /// #     ParallelClient::builder(hosts).known_hosts(["/dev/null"]).identity_auth(false)
    /// # };
    /// let mut client = builder(["web1", "web2"]).build()?;
    /// let command = Command::new("touch %s").host_args(["only-one"]);
    /// let refused = client.run_command(command);
    /// assert!(matches!(refused, Err(Error::HostArgs { hosts: 2, args: 1, .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn host_args(mut self, entries: impl IntoIterator<Item = impl Into<HostArgs>>) -> Self {
        self.host_args = entries.into_iter().map(Into::into).collect();
        self
    }

    /// Whether the command runs through `sudo`, as root or the user set by [`run_as`](Self::run_as)
    /// (parallel-ssh: `sudo`). Default: `false`.
    ///
    /// The host receives `sudo -S $SHELL -c 'the text'`, or `sudo -S {shell} 'the text'` if a
    /// [`shell`](Self::shell) is set. Unlike in parallel-ssh, the text is quoted, so that its own
    /// quotes keep their meaning.
    ///
    /// With `-S`, `sudo` prompts on standard error and reads the password from standard input. The
    /// caller writes the password there, followed by a line end, or sets it with
    /// [`stdin`](Self::stdin). If `sudo` needs no password, the command reads that line instead.
    /// With [`sudo_password`](Self::sudo_password), the prompt is answered automatically. With
    /// [`sudo_non_interactive`](Self::sudo_non_interactive), `sudo` fails instead of asking. In a
    /// [`Fleet`](crate::Fleet), standard input is empty by default, so a `sudo` that needs a
    /// password reads the end of the input, and fails as well.
    ///
    /// ```no_run
    /// use std::io::Write;
    /// use sshoal::{Command, JoinOptions, ParallelClient};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let password = String::new();
    /// let mut client = ParallelClient::builder(["web1", "web2"]).build()?;
    /// let outputs = client.run_command(Command::new("id -un").sudo(true))?;
    /// for output in &outputs {
    ///     writeln!(output.stdin(), "{password}")?;
    /// }
    /// client.join(&outputs, JoinOptions::default())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sudo(mut self, on: bool) -> Self {
        self.wrapping.sudo = on;
        self
    }

    /// The user that the command runs as, through `sudo`, whether or not [`sudo`](Self::sudo) is on
    /// (parallel-ssh: `user`). Default: the login user, or root with `sudo`.
    ///
    /// The host receives `sudo -u {name} -S $SHELL -c 'the text'`. If a [`shell`](Self::shell) is
    /// set, it takes the place of `$SHELL -c`. A name with shell metacharacters is quoted. A
    /// numeric user id is written `#1000`, as for `sudo` itself.
    ///
    /// ```
    /// use sshoal::{Command, Error, ParallelClient};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let builder = |hosts: [&str; 1]| {
    /// #     ParallelClient::builder(hosts).known_hosts(["/dev/null"]).identity_auth(false)
    /// # };
    /// let backup = Command::new("pg_dumpall > all.sql").run_as("postgres");
    /// let mistake = Command::new("pg_dumpall > all.sql").run_as("postgres;reboot");
    /// let mut client = builder(["db1"]).build()?;
    /// assert!(matches!(client.run_command(mistake), Err(Error::Config { .. })));
    /// # let _ = backup;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the command is started, [`Error::Config`] is returned if no user can have this name, by
    /// the rules for the user of a [`HostSpec`](crate::HostSpec).
    pub fn run_as(mut self, name: impl Into<String>) -> Self {
        self.wrapping.user = Some(name.into());
        self
    }

    /// The shell that runs the command, with the option that takes the text as an argument, such as
    /// `bash -c` (parallel-ssh: `shell`). Default: the login shell, or `$SHELL -c` with `sudo` or
    /// `run_as`.
    ///
    /// The host receives `{shell} 'the text'`. The login shell interprets `shell` as it is. The
    /// text is in single quotes, and a single quote within the text is written `'\''`. POSIX shells
    /// pass the text on unchanged (POSIX.1-2024, XCU 2.2.2). Other shells interpret some characters
    /// inside single quotes: csh interprets line ends and `!`, and fish interprets backslashes.
    ///
    /// ```
    /// use sshoal::Command;
    ///
    /// // Sent as `bash -c 'echo '\''a  b'\'''`; prints `a  b`. With parallel-ssh it prints `a`.
    /// let command = Command::new("echo 'a  b'").shell("bash -c");
    /// # let _ = command;
    /// ```
    ///
    /// # Errors
    /// When the command is started, [`Error::Config`] is returned if the shell is blank.
    pub fn shell(mut self, shell: impl Into<String>) -> Self {
        self.wrapping.shell = Some(shell.into());
        self
    }

    /// Makes the requests for this many hosts. Hosts with the same text share a request.
    pub(crate) fn to_requests(&self, hosts: usize, deliver: Deliver) -> Result<Vec<Arc<Request>>, Error> {
        let fixed = program::fixed_text(self)?;
        let encoding = self.decoding()?.encoding;
        let [stdout, stderr] = [&self.stdout, &self.stderr]
            .map(|keep| keep.clone().unwrap_or(Keep::BackPressure(limits::STREAM_UNREAD)));
        let output = OutputOptions { stdout, stderr, deliver, ends: encoding.line_ends() };
        output.stdout.check()?;
        output.stderr.check()?;
        let mut prefix = self.wrapping.prefix(encoding)?;
        let exports = env::exports(&self.shell_env, encoding)?;
        let wrapped = |text: &[u8]| wrapped(text, &exports, prefix.bytes.as_deref(), encoding);
        let input = self.stdin.clone().unwrap_or(self.program.default_input());
        let mut options = RunOptions { input, output, ..self.channel.to_options()? };
        if let Some(work) = &self.transfer {
            options.pty_of_host = false;
            options.input = Input::Open;
            return transfer::requests(work, (&Arc::new(options), &prefix), &self.host_args, hosts);
        }
        options.sudo = prefix.login.take();
        let options = Arc::new(options);
        let request = |text| {
            Arc::new(Request { program: self.program, text, options: options.clone(), transfer: None })
        };
        if self.host_args.is_empty() {
            let text = fixed.map_or_else(|| wrapped(&self.text).map_err(Error::Command), Ok)?;
            return Ok(vec![request(text); hosts]);
        }
        if self.host_args.len() != hosts {
            return Err(Error::HostArgs { hosts, args: self.host_args.len() });
        }
        let mut known: HashMap<CString, Arc<Request>> = HashMap::new();
        let mut requests = Vec::with_capacity(hosts);
        for (position, args) in self.host_args.iter().enumerate() {
            let text = template::format(&self.text, args)
                .and_then(|text| wrapped(&text).map_err(TemplateProblem::Refused))
                .map_err(|problem| Error::Template { position, name: None, problem })?;
            requests.push(known.entry(text).or_insert_with_key(|text| request(text.clone())).clone());
        }
        Ok(requests)
    }

    /// Whether the command is a request about a file.
    pub(crate) fn is_file_request(&self) -> bool {
        matches!(self.transfer, Some(Work::File(_)))
    }

    /// Whether the command copies files.
    pub(crate) fn is_copy(&self) -> bool {
        matches!(self.transfer, Some(Work::Put(_) | Work::Get(_)))
    }
}
