//! Why commands are cancelled.

/// Why a command was cancelled, or not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CancelCause {
    /// The caller cancelled the command, all commands of its host, or all commands
    /// ([`Fleet::cancel`](crate::Fleet::cancel)).
    #[error("by the caller")]
    Caller,
    /// The caller removed the host ([`Fleet::remove_host`](crate::Fleet::remove_host)).
    #[error("its host was removed")]
    HostRemoved,
    /// The caller cancelled the run ([`Fleet::cancel_run`](crate::Fleet::cancel_run)).
    #[error("its run was cancelled")]
    RunCancelled,
    /// More commands of the run had failed than [`max_failures`](crate::Run::max_failures) or
    /// [`max_failure_percent`](crate::Run::max_failure_percent) allows. Only commands that were not
    /// sent have this cause.
    #[error("too many other commands have failed")]
    TooManyFailures,
    /// The fleet was [draining](crate::Fleet::drain). Commands that were sent have this cause if
    /// they had not ended by the drain's deadline.
    #[error("the fleet is draining")]
    Draining,
}

impl CancelCause {
    /// The cause in lower case with underscores, as in `host_removed`, for use in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::HostRemoved => "host_removed",
            Self::RunCancelled => "run_cancelled",
            Self::TooManyFailures => "too_many_failures",
            Self::Draining => "draining",
        }
    }
}
