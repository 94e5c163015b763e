//! The error of a call that cannot be carried out.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{CertProblem, CommandProblem, ConfigProblem, HostError, KeyProblem, Origin, TemplateProblem};
use crate::host::HostSpecError;
use crate::hostkey::LoadError;
use crate::ssh_config::SshConfigError;

/// The error of a call. Nothing was started, unless the error is [`Error::Host`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An entry of the host list is not a valid host.
    #[error("host {} of the list, {problem}", position + 1)]
    #[non_exhaustive]
    HostSpec {
        /// Position in the host list, from 0.
        position: usize,
        /// What is wrong with the entry.
        problem: HostSpecError,
    },
    /// A setting cannot work.
    #[error("{}{problem}", origin.prefix())]
    #[non_exhaustive]
    Config {
        /// Where the setting comes from.
        origin: Origin,
        /// What is wrong with the setting.
        problem: ConfigProblem,
    },
    /// The libssh in use ([`ParallelClient::library`](crate::ParallelClient::library)) cannot do
    /// what a setting needs: it was built without GSSAPI, it has no post-quantum key exchange
    /// ([`require_post_quantum`](crate::config::ClientBuilder::require_post_quantum)), or agent
    /// forwarding is disabled because four hosts have made libssh loop for ever in this process
    /// ([`forward_ssh_agent`](crate::config::ClientBuilder::forward_ssh_agent)).
    #[error("{feature} cannot be used with libssh {library}: {reason}")]
    #[non_exhaustive]
    Unsupported {
        /// The feature that cannot be used.
        feature: &'static str,
        /// The version that libssh reports.
        library: String,
        /// Why the feature cannot be used.
        reason: &'static str,
    },
    /// The command cannot be sent.
    #[error("command refused: {0}")]
    Command(CommandProblem),
    /// The number of entries in [`host_args`](crate::Command::host_args) differs from the number of
    /// hosts (parallel-ssh: `HostArgumentError`).
    #[error("host_args has {args} entries for {hosts} hosts: give one for each host")]
    #[non_exhaustive]
    HostArgs {
        /// How many hosts there are.
        hosts: usize,
        /// How many entries were given.
        args: usize,
    },
    /// The placeholders in the command's text cannot be filled from a host's entry in
    /// [`host_args`](crate::Command::host_args).
    #[error("{}: {problem}", Origin::HostCommand { position: *position, name: name.clone() })]
    #[non_exhaustive]
    Template {
        /// Position of the first such host, from 0, in the host list or among the hosts of a
        /// [`Run`](crate::Run).
        position: usize,
        /// The host, as the list names it; `None` if the fleet does not know the host.
        name: Option<Arc<str>>,
        /// What is wrong with the text or the entry.
        problem: TemplateProblem,
    },
    /// A private key cannot be used (parallel-ssh: `PKeyFileError`).
    #[error("{}private key {}: {problem}", origin.prefix(), path.display())]
    #[non_exhaustive]
    KeyFile {
        /// Where the key comes from. But if the passphrase is wrong or the limit on rounds is too
        /// low, this is where that setting comes from.
        origin: Origin,
        /// The key's file, or `<bytes>` for a key given as text.
        path: PathBuf,
        /// Why the key cannot be used.
        problem: KeyProblem,
    },
    /// A certificate cannot be used (parallel-ssh: `PKeyFileError`).
    #[error("{}certificate {}: {problem}", origin.prefix(), path.display())]
    #[non_exhaustive]
    CertFile {
        /// Where the certificate comes from.
        origin: Origin,
        /// The certificate's file, or `<bytes>` for a certificate given as text.
        path: PathBuf,
        /// Why the certificate cannot be used.
        problem: CertProblem,
    },
    /// A known_hosts file exists but cannot be read, or a
    /// [file of revoked host keys](crate::config::ClientBuilder::revoked_host_keys) is missing or
    /// damaged.
    #[error("{}{error}", origin.prefix())]
    #[non_exhaustive]
    KnownHosts {
        /// Where the file's name comes from.
        origin: Origin,
        /// The file, and what is wrong with it.
        error: LoadError,
    },
    /// OpenSSH's configuration cannot be used for a host.
    #[error("{0}")]
    SshConfig(SshConfigError),
    /// A host failed while [`stop_on_errors`](crate::ReadOptions::stop_on_errors) is on (the
    /// default). This is the error of the host that failed first.
    ///
    /// The command keeps running on the other hosts, and
    /// [`last_output`](crate::ParallelClient::last_output) has their outputs.
    #[error("{0}")]
    Host(HostError),
    /// The fleet is [draining](crate::Fleet::drain).
    #[error("the fleet is draining and starts nothing new")]
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

impl From<SshConfigError> for Error {
    fn from(error: SshConfigError) -> Self {
        Self::SshConfig(error)
    }
}
