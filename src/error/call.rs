//! A call that cannot be carried out.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{CertProblem, CommandProblem, ConfigProblem, HostError, KeyProblem, Origin, TemplateProblem};
use crate::host::HostSpecError;
use crate::hostkey::LoadError;

/// A call that failed. Except for [`Error::Host`] and [`Error::JoinTimeout`], nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An entry of the host list is not a host.
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
    /// The libssh in use lacks what a setting needs
    /// ([`ParallelClient::library`](crate::ParallelClient::library)): GSSAPI where it was built
    /// without, or agent forwarding once four hosts have had it loop for ever in this process
    /// ([`forward_ssh_agent`](crate::config::ClientBuilder::forward_ssh_agent)).
    #[error("{feature} cannot be used with libssh {library}: {reason}")]
    #[non_exhaustive]
    Unsupported {
        /// What cannot be used.
        feature: &'static str,
        /// The version that libssh reports.
        library: String,
        /// Why.
        reason: &'static str,
    },
    /// The command cannot be sent.
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
    /// The command's text cannot be filled with a host's entry in
    /// [`host_args`](crate::Command::host_args).
    #[error("command for host {position} of the list: {problem}")]
    #[non_exhaustive]
    Template {
        /// Position in the host list, or among the hosts of a [`Run`](crate::Run), from 0, of the
        /// first such host.
        position: usize,
        /// What is wrong.
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
    /// The host that failed first, when [`stop_on_errors`](crate::ReadOptions::stop_on_errors) is
    /// on (the default).
    ///
    /// The command runs on the other hosts; [`last_output`](crate::ParallelClient::last_output) has
    /// their outputs.
    #[error("{0}")]
    Host(HostError),
    /// `join` reached its time limit (parallel-ssh: `Timeout`). Outputs can be joined and read
    /// again.
    #[error(
        "not finished after {after:?}: {} of {} commands still running, {} never started",
        unfinished.len(), finished.len() + unfinished.len() + not_started.len(), not_started.len()
    )]
    #[non_exhaustive]
    JoinTimeout {
        /// The limit.
        after: Duration,
        /// Positions of the hosts whose command has ended or failed.
        finished: Vec<usize>,
        /// Positions of the hosts whose command was started and has not ended.
        unfinished: Vec<usize>,
        /// Positions of the hosts whose command was not sent yet.
        not_started: Vec<usize>,
    },
    /// The fleet is [draining](crate::Fleet::drain).
    #[error("the fleet is draining: it starts nothing more")]
    Draining,
    /// A system call that the event loop needs failed.
    #[error("cannot {what}: {error}")]
    #[non_exhaustive]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's error.
        error: io::Error,
    },
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        Self::KnownHosts(error)
    }
}
