//! The settings that a client has for all hosts and a [`HostConfig`] for one: each is declared
//! once, for both.

use std::path::PathBuf;
use std::time::Duration;

use super::builder::{ClientBuilder, FleetBuilder};
use super::credentials::{Hidden, KeySource};
use super::host_config::HostConfig;
use crate::credential::{Answer, Challenge, Responder};
use crate::host::AddressFamily;

/// Makes the method `name(argument)` of [`HostConfig`] and of both builders.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident($argument:ident: $type:ty) => |$config:ident| $change:expr;)*) => {
        impl HostConfig {
            $($(#[$doc])*
            pub fn $name(mut self, $argument: $type) -> Self {
                let $config = &mut self;
                $change;
                self
            })*
        }

        impl FleetBuilder {
            $($(#[$doc])*
            pub fn $name(mut self, $argument: $type) -> Self {
                self.client = self.client.$name($argument);
                self
            })*
        }

        impl ClientBuilder {
            $($(#[$doc])*
            pub fn $name(mut self, $argument: $type) -> Self {
                self.fleet = self.fleet.$name($argument);
                self
            })*
        }
    };
}

pub(super) use settings;

settings! {
    /// Login name for hosts whose entry in the list names none. Default: the owner of this process
    /// (`geteuid`).
    user(name: impl Into<String>) => |config| config.user = Some(name.into());

    /// Port for hosts whose entry in the list names none. Default: 22. 0 is refused.
    port(port: u16) => |config| config.port = Some(port);

    /// Password, tried after all keys. Without a [`passphrase`](Self::passphrase) it also decrypts
    /// private keys, as in parallel-ssh: a host's own password those of its `HostConfig`, the
    /// client's password those of the client.
    password(password: impl Into<String>) => |config| config.password = Some(Hidden::new(password.into()));

    /// Passphrase of encrypted private keys. That of a `HostConfig` also decrypts keys inherited
    /// from the client.
    passphrase(passphrase: impl Into<String>) =>
        |config| config.passphrase = Some(Hidden::new(passphrase.into()));

    /// Limit on the work of decrypting a private key, in rounds of bcrypt: `ssh-keygen` uses 16 or
    /// 24, or the number given with `-a`. Each takes [`build`](ClientBuilder::build) about 10 ms.
    /// Default: 1,024; 0 is refused. For PKCS#8, 10,000 iterations of PBKDF2 count as one round;
    /// scrypt may always use 64 MiB.
    kdf_rounds_max(rounds: u32) => |config| config.kdf_rounds_max = Some(rounds);

    /// Private key file, tried first (parallel-ssh: `pkey`, and `private_key` in a `HostConfig`).
    /// `~/` stands for the home directory.
    ///
    /// [`build`](ClientBuilder::build) reads it once, however many hosts name it; parallel-ssh
    /// reads that of a `HostConfig` at connect time. Unlike in parallel-ssh, identity files and
    /// password are tried as well if the server refuses it.
    ///
    /// Ed25519, ECDSA on the three NIST curves, and RSA keys are supported, in these formats:
    /// OpenSSH's with every cipher of `ssh-keygen -Z`; PKCS#8, plain or encrypted with PBES2; PEM
    /// as `ssh-keygen -m PEM` and `openssl -traditional` write it, plain or encrypted with AES or
    /// triple DES. Other lines may surround the key. Any other content is an
    /// [`Error::KeyFile`](crate::Error::KeyFile) whose [`KeyProblem`](crate::error::KeyProblem)
    /// says what the file is, such as a key of PuTTY or of a security key, and what to do. Files
    /// of more than 64 KiB are refused.
    ///
    /// As in OpenSSH, a file of this user that other users can access is refused
    /// ([`KeyProblem::Exposed`](crate::error::KeyProblem::Exposed)).
    key_file(path: impl Into<PathBuf>) => |config| config.key = Some(KeySource::File(path.into()));

    /// Private key as the content of such a [file](Self::key_file).
    key_bytes(key: impl Into<Vec<u8>>) => |config| config.key = Some(KeySource::Bytes(Hidden::new(key)));

    /// Whether GSSAPI is tried, before all other methods: a Kerberos ticket, by `gssapi-with-mic`
    /// (RFC 4462). Default: `false`, unless an identity is set
    /// ([`gssapi_server_identity`](Self::gssapi_server_identity),
    /// [`gssapi_client_identity`](Self::gssapi_client_identity)), as in parallel-ssh. If it fails,
    /// the other methods follow; the log has the reason.
    ///
    /// Tickets come from the usual place (`KRB5CCNAME`, `krb5.conf`). A few helper threads talk to
    /// the KDC. A KDC that does not answer delays only hosts with GSSAPI: Kerberos gives up after
    /// about half a minute, and the next method follows, unless the host's
    /// [`timeout`](Self::timeout) expires first.
    ///
    /// The libssh in use must have GSSAPI
    /// ([`SshLibrary::gssapi`](crate::fleet::SshLibrary::gssapi)), else
    /// [`build`](ClientBuilder::build) returns [`Error::Unsupported`](crate::Error::Unsupported).
    gssapi_auth(on: bool) => |config| config.gssapi_auth = Some(on);

    /// The host name in the server's Kerberos principal, for instance `web1.example.org` for
    /// `host/web1.example.org@EXAMPLE.ORG`. Default: the name that is connected to, also behind a
    /// proxy. Kerberos may canonicalize it (`dns_canonicalize_hostname` in `krb5.conf`).
    gssapi_server_identity(name: impl Into<String>) => |config| config.gssapi_server = Some(name.into());

    /// The Kerberos principal to log in as, from the credential cache collection. Default: that of
    /// the default cache.
    gssapi_client_identity(name: impl Into<String>) => |config| config.gssapi_client = Some(name.into());

    /// Whether credentials are delegated to the host. Default: `false`. The ticket must be
    /// forwardable.
    ///
    /// It does not enable GSSAPI: without a host that uses GSSAPI it is an error. parallel-ssh
    /// delegates only if an identity is set.
    gssapi_delegate_credentials(on: bool) => |config| config.gssapi_delegate = Some(on);

    /// Whether the keys of the ssh-agent are tried: after a named key, before the identity files,
    /// in the agent's order. Default: `true`. Without an agent nothing is tried.
    ///
    /// All hosts share one non-blocking connection to the agent. Keys are listed once per command,
    /// and a signature is requested only if the host accepts the key. If the agent fails, a host
    /// continues with its next credential, and the log has the reason; the agent's time counts
    /// towards the host's authentication. Certificates in the agent are offered like keys. Each key
    /// is offered to the host, which may disconnect after too many (sshd: `MaxAuthTries`).
    ///
    /// parallel-ssh documents it as unused, yet asks the agent once per host, and ignores `False`
    /// in a `HostConfig`.
    allow_agent(on: bool) => |config| config.allow_agent = Some(on);

    /// The socket of the ssh-agent. Default: `SSH_AUTH_SOCK` at the time of
    /// [`build`](ClientBuilder::build), if set (OpenSSH: `IdentityAgent`).
    agent_socket(path: impl Into<PathBuf>) => |config| config.agent_socket = Some(path.into());

    /// Whether commands on the host can use the ssh-agent (parallel-ssh has `forward_ssh_agent`,
    /// and ignores it). Default: `false`.
    ///
    /// Each command has a socket in its `SSH_AUTH_SOCK` that leads to the local agent. A host can
    /// have 16 connections to it at a time. [`allow_agent`](Self::allow_agent) need not be on.
    /// Without an agent, [`build`](ClientBuilder::build) returns an error. On a host that does not
    /// forward (sshd: `AllowAgentForwarding no`) commands have no `SSH_AUTH_SOCK`; as in OpenSSH,
    /// that is not reported. All hosts together can have 1,024 connections to agents, and at most a
    /// quarter of the descriptors of this process; further connections are refused.
    ///
    /// Only for trusted hosts: while the connection lasts, `root` there can list all keys of the
    /// agent and sign with them. Other requests, to add, remove or lock keys or to load a PKCS#11
    /// library, fail on the host and never reach the agent. The agent sees a local connection,
    /// since libssh cannot mark it as forwarded the way OpenSSH's client does. So keys with
    /// destination constraints (`ssh-add -h`) do not work as intended: a key for use via the host
    /// is refused to it, a key for local use can be used from the host, and none logs in to the
    /// host itself. `ssh-add -c` works: the agent asks before each signature.
    ///
    /// A host whose maximum packet size leaves no room for an answer makes libssh loop for ever.
    /// Such a host fails with [`HostErrorKind::Protocol`](crate::HostErrorKind::Protocol), and
    /// leaves a sleeping thread for the life of the process, with some 50 KB of memory and a
    /// descriptor. After four of them agent forwarding is disabled: channels are refused, and
    /// [`build`](ClientBuilder::build) returns [`Error::Unsupported`](crate::Error::Unsupported).
    /// The thread is started for the first answer on each connection.
    forward_ssh_agent(on: bool) => |config| config.forward_agent = Some(on);

    /// OpenSSH user certificate for the private key, such as `id_ed25519-cert.pub` (parallel-ssh:
    /// `cert_file`). It is offered first, then the key without it. `~/` stands for the home
    /// directory.
    ///
    /// It must belong to the key that [`key_file`](Self::key_file) or
    /// [`key_bytes`](Self::key_bytes) names, or, where none is named, to one of the identity files:
    /// [`build`](ClientBuilder::build) reads it and checks that
    /// ([`Error::CertFile`](crate::Error::CertFile)). Only the server decides whether it is valid;
    /// if it refuses the certificate, the error names the expiry or the principals where they are
    /// the reason ([`AuthProblem`](crate::error::AuthProblem)). A host inherits the client's
    /// certificate only together with the client's keys.
    ///
    /// Without this, `<key>-cert.pub` beside the named key or an identity file is used, as in
    /// OpenSSH; an unusable one is skipped with a warning in the log. parallel-ssh offers one
    /// certificate with every key, and ignores the client's where there are `HostConfig`s.
    cert_file(path: impl Into<PathBuf>) => |config| config.certificate = Some(KeySource::File(path.into()));

    /// OpenSSH user certificate as the content of such a [file](Self::cert_file).
    cert_bytes(certificate: impl Into<Vec<u8>>) =>
        |config| config.certificate = Some(KeySource::Bytes(Hidden::new(certificate)));

    /// Whether the identity files are tried. Default: `true`.
    identity_auth(on: bool) => |config| config.identity_auth = Some(on);

    /// The identity files, in the order in which they are tried. Default: `id_rsa`, `id_dsa`,
    /// `identity`, `id_ecdsa`, `id_ed25519` in `~/.ssh`.
    ///
    /// Files that do not exist or cannot be used are skipped; the log says which. A file named here
    /// that other users can access is an error, as for [`key_file`](Self::key_file).
    identity_files(files: impl IntoIterator<Item = impl Into<PathBuf>>) =>
        |config| config.identity_files = Some(files.into_iter().map(Into::into).collect());

    /// Whether keyboard-interactive authentication (RFC 4256) is tried, last of all. Default: only
    /// where there is a [`responder`](Self::responder).
    ///
    /// Without a responder it needs a [`password`](Self::password), as in parallel-ssh. That
    /// answers a single hidden prompt, such as PAM's `Password: `, once per login, and never a
    /// prompt that echoes. If the server offers the password method too, that comes first, so a
    /// wrong password counts twice. Any other prompt fails with
    /// [`AuthProblem::Unanswered`](crate::error::AuthProblem::Unanswered). With neither,
    /// [`build`](ClientBuilder::build) returns an [`Error::Config`](crate::Error::Config).
    keyboard_interactive(on: bool) => |config| config.keyboard_interactive = Some(on);

    /// A function that answers the prompts of keyboard-interactive authentication, such as those
    /// for a one-time code. Default: none.
    ///
    /// It is called for each round of prompts, and returns one [`Answer`] per prompt, in order; or
    /// `None`, to decline: then the method is skipped for this host. It runs in the thread that
    /// drives all hosts, so it must not block. It receives every prompt, including that for the
    /// password, which is no longer answered automatically. If it panics, the login continues with
    /// the next method, and the error says so
    /// ([`AuthProblem::ResponderPanicked`](crate::error::AuthProblem::ResponderPanicked)).
    /// `keyboard_interactive(false)` disables it.
    ///
    /// ```
    /// use sshoal::ParallelClient;
    /// use sshoal::config::Challenge;
    ///
    /// # fn main() -> Result<(), sshoal::Error> {
    /// # let none: [&str; 0] = [];
    /// let answer = |challenge: &Challenge<'_>| {
    ///     let answers = challenge.prompts.iter().map(|prompt| match prompt.text.as_str() {
    ///         "Password: " if !prompt.echo => Some("correct horse".into()),
    ///         "Verification code: " => Some("271828".into()),
    ///         _ => None,
    ///     });
    ///     answers.collect()
    /// };
    /// let client = ParallelClient::builder(["web1"]).responder(answer)
    /// #   .known_hosts(none).identity_auth(false)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    responder(respond: impl Fn(&Challenge<'_>) -> Option<Vec<Answer>> + Send + Sync + 'static) =>
        |config| config.responder = Some(Responder::new(respond));

    /// Connection attempts per host (parallel-ssh: `num_retries`). Default: 3; 0 is refused.
    ///
    /// There is one counter per connection. A failed attempt is repeated only if another one can
    /// succeed:
    ///
    /// | stage | tried again | final |
    /// |---|---|---|
    /// | resolving | no such name, no answer of the resolver, timeout | only addresses of the wrong [family](Self::address_family) |
    /// | connecting | refused, unreachable, reset, timeout: every address of the name in each attempt | |
    /// | SSH handshake | connection lost, disconnected, timeout | not an SSH server, no common algorithm, altered data, a host key that is not trusted |
    /// | authentication | connection lost, timeout, disconnected for another reason than the user or the credentials | no credential accepted |
    /// | opening the channel | connection lost, disconnected, [peer dead](Self::keepalive) | refused by the server, timeout |
    /// | from the request on | | everything: the command may have started, and is never sent twice |
    ///
    /// A server that closes the connection before its banner is busy, like sshd beyond its
    /// `MaxStartups`; that does not count as an attempt. It is tried again after a random pause,
    /// below 0.25 s at first and doubling up to 8 s; from the ninth time on it counts. With
    /// `max_attempts(1)` the first such close is final.
    ///
    /// When a connection that has run a command is lost, waiting commands have all their attempts,
    /// the first one at once.
    ///
    /// parallel-ssh has three counters, for connect, handshake and authentication; it repeats
    /// refused credentials, but not a refused connect.
    max_attempts(attempts: u32) => |config| config.attempts = Some(attempts);

    /// [`max_attempts`](Self::max_attempts) by parallel-ssh's name, where 0 counts as 1.
    num_retries(attempts: u32) => |config| config.attempts = Some(attempts.max(1));

    /// Pause between two attempts. Default: 5 s; zero: none. Meanwhile the host's place in the pool
    /// is free. The pause after a [busy](Self::max_attempts) server is different, and shorter at
    /// first.
    retry_delay(delay: Duration) => |config| config.retry_delay = Some(delay);

    /// Exponential backoff with full jitter, up to this pause: before attempt `n` a random time
    /// between nothing and [`retry_delay`](Self::retry_delay)` * 2^(n - 1)`, at most `max`. So
    /// hosts that fail together do not retry together. Default: `None`, each pause is the
    /// `retry_delay`.
    retry_backoff(max: impl Into<Option<Duration>>) => |config| config.retry_backoff = Some(max.into());

    /// Which addresses of a host are used, and in which order. Default: all, in the order of the
    /// resolver.
    ///
    /// A host that has no such address fails with
    /// [`UnknownHostProblem::OtherFamily`](crate::error::UnknownHostProblem::OtherFamily): an
    /// address at once, a name after its lookup.
    address_family(family: AddressFamily) => |config| config.family = Some(family);

    /// Whether only IPv6 addresses are used (parallel-ssh: `ipv6_only`): short for
    /// [`address_family`](Self::address_family) with [`AddressFamily::V6`], or with
    /// [`AddressFamily::Any`].
    ipv6_only(on: bool) =>
        |config| config.family = Some(if on { AddressFamily::V6 } else { AddressFamily::Any });

    /// How long a connect may be pending before the host's next address is tried in parallel (RFC
    /// 8305 section 5, "Connection Attempt Delay", where 250 ms are recommended). Default: `None`,
    /// never. Less than 10 ms is refused.
    ///
    /// Without it, one address is tried at a time: the next when the previous one fails or has used
    /// its share of the [`timeout`](Self::timeout). With it, addresses race (Happy Eyeballs): the
    /// next one, of the other family if possible, is tried after this delay or as soon as one
    /// fails. The first to connect is used, the others are closed. The time limit is the total for
    /// all of them.
    ///
    /// Off by default, because it multiplies the load of a large fleet: SYNs, descriptors beyond
    /// those that the pool counts, and half-open sessions, which count towards limits of the server
    /// (sshd: `MaxStartups`). Use it for names with addresses that do not answer. When descriptors
    /// run out, no further address is tried. Hosts behind a proxy do not race: the proxy connects
    /// to them.
    attempt_delay(delay: impl Into<Option<Duration>>) =>
        |config| config.attempt_delay = Some(delay.into());

    /// Whether to compress the connection, in both directions, if the server agrees (RFC 4253
    /// section 6.2, `zlib@openssh.com`; OpenSSH: `Compression`). Default: `false`.
    ///
    /// Useful only if the network is the bottleneck: it costs 120 to 300 KiB of memory per
    /// connection and CPU time in the one thread, and the length of compressed data reveals
    /// something about its content. Compression begins after the login, so that only a trusted host
    /// can make this process inflate data. No packet inflates beyond 256 KiB.
    compress(on: bool) => |config| config.compress = Some(on);

    /// How long a connection may be idle before a keepalive is sent (parallel-ssh:
    /// `keepalive_seconds`; OpenSSH: `ServerAliveInterval`). Default: `None`, never, as in OpenSSH,
    /// so that an idle fleet does not wake up; parallel-ssh's native client has 60 s.
    ///
    /// Any packet from the server counts as an answer. After
    /// [`keepalive_max_missed`](Self::keepalive_max_missed) keepalives without one, and another
    /// interval, the connection is given up: its running commands fail with
    /// [`HostErrorKind::PeerDead`](crate::HostErrorKind::PeerDead), and waiting commands get a new
    /// connection. parallel-ssh requests no answer, so it never notices a dead server, and its
    /// libssh client sends nothing.
    ///
    /// Between two calls of a client no keepalives are sent, and a server may close the idle
    /// connection; the next command then connects again.
    keepalive(interval: impl Into<Option<Duration>>) =>
        |config| config.keepalive = Some(interval.into());

    /// Unanswered keepalives in a row after which the connection is given up (OpenSSH:
    /// `ServerAliveCountMax`). Default: 3; 0 is refused.
    keepalive_max_missed(count: u32) => |config| config.keepalive_max_missed = Some(count);

    /// Time limit for each stage of each host, as a total: resolving and connecting, SSH handshake,
    /// authentication, starting the command. Default: `None`, no limit, except 60 s for connecting
    /// and for the handshake and 120 s for authentication, so that a silent peer cannot occupy a
    /// place for ever.
    timeout(limit: impl Into<Option<Duration>>) => |config| config.timeout = Some(limit.into());

    /// How long a reader waits without a byte from its stream, and a writer without progress.
    /// `None`: no limit. Default: [`timeout`](Self::timeout).
    /// [`HostOutput::set_read_timeout`](crate::HostOutput::set_read_timeout) goes first.
    read_timeout(limit: impl Into<Option<Duration>>) =>
        |config| config.read_timeout = Some(limit.into());
}
