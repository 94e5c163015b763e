//! The settings that a client has for all hosts and a [`HostConfig`] for one: each is declared once, for both.

use std::path::PathBuf;
use std::time::Duration;

use super::builder::ClientBuilder;
use super::credentials::{Hidden, KeySource};
use super::host_config::HostConfig;

/// Makes the method `name(argument)` of [`HostConfig`], which sets `field`, and the same one of [`ClientBuilder`].
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident($argument:ident: $type:ty) => $field:ident = $value:expr;)*) => {
        impl HostConfig {
            $($(#[$doc])*
            pub fn $name(mut self, $argument: $type) -> Self {
                self.$field = Some($value);
                self
            })*
        }

        impl ClientBuilder {
            $($(#[$doc])*
            pub fn $name(mut self, $argument: $type) -> Self {
                self.client = self.client.$name($argument);
                self
            })*
        }
    };
}

settings! {
    /// Login name for hosts whose entry in the list names none. Default: the owner of this process (`geteuid`).
    user(name: impl Into<String>) => user = name.into();

    /// Port for hosts whose entry in the list names none. Default: 22. 0 is refused.
    port(port: u16) => port = port;

    /// Password, tried last. Without a [`passphrase`](Self::passphrase) it also opens encrypted keys, as in parallel-ssh:
    /// a host's own password those that its `HostConfig` names, the client's those of the client.
    password(password: impl Into<String>) => password = Hidden::new(password.into());

    /// Passphrase of encrypted private keys. One of a `HostConfig` also opens the keys inherited from the client.
    passphrase(passphrase: impl Into<String>) => passphrase = Hidden::new(passphrase.into());

    /// Private key file, tried first (parallel-ssh: `pkey`, and `private_key` in a `HostConfig`). `~/` stands for the home
    /// directory.
    ///
    /// It is read once, by [`build`](ClientBuilder::build), however many hosts name it; parallel-ssh checks that of a
    /// `HostConfig` at connect time. Unlike in parallel-ssh, identity files and password are tried as well when the server
    /// refuses it.
    key_file(path: impl Into<PathBuf>) => key = KeySource::File(path.into());

    /// Private key as text (OpenSSH, PEM or PKCS#8), instead of a file.
    key_bytes(key: impl Into<Vec<u8>>) => key = KeySource::Bytes(Hidden::new(key));

    /// Whether the identity files are tried. Default: `true`.
    identity_auth(on: bool) => identity_auth = on;

    /// The identity files, in the order in which they are tried. Default: `id_rsa`, `id_dsa`, `identity`, `id_ecdsa`,
    /// `id_ed25519` in `~/.ssh`.
    ///
    /// Files that do not exist or cannot be used are passed over; the log says which.
    identity_files(files: impl IntoIterator<Item = impl Into<PathBuf>>) =>
        identity_files = files.into_iter().map(Into::into).collect();

    /// Connection attempts per host. Default: 3; 0 counts as 1.
    ///
    /// One counter for the whole connection. What cannot end differently is not tried again: a refused credential, a
    /// mistrusted host key, no common algorithm. A command that may have started is never sent twice.
    num_retries(attempts: u32) => attempts = attempts;

    /// Pause between two attempts. Default: 5 s. Zero: none. The host's place in the pool is free meanwhile.
    retry_delay(delay: Duration) => retry_delay = delay;

    /// Time limit for each stage of each host, as a total: resolving and connecting, SSH handshake, authentication,
    /// starting the command. Default, and zero: none, except that connect and handshake are given up after 60 s and
    /// authentication after 120 s, so that a silent peer cannot hold a place for ever.
    timeout(limit: Duration) => timeout = limit;

    /// How long a reader waits without a byte from its stream, and a writer without progress. Zero: no limit.
    /// Default: [`timeout`](Self::timeout). [`Command::read_timeout`](crate::Command::read_timeout) goes first.
    read_timeout(limit: Duration) => read_timeout = limit;
}
