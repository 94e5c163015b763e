//! What will be done, decided before anything is done. Nothing here touches the network.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use sshoal::config::Input;
use sshoal::fleet::HostId;
use sshoal::output::Keep;
use sshoal::{Command, Run};

use crate::args::{Limit, RunningArgs};
use crate::run::Rule;

/// How much unread output of one stream makes its host wait.
const UNREAD: usize = 64 * 1024;

/// What a run does with each host.
#[derive(Debug)]
pub struct Plan {
    texts: Texts,
    command_limit: Option<Duration>,
    on_terminal: bool,
    variables: Vec<(String, String)>,
    /// Whether standard input goes to the hosts, if it is a pipe or a file.
    pub sends_stdin: bool,
    /// How long a command may print nothing.
    pub silence: Option<Duration>,
    /// The limit of the whole run.
    pub deadline: Option<Duration>,
    pub rule: Rule,
}

/// The text of each command.
#[derive(Debug)]
pub enum Texts {
    Same(Vec<u8>),
    /// One for each host, in the order of the targets.
    Each(Vec<Vec<u8>>),
}

impl Plan {
    pub fn new(texts: Texts, args: &RunningArgs) -> Self {
        let limit = |limit: Option<Limit>| limit.and_then(|Limit(limit)| limit);
        Self {
            texts,
            command_limit: limit(args.command_timeout),
            on_terminal: args.pty,
            variables: args.env.clone(),
            sends_stdin: !args.nostdin,
            silence: limit(args.idle),
            deadline: args.deadline,
            rule: if args.maxrc { Rule::LargestStatus } else { Rule::Worst },
        }
    }

    /// The run of these hosts.
    pub fn run(&self, hosts: &[HostId], has_input: bool) -> Run {
        match &self.texts {
            Texts::Same(text) => Run::new(self.command(text, has_input)).hosts(hosts.iter().copied()),
            Texts::Each(texts) => {
                let commands = texts.iter().map(|text| self.command(text, has_input));
                Run::each(hosts.iter().copied().zip(commands))
            }
        }
    }

    fn command(&self, text: &[u8], has_input: bool) -> Command {
        Command::new(text)
            .time_limit(self.command_limit)
            .use_pty(self.on_terminal)
            .envs(self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .stdin(if has_input { Input::Open } else { Input::Empty })
            .stdout(Keep::BackPressure(UNREAD))
            .stderr(Keep::BackPressure(UNREAD))
    }
}

/// The words of a command line, joined as ssh joins them.
pub fn joined(words: &[OsString]) -> Vec<u8> {
    words.join(std::ffi::OsStr::new(" ")).into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_as_by_ssh() {
        assert_eq!(joined(&["echo".into(), "a  b".into(), "'c'".into()]), b"echo a  b 'c'");
    }
}
