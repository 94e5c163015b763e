//! The settings of a client.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::owner::Owner;
use super::{ParallelClient, limit};
use crate::error::{Error, KeyProblem};
use crate::host::{HostSpec, check_user};
use crate::hostkey::{HostKeyPolicy, KnownHosts, Verifier, default_files};
use crate::limits;
use crate::link::PrivateKey;
use crate::secret::Secret;
use crate::session::{AuthPlan, Offer, Profile, Target, Timeouts};

/// Identity files tried when `identity_auth` is on, in this order (parallel-ssh: `BaseSSHClient.IDENTITIES`).
const IDENTITIES: [&str; 5] = ["id_rsa", "id_dsa", "identity", "id_ecdsa", "id_ed25519"];

/// Builds a [`ParallelClient`]. Nothing touches the network before the first command.
///
/// Names and defaults follow parallel-ssh's `ParallelSSHClient`; where behaviour differs, the method says so.
///
/// ```
/// use sshoal::{Error, ParallelClient};
///
/// // Whatever can be found out without the network is found out here.
/// let refused = ParallelClient::builder(["web1", "web2:0"]).user("deploy").build();
/// assert!(matches!(refused, Err(Error::HostSpec { position: 1, .. })));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientBuilder {
    hosts: Vec<String>,
    user: Option<String>,
    port: u16,
    password: Option<Hidden>,
    passphrase: Option<Hidden>,
    key: Option<KeySource>,
    identity_auth: bool,
    identity_files: Option<Vec<PathBuf>>,
    attempts: u32,
    retry_delay: Duration,
    timeout: Duration,
    read_timeout: Option<Duration>,
    pool_size: usize,
    host_keys: HostKeyPolicy,
    known_hosts: Option<Vec<PathBuf>>,
}

/// A password or passphrase as it was given: overwritten when dropped, and not shown by `Debug`.
#[derive(Clone)]
struct Hidden(Zeroizing<String>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(..)")
    }
}

#[derive(Clone)]
enum KeySource {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Bytes(_) => f.write_str("Bytes(..)"),
        }
    }
}

impl ClientBuilder {
    pub(crate) fn new(hosts: Vec<String>) -> Self {
        Self {
            hosts,
            user: None,
            port: 22,
            password: None,
            passphrase: None,
            key: None,
            identity_auth: true,
            identity_files: None,
            attempts: limits::ATTEMPTS,
            retry_delay: limits::RETRY_DELAY,
            timeout: Duration::ZERO,
            read_timeout: None,
            pool_size: limits::POOL_SIZE,
            host_keys: HostKeyPolicy::strict(),
            known_hosts: None,
        }
    }

    /// Login name for hosts whose entry names none. Default: the owner of this process (`geteuid`).
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// Port for hosts whose entry names none. Default: 22. 0 is refused.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Password, tried last. Without a [`passphrase`](Self::passphrase) it also opens encrypted keys, as in parallel-ssh.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Hidden(password.into().into()));
        self
    }

    /// Passphrase of encrypted private keys.
    pub fn passphrase(mut self, passphrase: impl Into<String>) -> Self {
        self.passphrase = Some(Hidden(passphrase.into().into()));
        self
    }

    /// Private key file, tried first (parallel-ssh: `pkey`). `~/` stands for the home directory.
    ///
    /// It is read once, by [`build`](Self::build). Unlike in parallel-ssh, identity files and password are tried as well
    /// when the server refuses it.
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key = Some(KeySource::File(path.into()));
        self
    }

    /// Private key as text (OpenSSH, PEM or PKCS#8), instead of a file.
    pub fn key_bytes(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(KeySource::Bytes(key.into()));
        self
    }

    /// Whether the identity files are tried. Default: `true`.
    pub fn identity_auth(mut self, on: bool) -> Self {
        self.identity_auth = on;
        self
    }

    /// The identity files. Default: `id_rsa`, `id_dsa`, `identity`, `id_ecdsa`, `id_ed25519` in `~/.ssh`, in this order.
    ///
    /// Files that do not exist or cannot be used are passed over; the log says which.
    pub fn identity_files(mut self, files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.identity_files = Some(files.into_iter().map(Into::into).collect());
        self
    }

    /// Connection attempts per host. Default: 3; 0 counts as 1.
    ///
    /// One counter for the whole connection. What cannot end differently is not tried again: a refused credential, a
    /// mistrusted host key, no common algorithm. A command that may have started is never sent twice.
    pub fn num_retries(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Pause between two attempts. Default: 5 s. The host's place in the pool is free meanwhile.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = delay;
        self
    }

    /// Time limit for each stage of each host, as a total: resolving and connecting, SSH handshake, authentication,
    /// starting the command. Default, and zero: none, except that connect and handshake are given up after 60 s and
    /// authentication after 120 s, so that a silent peer cannot hold a place for ever.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// How long a reader waits without a byte from its stream, and a writer without progress. Zero: no limit.
    /// Default: [`timeout`](Self::timeout).
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.read_timeout = Some(limit);
        self
    }

    /// Hosts that connect, or start a command, at once. Default: 100; 0 is refused.
    ///
    /// Commands run on all hosts at once, and connections stay open. With fewer free descriptors than hosts, connections
    /// that have nothing to do are closed for the next ones; with fewer than `pool_size` the pool shrinks
    /// ([`Stats::pool`](crate::Stats::pool), and a warning in the log).
    pub fn pool_size(mut self, places: usize) -> Self {
        self.pool_size = places;
        self
    }

    /// Which host keys are accepted. Default: [`HostKeyPolicy::strict`]. parallel-ssh accepts any.
    pub fn host_keys(mut self, policy: HostKeyPolicy) -> Self {
        self.host_keys = policy;
        self
    }

    /// The known_hosts files. Default: `~/.ssh/known_hosts`, `~/.ssh/known_hosts2`, `/etc/ssh/ssh_known_hosts` and
    /// `/etc/ssh/ssh_known_hosts2`. They are read once, by [`build`](Self::build).
    pub fn known_hosts(mut self, files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.known_hosts = Some(files.into_iter().map(Into::into).collect());
        self
    }

    /// Checks everything that can be checked here, reads keys and known_hosts files, and makes the client. No network.
    ///
    /// An empty host list is legal: commands then have no outputs.
    ///
    /// # Errors
    /// [`Error::HostSpec`], [`Error::Config`], [`Error::KeyFile`], [`Error::KnownHosts`], [`Error::System`].
    pub fn build(mut self) -> Result<ParallelClient, Error> {
        if self.port == 0 {
            return Err(Error::Config("port 0 cannot be connected to".to_owned()));
        }
        if self.pool_size == 0 {
            return Err(Error::Config("pool_size must be at least 1".to_owned()));
        }
        let owner = Owner::of_this_process();
        let verifier = Arc::new(self.verifier(&owner)?);
        let plan = self.plan(&owner)?;
        let targets = self.targets(&owner, &plan, &verifier)?;
        let read_timeout = limit(self.read_timeout.unwrap_or(self.timeout));
        ParallelClient::new(targets, self.pool_size, read_timeout, verifier)
    }

    fn verifier(&self, owner: &Owner) -> Result<Verifier, Error> {
        let files = match (&self.known_hosts, &owner.home) {
            (Some(files), _) => files.iter().map(|file| owner.expand(file)).collect::<Result<Vec<_>, _>>()?,
            (None, Some(home)) => default_files(home).into(),
            (None, None) => {
                return Err(Error::Config("no home directory: name the known_hosts files".to_owned()));
            }
        };
        let known = KnownHosts::load(&files)?;
        for problem in known.problems() {
            log::warn!("{problem}");
        }
        Ok(Verifier::new(known, self.host_keys.clone()))
    }

    /// What is offered to the servers, in order. Keys are parsed here, once for all hosts.
    fn plan(&mut self, owner: &Owner) -> Result<AuthPlan, Error> {
        let password = self.password.take().map(|hidden| secret(hidden, "password")).transpose()?;
        let passphrase = self.passphrase.take().map(|hidden| secret(hidden, "passphrase")).transpose()?;
        let opener = passphrase.or_else(|| password.clone());
        let mut plan = AuthPlan::new();
        if let Some(source) = &self.key {
            let (path, text) = match source {
                KeySource::File(path) => {
                    let path = owner.expand(path)?;
                    let text = fs::read(&path);
                    (path, text)
                }
                KeySource::Bytes(text) => (PathBuf::from("<bytes>"), Ok(text.clone())),
            };
            let key = text.map_err(KeyProblem::Unreadable).and_then(|text| parse_key(text, opener.as_ref()));
            plan.push(Offer::Sign(Arc::new(key.map_err(|source| Error::KeyFile { path, source })?)));
        }
        if self.identity_auth {
            let identities = self.identities(owner)?;
            let keys =
                identities.iter().filter_map(|path| usable_identity(path, opener.as_ref())).map(Arc::new);
            plan.extend(keys.map(Offer::AskThenSign));
        }
        if let [Offer::AskThenSign(key)] = plan.as_slice() {
            plan = vec![Offer::Sign(key.clone())];
        }
        plan.extend(password.map(Offer::Password));
        if plan.is_empty() {
            plan.push(Offer::None);
        }
        Ok(plan)
    }

    fn identities(&self, owner: &Owner) -> Result<Vec<PathBuf>, Error> {
        match (&self.identity_files, &owner.home) {
            (Some(files), _) => files.iter().map(|file| owner.expand(file)).collect(),
            (None, Some(home)) => Ok(IDENTITIES.iter().map(|name| home.join(".ssh").join(name)).collect()),
            (None, None) => Ok(Vec::new()),
        }
    }

    fn targets(
        &self,
        owner: &Owner,
        plan: &AuthPlan,
        verifier: &Arc<Verifier>,
    ) -> Result<Vec<Target>, Error> {
        let stage = |default| limit(self.timeout).or(default);
        let timeouts = Timeouts {
            connect: stage(Some(limits::CONNECT_TIMEOUT)),
            handshake: stage(Some(limits::HANDSHAKE_TIMEOUT)),
            auth: stage(Some(limits::AUTH_TIMEOUT)),
            exec: stage(None),
        };
        let mut profiles: Vec<Arc<Profile>> = Vec::new();
        let mut profile = |user: &str| -> Result<Arc<Profile>, Error> {
            let user = CString::new(user)
                .map_err(|_| Error::Config("the user name contains a NUL byte".to_owned()))?;
            if let Some(known) = profiles.iter().find(|profile| profile.user == user) {
                return Ok(known.clone());
            }
            let made = Arc::new(Profile {
                user,
                plan: plan.clone(),
                timeouts,
                attempts: self.attempts.max(1),
                retry_delay: self.retry_delay,
                verifier: verifier.clone(),
            });
            profiles.push(made.clone());
            Ok(made)
        };
        if let Some(user) = &self.user {
            check_user(user).map_err(|problem| Error::Config(format!("user {user:?}: {problem}")))?;
        }
        let mut targets = Vec::with_capacity(self.hosts.len());
        for (position, text) in self.hosts.iter().enumerate() {
            let spec: HostSpec = text.parse().map_err(|source| Error::HostSpec { position, source })?;
            let user = match spec.user().or(self.user.as_deref()).or(owner.name.as_deref()) {
                Some(user) => user,
                None => {
                    return Err(Error::Config(
                        "the owner of this process has no name: set the user".to_owned(),
                    ));
                }
            };
            targets.push(Target {
                host: spec.host().into(),
                port: spec.port().unwrap_or(self.port),
                profile: profile(user)?,
            });
        }
        Ok(targets)
    }
}

fn secret(mut hidden: Hidden, what: &str) -> Result<Secret, Error> {
    Secret::new(std::mem::take(&mut *hidden.0))
        .ok_or_else(|| Error::Config(format!("the {what} contains a NUL byte")))
}

fn parse_key(text: Vec<u8>, opener: Option<&Secret>) -> Result<PrivateKey, KeyProblem> {
    let text = Secret::new(String::from_utf8(text).map_err(|_| KeyProblem::Malformed)?);
    let text = text.ok_or(KeyProblem::Malformed)?;
    PrivateKey::parse(text.as_c_str(), opener.map(Secret::as_c_str))
}

/// An identity file's key, if it has one that opens.
fn usable_identity(path: &Path, opener: Option<&Secret>) -> Option<PrivateKey> {
    let key = match fs::read(path) {
        Ok(text) => parse_key(text, opener),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(e) => Err(e.into()),
    };
    key.inspect_err(|problem| log::warn!("identity file {} {problem}", path.display())).ok()
}
