//! Waiting for commands to end, ending them, and which of them did not succeed.

use std::fmt;
use std::time::Duration;

use super::{HostOutput, InteractiveShell, ParallelClient, deadline};
use crate::error::Error;
use crate::output::Outcome;

/// How a client [joins](ParallelClient::join) commands.
///
/// ```no_run
/// use std::time::Duration;
/// use sshoal::JoinOptions;
/// use sshoal::client::JoinError;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
/// let outputs = client.run_command("apt-get -y upgrade")?;
/// match client.join(&outputs, JoinOptions::default().timeout(Duration::from_secs(600))) {
///     Err(JoinError::Timeout { unfinished, .. }) => {
///         for output in unfinished {
///             println!("still running: {}", output.host());
///         }
///     }
///     other => other?,
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct JoinOptions {
    timeout: Option<Duration>,
    consume_output: bool,
    close_stdin: Option<bool>,
    strict: bool,
    expect_success: bool,
}

impl JoinOptions {
    /// The time limit for all outputs together; with zero, `join` does not wait. Default: `None`,
    /// which means no limit.
    pub fn timeout(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.timeout = after.into();
        self
    }

    /// Whether to discard the output of the commands. Default: `false`, so the output can be read
    /// afterwards.
    pub fn consume_output(mut self, consume: bool) -> Self {
        self.consume_output = consume;
        self
    }

    /// Whether to close the commands' standard input first. Default: `true` without a time limit,
    /// because a command that reads its input would never end; `false` with a time limit, so that
    /// input can be written after a timeout.
    pub fn close_stdin(mut self, close: bool) -> Self {
        self.close_stdin = Some(close);
        self
    }

    /// Whether hosts that failed are an error of `join`: a command did not run, or its connection
    /// was lost, or it ended without a status. An exit status is never an error here, whatever its
    /// value. Default: `false`, as in parallel-ssh, so these errors are in the outputs only.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Whether every command that did not exit with status 0 is an error of `join`. This includes
    /// what [`strict`](Self::strict) includes. Default: `false`.
    ///
    /// ```no_run
    /// use sshoal::JoinOptions;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// let outputs = client.start_command("systemctl restart app")?;
    /// client.join(&outputs, JoinOptions::default().expect_success(true))?;
    /// println!("restarted everywhere");
    /// # Ok(())
    /// # }
    /// ```
    pub fn expect_success(mut self, expect: bool) -> Self {
        self.expect_success = expect;
        self
    }

    /// Whether this outcome is an error of `join`.
    fn is_failure(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Exited(status) => self.expect_success && *status != 0,
            Outcome::Transferred(_) | Outcome::File(_) => false,
            Outcome::Signaled(_) => self.expect_success,
            Outcome::NoStatus | Outcome::Failed(_) => self.strict || self.expect_success,
        }
    }
}

/// Why a [`join`](ParallelClient::join) did not end well. The outputs can be joined and read again
/// after each of these errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The time limit was reached (parallel-ssh: `Timeout`). Each output is in one of the lists, in
    /// the order in which the outputs were passed to `join`. Like all outputs, those in the error
    /// keep the connections open until they are dropped.
    #[error(
        "not finished after {after:?}: {} of {} commands still running, {} not started",
        unfinished.len(), finished.len() + unfinished.len() + not_started.len(), not_started.len()
    )]
    #[non_exhaustive]
    Timeout {
        /// The time limit.
        after: Duration,
        /// The commands that have ended or failed.
        finished: Vec<HostOutput>,
        /// The commands that were started and have not ended.
        unfinished: Vec<HostOutput>,
        /// The commands that were not sent yet.
        not_started: Vec<HostOutput>,
    },
    /// All commands have ended, but some of them failed
    /// ([`strict`](JoinOptions::strict), [`expect_success`](JoinOptions::expect_success)).
    #[error("{0}")]
    Failed(Failures),
    /// The event loop failed: [`Error::System`].
    #[error("{0}")]
    System(Error),
}

/// The commands that failed, of those that a [`join`](ParallelClient::join) waited for.
///
/// The `Display` form is one line: how many failed, and why, with equal causes of several hosts
/// shown once. It names at most three hosts per cause.
///
/// ```no_run
/// use sshoal::JoinOptions;
/// use sshoal::client::JoinError;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
/// let outputs = client.start_command("true")?;
/// let options = JoinOptions::default().strict(true);
/// if let Err(JoinError::Failed(failures)) = client.join(&outputs, options) {
///     for (cause, outputs) in failures.by_cause() {
///         println!("{} hosts: {cause}", outputs.len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Failures {
    outputs: Vec<HostOutput>,
    /// How many commands were joined.
    of: usize,
}

impl Failures {
    /// The outputs of the commands that failed, in the order in which they were passed to `join`.
    /// [`HostOutput::outcome`] tells how each command ended.
    pub fn outputs(&self) -> &[HostOutput] {
        &self.outputs
    }

    /// The outputs in groups of equal causes, the largest group first. A cause leaves out what
    /// differs from host to host ([`HostError::cause`](crate::HostError::cause)).
    pub fn by_cause(&self) -> Vec<(String, Vec<&HostOutput>)> {
        crate::error::group_by_cause(&self.outputs, |output| match output.outcome()? {
            Outcome::Failed(error) => Some(error.cause()),
            outcome => Some(outcome.to_string()),
        })
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} commands failed", self.outputs.len(), self.of)?;
        for (nth, (cause, outputs)) in self.by_cause().into_iter().enumerate() {
            write_cause(f, nth, &cause, outputs.len(), outputs)?;
        }
        Ok(())
    }
}

/// Writes the `nth` cause of failures with the names of its first `outputs`, which are `count`.
pub(super) fn write_cause<'a>(
    f: &mut fmt::Formatter<'_>,
    nth: usize,
    cause: &str,
    count: usize,
    outputs: impl IntoIterator<Item = &'a HostOutput>,
) -> fmt::Result {
    const NAMED: usize = 3;
    write!(f, "{} {cause} (", if nth == 0 { ":" } else { ";" })?;
    for (nth, output) in outputs.into_iter().take(NAMED).enumerate() {
        let comma = if nth == 0 { "" } else { ", " };
        write!(f, "{comma}{}", crate::output::sanitise(output.host()))?;
    }
    match count.saturating_sub(NAMED) {
        0 => f.write_str(")"),
        more => write!(f, " and {more} more)"),
    }
}

impl ParallelClient {
    /// Waits until all these commands have ended or failed. Their output is kept for later readers.
    ///
    /// [`HostOutput::outcome`] tells how each command ended. `Ok` means only that all have ended,
    /// unless the options ask for more: [`strict`](JoinOptions::strict) makes hosts that failed an
    /// error, and [`expect_success`](JoinOptions::expect_success) other statuses than 0 as well.
    /// The time limit applies to all outputs together, whatever the pool size.
    ///
    /// # Errors
    /// [`JoinError::Timeout`] if the time limit is reached. Nothing is lost, and `join` can be
    /// called again. [`JoinError::Failed`] if the options ask for it. [`JoinError::System`] if the
    /// event loop fails.
    pub fn join(&self, outputs: &[HostOutput], options: JoinOptions) -> Result<(), JoinError> {
        let deadline = deadline(options.timeout);
        if options.close_stdin.unwrap_or(options.timeout.is_none()) {
            for output in outputs {
                output.stdin().close();
            }
        }
        for output in outputs {
            let done = output.fleet().drive(deadline, |fleet| {
                if options.consume_output {
                    output.discard(fleet);
                }
                fleet.command(output.id()).is_none_or(|command| command.is_finished()).then_some(())
            });
            if done.map_err(JoinError::System)?.is_none() {
                return Err(timeout(outputs, options.timeout.unwrap_or_default()));
            }
        }
        let has_failed = |output: &&HostOutput| output.outcome().is_some_and(|end| options.is_failure(&end));
        let failed: Vec<HostOutput> = outputs.iter().filter(has_failed).cloned().collect();
        if failed.is_empty() {
            return Ok(());
        }
        Err(JoinError::Failed(Failures { outputs: failed, of: outputs.len() }))
    }

    /// Cancels these commands, all at once, and waits until they have ended; see
    /// [`HostOutput::cancel`].
    ///
    /// # Errors
    /// [`Error::System`] if the poll fails.
    pub fn cancel(&self, outputs: &[HostOutput]) -> Result<(), Error> {
        outputs.iter().for_each(HostOutput::begin_cancel);
        outputs.iter().try_for_each(HostOutput::cancel)
    }

    /// Cancels all commands, including those whose outputs were dropped, and waits until they have
    /// ended; see [`HostOutput::cancel`].
    ///
    /// # Errors
    /// [`Error::System`] if the poll fails.
    pub fn cancel_all(&self) -> Result<(), Error> {
        self.fleet.lock().cancel_all();
        self.fleet.drive_until(|fleet| fleet.metrics().unfinished == 0)
    }

    /// Closes these shells, and waits until all have ended or failed (parallel-ssh: `join_shells`).
    ///
    /// All commands that were sent are run first. Shells are closed as by
    /// [`InteractiveShell::close`], with a time limit as well, unless
    /// [`close_stdin(false)`](JoinOptions::close_stdin) is set: then shells take further commands
    /// after a timeout. Otherwise this is [`join`](Self::join).
    ///
    /// # Errors
    /// The errors of [`join`](Self::join).
    pub fn join_shells(&self, shells: &[InteractiveShell], options: JoinOptions) -> Result<(), JoinError> {
        if options.close_stdin.unwrap_or(true) {
            shells.iter().for_each(InteractiveShell::begin_close);
        }
        let outputs: Vec<HostOutput> = shells.iter().map(|shell| shell.output().clone()).collect();
        self.join(&outputs, options.close_stdin(false))
    }
}

fn timeout(outputs: &[HostOutput], after: Duration) -> JoinError {
    let (mut finished, mut unfinished, mut not_started) = (Vec::new(), Vec::new(), Vec::new());
    for output in outputs {
        let list = match (output.is_finished(), output.is_started()) {
            (true, _) => &mut finished,
            (false, true) => &mut unfinished,
            (false, false) => &mut not_started,
        };
        list.push(output.clone());
    }
    JoinError::Timeout { after, finished, unfinished, not_started }
}
