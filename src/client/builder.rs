//! The settings of a client.

use std::path::PathBuf;
use std::sync::Arc;

use super::ParallelClient;
use super::host_config::HostConfig;
use super::hosts::HostList;
use super::owner::Owner;
use crate::dns::{DnsConfig, Resolver};
use crate::error::Error;
use crate::hostkey::{HostKeyPolicy, KnownHosts, Verifier, default_files};
use crate::limits;

/// Builds a [`ParallelClient`]. Nothing touches the network before the first command.
///
/// Names and defaults follow parallel-ssh's `ParallelSSHClient`; where behaviour differs, the method says so. What a
/// [`HostConfig`] can set for one host is set here for all.
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
    /// What holds for hosts that do not say otherwise.
    pub(super) client: HostConfig,
    configs: Option<Vec<HostConfig>>,
    pool_size: usize,
    host_keys: HostKeyPolicy,
    known_hosts: Option<Vec<PathBuf>>,
    resolver: Option<Resolver>,
}

impl ClientBuilder {
    pub(crate) fn new(hosts: Vec<String>) -> Self {
        Self {
            hosts,
            client: HostConfig::default(),
            configs: None,
            pool_size: limits::POOL_SIZE,
            host_keys: HostKeyPolicy::strict(),
            known_hosts: None,
            resolver: None,
        }
    }

    /// Settings of single hosts, in place of the client's: one [`HostConfig`] per host, in the order of the host list.
    /// Default: none.
    ///
    /// Where the numbers differ, [`build`](Self::build) refuses them.
    ///
    /// ```
    /// use sshoal::{Error, HostConfig, ParallelClient};
    ///
    /// # let none: [&str; 0] = [];
    /// let builder = ParallelClient::builder(["db", "db", "web"]).known_hosts(none).identity_auth(false);
    /// let as_two_users = [HostConfig::default().user("postgres"), HostConfig::default().user("backup")];
    /// let Err(Error::Config(problem)) = builder.host_config(as_two_users).build() else { panic!() };
    /// assert_eq!(problem, "2 host configurations for 3 hosts");
    /// ```
    pub fn host_config(mut self, configs: impl IntoIterator<Item = HostConfig>) -> Self {
        self.configs = Some(configs.into_iter().collect());
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

    /// Who turns names into addresses. Default: [`Resolver::Native`] with the system's configuration
    /// ([`DnsConfig::system`]), read by [`build`](Self::build). parallel-ssh asks `getaddrinfo`, as [`Resolver::System`] does.
    ///
    /// A name is looked up again for each attempt to connect. Its addresses are tried one after the other, those without a
    /// route last, until one accepts.
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Checks everything that can be checked here, reads keys and known_hosts files, and makes the client. No network.
    ///
    /// An empty host list is legal: commands then have no outputs.
    ///
    /// # Errors
    /// [`Error::HostSpec`], [`Error::Config`], [`Error::KeyFile`], [`Error::CertFile`], [`Error::KnownHosts`],
    /// [`Error::Unsupported`], [`Error::System`]. What is wrong with a [`HostConfig`] names the host's position.
    pub fn build(self) -> Result<ParallelClient, Error> {
        let owner = Owner::of_this_process();
        let verifier = Arc::new(self.verifier(&owner)?);
        let list = HostList { hosts: self.hosts, client: self.client, configs: self.configs };
        let resolver = self.resolver.unwrap_or_else(|| Resolver::Native(DnsConfig::system()));
        ParallelClient::new(list, &owner, self.pool_size, resolver, verifier)
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
}
