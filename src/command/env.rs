//! Environment variables of a command. They are requested from the server, or set by the text of
//! the command.

use std::ffi::CString;
use std::fmt;

use super::Command;
use super::request::ChannelRequest;
use crate::error::{ConfigProblem, Error};
use crate::limits;
use crate::output::Encoding;
use crate::text::quote;

/// An environment variable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Variable {
    name: String,
    value: Vec<u8>,
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be a secret.
        write!(f, "{:?}: ..", self.name)
    }
}

impl Variable {
    pub(crate) fn new(name: String, value: impl Into<Vec<u8>>) -> Self {
        Self { name, value: value.into() }
    }

    fn refuse<T>(&self, setting: &'static str, problem: &str) -> Result<T, ConfigProblem> {
        let (value, problem) = (self.name.clone(), problem.to_owned());
        Err(ConfigProblem::Invalid { setting, value, problem })
    }

    /// The request that asks a server to set the variable.
    pub(crate) fn to_request(&self) -> Result<ChannelRequest, ConfigProblem> {
        let Self { name, value } = self;
        if name.is_empty() || name.contains('=') {
            return self.refuse("env", "a name must not be empty nor contain '='");
        }
        if name.len() + value.len() > limits::COMMAND_BYTES {
            return self.refuse("env", "name and value are too long to be sent");
        }
        match (CString::new(name.as_str()), CString::new(value.as_slice())) {
            (Ok(name), Ok(value)) => Ok(ChannelRequest::Env { name, value }),
            _ => self.refuse("env", "name or value contains a NUL byte"),
        }
    }

    /// Appends `NAME='value'`.
    fn assign(&self, encoding: Encoding, text: &mut Vec<u8>) -> Result<(), ConfigProblem> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !self.name.bytes().all(is_word)
            || self.name.bytes().next().is_none_or(|byte| byte.is_ascii_digit())
        {
            let problem = "a name must consist of ASCII letters, digits and '_', and not begin with a digit";
            return self.refuse("shell_env", problem);
        }
        if self.value.contains(&0) {
            return self.refuse("shell_env", "the value contains a NUL byte");
        }
        text.extend_from_slice(self.name.as_bytes());
        text.push(b'=');
        match encoding.encode(&self.value) {
            Ok(value) => quote(&value, text),
            Err(problem) => return self.refuse("shell_env", &format!("the value: {problem}")),
        }
        Ok(())
    }
}

/// Adds a variable in place of an earlier one of the same name.
fn set(variables: &mut Vec<Variable>, name: String, value: Vec<u8>) {
    variables.retain(|known| known.name != name);
    variables.push(Variable { name, value });
}

/// The text that sets the variables for the rest of a command. It is encoded, and empty if there
/// are no variables.
///
/// A shell that cannot set a variable exits, so that the command does not run without it: POSIX
/// shells for a read-only variable, and csh because it has no `export`. The text has no line end,
/// because csh accepts none in quotes, not even for another shell.
pub(super) fn exports(variables: &[Variable], encoding: Encoding) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    for variable in variables {
        text.extend_from_slice(if text.is_empty() { b"export " } else { b" " });
        variable.assign(encoding, &mut text).map_err(ConfigProblem::of_command)?;
    }
    if !text.is_empty() {
        text.extend_from_slice(b" || exit; ");
    }
    Ok(text)
}

impl Command {
    /// A variable for the command's environment, which the server is asked to set (RFC 4254 section
    /// 6.4). If a variable is set several times, the last value counts.
    ///
    /// Servers accept only the names that they are configured for (OpenSSH: `AcceptEnv`, by default
    /// none). OpenSSH's client ignores a refusal. Here, if a host refuses variables, the command
    /// does not run there, and its error, which names all of them, is
    /// [`ChannelProblem::EnvRefused`](crate::error::ChannelProblem::EnvRefused), unless
    /// [`ignore_refused_env`](Self::ignore_refused_env) is on. With [`sudo`](Self::sudo), the
    /// command gets only the variables that `sudo` keeps (`env_keep`).
    ///
    /// Each variable costs a round trip, because libssh sends one request at a time. The time limit
    /// for starting a command (the client's `timeout`) applies to each answer, so it does not limit
    /// how many variables can be set. [`shell_env`](Self::shell_env) costs no round trip and needs
    /// no permission, but the host's process list shows the values. So use `env` for secrets, and
    /// for hosts whose login shell is not a POSIX shell.
    ///
    /// ```
    /// use sshoal::Command;
    ///
    /// let command = Command::new("sort names").env("LC_ALL", "C").env("LC_DEBUG", "1");
    /// # let _ = command;
    /// ```
    ///
    /// # Errors
    /// When the command is started, [`Error::Config`] is returned if the name is empty or contains
    /// `=`, if the name or the value contains a NUL byte, or if both together have more than 192
    /// KiB.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        set(&mut self.channel.env, name.into(), value.into());
        self
    }

    /// Several variables at once; see [`env`](Self::env).
    ///
    /// ```
    /// use sshoal::Command;
    ///
    /// let command = Command::new("locale").envs([("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")]);
    /// # let _ = command;
    /// ```
    pub fn envs(self, variables: impl IntoIterator<Item = (impl Into<String>, impl Into<Vec<u8>>)>) -> Self {
        variables.into_iter().fold(self, |command, (name, value)| command.env(name, value))
    }

    /// Whether the command runs even if the host refuses variables that [`env`](Self::env) has set.
    /// Default: `false`, so the command does not run.
    pub fn ignore_refused_env(mut self, ignore: bool) -> Self {
        self.channel.ignore_refused_env = ignore;
        self
    }

    /// A variable for the command's environment, which the text of the command sets. If a variable
    /// is set several times, the last value counts. If [`env`](Self::env) sets the same name, this
    /// value counts.
    ///
    /// The text gets `export NAME='value' || exit; ` in front, within everything that wraps it: a
    /// [`shell`](Self::shell) or [`sudo`](Self::sudo) runs the `export` together with the text, so
    /// the variable is set whatever `sudo` keeps. Any number of variables costs no round trip and
    /// needs no permission of the server.
    ///
    /// - **Not for secrets.** All users of the host can see the values in its process list (`ps`)
    ///   while the command runs, and `sudo` logs them. A secret belongs in [`env`](Self::env) or on
    ///   standard input.
    /// - **The shell must be a POSIX shell**, such as sh, dash, bash, ksh or zsh. For users whose
    ///   login shell is csh or fish, set [`shell("sh -c")`](Self::shell). Even then, those two
    ///   change some characters of a value, as `shell` describes.
    ///
    /// The value is quoted, so the shell interprets nothing in it, and
    /// [`host_args`](Self::host_args) fills no placeholder in it. Like the text, it is given as
    /// UTF-8 and converted to the [`encoding`](Self::encoding). If the shell cannot set a variable,
    /// for example because it is read-only, the command does not run, and its exit status is not 0.
    ///
    /// ```
    /// use sshoal::Command;
    ///
    /// // Sent as `sudo -S $SHELL -c 'export RELEASE='\''v2.1'\'' || exit; ./deploy'`.
    /// let command = Command::new("./deploy").sudo(true).shell_env("RELEASE", "v2.1");
    /// # let _ = command;
    /// ```
    ///
    /// # Errors
    /// These errors are returned when the command is started, in which case nothing runs.
    /// [`Error::Config`] if the name is not a name for a shell (ASCII letters, digits and `_`, not
    /// beginning with a digit; POSIX.1-2024, XBD 3.216), or if the value contains a NUL byte or
    /// cannot be encoded. [`Error::Command`] if the text, all variables included, is longer than
    /// 192 KiB. Many hosts accept less: Linux accepts 128 KiB.
    pub fn shell_env(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        set(&mut self.shell_env, name.into(), value.into());
        self
    }

    /// Several variables at once; see [`shell_env`](Self::shell_env).
    ///
    /// ```
    /// use sshoal::Command;
    ///
    /// let command = Command::new("make").shell_envs([("CC", "clang"), ("CFLAGS", "-O2 -g")]);
    /// # let _ = command;
    /// ```
    pub fn shell_envs(
        self,
        variables: impl IntoIterator<Item = (impl Into<String>, impl Into<Vec<u8>>)>,
    ) -> Self {
        variables.into_iter().fold(self, |command, (name, value)| command.shell_env(name, value))
    }
}
