//! The settings of a fleet, whoever drives it.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use super::host_config::HostConfig;
use super::list::{HostList, deal};
use super::owner::Owner;
use crate::dns::{DnsConfig, Resolver};
use crate::error::Error;
use crate::hostkey::{HostKeyPolicy, KnownHosts, Verifier, default_files};
use crate::limits;
use crate::session::Target;

/// Builds a [`Fleet`](crate::Fleet) or a [`ParallelClient`](crate::ParallelClient). Nothing touches the network before the
/// first command.
///
/// Names and defaults follow parallel-ssh's `ParallelSSHClient`; where behaviour differs, the method says so. What a
/// [`HostConfig`] can set for one host is set here for all.
///
/// ```
/// use sshoal::{Error, Fleet, ParallelClient};
///
/// // Whatever can be found out without the network is found out here.
/// let refused = ParallelClient::builder(["web1", "web2:0"]).user("deploy").build();
/// assert!(matches!(refused, Err(Error::HostSpec { position: 1, .. })));
/// let refused = Fleet::builder(["web1", "web2:0"]).user("deploy").build();
/// assert!(matches!(refused, Err(Error::HostSpec { position: 1, .. })));
/// ```
#[must_use]
pub struct Builder<T> {
    hosts: Vec<String>,
    /// What holds for hosts that do not say otherwise.
    pub(super) client: HostConfig,
    configs: Option<Vec<HostConfig>>,
    limits: Limits,
    host_keys: HostKeyPolicy,
    known_hosts: Option<Vec<PathBuf>>,
    resolver: Option<Resolver>,
    builds: PhantomData<fn() -> T>,
}

/// What can be built: a [`Fleet`](crate::Fleet), or a [`ParallelClient`](crate::ParallelClient) around one.
pub trait Build: Sized {
    #[doc(hidden)]
    fn from_setup(setup: Setup) -> Result<Self, Error>;
}

/// Everything that a fleet is made of, checked and read.
#[doc(hidden)]
#[derive(Debug)]
pub struct Setup {
    pub(crate) list: HostList,
    /// The list's hosts with what they need.
    pub(crate) targets: Vec<Target>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) resolver: Resolver,
    pub(crate) limits: Limits,
}

impl Setup {
    /// The hosts dealt out in turn; the rest is the same for all.
    fn deal(self, count: usize) -> Vec<Self> {
        let Self { list, targets, verifier, resolver, limits } = self;
        let lists = list.deal(count).into_iter().zip(deal(targets, count));
        lists
            .map(|(list, targets)| Self {
                list,
                targets,
                verifier: verifier.clone(),
                resolver: resolver.clone(),
                limits,
            })
            .collect()
    }
}

/// How much a fleet may have under way at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Hosts that connect, or start a command.
    pub max_connecting: usize,
    /// Commands that start or run. `None`: as many as there are.
    pub max_running: Option<usize>,
    /// Connections begun per second. `None`: as many as there are places.
    pub connects_per_second: Option<u32>,
    /// Unread bytes of output, in all. `None`: no bound but those of the streams.
    pub output_budget: Option<usize>,
}

impl Limits {
    /// Without places nothing would ever begin.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let problem = match self {
            Self { max_connecting: 0, .. } => "pool_size must be at least 1",
            Self { max_running: Some(0), .. } => "max_running must be at least 1",
            Self { connects_per_second: Some(0), .. } => "connects_per_second must be at least 1",
            Self { output_budget: Some(0), .. } => "output_budget must be at least 1",
            _ => return Ok(()),
        };
        Err(Error::Config(problem.to_owned()))
    }
}

impl<T> Builder<T> {
    pub(crate) fn new(hosts: Vec<String>) -> Self {
        Self {
            hosts,
            client: HostConfig::default(),
            configs: None,
            limits: Limits {
                max_connecting: limits::POOL_SIZE,
                max_running: None,
                connects_per_second: None,
                output_budget: None,
            },
            host_keys: HostKeyPolicy::strict(),
            known_hosts: None,
            resolver: None,
            builds: PhantomData,
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

    /// Hosts that connect, or start a command, at once. Default: 100; 0 is refused by [`build`](Self::build), with
    /// [`Error::Config`]. [`Fleet::set_max_connecting`](crate::Fleet::set_max_connecting) changes it.
    ///
    /// A host gives its place back when its command is accepted. Proxies take none.
    ///
    /// Commands run on all hosts at once ([`max_running`](Self::max_running) bounds that), and connections stay open. With
    /// fewer free descriptors than hosts, connections that have nothing to do are closed for the next ones; with fewer than
    /// places there are fewer places ([`Metrics::pool`](crate::Metrics::pool), and a warning in the log).
    pub fn max_connecting(mut self, hosts: usize) -> Self {
        self.limits.max_connecting = hosts;
        self
    }

    /// Commands that start or run at once (ClusterShell, pdsh: the fanout), apart from
    /// [`max_connecting`](Self::max_connecting). Default: no bound; 0 is refused by [`build`](Self::build), with
    /// [`Error::Config`]. [`Fleet::set_max_running`](crate::Fleet::set_max_running) changes it.
    ///
    /// A command counts from the moment at which its host begins to connect for it, or to start it, until it has ended. It
    /// does not while its host pauses between two attempts, nor while it waits for a
    /// [channel](crate::Command::wait_for_channel): then it waits for its turn again. Hosts that are only to
    /// [connect](crate::Fleet::connect) need no command's place.
    ///
    /// [`ParallelClient::run_command`](crate::ParallelClient::run_command) returns when all hosts have accepted: with more hosts
    /// than this, when the first commands have ended. For commands that wait for input there is
    /// [`start_command`](crate::ParallelClient::start_command).
    pub fn max_running(mut self, commands: usize) -> Self {
        self.limits.max_running = Some(commands);
        self
    }

    /// Connections begun per second, for the sake of networks, name servers and directories that many logins at once are too
    /// much for. Default: no bound; 0 is refused by [`build`](Self::build), with [`Error::Config`].
    /// [`Fleet::set_connects_per_second`](crate::Fleet::set_connects_per_second) changes it.
    ///
    /// They are evenly spread: one each 10 ms at 100 a second, and those of at most 10 ms at once, if turns come late. Every
    /// attempt counts, first ones and further ones, and so do connections to proxies and through them: each is a login.
    /// Addresses of one host that [race](Self::attempt_delay) count as one. Hosts that wait for this hold no place.
    pub fn connects_per_second(mut self, connections: u32) -> Self {
        self.limits.connects_per_second = Some(connections);
        self
    }

    /// Unread output of all commands, in bytes. Default: 256 MiB for a [`Fleet`](crate::Fleet); none for a
    /// [`ParallelClient`](crate::ParallelClient), where [`join`](crate::ParallelClient::join) could never end with it. 0 is refused.
    ///
    /// It holds hosts back as [`Keep::BackPressure`](crate::Keep::BackPressure) does, whatever a stream's own policy, and fairly:
    /// once half of it is used, a stream with more than an equal share of the other half waits for its reader, and those
    /// with less go on; of the last quarter each gets 4 KiB. One that holds less than that never waits for others, so with
    /// very many hosts it may be exceeded, by less than 40 KiB for each. libssh needs memory of its own for a connection whose
    /// output waits: 160 KiB of the budget are set aside for each.
    pub fn output_budget(mut self, bytes: usize) -> Self {
        self.limits.output_budget = Some(bytes);
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

impl<T: Build> Builder<T> {
    /// Checks everything that can be checked here, reads keys and known_hosts files, and makes the fleet. No network.
    ///
    /// An empty host list is legal: hosts may come later, and commands have no outputs.
    ///
    /// # Errors
    /// [`Error::HostSpec`], [`Error::Config`], [`Error::KeyFile`], [`Error::CertFile`], [`Error::KnownHosts`],
    /// [`Error::Unsupported`], [`Error::System`]. What is wrong with a [`HostConfig`] names the host's position.
    pub fn build(self) -> Result<T, Error> {
        T::from_setup(self.setup()?)
    }

    /// As [`build`](Self::build), but so many fleets, to be driven by as many threads: for more work than one core can
    /// encrypt. The hosts are dealt out in turn: the first to the first fleet, the second to the second.
    ///
    /// Keys and known_hosts files are read once, and all share them; nothing else is shared, but for the keys
    /// that an [accept-new](HostKeyPolicy::accept_new) policy records. So limits such as
    /// [`max_connecting`](Self::max_connecting) are those of each, and each has its own connections to
    /// proxies.
    ///
    /// ```
    /// use sshoal::Fleet;
    ///
    /// # let none: [&str; 0] = [];
    /// let builder = Fleet::builder(["web1", "web2", "web3"]).known_hosts(none).identity_auth(false);
    /// let fleets = builder.user("deploy").password("...").build_many(2)?;
    /// assert_eq!(fleets.iter().map(|fleet| fleet.hosts().len()).collect::<Vec<_>>(), [2, 1]);
    /// # Ok::<(), sshoal::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`build`](Self::build), and [`Error::Config`] for 0 and for more than 4,096. Positions are those of the whole list.
    pub fn build_many(self, fleets: usize) -> Result<Vec<T>, Error> {
        if !(1..=limits::FLEETS_MAX).contains(&fleets) {
            let max = limits::FLEETS_MAX;
            return Err(Error::Config(format!("{fleets} fleets: there may be 1 to {max}")));
        }
        self.setup()?.deal(fleets).into_iter().map(T::from_setup).collect()
    }

    fn setup(self) -> Result<Setup, Error> {
        let owner = Owner::of_this_process();
        let verifier = Arc::new(self.verifier(&owner)?);
        self.limits.check()?;
        let list = HostList { hosts: self.hosts, client: self.client, configs: self.configs };
        let targets = list.targets(&owner, &verifier)?;
        let resolver = self.resolver.unwrap_or_else(|| Resolver::Native(DnsConfig::system()));
        Ok(Setup { list, targets, verifier, resolver, limits: self.limits })
    }
}

impl<T> Clone for Builder<T> {
    fn clone(&self) -> Self {
        Self {
            hosts: self.hosts.clone(),
            client: self.client.clone(),
            configs: self.configs.clone(),
            limits: self.limits,
            host_keys: self.host_keys.clone(),
            known_hosts: self.known_hosts.clone(),
            resolver: self.resolver.clone(),
            builds: PhantomData,
        }
    }
}

/// Shows no secrets.
impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("hosts", &self.hosts)
            .field("client", &self.client)
            .field("configs", &self.configs)
            .field("limits", &self.limits)
            .field("host_keys", &self.host_keys)
            .field("known_hosts", &self.known_hosts)
            .field("resolver", &self.resolver)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder(hosts: &[&str]) -> Builder<Setup> {
        Builder::new(hosts.iter().map(|host| (*host).to_owned()).collect())
            .user("deploy")
            .password("hunter2")
            .allow_agent(false)
            .identity_auth(false)
            .known_hosts([] as [&str; 0])
    }

    #[test]
    fn hosts_are_dealt_in_turn_with_their_configurations() {
        let own = ["a", "b", "c"].map(|alias| HostConfig::default().alias(alias));
        let setups = builder(&["one", "two", "three"]).host_config(own).build_many(2).unwrap();
        let hosts = |setup: &Setup| setup.targets.iter().map(|target| target.host.to_string()).collect();
        let aliases =
            |setup: &Setup| setup.targets.iter().filter_map(|target| target.alias.clone()).collect();
        assert_eq!(setups.iter().map(hosts).collect::<Vec<Vec<_>>>(), [vec!["one", "three"], vec!["two"]]);
        assert_eq!(
            setups.iter().map(aliases).collect::<Vec<Vec<Arc<str>>>>(),
            [vec!["a".into(), "c".into()], vec!["b".into()]]
        );
        for setup in &setups {
            assert_eq!(setup.list.hosts.len(), setup.targets.len());
            assert_eq!(setup.list.configs.as_ref().map(Vec::len), Some(setup.targets.len()));
        }
    }

    #[test]
    fn what_was_read_is_shared() {
        let setups = builder(&["one", "two"]).build_many(2).unwrap();
        assert!(Arc::ptr_eq(&setups[0].verifier, &setups[1].verifier));
        assert!(Arc::ptr_eq(&setups[0].targets[0].profile, &setups[1].targets[0].profile));
    }

    #[test]
    fn more_fleets_than_hosts_leave_some_without() {
        let setups = builder(&["one"]).build_many(3).unwrap();
        assert_eq!(setups.iter().map(|setup| setup.targets.len()).collect::<Vec<_>>(), [1, 0, 0]);
    }

    #[test]
    fn absurd_numbers_of_fleets_are_refused() {
        for fleets in [0, limits::FLEETS_MAX + 1, usize::MAX] {
            assert!(matches!(builder(&["one"]).build_many(fleets), Err(Error::Config(_))), "{fleets}");
        }
    }

    #[test]
    fn positions_are_those_of_the_whole_list() {
        let refused = builder(&["one", "two", "three:0"]).build_many(2);
        assert!(matches!(refused, Err(Error::HostSpec { position: 2, .. })), "{refused:?}");
    }
}
