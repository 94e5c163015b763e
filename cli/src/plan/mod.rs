//! What will be done, decided before anything is done. Nothing here touches the network.

pub mod percent;
pub mod preview;
pub mod script;
mod template;
mod values;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use sshoal::config::Input;
use sshoal::fleet::{Batch, HostId};
use sshoal::output::Keep;
use sshoal::ssh_config::{LocalContext, SshConfigError};
use sshoal::{Command, Run};

use crate::args::{Limit, MaxFail, RunningArgs, SafetyArgs, SecretArgs, Secrets};
use crate::run::Rule;
use crate::targets::Target;

/// How much unread output of one stream makes its host wait.
const UNREAD: usize = 64 * 1024;

/// What a run does with each host.
#[derive(Debug, Default)]
pub struct Plan {
    texts: Texts,
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
        let run = match &self.texts {
            Texts::Same(text) => Run::new(self.command(text, has_input)).hosts(hosts.iter().copied()),
            Texts::Each(texts) => {
                let commands = texts.iter().map(|text| self.command(text, has_input));
                Run::each(hosts.iter().copied().zip(commands))
            }
        };
        let run = run.batches(self.batches.iter().copied());
        let run = if self.gate.is_some() { run.gated() } else { run };
        match self.max_fail {
            Some(MaxFail::Hosts(hosts)) => run.max_failures(hosts),
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
        let Some(Sudo { user, password }) = &self.sudo else { return command };
        let command = if user == "root" { command.sudo(true) } else { command.run_as(user) };
        match password {
            Some(password) => command.sudo_password(password),
            // It must not take the command's input for a password.
            None => command.sudo_non_interactive(true),
        }
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
    fn words_are_joined_as_by_ssh() {
        assert_eq!(joined(&["echo".into(), "a  b".into(), "'c'".into()]), b"echo a  b 'c'");
    }
}
