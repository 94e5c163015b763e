//! A call that cannot be carried out.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{CertProblem, CommandProblem, ConfigProblem, HostError, KeyProblem, Origin, TemplateProblem};
use crate::host::HostSpecError;
use crate::hostkey::LoadError;

/// A call that cannot be carried out. Except for [`Error::Host`] and [`Error::JoinTimeout`] nothing
/// was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A host in the list cannot be one.
    #[error("host {position} of the list: {problem}")]
    #[non_exhaustive]
    HostSpec {
        /// Position in the host list, from 0.
        position: usize,
        /// What is wrong with it.
        problem: HostSpecError,
    },
    /// A setting that cannot work.
    #[error("{}{problem}", origin.prefix())]
    #[non_exhaustive]
    Config {
        /// Where the setting comes from.
        origin: Origin,
        /// What is wrong with it.
        problem: ConfigProblem,
    },
    /// The libssh in use cannot do what a setting needs
    /// ([`ParallelClient::library`](crate::ParallelClient::library)): GSSAPI where it was built
    /// without, or agent forwarding once four hosts have had it loop for ever in this process
    /// ([`forward_ssh_agent`](crate::config::ClientBuilder::forward_ssh_agent)).
    #[error("{feature} cannot be used with libssh {library}: {reason}")]
    #[non_exhaustive]
    Unsupported {
        /// What cannot be used.
        feature: &'static str,
        /// The version that libssh gives itself.
        library: String,
        /// Why.
        reason: &'static str,
    },
    /// The command cannot be sent as it is.
    #[error("command refused: {0}")]
    Command(CommandProblem),
    /// [`host_args`](crate::Command::host_args) has not exactly one entry for each host
    /// (parallel-ssh: `HostArgumentError`).
    #[error("host_args has {args} entries for {hosts} hosts")]
    #[non_exhaustive]
    HostArgs {
        /// Hosts of the client.
        hosts: usize,
        /// Entries given.
        args: usize,
    },
    /// The command's text and a host's entry in [`host_args`](crate::Command::host_args) do not fit
    /// together.
    #[error("command for host {position} of the list: {problem}")]
    #[non_exhaustive]
    Template {
        /// Position in the host list, or among the hosts of a [`Run`](crate::Run), from 0, of the
        /// first host that is concerned.
        position: usize,
        /// What does not fit.
        problem: TemplateProblem,
    },
    /// A private key cannot be used (parallel-ssh: `PKeyFileError`).
    #[error("{}private key {}: {problem}", origin.prefix(), path.display())]
    #[non_exhaustive]
    KeyFile {
        /// Where the key comes from, or what is to open it, such as the passphrase.
        origin: Origin,
        /// The file, or `<bytes>` for a key given as text.
        path: PathBuf,
        /// Why.
        problem: KeyProblem,
    },
    /// A certificate cannot be used (parallel-ssh: `PKeyFileError`).
    #[error("{}certificate {}: {problem}", origin.prefix(), path.display())]
    #[non_exhaustive]
    CertFile {
        /// Where the certificate comes from, or the key that it is not for.
        origin: Origin,
        /// The file, or `<bytes>` for a certificate given as text.
        path: PathBuf,
        /// Why.
        problem: CertProblem,
    },
    /// A known_hosts file exists but cannot be read.
    #[error("{0}")]
    KnownHosts(LoadError),
    /// The first host that failed, in order of time, when `stop_on_errors` is on (the default).
    ///
    /// The other hosts were started and go on; their outputs are in `last_output`.
    #[error("{0}")]
    Host(HostError),
    /// `join` reached its time limit (parallel-ssh: `Timeout`). Everything can be joined again and
    /// read on.
    #[error(
        "not finished after {after:?}: {} of {} commands still running, {} never started",
        unfinished.len(), finished.len() + unfinished.len() + not_started.len(), not_started.len()
    )]
    #[non_exhaustive]
    JoinTimeout {
        /// The limit.
        after: Duration,
        /// Positions of the hosts whose command has ended, one way or the other.
        finished: Vec<usize>,
        /// Positions of the hosts whose command was started and has not ended.
        unfinished: Vec<usize>,
        /// Positions of the hosts whose command was not sent yet.
        not_started: Vec<usize>,
    },
    /// The fleet [comes to an end](crate::Fleet::drain), and starts nothing more.
    #[error("the fleet is being drained: nothing more is started")]
    Draining,
    /// The operating system refused what the reactor itself needs.
    #[error("cannot {what}: {error}")]
    #[non_exhaustive]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        error: io::Error,
    },
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        Self::KnownHosts(error)
    }
}
