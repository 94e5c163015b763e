//! The settings for logins.

use std::path::PathBuf;

use super::settings;
use crate::config::builder::{ClientBuilder, FleetBuilder};
use crate::config::credentials::{Hidden, KeySource};
use crate::config::host_config::HostConfig;
use crate::credential::{Answer, Challenge, Responder};
use crate::error::AuthMethod;

settings! { HostConfig, FleetBuilder.client, ClientBuilder.fleet; {
    /// Login name for hosts whose list entry does not name one. Default: the owner of this process
    /// (`geteuid`).
    ///
    /// Every name that OpenSSH accepts is accepted, such as `CORP\deploy` or `John Doe`, but not
    /// for [GSSAPI](Self::gssapi_auth), for which libssh accepts fewer names.
    user(name: impl Into<String>) => |config| config.user = Some(name.into());

    /// Password, tried after all keys. Without a [`passphrase`](Self::passphrase), the password
    /// also decrypts private keys, as in parallel-ssh. A password in a `HostConfig` decrypts only
    /// the keys in that `HostConfig`, not those inherited from the client.
    password(password: impl Into<String>) => |config| config.password = Some(Hidden::new(password.into()));

    /// Whether a password that no host has accepted yet is sent to one host at a time, so that a
    /// wrong one does not lock the account. Default: `true`.
    ///
    /// It applies to [`password`](Self::password), also where keyboard-interactive sends it, to the
    /// passwords of proxies, and to [`sudo_password`](crate::Command::sudo_password). Equal
    /// passwords of the same user are one password, wherever they are set; answers of a
    /// [`responder`](Self::responder) are not guarded.
    ///
    /// The first host that has to send the password tries it, and the others wait, connected, for
    /// its answer. If the host accepts the password, all others send it too, and the password is
    /// never on trial again in this client. If the host refuses it, one more host tries it. After
    /// two refusals no host gets the password any more: the others continue with the next
    /// credential, if there is one, and else fail with [`AuthProblem::PasswordWithheld`] or
    /// [`ChannelProblem::SudoPasswordWithheld`], which name the two hosts. To try the password
    /// again, build a new client.
    ///
    /// A host that fails before it has answered passes the trial on. If a host takes longer than 5
    /// s, a second one begins beside it. The wait ends after twice the time limit of a login
    /// ([`TimeoutKind::Trial`]). Fleets of [`build_many`](crate::config::FleetBuilder::build_many)
    /// do not know of each other.
    ///
    /// [`AuthProblem::PasswordWithheld`]: crate::error::AuthProblem::PasswordWithheld
    /// [`ChannelProblem::SudoPasswordWithheld`]: crate::error::ChannelProblem::SudoPasswordWithheld
    /// [`TimeoutKind::Trial`]: crate::error::TimeoutKind::Trial
    guard_passwords(on: bool) => |config| config.guard_passwords = Some(on);

    /// Passphrase of encrypted private keys. A passphrase in a `HostConfig` also decrypts keys
    /// inherited from the client.
    passphrase(passphrase: impl Into<String>) =>
        |config| config.passphrase = Some(Hidden::new(passphrase.into()));

    /// Limit on the work of decrypting a private key, in rounds of bcrypt. `ssh-keygen` uses 16 or
    /// 24 rounds unless `-a` sets another number. Each round takes [`build`](ClientBuilder::build)
    /// about 10 ms. Default: 1,024; 0 is rejected. For PKCS#8, 10,000 iterations of PBKDF2 count as
    /// one round; scrypt may use 64 MiB, whatever this limit is.
    kdf_rounds_max(rounds: u32) => |config| config.kdf_rounds_max = Some(rounds);

    /// Private key file, tried first (parallel-ssh: `pkey`, and `private_key` in a `HostConfig`).
    /// `~/` stands for the home directory.
    ///
    /// [`build`](ClientBuilder::build) reads the file once, however many hosts name it;
    /// parallel-ssh reads the file of a `HostConfig` at connect time. Unlike in parallel-ssh, the
    /// identity files and the password are tried as well if the server refuses the key.
    ///
    /// Ed25519, ECDSA on the three NIST curves, and RSA keys are supported, in these formats:
    /// OpenSSH's own format with every cipher of `ssh-keygen -Z`; PKCS#8, plain or encrypted with
    /// PBES2; PEM as `ssh-keygen -m PEM` and `openssl -traditional` write it, plain or encrypted
    /// with AES or triple DES. Other lines may surround the key. Any other content is an
    /// [`Error::KeyFile`](crate::Error::KeyFile) whose [`KeyProblem`](crate::error::KeyProblem)
    /// says what the file is, such as a key of PuTTY or of a security key, and what to do. Files of
    /// more than 64 KiB are rejected.
    ///
    /// As in OpenSSH, a file that belongs to this user and that other users can access is rejected
    /// ([`KeyProblem::Exposed`](crate::error::KeyProblem::Exposed)).
    ///
    /// As in OpenSSH, a public key (`id_ed25519.pub`) selects a key of the ssh-agent, if there is
    /// an [agent](Self::allow_agent). So do an encrypted key without a passphrase and a security
    /// key, if their public half is known: from OpenSSH's format, or from `<file>.pub`. If the
    /// agent does not hold the key, the other credentials are tried, and the error of the login
    /// says so.
    key_file(path: impl Into<PathBuf>) => |config| config.key = Some(KeySource::File(path.into()));

    /// Private key, as the content of a [file](Self::key_file).
    key_bytes(key: impl Into<Vec<u8>>) => |config| config.key = Some(KeySource::Bytes(Hidden::new(key)));

    /// Whether a login with a Kerberos ticket is tried, before all other methods (GSSAPI, by the
    /// method `gssapi-with-mic` of RFC 4462). Default: `false`, unless an identity is set
    /// ([`gssapi_server_identity`](Self::gssapi_server_identity),
    /// [`gssapi_client_identity`](Self::gssapi_client_identity)), as in parallel-ssh. If GSSAPI
    /// fails, the other methods follow, and the log has the reason.
    ///
    /// Tickets come from the usual place (`KRB5CCNAME`, `krb5.conf`). A few helper threads talk to
    /// the KDC. A KDC that does not answer delays only hosts with GSSAPI: Kerberos gives up after
    /// about half a minute, and the next method follows, unless the host's
    /// [`timeout`](Self::timeout) expires first.
    ///
    /// The libssh in use must support GSSAPI
    /// ([`SshLibrary::gssapi`](crate::fleet::SshLibrary::gssapi)), or
    /// [`build`](ClientBuilder::build) returns [`Error::Unsupported`](crate::Error::Unsupported).
    gssapi_auth(on: bool) => |config| config.gssapi_auth = Some(on);

    /// The host name in the server's Kerberos principal, for instance `web1.example.org` for
    /// `host/web1.example.org@EXAMPLE.ORG`. Default: the name that sshoal, or the proxy, connects
    /// to. Kerberos may canonicalize the name (`dns_canonicalize_hostname` in `krb5.conf`).
    gssapi_server_identity(name: impl Into<String>) => |config| config.gssapi_server = Some(name.into());

    /// The Kerberos principal to log in as, from the credential cache collection. Default: the
    /// principal of the default cache.
    gssapi_client_identity(name: impl Into<String>) => |config| config.gssapi_client = Some(name.into());

    /// Whether credentials are delegated to the host. Default: `false`. The ticket must be
    /// forwardable.
    ///
    /// This setting does not enable GSSAPI: if it is `true` and no host uses GSSAPI,
    /// [`build`](ClientBuilder::build) returns an error. parallel-ssh delegates only if an identity
    /// is set.
    gssapi_delegate_credentials(on: bool) => |config| config.gssapi_delegate = Some(on);

    /// Whether the keys of the ssh-agent are tried. Default: `true`. Without an agent, nothing is
    /// tried.
    ///
    /// The order is that of OpenSSH, except that a key named by [`key_file`](Self::key_file) or
    /// [`key_bytes`](Self::key_bytes) always comes first:
    ///
    /// 1. the named key,
    /// 2. the keys of the agent that are also in [identity files](Self::identity_files), default
    ///    ones included, in the agent's order: a file whose private half cannot be read, or whose
    ///    public half alone exists (`id_ed25519.pub`), counts too,
    /// 3. the other keys of the agent, in the agent's order, unless
    ///    [`identities_only`](Self::identities_only) is set,
    /// 4. the identity files whose keys the agent does not hold.
    ///
    /// All hosts share one non-blocking connection to the agent. Keys are listed once per command,
    /// and a signature is requested only if the host accepts the key. If the agent fails, a host
    /// continues with its next credential, and the log has the reason; the time that the agent
    /// takes counts towards the time limit of the host's authentication. Certificates in the agent
    /// are offered like keys. A [certificate](Self::cert_files) of the settings for a key in the
    /// agent is offered before all keys but the named one, and the agent signs with the plain key.
    /// Each key is offered to the host, which may disconnect after too many (sshd: `MaxAuthTries`).
    ///
    /// With security keys (FIDO) in the agent, one host at a time waits for a touch, also if fleets
    /// were built together ([`build_many`](crate::config::FleetBuilder::build_many)). A fleet
    /// reports it by [`Event::Touch`](crate::Event::Touch), a client by a warning in the log. A
    /// host is not dialled before its turn if the agent offers it nothing but security keys, or
    /// once it has taken one, and its time limits begin with its turn. The touch may take a minute,
    /// or as long as a login if that is longer.
    ///
    /// parallel-ssh documents this setting as unused, yet asks the agent once per host, and ignores
    /// `False` in a `HostConfig`.
    allow_agent(on: bool) => |config| config.allow_agent = Some(on);

    /// Whether the ssh-agent offers only the key that [`key_file`](Self::key_file) or
    /// [`key_bytes`](Self::key_bytes) names and those of the [identity files](Self::identity_files)
    /// (OpenSSH: `IdentitiesOnly`). Default: `false`. With many keys in the agent, a server may
    /// disconnect before the right one is offered (sshd: `MaxAuthTries`).
    identities_only(on: bool) => |config| config.identities_only = Some(on);

    /// The socket of the ssh-agent. Default: `SSH_AUTH_SOCK` at the time of
    /// [`build`](ClientBuilder::build), if set (OpenSSH: `IdentityAgent`).
    agent_socket(path: impl Into<PathBuf>) => |config| config.agent_socket = Some(path.into());

    /// Whether commands on the host can use the local ssh-agent (parallel-ssh has a setting
    /// `forward_ssh_agent`, but ignores it). Default: `false`.
    ///
    /// Each command has a socket in its `SSH_AUTH_SOCK` that leads to the local agent. A host can
    /// have 16 connections to the agent at a time. [`allow_agent`](Self::allow_agent) need not be
    /// on. Without an agent, [`build`](ClientBuilder::build) returns an error. On a host that does
    /// not allow forwarding (sshd: `AllowAgentForwarding no`), commands have no `SSH_AUTH_SOCK`; as
    /// in OpenSSH, that is not reported. All hosts together can have 1,024 connections to agents,
    /// but these never use more than a quarter of the descriptors of this process; further
    /// connections are refused.
    ///
    /// Enable it only for trusted hosts, because while the connection lasts, `root` on the host can
    /// list all keys of the agent and sign with them. Other requests, to add, remove or lock keys
    /// or to load a PKCS#11 library, fail on the host and never reach the agent. The agent sees a
    /// local connection, since libssh cannot mark it as forwarded the way OpenSSH's client does.
    /// Keys with destination constraints (`ssh-add -h`) therefore do not work as intended: the
    /// agent refuses the host a key that may be used via the host, and lets the host use a key that
    /// is meant for local use only. No key with such constraints can log in to the host itself.
    /// `ssh-add -c` works: the agent asks for confirmation before each signature.
    ///
    /// The agent's first answer on each connection is written by a separate thread, because a host
    /// whose maximum packet size leaves no room for an answer makes libssh loop for ever. Such a
    /// host fails with [`HostErrorKind::Protocol`](crate::HostErrorKind::Protocol), and its thread
    /// sleeps for the life of the process, with some 50 KB of memory and a descriptor. After four
    /// such hosts, agent forwarding is disabled: channels are refused, and
    /// [`build`](ClientBuilder::build) returns [`Error::Unsupported`](crate::Error::Unsupported).
    forward_ssh_agent(on: bool) => |config| config.forward_agent = Some(on);

    /// The socket of the agent that [`forward_ssh_agent`](Self::forward_ssh_agent) leads to, if it
    /// is not the one of logins (OpenSSH: `ForwardAgent`). It does not enable forwarding.
    forward_agent_socket(path: impl Into<PathBuf>) => |config| config.forward_socket = Some(path.into());

    /// OpenSSH user certificate for the private key, such as `id_ed25519-cert.pub` (parallel-ssh:
    /// `cert_file`). The key is offered first with the certificate, then without it. `~/` stands
    /// for the home directory.
    ///
    /// The certificate must belong to the key that [`key_file`](Self::key_file) or
    /// [`key_bytes`](Self::key_bytes) names, or to one of the identity files if no key is named.
    /// [`build`](ClientBuilder::build) reads the certificate and checks this
    /// ([`Error::CertFile`](crate::Error::CertFile)). Only the server decides whether the
    /// certificate is valid; if the server refuses it, and the expiry or the principals explain the
    /// refusal, the error says so ([`AuthProblem`](crate::error::AuthProblem)). A host inherits the
    /// client's certificate only together with the client's keys.
    ///
    /// Without this setting, `<key>-cert.pub` beside the named key or an identity file is used, as
    /// in OpenSSH; an unusable certificate is skipped with a warning in the log. parallel-ssh
    /// offers one certificate with every key, and ignores the client's certificate if there are
    /// `HostConfig`s.
    cert_file(path: impl Into<PathBuf>) => |config| config.certificate = Some(KeySource::File(path.into()));

    /// OpenSSH user certificate, as the content of a [file](Self::cert_file).
    cert_bytes(certificate: impl Into<Vec<u8>>) =>
        |config| config.certificate = Some(KeySource::Bytes(Hidden::new(certificate)));

    /// OpenSSH user certificates (OpenSSH: `CertificateFile`). Each is offered with the key that it
    /// belongs to, whether the settings name that key, it is in an identity file, or only the
    /// [ssh-agent](Self::allow_agent) has it. Default: none.
    ///
    /// Files that cannot be used are skipped with a warning in the log, and a failed login names
    /// them. For a key with several certificates, the first one is offered, before
    /// [`cert_file`](Self::cert_file)'s rules find another.
    cert_files(files: impl IntoIterator<Item = impl Into<PathBuf>>) =>
        |config| config.certificate_files = Some(files.into_iter().map(Into::into).collect());

    /// The methods to log in with, in the order in which they are tried (OpenSSH:
    /// `PreferredAuthentications`). Default: GSSAPI, public keys, password, keyboard-interactive.
    /// Methods that are not in the list are not used. A method still needs its credentials, such as
    /// a [`password`](Self::password).
    ///
    /// ```
    /// use sshoal::ParallelClient;
    /// use sshoal::error::AuthMethod;
    ///
    /// # fn main() -> Result<(), sshoal::Error> {
    /// let methods = [AuthMethod::Password, AuthMethod::PublicKey];
    /// let client = ParallelClient::builder(["switch1"]).password("secret").auth_methods(methods)
    /// #   .no_known_hosts().identity_auth(false)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    auth_methods(methods: impl IntoIterator<Item = AuthMethod>) =>
        |config| config.auth_methods = Some(methods.into_iter().collect());

    /// Whether the identity files are tried. Default: `true`.
    identity_auth(on: bool) => |config| config.identity_auth = Some(on);

    /// The identity files, in the order in which they are tried. Default: `id_rsa`, `id_dsa`,
    /// `identity`, `id_ecdsa`, `id_ed25519` in `~/.ssh`.
    ///
    /// Files that do not exist or cannot be used are skipped, unless the
    /// [ssh-agent](Self::allow_agent) holds their keys; the log and the error of a failed login
    /// name those that cannot be used. A file that is named here and that other users can access is
    /// an error, as for [`key_file`](Self::key_file).
    identity_files(files: impl IntoIterator<Item = impl Into<PathBuf>>) =>
        |config| config.identity_files = Some(files.into_iter().map(Into::into).collect());

    /// Whether keyboard-interactive authentication (RFC 4256) is tried, after all other methods.
    /// Default: with a [`responder`](Self::responder), `true`; with only a
    /// [`password`](Self::password), `true` for the prompts that
    /// [`password_prompt`](Self::password_prompt) describes; otherwise `false`.
    ///
    /// The password answers a single hidden prompt, such as PAM's `Password: `, once per login, and
    /// never a prompt that echoes. `true` lets it answer such a prompt whatever its text is, as in
    /// parallel-ssh, unless `password_prompt` is set. A password that the server has refused is not
    /// sent again by the other method. A prompt for a new password fails with
    /// [`AuthProblem::PasswordExpired`](crate::error::AuthProblem::PasswordExpired), and any other
    /// prompt with [`AuthProblem::Unanswered`](crate::error::AuthProblem::Unanswered). With `true`
    /// and neither a responder nor a password, [`build`](ClientBuilder::build) returns an
    /// [`Error::Config`](crate::Error::Config).
    keyboard_interactive(on: bool) => |config| config.keyboard_interactive = Some(on);

    /// The text by which a prompt for the [`password`](Self::password) is known in
    /// keyboard-interactive authentication, such as `"passcode"`. A prompt is answered if it
    /// contains the text, in upper or lower case. Default: `"password"`. Not used with a
    /// [`responder`](Self::responder).
    password_prompt(text: impl Into<String>) => |config| config.password_prompt = Some(text.into());

    /// A function that answers the prompts of keyboard-interactive authentication, such as those
    /// for a one-time code. Default: none.
    ///
    /// The function is called for each round of prompts. It returns one [`Answer`] per prompt, in
    /// order, or `None` to decline; the method is then skipped for this host. The function runs in
    /// the thread that drives all hosts, so it must not block. It receives every prompt, including
    /// one for the password: with a responder, no prompt is answered automatically. If the function
    /// panics, the login continues with the next method, and the error says so
    /// ([`AuthProblem::ResponderPanicked`](crate::error::AuthProblem::ResponderPanicked)).
    /// `keyboard_interactive(false)` disables the function.
    ///
    /// ```
    /// use sshoal::ParallelClient;
    /// use sshoal::config::Challenge;
    ///
    /// # fn main() -> Result<(), sshoal::Error> {
    /// let answer = |challenge: &Challenge<'_>| {
    ///     let answers = challenge.prompts.iter().map(|prompt| match prompt.text.as_str() {
    ///         "Password: " if !prompt.echo => Some("correct horse".into()),
    ///         "Verification code: " => Some("271828".into()),
    ///         _ => None,
    ///     });
    ///     answers.collect()
    /// };
    /// let client = ParallelClient::builder(["web1"]).responder(answer)
    /// #   .no_known_hosts().identity_auth(false)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    responder(respond: impl Fn(&Challenge<'_>) -> Option<Vec<Answer>> + Send + Sync + 'static) =>
        |config| config.responder = Some(Responder::new(respond));
}}
