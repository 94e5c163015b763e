//! Commands that a transfer runs on its host, beside the SFTP channel.

use crate::output::Outcome;
use crate::text;

/// What the command of hosts without SFTP is called in errors.
pub(super) const SCP: &str = "scp";

/// A command that a transfer needs on its host.
#[derive(Debug)]
pub(crate) struct Errand {
    /// The part of the task that needs it. The result comes back with it.
    pub slot: u32,
    /// The text, for a POSIX shell.
    pub text: Vec<u8>,
    /// Whether it runs as the user that the transfer installs files as.
    pub is_privileged: bool,
}

/// How such a command ended.
#[derive(Debug)]
pub(crate) struct ErrandResult {
    pub slot: u32,
    /// `None` if the command could not be started, because its text is too long.
    pub outcome: Option<Outcome>,
    /// The end of its standard output, and of its standard error.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl ErrandResult {
    pub(super) fn is_success(&self) -> bool {
        self.outcome.as_ref().is_some_and(Outcome::is_success)
    }

    /// What is known about the failure of the command.
    pub(super) fn reason(&self) -> String {
        let said = String::from_utf8_lossy(self.stderr.trim_ascii_end()).into_owned();
        match &self.outcome {
            None => "the paths are too long for a command".to_owned(),
            Some(Outcome::Exited(_)) if !said.is_empty() => said,
            // The host is named by the error of the transfer.
            Some(Outcome::Failed(error)) => error.cause(),
            Some(outcome) => outcome.to_string(),
        }
    }
}

/// A path as one word for a POSIX shell. A path that begins with a dash does not look like an
/// option.
pub(super) fn quoted(path: &[u8]) -> Vec<u8> {
    let start = if path.starts_with(b"-") { &b"./"[..] } else { b"" };
    let mut word = Vec::new();
    text::quote(&[start, path].concat(), &mut word);
    word
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_one_word_and_no_option() {
        let quoted = |path: &str| String::from_utf8(super::quoted(path.as_bytes())).unwrap();
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $(reboot)"), r"'it'\''s $(reboot)'");
        assert_eq!(quoted("-rf"), "'./-rf'");
    }
}
