//! The settings that a client has for all hosts and a [`HostConfig`] for one: each is declared
//! once, for both.

use std::path::PathBuf;
use std::time::Duration;

use super::builder::{ClientBuilder, FleetBuilder};
use super::credentials::{Hidden, KeySource};
use super::host_config::HostConfig;
use crate::credential::{Answer, Challenge, Responder};
use crate::host::AddressFamily;

/// Makes the method `name(argument)` of [`HostConfig`], which changes it, and the same one of both
/// builders.
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

    /// Password, tried after all keys. Without a [`passphrase`](Self::passphrase) it also opens
    /// encrypted keys, as in parallel-ssh: a host's own password those that its `HostConfig` names,
    /// the client's those of the client.
    password(password: impl Into<String>) => |config| config.password = Some(Hidden::new(password.into()));

    /// Passphrase of encrypted private keys. One of a `HostConfig` also opens the keys inherited
    /// from the client.
    passphrase(passphrase: impl Into<String>) =>
        |config| config.passphrase = Some(Hidden::new(passphrase.into()));

    /// Most work that opening an encrypted private key may be, in rounds of bcrypt: `ssh-keygen`
    /// writes 16 or 24 of them, and as many as `-a` says. Each takes about 10 ms of
    /// [`build`](ClientBuilder::build). Default: 1,024; 0 is refused. For PKCS#8, 10,000 iterations
    /// of PBKDF2 count as a round; its scrypt may use 64 MiB, whatever is set here.
    kdf_rounds_max(rounds: u32) => |config| config.kdf_rounds_max = Some(rounds);

    /// Private key file, tried first (parallel-ssh: `pkey`, and `private_key` in a `HostConfig`).
    /// `~/` stands for the home directory.
    ///
    /// It is read once, by [`build`](ClientBuilder::build), however many hosts name it;
    /// parallel-ssh checks that of a `HostConfig` at connect time. Unlike in parallel-ssh, identity
    /// files and password are tried as well when the server refuses it.
    ///
    /// Ed25519, ECDSA on the three NIST curves, and RSA keys are supported, in these formats:
    /// OpenSSH's with every cipher of `ssh-keygen -Z`; PKCS#8, plain or encrypted with PBES2; PEM
    /// as `ssh-keygen -m PEM` and `openssl -traditional` write it, plain or encrypted with AES or
    /// triple DES. Other lines may surround the key. Anything else is an
    /// [`Error::KeyFile`](crate::Error::KeyFile) whose [`KeyProblem`](crate::error::KeyProblem)
    /// names what the file is, such as a key of PuTTY or of a security key, and what to do. Files
    /// of more than 64 KiB are refused.
    ///
    /// As in OpenSSH, a file of this user that other users may read or change is refused
    /// ([`KeyProblem::Exposed`](crate::error::KeyProblem::Exposed)).
    key_file(path: impl Into<PathBuf>) => |config| config.key = Some(KeySource::File(path.into()));

    /// Private key as the bytes of such a [file](Self::key_file), instead of a file.
    key_bytes(key: impl Into<Vec<u8>>) => |config| config.key = Some(KeySource::Bytes(Hidden::new(key)));

    /// Whether GSSAPI is tried, first of all methods: a Kerberos ticket, by `gssapi-with-mic` (RFC
    /// 4462). Default: `false`, unless an identity is set
    /// ([`gssapi_server_identity`](Self::gssapi_server_identity),
    /// [`gssapi_client_identity`](Self::gssapi_client_identity)), as in parallel-ssh. If it fails,
    /// the other methods follow; the log says what was wrong with the ticket.
    ///
    /// Tickets are taken where Kerberos keeps them (`KRB5CCNAME`, `krb5.conf`). The KDC is asked on
    /// a few helper threads. One that is silent delays hosts with GSSAPI only: Kerberos gives up
    /// after about half a minute, and the next method follows, unless the host's
    /// [`timeout`](Self::timeout) is over first.
    ///
    /// The libssh in use must have GSSAPI
    /// ([`SshLibrary::gssapi`](crate::fleet::SshLibrary::gssapi)), else
    /// [`build`](ClientBuilder::build) returns [`Error::Unsupported`](crate::Error::Unsupported).
    gssapi_auth(on: bool) => |config| config.gssapi_auth = Some(on);

    /// The host name in the server's Kerberos principal, for instance `web1.example.org` for
    /// `host/web1.example.org@EXAMPLE.ORG`. Default: the host as it stands in the list, also behind
    /// a proxy. Kerberos may make it canonical first (`dns_canonicalize_hostname` in `krb5.conf`).
    gssapi_server_identity(name: impl Into<String>) => |config| config.gssapi_server = Some(name.into());

    /// The Kerberos principal to log in as, chosen from the collection of tickets. Default: that of
    /// the default tickets.
    gssapi_client_identity(name: impl Into<String>) => |config| config.gssapi_client = Some(name.into());

    /// Whether the host gets a ticket to act as the user elsewhere. Default: `false`. The ticket
    /// must be forwardable.
    ///
    /// It switches nothing on by itself: where no host uses GSSAPI it is an error. parallel-ssh
    /// delegates only if an identity is set.
    gssapi_delegate_credentials(on: bool) => |config| config.gssapi_delegate = Some(on);

    /// Whether the keys of the ssh-agent are tried: after a named key, before the identity files,
    /// in the agent's order. Default: `true`. Without an agent nothing is tried.
    ///
    /// All hosts share one connection to the agent, which does not block. The keys are listed once
    /// per command, and a signature is asked for only if the host wants the key. Whatever else an
    /// agent does, a host goes on with its next credential, and the log says why; the time that an
    /// agent takes counts as the host's authentication. Certificates in the agent are offered like
    /// keys. A host gets to see every key, and may hang up after too many (sshd: `MaxAuthTries`).
    ///
    /// parallel-ssh documents it as unused, yet asks the agent once per host, and `False` in a
    /// `HostConfig` does not count.
    allow_agent(on: bool) => |config| config.allow_agent = Some(on);

    /// The socket of the ssh-agent. Default: the one that `SSH_AUTH_SOCK` names when
    /// [`build`](ClientBuilder::build) is called, or none (OpenSSH: `IdentityAgent`).
    agent_socket(path: impl Into<PathBuf>) => |config| config.agent_socket = Some(path.into());

    /// Whether commands on the host can use the ssh-agent (parallel-ssh has `forward_ssh_agent`,
    /// and ignores it). Default: `false`.
    ///
    /// Each command finds a socket in its `SSH_AUTH_SOCK`; what it asks there is answered by the
    /// agent here, over a connection of its own, of which a host can have 16 at a time.
    /// [`allow_agent`](Self::allow_agent) need not be on. Where there is no agent to forward,
    /// [`build`](ClientBuilder::build) says so. A host that does not forward (sshd:
    /// `AllowAgentForwarding no`) is not asked for an answer, as OpenSSH does not: commands then
    /// find no `SSH_AUTH_SOCK`. All hosts together can have 1,024 connections to agents, and no
    /// more than a quarter of the descriptors that this process may open; what is beyond is refused
    /// to the command that asks.
    ///
    /// Only for hosts that are trusted: while the connection lasts, whoever is `root` there can
    /// list all keys of the agent and sign with them, whatever they open. That is all, though: a
    /// request to add, remove or lock keys, or to load a PKCS#11 library, fails on the host and
    /// never reaches the agent. The agent takes the connection for one from this machine, as libssh
    /// cannot announce it as forwarded the way that OpenSSH's client does. So keys with destination
    /// constraints (`ssh-add -h`) do not work as meant: one that is for use by way of the host is
    /// refused to it, one that is for use from this machine can be used from the host, and none
    /// logs in to the host itself. `ssh-add -c` works: the agent asks before each signature.
    ///
    /// A host that leaves no room for answers in their packets makes libssh loop for ever. It fails
    /// with [`HostErrorKind::Protocol`](crate::HostErrorKind::Protocol), and a thread of this
    /// process is left asleep for as long as the process lives, with some 50 KB of memory and a
    /// descriptor. After four of these no agent is forwarded any more: channels are refused, and
    /// [`build`](ClientBuilder::build) returns [`Error::Unsupported`](crate::Error::Unsupported).
    /// Such a thread is started for the first answer on each connection, and at no other time.
    forward_ssh_agent(on: bool) => |config| config.forward_agent = Some(on);

    /// OpenSSH user certificate for the private key, such as `id_ed25519-cert.pub` (parallel-ssh:
    /// `cert_file`). It is offered first, then the key without it. `~/` stands for the home
    /// directory.
    ///
    /// It has to be for the key that [`key_file`](Self::key_file) or [`key_bytes`](Self::key_bytes)
    /// names, or, where none is named, for one of the identity files:
    /// [`build`](ClientBuilder::build) reads it and checks that
    /// ([`Error::CertFile`](crate::Error::CertFile)). Whether it is valid is for the server to say;
    /// the error of a host that refuses one names its expiry or its principals, if that is what is
    /// wrong ([`AuthProblem`](crate::error::AuthProblem)). A host inherits the client's certificate
    /// together with the client's keys: one that names keys of its own has only the certificate
    /// that it names.
    ///
    /// Without this, a certificate in `<key>-cert.pub` beside the named key or an identity file is
    /// used, as by OpenSSH; one that cannot be used is passed over, with a warning in the log.
    /// parallel-ssh offers one certificate with every key, and ignores the client's where there are
    /// `HostConfig`s.
    cert_file(path: impl Into<PathBuf>) => |config| config.certificate = Some(KeySource::File(path.into()));

    /// OpenSSH user certificate as text, instead of a [file](Self::cert_file).
    cert_bytes(certificate: impl Into<Vec<u8>>) =>
        |config| config.certificate = Some(KeySource::Bytes(Hidden::new(certificate)));

    /// Whether the identity files are tried. Default: `true`.
    identity_auth(on: bool) => |config| config.identity_auth = Some(on);

    /// The identity files, in the order in which they are tried. Default: `id_rsa`, `id_dsa`,
    /// `identity`, `id_ecdsa`, `id_ed25519` in `~/.ssh`.
    ///
    /// Files that do not exist or cannot be used are passed over; the log says which. But a file
    /// that is named here and that other users may read or change is an error, as a
    /// [`key_file`](Self::key_file) is.
    identity_files(files: impl IntoIterator<Item = impl Into<PathBuf>>) =>
        |config| config.identity_files = Some(files.into_iter().map(Into::into).collect());

    /// Whether keyboard-interactive authentication (RFC 4256) is tried, last of all. Default: only
    /// where there is a [`responder`](Self::responder).
    ///
    /// Without a responder it takes a [`password`](Self::password), as in parallel-ssh: that is
    /// given once per login, to a hidden prompt that comes alone, such as PAM's `Password: `. It is
    /// never typed where it could be shown, nor to a second prompt. A server that offers the
    /// password method as well is given it that way first, so a wrong one counts twice. What else
    /// the server asks ends in [`AuthProblem::Unanswered`](crate::error::AuthProblem::Unanswered).
    /// With neither, [`build`](ClientBuilder::build) returns an
    /// [`Error::Config`](crate::Error::Config).
    keyboard_interactive(on: bool) => |config| config.keyboard_interactive = Some(on);

    /// Who answers the questions of keyboard-interactive authentication, such as those for a
    /// one-time code. Default: nobody.
    ///
    /// It is called once for each round of prompts, and returns one [`Answer`] per prompt, in
    /// order; or `None`, to decline: then the host goes without this method. It runs in the thread
    /// that drives all hosts, all of which wait meanwhile: it must answer from what it knows. It
    /// sees every prompt, that for the password included, and takes the place of the password's
    /// automatic use. If it panics, the login goes on without it, and an error says so
    /// ([`AuthProblem::ResponderPanicked`](crate::error::AuthProblem::ResponderPanicked)).
    /// `keyboard_interactive(false)` switches it off again.
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
    /// One counter for the whole connection. An attempt that fails is followed by another one only
    /// if that can end differently:
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
    /// A server that ends a connection before it has named itself has no room for it, as sshd
    /// beyond its `MaxStartups`: that is no failed attempt either. It is tried again after a random
    /// pause, below 0.25 s at first and below twice as much each time, up to 8 s; only from the
    /// ninth such connection on they count. With `max_attempts(1)` nothing is tried again, and the
    /// first one is final.
    ///
    /// A connection that has carried a command was no failed attempt. When it is lost, the commands
    /// that wait for it have all their attempts, the first one at once.
    ///
    /// parallel-ssh counts three times, once each for connect, handshake and authentication; it
    /// repeats refused credentials, and does not repeat a refused connect.
    max_attempts(attempts: u32) => |config| config.attempts = Some(attempts);

    /// [`max_attempts`](Self::max_attempts) by parallel-ssh's name, where 0 counts as 1.
    num_retries(attempts: u32) => |config| config.attempts = Some(attempts.max(1));

    /// Pause between two attempts. Default: 5 s. Zero: none. The host's place in the pool is free
    /// meanwhile. After a connection that the server had [no room for](Self::max_attempts) the
    /// pause is another one, and shorter at first.
    retry_delay(delay: Duration) => |config| config.retry_delay = Some(delay);

    /// Exponential backoff with full jitter, up to this pause: before attempt `n` a random time
    /// between nothing and [`retry_delay`](Self::retry_delay)` * 2^(n - 1)`, at most `max`. So many
    /// hosts that fail together do not come back together. Default: `None`, each pause is the
    /// `retry_delay`.
    retry_backoff(max: impl Into<Option<Duration>>) => |config| config.retry_backoff = Some(max.into());

    /// Which addresses of a host are used, and in which order. Default: all, as the resolver orders
    /// them.
    ///
    /// A host that has only others fails with
    /// [`UnknownHostProblem::OtherFamily`](crate::error::UnknownHostProblem::OtherFamily): one that
    /// is given as an address before anything is sent, a name after its lookup.
    address_family(family: AddressFamily) => |config| config.family = Some(family);

    /// Whether IPv6 addresses alone are used (parallel-ssh: `ipv6_only`): short for
    /// [`address_family`](Self::address_family) with [`AddressFamily::V6`], or with
    /// [`AddressFamily::Any`].
    ipv6_only(on: bool) =>
        |config| config.family = Some(if on { AddressFamily::V6 } else { AddressFamily::Any });

    /// How long a connect may be pending before the host's next address is dialled beside it (RFC
    /// 8305 section 5, "Connection Attempt Delay", where 250 ms are recommended). Default: `None`,
    /// never. Less than 10 ms is refused.
    ///
    /// Without it, one address is dialled at a time: the next when the one before fails, or has had
    /// its share of the [`timeout`](Self::timeout). With it, addresses race: the next one, of the
    /// other family if there is one, is dialled after this delay at the latest, or as soon as one
    /// fails. The first to be connected is used, and the others are closed. The time limit holds
    /// for all of them together.
    ///
    /// Off by default, because it multiplies what a large fleet has under way: SYNs, descriptors of
    /// this process beyond those that the pool counts, and half-open sessions, which a server
    /// counts against its clients (sshd: `MaxStartups`). It is for names of which some addresses do
    /// not answer. Where descriptors run out, those under way go on alone. A host behind a proxy is
    /// dialled by the proxy, and does not race.
    attempt_delay(delay: impl Into<Option<Duration>>) =>
        |config| config.attempt_delay = Some(delay.into());

    /// Whether to compress what goes over the wire, both ways, where the server agrees (RFC 4253
    /// section 6.2, `zlib@openssh.com`; OpenSSH: `Compression`). Default: `false`.
    ///
    /// Off unless the network is the bottleneck: it takes 120 to 300 KiB of memory per connection,
    /// and CPU time in the one thread, and the length of compressed data tells about its content.
    /// Compression begins after the login, so that nobody but a host that is trusted can have this
    /// process inflate data, and no packet inflates beyond 256 KiB.
    compress(on: bool) => |config| config.compress = Some(on);

    /// How long a connection may be silent before the server is asked for a sign of life
    /// (parallel-ssh: `keepalive_seconds`; OpenSSH: `ServerAliveInterval`). Default: `None`, never,
    /// as in OpenSSH, so that a fleet that waits does not wake up; parallel-ssh's native client has
    /// 60 s.
    ///
    /// Whatever the server sends is a sign of life. After
    /// [`keepalive_max_missed`](Self::keepalive_max_missed) questions in a row without one, and
    /// another interval, the connection is given up: commands that run on it fail with
    /// [`HostErrorKind::PeerDead`](crate::HostErrorKind::PeerDead), commands that wait for it are
    /// tried on a new one, and without any it is made anew for the next command. In parallel-ssh no
    /// answer is asked for, so a dead server is never noticed, and the libssh client does nothing
    /// at all.
    ///
    /// Between two calls of the client nothing is sent and nobody is declared dead: a server that
    /// closes idle connections may do so then, which the next command mends.
    keepalive(interval: impl Into<Option<Duration>>) =>
        |config| config.keepalive = Some(interval.into());

    /// Keepalives in a row without a sign of life after which the server counts as dead (OpenSSH:
    /// `ServerAliveCountMax`). Default: 3; 0 is refused.
    keepalive_max_missed(count: u32) => |config| config.keepalive_max_missed = Some(count);

    /// Time limit for each stage of each host, as a total: resolving and connecting, SSH handshake,
    /// authentication, starting the command. Default: `None`, except that connect and handshake are
    /// given up after 60 s and authentication after 120 s, so that a silent peer cannot hold a
    /// place for ever.
    timeout(limit: impl Into<Option<Duration>>) => |config| config.timeout = Some(limit.into());

    /// How long a reader waits without a byte from its stream, and a writer without progress.
    /// `None`: no limit. Default: [`timeout`](Self::timeout).
    /// [`HostOutput::set_read_timeout`](crate::HostOutput::set_read_timeout) goes first.
    read_timeout(limit: impl Into<Option<Duration>>) =>
        |config| config.read_timeout = Some(limit.into());
}
