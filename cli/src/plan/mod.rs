//! What will be done, decided before anything is done. Nothing here touches the network.

mod copies;
pub mod percent;
pub mod preview;
pub mod script;
mod template;
mod values;

use std::ffi::{OsStr, OsString};
use std::iter::repeat_n;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use sshoal::config::Input;
use sshoal::fleet::{Batch, HostId};
use sshoal::output::Keep;
use sshoal::ssh_config::{LocalContext, SshConfigError};
use sshoal::{Command, Run};

pub use copies::{Copies, get, put, sync};

use crate::args::{CopyArgs, Limit, MaxFail, RunningArgs, SafetyArgs, SecretArgs, Secrets};
use crate::run::Rule;
use crate::targets::Target;

/// How much unread output of one stream makes its host wait.
const UNREAD: usize = 64 * 1024;

/// What a run does with each host.
#[derive(Debug, Default)]
pub struct Plan {
    texts: Texts,
    /// What is copied, instead of commands that run.
    copies: Option<Copies>,
    /// What all hosts get on standard input, if that is not this program's.
    pub given_input: Option<Vec<u8>>,
    pub command_limit: Option<Duration>,
    on_terminal: bool,
    variables: Vec<(String, String)>,
    sudo: Option<Sudo>,
    batches: Vec<Batch>,
    pub gate: Option<Gate>,
    max_fail: Option<MaxFail>,
    /// Whether standard input goes to the hosts, if it is a pipe or a file.
    pub sends_stdin: bool,
    /// How long a command may print nothing.
    pub silence: Option<Duration>,
    /// The limit of the whole run.
    pub deadline: Option<Duration>,
    pub rule: Rule,
    /// Whether hosts stay connected after their commands, for the next ones.
    pub keeps_hosts: bool,
    /// Whether the first ^C on a terminal only asks.
    pub asks_first: bool,
}

/// The text of each command.
#[derive(Debug)]
pub enum Texts {
    Same(Vec<u8>),
    /// One for each host, in the order of the targets.
    Each(Vec<Vec<u8>>),
}

impl Default for Texts {
    fn default() -> Self {
        Self::Same(Vec::new())
    }
}

/// Who runs the command.
struct Sudo {
    user: String,
    password: Option<String>,
}

/// The password is not shown.
impl std::fmt::Debug for Sudo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sudo").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What decides between two batches whether the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    Ask,
    /// A local command, whose failure stops the run.
    Command(String),
}

impl Texts {
    /// The text of the command line, with the values of each host if it wants some.
    ///
    /// # Errors
    /// `--arg-file` cannot be used, or the text has a name without a value.
    pub fn new(text: Vec<u8>, args: &RunningArgs, targets: &[Target]) -> Result<Self, String> {
        if args.arg_file.is_none() && !args.template {
            return Ok(Self::Same(text));
        }
        let values = values::values(targets, args.arg_file.as_deref())?;
        let texts = values.iter().map(|values| template::filled(&text, values)).collect::<Result<_, _>>()?;
        Ok(Self::Each(texts))
    }
}

impl Plan {
    pub fn new(texts: Texts, args: &RunningArgs) -> Self {
        let limit = |limit: Option<Limit>| limit.and_then(|Limit(limit)| limit);
        Self {
            command_limit: limit(args.command_timeout),
            on_terminal: args.pty,
            variables: args.env.clone(),
            sends_stdin: !args.nostdin,
            silence: limit(args.idle),
            deadline: args.deadline,
            rule: if args.maxrc { Rule::LargestStatus } else { Rule::Worst },
            ..Self::of(texts)
        }
    }

    /// These copies.
    pub fn of_copies(copies: Copies, args: &CopyArgs) -> Self {
        let limit = |limit: Option<Limit>| limit.and_then(|Limit(limit)| limit);
        Self {
            copies: Some(copies),
            command_limit: limit(args.command_timeout),
            silence: limit(args.idle),
            deadline: args.deadline,
            ..Self::of(Texts::default())
        }
    }

    pub fn has_copies(&self) -> bool {
        self.copies.is_some()
    }

    /// The name of each host in local paths, if these differ.
    pub fn own_names(&self) -> &[String] {
        self.copies.as_ref().map_or(&[], |copies| &copies.own_names)
    }

    /// How many commands each host has.
    pub fn per_host(&self) -> usize {
        self.copies.as_ref().map_or(1, |copies| copies.per_host)
    }

    /// Without any settings.
    pub fn of(texts: Texts) -> Self {
        Self { texts, asks_first: true, ..Self::default() }
    }

    /// In batches, until too many commands have failed.
    pub fn careful(mut self, args: &SafetyArgs) -> Self {
        self.batches = args.batch.as_ref().map(|batches| batches.0.clone()).unwrap_or_default();
        self.gate = args.gate.as_ref().map(|gate| match gate.as_str() {
            "ask" => Gate::Ask,
            command => Gate::Command(command.to_owned()),
        });
        self.max_fail = args.max_fail();
        self
    }

    /// Through sudo, if that is wanted.
    pub fn with_sudo(mut self, args: &SecretArgs, secrets: &Secrets) -> Self {
        self.sudo = args.uses_sudo().then(|| Sudo {
            user: args.sudo.clone().unwrap_or_else(|| "root".to_owned()),
            password: secrets.sudo_password.clone(),
        });
        self
    }

    /// The run of these hosts.
    pub fn run(&self, hosts: &[HostId], has_input: bool) -> Run {
        let per_host = self.per_host();
        let run = match (&self.copies, &self.texts) {
            (Some(copies), _) => {
                let command = self.with_user(copies.command.clone().time_limit(self.command_limit));
                Run::new(command).hosts(hosts.iter().flat_map(|host| repeat_n(*host, per_host)))
            }
            (None, Texts::Same(text)) => Run::new(self.command(text, has_input)).hosts(hosts.iter().copied()),
            (None, Texts::Each(texts)) => {
                let commands = texts.iter().map(|text| self.command(text, has_input));
                Run::each(hosts.iter().copied().zip(commands))
            }
        };
        let run = run.batches(self.batches.iter().map(|size| of_commands(*size, hosts.len(), per_host)));
        let run = if self.gate.is_some() { run.gated() } else { run };
        match self.max_fail {
            // A host that is not reached fails with all of its commands.
            Some(MaxFail::Hosts(hosts)) => run.max_failures(hosts * per_host),
            Some(MaxFail::Percent(percent)) => run.max_failure_percent(percent),
            None => run,
        }
    }

    fn command(&self, text: &[u8], has_input: bool) -> Command {
        let input = match &self.given_input {
            Some(bytes) => bytes.as_slice().into(),
            None if has_input => Input::Open,
            None => Input::Empty,
        };
        let command = Command::new(text)
            .time_limit(self.command_limit)
            .use_pty(self.on_terminal)
            .envs(self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .stdin(input)
            .stdout(Keep::BackPressure(UNREAD))
            .stderr(Keep::BackPressure(UNREAD));
        self.with_user(command)
    }

    /// Through sudo, if that is wanted.
    fn with_user(&self, command: Command) -> Command {
        let Some(Sudo { user, password }) = &self.sudo else { return command };
        let command = if user == "root" { command.sudo(true) } else { command.run_as(user) };
        match password {
            Some(password) => command.sudo_password(password),
            // It must not take the command's input for a password.
            None => command.sudo_non_interactive(true),
        }
    }
}

/// The size of a batch in commands, if each of so many hosts has several.
fn of_commands(size: Batch, hosts: usize, per_host: usize) -> Batch {
    match size {
        Batch::Hosts(hosts) => Batch::Hosts(hosts * per_host),
        // Rounded to whole hosts, as the library rounds it.
        Batch::Percent(percent) if per_host > 1 => {
            Batch::Hosts((hosts * usize::from(percent)).div_ceil(100).max(1) * per_host)
        }
        size => size,
    }
}

/// The words of a command line, joined as ssh joins them.
pub fn joined(words: &[OsString]) -> Vec<u8> {
    words.join(OsStr::new(" ")).into_vec()
}

/// The name of the user of this process.
pub fn local_user() -> Result<String, SshConfigError> {
    Ok(LocalContext::current()?.user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_whole_hosts() {
        let sizes = [Batch::Hosts(2), Batch::Percent(34), Batch::Percent(1), Batch::Rest];
        let several = sizes.map(|size| of_commands(size, 10, 3));
        assert_eq!(several, [Batch::Hosts(6), Batch::Hosts(12), Batch::Hosts(3), Batch::Rest]);
        assert_eq!(sizes.map(|size| of_commands(size, 10, 1)), sizes);
    }

    #[test]
    fn words_are_joined_as_by_ssh() {
        assert_eq!(joined(&["echo".into(), "a  b".into(), "'c'".into()]), b"echo a  b 'c'");
    }
}
