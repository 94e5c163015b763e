//! Why a host is not trusted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use super::key::{Fingerprint, HostKey, KeyError, KeyType};
use super::names::HostNames;
use super::printable::{Printable, PrintablePath};
use super::scan::HostScan;
use super::verdict::{Location, Verdict};
use crate::text::shell_word;

/// Why a host key was not accepted.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostKeyProblem {
    /// No key is on record for the host, only a certificate authority (`@cert-authority`). OpenSSH
    /// would accept a host certificate of the authority, but libssh does not support host
    /// certificates.
    AuthorityOnly {
        /// The line with the authority.
        authority: Location,
    },
    /// The new key could not be written to the file of the accept-new policy.
    CannotRecord {
        /// The file.
        path: PathBuf,
        /// Why it could not be written.
        error: io::Error,
    },
    /// Another key of the same type is on record for the host.
    Changed,
    /// The bytes that the host sent are not a valid key.
    Malformed(KeyError),
    /// The key's fingerprint is not pinned for the host.
    NotPinned,
    /// Only keys of other types are on record for the host.
    OtherType {
        /// The types on record.
        recorded: Vec<KeyType>,
    },
    /// The callback of the policy panicked.
    Panicked,
    /// The callback of the policy refused the key.
    Refused,
    /// A `@revoked` line forbids the key.
    Revoked,
    /// The host's RSA key is shorter than
    /// [`required_rsa_size`](crate::config::ClientBuilder::required_rsa_size).
    #[non_exhaustive]
    TooShort {
        /// How many bits the key has.
        bits: usize,
        /// How many it must have.
        required: usize,
    },
    /// The key is in a [file of revoked keys](crate::config::ClientBuilder::revoked_host_keys).
    RevokedByFile {
        /// The file.
        path: PathBuf,
    },
    /// No key is on record for the host.
    Unknown,
}

/// Says what is wrong without the key, the host or a file: equal for hosts with the same problem.
impl fmt::Display for HostKeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuthorityOnly { .. } => {
                "only a certificate authority is on record, and host certificates are not supported"
            }
            Self::CannotRecord { error, .. } => {
                return write!(f, "the new host key cannot be recorded: {error}");
            }
            Self::Changed => "the host key has changed",
            Self::Malformed(error) => return write!(f, "the host key cannot be read: {error}"),
            Self::NotPinned => "the host key is not among the pinned ones",
            Self::OtherType { .. } => "only host keys of other types are on record",
            Self::Panicked => "the host key callback panicked",
            Self::Refused => "the host key callback refused the key",
            Self::Revoked | Self::RevokedByFile { .. } => "the host key is revoked",
            Self::TooShort { .. } => "the host key has fewer bits than required_rsa_size",
            Self::Unknown => "the host key is not known",
        })
    }
}

/// A host whose key was not accepted. No credential has been sent to it.
#[derive(Debug)]
pub struct HostKeyError(Box<Detail>);

#[derive(Debug)]
struct Detail {
    host: String,
    port: u16,
    problem: HostKeyProblem,
    key: Option<(KeyType, Fingerprint)>,
    location: Option<Location>,
    /// The known_hosts file to which the key can be added.
    file: Option<Arc<Path>>,
}

impl HostKeyError {
    pub(super) fn new(host: &str, port: u16, key: Option<&HostKey>, problem: HostKeyProblem) -> Self {
        Self(Box::new(Detail {
            host: host.to_owned(),
            port,
            problem,
            key: key.map(|key| (key.key_type(), key.fingerprint())),
            location: None,
            file: None,
        }))
    }

    /// The error for the final `verdict` on the key of a search. A new key can be added to `file`.
    pub(super) fn from_verdict(
        host: &str,
        port: u16,
        scan: &HostScan,
        verdict: &Verdict,
        file: Option<&Arc<Path>>,
    ) -> Self {
        let (problem, location) = match verdict {
            Verdict::Changed { locations } => (HostKeyProblem::Changed, locations.first()),
            Verdict::OtherType { recorded } => {
                let mut types = recorded.iter().map(|(key_type, _)| *key_type).collect::<Vec<_>>();
                types.sort_unstable();
                types.dedup();
                let location = recorded.first().map(|(_, location)| location);
                (HostKeyProblem::OtherType { recorded: types }, location)
            }
            Verdict::Revoked { location } => (HostKeyProblem::Revoked, Some(location)),
            Verdict::Known { .. } | Verdict::Unknown => match scan.authority() {
                Some(authority) => (HostKeyProblem::AuthorityOnly { authority: authority.clone() }, None),
                None => (HostKeyProblem::Unknown, None),
            },
        };
        let mut error = Self::new(host, port, Some(scan.key()), problem);
        error.0.location = location.cloned();
        error.0.file = file.cloned();
        error
    }

    /// The host as the caller named it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The host's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Why the key was not accepted.
    #[must_use]
    pub fn problem(&self) -> &HostKeyProblem {
        &self.0.problem
    }

    /// The type of the key that the host sent, for example `ssh-ed25519`; `None` if the key is
    /// malformed.
    #[must_use]
    pub fn algorithm(&self) -> Option<&'static str> {
        self.0.key.map(|(key_type, _)| key_type.name())
    }

    /// The fingerprint of the key that the host sent; `None` if the key is malformed.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.0.key.map(|(_, fingerprint)| fingerprint)
    }

    /// The `known_hosts` line that forbids the key: a line with another key, or a `@revoked` line.
    #[must_use]
    pub fn location(&self) -> Option<&Location> {
        self.0.location.as_ref()
    }
}

impl std::error::Error for HostKeyError {}

/// Formats the error as one sentence that names the key, the line that forbids it, and what to do.
impl fmt::Display for HostKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = &*self.0;
        let host = Printable(&detail.host);
        match detail.port {
            22 => write!(f, "host key of {host}")?,
            port if detail.host.contains(':') => write!(f, "host key of [{host}]:{port}")?,
            port => write!(f, "host key of {host}:{port}")?,
        }
        if let Some((key_type, fingerprint)) = &detail.key {
            write!(f, " ({key_type} {fingerprint})")?;
        }
        match &detail.problem {
            HostKeyProblem::AuthorityOnly { authority } => detail.write_authority(f, authority),
            HostKeyProblem::CannotRecord { path, error } => {
                write!(f, " is new but cannot be recorded in {}: {error}", PrintablePath(path))
            }
            HostKeyProblem::Changed => detail.write_changed(f),
            HostKeyProblem::Malformed(error) => write!(f, " cannot be read: {error}"),
            HostKeyProblem::NotPinned => f.write_str(" is not among the keys pinned for this host"),
            HostKeyProblem::OtherType { recorded } => detail.write_other_type(f, recorded),
            HostKeyProblem::Panicked => f.write_str(" was not accepted: the host key callback panicked"),
            HostKeyProblem::Refused => f.write_str(" was refused by the host key callback"),
            HostKeyProblem::Revoked => {
                f.write_str(" is revoked")?;
                detail.write_location(f, " by ")?;
                f.write_str("; the host may be using a stolen key")
            }
            HostKeyProblem::RevokedByFile { path } => {
                write!(f, " is revoked by {}; the host may be using a stolen key", PrintablePath(path))
            }
            HostKeyProblem::TooShort { bits, required } => {
                write!(f, " has {bits} bits, fewer than the {required} of required_rsa_size; let the host")?;
                f.write_str(" have a longer key, or one of another type")
            }
            HostKeyProblem::Unknown => detail.write_unknown(f),
        }
    }
}

impl Detail {
    fn write_location(&self, f: &mut fmt::Formatter<'_>, before: &str) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "{before}{}", location),
            None => Ok(()),
        }
    }

    fn write_changed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" has changed: another key is on record")?;
        self.write_location(f, " in ")?;
        f.write_str("; someone may be intercepting the connection")?;
        let names = HostNames::new(&self.host, self.port);
        if let Some(location) = self.location.as_ref().filter(|_| names.recordable()) {
            let file = shell_word(location.path());
            write!(f, "; if the change is genuine, remove the old key with")?;
            write!(f, " `ssh-keygen -R '{}' -f {file}`", names.exact())?;
        }
        Ok(())
    }

    fn write_other_type(&self, f: &mut fmt::Formatter<'_>, recorded: &[KeyType]) -> fmt::Result {
        f.write_str(" is not on record, but a key of another type is:")?;
        for (position, key_type) in recorded.iter().enumerate() {
            write!(f, "{} {key_type}", if position == 0 { "" } else { "," })?;
        }
        self.write_location(f, " in ")?;
        f.write_str("; check the fingerprint and add the key, or let the server offer the recorded type")
    }

    fn write_unknown(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" is not known; check the fingerprint with the host's administrator, then ")?;
        let names = HostNames::new(&self.host, self.port);
        match &self.file {
            _ if !names.recordable() => f.write_str("pin it with HostKeyPolicy::pinned")?,
            Some(_) => self.write_scan(f, &names, "add the key")?,
            None => f.write_str("add the key to a file that known_hosts names")?,
        }
        if names.recordable() {
            f.write_str("; HostKeyPolicy::accept_new would trust the first key of each new host")?;
        }
        Ok(())
    }

    fn write_authority(&self, f: &mut fmt::Formatter<'_>, authority: &Location) -> fmt::Result {
        write!(f, " is not on record: {authority} only names a certificate authority for the host, and")?;
        f.write_str(" libssh does not support host certificates; check the fingerprint, then ")?;
        let names = HostNames::new(&self.host, self.port);
        match names.recordable() {
            false => f.write_str("pin the key with HostKeyPolicy::pinned"),
            true => {
                self.write_scan(f, &names, "record the host's plain key")?;
                f.write_str(", or let HostKeyPolicy::accept_new record it")
            }
        }
    }

    /// Writes what is to be done, and a command that does it.
    fn write_scan(&self, f: &mut fmt::Formatter<'_>, names: &HostNames, what: &str) -> fmt::Result {
        write!(f, "{what}, for example with `ssh-keyscan ")?;
        if names.fallback().is_some() {
            write!(f, "-p {} ", self.port)?;
        }
        write!(f, "'{}'", names.bare())?;
        self.file.as_ref().map_or(Ok(()), |file| write!(f, " >> {}", shell_word(file)))?;
        f.write_str("`")
    }
}
