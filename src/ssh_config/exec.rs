//! The commands of `Match exec`.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::error::SshConfigError;
use super::limits;
use super::source::SettingSource;
use crate::clock;

/// Runs the commands of `Match exec`. Closures implement it.
///
/// A [`ConfigResolver`](super::ConfigResolver) runs each distinct command once. Commands come from
/// files that only their owner can write, with tokens expanded; names that the caller gives cannot
/// contain shell syntax.
pub trait MatchExec {
    /// Whether the command succeeds.
    ///
    /// # Errors
    /// The command cannot be run, is ended by a signal, or takes too long. As in OpenSSH, nothing
    /// is resolved then.
    fn succeeds(&mut self, command: &str) -> io::Result<bool>;
}

impl<F: FnMut(&str) -> io::Result<bool>> MatchExec for F {
    fn succeeds(&mut self, command: &str) -> io::Result<bool> {
        self(command)
    }
}

/// Runs commands by the user's shell (`SHELL`, or `/bin/sh`), without input and output, and waits
/// for each.
#[derive(Debug, Clone)]
pub struct ShellExec {
    shell: PathBuf,
    time_limit: Duration,
}

impl ShellExec {
    /// A shell, and a time limit for each command. A command that takes longer is killed, with the
    /// processes of its process group.
    pub fn new(shell: impl Into<PathBuf>, time_limit: Duration) -> Self {
        Self { shell: shell.into(), time_limit }
    }

    fn wait(&self, child: &mut Child) -> io::Result<bool> {
        // A limit beyond all time is none.
        let deadline = clock::now().checked_add(self.time_limit);
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = child.try_wait()? {
                return match status.signal() {
                    Some(signal) => Err(io::Error::other(format!("ended by signal {signal}"))),
                    None => Ok(status.success()),
                };
            }
            let left = deadline.map_or(pause, |deadline| deadline.saturating_duration_since(clock::now()));
            if left.is_zero() {
                let text = format!("still runs after {:?}", self.time_limit);
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(limits::EXEC_POLL);
        }
    }
}

/// The user's shell: `SHELL` of this process, or `/bin/sh`.
pub(crate) fn user_shell() -> PathBuf {
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    shell.unwrap_or_else(|| "/bin/sh".into()).into()
}

impl Default for ShellExec {
    /// `SHELL` of this process, and ten seconds.
    fn default() -> Self {
        Self::new(user_shell(), limits::EXEC_TIME)
    }
}

impl MatchExec for ShellExec {
    fn succeeds(&mut self, command: &str) -> io::Result<bool> {
        let mut child = Command::new(&self.shell)
            .arg("-c")
            .arg(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let result = self.wait(&mut child);
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            // The child has not been waited for, so the group is still its own.
            let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            let _ = killpg(group, Signal::SIGKILL);
            let _ = child.wait();
        }
        result
    }
}

/// The results of the commands so far.
pub(super) struct ExecResults<'a> {
    exec: Box<dyn MatchExec + 'a>,
    known: HashMap<String, bool>,
}

impl fmt::Debug for ExecResults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecResults").field("known", &self.known).finish_non_exhaustive()
    }
}

impl<'a> ExecResults<'a> {
    pub fn new(exec: Box<dyn MatchExec + 'a>) -> Self {
        Self { exec, known: HashMap::new() }
    }

    /// Runs a command, unless its result is known.
    pub fn succeeds(&mut self, command: String, source: &SettingSource) -> Result<bool, SshConfigError> {
        if let Some(known) = self.known.get(&command) {
            return Ok(*known);
        }
        match self.exec.succeeds(&command) {
            Ok(success) => Ok(*self.known.entry(command).or_insert(success)),
            Err(error) => Err(SshConfigError::Exec { place: source.clone(), command, error }),
        }
    }
}
