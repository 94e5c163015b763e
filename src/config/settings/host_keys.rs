//! How the keys of hosts are verified.

use std::path::PathBuf;

use super::settings;
use crate::config::builder::{ClientBuilder, FleetBuilder};
use crate::config::host_config::HostConfig;
use crate::hostkey::HostKeyPolicy;

settings! { HostConfig, FleetBuilder.client, ClientBuilder.fleet; {
    /// The policy for host keys (OpenSSH: `StrictHostKeyChecking`). Default:
    /// [`HostKeyPolicy::strict`]. parallel-ssh accepts any key.
    host_keys(policy: HostKeyPolicy) => |config| config.verification().policy = Some(policy);

    /// The known_hosts files (OpenSSH: `UserKnownHostsFile` and `GlobalKnownHostsFile`). Default:
    /// `~/.ssh/known_hosts`, `~/.ssh/known_hosts2`, `/etc/ssh/ssh_known_hosts` and
    /// `/etc/ssh/ssh_known_hosts2`. `~/` stands for the home directory.
    ///
    /// [`build`](ClientBuilder::build) reads the files, and so does
    /// [`Fleet::reload`](crate::Fleet::reload). Before a host key is refused, files that have
    /// changed are read again. Hosts with the same files share what was read, however many they
    /// are. Each host on the way to another one, that is each proxy, is verified under its own name
    /// and by its own files.
    ///
    /// A missing file counts as empty. A file that is named here and cannot be read is an error. As
    /// in OpenSSH, a default file that cannot be read is left out; the log has a warning, because a
    /// key that the file revokes may then be accepted.
    known_hosts(files: impl IntoIterator<Item = impl Into<PathBuf>>) =>
        |config| config.verification().known_hosts = Some(files.into_iter().map(Into::into).collect());

    /// Reads no known_hosts file. Host keys then depend on the policy alone
    /// ([`host_keys`](Self::host_keys)): the strict one refuses every host.
    no_known_hosts() => |config| config.verification().known_hosts = Some(Vec::new());

    /// A file of keys that are refused from every host, whatever the policy and the known_hosts
    /// files say (OpenSSH: `RevokedHostKeys`). Default: none. `~/` stands for the home directory.
    ///
    /// The file is a key revocation list as made by `ssh-keygen -k`, or a text with a public key
    /// per line. Revoked certificates in it do not matter, because libssh does not support host
    /// certificates. As in OpenSSH, no host is accepted with a file that is missing or damaged:
    /// [`build`](ClientBuilder::build) returns an error, and so does
    /// [`Fleet::reload`](crate::Fleet::reload), after which the keys that were read before stay
    /// revoked.
    ///
    /// ```
    /// use sshoal::{Error, ParallelClient};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let file = directory.path().join("revoked_keys");
    /// # std::fs::write(&file, "")?;
    /// let builder = ParallelClient::builder(["web1"]).identity_auth(false).no_known_hosts();
    /// builder.clone().revoked_host_keys(file).build()?;
    /// let missing = builder.revoked_host_keys("/etc/ssh/no_such_file").build();
    /// assert!(matches!(missing, Err(Error::KnownHosts { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    revoked_host_keys(file: impl Into<PathBuf>) =>
        |config| config.verification().revoked = Some(file.into());

    /// Whether the names of hosts are hashed in the lines that the policy records (OpenSSH:
    /// `HashKnownHosts`). Default: `false`, unless the policy is
    /// [`accept_new_hashed`](HostKeyPolicy::accept_new_hashed), which always hashes them.
    hash_known_hosts(on: bool) => |config| config.verification().hash_names = Some(on);
}}
